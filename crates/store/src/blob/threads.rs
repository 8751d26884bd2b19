//! The threads that bodies need, their start and their end.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::thread::JoinHandle;

use sealpost_model::SharedClock;

use super::bucket::Bucket;
use super::pack::Files;
use super::packer::{Packer, Work};
use super::{Blobs, Opening};
use crate::Result;
use crate::lock::Lock;
use crate::queue::Queue;
use crate::store::{keeping, spawn};
use crate::tuning::Tuning;
use crate::writer::Lanes;

/// In the order in which they end.
#[derive(Default)]
pub(crate) struct Threads {
    pub(crate) packers: Vec<JoinHandle<()>>,
    pub(crate) openers: Vec<JoinHandle<()>>,
}

/// What the threads work on.
pub(crate) struct Ground<'a> {
    pub(crate) lock: &'a Arc<Lock>,
    /// The folder of packs.
    pub(crate) folder: PathBuf,
    pub(crate) tuning: &'a Tuning,
    /// Where bodies go instead of packs.
    pub(crate) bucket: Option<Arc<Bucket>>,
}

/// Threads that wait for a bucket's answers.
const WAITERS: usize = 16;

/// For a store that writes. `next` is the number of the next pack.
pub(crate) fn start(
    ground: &Ground<'_>,
    lanes: &Arc<Lanes>,
    clock: &SharedClock,
    next: i64,
) -> Result<(Blobs, Threads)> {
    let (mut blobs, mut threads) = look(ground)?;
    let next = Arc::new(AtomicI64::new(next));
    let mut packer = |name| -> Result<Arc<Queue<Work>>> {
        let queue = Arc::new(Queue::new());
        let packer = Packer {
            queue: queue.clone(),
            lanes: lanes.clone(),
            clock: clock.clone(),
            folder: ground.folder.clone(),
            tuning: ground.tuning.clone(),
            next: next.clone(),
            named: None,
            packs: std::collections::BTreeMap::new(),
            lost: Vec::new(),
        };
        threads.packers.push(spawn(name, keeping(ground.lock, move || packer.serve()))?);
        Ok(queue)
    };
    blobs.packer = Some(packer("store-pack")?);
    blobs.copier = Some(packer("store-copy")?);
    Ok((blobs, threads))
}

/// For a store that only looks.
pub(crate) fn look(ground: &Ground<'_>) -> Result<(Blobs, Threads)> {
    let mut threads = Threads::default();
    let (openers, upkeep) = (Arc::new(Queue::new()), Arc::new(Queue::new()));
    let mut serve = |name, queue: &Arc<Queue<Opening>>| -> Result<()> {
        let queue = queue.clone();
        threads.openers.push(spawn(name, keeping(ground.lock, move || super::serve(&queue)))?);
        Ok(())
    };
    let readers = if ground.bucket.is_some() { WAITERS } else { ground.tuning.openers };
    for _ in 0..readers {
        serve("store-blob", &openers)?;
    }
    serve("store-upkeep", &upkeep)?;
    let files = Arc::new(Files::new(ground.folder.clone()));
    let (inline, reserve) = (ground.tuning.inline, ground.tuning.reserve.clone());
    let bucket = ground.bucket.clone();
    Ok((Blobs { files, bucket, packer: None, copier: None, openers, upkeep, inline, reserve }, threads))
}

impl Blobs {
    /// Takes no more to write; the packers' threads end once they are done.
    pub(crate) fn close_packers(&self) {
        for queue in self.packer.iter().chain(&self.copier) {
            queue.close();
        }
    }

    /// Takes no more to read.
    pub(crate) fn close_openers(&self) {
        self.openers.close();
        self.upkeep.close();
    }
}
