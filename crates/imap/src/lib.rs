//! IMAP4rev1 (RFC 3501, in the reading of RFC 9051) for mail programs.
//!
//! [`codec`] is pure: bytes to commands, facts to responses. A session is thin: it signs a person in, keeps the open
//! folder as the client knows it, and asks the mail service for everything else. What holds here:
//!
//! - **Nothing without TLS** (S14): no password is taken before it, and what was sent ahead of STARTTLS ends the
//!   connection.
//! - **No message is held whole**: APPEND streams into the sealing writer, FETCH reads and sends in pieces, and both
//!   wait for a slow other side.
//! - **A message's number means the same to both sides**: EXPUNGE is never said while a FETCH, STORE or SEARCH by
//!   number is answered (RFC 9051 section 7.5.1).
//! - **A promised byte count is kept or the connection ends**: there is no way to say "error" inside a literal.
//! - **Reads leave their audit entry first** (S53): the mail service does it when a message or summary is opened.
//! - **Commands are served in order**, and their answers travel together until the client has to be waited for.
//!
//! Left out on purpose: a `\Recent` that anybody could rely on (always none), MULTIAPPEND, renaming INBOX.

pub mod codec;
mod serve;
mod session;

pub use serve::{Services, serve, session};
pub use session::CAPABILITIES;
