//! Sealed bodies: where they lie, and the proof that they last.
//!
//! A body is sealed while it arrives ([`BlobWriter`]), made durable ([`Blobs::put`]), and only then named by a row
//! ([`insert`] wants a [`Durable`]). Small ones lie in their row, larger ones in packs. A body that no row names is
//! dead bytes without a key. The key is the caller's business: it is wrapped for each owner of the body's life.
//!
//! Afterwards sealed bodies are looked after without any key: the [archiver](archive) copies what the journal names to
//! the packs of its quarter of expiry, the [collector](collect) ends what nothing names any more, [compaction](compact)
//! frees the room, and [scrubbing](scrub) reads everything again.

pub mod archive;
pub(crate) mod bucket;
pub mod collect;
pub mod compact;
mod frame;
mod hold;
mod moving;
mod objects;
pub(crate) mod pack;
pub(crate) mod packer;
mod reader;
pub(crate) mod schema;
pub mod scrub;
mod shelf;
mod status;
pub(crate) mod threads;
mod walk;
mod writer;

use std::ops::{Deref, Range};
use std::sync::Arc;

use sealpost_crypto::{BlobOpener, CHUNK, FRAME_HEADER, Key};
use sealpost_model::{BlobId, Id, TenantId};
use tokio::sync::oneshot;

pub use hold::{Hold, hold};
pub use reader::BlobReader;
pub use schema::SCHEMA;
pub use shelf::Shelf;
pub use status::{Packs, Status, status};
pub use writer::{BlobWriter, Pending};

use crate::queue::Queue;
use crate::reserve::Reserve;
use crate::{Error, ReadTx, Result, Tx, params};
use packer::Work;

/// Where a blob lies.
#[derive(Clone, Debug)]
pub struct BlobRef {
    /// Its name, never used again.
    pub id: BlobId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Plain bytes.
    pub size: u64,
    /// Sealed bytes.
    pub stored: u64,
    place: Place,
}

/// A blob's row, as [`locate`] finds it.
pub type BlobRow = BlobRef;

#[derive(Clone)]
pub(crate) enum Place {
    Row(Arc<[u8]>),
    /// The frame of its only chunk, or of its index.
    Pack {
        pack: i64,
        at: u64,
        /// Other packs that hold some of its chunks, and how many bytes; only who wrote it knows them here.
        also: Vec<(i64, i64)>,
    },
    /// An object of the bucket; the frame of its only chunk, or of its index.
    Object {
        name: bucket::Name,
        at: u64,
    },
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Row(_) => f.write_str("row"),
            Self::Object { at, .. } => write!(f, "object, {at}"),
            Self::Pack { pack, at, .. } => write!(f, "pack {pack} at {at}"),
        }
    }
}

impl BlobRef {
    /// `table blob, column body`, or `pack 3, byte 4711`: for whoever names what is damaged.
    pub fn place(&self) -> String {
        match &self.place {
            Place::Row(_) => "table blob, column body".to_owned(),
            Place::Object { name, at } => format!("object {}, byte {at}", bucket::hex(name)),
            Place::Pack { pack, at, .. } => format!("pack {pack}, byte {at}"),
        }
    }

    /// Whether it lies in its row.
    pub fn is_inline(&self) -> bool {
        matches!(self.place, Place::Row(_))
    }

    /// How many chunks it has: an empty blob has one.
    fn chunks(&self) -> u64 {
        self.size.div_ceil(CHUNK as u64).max(1)
    }

    fn damaged(&self) -> Error {
        Error::Corrupt { what: "blob", id: self.id.raw() }
    }
}

/// Proof that something is on the disk for good. Only [`Blobs::put`] makes one.
#[derive(Clone, Debug)]
pub struct Durable<T>(T);

impl<T> Deref for Durable<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Writes the row of a blob that is durable.
pub fn insert(tx: &mut Tx, blob: &Durable<BlobRef>) -> Result<()> {
    let mut object = None;
    let (pack, at, body) = match &blob.place {
        Place::Row(body) => (None, None, Some(body)),
        Place::Object { name, at } => {
            object = Some(name.to_vec());
            (None, Some(int(*at)?), None)
        }
        Place::Pack { pack, at, also } => {
            name_packs(tx, blob.id, *pack, also)?;
            (Some(*pack), Some(int(*at)?), None)
        }
    };
    let (size, stored) = (int(blob.size)?, int(blob.stored)?);
    tx.apply(&schema::INSERT_BLOB, params![blob.id, blob.tenant, size, stored, pack, at, object, body])
}

