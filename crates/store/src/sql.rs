//! One SQL text for SQLite and PostgreSQL: statements, their parameters, and the translation.
//!
//! A statement is written once, with `?1`, in a subset that SQLite 3.35 and PostgreSQL 15 both read. The few words
//! that differ in DDL are tokens:
//!
//! | token | SQLite | PostgreSQL |
//! |---|---|---|
//! | `{int}` | `INTEGER` | `BIGINT` |
//! | `{bytes}` | `BLOB` | `BYTEA` |
//! | `{text}` | `TEXT` | `TEXT COLLATE "C"`: in the order of bytes |
//! | `{strict}` | `STRICT` | |
//! | `{clustered}` | `STRICT, WITHOUT ROWID` | |
//!
//! The last two stand behind a table's closing bracket. `id {int} PRIMARY KEY` is SQLite's own row number;
//! `{clustered}` is for a table whose key is something else and whose rows are small.

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef};
use sealpost_model::*;

/// A statement with its name, made by [`sql!`](crate::sql!).
#[derive(Debug)]
pub struct Sql {
    name: &'static str,
    text: &'static str,
}

impl Sql {
    /// A statement; `name` is for messages.
    pub const fn new(name: &'static str, text: &'static str) -> Self {
        Self { name, text }
    }

    /// `sealpost_mailbox::folder::INSERT`
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The text as SQLite reads it.
    pub const fn text(&self) -> &'static str {
        self.text
    }

    /// The text as PostgreSQL reads it.
    pub fn postgres(&self) -> String {
        Dialect::Postgres.translate(self.text)
    }
}

/// Declares statements: `sql! { pub FIND = "SELECT id FROM folder WHERE account = ?1"; .. }` makes `static FIND: Sql`
/// and `const STATEMENTS: &[&Sql]`, which goes into the crate's [`Schema`](crate::Schema).
#[macro_export]
macro_rules! sql {
    ($( $(#[$meta:meta])* $vis:vis $name:ident = $text:expr ; )*) => {
        $(
            $(#[$meta])*
            #[doc = $text]
            $vis static $name: $crate::Sql =
                $crate::Sql::new(concat!(module_path!(), "::", stringify!($name)), $text);
        )*
        /// Every statement of this module.
        pub const STATEMENTS: &[&$crate::Sql] = &[ $( &$name ),* ];
    };
}

/// Parameters of a statement: `params![id, address.key(), time]`.
#[macro_export]
macro_rules! params {
    () => { &[] };
    ($($value:expr),+ $(,)?) => { &[ $( $crate::Param::value(&$value) ),+ ] };
}

/// A database's way to write what tokens stand for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// SQLite 3.35 or later.
    Sqlite,
    /// PostgreSQL 15 or later.
    Postgres,
}

impl Dialect {
    /// The common text in this dialect.
    pub fn translate(self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + 16);
        let mut quoted = false;
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if c == '\'' {
                quoted = !quoted;
            }
            if !quoted {
                if let Some((token, word)) = self.words().iter().find(|(t, _)| rest.starts_with(t)) {
                    out.push_str(word);
                    rest = &rest[token.len()..];
                    continue;
                }
                if c == '?' && self == Self::Postgres {
                    out.push('$');
                    rest = &rest[1..];
                    continue;
                }
            }
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
        out
    }

    fn words(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Sqlite => &[
                ("{int}", "INTEGER"),
                ("{bytes}", "BLOB"),
                ("{text}", "TEXT"),
                ("{strict}", "STRICT"),
                ("{clustered}", "STRICT, WITHOUT ROWID"),
            ],
            Self::Postgres => &[
                ("{int}", "BIGINT"),
                ("{bytes}", "BYTEA"),
                ("{text}", "TEXT COLLATE \"C\""),
                ("{strict}", ""),
                ("{clustered}", ""),
            ],
        }
    }
}

/// A value on its way into a statement.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    /// NULL
    Null,
    /// An integer column.
    Int(i64),
    /// A bytes column.
    Bytes(&'a [u8]),
    /// A text column.
    Text(&'a str),
}

impl std::fmt::Debug for Value<'_> {
    /// Its kind alone: values are people's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Int(_) => "[int]",
            Self::Bytes(_) => "[bytes]",
            Self::Text(_) => "[text]",
        })
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(n) => ValueRef::Integer(*n),
            Self::Bytes(b) => ValueRef::Blob(b),
            Self::Text(t) => ValueRef::Text(t.as_bytes()),
        }))
    }
}

/// What can stand in [`params!`](crate::params).
pub trait Param {
    /// As the statement takes it.
    fn value(&self) -> Value<'_>;
}

macro_rules! ints {
    ($($t:ty: |$v:ident| $int:expr),+ $(,)?) => {$(
        impl Param for $t {
            fn value(&self) -> Value<'_> {
                let $v = *self;
                Value::Int($int)
            }
        }
    )+};
}

ints! {
    i64: |v| v,
    i32: |v| v.into(),
    u32: |v| v.into(),
    u16: |v| v.into(),
    u8: |v| v.into(),
    bool: |v| v.into(),
    Time: |v| v.millis(),
    Flags: |v| v.bits(),
}

macro_rules! ids {
    ($($id:ident),+) => { ints! { $($id: |v| v.raw()),+ } };
}
sealpost_model::for_each_id!(ids);

macro_rules! bytes {
    ($($t:ty),+) => {$(
        impl Param for $t {
            fn value(&self) -> Value<'_> {
                Value::Bytes(self)
            }
        }
    )+};
}

bytes!([u8], Vec<u8>, Box<[u8]>, std::sync::Arc<[u8]>);

impl<const N: usize> Param for [u8; N] {
    fn value(&self) -> Value<'_> {
        Value::Bytes(self)
    }
}

impl Param for str {
    fn value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl Param for String {
    fn value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl<T: Param> Param for Option<T> {
    fn value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, Param::value)
    }
}

impl<T: Param + ?Sized> Param for &T {
    fn value(&self) -> Value<'_> {
        (**self).value()
    }
}

impl Param for Value<'_> {
    fn value(&self) -> Value<'_> {
        *self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_tokens_are_translated_outside_quotes_only() {
        let text = "SELECT '?1 {int}', ?1, é FROM t WHERE a = ?12";
        assert_eq!(Dialect::Postgres.translate(text), "SELECT '?1 {int}', $1, é FROM t WHERE a = $12");
        assert_eq!(Dialect::Sqlite.translate(text), text);
        let ddl = "CREATE TABLE t (a {int}, b {bytes}, PRIMARY KEY (b)) {clustered}";
        assert_eq!(
            Dialect::Sqlite.translate(ddl),
            "CREATE TABLE t (a INTEGER, b BLOB, PRIMARY KEY (b)) STRICT, WITHOUT ROWID"
        );
        assert_eq!(Dialect::Postgres.translate(ddl), "CREATE TABLE t (a BIGINT, b BYTEA, PRIMARY KEY (b)) ");
    }
}
