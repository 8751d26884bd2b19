//! A body on its way into an object: at once when it is short, in parts when it is long.

use std::sync::Arc;

use object_store::{MultipartUpload, ObjectStoreExt as _, PutPayload};
use sealpost_model::BlobId;

use super::{Bucket, Name};
use crate::blob::frame::{self, HEADER, Header, Kind, Location};
use crate::blob::{Place, sealed_frames};
use crate::{Error, Result};

/// The length of a part: S3 wants 5 MiB at least, and some want all of one length.
const PART: usize = 6 << 20;

type Parts = Box<dyn MultipartUpload>;

/// What is held of a body: at most a part, and one on its way.
pub(crate) struct Upload {
    bucket: Arc<Bucket>,
    name: Name,
    blob: BlobId,
    held: Vec<u8>,
    /// Bytes before `held`.
    sent: u64,
    places: Vec<Location>,
    parts: Option<Parts>,
}

impl Upload {
    pub(crate) fn new(bucket: Arc<Bucket>, name: Name, blob: BlobId) -> Self {
        Self { bucket, name, blob, held: Vec::new(), sent: 0, places: Vec::new(), parts: None }
    }

    /// Takes sealed frames; waits while a part is sent.
    pub(crate) async fn push(&mut self, frames: &[u8]) -> Result<()> {
        for frame in sealed_frames(frames) {
            let number =
                u32::try_from(self.places.len()).map_err(|_| Error::Bug("a blob too long".into()))?;
            let place = self.append(Kind::Chunk, number, frame?)?;
            self.places.push(place);
        }
        while self.held.len() >= PART {
            let rest = self.held.split_off(PART);
            let part = std::mem::replace(&mut self.held, rest);
            self.send(part).await?;
        }
        Ok(())
    }

    fn append(&mut self, kind: Kind, number: u32, payload: &[u8]) -> Result<Location> {
        let length = u32::try_from(payload.len()).map_err(|_| Error::Bug("a frame too long".into()))?;
        let at = self.sent + self.held.len() as u64;
        Header { kind, blob: self.blob, number, length }.print(payload, &mut self.held);
        Ok(Location { pack: 0, at, length })
    }

    async fn send(&mut self, part: Vec<u8>) -> Result<()> {
        let length = part.len() as u64;
        let mut parts = match self.parts.take() {
            Some(parts) => parts,
            None => {
                let (store, path) = (self.bucket.store.clone(), self.bucket.path(&self.name));
                self.bucket.ask(async move { store.put_multipart(&path).await }).await?
            }
        };
        let sent = parts.put_part(PutPayload::from(part));
        // Kept even when it fails, so that it is ended.
        self.parts = Some(parts);
        self.bucket.ask(sent).await?;
        self.sent += length;
        Ok(())
    }

    /// Sends the rest; the object is durable when this returns.
    pub(crate) async fn end(&mut self) -> Result<Place> {
        let at = match self.places.as_slice() {
            [] => return Err(Error::Bug("a blob without a chunk".into())),
            [one] => one.at,
            many => {
                let count = u32::try_from(many.len()).map_err(|_| Error::Bug("a blob too long".into()))?;
                let index = frame::print_index(many);
                self.append(Kind::Index, count, &index)?.at
            }
        };
        let rest = std::mem::take(&mut self.held);
        if self.parts.is_none() {
            self.bucket.put(&self.name, rest).await?;
        } else {
            if !rest.is_empty() {
                self.send(rest).await?;
            }
            if let Some(mut parts) = self.parts.take() {
                self.bucket.ask(async move { parts.complete().await.map(drop) }).await?;
            }
        }
        Ok(Place::Object { name: self.name, at })
    }

    /// Whether it has taken anything.
    pub(crate) fn is_begun(&self) -> bool {
        !self.places.is_empty()
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Parts that nobody completes cost room until somebody ends them.
        if let Some(mut parts) = self.parts.take()
            && let Some(runtime) = &self.bucket.runtime
        {
            runtime.spawn(async move {
                if let Err(error) = parts.abort().await {
                    tracing::warn!(%error, "parts of an upload that was given up stay in the bucket");
                }
            });
        }
    }
}

const _: () = assert!(PART >= 5 << 20 && HEADER == 28, "parts are as long as S3 wants");
