//! What is allowed, as data and pure functions.
//!
//! Every decision is a verdict with a named [`Reason`]: the edge carries it out, the audit log stores it, the user
//! reads it in words. No match refuses. [`Access`] is the proof that a decision was taken: only [`decide`] makes one,
//! and the services below want to see it, so a forgotten check does not compile.

mod access;
pub mod decide;
mod grade;
mod plan;
mod reason;
mod role;

pub use access::Access;
pub use grade::Grade;
pub use plan::{DomainPolicy, Method, Plan, RecipientFacts};
pub use reason::{Denied, Reason};
pub use role::{Command, Right, Rights, Role, Roles};
