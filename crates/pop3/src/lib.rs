//! POP3 (RFC 1939) for programs that fetch and go.
//!
//! [`codec`] is pure: lines to commands, messages to dot-stuffed text. A session shows the INBOX as it was at sign-in.
//! What holds here:
//!
//! - **Nothing without TLS** (S14): the port begins with it, or offers STLS and takes no name before.
//! - **Deletes happen at QUIT and only then** (RFC 1939 section 6): a lost connection deletes nothing.
//! - **No message is held whole**: RETR and TOP read and send in pieces and wait for a slow client.
//! - **A message leaves its audit entry before its first byte** (S53): the mail service does it when it is opened.
//!
//! Left out on purpose: APOP (it wants the password in the clear on the server), and the exclusive lock of the
//! maildrop: several sessions see their own snapshots, and what one deletes is an error to the other.

pub mod codec;
mod serve;
mod session;

pub use serve::{Services, serve, session};
