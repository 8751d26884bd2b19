//! Looking at every row of the queue, the ledger and what lies under them: is each what was written?

use sealpost_model::{Id, LedgerId, LifeKeyId, QueueId, SubmissionId, TenantId, Time};
use sealpost_store::{Error, Inspection, ReadTx, Row, params};

use crate::accept::{SubmissionDetail, submission_aad};
use crate::ledger::Detail;
use crate::marks::{self, Bound, Marks};
use crate::queue::{Claimed, claimed};
use crate::schema;

/// Looks at all tables of this crate, and opens the bodies that wait to leave.
///
/// # Errors
/// What keeps it from looking; what is wrong is noted.
pub async fn inspect(look: &mut Inspection<'_>) -> Result<(), Error> {
    submissions(look).await?;
    ledger(look).await?;
    queue(look).await?;
    doomed(look).await?;
    handed(look).await?;
    crate::held::inspect(look).await
}

/// Whether there is a ledger row with this id.
///
/// # Errors
/// The store's.
pub fn has_ledger(tx: &ReadTx, id: LedgerId) -> Result<bool, Error> {
    tx.exists(&schema::HAS_LEDGER, params![id])
}

struct Submission {
    id: SubmissionId,
    tenant: TenantId,
    bound: Bound,
    life: Option<LifeKeyId>,
    wrapped: Vec<u8>,
    summary: Vec<u8>,
    detail: Vec<u8>,
}

impl Submission {
    fn read(r: &Row<'_>) -> Result<Self, Error> {
        Ok(Self {
            id: r.id(0)?,
            tenant: r.id(10)?,
            bound: Bound::read(r)?,
            life: r.opt_id(5)?,
            wrapped: r.bytes(6)?,
            summary: r.bytes(7)?,
            detail: r.bytes(8)?,
        })
    }
}

async fn submissions(look: &mut Inspection<'_>) -> Result<(), Error> {
    let mut after = i64::MIN;
    while let Some((last, page)) =
        look.page("submission", &schema::ALL_SUBMISSIONS, after, Submission::read).await?
    {
        after = last;
        for row in page {
            let (id, tenant, blob) = (row.id, row.tenant, row.bound.blob);
            look.owns(blob);
            let Some(keys) = look.tenant(tenant, "submission", id).await else { continue };
            let detail = keys.open(&row.bound.aad(tenant, id), &row.detail).ok();
            if detail.and_then(|plain| SubmissionDetail::open(&plain)).is_none() {
                let why =
                    "it does not open: it, or one of account, person, kind, accepted and blob, was changed";
                look.fault("submission", id, "detail", why);
            }
            let Some(life) = row.life else {
                if !row.wrapped.is_empty() || !row.summary.is_empty() {
                    look.fault("submission", id, "life", "it is gone, and what hung on it is not");
                }
                continue;
            };
            let Some(key) = look.keys().ring().key(life) else {
                look.fault("submission", id, "life", format!("the key ring has no life key {life}"));
                continue;
            };
            if key.open(&submission_aad(tenant, id, "summary"), &row.summary).is_err() {
                look.fault("submission", id, "summary", "it does not open");
            }
            match key.unwrap(&submission_aad(tenant, id, "wrapped"), &row.wrapped) {
                Ok(key) => drop(look.body(blob, &key, &format!("submission {id}")).await?),
                Err(_) => look.fault("submission", id, "wrapped", "it does not open"),
            }
        }
    }
    Ok(())
}

async fn ledger(look: &mut Inspection<'_>) -> Result<(), Error> {
    let read = |r: &Row<'_>| Ok((r.id::<TenantId>(1)?, Marks::read(r)?, r.bytes(12)?, r.bytes(13)?));
    let mut after = i64::MIN;
    while let Some((last, page)) = look.page("ledger", &schema::ALL_LEDGER, after, read).await? {
        after = last;
        for (tenant, marks, mac, sealed) in page {
            let id = marks.id;
            let Some(keys) = look.tenant(tenant, "ledger", id).await else { continue };
            if marks.mac(&keys)[..] != mac[..] {
                look.fault("ledger", id, "mac", "a plain column is not what was written");
            }
            if Detail::open(&keys, tenant, id, &sealed).is_err() {
                look.fault("ledger", id, "detail", "it does not open");
            }
        }
    }
    Ok(())
}

async fn queue(look: &mut Inspection<'_>) -> Result<(), Error> {
    let read = |r: &Row<'_>| Ok((claimed(r)?, r.int(11)?));
    let mut after = i64::MIN;
    while let Some((last, page)) = look.page("queue", &schema::ALL_QUEUE, after, read).await? {
        after = last;
        for (row, state) in page {
            let Some(keys) = look.tenant(row.tenant, "queue", row.id).await else { continue };
            if !row.is_ours(&keys) {
                look.fault("queue", row.id, "mac", "a column that says where the message may go was changed");
            }
            if !matches!(state, 0 | 1) {
                look.fault(
                    "queue",
                    row.id,
                    "state",
                    "it is no state, so that the message would wait for ever",
                );
            }
            missing(look, &row).await?;
        }
    }
    Ok(())
}

/// What a queue row needs. It may have left the queue meanwhile.
async fn missing(look: &mut Inspection<'_>, row: &Claimed) -> Result<(), Error> {
    let (id, submission, ledger) = (row.id, row.submission, row.ledger);
    let (here, message, line) = look
        .store()
        .read(move |tx| {
            Ok::<_, Error>((
                tx.exists(&schema::HAS_QUEUE, params![id])?,
                tx.exists(&schema::HAS_SUBMISSION, params![submission])?,
                has_ledger(tx, ledger)?,
            ))
        })
        .await?;
    if here && !message {
        look.fault("submission", submission, "", format!("it is missing; queue {id} names it"));
    }
    if here && !line {
        look.fault("ledger", ledger, "", format!("it is missing; queue {id} names it"));
    }
    Ok(())
}

async fn doomed(look: &mut Inspection<'_>) -> Result<(), Error> {
    let read = |r: &Row<'_>| Ok((r.id::<LifeKeyId>(0)?, r.id::<TenantId>(1)?, r.time(2)?, r.bytes(3)?));
    let mut after = i64::MIN;
    while let Some((last, page)) = look.page("doomed", &schema::ALL_DOOMED, after, read).await? {
        after = last;
        for (life, tenant, since, mac) in page {
            let Some(keys) = look.tenant(tenant, "doomed", life.raw()).await else { continue };
            let since: Time = since;
            if marks::doomed(&keys, life, since)[..] != mac[..] {
                look.fault("doomed", life.raw(), "mac", "nobody here decided the end of this key");
            }
        }
    }
    Ok(())
}

async fn handed(look: &mut Inspection<'_>) -> Result<(), Error> {
    let read = |r: &Row<'_>| Ok((r.id::<QueueId>(0)?, r.id::<TenantId>(1)?, r.bytes(2)?));
    let mut after = i64::MIN;
    while let Some((last, page)) = look.page("handed", &schema::ALL_HANDED, after, read).await? {
        after = last;
        for (queue, tenant, mac) in page {
            let Some(keys) = look.tenant(tenant, "handed", queue.raw()).await else { continue };
            if crate::handed::mac(&keys, queue)[..] != mac[..] {
                look.fault("handed", queue.raw(), "mac", "nobody here took the message that it names");
            }
        }
    }
    Ok(())
}
