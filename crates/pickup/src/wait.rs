//! A message begins to wait: copies under life keys of their own, a notice to each recipient, one receipt to the sender.
//!
//! The worker may hand us the same rows again after a crash. A queue row makes one copy ever; its note `told` says
//! whether notice and receipt were submitted. Between a submission and that note there is a moment in which a crash makes
//! the mail twice: the notice then carries the same link (see [`link`](crate::link)), the receipt a new code, and the
//! newest counts.

use std::sync::Arc;

use sealpost_audit::Verb;
use sealpost_crypto::Code;
use sealpost_delivery::{Batch, Evidence, Job, Outcome};
use sealpost_model::{AccountId, Actor, Client, Id, LifeKeyId, QueueId, RecipientId, Secret, Time};
use sealpost_policy::Reason;
use sealpost_store::keys::{Root, TenantKeys};
use sealpost_store::{Topic, params};

use crate::facts::{Bound, Detail, Facts, facts_aad, wrapped_aad};
use crate::mail::{Thread, Told};
use crate::row::{Message, NewRow, Row, Standing, address_aad, fresh};
use crate::{DAY, Error, LONGEST, Pickup, State, link, schema};

const NOTICE: i64 = 1;
const RECEIPT: i64 = 2;
/// The notice came back.
pub(crate) const NO_NOTICE: i64 = 4;

/// Who hears of the message.
struct Hearer {
    account: AccountId,
    address: String,
}

impl Pickup {
    pub(crate) async fn wait(&self, batch: &Batch, jobs: &[&Job]) -> Result<Vec<(QueueId, Outcome)>, Error> {
        let keys = self.inner.keys.tenant(batch.tenant).await?;
        let Some(hearer) = self.hearer(batch, &keys).await? else {
            // Nobody could tell the recipient a code, so the message would wait for ever.
            let rejected = |job: &&Job| {
                let evidence = Evidence { reply: Error::NoSender.to_string(), ..Evidence::default() };
                (job.id, Outcome::Rejected { reason: Reason::AddressRefused, evidence })
            };
            return Ok(jobs.iter().map(rejected).collect());
        };
        let (message, rows) = self.copies(batch, jobs, &keys, &hearer).await?;
        self.tell_all(batch, &message, &keys, rows).await?;
        Ok(jobs.iter().map(|job| (job.id, Outcome::Waiting)).collect())
    }

    /// The sender's mailbox. A recipient who answers to all has none here: then it is the sender of what they answer.
    async fn hearer(&self, batch: &Batch, keys: &Arc<TenantKeys>) -> Result<Option<Hearer>, Error> {
        if let (Some(account), Some(address)) = (batch.sender, batch.from.address()) {
            return Ok(Some(Hearer { account, address: address.to_string() }));
        }
        let tenant = batch.tenant;
        for id in batch.facts.references.iter().rev().take(20) {
            let index = keys.blind("pickup.message_id", id.as_bytes());
            let found = self
                .inner
                .store
                .read(move |tx| {
                    Ok::<_, Error>(tx.row(&schema::BY_MESSAGE, params![tenant, index], Message::read)?)
                })
                .await?;
            if let Some(message) = found {
                return Ok(Some(Hearer { account: message.account, address: message.detail(keys)?.sender }));
            }
        }
        Ok(None)
    }

