//! The queue's rows: claimed, settled, listed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sealpost_audit::{Completion, Entry, Open, Outcome as AuditOutcome, Verb};
use sealpost_model::{Actor, Client, Id, LedgerId, LifeKeyId, QueueId, SubmissionId, TenantId, Time};
use sealpost_policy::{Grade, Method, Reason};
use sealpost_store::{Param as _, Row, Scope, Topic, Tx, keys::TenantKeys, params};

use crate::bounce::Bounce;
use crate::held::is_held;
use crate::ledger::{Detail, State};
use crate::marks::{self, Change};
use crate::{Delivery, Error, Evidence, Kind, Outcome, Refused, schema};

/// A row that was claimed.
#[derive(Clone, Debug)]
pub(crate) struct Claimed {
    pub(crate) id: QueueId,
    pub(crate) tenant: TenantId,
    pub(crate) submission: SubmissionId,
    pub(crate) ledger: LedgerId,
    pub(crate) kind: Kind,
    pub(crate) method: Method,
    pub(crate) pickup: bool,
    pub(crate) floor: Grade,
    pub(crate) reason: Reason,
    pub(crate) attempt: u32,
    pub(crate) mac: Vec<u8>,
}

impl Claimed {
    /// Whether what says where the message may go is what was written.
    pub(crate) fn is_ours(&self, keys: &TenantKeys) -> bool {
        sealpost_crypto::constant_time_eq(&marks::queue(keys, self), &self.mac)
    }
}

/// An attempt that nobody settled.
struct Begun {
    id: QueueId,
    ledger: LedgerId,
    tenant: TenantId,
    attempt: u32,
    /// Whether it may have left this server.
    left: bool,
}

/// A row as it is shown to administrators.
#[derive(Clone)]
pub struct Queued {
    /// Its id.
    pub id: QueueId,
    /// The message.
    pub submission: SubmissionId,
    /// How it is tried.
    pub method: Method,
    /// Whether an attempt is under way.
    pub sending: bool,
    /// Attempts so far.
    pub attempt: u32,
    /// When it is tried next.
    pub due: Time,
    /// Who it is for.
    pub recipient: String,
}

/// Rows that are claimed at once.
pub(crate) const CLAIM: i64 = 200;

/// A damaged message is tried this often, over most of a day: a disk or a key ring may come back.
const DAMAGED_TRIES: u32 = 24;

/// How long to wait after the `attempt`th try.
pub(crate) fn backoff(attempt: u32) -> Duration {
    const MINUTES: [u64; 7] = [1, 2, 5, 10, 15, 30, 60];
    let step = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
    Duration::from_secs(60 * MINUTES.get(step).copied().unwrap_or(60))
}

/// What happens to a row after an attempt.
#[derive(Clone, Debug)]
enum Next {
    /// It leaves the queue.
    Done(State),
    /// It is tried again.
    Again(Time),
    /// It goes another way at once.
    Switch(Method, Reason),
}

/// What is written of an attempt at one recipient.
pub(crate) struct Settled {
    row: Claimed,
    next: Next,
    grade: Option<Grade>,
    reason: Reason,
    detail: Vec<u8>,
    keys: Arc<TenantKeys>,
}

impl Settled {
    /// Whether the sender has to be told that it failed, and why.
    pub(crate) fn failure(&self) -> Option<Reason> {
        matches!(self.next, Next::Done(State::Failed)).then_some(self.reason)
    }

    /// Has it tried again instead: its sender could not be told now that it failed.
    pub(crate) fn postpone(&mut self, now: Time) {
        self.next = Next::Again(now.plus(backoff(self.row.attempt)));
    }

    /// How the attempt is called in the log.
    pub(crate) const fn verdict(&self) -> AuditOutcome {
        match self.next {
            Next::Done(State::Failed) | Next::Again(_) | Next::Switch(..) => AuditOutcome::Failed,
            Next::Done(_) => AuditOutcome::Done,
        }
    }
}

impl Delivery {
    /// What became of messages that came in.
    pub fn meters(&self) -> &crate::Meters {
        &self.inner.meters
    }

    /// How many rows wait to leave, and when the message of the oldest came in.
    ///
    /// # Errors
    /// The store's.
    pub async fn queue_facts(&self) -> Result<(u64, Option<Time>), Error> {
        let read = |tx: &sealpost_store::ReadTx| {
            tx.row(&schema::QUEUE_FACTS, &[], |r| Ok((r.int(0)?, r.opt_int(1)?)))
        };
        let (count, oldest) = self.inner.store.read(read).await?.unwrap_or_default();
        Ok((u64::try_from(count).unwrap_or(0), oldest.map(Time::from_millis)))
    }

