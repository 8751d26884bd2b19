//! POP3 as lines and types, without a socket.

mod command;
mod stuff;

pub use command::{Command, Wrong, parse};
pub use stuff::Stuffer;

/// The longest line that is taken, its end included. RFC 2449 section 4 asks for 255; SASL responses are longer.
pub const LONGEST_LINE: usize = 4096;