/// Makes sure that none of the packs is on its way out, and notes those that the blob's row does not name.
fn name_packs(tx: &mut Tx, blob: BlobId, pack: i64, also: &[(i64, i64)]) -> Result<()> {
    for pack in also.iter().map(|(pack, _)| *pack).chain([pack]) {
        if !tx.exists(&schema::PACK_TAKES, params![pack])? {
            return Err(Error::Io(format!("pack {pack} ended before its newest body had a row")));
        }
    }
    for (pack, bytes) in also {
        tx.apply(&schema::INSERT_SPAN, params![*pack, blob, *bytes])?;
    }
    Ok(())
}

/// Asks the [archiver](archive) to copy a blob to where it lies until the end of `day` (days since 1970-01-01): in the
/// transaction that writes the row which has to keep it.
pub fn keep_until(tx: &mut Tx, blob: BlobId, day: i32) -> Result<()> {
    tx.apply(&schema::AWAIT_SHELF, params![blob, Shelf::until(day).raw()])
}

/// Finds a blob.
pub fn locate(tx: &ReadTx, id: BlobId) -> Result<Option<BlobRow>> {
    let damaged = Error::Corrupt { what: "blob", id: id.raw() };
    let found = tx.row(&schema::LOCATE_BLOB, params![id], |row| {
        let place = match (row.opt_int(3)?, row.opt_int(4)?, row.opt_bytes(5)?, row.opt_bytes(6)?) {
            (None, None, None, Some(body)) => Some(Place::Row(body.into())),
            (Some(pack), Some(at), None, None) => {
                u64::try_from(at).ok().map(|at| Place::Pack { pack, at, also: Vec::new() })
            }
            (None, Some(at), Some(name), None) => {
                u64::try_from(at).ok().zip(name.try_into().ok()).map(|(at, name)| Place::Object { name, at })
            }
            _ => None,
        };
        let (tenant, size, stored) = (row.id(0)?, row.small(1)?, row.small(2)?);
        Ok(place.map(|place| BlobRef { id, tenant, size, stored, place }))
    });
    match found {
        Ok(Some(None)) => Err(damaged),
        Err(Error::Corrupt { what, .. }) if what == schema::LOCATE_BLOB.name() => Err(damaged),
        Ok(found) => Ok(found.flatten()),
        Err(error) => Err(error),
    }
}

/// The ids of at most `limit` blobs after `after`, in order: for whoever verifies them all.
pub fn list(tx: &ReadTx, after: Option<BlobId>, limit: u32) -> Result<Vec<BlobId>> {
    let after = after.map_or(i64::MIN, Id::raw);
    tx.rows(&schema::BLOBS_AFTER, params![after, limit], |row| row.id(0))
}

fn int(n: u64) -> Result<i64> {
    i64::try_from(n).map_err(|_| Error::Bug("a length beyond 2^63".into()))
}

/// Work for the threads that read and open blobs.
pub(crate) type Opening = Box<dyn FnOnce() + Send>;

/// All blobs of a store. Clones share them.
#[derive(Clone)]
pub struct Blobs {
    pub(crate) files: Arc<pack::Files>,
    /// Where bodies go instead of packs.
    pub(crate) bucket: Option<Arc<bucket::Bucket>>,
    /// `None` when the store was opened for reading only.
    pub(crate) packer: Option<Arc<Queue<Work>>>,
    /// That of the archiver and of compaction.
    pub(crate) copier: Option<Arc<Queue<Work>>>,
    pub(crate) openers: Arc<Queue<Opening>>,
    /// The one thread of slow work.
    pub(crate) upkeep: Arc<Queue<Opening>>,
    pub(crate) inline: usize,
    pub(crate) reserve: Arc<Reserve>,
}

