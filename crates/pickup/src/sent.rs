//! What a sender sees of their messages that wait: state by recipient, never a code (S34).

use std::net::IpAddr;
use std::sync::Arc;

use sealpost_audit::{Caller, Verb};
use sealpost_model::{AccountId, Id, PickupId, RecipientId, TenantId, Time};
use sealpost_policy::Reason;
use sealpost_store::keys::TenantKeys;
use sealpost_store::params;

use crate::mail::from_public_id;
use crate::row::{Found, Message, Row};
use crate::state::EndedBy;
use crate::{Error, Pickup, REISSUES, State, schema};

/// A person with a mailbox, as a message's sender.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    /// Who asks, from where.
    pub caller: Caller,
    /// Their organisation.
    pub tenant: TenantId,
    /// Their mailbox.
    pub account: AccountId,
}

/// A line of the list.
#[derive(Clone)]
pub struct SentSummary {
    /// Its public id.
    pub id: String,
    /// Its subject, as long as its content lives.
    pub subject: Option<String>,
    /// When it was accepted.
    pub sent: Time,
    /// The addresses, the first few.
    pub recipients: Vec<String>,
    /// How many there are.
    pub total: u32,
    /// How many opened it.
    pub opened: u32,
    /// The state that wants most attention.
    pub state: State,
}

/// A message with its recipients.
#[derive(Clone)]
pub struct Sent {
    /// Its public id.
    pub id: String,
    /// Its subject, as long as its content lives.
    pub subject: Option<String>,
    /// When it was accepted.
    pub sent: Time,
    /// The recipients.
    pub recipients: Vec<SentRecipient>,
}

/// One recipient.
#[derive(Clone)]
pub struct SentRecipient {
    /// Its public id, within the message.
    pub id: String,
    /// The address.
    pub address: String,
    /// Where it stands.
    pub state: State,
    /// Why it waits here.
    pub reason: Reason,
    /// Until when it is kept.
    pub until: Time,
    /// When content was first served after a proof.
    pub opened: Option<Time>,
    /// From where.
    pub opened_from: Option<IpAddr>,
    /// When the recipient answered.
    pub replied: Option<Time>,
    /// When it ended.
    pub ended: Option<Time>,
    /// Who ended it.
    pub ended_by: Option<EndedBy>,
    /// An administrator's reason.
    pub ended_why: String,
    /// Whether its notice came back, so that the recipient knows nothing of it.
    pub no_notice: bool,
    /// Wrong tries of the present code.
    pub wrong: u32,
    /// How many new codes can still be made.
    pub codes_left: u32,
    /// The row's version: a form that acts on an older one is refused.
    pub version: i64,
}

