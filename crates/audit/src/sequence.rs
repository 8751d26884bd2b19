//! The sequencer: committed entries become leaves of their tenant's tree.

use std::sync::Arc;
use std::time::Duration;

use sealpost_model::{AuditId, Id, TenantId};
use sealpost_store::keys::TenantKeys;
use sealpost_store::{Param as _, ReadTx, Scope, params};

use crate::anchor::Anchored;
use crate::checkpoint::{self, Signed};
use crate::entry::Placed;
use crate::tree::{self, Edge};
use crate::{Audit, Caller, Draft, Entry, Error, Object, ObjectKind, Verb, schema};

/// A tree as its row says it.
#[derive(Clone)]
pub(crate) struct TreeRow {
    pub origin: String,
    pub size: u64,
    pub note: String,
}

impl Audit {
    /// Sequences until `stop` comes, at most a second behind, and once more then. What fails is tried again.
    pub async fn run(&self, stop: impl Future<Output = ()> + Send) {
        let mut stop = std::pin::pin!(stop);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut said = String::new();
        let mut look = tokio::time::Instant::now() + LOOK;
        loop {
            let last = tokio::select! {
                () = &mut stop => true,
                _ = tick.tick() => false,
            };
            if tokio::time::Instant::now() >= look && self.inner.sequencing.take().await.is_some() {
                look = tokio::time::Instant::now() + LOOK;
                if let Err(error) = self.complete_unknown(false).await {
                    tracing::warn!(%error, "acts that a server left open which is gone could not be completed");
                }
            }
            match self.pass().await {
                Ok(()) => said.clear(),
                Err(error) => {
                    let text = error.to_string();
                    if said != text {
                        tracing::error!(%error, "entries of the audit log wait to be sequenced");
                        said = text;
                    }
                }
            }
            if last {
                return self.inner.sequencing.end().await;
            }
        }
    }

    /// One pass: ingests the read journal, sequences all that waits, moves the anchor on.
    ///
    /// # Errors
    /// The first one; the other tenants' entries are sequenced nevertheless.
    pub async fn pass(&self) -> Result<(), Error> {
        let _one_at_a_time = self.inner.passing.lock().await;
        let rotated = self.blocking(|inner| inner.journal.rotate()).await;
        let mut result = match rotated {
            Ok(()) => self.ingest().await,
            // Rotation ends the file even if it could not be synced.
            Err(error) => self.ingest().await.and(Err(error)),
        };
        // Each process has a read journal of its own; the trees are one process's at a time.
        if self.inner.sequencing.take().await.is_none() {
            return result;
        }
        let mut newest = Vec::new();
        let tenants =
            self.inner.store.read(|tx| tx.rows(&schema::PENDING_TENANTS, params![], |r| r.id(0))).await?;
        for tenant in tenants {
            match self.sequence_tenant(tenant).await {
                Ok(Some(anchored)) => newest.push((tenant, anchored)),
                Ok(None) => {}
                Err(error) => result = result.and(Err(error)),
            }
        }
        for anchor in &self.inner.anchors {
            anchor.offer(&newest);
        }
        self.write_anchors(true).await;
        result
    }

    /// Sequences what waits of one tenant, in batches; answers the newest checkpoint.
    async fn sequence_tenant(&self, tenant: TenantId) -> Result<Option<Anchored>, Error> {
        let keys = self.inner.keys.tenant(tenant).await?;
        let mut newest = None;
        loop {
            match self.sequence_batch(tenant, &keys).await {
                Ok((signed, more)) => {
                    if let Some(signed) = signed {
                        let public = Self::signer(&keys).public();
                        newest = Some(Anchored {
                            verifier: checkpoint::verifier(&signed.origin, &public),
                            signed,
                        });
                    }
                    if !more {
                        return Ok(newest);
                    }
                }
                // Another process was first; what it left is for the next pass.
                Err(Error::Raced) => return Ok(newest),
                Err(error) => return Err(error),
            }
        }
    }

