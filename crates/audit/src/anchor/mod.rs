//! Anchors: the newest checkpoint of each log, kept at places outside the data folder.
//!
//! Whoever puts yesterday's copy of the data back, or cuts the end of the log off, can't make an anchor forget. So an
//! anchor never goes backwards: a log that is shorter than its anchor, or has another history, keeps the anchor's
//! note as it is, and `verify` names the gap. The one way on is a `restored` entry that cites the note: then it becomes
//! evidence of what was lost, and stays.
//!
//! A place is a [`Witness`]: a file ([`FileWitness`]), and what the binary brings (a host over HTTPS, a mail). Each has
//! a state of its own. One that fails is asked again, at growing intervals, and keeps nobody waiting. What a place holds
//! is read before it is written, so that several nodes can't undo each other's.

mod file;
mod text;

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sealpost_model::{Id, TenantId, Time};
use sealpost_store::{Scope, params};

pub use file::FileWitness;
pub(crate) use text::{Anchored, Known, parse, print, tenants};

use crate::{Audit, Caller, Draft, Error, Verb, restored, schema, sequence};

/// What a witness answers, sooner or later: the value, or in words why not.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send + 'a>>;

/// A place that keeps the newest checkpoints.
pub trait Witness: Send + Sync + 'static {
    /// How reports call it. No secrets.
    fn name(&self) -> String;

    /// What it holds; `None` if it holds nothing yet.
    fn read(&self) -> Answer<'_, Option<String>>;

    /// Keeps this text in the place of the one before.
    fn write<'a>(&'a self, text: &'a str) -> Answer<'a, ()>;

    /// Whether what it holds can be asked for. A mail can't be read back.
    fn can_be_read(&self) -> bool {
        true
    }

    /// Whether it answers at once, so that the sequencer may wait for it.
    fn is_quick(&self) -> bool {
        false
    }

    /// How long to leave it alone after it was given something.
    fn rest(&self) -> Duration {
        Duration::from_secs(1)
    }
}

/// How a place does, for `check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnchorStatus {
    /// Its name.
    pub name: String,
    /// When it last took the newest checkpoints.
    pub written: Option<Time>,
    /// Since when it fails, and why.
    pub failing: Option<(Time, String)>,
}

/// One place, and what we know of it.
pub(crate) struct Anchor {
    witness: Arc<dyn Witness>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What it is to hold; `None` until it was read for the first time.
    known: Option<Known>,
    /// The text that it held when it was last read or written.
    held: Option<String>,
    /// Newer checkpoints than it has.
    newer: Known,
    /// Logs that don't contain what is anchored: their notes are evidence and stay.
    frozen: BTreeSet<i64>,
    failing: Option<(Time, String)>,
    failures: u32,
    /// Not to be asked before.
    next: Option<Time>,
    /// When the table last heard of a success.
    told: Option<Time>,
}

