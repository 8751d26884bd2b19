//! What every message becomes, whichever door it comes through.

use sealpost_audit::Caller;
use sealpost_model::{Address, DeviceId, JournalId, PersonId, ReversePath, SubmissionId, TenantId};

use crate::Incoming;

/// The door.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// From outside, on port 25: for people of this tenant.
    Inbound {
        /// The recipients' organisation.
        tenant: TenantId,
    },
    /// From a person of ours, by a program or a page.
    Submission {
        /// Their organisation.
        tenant: TenantId,
        /// Who signed in.
        person: PersonId,
    },
    /// From a machine of ours: a scanner, an EHR system.
    Device {
        /// Its organisation.
        tenant: TenantId,
        /// Which.
        device: DeviceId,
    },
    /// From a recipient who read a message in the portal and answers it.
    Portal {
        /// The organisation whose message it was.
        tenant: TenantId,
    },
    /// From the server itself: a bounce, a notice, a receipt.
    System {
        /// The organisation on whose behalf.
        tenant: TenantId,
    },
}

impl Origin {
    /// The organisation that answers for the message: its keys, its journal, its policy.
    pub const fn tenant(self) -> TenantId {
        match self {
            Self::Inbound { tenant }
            | Self::Submission { tenant, .. }
            | Self::Device { tenant, .. }
            | Self::Portal { tenant }
            | Self::System { tenant } => tenant,
        }
    }
}

/// What a message is: it decides what may happen to it on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// Somebody's words.
    Message = 1,
    /// "Something waits for you": a template without anything that a person wrote. It may go where a message must not.
    Notice = 2,
    /// A delivery status notification without content (RFC 3464).
    Dsn = 3,
    /// What became of a message, for its sender's mailbox alone; may hold codes.
    Receipt = 4,
}

impl Kind {
    pub(crate) fn from_number(number: i64) -> Option<Self> {
        [Self::Message, Self::Notice, Self::Dsn, Self::Receipt].into_iter().find(|k| *k as i64 == number)
    }
}

/// A message with its envelope, at the one way in.
pub struct Submission {
    /// Who sends it, from where.
    pub caller: Caller,
    /// The door.
    pub origin: Origin,
    /// What it is. Only [`Origin::System`] makes others than [`Kind::Message`].
    pub kind: Kind,
    /// The reverse-path.
    pub from: ReversePath,
    /// The recipients, each accepted by [`crate::Delivery::check_recipient`].
    pub to: Vec<Address>,
    /// The message, arrived whole.
    pub body: Incoming,
    /// What the journal keeps in place of the body: a receipt's twin without its codes.
    pub twin: Option<Vec<u8>>,
}

/// What became of a message that was taken.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Its id, also in the reply to DATA.
    pub submission: SubmissionId,
    /// Its row in the journal.
    pub journal: JournalId,
}
