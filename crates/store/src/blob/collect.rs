//! The collector: ends bodies that no row names any more.
//!
//! In two steps with the grace between them. A walk over all bodies asks each crate's tables ([`Schema::blobs`]); what
//! nobody names is marked as `dying` and listed, in one commit. Past the grace it is asked about again under the same
//! transaction that deletes its row. What the row named (frames in a pack) is then room for
//! [compaction](super::compact). Whatever moment it stops at, the next run goes on from what is committed.
//!
//! A dying body keeps its row and its bytes, so that even a wrong answer costs nothing within the grace: a body that is
//! named again lives on.
//!
//! [`Schema::blobs`]: crate::Schema::blobs

use std::sync::Arc;
use std::time::Duration;

use sealpost_model::{BlobId, Id};

use super::walk::{self, Walk};
use super::{hold, objects, schema};
use crate::{Error, ReadTx, Result, Scope, Sql, Store, params};

/// What the collector did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Collected {
    /// Bodies that were asked about.
    pub looked: u64,
    /// Bodies that began to die.
    pub dying: u64,
    /// Bodies that live on because something names them again.
    pub revived: u64,
    /// Bodies whose rows are gone.
    pub deleted: u64,
    /// Their sealed bytes.
    pub bytes: u64,
    /// Objects that were deleted from the bucket.
    pub objects: u64,
    /// Somebody held everything, so that nothing was deleted.
    pub held: bool,
}

type Owners = Arc<[&'static Sql]>;

/// Whose tables there are; not among the prepared statements, since it is there before any schema.
static SCHEMAS: Sql = Sql::new("meta", "SELECT name FROM meta ORDER BY name");

pub(crate) const WALK: &str = "collect";

/// One run: a walk over all bodies, then the end of what has been dying for `grace`.
///
/// # Errors
/// [`Error::Bug`] when the store was opened without all its crates' tables: then nobody can say what is named.
pub async fn run(store: &Store, grace: Duration) -> Result<Collected> {
    let known = store.known();
    let schemas = known.schemas.clone();
    let stranger = store
        .read(move |tx| {
            let found = tx.rows(&SCHEMAS, params![], |r| r.text(0))?;
            Ok::<_, Error>(found.into_iter().find(|name| !schemas.contains(&name.as_str())))
        })
        .await?;
    if let Some(name) = stranger {
        let why =
            format!("the tables of `{name}` are not known here, so nobody can say which bodies they name");
        return Err(Error::Bug(why));
    }
    let owners: Owners = known.owners.as_slice().into();
    let mut all = Collected::default();
    mark(store, &owners, &mut all).await?;
    end(store, &owners, grace, &mut all).await?;
    if let Some(bucket) = store.blobs().bucket.clone() {
        objects::run(store, &bucket, grace, &mut all).await?;
    }
    Ok(all)
}

/// Asks about every live body, from where the last walk stopped.
async fn mark(store: &Store, owners: &Owners, all: &mut Collected) -> Result<()> {
    let Walk { mut at, ended } = store.read(|tx| walk::read(tx, WALK)).await?;
    loop {
        let (from, asked) = (at, owners.clone());
        let (last, unnamed) = store
            .read(move |tx| {
                let ids: Vec<BlobId> = tx.rows(&schema::LIVE_AFTER, params![from], |r| r.id(0))?;
                let mut unnamed = Vec::new();
                for id in &ids {
                    if !is_named(tx, &asked, *id)? {
                        unnamed.push(*id);
                    }
                }
                Ok::<_, Error>((ids.last().map(|id| (id.raw(), ids.len() as u64)), unnamed))
            })
            .await?;
        let Some((last, looked)) = last else { break };
        (at, all.looked) = (last, all.looked + looked);
        let (now, asked) = (store.clock().now(), owners.clone());
        all.dying += store
            .write(Scope::bulk(), move |tx| {
                let mut marked = 0;
                for id in &unnamed {
                    if !is_named(tx, &asked, *id)? && tx.execute(&schema::MARK_DYING, params![*id])? == 1 {
                        tx.execute(&schema::INSERT_DYING, params![*id, now])?;
                        marked += 1;
                    }
                }
                tx.execute(&schema::SET_WALK, params![WALK, last, ended])?;
                Ok::<_, Error>(marked)
            })
            .await?;
    }
    walk::save(store, WALK, Walk { at: i64::MIN, ended: store.clock().now() }).await
}

/// Ends what has been dying for `grace`.
async fn end(store: &Store, owners: &Owners, grace: Duration, all: &mut Collected) -> Result<()> {
    loop {
        let now = store.clock().now();
        let before = now.minus(grace);
        let due: Vec<BlobId> =
            store.read(move |tx| tx.rows(&schema::DUE_DYING, params![before], |r| r.id(0))).await?;
        if due.is_empty() {
            return Ok(());
        }
        let asked = owners.clone();
        let ended = store
            .write(Scope::bulk(), move |tx| {
                if hold::held(tx, now)? {
                    return Ok::<_, Error>(None);
                }
                let mut ended = Collected::default();
                for id in &due {
                    tx.execute(&schema::DELETE_DYING, params![*id])?;
                    if is_named(tx, &asked, *id)? {
                        tx.execute(&schema::REVIVE, params![*id])?;
                        ended.revived += 1;
                        continue;
                    }
                    let row = tx.row(&schema::DELETE_BLOB, params![*id], |r| {
                        Ok((r.small::<u64>(0)?, r.opt_bytes(1)?))
                    })?;
                    if let Some((stored, object)) = row {
                        tx.execute(&schema::DELETE_SPANS, params![*id])?;
                        if let Some(object) = object {
                            tx.execute(&schema::INSERT_DEAD_OBJECT, params![object, now, now])?;
                        }
                        ended.deleted += 1;
                        ended.bytes += stored;
                    }
                }
                Ok(Some(ended))
            })
            .await?;
        let Some(ended) = ended else {
            all.held = true;
            return Ok(());
        };
        all.revived += ended.revived;
        all.deleted += ended.deleted;
        all.bytes += ended.bytes;
    }
}

/// Whether any crate's row names the body.
fn is_named(tx: &ReadTx, owners: &[&'static Sql], id: BlobId) -> Result<bool> {
    for owner in owners {
        if tx.exists(owner, params![id])? {
            return Ok(true);
        }
    }
    Ok(false)
}
