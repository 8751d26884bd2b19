//! What can go wrong with the directory.

use sealpost_model::Fault;

use crate::PasswordError;

/// Why the directory did not do it. Texts hold ids, never names or addresses.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store said no.
    #[error(transparent)]
    Store(#[from] sealpost_store::Error),
    /// The keys can't be had.
    #[error(transparent)]
    Keys(#[from] sealpost_store::keys::Error),
    /// The log said no: without an entry nothing happens.
    #[error(transparent)]
    Audit(#[from] sealpost_audit::Error),
    /// A policy said no.
    #[error(transparent)]
    Denied(#[from] sealpost_policy::Denied),
    /// The password does not do (S40).
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// There is no such organisation.
    #[error("there is no such organisation")]
    NoSuchTenant,
    /// There is such a domain already.
    #[error("this domain exists already")]
    DomainExists,
    /// There is such an address already.
    #[error("this address exists already")]
    AddressExists,
    /// The address belongs to a domain that this organisation does not have.
    #[error(
        "the domain of this address does not belong to the organisation; add it with `sealpost domain add` first"
    )]
    NoSuchDomain,
    /// There is no such address here.
    #[error("there is no such address here")]
    NoSuchAddress,
    /// There is no such person.
    #[error("there is no such person")]
    NoSuchPerson,
    /// An alias leads to a mailbox, not to another alias.
    #[error("an alias must lead to the address of a mailbox of the same organisation")]
    AliasTarget,
    /// A name is empty or too long.
    #[error("a name has 1 to 200 characters, none of them a control character")]
    Name,
    /// Somebody else changed the same row at the same time.
    #[error("somebody else changed this at the same time; look again and repeat it")]
    Changed,
    /// Too many logins wait to be checked.
    #[error("too many logins wait to be checked; try again in a moment")]
    Busy,
    /// A row that carries security is not what was written.
    #[error("{table} {id} is not what was written; run `sealpost audit verify`")]
    Tampered {
        /// The table.
        table: &'static str,
        /// The row.
        id: i64,
    },
}

impl Error {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Store(error) => error.fault(),
            Self::Keys(error) => error.fault(),
            Self::Audit(error) => error.fault(),
            Self::Denied(_) => Fault::Policy,
            Self::Password(_)
            | Self::NoSuchTenant
            | Self::DomainExists
            | Self::AddressExists
            | Self::NoSuchDomain
            | Self::NoSuchAddress
            | Self::NoSuchPerson
            | Self::AliasTarget
            | Self::Name => Fault::Caller,
            Self::Busy | Self::Changed => Fault::Temporary,
            Self::Tampered { .. } => Fault::Corrupt,
        }
    }
}
