//! How a message may reach one recipient.

use crate::{Grade, Reason};

/// A way to a recipient.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[repr(u8)]
pub enum Method {
    /// A mailbox of the same tenant, written in the same transaction.
    Mailbox = 1,
    /// Another tenant of this server.
    Local = 2,
    /// SMTP, at least at the plan's floor.
    Smtp = 3,
    /// Waits here behind a code.
    Pickup = 4,
    /// Words for the server about a message that was sent (`sent+ID@DOMAIN`).
    Command = 5,
}

impl Method {
    const ALL: [Self; 5] = [Self::Mailbox, Self::Local, Self::Smtp, Self::Pickup, Self::Command];

    /// Its word in ledger, receipt and reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Mailbox => "mailbox",
            Self::Local => "local",
            Self::Smtp => "smtp",
            Self::Pickup => "pickup",
            Self::Command => "command",
        }
    }

    /// The method with this number.
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|m| *m as i64 == number)
    }
}

/// What is known of a recipient when a message comes in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecipientFacts {
    /// A mailbox of the sender's tenant.
    SameTenant,
    /// A mailbox of another tenant here.
    OtherTenant,
    /// Somebody else's domain.
    Outside,
}

/// What a domain of ours asks of mail that leaves it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DomainPolicy {
    /// Whether the domain holds PHI.
    pub hipaa: bool,
    /// The floor of a non-HIPAA domain; a HIPAA domain never goes below [`Grade::WebpkiMx`].
    pub floor: Grade,
}

impl DomainPolicy {
    /// A HIPAA domain as it begins.
    pub const HIPAA: Self = Self { hipaa: true, floor: Grade::WebpkiMx };

    /// The floor that holds: a HIPAA domain can only tighten.
    pub fn effective_floor(self) -> Grade {
        if self.hipaa { self.floor.max(Grade::WebpkiMx) } else { self.floor }
    }
}

/// The ordered ways to one recipient, each acceptable to policy. What is not listed does not happen (S17).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// First to last.
    pub methods: Vec<Method>,
    /// The least grade at which content may leave by SMTP.
    pub floor: Grade,
    /// Why the first method is the first.
    pub reason: Reason,
}
