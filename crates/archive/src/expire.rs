//! The end of journal entries whose day has passed (S61): rows in batches, then their day's life key.
//!
//! A row goes only if its MAC says that this is its day. What is left of it is its number, in `journal_gone`, under a MAC
//! too: so the proof of the log can tell an entry that expired from one that somebody removed. Bodies that nobody else
//! names are the collector's. A row that was changed stays, and with it the day's key.

use sealpost_audit::{Audit, Caller, Completion, Outcome, Verb};
use sealpost_model::{Id as _, JournalId, TenantId};
use sealpost_store::keys::{Keys, TenantKeys};
use sealpost_store::{Scope, Store, params};

use crate::{Error, journal, schema};

/// What expired.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Expired {
    /// Days of a tenant that ended.
    pub days: u64,
    /// Rows that went.
    pub rows: u64,
    /// Rows that should have gone and are not what was written.
    pub left: u64,
}

/// Days count in a tenant's own zone, and the last zone on earth is twelve hours behind UTC.
const LAST_ZONE: std::time::Duration = std::time::Duration::from_secs(12 * 3600);

/// Rows that go in one transaction.
const BATCH: i64 = 200;

/// Ends what has expired by now. Whatever moment it stops at, the next run goes on.
///
/// # Errors
/// The store's, the log's and the ring's.
pub async fn run(store: &Store, keys: &Keys, audit: &Audit) -> Result<Expired, Error> {
    let today = store.clock().now().minus(LAST_ZONE).day();
    let mut all = Expired::default();
    let mut after = (i32::MIN, TenantId::from_raw(i64::MIN));
    loop {
        let (day, tenant) = after;
        let next = store
            .read(move |tx| {
                tx.row(&schema::NEXT_EXPIRED, params![today, day, tenant], |r| Ok((r.small(0)?, r.id(1)?)))
            })
            .await?;
        let Some(next) = next else { return Ok(all) };
        after = next;
        end_day(store, keys, audit, after, &mut all).await?;
    }
}

async fn end_day(
    store: &Store,
    keys: &Keys,
    audit: &Audit,
    (day, tenant): (i32, TenantId),
    all: &mut Expired,
) -> Result<(), Error> {
    let of_tenant = keys.tenant(tenant).await.map_err(|e| Error::Keys(e.to_string()))?;
    let Caller { actor, client } = Caller::SYSTEM;
    let draft = audit.draft(tenant, &actor, &client, Verb::JournalExpire).note("day", day.to_string());
    let open = audit.open(draft).await.map_err(|e| Error::Log(e.to_string()))?;
    let (rows, left) = end_rows(store, &of_tenant, day, tenant).await?;
    if left == 0
        && let Ok(Some(life)) = of_tenant.journal_day(day).await
    {
        of_tenant.end_journal_day(day, life).await.map_err(|e| Error::Keys(e.to_string()))?;
    }
    let outcome = if left == 0 { Outcome::Done } else { Outcome::Failed };
    let completion = Completion::from(outcome).detail(format!("{rows} rows removed, {left} left"));
    open.complete(completion).await.map_err(|e| Error::Log(e.to_string()))?;
    all.days += 1;
    all.rows += rows;
    all.left += left;
    Ok(())
}

async fn end_rows(store: &Store, keys: &TenantKeys, day: i32, tenant: TenantId) -> Result<(u64, u64), Error> {
    let (mut gone, mut left) = (0, 0);
    let mut after = JournalId::from_raw(i64::MIN);
    loop {
        let from = after;
        let rows = store.read(move |tx| journal::page_of_day(tx, tenant, day, from, BATCH)).await?;
        let Some(last) = rows.last() else { return Ok((gone, left)) };
        after = last.id;
        let mut batch: Vec<(JournalId, [u8; 16])> = Vec::with_capacity(rows.len());
        for row in &rows {
            if row.is_as_written(keys) {
                batch.push((row.id, gone_mac(keys, row.id, day)));
            } else {
                tracing::error!(journal = %row.id, "a journal entry is not what was written, and does not expire");
                left += 1;
            }
        }
        gone += store
            .write(Scope::bulk(), move |tx| {
                let mut gone = 0;
                for (id, mac) in &batch {
                    if tx.execute(&schema::EXPIRE, params![*id, tenant, day])? == 1 {
                        tx.execute(&schema::INSERT_GONE, params![*id, tenant, day, mac])?;
                        gone += 1;
                    }
                }
                Ok::<_, Error>(gone)
            })
            .await?;
    }
}

/// The MAC of what is left of a row.
pub(crate) fn gone_mac(keys: &TenantKeys, id: JournalId, day: i32) -> [u8; 16] {
    keys.mac("journal_gone", id.raw(), 1, &[&i64::from(day).to_be_bytes()])
}
