//! Tables: each crate declares its own as numbered steps, and the store brings a database up to date.

use rusqlite::Connection;

use crate::sql::Dialect;
use crate::{Error, Result, Sql, sql};

/// A crate's tables and statements.
///
/// Steps are numbered from 1 by their place and never change once released: a later version appends. Nodes of version
/// N-1 and N may run together, so a step first expands, and a later one contracts. No foreign key crosses crates.
#[derive(Debug)]
pub struct Schema {
    /// The crate's word: `mailbox`.
    pub name: &'static str,
    /// DDL in the common dialect (see [`mod@crate::sql`]), one or more statements a step.
    pub steps: &'static [&'static str],
    /// Every statement that the crate runs; each is prepared when the store opens.
    pub statements: &'static [&'static Sql],
    /// One for each of the crate's tables that names bodies: `SELECT 1 FROM t WHERE blob = ?1 LIMIT 1` says whether a row
    /// still does. A body that none of them knows is collected, so a table that is missing here loses mail. They stand
    /// among `statements` too, and have an index each.
    pub blobs: &'static [&'static Sql],
}

impl Schema {
    /// The format that this program knows.
    pub fn format(&self) -> i64 {
        i64::try_from(self.steps.len()).unwrap_or(i64::MAX)
    }
}

/// The store's own tables.
pub const STORE: Schema = Schema { name: "store", steps: &[STEP_1], statements: STATEMENTS, blobs: &[] };

/// `id_block`: one row, the first id that no process has leased.
const STEP_1: &str = "
CREATE TABLE id_block (
    id {int} PRIMARY KEY,
    next {int} NOT NULL
) {strict};
INSERT INTO id_block (id, next) VALUES (1, 1024);
";

sql! {
    pub(crate) NEXT_BLOCK = "SELECT next FROM id_block WHERE id = 1";
    pub(crate) LEASE_BLOCK = "UPDATE id_block SET next = ?1 WHERE id = 1";
    /// Several nodes: what it answers less a block is the block's first.
    pub(crate) SHARE_BLOCK = "UPDATE id_block SET next = next + ?1 WHERE id = 1 RETURNING next";
}

pub(crate) const META: &str =
    "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, format INTEGER NOT NULL) STRICT, WITHOUT ROWID";

/// Compares the formats in the database with those of this program, and changes nothing.
pub(crate) fn check(conn: &Connection, schemas: &[&Schema]) -> Result<Vec<i64>> {
    compare(&formats(conn)?, schemas)
}

/// The format that each schema has in the database, 0 when it is not there.
pub(crate) fn compare(found: &[(String, i64)], schemas: &[&Schema]) -> Result<Vec<i64>> {
    if found.iter().any(|(name, _)| name == crate::copy::UNFINISHED) {
        return Err(Error::Unfinished);
    }
    schemas
        .iter()
        .map(|schema| {
            let format = found.iter().find(|(name, _)| name == schema.name).map_or(0, |(_, format)| *format);
            if format > schema.format() {
                return Err(Error::Newer {
                    schema: schema.name.to_owned(),
                    found: format,
                    known: schema.format(),
                });
            }
            Ok(format)
        })
        .collect()
}

fn formats(conn: &Connection) -> Result<Vec<(String, i64)>> {
    let read = || -> rusqlite::Result<Vec<_>> {
        let known: i64 = conn.query_row(
            "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'meta'",
            [],
            |row| row.get(0),
        )?;
        if known == 0 {
            return Ok(Vec::new());
        }
        let mut statement = conn.prepare("SELECT name, format FROM meta")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect()
    };
    read().map_err(|e| Error::sqlite(e, "meta"))
}

/// Runs the steps that the database lacks, each in a transaction of its own together with its number.
pub(crate) fn migrate(conn: &Connection, schemas: &[&Schema]) -> Result<()> {
    let found = check(conn, schemas)?;
    conn.execute_batch(META).map_err(|e| Error::sqlite(e, "meta"))?;
    for (schema, found) in schemas.iter().zip(found) {
        for (step, format) in schema.steps.iter().zip(1..) {
            if format > found {
                run_step(conn, schema, step, format)?;
            }
        }
    }
    Ok(())
}

fn run_step(conn: &Connection, schema: &Schema, step: &str, format: i64) -> Result<()> {
    let run = || -> rusqlite::Result<()> {
        conn.execute_batch("BEGIN IMMEDIATE")?;
        conn.execute_batch(&Dialect::Sqlite.translate(step))?;
        conn.execute(
            "INSERT INTO meta (name, format) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET format = excluded.format",
            (schema.name, format),
        )?;
        conn.execute_batch("COMMIT")
    };
    run().map_err(|e| {
        // It is gone anyway when the connection closes, which follows.
        let _ = conn.execute_batch("ROLLBACK");
        Error::sqlite(e, schema.name)
    })
}

/// Prepares every statement, so that a wrong one stops the start and not a delivery at night.
pub(crate) fn prepare(conn: &Connection, schemas: &[&Schema]) -> Result<()> {
    for sql in schemas.iter().flat_map(|schema| schema.statements) {
        conn.prepare_cached(sql.text()).map_err(|e| Error::sqlite(e, sql.name()))?;
    }
    Ok(())
}