    /// Makes the copies that don't exist yet, all in one transaction, and returns all of this batch.
    async fn copies(
        &self,
        batch: &Batch,
        jobs: &[&Job],
        keys: &Arc<TenantKeys>,
        hearer: &Hearer,
    ) -> Result<(Message, Vec<(Row, Option<Code>)>), Error> {
        let queues: Vec<QueueId> = jobs.iter().map(|j| j.id).collect();
        let known = self.known(&queues).await?;
        let fresh_jobs: Vec<&&Job> = jobs.iter().filter(|j| !known.contains(&j.id)).collect();
        let lives = match fresh_jobs.len() {
            0 => Vec::new(),
            n => self.inner.keys.ring().create_keys(n).await?,
        };
        let facts = Facts::of(batch);
        let (now, blob) = (self.inner.clock.now(), batch.message.blob());
        let keep = batch.facts.tags.expire.unwrap_or(self.inner.options.keep).clamp(DAY, LONGEST);
        let (mut rows, mut codes) = (Vec::with_capacity(lives.len()), Vec::with_capacity(lives.len()));
        for (job, (life, key)) in fresh_jobs.iter().zip(&lives) {
            let id: RecipientId = self.inner.store.id();
            let (code, hash) = self.new_code(keys, id, 0);
            let address = job.recipient.to_string();
            rows.push(NewRow {
                id,
                tenant: batch.tenant,
                queue: job.id,
                token: link::index(&self.inner.keys, "pickup_recipient.token", link::of(keys, id).token()),
                address_index: keys.blind("pickup_recipient.address", job.recipient.key().as_bytes()),
                address: keys.seal(Root::Records, &address_aad(batch.tenant, id), address.as_bytes()),
                reason: job.reason,
                blob,
                life: *life,
                wrapped: key.wrap(
                    &self.inner.random,
                    &wrapped_aad(batch.tenant, id, blob),
                    batch.message.key(),
                ),
                facts: facts.seal(key, &self.inner.random, &facts_aad(batch.tenant, id))?,
                now: Standing {
                    state: State::Waiting,
                    ask: batch.facts.tags.code,
                    code: hash,
                    tries: 0,
                    issues: 0,
                    created: now,
                    expires: now.plus(keep),
                    opened: None,
                    opened_from: None,
                    replied: None,
                    ended: None,
                    ended_by: None,
                    ended_why: None,
                },
            });
            codes.push((id, code));
        }
        let lives: Vec<LifeKeyId> = lives.iter().map(|(id, _)| *id).collect();
        match self.insert(batch, keys, hearer, rows, now, queues).await {
            Ok((message, rows)) => {
                let mut out = Vec::with_capacity(rows.len());
                for row in rows {
                    let row = row.check(keys)?;
                    let code = codes.iter().find(|(id, _)| *id == row.id).map(|(_, code)| code.clone());
                    out.push((row, code));
                }
                Ok((message, out))
            }
            Err(error) => {
                // Nothing hangs on them; should this fail too, they are keys to nothing.
                let _ = self.inner.keys.ring().destroy(&lives).await;
                Err(error)
            }
        }
    }

    async fn insert(
        &self,
        batch: &Batch,
        keys: &Arc<TenantKeys>,
        hearer: &Hearer,
        rows: Vec<NewRow>,
        now: Time,
        queues: Vec<QueueId>,
    ) -> Result<(Message, Vec<Row>), Error> {
        let organisation = self.inner.delivery.organisation(batch.tenant).await?;
        let detail = Detail { organisation, sender: hearer.address.clone() };
        let id = self.inner.store.id();
        let (tenant, submission, account) = (batch.tenant, batch.submission, hearer.account);
        let index = keys.blind("pickup.message_id", batch.facts.message_id.as_bytes());
        let bound = Bound { id, tenant, submission, account, created: now, message_index: index };
        let detail = detail.seal(keys, &bound);
        let draft = self
            .inner
            .audit
            .draft(tenant, &Actor::System, &Client::SYSTEM, Verb::PickupWait)
            .owner(account)
            .object(submission)
            .objects(rows.iter().map(|r| r.id));
        let entry = self.inner.audit.seal(draft).await?;
        let (keys, rows) = (Arc::clone(keys), Arc::new(rows));
        self.write(tenant, move |tx| {
            if !rows.is_empty() {
                // A recipient whose method changes later joins the message that waits already.
                tx.execute(
                    &schema::INSERT_PICKUP,
                    params![id, tenant, submission, account, index, now, detail],
                )?;
            }
            let message = tx
                .row(&schema::PICKUP_OF, params![submission], Message::read)?
                .ok_or(Error::Corrupt { what: "pickup", id: id.raw() })?;
            for row in rows.iter() {
                row.insert(tx, &keys, message.id)?;
            }
            if !rows.is_empty() {
                sealpost_audit::insert(tx, &entry)?;
                tx.after_commit(Topic::Pickup(message.id));
            }
            let mut all = Vec::with_capacity(queues.len());
            for queue in &queues {
                all.extend(tx.row(&schema::BY_QUEUE, params![*queue], Row::read)?);
            }
            Ok((message, all))
        })
        .await
    }

