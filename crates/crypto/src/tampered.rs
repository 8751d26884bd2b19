//! The one way in which opening fails.

use sealpost_model::Fault;

/// Sealed bytes are not what was sealed for this place: flipped, cut, moved from another row, of an unknown format, or
/// the key is another one. Which of these it was can't be told, and must not be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("sealed bytes are not what was sealed for this place")]
pub struct Tampered;

impl Tampered {
    /// Stored bytes that can't be trusted.
    pub const fn fault(&self) -> Fault {
        Fault::Corrupt
    }
}
