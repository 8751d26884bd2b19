//! Connections to the SQLite file, all set up alike.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::tuning::Tuning;
use crate::{Error, Result};

/// How to reach the database.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pub(crate) path: PathBuf,
    pub(crate) tuning: Tuning,
    /// How many statements each connection keeps prepared.
    pub(crate) statements: usize,
}

impl Database {
    /// Makes the file for its owner only; SQLite gives its WAL the same mode.
    pub(crate) fn create(&self) -> Result<()> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.path)
            .map(|_| ())
            .map_err(|e| Error::file(&self.path, &e))
    }

    /// The one connection that writes. `pages` will hold the length of the log after each commit.
    pub(crate) fn writer(&self, pages: Arc<AtomicI64>) -> Result<Connection> {
        let mut conn = self.open(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let set_up = |conn: &mut Connection| -> rusqlite::Result<()> {
            // The page size must be set before the first table and does nothing later.
            pragma(conn, "page_size = 4096")?;
            pragma(conn, "journal_mode = WAL")?;
            pragma(conn, "synchronous = FULL")?;
            pragma(conn, "secure_delete = ON")?;
            pragma(conn, "cache_size = -32768")?;
            pragma(conn, &format!("journal_size_limit = {}", self.tuning.wal_hard * 4096))?;
            pragma(conn, "wal_autocheckpoint = 0")?;
            if let Some(limit) = self.tuning.max_pages {
                pragma(conn, &format!("max_page_count = {limit}"))?;
            }
            conn.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, length| {
                pages.store(i64::from(length), Ordering::Relaxed);
                Ok(())
            }))
        };
        set_up(&mut conn).map_err(|e| self.error(e))?;
        Ok(conn)
    }

    /// One that reads.
    pub(crate) fn reader(&self) -> Result<Connection> {
        let conn = self.open(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        pragma(&conn, "cache_size = -8192").map_err(|e| self.error(e))?;
        pragma(&conn, "query_only = ON").map_err(|e| self.error(e))?;
        Ok(conn)
    }

    /// One that writes the log back into the file.
    pub(crate) fn checkpointer(&self) -> Result<Connection> {
        let conn = self.open(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        pragma(&conn, "synchronous = FULL").map_err(|e| self.error(e))?;
        pragma(&conn, "wal_autocheckpoint = 0").map_err(|e| self.error(e))?;
        Ok(conn)
    }

    fn open(&self, mode: OpenFlags) -> Result<Connection> {
        let conn = Connection::open_with_flags(&self.path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .map_err(|e| self.error(e))?;
        let set_up = || -> rusqlite::Result<()> {
            conn.busy_timeout(Duration::from_secs(5))?;
            conn.set_prepared_statement_cache_capacity(self.statements);
            conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
            conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
            conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
            for setting in
                ["trusted_schema = OFF", "cell_size_check = ON", "temp_store = MEMORY", "foreign_keys = ON"]
            {
                pragma(&conn, setting)?;
            }
            Ok(())
        };
        set_up().map_err(|e| self.error(e))?;
        Ok(conn)
    }

    fn error(&self, error: rusqlite::Error) -> Error {
        match error.sqlite_error_code() {
            Some(
                rusqlite::ErrorCode::CannotOpen
                | rusqlite::ErrorCode::PermissionDenied
                | rusqlite::ErrorCode::ReadOnly,
            ) => Error::NotWritable { path: self.path.clone(), why: error.to_string() },
            _ => Error::sqlite(error, "open"),
        }
    }
}

/// Runs a PRAGMA and reads whatever it answers.
fn pragma(conn: &Connection, setting: &str) -> rusqlite::Result<()> {
    let mut statement = conn.prepare(&format!("PRAGMA {setting}"))?;
    let mut rows = statement.raw_query();
    while rows.next()?.is_some() {}
    Ok(())
}

/// What a checkpoint came to.
pub(crate) struct Checkpoint {
    /// Frames in the log.
    pub(crate) log: i64,
    /// Of these, how many are in the file.
    pub(crate) done: i64,
}

/// Writes the log back. `mode`: `PASSIVE` disturbs nobody, `RESTART` waits for readers so that the log begins anew.
pub(crate) fn checkpoint(conn: &Connection, mode: &str) -> Result<Option<Checkpoint>> {
    conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
        let busy: i64 = row.get(0)?;
        Ok((busy == 0).then_some(Checkpoint { log: row.get(1)?, done: row.get(2)? }))
    })
    .map_err(|e| Error::sqlite(e, "checkpoint"))
}

/// Whether a database is there.
pub(crate) fn exists(path: &Path) -> bool {
    path.metadata().is_ok_and(|m| m.len() > 0)
}
