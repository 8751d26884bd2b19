//! How the bodies stand: for `sealpost blobs status` and for `check`.

use sealpost_model::Time;

use super::{Shelf, collect, pack, schema, walk};
use crate::{Error, Result, Store, params};

/// Packs of one shelf.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packs {
    /// Which.
    pub shelf: Shelf,
    /// Those that are there.
    pub packs: u64,
    /// Of these, those that wait for their file's end.
    pub dying: u64,
    /// Bytes of the closed ones.
    pub bytes: u64,
}

/// All numbers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Status {
    /// By shelf.
    pub packs: Vec<Packs>,
    /// Bodies in rows, in packs, in objects: how many, and their sealed bytes.
    pub bodies: [(u64, u64); 3],
    /// Bodies that wait for the archiver.
    pub awaiting: u64,
    /// Bodies that the archiver could not read.
    pub unreadable: u64,
    /// Bodies that nothing names, in their grace.
    pub dying: u64,
    /// Objects that are to be deleted.
    pub dead_objects: u64,
    /// When the collector last came to its end.
    pub collected: Option<Time>,
    /// When the pack was read that was read longest ago.
    pub scrubbed: Option<Time>,
    /// Packs that are not what was written, and from which byte on.
    pub damaged: Vec<(i64, u64)>,
}

/// Counts.
pub async fn status(store: &Store) -> Result<Status> {
    store
        .read(|tx| {
            let mut status = Status::default();
            let read = |r: &crate::Row<'_>| {
                Ok((r.int(0)?, r.int(1)?, r.small::<u64>(2)?, r.small::<u64>(3)?, r.time(4)?))
            };
            for (shelf, state, packs, bytes, scrubbed) in tx.rows(&schema::COUNT_PACKS, &[], read)? {
                if state == pack::GONE {
                    continue;
                }
                let shelf = Shelf::from_raw(shelf);
                if status.packs.last().is_none_or(|p| p.shelf != shelf) {
                    status.packs.push(Packs { shelf, packs: 0, dying: 0, bytes: 0 });
                }
                if let Some(all) = status.packs.last_mut() {
                    all.packs += packs;
                    all.bytes += bytes;
                    all.dying += if state == pack::DYING { packs } else { 0 };
                }
                if state == pack::CLOSED {
                    status.scrubbed = Some(status.scrubbed.map_or(scrubbed, |t| t.min(scrubbed)));
                }
            }
            let read = |r: &crate::Row<'_>| Ok((r.small::<usize>(0)?, r.small(1)?, r.small(2)?));
            for (place, count, bytes) in tx.rows(&schema::COUNT_BLOBS, &[], read)? {
                if let Some(slot) = status.bodies.get_mut(place) {
                    *slot = (count, bytes);
                }
            }
            let waiting =
                tx.row(&schema::COUNT_AWAITING, &[], |r| Ok((r.small::<u64>(0)?, r.small::<u64>(1)?)))?;
            (status.awaiting, status.unreadable) = waiting.unwrap_or_default();
            let count = |sql| Ok::<_, Error>(tx.row(sql, &[], |r| r.small::<u64>(0))?.unwrap_or(0));
            status.dying = count(&schema::COUNT_DYING)?;
            status.dead_objects = count(&schema::COUNT_DEAD_OBJECTS)?;
            let ended = walk::read(tx, collect::WALK)?.ended;
            status.collected = (ended.millis() > 0).then_some(ended);
            status.damaged =
                tx.rows(&schema::DAMAGED_PACKS, params![], |r| Ok((r.int(0)?, r.small::<u64>(1)?)))?;
            Ok(status)
        })
        .await
}
