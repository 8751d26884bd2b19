//! Acts with an effect outside the database: opened in a commit of their own first, completed after.

use std::collections::HashMap;

use sealpost_model::{AuditId, Id};
use sealpost_store::{Scope, Tx, params};

use crate::entry::Placed;
use crate::{Audit, Draft, Entry, Error, Outcome, schema};

/// An act that has begun. It is in the log already; [`Open::complete`] says how it ended. One that is dropped, or whose
/// process dies, is completed as `unknown` at the next start.
#[must_use = "an act that nobody completes ends as `unknown`"]
pub struct Open {
    audit: Audit,
    draft: Draft,
    id: AuditId,
}

/// How an opened act ended.
#[derive(Clone, Debug)]
pub struct Completion {
    outcome: Outcome,
    reason: &'static str,
    notes: Vec<(String, String)>,
}

impl From<Outcome> for Completion {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, reason: "", notes: Vec::new() }
    }
}

impl Completion {
    /// The named reason, a fixed word.
    #[must_use]
    pub const fn reason(mut self, name: &'static str) -> Self {
        self.reason = name;
        self
    }

    /// A remark that is sealed: what the peer said.
    #[must_use]
    pub fn detail(mut self, text: impl Into<String>) -> Self {
        self.notes.push((String::new(), text.into()));
        self
    }
}

impl Audit {
    /// Opens an act: on return its entry is committed, and the act may begin.
    ///
    /// # Errors
    /// It could not be written: then the act must not begin.
    pub async fn open(&self, draft: Draft) -> Result<Open, Error> {
        let (open, entry) = self.prepare_open(draft).await?;
        self.inner.store.write(Scope::unlocked(), move |tx| insert_open(tx, &entry)).await?;
        Ok(open)
    }

    /// The same for a caller who commits the entry with rows of their own, by [`insert_open`].
    ///
    /// # Errors
    /// The tenant's keys can't be had.
    pub async fn prepare_open(&self, draft: Draft) -> Result<(Open, Entry), Error> {
        let draft = draft.ended(Outcome::Open);
        let entry = self.seal(draft.clone()).await?;
        Ok((Open { audit: self.clone(), draft, id: entry.id() }, entry))
    }

    /// Completes as `unknown` whatever a process left open that is gone.
    /// `starting`: this one has opened none yet.
    pub(crate) async fn complete_unknown(&self, starting: bool) -> Result<(), Error> {
        let (mut after, own) = (0_i64, self.inner.store.node());
        loop {
            let (last, left) = self
                .inner
                .store
                .read(move |tx| {
                    let open = tx.rows(&schema::OPENED, params![after], |r| Ok((r.int(0)?, r.int(1)?)))?;
                    let mut left: Vec<(i64, Option<Result<Placed, i64>>)> = Vec::new();
                    let mut alive = HashMap::from([(own, !starting)]);
                    for (id, node) in &open {
                        if !alive.contains_key(node) {
                            alive.insert(*node, tx.lives(*node)?);
                        }
                        if alive.get(node) == Some(&false) {
                            left.push((*id, tx.row(&schema::BY_ID, params![*id], Placed::try_read)?));
                        }
                    }
                    Ok::<_, sealpost_store::Error>((open.last().map(|(id, _)| *id), left))
                })
                .await?;
            let Some(last) = last else { return Ok(()) };
            after = last;
            if left.is_empty() {
                continue;
            }
            tracing::warn!(count = left.len(), "acts that an earlier run left open are completed as unknown");
            for (id, row) in left {
                let Some(Ok(Placed { entry, .. })) = row else {
                    // `verify` names the row; nothing can be said here of whose it was.
                    tracing::error!(id, "an open act has no entry that can be read");
                    continue;
                };
                let keys = match self.inner.keys.tenant(entry.tenant()).await {
                    Ok(keys) => keys,
                    Err(error) => {
                        tracing::error!(id, %error, "an open act cannot be completed");
                        continue;
                    }
                };
                let closing = self.closing(&keys, &entry);
                match self.inner.store.write(Scope::bulk(), move |tx| insert_completion(tx, &closing)).await {
                    // Another node was faster, or its own did end it.
                    Ok(()) | Err(sealpost_store::Error::Fenced) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    /// The `unknown` end of an entry that was read back: the same facts, by the server itself.
    fn closing(&self, keys: &sealpost_store::keys::TenantKeys, open: &Entry) -> Entry {
        let verb = crate::Verb::from_number(open.verb).unwrap_or(crate::Verb::Command);
        let caller = crate::Caller::SYSTEM;
        let mut draft = Draft::new(open.tenant(), &caller.actor, &caller.client, verb)
            .reason("process-ended")
            .ended(Outcome::Unknown)
            .closing(open.id())
            .objects(crate::object::decode(&open.objects).unwrap_or_default());
        draft.owner = open.owner();
        self.seal_with(keys, &draft)
    }
}

impl Open {
    /// The id of the opened entry, by which the ledger cites the attempt.
    pub const fn id(&self) -> AuditId {
        self.id
    }

    /// Says how the act ended; on return that is committed.
    ///
    /// # Errors
    /// It could not be written; the next start will call it `unknown`.
    pub async fn complete(self, how: impl Into<Completion>) -> Result<AuditId, Error> {
        let store = self.audit.inner.store.clone();
        let entry = self.completion(how).await?;
        let id = entry.id();
        store.write(Scope::unlocked(), move |tx| insert_completion(tx, &entry)).await?;
        Ok(id)
    }

    /// The completing entry for a caller who commits it with rows of their own, by [`insert_completion`].
    ///
    /// # Errors
    /// The tenant's keys can't be had.
    pub async fn completion(self, how: impl Into<Completion>) -> Result<Entry, Error> {
        let how = how.into();
        let mut draft = self.draft.ended(how.outcome).closing(self.id).reason(how.reason);
        draft.notes = how.notes;
        self.audit.seal(draft).await
    }
}

/// Writes an opened entry in the caller's transaction.
///
/// # Errors
/// What the store says.
pub fn insert_open(tx: &mut Tx, entry: &Entry) -> Result<(), sealpost_store::Error> {
    crate::insert(tx, entry)?;
    let node = tx.node();
    tx.apply(&schema::OPEN, params![entry.id(), node])
}

/// Writes a completing entry in the caller's transaction.
///
/// # Errors
/// What the store says.
pub fn insert_completion(tx: &mut Tx, entry: &Entry) -> Result<(), sealpost_store::Error> {
    crate::insert(tx, entry)?;
    // Whoever took this process for gone has completed it as `unknown`.
    match tx.execute(&schema::CLOSE, params![AuditId::from_raw(entry.closes)])? {
        0 => Err(sealpost_store::Error::Fenced),
        _ => Ok(()),
    }
}
