//! The audit log: append-only, sealed, and provable (45 CFR 164.312(b), S52, S53, S60).
//!
//! **No entry, no operation.** There are three ways to write one, by what the act changes:
//!
//! - *Acts in the database* carry their entry in their own transaction: [`Audit::draft`], [`Audit::seal`] before the
//!   closure, [`insert`] inside it. One `INSERT` an entry and nothing else happens on that path. If the act is refused or
//!   fails for good, the edge commits [`Audit::refusal`] before it answers.
//! - *Acts with an outer effect* (a courier's attempt, a key's destruction) are opened in a commit of their own,
//!   [`Audit::open`], and completed after, [`Open::complete`]. What a crash left open becomes `unknown` at start.
//! - *Reads* go to the node's ordered read journal, [`Audit::read`]: the kernel has the entry before the first byte of
//!   content leaves; it is fsynced in groups within 50 ms and ingested into the table in order. A killed process loses
//!   none, a power cut at most the last 50 ms. If the journal can't be written, reading stops.
//!
//! A **sequencer** ([`Audit::run`]) puts committed entries into one RFC 6962 Merkle tree a tenant, at most a second
//! late, and signs C2SP checkpoints. Entries of acts that belong to no tenant (a stranger's failed login, the operator's
//! commands) are in the log of [`instance`].
//!
//! **A leaf** is the hash of the plain facts, of the ciphertext of the detail and of a salted commitment to it. So a
//! proof discloses nothing that could be guessed, and the tree can be recomputed when the keys are dead.
//!
//! Invariants: an entry's row is written once and only its `position` is set later, once; a checkpoint is signed in
//! the transaction that makes the tree grow, by compare-and-swap on the tree's size; the anchor file is written after
//! that commit and never goes backwards.

mod anchor;
mod checkpoint;
mod detail;
mod draft;
mod entry;
mod error;
pub mod export;
mod heartbeat;
mod ingest;
mod journal;
mod leaf;
mod list;
mod object;
pub mod offline;
mod open;
mod proof;
mod report;
mod restored;
mod restored_line;
mod schema;
mod sequence;
mod service;
mod spine;
mod tree;
mod verb;
mod verify;
mod versions;
mod words;

#[cfg(test)]
mod tests;

pub use anchor::{AnchorStatus, Answer, FileWitness, Witness, anchor_statuses};
pub use detail::ClientFacts;
pub use draft::{Caller, Draft};
pub use entry::{Entry, insert};
pub use error::Error;
pub use list::{Class, Filter, Page, Record};
pub use object::{Object, ObjectKind};
pub use open::{Completion, Open, insert_completion, insert_open};
pub use proof::{Consistency, Proof, Unproved};
pub use report::{
    AnchorReport, AnchorState, Coverage, Finding, LostPart, Report, Silence, Standing, TenantReport,
};
pub use restored::{Gap, Restored};
pub use schema::{COVERAGE, SCHEMA};
pub use service::{Audit, HEARTBEAT, Options};
pub use verb::{Outcome, Verb};
pub use verify::{AnchorText, Cited, Verify, anchor_text, verify};
pub use versions::versions;

use sealpost_model::TenantId;

/// The log of acts that belong to no tenant: logins under unknown domains, the operator's commands, the server's own
/// start. Its keys are a tenant's keys like any other's.
pub fn instance() -> TenantId {
    <TenantId as sealpost_model::Id>::from_raw(0)
}

/// The fingerprint of a log's key, as signed-note writes the key: SHA-256 of the public key, hex. `None` if it is not one.
pub fn fingerprint(verifier: &str) -> Option<String> {
    let public = checkpoint::parse_verifier(verifier)?;
    Some(sealpost_crypto::sha256(&public).iter().map(|b| format!("{b:02x}")).collect())
}
