//! What can go wrong in the archive.

use sealpost_model::Fault;

/// An error of the archive.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store's.
    #[error(transparent)]
    Store(#[from] sealpost_store::Error),
    /// Keys could not be had.
    #[error("the archive's keys can't be used: {0}")]
    Keys(String),
    /// The log could not be written, so nothing was done.
    #[error("the log could not be written: {0}")]
    Log(String),
    /// Stored bytes are not what was written.
    #[error("the journal's row {id} is not what was written: {what}")]
    Corrupt {
        /// The row.
        id: i64,
        /// Which part.
        what: &'static str,
    },
}

impl Error {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Store(e) => e.fault(),
            Self::Keys(_) | Self::Log(_) => Fault::Temporary,
            Self::Corrupt { .. } => Fault::Corrupt,
        }
    }
}
