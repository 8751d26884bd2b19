//! What can go wrong, and whose fault it is.

use sealpost_model::Fault;

use crate::guard::Smuggling;
use crate::tags::TagError;

/// Errors of this crate. Texts hold nothing of the message.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// A stored structure or envelope isn't what was written.
    #[error("the stored structure of a message cannot be read")]
    Stored,
    /// Line ends that two servers may read differently.
    #[error(transparent)]
    Smuggling(#[from] Smuggling),
    /// A message tag that says nothing valid.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// A value that was handed to a composer can't stand where it should.
    #[error("{0} cannot be used in a message")]
    Compose(&'static str),
}

impl Error {
    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Stored => Fault::Corrupt,
            Self::Smuggling(_) => Fault::Peer,
            Self::Tag(_) => Fault::Caller,
            Self::Compose(_) => Fault::Bug,
        }
    }
}
