//! What can go wrong with the log.

use sealpost_model::{Fault, TenantId};

/// Why an entry could not be written, or the log not be read. Whoever gets one does not go on with the act.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store said no.
    #[error(transparent)]
    Store(#[from] sealpost_store::Error),
    /// The keys can't be had.
    #[error(transparent)]
    Keys(#[from] sealpost_store::keys::Error),
    /// The read journal can't be written: reading stops.
    #[error("the read journal cannot be written ({0}); nothing is shown until it can")]
    Journal(String),
    /// An anchor can't be asked.
    #[error("the audit anchor {name} cannot be used: {why}")]
    Witness {
        /// Which.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// The tree of this tenant is not what was signed.
    #[error("the audit log of tenant {tenant} is damaged: {why}; run `sealpost audit verify`")]
    Damaged {
        /// Whose log.
        tenant: TenantId,
        /// What is wrong.
        why: &'static str,
    },
    /// Another node made the tree grow first. Never leaves this crate.
    #[error("another process sequenced these entries")]
    Raced,
    /// Somebody without the role asked for the log.
    #[error(transparent)]
    Denied(#[from] sealpost_policy::Denied),
    /// A thread of ours died.
    #[error("a task of the audit log ended early")]
    Bug,
}

impl Error {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Store(error) => error.fault(),
            Self::Keys(error) => error.fault(),
            Self::Journal(_) | Self::Witness { .. } | Self::Raced => Fault::Temporary,
            Self::Damaged { .. } => Fault::Corrupt,
            Self::Denied(_) => Fault::Policy,
            Self::Bug => Fault::Bug,
        }
    }
}
