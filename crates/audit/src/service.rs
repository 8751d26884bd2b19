//! The service: what the rest of Sealpost calls.

use std::sync::Arc;
use std::time::Duration;

use sealpost_crypto::{Random, SigningKey};
use sealpost_model::{Actor, AuditId, Client, SharedClock, TenantId, Time};
use sealpost_store::keys::{Keys, Root, TenantKeys};
use sealpost_store::{Scope, Store, Turn};

use crate::anchor::{Anchor, Witness};
use crate::detail::{ClientFacts, Detail};
use crate::journal::Journal;
use crate::{Draft, Entry, Error, Verb, insert};

/// How the log is kept.
#[derive(Clone, Default)]
pub struct Options {
    /// The places that also get the newest checkpoints, outside the data folder (`[audit] anchor`).
    pub anchors: Vec<Arc<dyn Witness>>,
    /// The server's name, which stands in the checkpoints of logs that begin from now on.
    pub server: String,
    /// Whether a read waits until its entry is on the disk (`audit_reads = durable`), not only in the kernel.
    pub durable_reads: bool,
    /// How often the server writes that it is there; 0 is [`HEARTBEAT`].
    pub heartbeat: Duration,
    /// A restore opens the log: [`Audit::restored`] comes next, so that anchors that know more are no surprise.
    pub restoring: bool,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.anchors.iter().map(|a| a.name()).collect();
        f.debug_struct("Options")
            .field("anchors", &names)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// How often the server writes that it is there, unless told otherwise.
pub const HEARTBEAT: Duration = Duration::from_secs(600);

/// The audit log of this process. Clones share it.
#[derive(Clone)]
pub struct Audit {
    pub(crate) inner: Arc<Inner>,
}

/// A sequencer that gives no sign of life for so long has its work taken over.
const TURN: Duration = Duration::from_secs(5);

pub(crate) struct Inner {
    pub store: Store,
    pub keys: Keys,
    pub clock: SharedClock,
    pub random: Random,
    pub options: Options,
    pub journal: Journal,
    pub anchors: Vec<Anchor>,
    /// Held during a pass of the sequencer.
    pub passing: tokio::sync::Mutex<()>,
    /// Whose turn it is to sequence: one process of all that share the store.
    pub sequencing: Turn,
}

impl Audit {
    /// Opens the log: ingests what the read journal of an earlier run still holds, completes as `unknown` what that run
    /// left open, and compares the trees with the anchor. Call it once, before anything serves.
    ///
    /// # Errors
    /// The store's, the journal folder's. A log that does not fit an anchor is no error here: it gets an entry and stays
    /// as evidence for `verify`. An anchor that can't be read is tried again, and named by `check`.
    pub async fn new(
        store: Store,
        keys: Keys,
        clock: SharedClock,
        random: Random,
        options: Options,
    ) -> Result<Self, Error> {
        let journal = Journal::open(store.data().join("read-journal"))?;
        let anchors = options.anchors.iter().cloned().map(Anchor::new).collect();
        let passing = tokio::sync::Mutex::new(());
        let sequencing = Turn::new(store.clone(), "audit sequencer", TURN);
        let inner = Inner { store, keys, clock, random, options, journal, anchors, passing, sequencing };
        let audit = Self { inner: Arc::new(inner) };
        audit.ingest().await?;
        audit.complete_unknown(true).await?;
        audit.ingest_offline().await?;
        audit.read_anchors().await;
        Ok(audit)
    }

    /// Begins an entry: `actor` does `verb` in `tenant`, from `client`.
    pub fn draft(&self, tenant: TenantId, actor: &Actor, client: &Client, verb: Verb) -> Draft {
        Draft::new(tenant, actor, client, verb)
    }

    /// Seals a draft: gives it its id and time. Call it before the closure, and [`insert`] inside it.
    ///
    /// # Errors
    /// The tenant's keys can't be had.
    pub async fn seal(&self, draft: Draft) -> Result<Entry, Error> {
        let keys = self.inner.keys.tenant(draft.tenant).await?;
        Ok(self.seal_with(&keys, &draft))
    }

    /// The time, as entries will say it.
    pub fn now(&self) -> Time {
        self.inner.clock.now()
    }

    pub(crate) fn seal_with(&self, keys: &TenantKeys, draft: &Draft) -> Entry {
        let mut entry = Entry::plain(draft, self.inner.store.id(), self.inner.clock.now());
        let detail = Detail { client: Some(ClientFacts::from(&draft.client)), notes: draft.notes.clone() };
        let (plain, commitment) = detail.plain(&self.inner.random);
        entry.detail = keys.seal(Root::Records, &entry.aad(), &plain);
        entry.commitment = commitment.to_vec();
        entry
    }

    /// Writes an entry by itself: a refusal, a failure, an act that changes nothing else. On return it is committed.
    ///
    /// # Errors
    /// It could not be written; then the answer must not be given either.
    pub async fn refusal(&self, draft: Draft) -> Result<AuditId, Error> {
        let entry = self.seal(draft).await?;
        let id = entry.id();
        self.inner.store.write(Scope::unlocked(), move |tx| insert(tx, &entry)).await?;
        Ok(id)
    }

    /// The same as [`Self::refusal`], for an act that was done and has no transaction of its own.
    ///
    /// # Errors
    /// It could not be written.
    pub async fn record(&self, draft: Draft) -> Result<AuditId, Error> {
        self.refusal(draft).await
    }

    /// Writes down a read, before the first byte of content leaves (S53). On return the kernel has it; with
    /// `durable_reads` the disk.
    ///
    /// # Errors
    /// It could not be written: then nothing may be shown.
    pub async fn read(&self, draft: Draft) -> Result<AuditId, Error> {
        let keys = self.inner.keys.tenant(draft.tenant).await?;
        let entry = self.seal_with(&keys, &draft);
        let number = self.inner.journal.append(entry.tenant, entry.id, |spot| {
            let plain = postcard::to_allocvec(&entry).expect("an entry is plain data");
            keys.seal(Root::Records, &crate::ingest::aad(entry.tenant(), entry.id, spot), &plain)
        })?;
        if self.inner.options.durable_reads {
            self.inner.journal.durable(number).await?;
        }
        Ok(entry.id())
    }

    pub(crate) fn signer(keys: &TenantKeys) -> SigningKey {
        SigningKey::from_seed(&keys.derive(Root::Records, "audit checkpoints"))
    }
}