impl Blobs {
    /// Begins blob `blob` of `tenant` under its own fresh random key.
    pub fn create(&self, tenant: TenantId, blob: BlobId, key: &Key) -> BlobWriter {
        BlobWriter::new(self.sink(&self.packer, blob), tenant, blob, key)
    }

    /// Where a body's frames go; `queue` is the packer's, if they go to packs.
    pub(crate) fn sink(&self, queue: &Option<Arc<Queue<Work>>>, blob: BlobId) -> writer::Sink {
        match (&self.bucket, queue) {
            (Some(bucket), Some(_)) => {
                writer::Sink::Object(bucket::Upload::new(bucket.clone(), bucket.fresh_name(), blob))
            }
            _ => writer::Sink::Packs(queue.clone()),
        }
    }

    /// Makes a finished blob durable. Small ones are at once: their bytes go into the row.
    pub async fn put(&self, pending: Pending) -> Result<Durable<BlobRef>> {
        if !self.reserve.spares() {
            return Err(Error::Full);
        }
        pending.settle(self.inline).await.map(Durable)
    }

    /// Seals bytes that are all there and makes them durable.
    pub async fn put_bytes(
        &self,
        tenant: TenantId,
        blob: BlobId,
        key: &Key,
        plain: &[u8],
    ) -> Result<Durable<BlobRef>> {
        let mut writer = self.create(tenant, blob, key);
        writer.write(plain).await?;
        self.put(writer.finish()).await
    }

    /// [`put_bytes`](Self::put_bytes), waiting on this thread.
    pub fn put_blocking(
        &self,
        tenant: TenantId,
        blob: BlobId,
        key: &Key,
        plain: &[u8],
    ) -> Result<Durable<BlobRef>> {
        crate::job::block_on(self.put_bytes(tenant, blob, key, plain))
    }

    /// Where sealed frames are read.
    pub(crate) fn source(&self) -> reader::Source {
        reader::Source { files: self.files.clone(), bucket: self.bucket.clone() }
    }

    /// Reads ranges of a blob, on the caller's thread; see [`run`](Self::run).
    pub fn reader(&self, row: BlobRow, key: &Key) -> BlobReader {
        BlobReader::new(self.source(), row, key)
    }

    /// The plain bytes of `range`, as far as the blob has them. What lies in the row is opened here, the rest on a
    /// thread of the store.
    pub async fn read(&self, row: BlobRow, key: &Key, range: Range<u64>) -> Result<Vec<u8>> {
        let inline = row.is_inline();
        let mut reader = self.reader(row, key);
        let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        let mut read = move || reader.read_at(range.start, length);
        if inline { read() } else { self.run(read).await? }
    }

    /// Runs `f`, which reads blobs, on a thread of the store.
    pub async fn run<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        Self::run_on(&self.openers, f).await
    }

    /// The same, on the thread of slow work, where nobody waits for a message.
    pub(crate) async fn run_slowly<T: Send + 'static>(
        &self,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        Self::run_on(&self.upkeep, f).await
    }

    async fn run_on<T: Send + 'static>(
        queue: &Queue<Opening>,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let (to, from) = oneshot::channel();
        let work: Opening = Box::new(move || {
            // Whoever no longer waits does not want it.
            let _ = to.send(f());
        });
        queue.push(work).map_err(|_| Error::Closed)?;
        // The sender goes without a word when `f` panicked.
        from.await.map_err(|_| Error::Panicked)
    }
}

/// The threads' loop.
pub(crate) fn serve(queue: &Queue<Opening>) {
    while let Some(work) = queue.pop() {
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err() {
            tracing::error!("reading a blob panicked");
        }
    }
}

/// Splits what `crypto::BlobSealer` wrote into its frames.
fn sealed_frames(mut bytes: &[u8]) -> impl Iterator<Item = Result<&[u8]>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let frame = bytes
            .first_chunk::<FRAME_HEADER>()
            .and_then(|header| BlobOpener::frame_len(*header).ok())
            .and_then(|length| bytes.split_at_checked(length));
        match frame {
            Some((frame, rest)) => {
                bytes = rest;
                Some(Ok(frame))
            }
            None => {
                bytes = &[];
                Some(Err(Error::Corrupt { what: "frame", id: 0 }))
            }
        }
    })
}
