//! People, their addresses and credentials; a login becomes an `Actor` here and nowhere else.
//!
//! **The directory.** An *address* resolves to one [`Target`]: a mailbox, an alias, a group, a relay, a fax number or a
//! refusal; the stored format has room for relays and fax numbers, which this version does not make. A *person* is not
//! a mailbox: the address says which account it leads to and whose it is, *grants* say who else may use it. Ids never
//! change with names.
//!
//! **Two people** (`pending`). Setting another person's credential, opening another's mailbox, giving a role that reads
//! evidence: in an organisation that holds health information these wait for a second person.
//!
//! **Notices** (`outbox`) about credentials, rights and sign-ins are rows of the transaction that they are about.
//!
//! **Credentials** (S36, S40). A person's password is hashed with argon2id; without a second factor it works on every
//! protocol. Mail programs use app passwords: random, 128 bit, named after a device, good for IMAP, POP3 and
//! submission, never for the web. [`Identity::authenticate`] does the same work for a name that nobody has, and says
//! the same. Every try is an audit entry (S52).
//!
//! **Machines** (`device`) that send mail, and servers that are trusted (`connector`), are actors of their own, and never
//! somebody's login (S36).
//!
//! **Throttling** (S50) stands before the hash. Failures count for a network (/24, /64), for a login there and for a login
//! anywhere, over all protocols and nodes; a network that goes on is banned. Where a person has signed in before they
//! have a budget of their own, so that nothing that strangers do locks them out; app passwords are never counted.
//!
//! **Sessions** of the web are tokens that the server keeps as keyed hashes; they end after 20 minutes without use by the
//! server's clock, and after 12 hours in any case (S46).
//!
//! Names and addresses are sealed; look-ups go through blind indexes. Rows that carry security (roles, targets,
//! sessions) have a MAC over their plain columns and a version: a changed row is an error, not another right.
//!
//! Invariants: what a method here changes is in the log in the same transaction; after a commit the directory's cache
//! forgets everything ([`Identity::changed`]); a password or token is never in an error, a log or a `Debug`.

mod access;
mod address;
mod app_password;
mod authenticate;
mod ban;
mod cache;
mod change;
mod connector;
mod credential;
mod device;
mod directory;
mod domain;
mod error;
mod grant;
mod group;
mod hashing;
mod leaked;
mod outbox;
mod password;
mod pending;
mod person;
mod place;
mod restore;
mod review;
pub mod sasl;
mod schema;
mod service;
mod session;
mod setup;
mod tenant;
mod throttle;
mod verify;

#[cfg(test)]
mod tests;

pub use address::{AddressSummary, MailboxTarget, SharedRow, Target, TargetKind, insert_shared};
pub use app_password::AppPassword;
pub use authenticate::{Attempt, AuthError, Login, Method};
pub use ban::BanSummary;
pub(crate) use change::Change;
pub use connector::{ConnectorProof, ConnectorSummary, Shown};
pub use credential::Reset;
pub use device::{DeviceLogin, DeviceSummary, NewDevice};
pub use domain::{DomainFacts, DomainKind};
pub use error::Error;
pub use grant::{GrantSummary, Granted, SendAs};
pub use group::{GroupEdit, GroupSummary, Unfolded};
pub use leaked::check_leaked;
pub use outbox::{Alert, AlertKind};
pub use password::{Names, PasswordError, PasswordProfile};
pub use pending::{ActKind, ActState, Approved, PATIENCE, PendingAct, Proposal};
pub use person::{NewPerson, PersonRow, PersonSummary, insert_person};
pub use review::ReviewLine;
pub use schema::{COVERAGE, SCHEMA};
pub use service::{Identity, Options};
pub use session::{Session, Touch};
pub use setup::{LINK_LIFE, Official, SetupLink, may_stand, officials};
pub use tenant::Rules;
pub use throttle::Limits;
pub use verify::{Damage, verify};
