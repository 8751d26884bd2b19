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
    /// Who administers is told of sign-ins, whether they like it or not.
    #[error("whoever administers is always told of their sign-ins")]
    AlertsStay,
    /// There is no such act.
    #[error("there is no such act; see `sealpost act list`")]
    NoSuchAct,
    /// The act is over.
    #[error("this act was decided or has expired; see `sealpost act list`")]
    ActOver,
    /// Nobody was given this.
    #[error("there is no such grant; see `sealpost grant list`")]
    NoSuchGrant,
    /// A grant names nothing that may be done.
    #[error("a grant needs at least one right: read, write, send-as, send-on-behalf")]
    NoRights,
    /// The owner of a mailbox needs no grant on it.
    #[error("the mailbox is that person's own")]
    OwnMailbox,
    /// The address leads to no mailbox.
    #[error("this address does not lead to a mailbox; see `sealpost address list`")]
    NoMailbox,
    /// The address is no group.
    #[error("this address is not a group; see `sealpost group list`")]
    NoGroup,
    /// A group can't be in itself.
    #[error("a group can't be a member of itself")]
    GroupInItself,
    /// A group has room for so many.
    #[error(
        "a group has at most {0} members and {0} people who may write; put some into a group of their own"
    )]
    GroupFull(usize),
    /// The address is in use and can't be removed.
    #[error("this address is needed: {0}")]
    AddressNeeded(&'static str),
    /// There is no such machine.
    #[error("there is no such device; see `sealpost device list`")]
    NoSuchDevice,
    /// What was said about a machine or server is wrong.
    #[error("{0}")]
    Machine(&'static str),
    /// There is no such ban.
    #[error("there is no such ban; see `sealpost ban list`")]
    NoSuchBan,
    /// There is no such session.
    #[error("this person has no such session; see `sealpost session list`")]
    NoSuchSession,
    /// The list of leaked passwords can't be read.
    #[error("the list of leaked passwords can't be read, so no password can be set: {0}")]
    Leaked(String),
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
            | Self::AlertsStay
            | Self::NoSuchAct
            | Self::ActOver
            | Self::NoSuchGrant
            | Self::NoRights
            | Self::OwnMailbox
            | Self::NoMailbox
            | Self::NoGroup
            | Self::GroupInItself
            | Self::GroupFull(_)
            | Self::AddressNeeded(_)
            | Self::NoSuchDevice
            | Self::Machine(_)
            | Self::NoSuchBan
            | Self::NoSuchSession
            | Self::Name => Fault::Caller,
            Self::Busy | Self::Leaked(_) | Self::Changed => Fault::Temporary,
            Self::Tampered { .. } => Fault::Corrupt,
        }
    }
}
