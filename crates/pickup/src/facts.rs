//! What is sealed of a waiting message: for its recipient under the life key, for its sender with the records.

use sealpost_crypto::{Aad, Key};
use sealpost_delivery::{Batch, Summary};
use sealpost_message::EnvelopeAddress;
use sealpost_model::{AccountId, Address, BlobId, Id, PickupId, RecipientId, SubmissionId, TenantId, Time};
use sealpost_store::keys::{Root, TenantKeys};

use crate::Error;

/// A person as a header names them. The address is shown as it was written and need not be a valid one.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Person {
    /// The display name, or nothing.
    pub name: String,
    /// The address.
    pub address: String,
}

impl Person {
    fn list(addresses: &[EnvelopeAddress]) -> Vec<Self> {
        let person = |a: &EnvelopeAddress| {
            Some(Self { name: a.display_name().unwrap_or_default(), address: a.email()? })
        };
        addresses.iter().filter_map(person).collect()
    }

    /// Whether this is that address.
    pub(crate) fn is(&self, address: &Address) -> bool {
        Address::parse(&self.address).is_ok_and(|own| own.same(address))
    }
}

/// Names and addresses may be PHI.
impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Person(..)")
    }
}

/// All that is needed to show and answer a message; hangs on the life key.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Facts {
    pub summary: Summary,
    pub subject: String,
    pub from: Person,
    pub to: Vec<Person>,
    pub cc: Vec<Person>,
    pub sent: Time,
    pub message_id: String,
    pub references: Vec<String>,
}

impl Facts {
    const FORMAT: u8 = 1;

    pub fn of(batch: &Batch) -> Self {
        let summary = (**batch.message.summary()).clone();
        let envelope = &summary.envelope;
        let envelope_from = || Person {
            name: String::new(),
            address: batch.from.address().map(ToString::to_string).unwrap_or_default(),
        };
        Self {
            subject: batch.facts.subject.clone(),
            from: Person::list(&envelope.from).into_iter().next().unwrap_or_else(envelope_from),
            to: Person::list(&envelope.to),
            cc: Person::list(&envelope.cc),
            sent: batch.accepted,
            message_id: batch.facts.message_id.clone(),
            references: batch.facts.references.clone(),
            summary,
        }
    }

    pub fn seal(&self, life: &Key, random: &sealpost_crypto::Random, aad: &Aad) -> Result<Vec<u8>, Error> {
        let plain = postcard::to_extend(self, vec![Self::FORMAT])
            .map_err(|_| Error::Corrupt { what: "pickup_recipient.facts", id: 0 })?;
        Ok(life.seal(random, aad, &plain))
    }

    pub fn open(life: &Key, aad: &Aad, sealed: &[u8], id: RecipientId) -> Result<Self, Error> {
        let corrupt = || Error::Corrupt { what: "pickup_recipient.facts", id: id.raw() };
        let plain = life.open(aad, sealed).map_err(|_| corrupt())?;
        match plain.split_first() {
            Some((&Self::FORMAT, rest)) => postcard::from_bytes(rest).map_err(|_| corrupt()),
            _ => Err(corrupt()),
        }
    }

    /// Whether `address` stands in To or Cc; whoever does not was a Bcc.
    pub fn names(&self, address: &Address) -> bool {
        self.to.iter().chain(&self.cc).any(|p| p.is(address))
    }
}

pub(crate) fn facts_aad(tenant: TenantId, id: RecipientId) -> Aad {
    Aad::new(tenant, "pickup_recipient", id.raw(), "facts")
}

/// The blob's id is in the AAD: a row that is pointed at another body does not open it.
pub(crate) fn wrapped_aad(tenant: TenantId, id: RecipientId, blob: BlobId) -> Aad {
    Aad::new(tenant, "pickup_recipient", id.raw(), "wrapped").with(&blob.raw().to_be_bytes())
}

/// The plain columns of a waiting message, bound into its sealed detail: nobody makes it another sender's.
#[derive(Clone)]
pub(crate) struct Bound {
    pub id: PickupId,
    pub tenant: TenantId,
    pub submission: SubmissionId,
    pub account: AccountId,
    pub created: Time,
    pub message_index: [u8; 16],
}

impl Bound {
    fn aad(&self) -> Aad {
        Aad::new(self.tenant, "pickup", self.id.raw(), "detail")
            .with_int(self.submission.raw())
            .with_int(self.account.raw())
            .with_int(self.created.millis())
            .with(&self.message_index)
    }
}

/// What the records keep of a message: who sent it, for pages and mails that outlive its content.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Detail {
    pub organisation: String,
    pub sender: String,
}

impl Detail {
    pub fn seal(&self, keys: &TenantKeys, bound: &Bound) -> Vec<u8> {
        let plain = postcard::to_allocvec(self).expect("strings are always written");
        keys.seal(Root::Records, &bound.aad(), &plain)
    }

    pub fn open(keys: &TenantKeys, bound: &Bound, sealed: &[u8]) -> Result<Self, Error> {
        let plain = keys.open(&bound.aad(), sealed)?;
        postcard::from_bytes(&plain).map_err(|_| Error::Corrupt { what: "pickup.detail", id: bound.id.raw() })
    }

    /// The sender's address.
    pub fn address(&self, id: PickupId) -> Result<Address, Error> {
        Address::parse(&self.sender).map_err(|_| Error::Corrupt { what: "pickup.detail", id: id.raw() })
    }
}
