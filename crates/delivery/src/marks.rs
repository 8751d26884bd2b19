//! MACs of rows: what carries security in the queue and what is evidence in the ledger.

use sealpost_model::{
    AccountId, BlobId, Id, LedgerId, LifeKeyId, PersonId, QueueId, SubmissionId, TenantId, Time,
};
use sealpost_policy::{Grade, Method};
use sealpost_store::{ReadTx, Row, keys::TenantKeys, params};

use crate::ledger::State;
use crate::queue::Claimed;
use crate::schema;

/// The plain columns of a ledger row, all under its MAC.
#[derive(Clone)]
pub(crate) struct Marks {
    pub(crate) id: LedgerId,
    pub(crate) submission: SubmissionId,
    pub(crate) account: Option<AccountId>,
    pub(crate) kind: i64,
    pub(crate) method: i64,
    pub(crate) state: i64,
    pub(crate) reason: String,
    pub(crate) grade: Option<i64>,
    pub(crate) size: i64,
    pub(crate) created: Time,
    pub(crate) updated: Time,
}

impl Marks {
    /// Reads `id, tenant, submission, account, kind, method, state, reason, grade, size, created, updated`.
    pub(crate) fn read(r: &Row<'_>) -> Result<Self, sealpost_store::Error> {
        Ok(Self {
            id: r.id(0)?,
            submission: r.id(2)?,
            account: r.opt_id(3)?,
            kind: r.int(4)?,
            method: r.int(5)?,
            state: r.int(6)?,
            reason: r.text(7)?,
            grade: r.opt_int(8)?,
            size: r.int(9)?,
            created: r.time(10)?,
            updated: r.time(11)?,
        })
    }

    pub(crate) fn mac(&self, keys: &TenantKeys) -> [u8; 16] {
        let numbers = [
            self.submission.raw(),
            self.account.map_or(0, Id::raw),
            self.kind,
            self.method,
            self.state,
            // Grades begin at 0.
            self.grade.map_or(-1, |g| g),
            self.size,
            self.created.millis(),
            self.updated.millis(),
        ]
        .map(i64::to_be_bytes);
        let mut parts: Vec<&[u8]> = numbers.iter().map(<[u8; 8]>::as_slice).collect();
        parts.push(self.reason.as_bytes());
        keys.mac("ledger", self.id.raw(), 1, &parts)
    }
}

/// What a change of a ledger row makes of it.
pub(crate) struct Change<'a> {
    pub(crate) method: Option<Method>,
    pub(crate) state: State,
    pub(crate) reason: Option<&'a str>,
    pub(crate) grade: Option<Grade>,
    pub(crate) now: Time,
}

/// The MAC that a ledger row has after a change. One that is wrong already stays as it is, so that a change from
/// outside is not made good by ours.
pub(crate) fn changed(
    tx: &ReadTx,
    keys: &TenantKeys,
    id: LedgerId,
    change: &Change<'_>,
) -> Result<Vec<u8>, sealpost_store::Error> {
    let known = tx.row(&schema::LEDGER_MARKS, params![id], |r| Ok((Marks::read(r)?, r.bytes(12)?)))?;
    let Some((marks, mac)) = known else { return Ok(Vec::new()) };
    if marks.mac(keys)[..] != mac[..] {
        return Ok(mac);
    }
    let marks = Marks {
        method: change.method.map_or(marks.method, |m| m as i64),
        state: change.state as i64,
        reason: change.reason.map_or(marks.reason, str::to_owned),
        grade: if change.method.is_some() { change.grade.map(|g| g as i64) } else { marks.grade },
        updated: change.now,
        ..marks
    };
    Ok(marks.mac(keys).to_vec())
}

/// The MAC of a queue row over what decides where a message may go; when it is tried next is not covered.
pub(crate) fn queue(keys: &TenantKeys, row: &Claimed) -> [u8; 16] {
    let numbers = [
        row.submission.raw(),
        row.ledger.raw(),
        row.kind as i64,
        row.method as i64,
        i64::from(row.pickup),
        row.floor as i64,
        row.reason as i64,
    ]
    .map(i64::to_be_bytes);
    keys.mac("queue", QueueId::raw(row.id), 1, &numbers.each_ref().map(|p| p.as_slice()))
}

/// The MAC of a life key's end: nobody else may decide it.
pub(crate) fn doomed(keys: &TenantKeys, life: LifeKeyId, since: Time) -> [u8; 16] {
    keys.mac("doomed", life.raw(), 1, &[&since.millis().to_be_bytes()])
}

/// The plain columns of a message on its way, bound into its sealed detail.
#[derive(Clone, Copy)]
pub(crate) struct Bound {
    pub(crate) account: Option<AccountId>,
    pub(crate) person: Option<PersonId>,
    pub(crate) kind: i64,
    pub(crate) accepted: Time,
    pub(crate) blob: BlobId,
}

impl Bound {
    /// Reads the columns 1 to 4 and 9 of `SUBMISSION`.
    pub(crate) fn read(r: &Row<'_>) -> Result<Self, sealpost_store::Error> {
        Ok(Self {
            account: r.opt_id(1)?,
            person: r.opt_id(2)?,
            accepted: r.time(3)?,
            blob: r.id(4)?,
            kind: r.int(9)?,
        })
    }

    pub(crate) fn aad(&self, tenant: TenantId, id: SubmissionId) -> sealpost_crypto::Aad {
        crate::accept::submission_aad(tenant, id, "detail")
            .with_int(self.account.map_or(0, Id::raw))
            .with_int(self.person.map_or(0, Id::raw))
            .with_int(self.kind)
            .with_int(self.accepted.millis())
            .with_int(self.blob.raw())
    }
}
