//! The store: rows in SQLite or PostgreSQL, sealed bodies in packs, life keys in the ring.
//!
//! A unit of work is a synchronous closure over a transaction: `store.write(scope, |tx| ..)` changes rows,
//! `store.read(|tx| ..)` looks at one snapshot. So services compose: whoever takes a `&mut Tx` takes part in one
//! commit. What the closure needs of the world (time, chance, ids, sealed bytes, durable blobs) is made before it,
//! since it may run again.
//!
//! | thread | does |
//! |---|---|
//! | `store-write` | the one writer: commits many closures at once ([`Store::write`]) |
//! | `store-read` | reads, each over a connection of its own ([`Store::read`]) |
//! | `store-log` | writes the write-ahead log back while commits go on |
//! | `store-pack` | appends sealed chunks to packs, and syncs many blobs at once ([`Blobs::put`]) |
//! | `store-blob` | reads and opens blobs ([`Blobs::read`]) |
//!
//! # What holds
//!
//! - An answer, a refusal too, means that the commit is on the disk. After an error of the disk nothing was
//!   acknowledged; what had not been acknowledged may or may not be found.
//! - Commit, then broadcast: whoever hears of a change through the [`Feed`] finds it.
//! - A row can name a blob only through a [`Durable`], so never one that a crash may lose.
//! - Ids are never used twice, whatever crashed.
//! - Nothing in a pack is ever overwritten or cut; a pack newer than the database stops the start.
//! - One process works on a data folder.

pub mod blob;
mod connection;
pub mod copy;
mod error;
mod feed;
mod ids;
pub mod inspect;
mod job;
pub mod keys;
mod lease;
mod lock;
mod postgres;
mod queue;
mod readers;
pub mod reserve;
pub mod ring;
mod row;
mod schema;
mod scope;
pub mod sql;
mod store;
mod tuning;
mod tx;
mod wal;
mod writer;

#[cfg(test)]
mod suite;

pub use blob::{BlobReader, BlobRef, BlobRow, BlobWriter, Blobs, Durable, Pending};
pub use error::{Error, Result};
pub use feed::{Feed, Topic, Watch};
pub use inspect::Inspection;
pub use keys::{InstanceKeys, Keys, Master, Root, TenantKeys};
pub use lease::{Lease, Turn};
pub use ring::Ring;
pub use row::Row;
pub use schema::Schema;
pub use scope::Scope;
pub use sql::{Param, Sql, Value};
pub use store::{Bodies, Engine, Meters, Options, Store};
pub use tx::{ReadTx, Tx};

/// The tables of this crate; [`Store::open`] adds them by itself.
pub const SCHEMAS: &[&Schema] = &[&schema::STORE, &blob::SCHEMA, &keys::SCHEMA];
