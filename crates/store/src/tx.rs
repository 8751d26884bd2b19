//! A transaction as a closure sees it: statements, and events for after the commit.

use std::cell::RefCell;
use std::ops::Deref;

use rusqlite::Connection;

use crate::feed::Topic;
use crate::postgres::Session;
use crate::{Error, Result, Row, Sql, Value};

/// A transaction that reads: one snapshot of everything.
///
/// As on PostgreSQL, a failed statement fails the transaction: each later statement answers the same error, and the
/// closure's `Ok` becomes that error. A closure that expects a conflict says `ON CONFLICT DO NOTHING` and looks at the
/// count.
pub struct ReadTx {
    link: Link,
    failed: RefCell<Option<Error>>,
}

/// What the statements run on. The larger kind is the usual one.
pub(crate) enum Link {
    Sqlite(Connection),
    Postgres(Session),
}

impl ReadTx {
    pub(crate) fn new(conn: Connection) -> Self {
        Self { link: Link::Sqlite(conn), failed: RefCell::new(None) }
    }

    pub(crate) fn over(session: Session) -> Self {
        Self { link: Link::Postgres(session), failed: RefCell::new(None) }
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// Runs one of the store's own words: BEGIN, SAVEPOINT. On PostgreSQL it goes with the next statement.
    pub(crate) fn word(&self, word: &'static str) -> Result<()> {
        match &self.link {
            Link::Sqlite(conn) => {
                let run = || conn.prepare_cached(word)?.raw_execute();
                run().map(|_| ()).map_err(|e| Error::sqlite(e, word))
            }
            Link::Postgres(session) => {
                session.post_word(word);
                Ok(())
            }
        }
    }

    /// Whether nothing is begun, or no longer.
    pub(crate) fn is_over(&self) -> bool {
        match &self.link {
            Link::Sqlite(conn) => conn.is_autocommit(),
            Link::Postgres(_) => false,
        }
    }

    /// Why the transaction failed, if it did.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.failed.borrow().clone()
    }

    /// Why the transaction failed, if it did; forgets it.
    pub(crate) fn take_failure(&self) -> Option<Error> {
        self.failed.borrow_mut().take()
    }

    fn alive(&self) -> Result<()> {
        self.failed.borrow().clone().map_or(Ok(()), Err)
    }

