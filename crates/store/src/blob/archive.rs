//! The archiver: copies what the journal names to the packs of its quarter of expiry, in-row bodies included (S60, S63).
//!
//! The transaction that writes a journal row asks for it ([`keep_until`](super::keep_until)). Until the copy is durable
//! and the row points there, everybody reads the body where it was.

use sealpost_model::BlobId;

use super::moving::{self, Move};
use super::{BlobRef, Place, Shelf, schema};
use crate::{Error, Result, Scope, Store, params};

/// What the archiver did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Archived {
    /// Bodies that lie in archive packs now.
    pub bodies: u64,
    /// Their sealed bytes.
    pub bytes: u64,
    /// Bodies that are damaged where they lie. They are not tried again; reading one says so too.
    pub damaged: u64,
}

/// Bodies of one round at most.
const ROUND: u32 = 500;

/// Copies all that waits now.
pub async fn run(store: &Store) -> Result<Archived> {
    let mut all = Archived::default();
    loop {
        let some = round(store).await?;
        let Some(some) = some else { return Ok(all) };
        all.bodies += some.bodies;
        all.bytes += some.bytes;
        all.damaged += some.damaged;
    }
}

/// One round; `None` when nothing waits.
async fn round(store: &Store) -> Result<Option<Archived>> {
    type Waiting = (BlobId, i64, Shelf);
    let waiting: Vec<Waiting> = store
        .read(|tx| {
            tx.rows(&schema::AWAITING, params![ROUND], |r| {
                Ok((r.id(0)?, r.int(1)?, Shelf::from_raw(r.int(2)?)))
            })
        })
        .await?;
    if waiting.is_empty() {
        return Ok(None);
    }
    let awaits = |id: BlobId| waiting.iter().find(|w| w.0 == id).map_or(0, |w| w.1);
    // What a longer retention has put on a later shelf stays there.
    let mut there: Vec<(BlobId, i64)> =
        waiting.iter().filter(|w| w.2.raw() >= w.1).map(|w| (w.0, w.1)).collect();
    let missing: Vec<BlobId> = waiting.iter().filter(|w| w.2.raw() < w.1).map(|w| w.0).collect();
    let (rows, unreadable) = moving::gather(store, missing).await?;
    // What lies in a bucket stays there, and small ones stay in their rows beside it.
    let in_bucket = store.blobs().bucket.is_some();
    let stays = |row: &BlobRef| matches!(row.place, Place::Object { .. }) || (in_bucket && row.is_inline());
    there.extend(rows.iter().filter(|row| stays(row)).map(|row| (row.id, awaits(row.id))));
    let moves = rows.into_iter().filter(|row| !stays(row)).map(|row| {
        let awaits = awaits(row.id);
        Move { row, shelf: Shelf::from_raw(awaits), awaits: Some(awaits) }
    });
    let moved = moving::run(store, moves.collect()).await?;
    let damaged: Vec<(BlobId, i64)> =
        moved.damaged.iter().chain(&unreadable).map(|id| (*id, awaits(*id))).collect();
    for (id, _) in &damaged {
        tracing::error!(blob = %id, "a body is damaged and could not be copied to the archive");
    }
    let archived = Archived { bodies: moved.bodies, bytes: moved.bytes, damaged: damaged.len() as u64 };
    if !there.is_empty() || !damaged.is_empty() {
        store
            .write(Scope::bulk(), move |tx| {
                for (id, awaits) in &there {
                    tx.execute(&schema::SHELVED, params![*id, *awaits])?;
                }
                for (id, awaits) in &damaged {
                    tx.execute(&schema::UNSHELVED, params![*id, *awaits])?;
                }
                Ok::<_, Error>(())
            })
            .await?;
    }
    Ok(Some(archived))
}
