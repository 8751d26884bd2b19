//! All rows of all tables as they are, sealed and without meaning: what backups, restores and moves between databases
//! are made of.
//!
//! A [`Snapshot`] is one consistent view, read beside whoever writes. A [`Loader`] makes a database of given formats and
//! puts rows into it, piece by piece; until it has finished, nobody can open that database for use. Rows go through
//! [`Value`]s, so what was read from one engine can be written to the other.

mod loader;
mod snapshot;
mod tables;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use loader::Loader;
pub use snapshot::Snapshot;
pub(crate) use snapshot::Source;
pub use tables::{Format, Table, tables};

use rusqlite::types::ValueRef;

use crate::blob::pack;
use crate::{Error, Result, Value};

/// The row of `meta` that says that a [`Loader`] has not finished.
pub(crate) const UNFINISHED: &str = "unfinished";

/// Where a data folder keeps the pack with this number.
pub fn pack_file(data: &Path, pack: i64) -> PathBuf {
    pack::path(&packs(data), pack)
}

/// The folder of packs in a data folder.
pub fn packs(data: &Path) -> PathBuf {
    data.join("packs")
}

/// A cell as statements take it.
pub(crate) fn value(cell: ValueRef<'_>) -> Result<Value<'_>> {
    Ok(match cell {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(n) => Value::Int(n),
        ValueRef::Blob(b) => Value::Bytes(b),
        ValueRef::Text(t) => Value::Text(
            std::str::from_utf8(t).map_err(|_| Error::Corrupt { what: "a text column of a table", id: 0 })?,
        ),
        ValueRef::Real(_) => return Err(Error::Corrupt { what: "a column of a table", id: 0 }),
    })
}