    fn statement<'c>(
        &self,
        conn: &'c Connection,
        sql: &Sql,
        params: &[Value<'_>],
    ) -> Result<rusqlite::CachedStatement<'c>> {
        let bind = || -> rusqlite::Result<_> {
            let mut statement = conn.prepare_cached(sql.text())?;
            if statement.parameter_count() != params.len() {
                return Err(rusqlite::Error::InvalidParameterCount(
                    params.len(),
                    statement.parameter_count(),
                ));
            }
            for (i, param) in params.iter().enumerate() {
                statement.raw_bind_parameter(i + 1, param)?;
            }
            Ok(statement)
        };
        bind().map_err(|e| self.note(sql, e))
    }

    fn note(&self, sql: &Sql, error: rusqlite::Error) -> Error {
        self.fail(Error::sqlite(error, sql.name()))
    }

    /// The transaction failed.
    pub(crate) fn fail(&self, error: Error) -> Error {
        *self.failed.borrow_mut() = Some(error.clone());
        error
    }

    /// The first row, if there is one. Also for `INSERT .. RETURNING` and its like in a [`Tx`].
    pub fn row<T>(
        &self,
        sql: &Sql,
        params: &[Value<'_>],
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        self.alive()?;
        match &self.link {
            Link::Sqlite(conn) => {
                let mut statement = self.statement(conn, sql, params)?;
                let mut rows = statement.raw_query();
                match rows.next().map_err(|e| self.note(sql, e))? {
                    Some(row) => read(&Row::sqlite(row, sql)).map(Some),
                    None => Ok(None),
                }
            }
            Link::Postgres(session) => {
                let found = session.query(sql, params).map_err(|e| self.fail(e))?;
                found.first().map(|row| read(&Row::postgres(row, sql))).transpose()
            }
        }
    }

    /// All rows. The statement has a LIMIT: at most 1,000 rows a closure.
    pub fn rows<T>(
        &self,
        sql: &Sql,
        params: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.alive()?;
        match &self.link {
            Link::Sqlite(conn) => {
                let mut statement = self.statement(conn, sql, params)?;
                let mut rows = statement.raw_query();
                let mut out = Vec::new();
                while let Some(row) = rows.next().map_err(|e| self.note(sql, e))? {
                    out.push(read(&Row::sqlite(row, sql))?);
                }
                Ok(out)
            }
            Link::Postgres(session) => {
                let found = session.query(sql, params).map_err(|e| self.fail(e))?;
                found.iter().map(|row| read(&Row::postgres(row, sql))).collect()
            }
        }
    }

    /// Whether there is a row.
    pub fn exists(&self, sql: &Sql, params: &[Value<'_>]) -> Result<bool> {
        self.row(sql, params, |_| Ok(())).map(|row| row.is_some())
    }
}

/// A transaction that writes. It offers statements and [`after_commit`](Self::after_commit) and nothing else, since
/// its closure may run again.
pub struct Tx {
    read: ReadTx,
    events: Vec<Topic>,
    node: i64,
}

impl Tx {
    pub(crate) fn new(conn: Connection, node: i64) -> Self {
        Self { read: ReadTx::new(conn), events: Vec::new(), node }
    }

    pub(crate) fn over(session: Session, node: i64) -> Self {
        Self { read: ReadTx::over(session), events: Vec::new(), node }
    }

    /// This process among all that ever worked on this data: what it claims carries this number.
    pub fn node(&self) -> i64 {
        self.node
    }

    pub(crate) fn events(&mut self) -> &mut Vec<Topic> {
        &mut self.events
    }

    /// Changes rows; answers how many.
    pub fn execute(&mut self, sql: &Sql, params: &[Value<'_>]) -> Result<usize> {
        self.alive()?;
        match &self.read.link {
            Link::Sqlite(conn) => {
                let mut statement = self.statement(conn, sql, params)?;
                statement.raw_execute().map_err(|e| self.note(sql, e))
            }
            Link::Postgres(session) => session.execute(sql, params).map_err(|e| self.fail(e)),
        }
    }

    /// Changes rows, however many: [`execute`](Self::execute) for whoever does not ask. On PostgreSQL it costs no round
    /// trip, and its error shows at a later statement or at the commit.
    pub fn apply(&mut self, sql: &Sql, params: &[Value<'_>]) -> Result<()> {
        match &self.read.link {
            Link::Sqlite(_) => self.execute(sql, params).map(|_| ()),
            Link::Postgres(session) => {
                self.alive()?;
                session.post(sql, params).map_err(|e| self.fail(e))
            }
        }
    }

    /// [`execute`](Self::execute) for many rows: answers how many each changed. On PostgreSQL it costs one round trip.
    pub fn execute_each<'v, const N: usize>(
        &mut self,
        sql: &Sql,
        rows: impl IntoIterator<Item = [Value<'v>; N]>,
    ) -> Result<Vec<usize>> {
        match &self.read.link {
            Link::Sqlite(_) => rows.into_iter().map(|row| self.execute(sql, &row)).collect(),
            Link::Postgres(session) => {
                self.alive()?;
                session.execute_each(sql, rows).map_err(|e| self.fail(e))
            }
        }
    }

    /// Tells whoever watches `topic`, once this is committed.
    pub fn after_commit(&mut self, topic: Topic) {
        self.events.push(topic);
    }
}

impl Deref for Tx {
    type Target = ReadTx;

    fn deref(&self) -> &ReadTx {
        &self.read
    }
}
