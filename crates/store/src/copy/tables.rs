//! Which tables there are, with their columns, at given formats.

use rusqlite::Connection;

use crate::sql::Dialect;
use crate::store::with_own;
use crate::{Error, Result, Schema};

/// A table whose rows can be walked and loaded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns, in the order in which rows carry them.
    pub columns: Vec<String>,
    /// The positions of the columns of its primary key, in the key's order: rows are walked in this order, which is
    /// that of numbers and of bytes.
    pub key: Vec<usize>,
}

/// How far a crate's tables are: its word, and how many steps were run.
pub type Format = (String, i64);

/// The tables that these formats make, in the order in which the steps make them. A schema that is not listed has no
/// tables yet.
///
/// # Errors
/// [`Error::Newer`] when a format is beyond what this program knows.
pub fn tables(schemas: &[&Schema], formats: &[Format]) -> Result<Vec<Table>> {
    let schemas = &with_own(schemas);
    let conn = Connection::open_in_memory().map_err(|e| Error::sqlite(e, "tables"))?;
    for ddl in steps(schemas, formats, Dialect::Sqlite)? {
        conn.execute_batch(&ddl).map_err(|e| Error::sqlite(e, "tables"))?;
    }
    read(&conn).map_err(|e| Error::sqlite(e, "tables"))
}

/// The steps that lead to these formats, as `dialect` reads them.
pub(super) fn steps(schemas: &[&Schema], formats: &[Format], dialect: Dialect) -> Result<Vec<String>> {
    let mut out = Vec::new();
    for (name, format) in formats {
        let schema = schemas.iter().find(|s| s.name == name);
        let known = schema.map_or(0, |s| s.format());
        let newer = || Error::Newer { schema: name.clone(), found: *format, known };
        let steps = schema.map_or(&[][..], |s| s.steps);
        let run = usize::try_from(*format).ok().and_then(|n| steps.get(..n)).ok_or_else(newer)?;
        out.extend(run.iter().map(|step| dialect.translate(step)));
    }
    Ok(out)
}

fn read(conn: &Connection) -> rusqlite::Result<Vec<Table>> {
    let mut names = conn.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid",
    )?;
    let names = names.query_map([], |r| r.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    names
        .into_iter()
        .map(|name| {
            let mut info = conn.prepare("SELECT name, pk FROM pragma_table_info(?1) ORDER BY cid")?;
            let columns: Vec<(String, i64)> =
                info.query_map([&name], |r| Ok((r.get(0)?, r.get(1)?)))?.collect::<Result<_, _>>()?;
            let mut key: Vec<usize> = (0..columns.len()).filter(|at| columns[*at].1 > 0).collect();
            key.sort_by_key(|at| columns[*at].1);
            Ok(Table { name, columns: columns.into_iter().map(|c| c.0).collect(), key })
        })
        .collect()
}

impl Table {
    /// The statement that walks it in the order of its key.
    pub(super) fn select(&self) -> String {
        let key: Vec<String> = self.key.iter().map(|at| quoted(&self.columns[*at])).collect();
        format!("SELECT {} FROM {} ORDER BY {}", self.list(), quoted(&self.name), key.join(", "))
    }

    /// The statement that adds a row.
    pub(super) fn insert(&self, dialect: Dialect) -> String {
        let places: Vec<String> = (1..=self.columns.len()).map(|n| format!("?{n}")).collect();
        let text =
            format!("INSERT INTO {} ({}) VALUES ({})", quoted(&self.name), self.list(), places.join(", "));
        dialect.translate(&text)
    }

    fn list(&self) -> String {
        self.columns.iter().map(|c| quoted(c)).collect::<Vec<_>>().join(", ")
    }
}

/// Names are written in the code; quoted, since one may be a word of SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}
