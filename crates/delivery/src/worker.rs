//! Takes what is due and hands it to couriers.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sealpost_audit::Verb;
use sealpost_crypto::Key;
use sealpost_mailbox::{MessageReader, Summary};
use sealpost_model::{Actor, Address, Client, Fault, Id, LifeKeyId, ReversePath, SubmissionId, TenantId};
use sealpost_policy::Reason;
use sealpost_store::{Row, Topic, params};
use tokio::sync::{Semaphore, oneshot};

use crate::accept::{SubmissionDetail, submission_aad};
use crate::bounce::Told;
use crate::ledger::Detail;
use crate::marks::Bound;
use crate::queue::{Claimed, Settled};
use crate::{Batch, Couriers, Delivery, Error, Evidence, Job, Kind, Outcome, Refused, schema};

/// Batches that are under way at once.
const BATCHES: usize = 64;

/// The queue is looked at this often even when nobody said that something came: retries fall due, and a node may have
/// missed a word.
const POLL: Duration = Duration::from_secs(1);

/// Keys whose end is decided die in batches, this often: at most 15 minutes late (DESIGN section 4).
const REAP: Duration = Duration::from_secs(5 * 60);

/// How often it is looked whether another server that had begun attempts is gone.
const TAKE_OVER: Duration = Duration::from_secs(5);

/// A message's row, still sealed.
struct Stored {
    bound: Bound,
    life: Option<LifeKeyId>,
    wrapped: Vec<u8>,
    summary: Vec<u8>,
    detail: Vec<u8>,
}

impl Stored {
    fn read(r: &Row<'_>) -> Result<Self, sealpost_store::Error> {
        Ok(Self {
            bound: Bound::read(r)?,
            life: r.opt_id(5)?,
            wrapped: r.bytes(6)?,
            summary: r.bytes(7)?,
            detail: r.bytes(8)?,
        })
    }
}

impl Delivery {
    /// Delivers what is due until `stop` is ready, then waits for what is under way.
    ///
    /// # Errors
    /// The store's, at start. Later ones are logged and tried again.
    pub async fn run(&self, couriers: Couriers, stop: impl Future<Output = ()> + Send) -> Result<(), Error> {
        let stranded = self.release_stranded().await?;
        if stranded > 0 {
            tracing::warn!(stranded, "attempts that an earlier process had begun are tried again");
        }
        let mut watch = self.inner.store.feed().watch(Topic::Queue);
        let slots = Arc::new(Semaphore::new(BATCHES));
        let couriers = Arc::new(couriers);
        // A task of its own: a queue that is never empty must not keep keys alive.
        let (end, ended) = oneshot::channel();
        let reaper = tokio::spawn(self.clone().reap(ended));
        tokio::pin!(stop);
        loop {
            let claimed = match self.claim().await {
                Ok(claimed) => claimed,
                Err(error) => {
                    tracing::error!(%error, "the queue can't be read; trying again");
                    Vec::new()
                }
            };
            if claimed.is_empty() {
                tokio::select! {
                    () = &mut stop => break,
                    _ = watch.changed() => {}
                    () = tokio::time::sleep(POLL) => {}
                }
                continue;
            }
            let mut batches: BTreeMap<(SubmissionId, i64), Vec<Claimed>> = BTreeMap::new();
            for row in claimed {
                batches.entry((row.submission, row.method as i64)).or_default().push(row);
            }
            for rows in batches.into_values() {
                let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { break };
                let (delivery, couriers) = (self.clone(), Arc::clone(&couriers));
                tokio::spawn(async move {
                    let _slot = slot;
                    let (carrier, batch) = (delivery.clone(), rows.clone());
                    let left = Arc::new(AtomicBool::new(false));
                    let leaving = Arc::clone(&left);
                    // A task of its own: a courier's panic must not leave its messages behind.
                    match tokio::spawn(async move { carrier.carry(&couriers, batch, &leaving).await }).await {
                        Ok(Ok(())) => return,
                        Ok(Err(error)) => {
                            tracing::error!(%error, "an attempt failed here; its messages are tried again");
                        }
                        Err(error) => {
                            let panicked = error.is_panic();
                            tracing::error!(panicked, "an attempt broke off; its messages are tried again");
                        }
                    }
                    delivery.put_back(rows, left.load(Ordering::Acquire)).await;
                });
            }
        }
        // What it has begun it ends: a destruction that is cut off would stay open in the log.
        drop(end);
        let _ = reaper.await;
        // Every slot back means that nothing is under way.
        let all = u32::try_from(BATCHES).unwrap_or(u32::MAX);
        let _ = slots.acquire_many(all).await;
        Ok(())
    }