    /// One batch: at most [`BATCH`] entries, one transaction. Answers the checkpoint, if the tree grew, and whether
    /// there may be more.
    async fn sequence_batch(
        &self,
        tenant: TenantId,
        keys: &Arc<TenantKeys>,
    ) -> Result<(Option<Signed>, bool), Error> {
        let (row, edge, waiting) = self
            .inner
            .store
            .read(move |tx| {
                let row = tree_row(tx, tenant)?;
                let edge = Edge::read(tx, tenant, row.as_ref().map_or(0, |r| r.size))?;
                let waiting = tx.rows(&schema::PENDING, params![tenant, BATCH as i64], Placed::try_read)?;
                Ok::<_, sealpost_store::Error>((row, edge, waiting))
            })
            .await?;
        let more = waiting.len() == BATCH;
        let (mut pending, mut unreadable) = (Vec::new(), Vec::new());
        for row in waiting {
            match row {
                Ok(placed) => pending.push(placed),
                Err(id) => unreadable.push(id),
            }
        }
        if let Some(id) = unreadable.first() {
            tracing::error!(id, count = unreadable.len(), %tenant, "rows of the audit log cannot be read");
        }
        if pending.is_empty() {
            return Ok((None, false));
        }
        pending.sort_by_key(|p| (p.entry.at, p.entry.id));

        let damaged = |why| Error::Damaged { tenant, why };
        let key = Self::signer(keys);
        let mut edge = edge.ok_or_else(|| damaged("hashes of its tree are missing"))?;
        let origin = match &row {
            Some(row) => {
                let signed = checkpoint::verify(&key.public(), &row.note)
                    .ok_or_else(|| damaged("the signature of its checkpoint is wrong"))?;
                if signed.size != row.size || edge.root() != Some(signed.root) {
                    return Err(damaged("its tree is not the one that was signed"));
                }
                row.origin.clone()
            }
            None => checkpoint::origin(&self.inner.options.server, &key.public()),
        };

        let forged =
            pending.iter().filter(|p| !authentic(keys, &p.entry)).map(|p| p.entry.id()).collect::<Vec<_>>();
        let old = edge.size();
        let mut places = Vec::with_capacity(pending.len());
        for Placed { entry, .. } in &pending {
            places.push((entry.id(), edge.size() as i64));
            edge.push(entry.id, entry.leaf());
        }
        let root = edge.root().ok_or_else(|| damaged("its root cannot be computed"))?;
        let signed = checkpoint::sign(&key, &origin, edge.size(), root);
        self.commit(tenant, row.is_none(), old, edge, places, signed.clone()).await?;
        self.report_forged(tenant, forged).await?;
        Ok((Some(signed), more))
    }

    /// The transaction: the tree's row by compare-and-swap on its size, the tiles, the positions.
    async fn commit(
        &self,
        tenant: TenantId,
        first: bool,
        old: u64,
        edge: Edge,
        places: Vec<(AuditId, i64)>,
        signed: Signed,
    ) -> Result<(), Error> {
        let tiles = edge.changed();
        self.inner
            .store
            .write(Scope::unlocked(), move |tx| {
                let Signed { origin, size, note, .. } = &signed;
                let (old, size) = (old as i64, *size as i64);
                let swapped = if first {
                    tx.execute(&schema::PLANT, params![tenant, origin, size, note])?
                } else {
                    tx.execute(&schema::GROW, params![tenant, old, size, note])?
                };
                if swapped != 1 {
                    return Err(Error::Raced);
                }
                for (place, tile) in &tiles {
                    tree::put_tile(tx, tenant, *place, tile)?;
                }
                let rows = places.iter().map(|(id, position)| [id.value(), position.value()]);
                let placed = tx.execute_each(&schema::PLACE, rows)?;
                if placed.iter().all(|rows| *rows == 1) { Ok(()) } else { Err(Error::Raced) }
            })
            .await
    }

    /// Rows that were not written by us, or were changed before they were sequenced, stand in the tree as they are;
    /// an entry names them.
    async fn report_forged(&self, tenant: TenantId, forged: Vec<AuditId>) -> Result<(), Error> {
        if forged.is_empty() {
            return Ok(());
        }
        tracing::error!(count = forged.len(), %tenant, "rows of the audit log are not what was written");
        let Caller { actor, client } = Caller::SYSTEM;
        let draft = Draft::new(tenant, &actor, &client, Verb::Tampered)
            .failed()
            .reason("not-what-was-written")
            .objects(forged.into_iter().map(|id| Object { kind: ObjectKind::Audit, id: id.raw() }));
        self.record(draft).await.map(drop)
    }
}

/// Reads a tree's row.
pub(crate) fn tree_row(tx: &ReadTx, tenant: TenantId) -> Result<Option<TreeRow>, sealpost_store::Error> {
    tx.row(&schema::TREE, params![tenant], |r| {
        Ok(TreeRow { origin: r.text(0)?, size: r.small(1)?, note: r.text(2)? })
    })
}

/// Whether the detail opens with the row's plain facts and is what the commitment says. It fails too when the keys of
/// the records are gone; then there is no tenant any more.
pub(crate) fn authentic(keys: &TenantKeys, entry: &Entry) -> bool {
    keys.open(&entry.aad(), &entry.detail)
        .is_ok_and(|plain| crate::detail::commitment(&plain) == entry.commitment.as_slice())
}

/// How often acts are looked for that another server left open and is gone.
const LOOK: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(400);
pub(crate) const BATCH: usize = 1000;
