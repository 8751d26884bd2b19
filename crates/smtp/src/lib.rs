//! SMTP: mail from outside (port 25), from our own people (587 and 465), and to others' servers.
//!
//! The protocol is RFC 5321 with RFC 3207 (STARTTLS), RFC 4954 (AUTH), RFC 1870 (SIZE), RFC 2920 (PIPELINING), RFC 6152
//! (8BITMIME) and RFC 2034 (enhanced status codes); submission is RFC 6409 and RFC 8314. SMTPUTF8, CHUNKING, DSN and
//! REQUIRETLS are not offered.
//!
//! - [`codec`] is pure: lines, commands, replies, and the body's dot-stuffing. Nothing in it waits, and what it says does
//!   not depend on how the bytes arrived.
//! - [`session`] is one connection to us, one method a verb. It decides nothing about mail: it asks a
//!   [`session::Backend`] (in the server, `delivery` and `identity`) and says the verdict in SMTP.
//! - [`client`] carries mail to others' servers: the [`Courier`](sealpost_delivery::Courier) of outbound SMTP.
//!
//! What holds here:
//!
//! - **A line ends in CRLF.** A bare CR or LF is never a line end and never passed on; the body ends at
//!   `CRLF . CRLF` only. So no two servers can disagree where a message ends ("SMTP smuggling").
//! - **250 means kept.** The reply to the final dot is written after `accept` returned, never before.
//! - **No credentials without TLS** (S14, S51): AUTH is neither offered nor read before the handshake, and STARTTLS
//!   forgets all that was said before it.
//! - **Port 25 relays nothing** (S51).
//! - **Nothing leaves below its floor** (S17): the client reaches the floor before it says MAIL.

pub mod client;
pub mod codec;
pub mod session;

pub use client::SmtpCourier;
pub use session::{Config, Kind, serve};