impl Pickup {
    /// The sender's messages before `before` (a public id), newest first.
    ///
    /// # Errors
    /// The store's, the keys', the log's, [`Error::Corrupt`].
    pub async fn sent_list(
        &self,
        sender: &Sender,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<SentSummary>, Error> {
        let keys = self.inner.keys.tenant(sender.tenant).await?;
        let before = match before {
            Some(text) => from_public_id(&keys, sender.account.raw(), text).ok_or(Error::NotFound)?.raw(),
            None => i64::MAX,
        };
        let (account, limit) = (sender.account, i64::try_from(limit.min(100)).unwrap_or(100));
        let found = self
            .inner
            .store
            .read(move |tx| {
                let messages = tx.rows(&schema::PICKUPS, params![account, before, limit], Message::read)?;
                let mut out = Vec::with_capacity(messages.len());
                let mut budget = 900_usize;
                for message in messages {
                    let rows = tx.rows(&schema::OF_PICKUP, params![message.id], Row::read)?;
                    let full = rows.len() > budget;
                    budget = budget.saturating_sub(rows.len());
                    out.push((message, rows));
                    if full {
                        break;
                    }
                }
                Ok::<_, Error>(out)
            })
            .await?;
        self.log_look(sender, Verb::ReadSummary, found.iter().map(|(m, _)| m.id)).await?;
        found.into_iter().map(|(message, rows)| self.summary(&message, rows, &keys)).collect()
    }

    fn summary(
        &self,
        message: &Message,
        rows: Vec<Row>,
        keys: &Arc<TenantKeys>,
    ) -> Result<SentSummary, Error> {
        let now = self.inner.clock.now();
        let rows = rows.into_iter().map(|r| r.check(keys)).collect::<Result<Vec<_>, _>>()?;
        let addresses = rows.iter().take(3).map(|r| r.address(keys).map(|a| a.to_string()));
        Ok(SentSummary {
            id: self.public_id(message, keys),
            subject: self.subject(&rows),
            sent: message.created,
            recipients: addresses.collect::<Result<_, _>>()?,
            total: u32::try_from(rows.len()).unwrap_or(u32::MAX),
            opened: u32::try_from(rows.iter().filter(|r| r.now.opened.is_some()).count()).unwrap_or(u32::MAX),
            state: rows
                .iter()
                .map(|r| r.now.state_at(now))
                .min_by_key(|s| urgency(*s))
                .unwrap_or(State::Expired),
        })
    }

    /// One message by its public id; `None` when it is none of theirs.
    ///
    /// # Errors
    /// The store's, the keys', the log's, [`Error::Corrupt`].
    pub async fn sent(&self, sender: &Sender, id: &str) -> Result<Option<Sent>, Error> {
        let (message, rows, keys) = match self.owned(sender, id).await {
            Ok(found) => found,
            Err(Error::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        self.log_look(sender, Verb::ReadSent, [message.id]).await?;
        let subject = self.subject(&rows);
        let recipients =
            rows.iter().map(|r| self.recipient_of(r, &message, &keys)).collect::<Result<_, _>>()?;
        Ok(Some(Sent { id: id.to_owned(), subject, sent: message.created, recipients }))
    }

    fn recipient_of(&self, row: &Row, message: &Message, keys: &TenantKeys) -> Result<SentRecipient, Error> {
        let now = &row.now;
        let note = |column, sealed: &Option<Vec<u8>>| match sealed {
            Some(sealed) => row.note(keys, column, sealed).map(Some),
            None => Ok(None),
        };
        Ok(SentRecipient {
            id: recipient_id(keys, message, row.id),
            address: row.address(keys)?.to_string(),
            state: now.state_at(self.inner.clock.now()),
            reason: row.reason,
            until: now.expires,
            opened: now.opened,
            opened_from: note("opened_from", &now.opened_from)?.and_then(|ip| ip.parse().ok()),
            replied: now.replied,
            ended: now.ended,
            ended_by: now.ended_by,
            ended_why: note("ended_why", &now.ended_why)?.unwrap_or_default(),
            no_notice: row.told & crate::wait::NO_NOTICE != 0,
            wrong: now.tries,
            codes_left: REISSUES.saturating_sub(now.issues),
            version: row.version,
        })
    }

    /// A message of this sender with its rows, each held against its MAC.
    pub(crate) async fn owned(
        &self,
        sender: &Sender,
        id: &str,
    ) -> Result<(Message, Vec<Row>, Arc<TenantKeys>), Error> {
        let keys = self.inner.keys.tenant(sender.tenant).await?;
        let pickup = from_public_id(&keys, sender.account.raw(), id).ok_or(Error::NotFound)?;
        let (message, rows) = self.message_rows(pickup).await?.ok_or(Error::NotFound)?;
        if message.account != sender.account || message.tenant != sender.tenant {
            return Err(Error::NotFound);
        }
        let rows = rows.into_iter().map(|r| r.check(&keys)).collect::<Result<_, _>>()?;
        Ok((message, rows, keys))
    }

    pub(crate) async fn message_rows(&self, id: PickupId) -> Result<Option<(Message, Vec<Row>)>, Error> {
        self.inner
            .store
            .read(move |tx| {
                let Some(message) = tx.row(&schema::PICKUP, params![id], Message::read)? else {
                    return Ok(None);
                };
                let rows = tx.rows(&schema::OF_PICKUP, params![id], Row::read)?;
                Ok(Some((message, rows)))
            })
            .await
    }

    /// One recipient of a message of this sender, by its public id.
    pub(crate) async fn owned_recipient(&self, sender: &Sender, id: &str, to: &str) -> Result<Found, Error> {
        let (message, rows, keys) = self.owned(sender, id).await?;
        let row =
            rows.into_iter().find(|r| recipient_id(&keys, &message, r.id) == to).ok_or(Error::NotFound)?;
        Ok(Found { row, message, keys })
    }

    fn subject(&self, rows: &[Row]) -> Option<String> {
        let open = |row: &Row| row.facts(&row.life_key(self).ok()?).ok();
        rows.iter().filter(|r| r.now.state.is_kept()).find_map(open).map(|facts| facts.subject)
    }

    async fn log_look(
        &self,
        sender: &Sender,
        verb: Verb,
        ids: impl IntoIterator<Item = PickupId>,
    ) -> Result<(), Error> {
        let draft = self
            .inner
            .audit
            .draft(sender.tenant, &sender.caller.actor, &sender.caller.client, verb)
            .owner(sender.account)
            .objects(ids);
        self.inner.audit.read(draft).await?;
        Ok(())
    }
}

pub(crate) fn recipient_id(keys: &TenantKeys, message: &Message, id: RecipientId) -> String {
    keys.opaque("sent recipient", message.id.raw(), id.raw())
}

/// What wants attention first.
const fn urgency(state: State) -> u8 {
    match state {
        State::Locked => 0,
        State::Waiting => 1,
        State::Opened => 2,
        State::Replied => 3,
        State::Expired => 4,
        State::Retracted => 5,
    }
}
