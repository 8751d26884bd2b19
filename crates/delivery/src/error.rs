//! What can go wrong, and how a message is refused.

use sealpost_model::Fault;
use sealpost_policy::Reason;

/// An error of delivery's ground.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store's.
    #[error(transparent)]
    Store(#[from] sealpost_store::Error),
    /// The mail service's.
    #[error(transparent)]
    Mailbox(#[from] sealpost_mailbox::Error),
    /// The archive's.
    #[error(transparent)]
    Archive(#[from] sealpost_archive::Error),
    /// The log's.
    #[error(transparent)]
    Audit(#[from] sealpost_audit::Error),
    /// The directory's.
    #[error(transparent)]
    Identity(#[from] sealpost_identity::Error),
    /// The keys'.
    #[error(transparent)]
    Keys(#[from] sealpost_store::keys::Error),
    /// The key ring's.
    #[error(transparent)]
    Ring(#[from] sealpost_store::ring::Error),
    /// Stored bytes are not what was written.
    #[error("stored data was changed or damaged ({what} of {id})")]
    Corrupt {
        /// The table.
        what: &'static str,
        /// The row.
        id: i64,
    },
}

impl Error {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Store(e) => e.fault(),
            Self::Mailbox(e) => e.fault(),
            Self::Archive(e) => e.fault(),
            Self::Corrupt { .. } => Fault::Corrupt,
            Self::Audit(_) | Self::Identity(_) | Self::Keys(_) | Self::Ring(_) => Fault::Temporary,
        }
    }
}

/// A message or a recipient that was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// For a reason that its sender can read.
    #[error("{}", .0.words())]
    Policy(Reason),
    /// Something failed here; the sender should try again.
    #[error("the server can't take the message now; try again later")]
    Failed(#[from] Error),
}

impl Refused {
    /// Whose fault it is: reply codes follow from it.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Policy(Reason::MailboxFull | Reason::DeviceRate) => Fault::Temporary,
            Self::Policy(_) => Fault::Policy,
            Self::Failed(Error::Mailbox(e @ sealpost_mailbox::Error::Message(_))) => e.fault(),
            Self::Failed(_) => Fault::Temporary,
        }
    }

    /// The named reason, if there is one.
    pub const fn reason(&self) -> Option<Reason> {
        match self {
            Self::Policy(reason) => Some(*reason),
            Self::Failed(_) => None,
        }
    }

    /// The enhanced status code without its class (RFC 3463): `7.1` of `5.7.1`.
    pub const fn detail(&self) -> &'static str {
        match self {
            Self::Policy(reason) => match reason {
                Reason::NoSuchAddress | Reason::AddressRefused => "1.1",
                Reason::MailboxFull => "2.2",
                Reason::MessageTooLarge => "3.4",
                Reason::MailLoop => "4.6",
                Reason::FromFieldInvalid
                | Reason::HeaderInvalid
                | Reason::TagInvalid
                | Reason::LinesInvalid => "6.0",
                Reason::OtherTenant => "5.3",
                _ => "7.1",
            },
            Self::Failed(_) => "3.0",
        }
    }
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        Self::Policy(reason)
    }
}

macro_rules! refused_from {
    ($($error:ty),+) => {$(
        impl From<$error> for Refused {
            fn from(error: $error) -> Self {
                Self::Failed(error.into())
            }
        }
    )+};
}

refused_from!(
    sealpost_store::Error,
    sealpost_archive::Error,
    sealpost_audit::Error,
    sealpost_identity::Error,
    sealpost_store::keys::Error
);

impl From<sealpost_mailbox::Error> for Refused {
    fn from(error: sealpost_mailbox::Error) -> Self {
        match error {
            sealpost_mailbox::Error::OverQuota => Self::Policy(Reason::MailboxFull),
            sealpost_mailbox::Error::TooLarge(_) => Self::Policy(Reason::MessageTooLarge),
            error => Self::Failed(error.into()),
        }
    }
}
