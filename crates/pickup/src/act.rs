//! What a sender can do about a message that waits: a new code, more time, the end (S30, S31, S34).

use std::sync::Arc;
use std::time::Duration;

use sealpost_audit::{Caller, Entry, Verb};
use sealpost_crypto::Code;
use sealpost_delivery::doom;
use sealpost_model::{AccountId, Time};
use sealpost_store::keys::TenantKeys;
use sealpost_store::{Topic, Tx, params};

use crate::row::{Found, Message, Row, fresh};
use crate::sent::recipient_id;
use crate::state::EndedBy;
use crate::{Ending, Error, LONGEST, Pickup, REISSUES, Sender, State, schema};

/// A new code, to be shown once.
pub struct Issued {
    /// The code.
    pub code: Code,
    /// For whom.
    pub address: String,
    /// How many more can be made.
    pub left: u32,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Issued(..)")
    }
}

impl Pickup {
    /// Makes a new code for one recipient; the old one is void, and a lock ends. `version` is that of the page from
    /// which it was asked.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Changed`], [`Error::Ended`], [`Error::NoCodesLeft`], and the ground's.
    pub async fn reissue(
        &self,
        sender: &Sender,
        id: &str,
        to: &str,
        version: Option<i64>,
    ) -> Result<Issued, Error> {
        let found = self.owned_recipient(sender, id, to).await?;
        self.reissue_for(sender, &found, version).await
    }

    pub(crate) async fn reissue_for(
        &self,
        sender: &Sender,
        found: &Found,
        version: Option<i64>,
    ) -> Result<Issued, Error> {
        if version.is_some_and(|v| v != found.row.version) {
            return Err(Error::Changed);
        }
        let issues = found.row.now.issues + 1;
        let (code, hash) = self.new_code(&found.keys, found.row.id, issues);
        let entry = self.entry(sender, found, Verb::PickupReissue).await?;
        let (now, keys, row_id) = (self.inner.clock.now(), Arc::clone(&found.keys), found.row.id);
        self.write(found.row.tenant, move |tx| {
            let row = fresh(tx, &keys, row_id)?;
            if !row.now.state_at(now).is_kept() {
                return Err(Error::Ended);
            }
            if row.now.issues >= REISSUES {
                return Err(Error::NoCodesLeft);
            }
            // The hash is of this issue: another one came first.
            if row.now.issues + 1 != issues {
                return Err(Error::Changed);
            }
            let mut next = row.now.clone();
            next.issues = issues;
            next.code = hash;
            next.tries = 0;
            next.state = next.unlocked();
            row.change(tx, &keys, &next)?;
            tx.after_commit(Topic::Pickup(row.pickup));
            Ok(sealpost_audit::insert(tx, &entry)?)
        })
        .await?;
        let address = found.row.address(&found.keys)?.to_string();
        Ok(Issued { code, address, left: REISSUES - issues })
    }

    /// Keeps a recipient's copy `longer`. 730 days in all at most.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Changed`], [`Error::Ended`], [`Error::TooLong`], and the ground's.
    pub async fn extend(
        &self,
        sender: &Sender,
        id: &str,
        to: &str,
        longer: Duration,
        version: Option<i64>,
    ) -> Result<Time, Error> {
        let found = self.owned_recipient(sender, id, to).await?;
        if version.is_some_and(|v| v != found.row.version) {
            return Err(Error::Changed);
        }
        let entry = self.entry(sender, &found, Verb::PickupExtend).await?;
        let (now, keys, row_id) = (self.inner.clock.now(), Arc::clone(&found.keys), found.row.id);
        self.write(found.row.tenant, move |tx| {
            let row = fresh(tx, &keys, row_id)?;
            if !row.now.state_at(now).is_kept() {
                return Err(Error::Ended);
            }
            let mut next = row.now.clone();
            next.expires = next.expires.plus(longer);
            if next.expires.since(next.created) > LONGEST {
                return Err(Error::TooLong);
            }
            row.change(tx, &keys, &next)?;
            tx.after_commit(Topic::Pickup(row.pickup));
            sealpost_audit::insert(tx, &entry)?;
            Ok(next.expires)
        })
        .await
    }

