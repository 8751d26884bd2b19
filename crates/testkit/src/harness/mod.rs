//! The big questions, each with its size as a parameter.
//!
//! Each returns a report for people, or fails with what it saw and the seed that repeats it.

pub mod backup;
pub mod bench;
pub mod code;
pub mod death;
pub mod flips;
pub mod kill;
pub mod markers;
pub mod mbsync;
pub mod peers;
pub mod people;
#[cfg(feature = "ground")]
pub mod store;
pub mod yesterday;
