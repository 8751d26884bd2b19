//! The store's behaviour: the same for every engine, and what each has for itself.

mod bucket;
mod cluster;
mod data;
mod log;

#[path = "common.rs"]
mod on_postgres;
#[path = "common.rs"]
#[expect(clippy::duplicate_mod, reason = "one suite, each engine")]
mod on_sqlite;