    /// Ends a message at once, for one recipient or for all. Returns how many it ended for.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Ended`] when there is nobody left, and the ground's.
    pub async fn end(
        &self,
        sender: &Sender,
        id: &str,
        to: Option<&str>,
        ending: Ending,
    ) -> Result<usize, Error> {
        let (message, rows, keys) = self.owned(sender, id).await?;
        let rows: Vec<Row> = match to {
            Some(to) => rows.into_iter().filter(|r| recipient_id(&keys, &message, r.id) == to).collect(),
            None => rows,
        };
        if rows.is_empty() {
            return Err(Error::NotFound);
        }
        self.end_rows(&message, rows, &keys, &sender.caller, ending, EndedBy::Sender, "").await
    }

    /// Ends these rows in one transaction. Access stops with it; their life keys are doomed in it.
    #[expect(clippy::too_many_arguments, reason = "each is one fact of the entry and of the rows")]
    pub(crate) async fn end_rows(
        &self,
        message: &Message,
        rows: Vec<Row>,
        keys: &Arc<TenantKeys>,
        caller: &Caller,
        ending: Ending,
        by: EndedBy,
        why: &str,
    ) -> Result<usize, Error> {
        let now = self.inner.clock.now();
        let kept: Vec<Row> = rows.into_iter().filter(|r| r.now.state_at(now).is_kept()).collect();
        if kept.is_empty() {
            return Err(Error::Ended);
        }
        let verb = match ending {
            Ending::Expire => Verb::PickupExpire,
            Ending::Retract => Verb::PickupRetract,
        };
        let opened = kept.iter().filter(|r| r.now.opened.is_some()).count();
        let mut draft = self
            .inner
            .audit
            .draft(message.tenant, &caller.actor, &caller.client, verb)
            .owner(message.account)
            .object(message.id)
            .objects(kept.iter().map(|r| r.id))
            // The evidence for 45 CFR 164.402: whether anything had been read.
            .note("opened", format!("{opened} of {}", kept.len()));
        if !why.is_empty() {
            draft = draft.note("reason", why);
        }
        let entry = self.inner.audit.seal(draft).await?;
        let notes: Vec<Option<Vec<u8>>> =
            kept.iter().map(|r| (!why.is_empty()).then(|| r.seal_note(keys, "ended_why", why))).collect();
        let (keys, pickup, tenant) = (Arc::clone(keys), message.id, message.tenant);
        let ids: Vec<_> = kept.iter().map(|r| r.id).zip(notes).collect();
        self.write(tenant, move |tx| {
            let mut ended = 0;
            for (id, note) in &ids {
                let row = fresh(tx, &keys, *id)?;
                if row.now.state_at(now).is_kept() {
                    end(tx, &keys, &row, ending.state(), by, note.clone(), now)?;
                    ended += 1;
                }
            }
            tx.after_commit(Topic::Pickup(pickup));
            sealpost_audit::insert(tx, &entry)?;
            Ok(ended)
        })
        .await
    }

    pub(crate) async fn entry(&self, sender: &Sender, found: &Found, verb: Verb) -> Result<Entry, Error> {
        let draft = self
            .inner
            .audit
            .draft(sender.tenant, &sender.caller.actor, &sender.caller.client, verb)
            .owner(owner(found))
            .object(found.row.pickup)
            .object(found.row.id);
        Ok(self.inner.audit.seal(draft).await?)
    }
}

const fn owner(found: &Found) -> AccountId {
    found.message.account
}

/// Ends one row: its state, its wrapped key, and the order to destroy its life key.
pub(crate) fn end(
    tx: &mut Tx,
    keys: &TenantKeys,
    row: &Row,
    state: State,
    by: EndedBy,
    why: Option<Vec<u8>>,
    now: Time,
) -> Result<(), Error> {
    let mut next = row.now.clone();
    next.state = state;
    next.ended = Some(now);
    next.ended_by = Some(by);
    next.ended_why = why;
    row.change(tx, keys, &next)?;
    tx.execute(&schema::BURY, params![row.id])?;
    doom(tx, keys, row.life, now)?;
    Ok(())
}