    /// Claims what is due. The commit of this is what makes an attempt *maybe sent* when the process dies.
    pub(crate) async fn claim(&self) -> Result<Vec<Claimed>, Error> {
        let (now, node) = (self.inner.clock.now(), self.inner.store.node());
        loop {
            let due: Vec<Claimed> = self
                .inner
                .store
                .read(move |tx| {
                    let rows = || tx.rows(&schema::DUE, params![now, CLAIM], claimed);
                    if is_held(tx)? { Ok(Vec::new()) } else { rows() }
                })
                .await?;
            if due.is_empty() {
                return Ok(due);
            }
            let claim = move |tx: &mut Tx| -> Result<Vec<Claimed>, Error> {
                let taken =
                    tx.execute_each(&schema::CLAIM, due.iter().map(|r| [r.id.value(), node.value()]))?;
                let mine = due.iter().zip(taken).filter(|(_, changed)| *changed == 1);
                Ok(mine.map(|(row, _)| Claimed { attempt: row.attempt + 1, ..row.clone() }).collect())
            };
            let mine = self.inner.store.write(Scope::unlocked(), claim).await?;
            // Another node may have been faster with all of them; then there may be more.
            if !mine.is_empty() {
                return Ok(mine);
            }
        }
    }

    /// Decides what an outcome means for its row.
    pub(crate) fn settle(
        &self,
        keys: &Arc<TenantKeys>,
        row: &Claimed,
        accepted: Time,
        outcome: Outcome,
        mut detail: Detail,
    ) -> Settled {
        let now = self.inner.clock.now();
        let options = &self.inner.options;
        let again = |reason: Reason| {
            if reason == Reason::MessageDamaged {
                return if row.attempt < DAMAGED_TRIES {
                    Next::Again(now.plus(backoff(row.attempt)))
                } else {
                    Next::Done(State::Failed)
                };
            }
            let (end, then) = match row.method {
                // What is to wait here is never given up: what fails then is ours.
                Method::Pickup => return Next::Again(now.plus(backoff(row.attempt))),
                Method::Smtp if row.pickup => (
                    accepted.plus(options.pickup_after),
                    Next::Switch(Method::Pickup, Reason::TransportUnreachable),
                ),
                _ => (accepted.plus(options.notice_life), Next::Done(State::Failed)),
            };
            // The last try is at the very end.
            if now >= end { then } else { Next::Again(now.plus(backoff(row.attempt)).min(end)) }
        };
        let (next, grade, reason, evidence) = match outcome {
            Outcome::Delivered { grade, evidence } => {
                (Next::Done(State::Delivered), Some(grade), row.reason, evidence)
            }
            Outcome::Waiting => (Next::Done(State::Waiting), None, row.reason, detail.evidence.clone()),
            Outcome::Done => (Next::Done(State::Delivered), None, row.reason, Evidence::default()),
            // Once pickup exists SMTP is closed for that recipient, and nothing below its floor is tried.
            Outcome::Unfit { reason, evidence } if row.pickup && row.method == Method::Smtp => {
                (Next::Switch(Method::Pickup, reason), None, reason, evidence)
            }
            Outcome::Unfit { reason, evidence } => (Next::Done(State::Failed), None, reason, evidence),
            Outcome::Retry { reason, evidence } => (again(reason), None, reason, evidence),
            Outcome::Rejected { reason, evidence } => (Next::Done(State::Failed), None, reason, evidence),
        };
        detail.evidence = evidence;
        let detail = detail.seal(keys, row.tenant, row.ledger);
        Settled { row: row.clone(), next, grade, reason, detail, keys: Arc::clone(keys) }
    }

    /// The entry that completes an attempt.
    pub(crate) async fn attempt_ended(&self, settled: &[Settled], open: Open) -> Result<Entry, Error> {
        let failed = settled.iter().any(|s| s.verdict() == AuditOutcome::Failed);
        let verdict = if failed { AuditOutcome::Failed } else { AuditOutcome::Done };
        let reason = settled.first().map_or("", |s| s.reason.name());
        Ok(open.completion(Completion::from(verdict).reason(reason)).await?)
    }

