//! An open message: the proof that this request comes from its recipient.

use std::sync::Arc;

use sealpost_audit::Verb;
use sealpost_delivery::MessageReader;
use sealpost_model::{Actor, Address, Client, RecipientId, TenantId, Time};
use sealpost_store::Topic;
use sealpost_store::keys::TenantKeys;

use crate::facts::Facts;
use crate::row::{Found, Message, fresh};
use crate::{Error, Pickup, State};

/// "This browser proved to be the recipient, not longer than 20 idle minutes ago, and the message is still kept." Only
/// [`Pickup::opened`] makes one, for one request.
///
/// It opens nothing by itself: what is sealed for the recipient comes out of a [`Reading`] only.
pub struct Opened {
    found: Found,
    session: [u8; 16],
    organisation: String,
}

/// "This reading is in the log, and the message is `opened`." Only [`Pickup::reading`] makes one, and nothing that the
/// sender wrote, subject and names included, is had without one (S53).
pub(crate) struct Reading<'a> {
    opened: &'a Opened,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opened({:?})", self.found.row.id)
    }
}

impl Opened {
    pub(crate) fn new(found: Found, session: [u8; 16]) -> Result<Self, Error> {
        let organisation = found.message.detail(&found.keys)?.organisation;
        Ok(Self { found, session, organisation })
    }

    /// The sender's organisation.
    pub fn organisation(&self) -> &str {
        &self.organisation
    }

    /// A moment of the last day on which it can be read, all day long and everywhere.
    pub fn last_day(&self) -> Time {
        self.found.row.now.last_day()
    }

    pub(crate) const fn id(&self) -> RecipientId {
        self.found.row.id
    }

    pub(crate) const fn tenant(&self) -> TenantId {
        self.found.row.tenant
    }

    pub(crate) const fn message(&self) -> &Message {
        &self.found.message
    }

    pub(crate) const fn keys(&self) -> &Arc<TenantKeys> {
        &self.found.keys
    }

    pub(crate) const fn session(&self) -> [u8; 16] {
        self.session
    }

    /// The recipient's own address.
    pub(crate) fn address(&self) -> Result<Address, Error> {
        self.found.row.address(&self.found.keys)
    }

    pub(crate) const fn actor(&self) -> Actor {
        Actor::Recipient { tenant: self.found.row.tenant, recipient: self.found.row.id }
    }
}

impl Reading<'_> {
    /// What the message says of itself, through the life key.
    pub fn facts(&self, pickup: &Pickup) -> Result<Facts, Error> {
        let row = &self.opened.found.row;
        row.facts(&row.life_key(pickup)?)
    }

    /// The same, and its body.
    pub async fn content(&self, pickup: &Pickup) -> Result<(Facts, MessageReader), Error> {
        let row = &self.opened.found.row;
        let life = row.life_key(pickup)?;
        let facts = row.facts(&life)?;
        let key = row.blob_key(&life)?;
        let summary = Arc::new(facts.summary.clone());
        let reader = MessageReader::open(pickup.inner.store.clone(), row.blob, key, summary)
            .await
            .map_err(sealpost_delivery::Error::from)?;
        Ok((facts, reader))
    }
}

impl Pickup {
    /// Writes down that content is about to be served, before it is (S53). The first time the message becomes `opened`
    /// in the same transaction.
    pub(crate) async fn reading<'a>(
        &self,
        opened: &'a Opened,
        verb: Verb,
        client: &Client,
    ) -> Result<Reading<'a>, Error> {
        let found = &opened.found;
        let draft = |verb| {
            self.inner
                .audit
                .draft(found.row.tenant, &opened.actor(), client, verb)
                .owner(found.message.account)
                .object(found.row.pickup)
                .object(found.row.id)
                .object(found.row.blob)
        };
        if found.row.now.opened.is_none() {
            let entry = self.inner.audit.seal(draft(Verb::PickupOpen)).await?;
            let from = found.row.seal_note(&found.keys, "opened_from", &client.ip.to_canonical().to_string());
            let (now, keys, id) = (self.inner.clock.now(), found.keys.clone(), found.row.id);
            self.write(found.row.tenant, move |tx| {
                let row = fresh(tx, &keys, id)?;
                if !row.now.state_at(now).is_kept() {
                    return Err(Error::Ended);
                }
                if row.now.opened.is_none() {
                    let mut to = row.now.clone();
                    to.opened = Some(now);
                    to.opened_from = Some(from.clone());
                    if to.state == State::Waiting {
                        to.state = State::Opened;
                    }
                    row.change(tx, &keys, &to)?;
                    tx.after_commit(Topic::Pickup(row.pickup));
                }
                Ok(sealpost_audit::insert(tx, &entry)?)
            })
            .await?;
        }
        self.inner.audit.read(draft(verb)).await?;
        Ok(Reading { opened })
    }

    /// Whether the recipient's copy is still kept: for what began to leave a while ago.
    pub(crate) async fn still_kept(&self, keys: &Arc<TenantKeys>, id: RecipientId) -> Result<bool, Error> {
        let (now, keys) = (self.inner.clock.now(), Arc::clone(keys));
        self.inner.store.read(move |tx| Ok(fresh(tx, &keys, id)?.now.state_at(now).is_kept())).await
    }
}
