//! A body on its way out: any range, chunk by chunk.

use std::sync::Arc;

use sealpost_crypto::{BlobOpener, CHUNK, Key};
use zeroize::Zeroizing;

use super::bucket::Bucket;
use super::frame::{self, HEADER, Header, Kind, LOCATION, Location};
use super::pack::Files;
use super::{BlobRow, Place, sealed_frames};
use crate::{Error, Result};

/// Reads ranges of one blob. It keeps the chunk it opened last, so that small pieces in order cost little. What is not
/// as it was written is `Error::Corrupt { what: "blob", .. }`, and no byte of it is handed out.
pub struct BlobReader {
    frames: Frames,
    opener: BlobOpener,
    chunk: Option<(u32, Zeroizing<Vec<u8>>)>,
}

impl BlobReader {
    pub(super) fn new(source: Source, row: BlobRow, key: &Key) -> Self {
        let opener = BlobOpener::new(key, row.tenant, row.id);
        Self { frames: Frames::new(source, row), opener, chunk: None }
    }

    /// Plain bytes.
    pub fn len(&self) -> u64 {
        self.frames.row.size
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where it lies.
    pub fn row(&self) -> &BlobRow {
        &self.frames.row
    }

    /// The plain bytes from `offset` on, at most `length` of them: fewer only at the end.
    pub fn read_at(&mut self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let end = offset.saturating_add(length as u64).min(self.row().size);
        let wanted = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut out = Vec::with_capacity(wanted);
        while out.len() < wanted {
            let (number, at) = BlobOpener::chunk_of(offset + out.len() as u64);
            let left = wanted - out.len();
            let chunk = self.chunk(number)?;
            let piece = chunk.get(at..chunk.len().min(at + left)).unwrap_or_default();
            if piece.is_empty() {
                return Err(self.row().damaged());
            }
            out.extend_from_slice(piece);
        }
        Ok(out)
    }

    /// All plain bytes.
    pub fn read_all(&mut self) -> Result<Vec<u8>> {
        // An empty blob has a chunk too, and it may be damaged.
        self.chunk(self.row().chunks() - 1)?;
        let all = self.read_at(0, usize::try_from(self.row().size).unwrap_or(usize::MAX))?;
        self.frames.stored_right()?;
        Ok(all)
    }

    /// Opens every chunk and keeps none; also holds the sealed length against the row's.
    pub fn verify(&mut self) -> Result<()> {
        for number in 0..self.row().chunks() {
            self.chunk(number)?;
        }
        self.frames.stored_right()
    }

    fn chunk(&mut self, number: u64) -> Result<&[u8]> {
        let number = u32::try_from(number).map_err(|_| self.row().damaged())?;
        if self.chunk.as_ref().is_none_or(|(kept, _)| *kept != number) {
            let frame = self.frames.sealed(number)?;
            let chunk = self.opener.open(number, &frame).map_err(|_| self.row().damaged())?;
            let plain = Zeroizing::new(chunk.plain);
            let before = u64::from(number) * CHUNK as u64;
            let ends_right = if chunk.last {
                before + plain.len() as u64 == self.row().size
            } else {
                u64::from(number) + 1 < self.row().chunks()
            };
            if !ends_right {
                return Err(self.row().damaged());
            }
            self.chunk = Some((number, plain));
        }
        Ok(self.chunk.as_ref().map_or(&[], |(_, plain)| plain.as_slice()))
    }
}

/// Where frames lie that are in no row.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) files: Arc<Files>,
    pub(crate) bucket: Option<Arc<Bucket>>,
}

/// The sealed frames of one blob, one by one; no key is needed.
pub(crate) struct Frames {
    source: Source,
    row: BlobRow,
    index: Option<Vec<Location>>,
}

impl Frames {
    pub(crate) fn new(source: Source, row: BlobRow) -> Self {
        Self { source, row, index: None }
    }

    /// Holds the sealed length against the row's, once all was read.
    pub(crate) fn stored_right(&self) -> Result<()> {
        let stored = match (&self.row.place, &self.index) {
            (Place::Row(body), _) => body.len() as u64,
            (_, Some(index)) => index.iter().map(|place| u64::from(place.length)).sum(),
            // It was the length of the frame that was read.
            (_, None) => self.row.stored,
        };
        if stored == self.row.stored { Ok(()) } else { Err(self.row.damaged()) }
    }

    /// Frame `number` as it was sealed.
    pub(crate) fn sealed(&mut self, number: u32) -> Result<Vec<u8>> {
        let (pack, at) = match &self.row.place {
            Place::Row(body) => {
                let frame = sealed_frames(body).nth(number as usize);
                return frame.and_then(Result::ok).map(<[u8]>::to_vec).ok_or_else(|| self.row.damaged());
            }
            Place::Pack { pack, at, .. } => (*pack, *at),
            Place::Object { at, .. } => (0, *at),
        };
        if self.row.chunks() == 1 {
            let length = u32::try_from(self.row.stored).map_err(|_| self.row.damaged())?;
            return self.frame(Kind::Chunk, 0, Location { pack, at, length });
        }
        if self.index.is_none() {
            self.index = Some(self.load_index(pack, at)?);
        }
        let place = self.index.as_ref().and_then(|index| index.get(number as usize)).copied();
        self.frame(Kind::Chunk, number, place.ok_or_else(|| self.row.damaged())?)
    }

    fn load_index(&self, pack: i64, at: u64) -> Result<Vec<Location>> {
        let count = u32::try_from(self.row.chunks()).map_err(|_| self.row.damaged())?;
        let length = count.checked_mul(LOCATION as u32).ok_or_else(|| self.row.damaged())?;
        let payload = self.frame(Kind::Index, count, Location { pack, at, length })?;
        frame::parse_index(&payload).ok_or_else(|| self.row.damaged())
    }

    /// The payload of the frame that must lie at `place`.
    fn frame(&self, kind: Kind, number: u32, place: Location) -> Result<Vec<u8>> {
        if place.length as usize > frame::MAX_PAYLOAD {
            return Err(self.row.damaged());
        }
        let length = HEADER + place.length as usize;
        let bytes = match &self.row.place {
            Place::Object { name, .. } => {
                let why = || "a body lies in a bucket, and [blobs] url names none".to_owned();
                let bucket = self.source.bucket.as_ref();
                let bucket = bucket.ok_or_else(|| Error::Bucket { why: why(), lasting: true })?;
                let end = place.at.checked_add(length as u64).ok_or_else(|| self.row.damaged())?;
                bucket.get_blocking(name, place.at..end)?.map(Vec::from)
            }
            _ => self.source.files.read(place.pack, place.at, length)?,
        };
        let mut bytes = bytes.ok_or_else(|| self.row.damaged())?;
        let want = Header { kind, blob: self.row.id, number, length: place.length };
        if Header::parse_frame(&bytes).is_none_or(|(found, _)| found != want) {
            return Err(self.row.damaged());
        }
        bytes.drain(..HEADER);
        Ok(bytes)
    }
}