    /// Writes what became of a batch, with the entry that completes the attempt and the bounce that tells of it.
    pub(crate) async fn write_settled(
        &self,
        settled: Arc<[Settled]>,
        ended: Entry,
        bounce: Option<Bounce>,
    ) -> Result<(), Refused> {
        let (now, node) = (self.inner.clock.now(), self.inner.store.node());
        // The tenant, so that of two nodes one sees that the last row of a message goes.
        let tenant = settled.first().map_or(Scope::instance(), |s| Scope::tenant(s.row.tenant));
        let scope = bounce.as_ref().map_or(tenant.clone(), |bounce| tenant.with(&bounce.scope()));
        self.inner
            .store
            .write(scope, move |tx| {
                settled.iter().try_for_each(|s| write_one(tx, s, node, now))?;
                if let Some(first) = settled.first() {
                    end_submission(tx, &first.keys, first.row.submission, now)?;
                }
                sealpost_audit::insert_completion(tx, &ended)?;
                bounce.as_ref().map_or(Ok(()), |bounce| bounce.insert(tx))
            })
            .await
    }

    /// What a process had begun when it died: it may have arrived. Tried again, and shown as that.
    pub(crate) async fn release_stranded(&self) -> Result<usize, Error> {
        let own = self.inner.store.node();
        let dead: Vec<i64> = self
            .inner
            .store
            .read(move |tx| {
                let mut nodes = tx.rows(&schema::SENDING, params![], |r| r.int(0))?;
                let mut dead = Vec::new();
                for node in nodes.drain(..).filter(|node| *node != own) {
                    if !tx.lives(node)? {
                        dead.push(node);
                    }
                }
                Ok::<_, sealpost_store::Error>(dead)
            })
            .await?;
        let mut released = 0;
        for node in dead {
            released += self.release_all_of(node).await?;
        }
        Ok(released)
    }

    async fn release_all_of(&self, node: i64) -> Result<usize, Error> {
        let mut released = 0;
        loop {
            let rows: Vec<Begun> = self
                .inner
                .store
                .read(move |tx| {
                    tx.rows(&schema::STRANDED, params![node], |r| {
                        let (id, ledger, method, tenant) = (r.id(0)?, r.id(1)?, r.int(2)?, r.id(3)?);
                        Ok(Begun {
                            id,
                            ledger,
                            tenant,
                            attempt: r.small(4)?,
                            left: method == Method::Smtp as i64,
                        })
                    })
                })
                .await?;
            if rows.is_empty() {
                return Ok(released);
            }
            released += rows.len();
            self.release(node, rows, self.inner.clock.now()).await?;
        }
    }

    /// Puts rows back whose attempt failed on our side; `left`: it may have left here before that. When even that
    /// fails, they stay `sending` until the next start: late, never lost.
    pub(crate) async fn put_back(&self, rows: Vec<Claimed>, left: bool) {
        let attempt = rows.iter().map(|row| row.attempt).max().unwrap_or(1);
        let due = self.inner.clock.now().plus(backoff(attempt));
        let begun = |row: Claimed| {
            let left = left && row.method == Method::Smtp;
            Begun { id: row.id, ledger: row.ledger, tenant: row.tenant, attempt: row.attempt, left }
        };
        let node = self.inner.store.node();
        if let Err(error) = self.release(node, rows.into_iter().map(begun).collect(), due).await {
            tracing::error!(%error, "messages wait for the next start to be tried again");
        }
    }

    /// Ends attempts that nobody settled; what may have left is *maybe sent*.
    async fn release(&self, node: i64, rows: Vec<Begun>, due: Time) -> Result<(), Error> {
        let now = self.inner.clock.now();
        let mut keys = HashMap::new();
        for row in rows.iter().filter(|row| row.left) {
            keys.insert(row.tenant, self.inner.keys.tenant(row.tenant).await?);
        }
        let scope = rows.iter().fold(Scope::unlocked(), |scope, row| scope.with(&Scope::tenant(row.tenant)));
        self.inner
            .store
            .write(scope, move |tx| {
                for row in &rows {
                    if tx.execute(&schema::RELEASE, params![row.id, node, row.attempt, due])? == 0 {
                        continue;
                    }
                    if let (true, Some(keys)) = (row.left, keys.get(&row.tenant)) {
                        let state = State::MaybeSent;
                        let change = Change { method: None, state, reason: None, grade: None, now };
                        let mac = marks::changed(tx, keys, row.ledger, &change)?;
                        tx.execute(&schema::LEDGER_MAYBE_SENT, params![row.ledger, state as i64, now, mac])?;
                    }
                }
                tx.after_commit(Topic::Queue);
                Ok(())
            })
            .await
    }

