//! A transaction as a closure sees it: statements, and events for after the commit.

use std::cell::RefCell;
use std::ops::Deref;

use rusqlite::Connection;

use crate::feed::Topic;
use crate::{Error, Result, Row, Sql, Value};

/// A transaction that reads: one snapshot of everything.
///
/// As on PostgreSQL, a failed statement fails the transaction: each later statement answers the same error, and the
/// closure's `Ok` becomes that error. A closure that expects a conflict says `ON CONFLICT DO NOTHING` and looks at the
/// count.
pub struct ReadTx {
    conn: Connection,
    failed: RefCell<Option<Error>>,
}

impl ReadTx {
    pub(crate) fn new(conn: Connection) -> Self {
        Self { conn, failed: RefCell::new(None) }
    }

    pub(crate) fn conn(&self) -> &Connection {
        &self.conn
    }

    /// Runs one of the store's own words: BEGIN, SAVEPOINT.
    pub(crate) fn word(&self, word: &str) -> Result<()> {
        let run = || self.conn.prepare_cached(word)?.raw_execute();
        run().map(|_| ()).map_err(|e| Error::sqlite(e, word))
    }

    /// Why the transaction failed, if it did.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.failed.borrow().clone()
    }

    /// Why the transaction failed, if it did; forgets it.
    pub(crate) fn take_failure(&self) -> Option<Error> {
        self.failed.borrow_mut().take()
    }

    fn statement<'c>(&'c self, sql: &Sql, params: &[Value<'_>]) -> Result<rusqlite::CachedStatement<'c>> {
        if let Some(error) = &*self.failed.borrow() {
            return Err(error.clone());
        }
        let bind = || -> rusqlite::Result<_> {
            let mut statement = self.conn.prepare_cached(sql.text())?;
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
        let error = Error::sqlite(error, sql.name());
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
        let mut statement = self.statement(sql, params)?;
        let mut rows = statement.raw_query();
        match rows.next().map_err(|e| self.note(sql, e))? {
            Some(row) => read(&Row::new(row, sql)).map(Some),
            None => Ok(None),
        }
    }

    /// All rows. The statement has a LIMIT: at most 1,000 rows a closure.
    pub fn rows<T>(
        &self,
        sql: &Sql,
        params: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut statement = self.statement(sql, params)?;
        let mut rows = statement.raw_query();
        let mut out = Vec::new();
        while let Some(row) = rows.next().map_err(|e| self.note(sql, e))? {
            out.push(read(&Row::new(row, sql))?);
        }
        Ok(out)
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
}

impl Tx {
    pub(crate) fn new(conn: Connection) -> Self {
        Self { read: ReadTx::new(conn), events: Vec::new() }
    }

    pub(crate) fn events(&mut self) -> &mut Vec<Topic> {
        &mut self.events
    }

    /// Changes rows; answers how many.
    pub fn execute(&mut self, sql: &Sql, params: &[Value<'_>]) -> Result<usize> {
        let mut statement = self.statement(sql, params)?;
        statement.raw_execute().map_err(|e| self.note(sql, e))
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
