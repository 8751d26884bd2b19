//! Mail to others' servers: the courier of outbound SMTP.
//!
//! The order of things is DESIGN's: a route that an administrator wrote, or else the domain's MX set; every host of it,
//! every address of a host; STARTTLS wherever it is offered; and **the floor is reached before MAIL is said**. Only when
//! all hosts were tried is there a verdict:
//!
//! | what was met | outcome |
//! |---|---|
//! | the message was taken | `Delivered`, with the grade |
//! | each host that could be reached is below the floor | `Unfit`: pickup at once |
//! | a host at the floor lacks SIZE or 8BITMIME enough for the message | `Unfit`: pickup at once |
//! | a host at the floor says 5xx; null MX; no such domain | `Rejected`: DSN |
//! | nothing reached, 4xx, a connection that broke, a look-up that failed | `Retry` |
//!
//! Grades given here are `pinned` (a route whose certificate matches), `webpki-mx`, `tls` and `clear`. MX names come from
//! unsigned DNS, so nothing here is called `webpki`; `dane` and `mta-sts` are not looked for.

mod courier;
mod dialog;
mod letter;
mod target;
#[cfg(test)]
mod tests;
mod transfer;

pub use courier::{Settings, SmtpCourier};
pub use target::Route;