    /// Destroys the life keys whose end was decided: after this no copy of the data opens what hung on them.
    ///
    /// # Errors
    /// The ring's, the store's and the log's.
    pub async fn destroy_doomed(&self) -> Result<usize, Error> {
        // One node at a time; another one's turn is no error.
        let Some(lease) = self.inner.reaping.take().await else { return Ok(0) };
        let rows: Vec<(LifeKeyId, TenantId, Time, Vec<u8>)> = self
            .inner
            .store
            .read(|tx| {
                tx.rows(&schema::DOOMED, params![], |r| Ok((r.id(0)?, r.id(1)?, r.time(2)?, r.bytes(3)?)))
            })
            .await?;
        let mut doomed: Vec<(LifeKeyId, TenantId)> = Vec::with_capacity(rows.len());
        for (life, tenant, since, mac) in rows {
            let ours = match self.inner.keys.tenant(tenant).await {
                Ok(keys) => sealpost_crypto::constant_time_eq(&marks::doomed(&keys, life, since), &mac),
                Err(sealpost_store::keys::Error::UnknownTenant(_)) => false,
                Err(e) => return Err(e.into()),
            };
            if ours {
                doomed.push((life, tenant));
            } else {
                tracing::error!(life = life.raw(), "nobody here decided the end of this key; it lives on");
            }
        }
        for of_tenant in doomed.chunk_by(|a, b| a.1 == b.1) {
            let tenant = of_tenant[0].1;
            let keys: Vec<LifeKeyId> = of_tenant.iter().map(|(life, _)| *life).collect();
            let draft = self
                .inner
                .audit
                .draft(tenant, &Actor::System, &Client::SYSTEM, Verb::KeyDestroy)
                .objects(keys.iter().copied());
            let open = self.inner.audit.open(draft).await?;
            self.inner.keys.ring().destroy(&keys).await?;
            let entry = open.completion(AuditOutcome::Done).await?;
            let lease = lease.clone();
            self.inner
                .store
                .write(Scope::tenant(tenant), move |tx| {
                    tx.fence(&lease)?;
                    for life in &keys {
                        tx.apply(&schema::DESTROYED, params![*life])?;
                    }
                    sealpost_audit::insert_completion(tx, &entry)?;
                    Ok::<_, Error>(())
                })
                .await?;
        }
        Ok(doomed.len())
    }

    /// What waits to leave, of one organisation: up to 500 rows behind `after`.
    ///
    /// # Errors
    /// The store's, and [`Error::Corrupt`].
    pub async fn queue(&self, tenant: TenantId, after: Option<QueueId>) -> Result<Vec<Queued>, Error> {
        let after = after.map_or(0, Id::raw);
        let rows = self
            .inner
            .store
            .read(move |tx| {
                tx.rows(&schema::QUEUE_LIST, params![tenant, after, 500i64], |r| {
                    Ok((queued(r)?, r.id::<LedgerId>(2)?, r.bytes(7)?))
                })
            })
            .await?;
        let keys = self.inner.keys.tenant(tenant).await?;
        rows.into_iter()
            .map(|(row, ledger, sealed)| {
                let recipient = Detail::open(&keys, tenant, ledger, &sealed)?.recipient;
                Ok(Queued { recipient, ..row })
            })
            .collect()
    }

    /// Tries a row now. False when there is no such row, or it is being tried.
    ///
    /// # Errors
    /// The store's.
    pub async fn retry_now(&self, tenant: TenantId, id: QueueId) -> Result<bool, Error> {
        let now = self.inner.clock.now();
        self.inner
            .store
            .write(Scope::unlocked(), move |tx| {
                tx.after_commit(Topic::Queue);
                Ok(tx.execute(&schema::QUEUE_NOW, params![id, tenant, now])? == 1)
            })
            .await
    }
}