    /// Destroys what is doomed, until the other end of `ended` goes.
    async fn reap(self, mut ended: oneshot::Receiver<()>) {
        let mut tick = tokio::time::interval(REAP);
        let mut look = tokio::time::interval(TAKE_OVER);
        loop {
            tokio::select! {
                _ = &mut ended => return self.inner.reaping.end().await,
                _ = look.tick() => {
                    match self.release_stranded().await {
                        Ok(0) => {}
                        Ok(rows) => tracing::warn!(rows, "attempts of a server that is gone are tried again"),
                        Err(error) => tracing::warn!(%error, "attempts of servers that are gone can't be read"),
                    }
                    continue;
                }
                _ = tick.tick() => {}
            }
            if let Err(error) = self.destroy_doomed().await {
                tracing::error!(%error, "keys whose end is decided live on; trying again");
            }
        }
    }

    /// One attempt at some recipients of one message; `left` becomes true before anything can leave.
    async fn carry(&self, couriers: &Couriers, rows: Vec<Claimed>, left: &AtomicBool) -> Result<(), Refused> {
        let Some(first) = rows.first() else { return Ok(()) };
        let keys = self.inner.keys.tenant(first.tenant).await?;
        let (rows, changed): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.is_ours(&keys));
        for row in changed {
            // It stays where it is and nothing is sent for it: somebody changed where it may go.
            tracing::error!(
                queue = row.id.raw(),
                "a row of the queue was changed or damaged; `sealpost check` says more"
            );
        }
        let Some(first) = rows.first().cloned() else { return Ok(()) };
        let draft = self
            .inner
            .audit
            .draft(first.tenant, &Actor::System, &Client::SYSTEM, Verb::Attempt)
            .object(first.submission)
            .objects(rows.iter().map(|r| r.ledger))
            .reason(first.method.word());
        let open = self.inner.audit.open(draft).await?;
        let mut details = Vec::with_capacity(rows.len());
        for row in &rows {
            details.push(self.ledger_detail(row).await?);
        }
        let (told, batch) = self.batch(&first, &rows, &details).await?;
        let mut outcomes = match (batch, couriers.of(first.method)) {
            (Some(batch), Some(courier)) => {
                left.store(true, Ordering::Release);
                courier.carry(&batch).await
            }
            (Some(_), None) => Vec::new(),
            (None, _) => {
                tracing::error!(submission = %first.submission, "a message that waits to leave does not open");
                let damaged = |row: &Claimed| {
                    (row.id, Outcome::Retry { reason: Reason::MessageDamaged, evidence: Evidence::default() })
                };
                rows.iter().map(damaged).collect()
            }
        };
        let recipients: Vec<Option<Address>> =
            details.iter().map(|detail| Address::parse(&detail.recipient).ok()).collect();
        let mut settled: Vec<Settled> = rows
            .iter()
            .zip(details)
            .map(|(row, detail)| {
                let outcome = outcomes.iter().position(|(id, _)| *id == row.id).map_or_else(
                    || Outcome::Retry { reason: Reason::TransportUnreachable, evidence: Evidence::default() },
                    |at| outcomes.swap_remove(at).1,
                );
                self.settle(&keys, row, told.accepted, outcome, detail)
            })
            .collect();
        let failed: Vec<(Address, Reason)> = settled
            .iter()
            .zip(recipients)
            .filter_map(|(s, recipient)| Some((recipient?, s.failure()?)))
            .collect();
        let mut bounce = None;
        if !failed.is_empty() && matches!(first.kind, Kind::Message | Kind::Notice) {
            bounce = match self.prepare_bounce(&told, &failed).await {
                Ok(bounce) => bounce,
                Err(Refused::Policy(reason)) => {
                    self.untold(&told, reason).await;
                    None
                }
                Err(Refused::Failed(error)) => {
                    tracing::error!(%error, "a bounce can't be made now; what it would tell of is tried again");
                    let now = self.inner.clock.now();
                    settled.iter_mut().filter(|s| s.failure().is_some()).for_each(|s| s.postpone(now));
                    None
                }
            };
        }
        let ended = self.attempt_ended(&settled, open).await?;
        let settled: Arc<[Settled]> = settled.into();
        match self.write_settled(Arc::clone(&settled), ended.clone(), bounce).await {
            // The sender's mailbox is full: the ledger says what failed.
            Err(Refused::Policy(reason)) => {
                self.untold(&told, reason).await;
                self.write_settled(settled, ended, None).await
            }
            written => written,
        }
    }

    async fn ledger_detail(&self, row: &Claimed) -> Result<Detail, Error> {
        let ledger = row.ledger;
        let sealed = self
            .inner
            .store
            .read(move |tx| tx.row(&schema::LEDGER_DETAIL, params![ledger], |r| r.bytes(0)))
            .await?
            .ok_or(Error::Corrupt { what: "ledger", id: ledger.raw() })?;
        let keys = self.inner.keys.tenant(row.tenant).await?;
        Detail::open(&keys, row.tenant, ledger, &sealed)
    }

    /// What waits to leave, and what its sender would be told of; no batch when the message does not open.
    async fn batch(
        &self,
        first: &Claimed,
        rows: &[Claimed],
        details: &[Detail],
    ) -> Result<(Told, Option<Batch>), Error> {
        let (tenant, id) = (first.tenant, first.submission);
        let mut told = Told {
            tenant,
            submission: id,
            from: ReversePath::Null,
            message_id: String::new(),
            accepted: self.inner.clock.now(),
        };
        let row =
            self.inner.store.read(move |tx| tx.row(&schema::SUBMISSION, params![id], Stored::read)).await?;
        let Some(row) = row else { return Ok((told, None)) };
        let keys = self.inner.keys.tenant(tenant).await?;
        let detail = keys.open(&row.bound.aad(tenant, id), &row.detail).ok();
        let Some(detail) = detail.and_then(|plain| SubmissionDetail::open(&plain)) else {
            return Ok((told, None));
        };
        told.from = Address::parse(&detail.from).map_or(ReversePath::Null, ReversePath::From);
        told.message_id.clone_from(&detail.facts.message_id);
        told.accepted = row.bound.accepted;
        let Some((key, summary)) = self.unlock(tenant, id, &row) else { return Ok((told, None)) };
        let store = self.inner.store.clone();
        let message = match MessageReader::open(store, row.bound.blob, key, Arc::new(summary)).await {
            Ok(message) => message,
            Err(error) if error.fault() == Fault::Corrupt => return Ok((told, None)),
            Err(error) => return Err(error.into()),
        };
        let jobs: Option<Vec<Job>> = rows
            .iter()
            .zip(details)
            .map(|(row, detail)| {
                Some(Job {
                    id: row.id,
                    ledger: row.ledger,
                    recipient: Address::parse(&detail.recipient).ok()?,
                    attempt: row.attempt,
                    floor: row.floor,
                    reason: row.reason,
                })
            })
            .collect();
        let batch = jobs.map(|jobs| Batch {
            tenant,
            submission: id,
            sender: row.bound.account,
            person: row.bound.person,
            kind: first.kind,
            from: told.from.clone(),
            facts: detail.facts,
            message,
            accepted: row.bound.accepted,
            jobs,
        });
        Ok((told, batch))
    }

    /// The body's key and the summary, which hang on the message's life key.
    fn unlock(&self, tenant: TenantId, id: SubmissionId, row: &Stored) -> Option<(Key, Summary)> {
        let life = self.inner.keys.ring().key(row.life?)?;
        let aad = |column| submission_aad(tenant, id, column);
        let key = life.unwrap(&aad("wrapped"), &row.wrapped).ok()?;
        let summary = life.open(&aad("summary"), &row.summary).ok()?;
        Some((key, postcard::from_bytes(&summary).ok()?))
    }
}
