//! An export: a part of one log in one file, which proves itself without us.
//!
//! JSON lines, UTF-8, each ended by LF:
//!
//! 1. The **header**: whose log, from which position to which, the signed checkpoint (C2SP `tlog-checkpoint`), the key
//!    that verifies it, the subtree hashes left and right of the part, and each checkpoint that an anchor knows with its
//!    consistency path.
//! 2. An **entry** a line, in the order of the log: plain facts, sealed detail, commitment, the leaf's hash (all that the
//!    leaf is made of), the same in words, and, if it was asked for by somebody who may see it, the opened detail.
//! 3. The **end**: how many entries, the SHA-256 of all bytes before this line, and a signed note over both.
//!
//! Left hashes, leaves and right hashes give the signed root, so that nothing is missing, added, moved or changed. A leaf that
//! is not the hash of its own line names that line. The end is signed, so that a byte that proves nothing (a word, a blank)
//! can't be changed either. Ids are strings: they don't fit into the numbers of all readers.
//!
//! [`verify`] needs no store and no keys; [`page`] does the same in a browser.

mod check;
mod lines;
mod page;
mod write;

pub use check::{ExportFinding, ExportReport, verify};
pub(crate) use lines::*;
pub use page::page;
pub use write::{Export, Part};
