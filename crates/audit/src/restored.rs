//! The one break that a log may have: a restore (DESIGN section 8).
//!
//! A restored instance has yesterday's logs, and the anchors know newer ones. Then each log goes on with a `restored`
//! entry whose plain reason says `from SIZE ROOT lost SIZE ROOT ...`: the checkpoint that it came from, and each newer one
//! that is known from anchors or from the backup's place. `verify` accepts an anchor's checkpoint that the log does not
//! contain exactly if such an entry cites it by size and root, and what the entry says it came from is true. It reports
//! the gap all the same.

use std::collections::BTreeSet;

use sealpost_model::{AuditId, TenantId};
use sealpost_store::{Scope, params};
use tlog_tiles::{EMPTY_HASH, Hash};

use crate::entry::Placed;
use crate::restored_line::{self, Break};
use crate::sequence::{authentic, tree_row};
use crate::{Audit, Caller, Draft, Error, Verb, checkpoint, insert, schema};

/// What a restore knows.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// The backup's name, for the sealed remark.
    pub backup: String,
    /// The newest checkpoints that are known from elsewhere than the anchors, as signed notes: the backup's place keeps
    /// some. One that is not newer than what is here, or not signed by its log, is left out.
    pub newest: Vec<(TenantId, String)>,
}

/// What a restore left out of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Whose log.
    pub tenant: TenantId,
    /// Entries that were restored.
    pub from: u64,
    /// Entries of the newest checkpoint that is known; `None` when nothing newer is.
    pub newest: Option<u64>,
    /// The `restored` entry.
    pub entry: AuditId,
}

impl Audit {
    /// Lets every log go on after a restore: writes its `restored` entry, sequences it, and lets the anchors take the new
    /// history beside what they know of the old. The log must have been opened with `restoring`.
    ///
    /// # Errors
    /// The store's, the keys'; [`Error::Witness`] when an anchor can't be asked: what it knows would stay in conflict
    /// for ever, so put that right, or take it out of the configuration, first.
    pub async fn restored(&self, by: &Caller, what: &Restored) -> Result<Vec<Gap>, Error> {
        self.ask_all_anchors().await?;
        let mut tenants = BTreeSet::from([crate::instance()]);
        tenants.extend(self.checkpoints().await?.into_iter().map(|(tenant, _)| tenant));
        tenants.extend(what.newest.iter().map(|(tenant, _)| *tenant));
        let mut gaps = Vec::new();
        for tenant in tenants {
            let keys = match self.inner.keys.tenant(tenant).await {
                Ok(keys) => keys,
                // A tenant that the backup did not have yet: there is no log to go on.
                Err(error) => {
                    tracing::error!(%tenant, %error, "a log that is known elsewhere has no keys here");
                    continue;
                }
            };
            let public = Self::signer(&keys).public();
            let mut known: Vec<(u64, Hash)> = what
                .newest
                .iter()
                .filter(|(t, _)| *t == tenant)
                .filter_map(|(_, note)| checkpoint::verify(&public, note))
                .map(|signed| (signed.size, signed.root))
                .collect();
            for anchor in &self.inner.anchors {
                known.extend(anchor.of(tenant).iter().map(|a| (a.signed.size, a.signed.root)));
            }
            let (from, lost) = self
                .inner
                .store
                .read(move |tx| {
                    let size = tree_row(tx, tenant)?.map_or(0, |r| r.size);
                    let root = crate::proof::root_at(tx, tenant, size);
                    let mut lost: Vec<(u64, Hash)> = known.clone();
                    lost.retain(|(s, r)| *s > size || crate::proof::root_at(tx, tenant, *s) != Some(*r));
                    lost.sort_by_key(|(s, r)| (*s, r.0));
                    lost.dedup();
                    Ok::<_, sealpost_store::Error>(((size, root), lost))
                })
                .await?;
            let from = match from {
                (0, _) => (0, EMPTY_HASH),
                (size, Some(root)) => (size, root),
                (_, None) => return Err(Error::Damaged { tenant, why: "hashes of its tree are missing" }),
            };
            let newest = lost.last().map(|(size, _)| *size);
            let reason = Break { from, lost }.print();
            let mut draft = Draft::new(tenant, &by.actor, &by.client, Verb::Restored)
                .object(tenant)
                .note("backup", what.backup.clone());
            draft.reason = reason.into();
            let entry = self.seal_with(&keys, &draft);
            gaps.push(Gap { tenant, from: from.0, newest, entry: entry.id() });
            self.inner.store.write(Scope::unlocked(), move |tx| insert(tx, &entry)).await?;
        }
        self.pass().await?;
        for anchor in &self.inner.anchors {
            self.check_anchor(anchor).await?;
        }
        self.write_anchors(true).await;
        self.write_anchors(false).await;
        Ok(gaps)
    }
}

/// Whether a `restored` entry of this log cites a checkpoint as lost.
pub(crate) async fn is_cited(audit: &Audit, tenant: TenantId, size: u64, root: Hash) -> Result<bool, Error> {
    let Ok(keys) = audit.inner.keys.tenant(tenant).await else { return Ok(false) };
    let rows = audit
        .inner
        .store
        .read(move |tx| tx.rows(&schema::OF_VERB, params![tenant, Verb::Restored as i64], Placed::try_read))
        .await?;
    Ok(rows
        .into_iter()
        .flatten()
        .any(|p| authentic(&keys, &p.entry) && of(&p).is_some_and(|(_, b)| b.lost.contains(&(size, root)))))
}

/// The break that a row says, with its place, if it is a `restored` entry.
pub(crate) fn of(placed: &Placed) -> Option<(u64, Break)> {
    let entry = &placed.entry;
    let position = placed.position.and_then(|p| u64::try_from(p).ok())?;
    restored_line::parse(entry.verb, entry.outcome, &entry.reason).map(|b| (position, b))
}