impl Anchor {
    pub(crate) fn new(witness: Arc<dyn Witness>) -> Self {
        Self { witness, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Newer checkpoints; they are written at the next [`Audit::write_anchors`].
    pub(crate) fn offer(&self, newer: &[(TenantId, Anchored)]) {
        let mut state = self.lock();
        for (tenant, anchored) in newer {
            let chain = state.newer.entry(tenant.raw()).or_default();
            if chain.current.as_ref().is_none_or(|c| c.signed.size < anchored.signed.size) {
                chain.current = Some(anchored.clone());
            }
        }
    }

    pub(crate) fn name(&self) -> String {
        self.witness.name()
    }

    /// All checkpoints that it knows of a log, lost ones first.
    pub(crate) fn of(&self, tenant: TenantId) -> Vec<Anchored> {
        let state = self.lock();
        let chain = state.known.as_ref().and_then(|k| k.get(&tenant.raw())).cloned().unwrap_or_default();
        chain.lost.into_iter().chain(chain.current).collect()
    }
}

impl State {
    /// Takes what the place holds into what is known: neither ever goes backwards.
    fn merge(&mut self, held: Known) {
        let known = self.known.get_or_insert_default();
        for (tenant, chain) in held {
            let mine = known.entry(tenant).or_default();
            for lost in chain.lost {
                if !mine.lost.contains(&lost) {
                    mine.lost.push(lost);
                }
            }
            if let Some(theirs) = chain.current
                && !mine.lost.contains(&theirs)
                && mine.current.as_ref().is_none_or(|m| m.signed.size < theirs.signed.size)
            {
                mine.current = Some(theirs);
            }
        }
    }

    /// What it should hold now: newer checkpoints in the place of older ones.
    fn wanted(&self) -> Known {
        let mut next = self.known.clone().unwrap_or_default();
        for (tenant, newer) in &self.newer {
            let Some(newer) = &newer.current else { continue };
            let chain = next.entry(*tenant).or_default();
            if !self.frozen.contains(tenant)
                && chain.current.as_ref().is_none_or(|c| c.signed.size < newer.signed.size)
            {
                chain.current = Some(newer.clone());
            }
        }
        next
    }
}

impl Audit {
    /// How each anchor does, as this process knows it.
    pub fn anchors(&self) -> Vec<AnchorStatus> {
        let status = |a: &Anchor| {
            let state = a.lock();
            AnchorStatus { name: a.witness.name(), written: state.told, failing: state.failing.clone() }
        };
        self.inner.anchors.iter().map(status).collect()
    }

    /// At start: reads each place, and compares the logs with it.
    pub(crate) async fn read_anchors(&self) {
        let told = anchor_statuses(&self.inner.store).await.unwrap_or_default();
        for anchor in self.inner.anchors.iter().filter(|a| !a.witness.can_be_read()) {
            // Who gets a mail a day does not get one at each start.
            let written = told.iter().find(|t| t.name == anchor.name()).and_then(|t| t.written);
            anchor.lock().next = written.map(|at| at.plus(anchor.witness.rest()));
        }
        for anchor in &self.inner.anchors {
            if anchor.witness.is_quick()
                && let Err(why) = self.read_anchor(anchor).await
            {
                self.anchor_failed(anchor, why).await;
            }
        }
    }

    /// Reads every place that can be read, now.
    pub(crate) async fn ask_all_anchors(&self) -> Result<(), Error> {
        for anchor in &self.inner.anchors {
            let asked = tokio::time::timeout(PATIENCE, self.read_anchor(anchor)).await;
            if let Err(why) = asked.unwrap_or_else(|_| Err("it did not answer in time".into())) {
                return Err(Error::Witness { name: anchor.witness.name(), why });
            }
        }
        Ok(())
    }

    /// Brings the anchors up to date: those that answer at once, or the others. One that fails waits; nothing else does.
    pub(crate) async fn write_anchors(&self, quick: bool) {
        let now = self.now();
        for anchor in self.inner.anchors.iter().filter(|a| a.witness.is_quick() == quick) {
            let due = {
                let state = anchor.lock();
                let news = state.known.is_none() && anchor.witness.can_be_read()
                    || state.wanted() != state.known.clone().unwrap_or_default();
                news && state.next.is_none_or(|n| n <= now)
            };
            if !due {
                continue;
            }
            let done = async {
                self.read_anchor(anchor).await?;
                self.write_anchor(anchor).await
            };
            match tokio::time::timeout(PATIENCE, done).await {
                Ok(Ok(())) => self.anchor_works(anchor).await,
                Ok(Err(why)) => self.anchor_failed(anchor, why).await,
                Err(_) => self.anchor_failed(anchor, "it did not answer in time".into()).await,
            }
        }
    }

    /// Reads a place, and compares the logs with what it holds that was not known.
    async fn read_anchor(&self, anchor: &Anchor) -> Result<(), String> {
        if !anchor.witness.can_be_read() {
            anchor.lock().known.get_or_insert_default();
            return Ok(());
        }
        let text = anchor.witness.read().await?;
        let first = {
            let mut state = anchor.lock();
            let first = state.known.is_none();
            if !first && state.held == text {
                return Ok(());
            }
            let held = parse(text.as_deref().unwrap_or_default()).ok_or(DAMAGED)?;
            state.merge(held);
            state.held = text;
            first
        };
        if first { self.check_anchor(anchor).await.map_err(|e| e.to_string()) } else { Ok(()) }
    }

    async fn write_anchor(&self, anchor: &Anchor) -> Result<(), String> {
        let (wanted, text) = {
            let state = anchor.lock();
            let wanted = state.wanted();
            let text = print(&wanted);
            if state.held.as_deref() == Some(text.as_str()) || state.held.is_none() && text.is_empty() {
                return Ok(());
            }
            (wanted, text)
        };
        anchor.witness.write(&text).await?;
        let mut state = anchor.lock();
        state.known = Some(wanted);
        state.held = Some(text);
        Ok(())
    }

    async fn anchor_works(&self, anchor: &Anchor) {
        let now = self.now();
        let tell = {
            let mut state = anchor.lock();
            state.failures = 0;
            state.next = (!anchor.witness.is_quick()).then(|| now.plus(anchor.witness.rest()));
            let mended = state.failing.take().is_some();
            let tell = mended || state.told.is_none_or(|t| t.plus(TELL) <= now);
            if tell {
                state.told = Some(now);
            }
            if mended {
                tracing::info!(anchor = %anchor.witness.name(), "the audit anchor works again");
            }
            tell
        };
        if tell {
            self.tell_anchor(anchor).await;
        }
    }

    async fn anchor_failed(&self, anchor: &Anchor, why: String) {
        let now = self.now();
        let changed = {
            let mut state = anchor.lock();
            let wait = FIRST_WAIT.saturating_mul(1 << state.failures.min(10)).min(LONGEST_WAIT);
            state.failures = state.failures.saturating_add(1);
            state.next = Some(now.plus(wait));
            let since = state.failing.as_ref().map_or(now, |(since, _)| *since);
            let changed = state.failing.as_ref().is_none_or(|(_, old)| *old != why);
            state.failing = Some((since, why.clone()));
            changed
        };
        if changed {
            tracing::error!(anchor = %anchor.witness.name(), %why, "the audit anchor does not take checkpoints; it is tried again");
            self.tell_anchor(anchor).await;
        }
    }

    /// Writes down how an anchor does, for `check`, which is another process.
    async fn tell_anchor(&self, anchor: &Anchor) {
        let name = anchor.witness.name();
        let (written, since, why) = {
            let state = anchor.lock();
            let (since, why) = state.failing.clone().map_or((None, String::new()), |(s, w)| (Some(s), w));
            (state.told, since, why)
        };
        let told = self
            .inner
            .store
            .write(Scope::bulk(), move |tx| {
                tx.execute(&schema::ANCHOR_TELL, params![name, written, since, why]).map(drop)
            })
            .await;
        if let Err(error) = told {
            tracing::warn!(%error, "how an audit anchor does could not be written down");
        }
    }

    /// Does each log still contain what this anchor knows? If not, and no `restored` entry says why, an entry tells it
    /// and the anchor's note stays.
    pub(crate) async fn check_anchor(&self, anchor: &Anchor) -> Result<(), Error> {
        let known = anchor.lock().known.clone().unwrap_or_default();
        for tenant in tenants(&known) {
            let Some(current) = known.get(&tenant.raw()).and_then(|c| c.current.clone()) else { continue };
            let (size, root) = (current.signed.size, current.signed.root);
            let fits = self
                .inner
                .store
                .read(move |tx| {
                    let here = sequence::tree_row(tx, tenant)?.map_or(0, |r| r.size);
                    Ok::<_, sealpost_store::Error>(
                        here >= size && crate::proof::root_at(tx, tenant, size) == Some(root),
                    )
                })
                .await?;
            if fits {
                continue;
            }
            if restored::is_cited(self, tenant, size, root).await? {
                let mut state = anchor.lock();
                if let Some(chain) = state.known.as_mut().and_then(|k| k.get_mut(&tenant.raw())) {
                    chain.lost.extend(chain.current.take());
                }
                state.frozen.remove(&tenant.raw());
                state.held = None;
                continue;
            }
            let news = anchor.lock().frozen.insert(tenant.raw());
            if news && !self.inner.options.restoring {
                let name = anchor.witness.name();
                tracing::error!(%tenant, size, anchor = %name, "the audit log does not contain what its anchor knows");
                let Caller { actor, client } = Caller::SYSTEM;
                let draft = Draft::new(crate::instance(), &actor, &client, Verb::AnchorConflict)
                    .failed()
                    .reason("anchor-knows-more")
                    .object(tenant)
                    .note("anchor", name)
                    .note("anchored", current.signed.note);
                self.record(draft).await?;
            }
        }
        Ok(())
    }
}

/// How the anchors do, as the server last wrote it down.
///
/// # Errors
/// The store's.
pub async fn anchor_statuses(store: &sealpost_store::Store) -> Result<Vec<AnchorStatus>, Error> {
    let read = |tx: &sealpost_store::ReadTx| {
        tx.rows(&schema::ANCHORS, params![], |r| {
            let since = r.opt_int(2)?.map(Time::from_millis);
            let why = r.text(3)?;
            Ok(AnchorStatus {
                name: r.text(0)?,
                written: r.opt_int(1)?.map(Time::from_millis),
                failing: since.map(|s| (s, why)),
            })
        })
    };
    Ok(store.read(read).await?)
}

pub(crate) const DAMAGED: &str = "it holds something that is not an anchor's text or was changed; keep it, as evidence, and name another place";
const PATIENCE: Duration = Duration::from_secs(30);
const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(300);
const TELL: Duration = Duration::from_secs(600);