    async fn known(&self, queues: &[QueueId]) -> Result<Vec<QueueId>, Error> {
        let queues = queues.to_vec();
        self.inner
            .store
            .read(move |tx| {
                let mut known = Vec::new();
                for queue in &queues {
                    known.extend(tx.row(&schema::BY_QUEUE, params![*queue], Row::read)?.map(|r| r.queue));
                }
                Ok(known)
            })
            .await
    }

    /// Notices and the receipt, for those who weren't told yet.
    async fn tell_all(
        &self,
        batch: &Batch,
        message: &Message,
        keys: &Arc<TenantKeys>,
        mut rows: Vec<(Row, Option<Code>)>,
    ) -> Result<(), Error> {
        let mut told = Vec::new();
        for (row, code) in &mut rows {
            let address = row.address(keys)?;
            if row.told & NOTICE == 0 {
                let link = link::of(keys, row.id);
                let accepted =
                    self.notify(message, keys, row.id, &address, &link, row.now.last_day()).await?;
                let draft = self
                    .inner
                    .audit
                    .draft(batch.tenant, &Actor::System, &Client::SYSTEM, Verb::PickupNotice)
                    .owner(message.account)
                    .object(message.id)
                    .object(row.id)
                    .object(accepted.submission);
                self.note(row, NOTICE, draft).await?;
            }
            if row.told & RECEIPT == 0 {
                let code = match code.take() {
                    Some(code) => code,
                    // An earlier attempt ended before its receipt: that code is known to nobody.
                    None => self.replace_code(row, keys).await?,
                };
                told.push(Told {
                    address,
                    reason: row.reason,
                    state: row.now.state,
                    code: Some(Secret::new(code.expose().to_owned())),
                });
            }
        }
        let last_day = rows.iter().map(|(row, _)| row.now.last_day()).min();
        if told.is_empty() {
            return Ok(());
        }
        let facts = &batch.facts;
        let thread = Thread {
            subject: facts.subject.clone(),
            message_id: facts.message_id.clone(),
            references: facts.references.clone(),
        };
        let accepted = self.receipt(message, keys, &thread, last_day, &told).await?;
        for (row, _) in &mut rows {
            if row.told & RECEIPT == 0 {
                let draft = self
                    .inner
                    .audit
                    .draft(batch.tenant, &Actor::System, &Client::SYSTEM, Verb::Receipt)
                    .owner(message.account)
                    .object(message.id)
                    .object(row.id)
                    .object(accepted.submission);
                self.note(row, RECEIPT, draft).await?;
            }
        }
        Ok(())
    }

    pub(crate) async fn note(
        &self,
        row: &mut Row,
        what: i64,
        draft: sealpost_audit::Draft,
    ) -> Result<(), Error> {
        row.told |= what;
        let (id, told) = (row.id, row.told);
        let entry = self.inner.audit.seal(draft).await?;
        self.write(row.tenant, move |tx| {
            tx.execute(&schema::TOLD, params![id, told])?;
            Ok(sealpost_audit::insert(tx, &entry)?)
        })
        .await
    }

    /// A code in place of one that nobody was told; no issue is spent.
    async fn replace_code(&self, row: &Row, keys: &Arc<TenantKeys>) -> Result<Code, Error> {
        let (code, hash) = self.new_code(keys, row.id, row.now.issues);
        let (id, keys) = (row.id, Arc::clone(keys));
        self.write(row.tenant, move |tx| {
            let row = fresh(tx, &keys, id)?;
            let mut to = row.now.clone();
            to.code = hash;
            row.change(tx, &keys, &to)
        })
        .await?;
        Ok(code)
    }
}
