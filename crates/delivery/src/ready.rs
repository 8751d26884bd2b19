//! A message that is decided and sealed, and not yet written.
//!
//! What has to be told because of a transaction (a bounce) is written in that transaction: so it is told if and only
//! if what it tells of happened.

use sealpost_archive::JournalRow;
use sealpost_audit::Entry;
use sealpost_mailbox::{Delivery as NewEntry, insert_entry};
use sealpost_model::{AccountId, LedgerId, LifeKeyId, QueueId, SubmissionId, TenantId};
use sealpost_policy::{Grade, Method, Reason};
use sealpost_store::{BlobRef, Durable, Scope, Topic, Tx, params};

use crate::ledger::State;
use crate::marks::Bound;
use crate::{Accepted, Kind, Refused, schema};

/// Every row of one message in one organisation.
pub(crate) struct Ready {
    pub(crate) tenant: TenantId,
    pub(crate) id: SubmissionId,
    pub(crate) kind: Kind,
    pub(crate) body: Durable<BlobRef>,
    pub(crate) twin: Option<Durable<BlobRef>>,
    pub(crate) journal: JournalRow,
    pub(crate) entries: Vec<NewEntry>,
    /// What `submission` is bound to; its time of acceptance is that of every row.
    pub(crate) bound: Bound,
    /// For recipients that are not written at once.
    pub(crate) outgoing: Option<Outgoing>,
    pub(crate) rows: Vec<RecipientRow>,
    /// In bytes.
    pub(crate) size: i64,
    pub(crate) audit: Entry,
}

/// What is sealed of a message with recipients that are not written at once.
pub(crate) struct Outgoing {
    pub(crate) life: LifeKeyId,
    pub(crate) wrapped: Vec<u8>,
    pub(crate) summary: Vec<u8>,
    pub(crate) detail: Vec<u8>,
}

/// One recipient's rows.
pub(crate) struct RecipientRow {
    pub(crate) ledger: LedgerId,
    pub(crate) method: Method,
    pub(crate) state: State,
    pub(crate) reason: Reason,
    pub(crate) detail: Vec<u8>,
    pub(crate) mac: [u8; 16],
    pub(crate) queue: Option<QueueRow>,
}

/// Its row in the queue.
pub(crate) struct QueueRow {
    pub(crate) id: QueueId,
    pub(crate) pickup: bool,
    pub(crate) floor: Grade,
    pub(crate) mac: [u8; 16],
}

impl Ready {
    /// What its sender is told once it is written.
    pub(crate) fn accepted(&self) -> Accepted {
        Accepted { submission: self.id, journal: self.journal.id }
    }

    /// The mailboxes that it goes into.
    pub(crate) fn scope(&self) -> Scope {
        let accounts: Vec<AccountId> = self.entries.iter().map(|e| e.account).collect();
        Scope::accounts(&accounts)
    }

    /// Writes journal, mailboxes, queue, ledger and the log's entry. May run again.
    ///
    /// # Errors
    /// A mailbox that is full by now, and the store's: then the transaction has to fail.
    pub(crate) fn insert(&self, tx: &mut Tx) -> Result<(), Refused> {
        sealpost_store::blob::insert(tx, &self.body)?;
        if let Some(twin) = &self.twin {
            sealpost_store::blob::insert(tx, twin)?;
        }
        sealpost_archive::journal::insert(tx, &self.journal)?;
        for entry in &self.entries {
            insert_entry(tx, entry)?;
        }
        if let Some(Outgoing { life, wrapped, summary, detail }) = &self.outgoing {
            let (kind, Bound { account, person, accepted, blob, .. }) = (self.kind as i64, self.bound);
            tx.apply(
                &schema::INSERT_SUBMISSION,
                params![
                    self.id,
                    self.tenant,
                    account,
                    person,
                    kind,
                    accepted,
                    blob,
                    *life,
                    wrapped,
                    summary,
                    detail
                ],
            )?;
            tx.after_commit(Topic::Queue);
        }
        for row in &self.rows {
            self.insert_recipient(tx, row)?;
        }
        sealpost_audit::insert(tx, &self.audit)?;
        Ok(())
    }

    fn insert_recipient(&self, tx: &mut Tx, row: &RecipientRow) -> Result<(), sealpost_store::Error> {
        let RecipientRow { ledger, method, state, reason, detail, mac, queue } = row;
        let (tenant, id, kind) = (self.tenant, self.id, self.kind as i64);
        let Bound { account, accepted: now, .. } = self.bound;
        let (method, state) = (*method as i64, *state as i64);
        tx.apply(
            &schema::INSERT_LEDGER,
            params![
                *ledger,
                tenant,
                id,
                account,
                kind,
                method,
                state,
                reason.name(),
                self.size,
                now,
                detail,
                mac
            ],
        )?;
        if let Some(QueueRow { id: queue, pickup, floor, mac }) = queue {
            let (floor, reason) = (*floor as i64, *reason as i64);
            tx.apply(
                &schema::INSERT_QUEUE,
                params![*queue, tenant, id, *ledger, kind, method, *pickup, floor, reason, now, mac],
            )?;
        }
        Ok(())
    }
}
