//! Who a recipient is, asked at RCPT and again at the end.

use sealpost_identity::Target;
use sealpost_model::{AccountId, Address, AddressId, TenantId};
use sealpost_policy::Reason;

use crate::{Delivery, Refused};

/// A recipient that is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rcpt {
    /// A mailbox of this server.
    Here {
        /// Its organisation.
        tenant: TenantId,
        /// The mailbox.
        account: AccountId,
    },
    /// A group: each of its members gets it.
    Group {
        /// Its organisation.
        tenant: TenantId,
        /// Which.
        group: AddressId,
    },
    /// `sent+ID@DOMAIN`: words for the server about a message that was sent.
    Command {
        /// The organisation.
        tenant: TenantId,
    },
    /// Somebody else's domain.
    Elsewhere,
}

impl Rcpt {
    /// The organisation, when it is one of ours.
    pub const fn tenant(self) -> Option<TenantId> {
        match self {
            Self::Here { tenant, .. } | Self::Group { tenant, .. } | Self::Command { tenant } => Some(tenant),
            Self::Elsewhere => None,
        }
    }
}

impl Delivery {
    /// May mail to `address` come in? `signed_in` is the organisation of a person who signed in; whoever did not may
    /// write to addresses of ours alone (S51).
    ///
    /// # Errors
    /// [`Reason::RelayDenied`], [`Reason::NoSuchAddress`], [`Reason::AddressRefused`], [`Reason::GroupClosed`],
    /// [`Reason::MailboxFull`].
    pub async fn check_recipient(
        &self,
        signed_in: Option<TenantId>,
        address: &Address,
    ) -> Result<Rcpt, Refused> {
        let rcpt = self.resolve(signed_in, address).await?;
        if let Rcpt::Here { account, .. } = rcpt
            && !self.inner.mailboxes.has_room(account, 1).await?
        {
            return Err(Reason::MailboxFull.into());
        }
        Ok(rcpt)
    }

    pub(crate) async fn resolve(
        &self,
        signed_in: Option<TenantId>,
        address: &Address,
    ) -> Result<Rcpt, Refused> {
        match self.inner.identity.resolve(address).await? {
            Target::Mailbox(target) => Ok(Rcpt::Here { tenant: target.tenant, account: target.account }),
            // A name in a header proves nothing: only who signed in counts as somebody of the organisation.
            Target::Group { tenant, anyone, .. } if !anyone && signed_in != Some(tenant) => {
                Err(Reason::GroupClosed.into())
            }
            Target::Group { tenant, group, .. } => Ok(Rcpt::Group { tenant, group }),
            Target::UnknownUser { tenant } if signed_in == Some(tenant) && is_command(address) => {
                Ok(Rcpt::Command { tenant })
            }
            Target::UnknownUser { .. } => Err(Reason::NoSuchAddress.into()),
            Target::ForeignDomain if signed_in.is_some() => Ok(Rcpt::Elsewhere),
            Target::ForeignDomain => Err(Reason::RelayDenied.into()),
            _ => Err(Reason::AddressRefused.into()),
        }
    }
}

/// `sent+ID@DOMAIN`
fn is_command(address: &Address) -> bool {
    address.local().get(..5).is_some_and(|prefix| prefix.eq_ignore_ascii_case("sent+"))
}
