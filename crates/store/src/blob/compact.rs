//! Compaction: the room of bodies that ended. Nothing in a pack is ever overwritten; what lives is copied out, and the
//! file goes as a whole.
//!
//! A *working* pack that is less than half alive is copied out; an *archive* pack is left alone until its quarter of
//! expiry is over, and what then still lives (because a mailbox names it) is copied to a working pack. A pack that holds
//! nothing any more is marked as dying; past the grace, looked at once more, its end is committed, and then the file goes.

use std::time::Duration;

use sealpost_model::{BlobId, Id as _};

use super::moving::{self, Move};
use super::{Shelf, hold, pack, schema};
use crate::{Error, Result, Scope, Store, Tx, params};

/// What compaction did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Compacted {
    /// Bodies that were copied out.
    pub bodies: u64,
    /// Their sealed bytes.
    pub bytes: u64,
    /// Packs that hold nothing any more.
    pub dying: u64,
    /// Packs whose files were removed.
    pub removed: u64,
    /// Packs that can't be emptied, because a body in them is damaged.
    pub stuck: u64,
}

/// How long after its quarter's end an archive pack is emptied: longer than the collector needs to see what expired.
const AFTER_QUARTER: i32 = 8;

/// One run over all packs. A pack counts as full and old once it has been closed for `grace`.
pub async fn run(store: &Store, grace: Duration) -> Result<Compacted> {
    let mut all = Compacted::default();
    let before = store.clock().now().minus(grace);
    let mut after = i64::MIN;
    loop {
        let from = after;
        let packs: Vec<Closed> = store
            .read(move |tx| {
                tx.rows(&schema::CLOSED_PACKS, params![from], |r| {
                    Ok(Closed {
                        id: r.int(0)?,
                        shelf: Shelf::from_raw(r.int(1)?),
                        length: r.int(2)?,
                        since: r.time(3)?,
                        live: r.int(4)?,
                    })
                })
            })
            .await?;
        let Some(last) = packs.last() else { break };
        after = last.id;
        let today = store.clock().now().day();
        for closed in packs.iter().filter(|p| p.since <= before && p.is_due(today)) {
            empty(store, closed, &mut all).await?;
        }
    }
    remove(store, grace, &mut all).await?;
    Ok(all)
}

struct Closed {
    id: i64,
    shelf: Shelf,
    length: i64,
    since: sealpost_model::Time,
    /// Sealed bytes of the bodies whose rows name it, or more: one that spans packs counts whole in its last.
    live: i64,
}

impl Closed {
    fn is_due(&self, today: i32) -> bool {
        match self.shelf.over() {
            None => self.live.saturating_mul(2) < self.length,
            Some(over) => today >= over.saturating_add(AFTER_QUARTER),
        }
    }
}

/// Copies out what lives in a pack, and marks the pack as dying when nothing is left.
async fn empty(store: &Store, closed: &Closed, all: &mut Compacted) -> Result<()> {
    let mut damaged = 0;
    for list in [&schema::BLOBS_IN_PACK, &schema::SPANS_OF_PACK] {
        let mut after = i64::MIN;
        loop {
            let (pack, from) = (closed.id, after);
            let ids: Vec<BlobId> =
                store.read(move |tx| tx.rows(list, params![pack, from], |r| r.id(0))).await?;
            let Some(last) = ids.last().copied() else { break };
            let (rows, unreadable) = moving::gather(store, ids).await?;
            after = rows.last().map_or(last, |row| row.id).raw();
            damaged += unreadable.len() as u64;
            let moves = rows.into_iter().map(|row| Move { row, shelf: Shelf::WORKING, awaits: None });
            let moved = moving::run(store, moves.collect()).await?;
            all.bodies += moved.bodies;
            all.bytes += moved.bytes;
            damaged += moved.damaged.len() as u64;
        }
    }
    if damaged > 0 {
        tracing::error!(pack = closed.id, damaged, "a pack can't be emptied: bodies in it are damaged");
        all.stuck += 1;
        return Ok(());
    }
    let (pack, now) = (closed.id, store.clock().now());
    let dying = store
        .write(Scope::bulk(), move |tx| {
            Ok::<_, Error>(!is_named(tx, pack)? && tx.execute(&schema::PACK_DIES, params![pack, now])? == 1)
        })
        .await?;
    all.dying += u64::from(dying);
    Ok(())
}

fn is_named(tx: &Tx, pack: i64) -> Result<bool> {
    Ok(tx.exists(&schema::BLOBS_IN_PACK, params![pack, i64::MIN])?
        || tx.exists(&schema::SPANS_OF_PACK, params![pack, i64::MIN])?)
}

/// Removes the files of packs that have been dying for `grace`.
async fn remove(store: &Store, grace: Duration, all: &mut Compacted) -> Result<()> {
    let now = store.clock().now();
    let before = now.minus(grace);
    let dying: Vec<i64> =
        store.read(move |tx| tx.rows(&schema::DYING_PACKS, params![before], |r| r.int(0))).await?;
    for pack in dying {
        let gone = store
            .write(Scope::bulk(), move |tx| {
                if hold::held(tx, now)? || is_named(tx, pack)? {
                    return Ok(false);
                }
                Ok::<_, Error>(tx.execute(&schema::PACK_GONE, params![pack, now])? == 1)
            })
            .await?;
        if !gone {
            continue;
        }
        let files = store.blobs().files.clone();
        let removed = store
            .blobs()
            .run_slowly(move || {
                files.forget(pack);
                pack::remove(files.folder(), pack)
            })
            .await?;
        match removed {
            Ok(()) => all.removed += 1,
            Err(error) => tracing::error!(pack, error = %error, "an empty pack goes at the next start"),
        }
    }
    Ok(())
}
