//! What an administrator can do: see that messages wait, and end one with a reason. There is no way to a code or to
//! content (S30, S31).

use sealpost_audit::{Caller, Verb};
use sealpost_model::{Address, Id, PickupId, TenantId, Time};
use sealpost_store::params;

use crate::row::{Message, Row};
use crate::state::EndedBy;
use crate::{Ending, Error, Pickup, State, schema};

/// A message that waits, as an administrator sees it: no subject, no code.
#[derive(Clone)]
pub struct Listed {
    /// Its id.
    pub id: PickupId,
    /// Its sender.
    pub sender: String,
    /// When it was sent.
    pub sent: Time,
    /// Address, state and expiry of each recipient.
    pub recipients: Vec<(String, State, Time)>,
}

impl Pickup {
    /// The organisation's messages before `before`, newest first.
    ///
    /// # Errors
    /// The store's, the keys', the log's, [`Error::Corrupt`].
    pub async fn list(
        &self,
        caller: &Caller,
        tenant: TenantId,
        before: Option<PickupId>,
        limit: u32,
    ) -> Result<Vec<Listed>, Error> {
        let keys = self.inner.keys.tenant(tenant).await?;
        let (before, limit) = (before.map_or(i64::MAX, Id::raw), i64::from(limit.min(100)));
        let found = self
            .inner
            .store
            .read(move |tx| {
                let messages = tx.rows(&schema::OF_TENANT, params![tenant, before, limit], Message::read)?;
                let rows = messages.into_iter().map(|m| {
                    let rows = tx.rows(&schema::OF_PICKUP, params![m.id], Row::read)?;
                    Ok((m, rows))
                });
                rows.collect::<Result<Vec<_>, Error>>()
            })
            .await?;
        let draft = self
            .inner
            .audit
            .draft(tenant, &caller.actor, &caller.client, Verb::ReadSent)
            .objects(found.iter().map(|(m, _)| m.id));
        self.inner.audit.read(draft).await?;
        let now = self.inner.clock.now();
        let mut out = Vec::with_capacity(found.len());
        for (message, rows) in found {
            let mut recipients = Vec::with_capacity(rows.len());
            for row in rows {
                let row = row.check(&keys)?;
                recipients.push((row.address(&keys)?.to_string(), row.now.state_at(now), row.now.expires));
            }
            let sender = message.detail(&keys)?.sender;
            out.push(Listed { id: message.id, sender, sent: message.created, recipients });
        }
        Ok(out)
    }

    /// Ends a message, or one recipient's copy of it, with a reason that its sender and the log will show.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Ended`], and the ground's.
    pub async fn expire(
        &self,
        caller: &Caller,
        tenant: TenantId,
        id: PickupId,
        to: Option<&Address>,
        reason: &str,
    ) -> Result<usize, Error> {
        let keys = self.inner.keys.tenant(tenant).await?;
        let (message, rows) = self.message_rows(id).await?.ok_or(Error::NotFound)?;
        if message.tenant != tenant {
            return Err(Error::NotFound);
        }
        let mut meant = Vec::new();
        for row in rows {
            let row = row.check(&keys)?;
            let is = match to {
                Some(to) => row.address(&keys)?.same(to),
                None => true,
            };
            if is {
                meant.push(row);
            }
        }
        if meant.is_empty() {
            return Err(Error::NotFound);
        }
        let by = EndedBy::Administrator;
        self.end_rows(&message, meant, &keys, caller, Ending::Expire, by, reason.trim()).await
    }
}
