//! The bytes of a pack: a header, then frames, each checked by itself. [F]
//!
//! ```text
//! pack  = "SEALPACK" format:u16=1 0:u16 pack:i64 created:i64 crc:u32 *frame
//! frame = "SPfr" kind:u8 0:u24 blob:i64 number:u32 length:u32 crc:u32 payload
//! ```
//!
//! Integers are big-endian. The CRC-32 covers what stands before it, and the payload: it finds where an unfinished
//! pack ends. Against a forger stand the seals inside: `crypto` binds each chunk to tenant, blob, number and end.
//!
//! A chunk's payload is one sealed frame of `crypto::BlobSealer`. A blob of several chunks has an index behind its
//! last one: where each of them lies, which may be in several packs.

use sealpost_model::{BlobId, Id};

/// Length of a pack's header.
pub(crate) const PACK_HEADER: usize = 32;
/// Length of a frame's header.
pub(crate) const HEADER: usize = 28;
/// No payload is longer: the index of a blob of 800 GB.
pub(crate) const MAX_PAYLOAD: usize = 64 << 20;

const PACK_MAGIC: &[u8; 8] = b"SEALPACK";
const PACK_FORMAT: u16 = 1;
const MAGIC: &[u8; 4] = b"SPfr";

/// What a frame holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A sealed chunk; `number` is its number.
    Chunk,
    /// Where a blob's chunks lie; `number` is their count.
    Index,
    /// The pack ends here.
    End,
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Self::Chunk => 1,
            Self::Index => 2,
            Self::End => 3,
        }
    }

    const fn parse(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Chunk),
            2 => Some(Self::Index),
            3 => Some(Self::End),
            _ => None,
        }
    }
}

/// A frame's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) blob: BlobId,
    pub(crate) number: u32,
    pub(crate) length: u32,
}

impl Header {
    /// Appends the frame to `out`.
    pub(crate) fn print(&self, payload: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[self.kind.byte(), 0, 0, 0]);
        out.extend_from_slice(&self.blob.raw().to_be_bytes());
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(&self.length.to_be_bytes());
        let crc = crc(&out[start..], payload);
        out.extend_from_slice(&crc.to_be_bytes());
        out.extend_from_slice(payload);
    }

    /// Reads a header, and the CRC that it wants.
    pub(crate) fn parse(bytes: &[u8; HEADER]) -> Option<(Self, u32)> {
        let (magic, rest) = bytes.split_first_chunk::<4>()?;
        let (kind, rest) = rest.split_first_chunk::<4>()?;
        let (blob, rest) = rest.split_first_chunk::<8>()?;
        let (number, rest) = rest.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let crc = rest.first_chunk::<4>()?;
        if magic != MAGIC || kind[1..] != [0; 3] {
            return None;
        }
        let header = Self {
            kind: Kind::parse(kind[0])?,
            blob: BlobId::from_raw(i64::from_be_bytes(*blob)),
            number: u32::from_be_bytes(*number),
            length: u32::from_be_bytes(*length),
        };
        (header.length as usize <= MAX_PAYLOAD).then_some((header, u32::from_be_bytes(*crc)))
    }

    /// Reads a whole frame.
    pub(crate) fn parse_frame(frame: &[u8]) -> Option<(Self, &[u8])> {
        let (bytes, payload) = frame.split_first_chunk::<HEADER>()?;
        let (header, want) = Self::parse(bytes)?;
        (header.length as usize == payload.len() && is_whole(bytes, payload, want))
            .then_some((header, payload))
    }
}

/// Whether header and payload have this CRC.
pub(crate) fn is_whole(header: &[u8; HEADER], payload: &[u8], want: u32) -> bool {
    crc(&header[..HEADER - 4], payload) == want
}

fn crc(header: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(payload);
    hasher.finalize()
}

/// A pack's header.
pub(crate) fn print_pack(pack: i64, created: i64) -> [u8; PACK_HEADER] {
    let mut out = [0; PACK_HEADER];
    out[..8].copy_from_slice(PACK_MAGIC);
    out[8..10].copy_from_slice(&PACK_FORMAT.to_be_bytes());
    out[12..20].copy_from_slice(&pack.to_be_bytes());
    out[20..28].copy_from_slice(&created.to_be_bytes());
    let crc = crc(&out[..28], &[]);
    out[28..].copy_from_slice(&crc.to_be_bytes());
    out
}

/// Whether this is the header of pack `pack` in a format that we know.
pub(crate) fn is_pack(header: &[u8; PACK_HEADER], pack: i64) -> bool {
    header[..8] == *PACK_MAGIC
        && header[8..10] == PACK_FORMAT.to_be_bytes()
        && header[12..20] == pack.to_be_bytes()
        && header[28..] == crc(&header[..28], &[]).to_be_bytes()
}

/// Where a frame lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Location {
    pub(crate) pack: i64,
    /// Of its header.
    pub(crate) at: u64,
    /// Of its payload.
    pub(crate) length: u32,
}

/// Length of a location in an index.
pub(crate) const LOCATION: usize = 20;

impl Location {
    /// Where the frame ends.
    pub(crate) fn end(&self) -> u64 {
        self.at + HEADER as u64 + u64::from(self.length)
    }
}

/// The payload of an index.
pub(crate) fn print_index(places: &[Location]) -> Vec<u8> {
    let mut out = Vec::with_capacity(places.len() * LOCATION);
    for place in places {
        out.extend_from_slice(&place.pack.to_be_bytes());
        out.extend_from_slice(&place.at.to_be_bytes());
        out.extend_from_slice(&place.length.to_be_bytes());
    }
    out
}

/// Reads it.
pub(crate) fn parse_index(payload: &[u8]) -> Option<Vec<Location>> {
    let (entries, rest) = payload.as_chunks::<LOCATION>();
    let parse = |entry: &[u8; LOCATION]| {
        let (pack, rest) = entry.split_first_chunk::<8>()?;
        let (at, rest) = rest.split_first_chunk::<8>()?;
        let length = u32::from_be_bytes(*rest.first_chunk::<4>()?);
        let place = Location { pack: i64::from_be_bytes(*pack), at: u64::from_be_bytes(*at), length };
        (length as usize <= MAX_PAYLOAD).then_some(place)
    };
    if rest.is_empty() { entries.iter().map(parse).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn frames_come_back_and_no_flip_goes_unseen(
            blob: i64, number: u32, payload: Vec<u8>, flip: prop::sample::Index, bit in 0..8_u8
        ) {
            let length = u32::try_from(payload.len()).unwrap();
            let header = Header { kind: Kind::Chunk, blob: BlobId::from_raw(blob), number, length };
            let mut bytes = Vec::new();
            header.print(&payload, &mut bytes);
            prop_assert_eq!(Header::parse_frame(&bytes), Some((header, payload.as_slice())));
            let at = flip.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(Header::parse_frame(&bytes), None);
        }

        #[test]
        fn indexes_come_back(places in prop::collection::vec((any::<i64>(), any::<u64>(), 0..1_000_u32), 0..50)) {
            let places: Vec<_> =
                places.into_iter().map(|(pack, at, length)| Location { pack, at, length }).collect();
            prop_assert_eq!(parse_index(&print_index(&places)), Some(places));
        }
    }

    #[test]
    fn a_pack_knows_its_number() {
        let header = print_pack(7, 1);
        assert!(is_pack(&header, 7));
        assert!(!is_pack(&header, 8));
        let mut flipped = header;
        flipped[24] ^= 1;
        assert!(!is_pack(&flipped, 7));
    }
}
