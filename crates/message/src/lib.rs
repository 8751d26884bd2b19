//! Mail messages as bytes: read without trust, changed without touching what isn't asked for, and composed.
//!
//! A message arrives in pieces and goes through a [`Scanner`] on its way to the store. What comes out is kept beside the
//! message: a [`Structure`] (the MIME tree with the place of each part), the [`EnvelopeFields`] and a short preview. From
//! then on a part is a range of bytes, which is [decoded](decode) when somebody looks at it, and [made safe](html) if it
//! is HTML.
//!
//! What Sealpost itself writes is composed here too, each kind in one place: [mail of people](compose), [delivery status
//! notifications](dsn), [pickup notices](notice) and [receipts](receipt). Date, Message-ID and boundary are handed in,
//! so the same call always gives the same bytes; all of it is 7bit, so no next hop lacks an extension.
//!
//! Invariants:
//! * Nothing panics, whatever the bytes are, and memory is bounded by the limits named here.
//! * The scanner's result doesn't depend on how the message was cut into pieces.
//! * No value handed to a composer can start a header or a part of its own.
//! * A [`notice::Notice`] and a DSN hold nothing that a person wrote (the organisation's and sender's names apart).
//! * Content is PHI: `Debug` of every type here shows sizes and shapes only.

pub mod address;
pub mod compose;
pub mod content;
pub mod decode;
pub mod dsn;
pub mod encode;
pub mod envelope;
mod error;
pub mod guard;
pub mod headers;
pub mod html;
pub mod names;
pub mod notice;
pub mod receipt;
pub mod scan;
pub mod structure;
pub mod tags;
pub mod text;
pub mod threads;
pub mod words;

pub use address::{EnvelopeAddress, parse_address_list};
pub use content::Encoding;
pub use envelope::EnvelopeFields;
pub use error::Error;
pub use scan::{Faults, Limits, Scanned, Scanner, scan};
pub use structure::{Display, Disposition, Embedded, Nested, Numbered, Part, Section, Span, Structure};
