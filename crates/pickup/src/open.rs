//! An open message: the proof that this request comes from its recipient.

use sealpost_audit::Verb;
use sealpost_model::{Client, Time};
use sealpost_store::Topic;

use crate::row::{Found, fresh};
use crate::{Error, Pickup, State};

/// "This browser proved to be the recipient, not longer than 20 idle minutes ago, and the message is still kept." Only
/// [`Pickup::opened`] makes one, for one request.
pub struct Opened {
    pub(crate) found: Found,
    pub(crate) session: [u8; 16],
    organisation: String,
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

    /// Until when it is kept.
    pub const fn expires(&self) -> Time {
        self.found.row.now.expires
    }
}

impl Pickup {
    /// Writes down that content is about to be served, before it is (S53). The first time the message becomes `opened`
    /// in the same transaction.
    pub(crate) async fn reading(&self, opened: &Opened, verb: Verb, client: &Client) -> Result<(), Error> {
        let found = &opened.found;
        let draft = |verb| {
            self.inner
                .audit
                .draft(found.row.tenant, &self.recipient(found), client, verb)
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
        Ok(())
    }
}
