//! That a recipient answered, written down after the reply was accepted.
//!
//! The reply is on its way by then, so nothing here may look to its writer like a failure: they would send it twice. What
//! could not be written is owed and written by a later [sweep](Pickup::sweep). Only a process that dies before leaves the
//! message `opened`; the reply itself is in the sender's mailbox and in the log as accepted.

use std::sync::{MutexGuard, PoisonError};

use sealpost_audit::Verb;
use sealpost_model::{Actor, Client, RecipientId, SubmissionId, TenantId, Time};
use sealpost_store::Topic;

use crate::row::{fresh, message};
use crate::{Error, Pickup, State};

/// A reply that was accepted.
pub(crate) struct Replied {
    pub tenant: TenantId,
    pub recipient: RecipientId,
    pub actor: Actor,
    pub client: Client,
    pub submission: SubmissionId,
    pub at: Time,
    /// How often writing it was tried in vain.
    pub rounds: u32,
}

impl Pickup {
    /// Writes it down, now or later.
    pub(crate) async fn replied(&self, mut reply: Replied) {
        let Err(error) = self.note_reply(&reply).await else { return };
        let (recipient, submission) = (reply.recipient, reply.submission);
        reply.rounds += 1;
        let mut owed = self.owed();
        if reply.rounds > ROUNDS || owed.len() >= MOST {
            tracing::error!(%recipient, %submission, %error, "a reply was sent and its message will not say so");
            return;
        }
        tracing::error!(%recipient, %submission, %error, "a reply was sent and its message does not say so yet");
        owed.push(reply);
    }

    /// Tries again what could not be written.
    pub(crate) async fn mend_replies(&self) {
        let owed = std::mem::take(&mut *self.owed());
        for reply in owed {
            self.replied(reply).await;
        }
    }

    fn owed(&self) -> MutexGuard<'_, Vec<Replied>> {
        self.inner.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn note_reply(&self, reply: &Replied) -> Result<(), Error> {
        let &Replied { tenant, recipient, at, .. } = reply;
        let keys = self.inner.keys.tenant(tenant).await?;
        let (pickup, account) = self
            .inner
            .store
            .read({
                let keys = keys.clone();
                move |tx| {
                    let row = fresh(tx, &keys, recipient)?;
                    Ok::<_, Error>((row.pickup, message(tx, row.pickup)?.account))
                }
            })
            .await?;
        let draft = self
            .inner
            .audit
            .draft(tenant, &reply.actor, &reply.client, Verb::PickupReply)
            .owner(account)
            .object(pickup)
            .object(recipient)
            .object(reply.submission);
        let entry = self.inner.audit.seal(draft).await?;
        self.write(tenant, move |tx| {
            let row = fresh(tx, &keys, recipient)?;
            if row.now.state.is_kept() {
                let mut to = row.now.clone();
                to.replied = to.replied.or(Some(at));
                if to.state.is_live() {
                    to.state = State::Replied;
                }
                row.change(tx, &keys, &to)?;
                tx.after_commit(Topic::Pickup(row.pickup));
            }
            Ok(sealpost_audit::insert(tx, &entry)?)
        })
        .await
    }
}

/// The sweep comes each minute: a day.
const ROUNDS: u32 = 24 * 60;
/// The most that are owed at a time.
const MOST: usize = 10_000;
