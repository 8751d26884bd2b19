//! A body on its way in: sealed while it arrives, in bounded memory, with no plain spool.

use sealpost_crypto::{BlobSealer, CHUNK, Key};
use sealpost_model::{BlobId, TenantId};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::oneshot;

use super::bucket::Upload;
use super::frame::Location;
use super::packer::Work;
use super::{BlobRef, Place, Shelf, sealed_frames};
use crate::queue::Queue;
use crate::{Error, Result};

/// Takes a body in pieces. Dropped, it leaves nothing but sealed frames whose key is forgotten.
pub struct BlobWriter {
    sealer: BlobSealer,
    body: Body,
}

/// Where frames go.
pub(crate) enum Sink {
    /// `None` in a store that only looks.
    Packs(Option<Arc<Queue<Work>>>),
    /// An object of its own.
    Object(Upload),
}

/// What is sealed so far.
pub(crate) struct Body {
    sink: Sink,
    /// The finished object.
    object: Option<Place>,
    shelf: Shelf,
    id: BlobId,
    tenant: TenantId,
    /// Frames that are not on their way yet.
    frames: Vec<u8>,
    /// Where those lie that are written.
    places: Vec<Location>,
    /// Those on their way: one piece at a time, so that a fast sender waits for a slow disk.
    sent: Option<oneshot::Receiver<Result<Vec<Location>>>>,
}

/// Sealed bytes that are held before they go to a pack.
const SPILL: usize = CHUNK;

impl BlobWriter {
    pub(super) fn new(sink: Sink, tenant: TenantId, id: BlobId, key: &Key) -> Self {
        let body = Body::new(sink, Shelf::WORKING, tenant, id);
        Self { sealer: BlobSealer::new(key, tenant, id), body }
    }

    /// Takes the next piece; waits only while the disk is behind. When this future is dropped midway the blob has a
    /// hole: drop the writer too.
    pub async fn write(&mut self, piece: &[u8]) -> Result<()> {
        for piece in piece.chunks(CHUNK) {
            self.sealer.write(piece, &mut self.body.frames);
            self.body.spill().await?;
        }
        Ok(())
    }

    /// Plain bytes so far.
    pub fn len(&self) -> u64 {
        self.sealer.size()
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.body.frames.capacity()
    }

    /// Whether nothing came yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The blob's name.
    pub fn id(&self) -> BlobId {
        self.body.id
    }

    /// Seals the last chunk.
    pub fn finish(self) -> Pending {
        let Self { sealer, mut body } = self;
        let sealed = sealer.finish(&mut body.frames);
        Pending { body, size: sealed.size, stored: sealed.stored }
    }
}

/// A whole blob that is not durable yet; [`Blobs::put`](super::Blobs::put) makes it so.
pub struct Pending {
    body: Body,
    size: u64,
    stored: u64,
}

impl Pending {
    /// The blob's name.
    pub fn id(&self) -> BlobId {
        self.body.id
    }

    /// Plain bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    pub(super) async fn settle(mut self, inline: usize) -> Result<BlobRef> {
        let Self { body, size, stored } = &mut self;
        let place = if !body.is_spilled() && body.frames.len() <= inline {
            Place::Row(std::mem::take(&mut body.frames).into())
        } else {
            body.end().await?;
            body.place().await?
        };
        Ok(BlobRef { id: body.id, tenant: body.tenant, size: *size, stored: *stored, place })
    }
}

impl Body {
    pub(crate) fn new(sink: Sink, shelf: Shelf, tenant: TenantId, id: BlobId) -> Self {
        Self { sink, object: None, shelf, id, tenant, frames: Vec::new(), places: Vec::new(), sent: None }
    }

    /// Whether something is on its way, so that it can't lie in a row any more.
    fn is_spilled(&self) -> bool {
        match &self.sink {
            Sink::Packs(_) => self.sent.is_some() || !self.places.is_empty(),
            Sink::Object(upload) => upload.is_begun(),
        }
    }

    /// Takes a frame that is sealed already.
    pub(crate) async fn push(&mut self, frame: &[u8]) -> Result<()> {
        self.frames.extend_from_slice(frame);
        self.spill().await
    }

    /// Sends what is held, once that is enough.
    async fn spill(&mut self) -> Result<()> {
        if self.frames.len() < SPILL {
            return Ok(());
        }
        if let Sink::Object(upload) = &mut self.sink {
            let frames = std::mem::take(&mut self.frames);
            return upload.push(&frames).await;
        }
        self.settle().await?;
        self.send(false)
    }

    /// Sends the rest; [`place`](Self::place) waits for it.
    pub(crate) async fn end(&mut self) -> Result<()> {
        if let Sink::Object(upload) = &mut self.sink {
            let frames = std::mem::take(&mut self.frames);
            upload.push(&frames).await?;
            self.object = Some(upload.end().await?);
            return Ok(());
        }
        self.settle().await?;
        self.send(true)
    }

    /// Where it lies, durably.
    pub(crate) async fn place(&mut self) -> Result<Place> {
        if let Some(object) = self.object.take() {
            return Ok(object);
        }
        self.settle().await?;
        match self.places.as_slice() {
            [place, others @ ..] => {
                let mut also = BTreeMap::new();
                for other in others {
                    *also.entry(other.pack).or_default() += i64::from(other.length);
                }
                Ok(Place::Pack { pack: place.pack, at: place.at, also: also.into_iter().collect() })
            }
            [] => Err(Error::Bug("a blob without a place".into())),
        }
    }

    /// Waits until what was sent is written.
    async fn settle(&mut self) -> Result<()> {
        if let Some(sent) = &mut self.sent {
            let places = sent.await.unwrap_or(Err(Error::Closed));
            self.sent = None;
            self.places.extend(places?);
        }
        Ok(())
    }

    /// Sends the frames; `end` says that these are the last, and asks for the blob's one place.
    fn send(&mut self, end: bool) -> Result<()> {
        let Sink::Packs(Some(packer)) = &self.sink else { return Err(Error::ReadOnly) };
        let first = u32::try_from(self.places.len()).map_err(|_| Error::Bug("a blob too long".into()))?;
        let (to, sent) = oneshot::channel();
        let work = Work {
            blob: self.id,
            shelf: self.shelf,
            first,
            frames: std::mem::take(&mut self.frames),
            end: end.then(|| std::mem::take(&mut self.places)),
            to,
        };
        debug_assert!(sealed_frames(&work.frames).all(|frame| frame.is_ok()));
        packer.push(work).map_err(|_| Error::Closed)?;
        self.sent = Some(sent);
        Ok(())
    }
}
