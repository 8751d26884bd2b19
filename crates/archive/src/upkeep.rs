//! The clock of everything that keeps bodies: the archiver within a minute, expiry and the collector every few hours,
//! scrubbing once a period. One node of all does it.

use std::time::Duration;

use sealpost_audit::{Audit, Caller, Completion, Outcome, Verb};
use sealpost_store::Store;
use sealpost_store::blob::{
    self, archive::Archived, collect::Collected, compact::Compacted, scrub::Scrubbed,
};
use sealpost_store::keys::Keys;

use crate::Error;
use crate::expire::{self, Expired};

/// How often, and after how long.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Between two runs of the archiver.
    pub archive: Duration,
    /// Between two runs of expiry, collector and compaction.
    pub collect: Duration,
    /// How long a body that nothing names, and a pack that holds nothing, are kept all the same.
    pub grace: Duration,
    /// How often each pack and object is read again.
    pub scrub: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            archive: Duration::from_secs(30),
            collect: Duration::from_secs(6 * 3600),
            grace: Duration::from_secs(86_400),
            scrub: Duration::from_secs(30 * 86_400),
        }
    }
}

/// Looks after bodies. Clones share it.
#[derive(Clone)]
pub struct Upkeep {
    store: Store,
    keys: Keys,
    audit: Audit,
    rules: Rules,
}

impl Upkeep {
    /// Over this store.
    pub const fn new(store: Store, keys: Keys, audit: Audit, rules: Rules) -> Self {
        Self { store, keys, audit, rules }
    }

    /// The rules.
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Works until `stop`.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let task = |_lease| async move {
            loop {
                if let Err(error) = self.turn().await {
                    tracing::error!(%error, "bodies could not be looked after; it is tried again");
                }
                tokio::time::sleep(self.rules.archive).await;
            }
        };
        self.store.single("upkeep of bodies", stop, task).await;
    }

    /// One turn: the archiver, and what else is due by the clock.
    ///
    /// # Errors
    /// What keeps it from its work.
    pub async fn turn(&self) -> Result<(), Error> {
        blob::archive::run(&self.store).await?;
        let status = blob::status(&self.store).await?;
        let now = self.store.clock().now();
        if status.collected.is_none_or(|last| now.since(last) >= self.rules.collect) {
            expire::run(&self.store, &self.keys, &self.audit).await?;
            self.collect(Caller::SYSTEM).await?;
            self.compact(Caller::SYSTEM).await?;
        }
        if status.scrubbed.is_some_and(|oldest| now.since(oldest) >= self.rules.scrub) {
            self.scrub(Caller::SYSTEM, self.rules.scrub).await?;
        }
        Ok(())
    }

    /// Copies what the journal names to its shelf, now.
    ///
    /// # Errors
    /// The store's.
    pub async fn archive(&self) -> Result<Archived, Error> {
        Ok(blob::archive::run(&self.store).await?)
    }

    /// Ends what has expired, now; each day has an entry of its own.
    ///
    /// # Errors
    /// What keeps it from its work.
    pub async fn expire(&self) -> Result<Expired, Error> {
        expire::run(&self.store, &self.keys, &self.audit).await
    }

    /// Runs the collector.
    ///
    /// # Errors
    /// The store's and the log's; the entry says so.
    pub async fn collect(&self, caller: Caller) -> Result<Collected, Error> {
        let grace = self.rules.grace;
        self.entered(caller, Verb::BlobCollect, blob::collect::run(&self.store, grace), |c| {
            let words = format!(
                "{} bodies looked at, {} begin to die, {} live on, {} deleted ({} bytes)",
                c.looked, c.dying, c.revived, c.deleted, c.bytes
            );
            (Outcome::Done, words)
        })
        .await
    }

    /// Runs compaction.
    ///
    /// # Errors
    /// As [`collect`](Self::collect).
    pub async fn compact(&self, caller: Caller) -> Result<Compacted, Error> {
        let grace = self.rules.grace;
        self.entered(caller, Verb::BlobCompact, blob::compact::run(&self.store, grace), |c| {
            let words = format!(
                "{} bodies copied ({} bytes), {} packs empty, {} removed, {} stuck",
                c.bodies, c.bytes, c.dying, c.removed, c.stuck
            );
            (if c.stuck == 0 { Outcome::Done } else { Outcome::Failed }, words)
        })
        .await
    }

    /// Reads every pack and object that was not read for `period`.
    ///
    /// # Errors
    /// As [`collect`](Self::collect).
    pub async fn scrub(&self, caller: Caller, period: Duration) -> Result<Scrubbed, Error> {
        self.entered(caller, Verb::BlobScrub, blob::scrub::run(&self.store, period), |s| {
            let mut words =
                format!("{} packs read ({} bytes), {} damaged", s.packs, s.bytes, s.damaged.len());
            for (pack, at) in &s.damaged {
                words += &format!("; pack {pack} at byte {at}");
            }
            (if s.damaged.is_empty() { Outcome::Done } else { Outcome::Failed }, words)
        })
        .await
    }

    /// Does it between its two entries in the server's own log.
    async fn entered<T>(
        &self,
        caller: Caller,
        verb: Verb,
        work: impl Future<Output = sealpost_store::Result<T>>,
        say: impl FnOnce(&T) -> (Outcome, String),
    ) -> Result<T, Error> {
        let draft = self.audit.draft(sealpost_audit::instance(), &caller.actor, &caller.client, verb);
        let open = self.audit.open(draft).await.map_err(|e| Error::Log(e.to_string()))?;
        let done = work.await;
        let (outcome, words) = match &done {
            Ok(done) => say(done),
            Err(error) => (Outcome::Failed, error.to_string()),
        };
        let completion = Completion::from(outcome).detail(words);
        open.complete(completion).await.map_err(|e| Error::Log(e.to_string()))?;
        Ok(done?)
    }
}
