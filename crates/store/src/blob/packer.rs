//! A thread that appends to packs, and syncs many blobs at once. One serves what arrives, another one the archiver and
//! compaction, so that a delivery never waits behind their copies. Each has a pack a shelf.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use sealpost_model::{BlobId, Id, SharedClock};
use tokio::sync::oneshot;

use super::frame::{self, HEADER, Header, Kind, Location, PACK_HEADER};
use super::{Shelf, pack, schema, sealed_frames};
use crate::queue::Queue;
use crate::tuning::Tuning;
use crate::writer::Lanes;
use crate::{Error, Result, Scope, Tx, job, params};

/// Sealed chunks of one blob to append.
pub(crate) struct Work {
    pub(crate) blob: BlobId,
    /// To which packs.
    pub(crate) shelf: Shelf,
    /// Number of the first of them.
    pub(crate) first: u32,
    /// Frames of `crypto::BlobSealer`, one after the other.
    pub(crate) frames: Vec<u8>,
    /// At the blob's end: where its earlier chunks lie. Then the answer is the one place that names the blob, followed by
    /// those of its chunks that lie in other packs, and it comes after the sync.
    pub(crate) end: Option<Vec<Location>>,
    pub(crate) to: oneshot::Sender<Result<Vec<Location>>>,
}

/// The packing thread's state.
pub(crate) struct Packer {
    pub(crate) queue: Arc<Queue<Work>>,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) clock: SharedClock,
    pub(crate) folder: PathBuf,
    pub(crate) tuning: Tuning,
    /// The number of the next pack, of all threads.
    pub(crate) next: Arc<AtomicI64>,
    /// A number that has its row and no file yet.
    pub(crate) named: Option<(i64, Shelf)>,
    /// The packs that are being written.
    pub(crate) packs: BTreeMap<Shelf, Pack>,
    /// Packs given up because a sync failed, and up to where they are safe.
    pub(crate) lost: Vec<(i64, u64)>,
}

/// A pack that is being written.
pub(crate) struct Pack {
    id: i64,
    file: File,
    /// Bytes written.
    end: u64,
    /// Bytes of these that are synced.
    synced: u64,
    /// Bytes that follow.
    pending: Vec<u8>,
}

/// A piece of work whose frames are placed but not yet safe.
struct Placed {
    to: oneshot::Sender<Result<Vec<Location>>>,
    answer: Vec<Location>,
    /// What must be safe besides the answer.
    earlier: Vec<Location>,
    sync: bool,
}

/// Pending bytes are written at this length, so that a batch of large blobs does not pile up.
const WRITE_AT: usize = 1 << 20;

impl Packer {
    /// Runs until the queue is closed and empty; then ends the packs.
    pub(crate) fn serve(mut self) {
        let mut batch = Vec::new();
        while self.queue.pop_all(&mut batch) {
            self.run(&mut batch);
        }
        for shelf in self.shelves() {
            if let Err(error) = self.close(shelf) {
                tracing::warn!(error = %error, "the last pack stays open; the next start closes it");
            }
        }
    }

    fn shelves(&self) -> Vec<Shelf> {
        self.packs.keys().copied().collect()
    }

    fn run(&mut self, batch: &mut Vec<Work>) {
        let mut placed = Vec::with_capacity(batch.len());
        // Places of this batch that could not be written; the offsets will be used again.
        let mut unwritten = Vec::new();
        for work in batch.drain(..) {
            if !self.tuning.reserve.spares() {
                drop(work.to.send(Err(Error::Full)));
                continue;
            }
            match self.place(&work, &mut unwritten) {
                Ok(answer) => {
                    let sync = work.end.is_some();
                    placed.push(Placed { to: work.to, answer, earlier: work.end.unwrap_or_default(), sync });
                }
                Err(error) => drop(work.to.send(Err(error))),
            }
        }
        let mut failure = None;
        let sync = placed.iter().any(|p| p.sync);
        for shelf in self.shelves() {
            failure = self.write(shelf, &mut unwritten).err().or(failure);
            if sync {
                failure = self.sync(shelf).err().or(failure);
            }
        }
        let failure = failure.unwrap_or_else(|| Error::Io("a pack could not be synced".into()));
        for p in placed {
            let all = || p.answer.iter().chain(&p.earlier);
            let gone = |bad: &[(i64, u64)]| {
                all().any(|place| bad.iter().any(|(pack, safe)| place.pack == *pack && place.end() > *safe))
            };
            let answer =
                if gone(&unwritten) || gone(&self.lost) { Err(failure.clone()) } else { Ok(p.answer) };
            // Whoever no longer waits leaves frames that nobody names.
            let _ = p.to.send(answer);
        }
    }

    /// Gives each frame a place.
    fn place(&mut self, work: &Work, unwritten: &mut Vec<(i64, u64)>) -> Result<Vec<Location>> {
        let (shelf, blob) = (work.shelf, work.blob);
        let mut places = Vec::new();
        for (frame, number) in sealed_frames(&work.frames).zip(work.first..) {
            places.push(self.put(shelf, Kind::Chunk, blob, number, frame?, unwritten)?);
        }
        let Some(earlier) = &work.end else { return Ok(places) };
        let all = [earlier.as_slice(), &places].concat();
        match all.as_slice() {
            [] => Err(Error::Bug("a blob without a chunk".into())),
            [one] => Ok(vec![*one]),
            many => {
                let count = u32::try_from(many.len()).map_err(|_| Error::Bug("a blob too long".into()))?;
                let index =
                    self.put(shelf, Kind::Index, blob, count, &frame::print_index(many), unwritten)?;
                // Chunks of this very piece are safe when the index, which lies behind them, is: unless the pack
                // changed in between, and then the change synced them.
                let mut answer = vec![index];
                answer.extend(many.iter().filter(|place| place.pack != index.pack));
                Ok(answer)
            }
        }
    }