fn write_one(tx: &mut Tx, s: &Settled, node: i64, now: Time) -> Result<(), sealpost_store::Error> {
    // Nobody's but the process that claimed it, and not once others took that for dead.
    let (id, attempt) = (s.row.id, s.row.attempt);
    let ours = |changed: usize| if changed == 1 { Ok(()) } else { Err(sealpost_store::Error::Fenced) };
    let (method, state) = match &s.next {
        Next::Done(state) => {
            ours(tx.execute(&schema::DONE, params![id, node, attempt])?)?;
            if s.row.method == Method::Local {
                tx.execute(&schema::FORGET_HANDED, params![s.row.id])?;
            }
            (s.row.method, *state)
        }
        Next::Again(due) => {
            ours(tx.execute(&schema::AGAIN, params![id, node, attempt, *due])?)?;
            (s.row.method, State::Queued)
        }
        Next::Switch(method, why) => {
            let (number, reason) = (*method as i64, *why as i64);
            let mac = marks::queue(&s.keys, &Claimed { method: *method, reason: *why, ..s.row.clone() });
            ours(tx.execute(&schema::SWITCH, params![id, node, attempt, now, number, reason, mac])?)?;
            tx.after_commit(Topic::Queue);
            (*method, State::Queued)
        }
    };
    let method = if state == State::Waiting { Method::Pickup } else { method };
    let change = Change { method: Some(method), state, reason: Some(s.reason.name()), grade: s.grade, now };
    let mac = marks::changed(tx, &s.keys, s.row.ledger, &change)?;
    tx.apply(
        &schema::UPDATE_LEDGER,
        params![
            s.row.ledger,
            method as i64,
            state as i64,
            s.reason.name(),
            s.grade.map(|g| g as i64),
            now,
            &s.detail,
            mac
        ],
    )?;
    Ok(())
}

/// Once no row of a message is left, its content is nobody's business in the queue: its life key is doomed.
fn end_submission(
    tx: &mut Tx,
    keys: &TenantKeys,
    submission: SubmissionId,
    now: Time,
) -> Result<(), sealpost_store::Error> {
    if tx.exists(&schema::SUBMISSION_QUEUED, params![submission])? {
        return Ok(());
    }
    let life = tx.row(&schema::SUBMISSION_LIFE, params![submission], |r| r.opt_id::<LifeKeyId>(0))?.flatten();
    if let Some(life) = life {
        tx.apply(&schema::SUBMISSION_ENDS, params![submission, &[][..]])?;
        doom(tx, keys, life, now)?;
    }
    Ok(())
}

/// Decides the end of a life key. It is carried out within 15 minutes, in a batch with others.
///
/// # Errors
/// The store's.
pub fn doom(tx: &mut Tx, keys: &TenantKeys, life: LifeKeyId, now: Time) -> Result<(), sealpost_store::Error> {
    let mac = marks::doomed(keys, life, now);
    tx.apply(&schema::DOOM, params![life, keys.tenant(), now, mac])
}

pub(crate) fn claimed(r: &Row<'_>) -> Result<Claimed, sealpost_store::Error> {
    let corrupt = || sealpost_store::Error::Corrupt { what: "queue", id: r.int(0).unwrap_or(0) };
    Ok(Claimed {
        id: r.id(0)?,
        tenant: r.id(1)?,
        submission: r.id(2)?,
        ledger: r.id(3)?,
        kind: Kind::from_number(r.int(4)?).ok_or_else(corrupt)?,
        method: Method::from_number(r.int(5)?).ok_or_else(corrupt)?,
        pickup: r.bool(6)?,
        floor: Grade::from_number(r.int(7)?).ok_or_else(corrupt)?,
        reason: Reason::from_number(r.int(8)?).ok_or_else(corrupt)?,
        attempt: r.small(9)?,
        mac: r.bytes(10)?,
    })
}

fn queued(r: &Row<'_>) -> Result<Queued, sealpost_store::Error> {
    let corrupt = || sealpost_store::Error::Corrupt { what: "queue", id: r.int(0).unwrap_or(0) };
    Ok(Queued {
        id: r.id(0)?,
        submission: r.id(1)?,
        method: Method::from_number(r.int(3)?).ok_or_else(corrupt)?,
        sending: r.int(4)? == 1,
        attempt: r.small(5)?,
        due: r.time(6)?,
        recipient: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_at_an_hour() {
        let waits: Vec<u64> = (1..=9).map(|n| backoff(n).as_secs() / 60).collect();
        assert_eq!(waits, [1, 2, 5, 10, 15, 30, 60, 60, 60]);
        assert_eq!(backoff(u32::MAX).as_secs(), 3600);
    }
}
