//! A body on its way in: sealed while it arrives, in bounded memory, with no plain spool.

use sealpost_crypto::{BlobSealer, CHUNK, Key};
use sealpost_model::{BlobId, TenantId};
use std::sync::Arc;
use tokio::sync::oneshot;

use super::frame::Location;
use super::packer::Work;
use super::{BlobRef, Place, sealed_frames};
use crate::queue::Queue;
use crate::{Error, Result};

/// Takes a body in pieces. Dropped, it leaves nothing but sealed frames whose key is forgotten.
pub struct BlobWriter {
    packer: Option<Arc<Queue<Work>>>,
    sealer: BlobSealer,
    body: Body,
}

/// What is sealed so far.
struct Body {
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
    pub(super) fn new(packer: Option<Arc<Queue<Work>>>, tenant: TenantId, id: BlobId, key: &Key) -> Self {
        let body = Body { id, tenant, frames: Vec::new(), places: Vec::new(), sent: None };
        Self { packer, sealer: BlobSealer::new(key, tenant, id), body }
    }

    /// Takes the next piece; waits only while the disk is behind. When this future is dropped midway the blob has a
    /// hole: drop the writer too.
    pub async fn write(&mut self, piece: &[u8]) -> Result<()> {
        for piece in piece.chunks(CHUNK) {
            self.sealer.write(piece, &mut self.body.frames);
            if self.body.frames.len() >= SPILL {
                self.body.settle().await?;
                self.body.send(self.packer.as_deref(), false)?;
            }
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
        let Self { sealer, mut body, .. } = self;
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

    pub(super) async fn settle(mut self, packer: Option<&Queue<Work>>, inline: usize) -> Result<BlobRef> {
        let spilled = self.body.sent.is_some() || !self.body.places.is_empty();
        let place = if !spilled && self.body.frames.len() <= inline {
            Place::Row(std::mem::take(&mut self.body.frames).into())
        } else {
            self.body.settle().await?;
            self.body.send(packer, true)?;
            self.body.settle().await?;
            match self.body.places.as_slice() {
                [place] => Place::Pack { pack: place.pack, at: place.at },
                _ => return Err(Error::Bug("a blob in two places".into())),
            }
        };
        let Self { body: Body { id, tenant, .. }, size, stored } = self;
        Ok(BlobRef { id, tenant, size, stored, place })
    }
}

impl Body {
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
    fn send(&mut self, packer: Option<&Queue<Work>>, end: bool) -> Result<()> {
        let packer = packer.ok_or(Error::ReadOnly)?;
        let first = u32::try_from(self.places.len()).map_err(|_| Error::Bug("a blob too long".into()))?;
        let (to, sent) = oneshot::channel();
        let work = Work {
            blob: self.id,
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