    fn put(
        &mut self,
        shelf: Shelf,
        kind: Kind,
        blob: BlobId,
        number: u32,
        payload: &[u8],
        unwritten: &mut Vec<(i64, u64)>,
    ) -> Result<Location> {
        let limit = self.tuning.pack;
        if self.packs.get(&shelf).is_some_and(|p| p.end + p.pending.len() as u64 >= limit) {
            self.write(shelf, unwritten)?;
            self.close(shelf)?;
        }
        let pack = self.open(shelf)?;
        let length = u32::try_from(payload.len()).map_err(|_| Error::Bug("a frame too long".into()))?;
        let place = Location { pack: pack.id, at: pack.end + pack.pending.len() as u64, length };
        Header { kind, blob, number, length }.print(payload, &mut pack.pending);
        if pack.pending.len() >= WRITE_AT {
            self.write(shelf, unwritten)?;
        }
        Ok(place)
    }

    /// The shelf's pack that is being written; a new one if there is none.
    fn open(&mut self, shelf: Shelf) -> Result<&mut Pack> {
        if !self.packs.contains_key(&shelf) {
            let created = self.clock.now();
            let id = match self.named {
                Some((id, named)) if named == shelf => id,
                _ => {
                    let id = self.next.fetch_add(1, Ordering::Relaxed);
                    // The row first: a file that no row knows means that the database is older than its packs.
                    let insert = move |tx: &mut Tx| {
                        tx.execute(&schema::INSERT_PACK, params![id, shelf.raw(), created]).map(|_| ())
                    };
                    let (job, answer) = job::write(insert);
                    self.lanes.push(job, &Scope::unlocked());
                    answer.block()?;
                    self.named = Some((id, shelf));
                    id
                }
            };
            let file = pack::create(&self.folder, id, created.millis())?;
            let end = PACK_HEADER as u64;
            self.packs.insert(shelf, Pack { id, file, end, synced: end, pending: Vec::new() });
            self.named = None;
        }
        self.packs.get_mut(&shelf).ok_or(Error::Closed)
    }

    /// Writes what is pending. On failure its places are bad, and the next bytes go over them.
    fn write(&mut self, shelf: Shelf, unwritten: &mut Vec<(i64, u64)>) -> Result<()> {
        let Some(pack) = self.packs.get_mut(&shelf) else { return Ok(()) };
        if pack.pending.is_empty() {
            return Ok(());
        }
        let written = pack.file.write_all_at(&pack.pending, pack.end);
        let length = pack.pending.len() as u64;
        pack.pending.clear();
        pack.pending.shrink_to(2 * WRITE_AT);
        match written {
            Ok(()) => {
                pack.end += length;
                Ok(())
            }
            Err(e) => {
                unwritten.push((pack.id, pack.end));
                Err(Error::file(&pack::path(&self.folder, pack.id), &e))
            }
        }
    }

    /// Makes what was written last. After a failure nobody knows what is on the disk: the pack is given up where it
    /// was last safe, and another one begun.
    fn sync(&mut self, shelf: Shelf) -> Result<()> {
        let Some(pack) = self.packs.get_mut(&shelf) else { return Ok(()) };
        if pack.synced == pack.end {
            return Ok(());
        }
        let began = std::time::Instant::now();
        let synced = pack.file.sync_data();
        self.tuning.meters.syncs.took(began.elapsed());
        #[cfg(test)]
        let synced = synced.and_then(|()| self.tuning.faults.sync().map_err(std::io::Error::other));
        if let Err(e) = synced {
            tracing::error!(pack = pack.id, error = %e, "a pack could not be synced");
            self.lost.push((pack.id, pack.synced));
            let error = Error::file(&pack::path(&self.folder, pack.id), &e);
            self.packs.remove(&shelf);
            return Err(error);
        }
        pack.synced = pack.end;
        Ok(())
    }

    /// Ends the pack with a last frame. Everything pending was written before.
    fn close(&mut self, shelf: Shelf) -> Result<()> {
        let Some(pack) = self.packs.get_mut(&shelf) else { return Ok(()) };
        let header = Header { kind: Kind::End, blob: BlobId::from_raw(0), number: 0, length: 0 };
        header.print(&[], &mut pack.pending);
        self.write(shelf, &mut Vec::new())?;
        self.sync(shelf)?;
        let Some(pack) = self.packs.remove(&shelf) else { return Ok(()) };
        let (id, length) = (pack.id, i64::try_from(pack.end).unwrap_or(i64::MAX));
        let now = self.clock.now();
        let (job, answer) =
            job::write(move |tx| tx.execute(&schema::CLOSE_PACK, params![id, length, now]).map(|_| ()));
        self.lanes.push(job, &Scope::unlocked());
        if let Err(error) = answer.block() {
            let error: Error = error;
            tracing::warn!(pack = id, error = %error, "a full pack's row stays open; the next start closes it");
        }
        Ok(())
    }
}

const _: () = assert!(HEADER == 28 && PACK_HEADER == 32, "stored formats don't change");
