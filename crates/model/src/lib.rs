//! The words that every floor of Sealpost shares: ids, times, addresses, actors, faults.
//!
//! Nothing here does I/O, and nothing here decides. A value that exists is valid: an [`Address`] was parsed,
//! a [`Domain`] is lower-case ASCII, a [`Time`] is UTC. Whatever is secret is wrapped in a [`Secret`], whose
//! `Debug` never shows it.

mod actor;
mod address;
mod fault;
mod flags;
mod ids;
mod meter;
mod network;
mod secret;
mod time;

pub use actor::{Actor, Client, Protocol, TlsFacts, TlsVersion};
pub use address::{Address, AddressError, Domain, ReversePath};
pub use fault::Fault;
pub use flags::Flags;
pub use ids::*;
pub use meter::{Counter, Timing};
pub use network::{Network, NetworkError};
pub use secret::Secret;
pub use time::{Clock, ManualClock, SharedClock, SystemClock, Time};
