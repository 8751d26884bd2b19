//! Puts rows into a new database, piece by piece, so that it can go on after it was killed.

use std::path::PathBuf;

use rusqlite::{Connection, OpenFlags};

use super::tables::{quoted, steps};
use super::{Format, Table, UNFINISHED, snapshot};
use crate::connection;
use crate::lock::{Lock, make_folder};
use crate::postgres::{self, Place, Purpose, Session};
use crate::sql::Dialect;
use crate::store::{FILE, database, with_own};
use crate::tuning::Tuning;
use crate::{Engine, Error, Options, Result, Schema, Value};

/// A database that is being filled. Nobody can open it for use before [`Loader::finish`]. Use it from one thread, and
/// not from inside a runtime's task.
pub struct Loader {
    target: Target,
    _lock: Lock,
    tables: Vec<Table>,
}

enum Target {
    Sqlite(Connection),
    Postgres(Session),
}

impl Loader {
    /// Makes an empty database of these formats where there is none, or goes on with one that was not finished.
    ///
    /// # Errors
    /// [`Error::NotEmpty`] when there is a finished one; [`Error::Newer`]; the system's.
    pub fn open(options: &Options, schemas: &[&Schema], formats: &[Format]) -> Result<Self> {
        let lock = Lock::exclusive(&options.data)?;
        let schemas = with_own(schemas);
        let tables = super::tables(&schemas, formats)?;
        let target = match &options.engine {
            Engine::Sqlite => Target::sqlite(options.data.join(FILE), &schemas)?,
            Engine::File { path } => {
                path.parent().map_or(Ok(()), make_folder)?;
                Target::sqlite(path.clone(), &schemas)?
            }
            Engine::Postgres { url } => Target::postgres(&Place::parse(url)?)?,
        };
        let loader = Self { target, _lock: lock, tables };
        if !loader.target.has_meta()? {
            loader.make(&steps(&schemas, formats, loader.target.dialect())?, formats)?;
        } else if loader
            .target
            .number(&format!("SELECT format FROM meta WHERE name = '{UNFINISHED}'"))?
            .is_none()
        {
            return Err(Error::NotEmpty { data: options.data.clone() });
        }
        Ok(loader)
    }

    /// All tables, empty, in one transaction with the word that they are not finished.
    fn make(&self, steps: &[String], formats: &[Format]) -> Result<()> {
        let meta = match self.target {
            Target::Sqlite(_) => crate::schema::META,
            Target::Postgres(_) => postgres::schema::META,
        };
        let mut text = format!("BEGIN; {meta};");
        for step in steps {
            text.push_str(step);
            text.push_str(";\n");
        }
        for table in &self.tables {
            // Rows that a step puts in come with the others.
            text.push_str(&format!("DELETE FROM {};", quoted(&table.name)));
        }
        text.push_str(PROGRESS);
        for (name, format) in formats.iter().chain([&(UNFINISHED.to_owned(), 1)]) {
            // Names are words of the code.
            let name: String =
                name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect();
            text.push_str(&format!("INSERT INTO meta (name, format) VALUES ('{name}', {format});"));
        }
        text.push_str("COMMIT");
        self.target.batch(&text)
    }

    /// The tables that it fills.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// Whether a piece is in.
    ///
    /// # Errors
    /// What the database says.
    pub fn has(&self, table: &str, piece: u32) -> Result<bool> {
        let name = self.table(table)?.name.as_str();
        let found = format!("SELECT piece FROM loaded WHERE name = '{name}' AND piece = {piece}");
        Ok(self.target.number(&found)?.is_some())
    }

    fn table(&self, name: &str) -> Result<&Table> {
        let found = self.tables.iter().find(|t| t.name == name);
        found.ok_or(Error::Corrupt { what: "the list of tables", id: 0 })
    }

