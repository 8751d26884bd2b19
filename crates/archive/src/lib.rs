//! The archive: what was sent and received, kept until its day, whatever happens to mailboxes.
//!
//! Each message that `delivery::accept` takes gets one row in the [`journal`], in the same transaction as its mailbox
//! entries and before it is acknowledged (S59). The row names the body, holds its key wrapped under the life key of
//! tenant and day of expiry, the sealed envelope (Bcc recipients too) with the hash of the body as it arrived (S22), and
//! a MAC over everything plain. There is no way to change or remove a row before its day (S60);
//! past it, [`expire`] ends the rows and their day's key. [`Upkeep`] keeps the bodies themselves.

mod error;
pub mod expire;
pub mod journal;
mod schema;
mod upkeep;
pub mod verify;

pub use error::Error;
pub use journal::{Archive, Direction, Envelope, JournalRow};
pub use schema::{COVERAGE, SCHEMA};
pub use upkeep::{Rules, Upkeep};
