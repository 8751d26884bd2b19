//! Takes what is due and hands it to couriers.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sealpost_audit::Verb;
use sealpost_mailbox::{MessageReader, Summary};
use sealpost_model::{Actor, Address, Client, Id, LifeKeyId, QueueId, ReversePath, SubmissionId};
use sealpost_policy::Reason;
use sealpost_store::{Row, Topic, params};
use tokio::sync::{Semaphore, oneshot};

use crate::accept::{SubmissionDetail, submission_aad};
use crate::ledger::Detail;
use crate::marks::Bound;
use crate::queue::{Claimed, Settled};
use crate::{Batch, Couriers, Delivery, Error, Evidence, Job, Kind, Outcome, schema};

/// Batches that are under way at once.
const BATCHES: usize = 64;

/// The queue is looked at this often even when nobody said that something came: retries fall due, and a node may have
/// missed a word.
const POLL: Duration = Duration::from_secs(1);

/// Keys whose end is decided die in batches, this often: at most 15 minutes late (DESIGN section 4).
const REAP: Duration = Duration::from_secs(5 * 60);

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
                    let ids: Vec<QueueId> = rows.iter().map(|r| r.id).collect();
                    let carrier = delivery.clone();
                    // A task of its own: a courier's panic must not leave its messages behind.
                    match tokio::spawn(async move { carrier.carry(&couriers, rows).await }).await {
                        Ok(Ok(())) => return,
                        Ok(Err(error)) => {
                            tracing::error!(%error, "an attempt failed here; its messages are tried again");
                        }
                        Err(error) => {
                            let panicked = error.is_panic();
                            tracing::error!(panicked, "an attempt broke off; its messages are tried again");
                        }
                    }
                    delivery.put_back(ids).await;
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
        loop {
            tokio::select! {
                _ = &mut ended => return,
                _ = tick.tick() => {}
            }
            if let Err(error) = self.destroy_doomed().await {
                tracing::error!(%error, "keys whose end is decided live on; trying again");
            }
        }
    }

    /// One attempt at some recipients of one message.
    async fn carry(&self, couriers: &Couriers, rows: Vec<Claimed>) -> Result<(), Error> {
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
        let batch = self.batch(&first, &rows, &details).await?;
        let mut outcomes: Vec<(QueueId, Outcome)> = match couriers.of(first.method) {
            Some(courier) => courier.carry(&batch).await,
            None => Vec::new(),
        };
        let settled: Arc<[Settled]> = rows
            .iter()
            .zip(details)
            .map(|(row, detail)| {
                let outcome = outcomes.iter().position(|(id, _)| *id == row.id).map_or_else(
                    || Outcome::Retry { reason: Reason::TransportUnreachable, evidence: Evidence::default() },
                    |at| outcomes.swap_remove(at).1,
                );
                self.settle(&keys, row, batch.accepted, outcome, detail)
            })
            .collect();
        self.write_settled(Arc::clone(&settled), open).await?;
        let failed: Vec<(Address, Reason)> = settled
            .iter()
            .zip(&batch.jobs)
            .filter_map(|(s, job)| Some((job.recipient.clone(), s.failure()?)))
            .collect();
        if !failed.is_empty() && matches!(batch.kind, Kind::Message | Kind::Notice) {
            self.bounce(&batch, &failed).await;
        }
        Ok(())
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

    async fn batch(&self, first: &Claimed, rows: &[Claimed], details: &[Detail]) -> Result<Batch, Error> {
        let (tenant, id) = (first.tenant, first.submission);
        let corrupt = || Error::Corrupt { what: "submission", id: id.raw() };
        let aad = |column| submission_aad(tenant, id, column);
        let row: Stored = self
            .inner
            .store
            .read(move |tx| tx.row(&schema::SUBMISSION, params![id], Stored::read))
            .await?
            .ok_or_else(corrupt)?;
        let keys = self.inner.keys.tenant(tenant).await?;
        let life = row.life.and_then(|life| self.inner.keys.ring().key(life)).ok_or_else(corrupt)?;
        let key = life.unwrap(&aad("wrapped"), &row.wrapped).map_err(|_| corrupt())?;
        let summary = life.open(&aad("summary"), &row.summary).map_err(|_| corrupt())?;
        let summary: Summary = postcard::from_bytes(&summary).map_err(|_| corrupt())?;
        let plain = keys.open(&row.bound.aad(tenant, id), &row.detail)?;
        let detail = SubmissionDetail::open(&plain).ok_or_else(corrupt)?;
        let message =
            MessageReader::open(self.inner.store.clone(), row.bound.blob, key, Arc::new(summary)).await?;
        let jobs = rows
            .iter()
            .zip(details)
            .map(|(row, detail)| {
                Ok(Job {
                    id: row.id,
                    ledger: row.ledger,
                    recipient: Address::parse(&detail.recipient).map_err(|_| corrupt())?,
                    attempt: row.attempt,
                    floor: row.floor,
                    reason: row.reason,
                })
            })
            .collect::<Result<_, Error>>()?;
        Ok(Batch {
            tenant,
            submission: id,
            sender: row.bound.account,
            person: row.bound.person,
            kind: first.kind,
            from: Address::parse(&detail.from).map_or(ReversePath::Null, ReversePath::From),
            facts: detail.facts,
            message,
            accepted: row.bound.accepted,
            jobs,
        })
    }
}