    /// Adds the rows of a piece, all or none, and notes that it is in.
    ///
    /// # Errors
    /// What `rows` answers; [`Error::Corrupt`] when there is no such table or a row does not fit; the database's.
    pub fn load<E: From<Error>>(
        &mut self,
        table: &str,
        piece: u32,
        rows: impl FnOnce(&mut dyn FnMut(&[Value<'_>]) -> Result<()>) -> Result<(), E>,
    ) -> Result<(), E> {
        let table = self.table(table)?;
        let fits = |row: &[Value<'_>]| {
            let right = row.len() == table.columns.len();
            if right { Ok(()) } else { Err(Error::Corrupt { what: "a row of a table", id: 0 }) }
        };
        self.target.batch("BEGIN")?;
        let insert = table.insert(self.target.dialect());
        let done = match &self.target {
            Target::Sqlite(conn) => {
                let mut insert = conn.prepare_cached(&insert).map_err(failed)?;
                rows(&mut |row| {
                    fits(row)?;
                    for (at, value) in row.iter().enumerate() {
                        insert.raw_bind_parameter(at + 1, value).map_err(failed)?;
                    }
                    insert.raw_execute().map(drop).map_err(failed)
                })
            }
            Target::Postgres(session) => {
                let insert = session.read_text(&insert)?;
                let added = rows(&mut |row| {
                    fits(row)?;
                    session.add(&insert, row);
                    Ok(())
                });
                session.settle().map_err(E::from).and(added)
            }
        };
        let noted = done.and_then(|()| {
            let name = &table.name;
            let note = format!("INSERT INTO loaded (name, piece) VALUES ('{name}', {piece}); COMMIT");
            Ok(self.target.batch(&note)?)
        });
        if noted.is_err() {
            // A connection that is gone rolls back by itself.
            let _ = self.target.batch("ROLLBACK");
        }
        noted
    }

    /// Hands out each row of a table, to be held against what should be there.
    ///
    /// # Errors
    /// What the database says, and what `each` answers.
    pub fn walk<E: From<Error>>(
        &self,
        table: &Table,
        mut each: impl FnMut(&[Value<'_>]) -> Result<(), E>,
    ) -> Result<u64, E> {
        match &self.target {
            Target::Sqlite(conn) => snapshot::walk(conn, table, &mut each),
            Target::Postgres(session) => session.walk(&table.select(), &mut each),
        }
    }

    /// Ends the filling: ids go on `jump` further, and from now on the database can be opened.
    ///
    /// # Errors
    /// What the database says.
    pub fn finish(self, jump: i64) -> Result<()> {
        let end = format!(
            "BEGIN; UPDATE id_block SET next = next + {jump} WHERE id = 1; DROP TABLE loaded;
             DELETE FROM meta WHERE name = '{UNFINISHED}'; COMMIT"
        );
        match &self.target {
            Target::Sqlite(conn) => {
                conn.execute_batch("PRAGMA synchronous = FULL").map_err(failed)?;
                self.target.batch(&end)?;
                connection::checkpoint(conn, "TRUNCATE").map(drop)
            }
            Target::Postgres(session) => {
                self.target.batch(&end)?;
                // Plans for empty tables would be kept for full ones.
                session.batch("ANALYZE", "load")
            }
        }
    }
}

/// Which pieces are in: one row a piece, in the transaction of its rows.
const PROGRESS: &str =
    "CREATE TABLE loaded (name TEXT NOT NULL, piece INTEGER NOT NULL, PRIMARY KEY (name, piece));";

impl Target {
    /// A power cut may take the newest pieces, and the note of them with them, but mixes nothing up.
    fn sqlite(path: PathBuf, schemas: &[&Schema]) -> Result<Self> {
        let database = database(path, schemas, Tuning::default());
        database.create()?;
        let open = || -> rusqlite::Result<Connection> {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let conn = Connection::open_with_flags(&database.path, flags)?;
            conn.pragma_update(None, "page_size", 4096)?;
            conn.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
            conn.pragma_update(None, "synchronous", "NORMAL")?;
            conn.pragma_update(None, "cache_size", -65_536)?;
            conn.pragma_update(None, "temp_store", "MEMORY")?;
            Ok(conn)
        };
        open().map(Self::Sqlite).map_err(failed)
    }

    fn postgres(place: &Place) -> Result<Self> {
        let session = Session::connect(place, Purpose::Write)?;
        postgres::schema::usable(&session)?;
        session.batch("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0", "load")?;
        Ok(Self::Postgres(session))
    }

    fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    fn has_meta(&self) -> Result<bool> {
        match self {
            Self::Sqlite(_) => Ok(self
                .number("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'meta'")?
                .is_some_and(|n| n > 0)),
            Self::Postgres(session) => Ok(!session.query(&postgres::schema::HAS_META, &[])?.is_empty()),
        }
    }

    fn batch(&self, text: &str) -> Result<()> {
        match self {
            Self::Sqlite(conn) => conn.execute_batch(text).map_err(failed),
            Self::Postgres(session) => session.batch(text, "load"),
        }
    }

    /// The first column of a row, if there is a row.
    fn number(&self, text: &str) -> Result<Option<i64>> {
        match self {
            Self::Sqlite(conn) => match conn.query_row(text, [], |r| r.get(0)) {
                Ok(n) => Ok(Some(n)),
                Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
                Err(e) => Err(failed(e)),
            },
            Self::Postgres(session) => session.number(text),
        }
    }
}

fn failed(error: rusqlite::Error) -> Error {
    Error::sqlite(error, "load")
}
