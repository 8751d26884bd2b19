//! The store on PostgreSQL 15 or later, which several nodes may share.
//!
//! | thread | does |
//! |---|---|
//! | `store-write` | some of them; closures of one scope always come to the same, which commits many at once |
//! | `store-read` | reads, each over a connection of its own |
//! | `store-feed` | hears of other nodes' commits, tells them of ours, leases ids |
//!
//! # How it keeps what SQLite's one writer gives by itself
//!
//! - Writes are READ COMMITTED. What a scope names (accounts, a tenant, the instance) is locked first, in order, by
//!   advisory locks of the transaction: they cost no row and no log. So closures of one scope run one after the other
//!   on all nodes; other invariants rest on UNIQUE and conditional updates.
//! - A closure that meets a neighbour's row (a UNIQUE, a deadlock) runs again, as closures may, and then sees it.
//! - A group runs without savepoints. When one of its closures refuses after it wrote, or fails, the group is rolled
//!   back and its closures run singly.
//! - Statements that nobody waits for ([`Tx::apply`](crate::Tx::apply)), BEGIN and the locks travel with the next one,
//!   and the last of them with COMMIT.

mod cells;
mod cluster;
mod connect;
mod copy;
mod errors;
mod ids;
mod readers;
pub(crate) mod schema;
mod session;
mod writers;

pub(crate) use cells::Cell;
pub(crate) use cluster::{Cluster, Poke};
pub(crate) use connect::Place;
pub(crate) use ids::Blocks;
pub(crate) use readers::serve as serve_reads;
pub(crate) use schema::{CLUSTER, check, is_taken, migrate, prepare};
pub(crate) use session::{Purpose, Session};
pub(crate) use writers::Worker;
