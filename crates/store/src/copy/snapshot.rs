//! One consistent view of all rows, beside whoever writes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::Connection;

use super::{Format, Table, UNFINISHED, value};
use crate::postgres::{self, Place, Purpose, Session};
use crate::wal::Wal;
use crate::{Error, Result, Store, Value};

/// A view of the database as it was when it was taken. It blocks nobody; but while it lives SQLite's log can't begin
/// anew and PostgreSQL keeps old rows, so read it at the disk's speed and let it go. Use it from one thread, and not
/// from inside a runtime's task.
pub struct Snapshot {
    view: View,
}

/// Where rows lie, for whoever opens one more connection.
#[derive(Clone)]
pub(crate) enum Source {
    Sqlite(Arc<Wal>),
    Postgres(Box<Place>),
}

enum View {
    Sqlite { conn: Connection, _log: Held },
    Postgres(Session),
}

/// While it lives the writer does not wait for the log to be free.
struct Held(Arc<Wal>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.snapshots.fetch_sub(1, Ordering::AcqRel);
    }
}

/// No statement of a walk may be stopped for the time it takes.
const PATIENCE: Duration = Duration::from_secs(7 * 86_400);

impl Store {
    /// Takes a view of everything that was answered before.
    ///
    /// # Errors
    /// The database can't be opened once more.
    pub fn snapshot(&self) -> Result<Snapshot> {
        match self.source() {
            Source::Sqlite(wal) => {
                let conn = wal.database.reader()?;
                wal.snapshots.fetch_add(1, Ordering::AcqRel);
                let log = Held(wal.clone());
                // The first statement that reads is what takes the view.
                let begun = conn.execute_batch("BEGIN; SELECT count(*) FROM meta;");
                begun.map_err(|e| Error::sqlite(e, "snapshot"))?;
                Ok(Snapshot { view: View::Sqlite { conn, _log: log } })
            }
            Source::Postgres(place) => {
                let session = Session::connect(place, Purpose::Read(PATIENCE))?;
                session.batch("SET idle_in_transaction_session_timeout = 0", "snapshot")?;
                let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT count(*) FROM meta";
                session.batch(begin, "snapshot")?;
                Ok(Snapshot { view: View::Postgres(session) })
            }
        }
    }
}

impl Snapshot {
    /// How far each crate's tables are. The tables of a running cluster are none of it: who does what, and who has heard
    /// of what, is of the moment.
    ///
    /// # Errors
    /// What the database says.
    pub fn formats(&self) -> Result<Vec<Format>> {
        let mut formats = match &self.view {
            View::Sqlite { conn, .. } => {
                let read = || -> rusqlite::Result<Vec<Format>> {
                    let mut statement = conn.prepare("SELECT name, format FROM meta")?;
                    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
                    rows.collect()
                };
                read().map_err(|e| Error::sqlite(e, "meta"))?
            }
            View::Postgres(session) => {
                let mut found = Vec::new();
                session.walk::<Error>("SELECT name, format FROM meta", &mut |row| {
                    if let [Value::Text(name), Value::Int(format)] = row {
                        found.push(((*name).to_owned(), *format));
                    }
                    Ok(())
                })?;
                found
            }
        };
        formats.retain(|(name, _)| name != postgres::CLUSTER.name && name != UNFINISHED);
        formats.sort();
        Ok(formats)
    }

    /// Hands out each row of a table, in the order of its key. Answers how many there were.
    ///
    /// # Errors
    /// What the database says, and what `each` answers.
    pub fn walk<E: From<Error>>(
        &self,
        table: &Table,
        mut each: impl FnMut(&[Value<'_>]) -> Result<(), E>,
    ) -> Result<u64, E> {
        match &self.view {
            View::Sqlite { conn, .. } => walk(conn, table, &mut each),
            View::Postgres(session) => session.walk(&table.select(), &mut each),
        }
    }
}

/// The same over a connection of SQLite.
pub(super) fn walk<E: From<Error>>(
    conn: &Connection,
    table: &Table,
    each: &mut dyn FnMut(&[Value<'_>]) -> Result<(), E>,
) -> Result<u64, E> {
    let failed = |e| E::from(Error::sqlite(e, "walk"));
    let mut statement = conn.prepare(&table.select()).map_err(failed)?;
    let mut rows = statement.raw_query();
    let mut count = 0;
    while let Some(row) = rows.next().map_err(failed)? {
        let mut values = Vec::with_capacity(table.columns.len());
        for at in 0..table.columns.len() {
            values.push(value(row.get_ref(at).map_err(failed)?)?);
        }
        each(&values)?;
        count += 1;
    }
    Ok(count)
}
