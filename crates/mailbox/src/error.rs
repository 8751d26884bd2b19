//! What can go wrong with a mailbox.

use sealpost_model::Fault;
use sealpost_policy::Denied;

/// An error of the mail service. Its text may be shown to the mailbox's user.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such folder.
    #[error("there is no such folder")]
    NoFolder,
    /// There is no such message; another program may have removed it.
    #[error("the message is no longer there")]
    NoEntry,
    /// A folder of that name exists.
    #[error("a folder of that name exists already")]
    Exists,
    /// A name that no folder can have.
    #[error("a folder can't have that name: {0}")]
    Name(&'static str),
    /// INBOX and folders that hold others can't be treated so.
    #[error("that can't be done to this folder: {0}")]
    Folder(&'static str),
    /// The mailbox is full.
    #[error("the mailbox is full; delete something and empty the trash")]
    OverQuota,
    /// The message is too large.
    #[error("the message is larger than {0} bytes, the most that is taken")]
    TooLarge(u64),
    /// All keywords of the account are in use.
    #[error("this mailbox has as many keywords as it can hold")]
    Keywords,
    /// Policy says no.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The message's structure goes beyond the limits.
    #[error("the message can't be stored: {0}")]
    Message(String),
    /// Stored bytes are not what was written.
    #[error("stored data was changed or damaged ({what} of {id}); the administrator has to restore it")]
    Corrupt {
        /// The table.
        what: &'static str,
        /// The row.
        id: i64,
    },
    /// The store's.
    #[error(transparent)]
    Store(#[from] sealpost_store::Error),
    /// The audit log's: without its entry nothing is read.
    #[error(transparent)]
    Audit(#[from] sealpost_audit::Error),
    /// Keys can't be had.
    #[error("the mailbox's keys can't be used")]
    Keys,
}

impl Error {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::NoFolder | Self::NoEntry | Self::Exists | Self::Name(_) | Self::Folder(_) => Fault::Caller,
            Self::OverQuota | Self::TooLarge(_) | Self::Keywords | Self::Message(_) => Fault::Caller,
            Self::Denied(_) => Fault::Policy,
            Self::Corrupt { .. } => Fault::Corrupt,
            Self::Store(e) => e.fault(),
            Self::Audit(_) | Self::Keys => Fault::Temporary,
        }
    }
}
