//! A row on its way out of a statement.

use rusqlite::types::ValueRef;
use sealpost_model::{Flags, Id, Time};

use crate::postgres::Cell;
use crate::{Error, Result, Sql};

/// The row under the cursor; columns count from 0. A column of another type than asked for is damage, since tables
/// are strict.
pub struct Row<'a> {
    row: Found<'a>,
    sql: &'a Sql,
}

enum Found<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a tokio_postgres::Row),
}

impl<'a> Row<'a> {
    pub(crate) fn sqlite(row: &'a rusqlite::Row<'a>, sql: &'a Sql) -> Self {
        Self { row: Found::Sqlite(row), sql }
    }

    pub(crate) fn postgres(row: &'a tokio_postgres::Row, sql: &'a Sql) -> Self {
        Self { row: Found::Postgres(row), sql }
    }

    fn value(&self, column: usize) -> Result<ValueRef<'a>> {
        match self.row {
            Found::Sqlite(row) => row.get_ref(column).map_err(|e| Error::sqlite(e, self.sql.name())),
            Found::Postgres(row) => match row.try_get::<_, Cell<'a>>(column) {
                Ok(Cell(value)) => Ok(value),
                Err(_) => self.wrong(),
            },
        }
    }

    fn wrong<T>(&self) -> Result<T> {
        Err(Error::Corrupt { what: self.sql.name(), id: 0 })
    }

    /// An integer.
    pub fn int(&self, column: usize) -> Result<i64> {
        match self.value(column)? {
            ValueRef::Integer(n) => Ok(n),
            _ => self.wrong(),
        }
    }

    /// An integer, or NULL.
    pub fn opt_int(&self, column: usize) -> Result<Option<i64>> {
        match self.value(column)? {
            ValueRef::Integer(n) => Ok(Some(n)),
            ValueRef::Null => Ok(None),
            _ => self.wrong(),
        }
    }

    /// An integer that fits; one that does not is damage.
    pub fn small<T: TryFrom<i64>>(&self, column: usize) -> Result<T> {
        T::try_from(self.int(column)?).or_else(|_| self.wrong())
    }

    /// 0 or 1.
    pub fn bool(&self, column: usize) -> Result<bool> {
        match self.int(column)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => self.wrong(),
        }
    }

    /// An id.
    pub fn id<T: Id>(&self, column: usize) -> Result<T> {
        self.int(column).map(T::from_raw)
    }

    /// An id, or NULL.
    pub fn opt_id<T: Id>(&self, column: usize) -> Result<Option<T>> {
        Ok(self.opt_int(column)?.map(T::from_raw))
    }

    /// A time.
    pub fn time(&self, column: usize) -> Result<Time> {
        self.int(column).map(Time::from_millis)
    }

    /// A time, or NULL.
    pub fn opt_time(&self, column: usize) -> Result<Option<Time>> {
        Ok(self.opt_int(column)?.map(Time::from_millis))
    }

    /// A message's flags.
    pub fn flags(&self, column: usize) -> Result<Flags> {
        self.int(column).map(Flags::from_bits)
    }

    /// Bytes, not copied.
    pub fn slice(&self, column: usize) -> Result<&'a [u8]> {
        match self.value(column)? {
            ValueRef::Blob(b) => Ok(b),
            _ => self.wrong(),
        }
    }

    /// Bytes.
    pub fn bytes(&self, column: usize) -> Result<Vec<u8>> {
        self.slice(column).map(<[u8]>::to_vec)
    }

    /// Bytes, or NULL.
    pub fn opt_bytes(&self, column: usize) -> Result<Option<Vec<u8>>> {
        match self.value(column)? {
            ValueRef::Blob(b) => Ok(Some(b.to_vec())),
            ValueRef::Null => Ok(None),
            _ => self.wrong(),
        }
    }

    /// Exactly `N` bytes: a MAC, a blind index.
    pub fn array<const N: usize>(&self, column: usize) -> Result<[u8; N]> {
        self.slice(column)?.try_into().or_else(|_| self.wrong())
    }

    /// Text.
    pub fn text(&self, column: usize) -> Result<String> {
        match self.value(column)? {
            ValueRef::Text(t) => String::from_utf8(t.to_vec()).or_else(|_| self.wrong()),
            _ => self.wrong(),
        }
    }

    /// Text, or NULL.
    pub fn opt_text(&self, column: usize) -> Result<Option<String>> {
        match self.value(column)? {
            ValueRef::Null => Ok(None),
            _ => self.text(column).map(Some),
        }
    }
}
