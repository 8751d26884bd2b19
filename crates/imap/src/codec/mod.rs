//! IMAP as bytes and types, without a socket: what the session believes about the wire.
//!
//! [`Framer`] finds where a command ends (lines and literals) and never holds a message; [`parse`] turns a framed
//! command into [`Command`], which cannot be wrong; [`Writer`] prints responses. The parser is our own: the message
//! literal of APPEND is streamed past it, limits differ before and after login, and an error names its position,
//! so that a person at a terminal can mend the line.

pub mod command;
mod cursor;
pub mod date;
mod frame;
mod parse;
mod print;
pub mod sequence;
pub mod structure;
pub mod utf7;
mod write;

pub use command::{Command, Tag, Verb};
pub use cursor::Syntax;
pub use frame::{Body, Frame, Framer, Limits, LineFault, Refusal};
pub(crate) use parse::tag_of;
pub use parse::{Why, Wrong, append, command as parse, stranger as parse_stranger};
pub(crate) use print::body_name;
pub use print::print;
pub use sequence::{SequenceSet, Star};
pub use write::Writer;
