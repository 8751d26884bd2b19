//! What can go wrong with a waiting message.

use sealpost_model::Fault;

/// Why it was not done. Texts hold ids and fixed words.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such message or recipient, or it is somebody else's: both look the same.
    #[error("there is no such message")]
    NotFound,
    /// The row changed since the form was shown.
    #[error("the message has changed in the meantime; look again")]
    Changed,
    /// It has ended: what was kept is destroyed.
    #[error("the message has ended; what was kept is destroyed within minutes")]
    Ended,
    /// No more codes for this recipient: what could be guessed is bounded.
    #[error("no more codes can be made for this recipient; send the message again")]
    NoCodesLeft,
    /// Longer than a waiting message may wait.
    #[error("it can't be kept so long")]
    TooLong,
    /// The sender has no mailbox here, so nobody could tell the code.
    #[error("the sender has no mailbox here to which the code could go")]
    NoSender,
    /// Stored bytes are not what was written.
    #[error("stored data was changed or damaged ({what} of {id})")]
    Corrupt {
        /// The table and column.
        what: &'static str,
        /// The row.
        id: i64,
    },
    /// Another change of the same row came first too often.
    #[error("the row is busy; try again")]
    Busy,
    /// The store's.
    #[error(transparent)]
    Store(#[from] sealpost_store::Error),
    /// The keys'.
    #[error(transparent)]
    Keys(#[from] sealpost_store::keys::Error),
    /// The key ring's.
    #[error(transparent)]
    Ring(#[from] sealpost_store::ring::Error),
    /// The log's.
    #[error(transparent)]
    Audit(#[from] sealpost_audit::Error),
    /// Delivery's: a notice or a receipt could not be made.
    #[error(transparent)]
    Delivery(#[from] sealpost_delivery::Error),
    /// A notice, a receipt or a reply was refused.
    #[error(transparent)]
    Refused(#[from] sealpost_delivery::Refused),
}

impl Error {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::NotFound | Self::Changed | Self::Ended | Self::TooLong => Fault::Caller,
            Self::NoCodesLeft | Self::NoSender => Fault::Policy,
            Self::Corrupt { .. } => Fault::Corrupt,
            Self::Busy => Fault::Temporary,
            Self::Store(e) => e.fault(),
            Self::Keys(e) => e.fault(),
            Self::Ring(e) => e.fault(),
            Self::Audit(e) => e.fault(),
            Self::Delivery(e) => e.fault(),
            Self::Refused(e) => e.fault(),
        }
    }
}

/// Why a reply did not leave.
#[derive(Debug, thiserror::Error)]
pub enum ReplyError {
    /// For a reason that the person can read.
    #[error("{0}")]
    Refused(String),
    /// Something failed here.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl From<sealpost_delivery::Refused> for ReplyError {
    fn from(refused: sealpost_delivery::Refused) -> Self {
        match refused {
            sealpost_delivery::Refused::Policy(reason) => Self::Refused(reason.words().to_owned()),
            refused => Self::Failed(refused.into()),
        }
    }
}
