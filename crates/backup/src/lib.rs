//! Backups: sets that are made while the server runs, brought back, proved, and destroyed in time (S70 to S75).
//!
//! A **set** is everything of one moment: all rows, all sealed bodies, the read journal, the configuration. What it
//! does not hold is what opens it: neither the key ring nor the master key is ever in it. It lies at a **place**, a folder
//! of another disk or machine, as a sealed manifest and sealed **segments** that sets share, so that a daily set costs
//! what is new.
//!
//! Each set has a life key of the ring. Past its time (two days, four weeks) that key is destroyed, then its files are
//! deleted, then the log says so: a copy that somebody kept opens with nothing that still exists (S73).
//!
//! Rows go through the generic walk of [`sealpost_store::copy`] and not as a copy of a database file: one format for both
//! engines, from which one person's mail can be taken too, and which pieces are shared between sets.
//! `rustic_core` was looked at and not taken: a restic repository has one key for all its life, so a set could not die;
//! it walks folders; and it would bring 79 packages that are not here yet.
//!
//! Invariants: a set is there when its manifest is, which is written last; a key dies before its files; no key is ever
//! destroyed on the word of a file at a place; nothing is restored over data.

mod error;
mod inspect;
mod make;
pub mod place;
mod progress;
pub mod proof;
pub mod restore;
mod rows;
mod schedule;
mod schema;
mod service;
pub mod set;

#[cfg(test)]
mod tests;

pub use error::Error;
pub use inspect::inspect;
pub use place::Place;
pub use progress::{Progress, Watcher};
pub use schedule::Schedule;
pub use schema::{COVERAGE, SCHEMA, SetRow};
pub use service::{Backup, Ground, LIFE, Options, Standing, open_with, sets, sets_at, summary};
pub use set::{Header, Kind, Manifest};
