//! Bodies: a run of sealed chunks, so that any size passes through bounded memory and any range opens by itself.
//!
//! Format 1, a stored one. A blob of n bytes is max(1, n / 256 KiB rounded up) frames. A frame:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | length of the rest, big endian |
//! | 1 | flags: 1 = last chunk, 2 = compressed (zstd level 1; only where that is shorter) |
//! | n | ciphertext of the chunk: AES-256-GCM, nonce = number of the chunk |
//! | 16 | tag |
//!
//! The AAD is format, tenant, blob, chunk number and flags, so that chunks can't be swapped, repeated, dropped or cut
//! off at the end. The AES key is derived from the blob's key and the blob's id: even a key used by mistake for two
//! blobs never meets the same nonce. Every chunk but the last has exactly 256 KiB, so byte `o` lies in chunk
//! `o / 256 KiB`, and no frame can swell beyond that when it opens.

use std::cell::RefCell;

use sealpost_model::{BlobId, Id, TenantId};
use zeroize::Zeroizing;
use zstd::bulk::{Compressor, Decompressor};

use crate::{Cipher, Key, Tampered};

/// Plain bytes in each chunk but the last.
pub const CHUNK: usize = 256 * 1024;
/// Length of the length that a frame begins with.
pub const FRAME_HEADER: usize = 4;
/// What a frame adds to its chunk at most: length, flags, tag.
pub const FRAME_OVERHEAD: usize = FRAME_HEADER + 1 + TAG;
/// The longest frame there is.
pub const MAX_FRAME: usize = CHUNK + FRAME_OVERHEAD;

const FORMAT: u8 = 1;
const TAG: usize = 16;
const LAST: u8 = 1;
const COMPRESSED: u8 = 2;
/// Shorter chunks gain nothing.
const WORTH_COMPRESSING: usize = 96;

/// What sealing a blob came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sealed {
    /// Plain bytes.
    pub size: u64,
    /// Bytes of all frames.
    pub stored: u64,
    /// The length of each frame, for whoever keeps an index of them.
    pub frames: Vec<u32>,
}

/// Seals a body that arrives in pieces; holds at most one chunk, wiped at the end.
#[derive(Debug)]
pub struct BlobSealer {
    place: Place,
    chunk: Zeroizing<Vec<u8>>,
    sealed: Sealed,
}

impl BlobSealer {
    /// For blob `blob` of `tenant`, under its own random key.
    pub fn new(key: &Key, tenant: TenantId, blob: BlobId) -> Self {
        Self {
            place: Place::new(key, tenant, blob),
            chunk: Zeroizing::new(Vec::new()),
            sealed: Sealed { size: 0, stored: 0, frames: Vec::new() },
        }
    }

    /// Takes the next piece and appends the frames that became complete to `out`.
    pub fn write(&mut self, mut piece: &[u8], out: &mut Vec<u8>) {
        self.sealed.size += piece.len() as u64;
        while !piece.is_empty() {
            // A full chunk waits for one more byte, because the last one says that it is the last.
            if self.chunk.len() == CHUNK {
                self.frame(0, out);
            }
            let (now, later) = piece.split_at(piece.len().min(CHUNK - self.chunk.len()));
            grow(&mut self.chunk, now.len());
            self.chunk.extend_from_slice(now);
            piece = later;
        }
    }

    /// Ends the blob: appends its last frame.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Sealed {
        self.frame(LAST, out);
        self.sealed
    }

    /// Plain bytes taken so far.
    pub const fn size(&self) -> u64 {
        self.sealed.size
    }

    fn frame(&mut self, flags: u8, out: &mut Vec<u8>) {
        let number = u32::try_from(self.sealed.frames.len()).expect("a blob is shorter than a pebibyte");
        let start = out.len();
        out.reserve(self.chunk.len() + FRAME_OVERHEAD);
        out.extend_from_slice(&[0; FRAME_HEADER + 1]);
        let compressed = compress_to(&self.chunk, out);
        if !compressed {
            out.extend_from_slice(&self.chunk);
        }
        let flags = if compressed { flags | COMPRESSED } else { flags };
        let tag = self.place.cipher.seal_chunk(
            nonce(number),
            &self.place.aad(number, flags),
            &mut out[start + FRAME_HEADER + 1..],
        );
        out.extend_from_slice(&tag);
        let len = u32::try_from(out.len() - start).expect("a frame is shorter than 4 GiB");
        out[start..start + FRAME_HEADER].copy_from_slice(&(len - FRAME_HEADER as u32).to_be_bytes());
        out[start + FRAME_HEADER] = flags;
        self.sealed.frames.push(len);
        self.sealed.stored += u64::from(len);
        self.chunk.clear();
    }
}

/// A chunk that was opened.
#[derive(Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Its plain bytes: [`CHUNK`] of them, or fewer in the last one.
    pub plain: Vec<u8>,
    /// Whether the blob ends here.
    pub last: bool,
}

impl std::fmt::Debug for Chunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chunk {{ {} bytes, last: {} }}", self.plain.len(), self.last)
    }
}

/// Opens the frames of a blob in any order.
#[derive(Debug)]
pub struct BlobOpener {
    place: Place,
}

impl BlobOpener {
    /// For blob `blob` of `tenant`, under its key.
    pub fn new(key: &Key, tenant: TenantId, blob: BlobId) -> Self {
        Self { place: Place::new(key, tenant, blob) }
    }

    /// The length of the whole frame that begins with these bytes.
    pub fn frame_len(header: [u8; FRAME_HEADER]) -> Result<usize, Tampered> {
        let rest = usize::try_from(u32::from_be_bytes(header)).map_err(|_| Tampered)?;
        if (1 + TAG..=MAX_FRAME - FRAME_HEADER).contains(&rest) {
            Ok(FRAME_HEADER + rest)
        } else {
            Err(Tampered)
        }
    }

    /// The chunk that byte `offset` lies in, and where in it.
    pub fn chunk_of(offset: u64) -> (u64, usize) {
        let at = offset % CHUNK as u64;
        (offset / CHUNK as u64, usize::try_from(at).unwrap_or(0))
    }

    /// Opens frame `number`: the whole frame, its header included, and nothing after it.
    pub fn open(&self, number: u32, frame: &[u8]) -> Result<Chunk, Tampered> {
        let (header, rest) = frame.split_first_chunk::<FRAME_HEADER>().ok_or(Tampered)?;
        if Self::frame_len(*header)? != frame.len() {
            return Err(Tampered);
        }
        let (&flags, sealed) = rest.split_first().ok_or(Tampered)?;
        let aad = self.place.aad(number, flags);
        let mut plain = self.place.cipher.open_chunk(nonce(number), &aad, sealed)?;
        if flags & COMPRESSED != 0 {
            let packed = Zeroizing::new(std::mem::take(&mut plain));
            plain = decompress(&packed)?;
        }
        let last = flags & LAST != 0;
        // Only an empty blob has an empty chunk, and only the last may be short.
        let right = if last { number == 0 || !plain.is_empty() } else { plain.len() == CHUNK };
        if right && flags & !(LAST | COMPRESSED) == 0 { Ok(Chunk { plain, last }) } else { Err(Tampered) }
    }
}

/// Opens a blob whose frames arrive in pieces, from the first on; holds at most one frame.
#[derive(Debug)]
pub struct BlobStream {
    opener: BlobOpener,
    frame: Vec<u8>,
    next: u32,
    ended: bool,
}

impl BlobStream {
    /// Starts at the first frame.
    pub fn new(opener: BlobOpener) -> Self {
        Self { opener, frame: Vec::new(), next: 0, ended: false }
    }

    /// Takes the next piece of sealed bytes and appends the plain bytes of frames that became complete to `out`.
    pub fn write(&mut self, mut piece: &[u8], out: &mut Vec<u8>) -> Result<(), Tampered> {
        while !piece.is_empty() {
            if self.ended {
                return Err(Tampered);
            }
            let want = match self.frame.first_chunk::<FRAME_HEADER>() {
                Some(header) => BlobOpener::frame_len(*header)?,
                None => FRAME_HEADER,
            };
            let (now, later) = piece.split_at(piece.len().min(want - self.frame.len()));
            self.frame.extend_from_slice(now);
            piece = later;
            if want > FRAME_HEADER && self.frame.len() == want {
                let chunk = self.opener.open(self.next, &self.frame)?;
                out.extend_from_slice(&chunk.plain);
                self.ended = chunk.last;
                self.next = self.next.checked_add(1).ok_or(Tampered)?;
                self.frame.clear();
            }
        }
        Ok(())
    }

    /// Whether the blob came to its end. What was cut off is told here.
    pub fn finish(self) -> Result<(), Tampered> {
        if self.ended { Ok(()) } else { Err(Tampered) }
    }
}

/// What both directions agree on.
#[derive(Debug)]
struct Place {
    cipher: Cipher,
    tenant: TenantId,
    blob: BlobId,
}

impl Place {
    fn new(key: &Key, tenant: TenantId, blob: BlobId) -> Self {
        Self { cipher: key.derive_for("blob", &blob.raw().to_be_bytes()).cipher(), tenant, blob }
    }

    fn aad(&self, number: u32, flags: u8) -> [u8; 22] {
        let mut aad = [0; 22];
        aad[0] = FORMAT;
        aad[1..9].copy_from_slice(&self.tenant.raw().to_be_bytes());
        aad[9..17].copy_from_slice(&self.blob.raw().to_be_bytes());
        aad[17..21].copy_from_slice(&number.to_be_bytes());
        aad[21] = flags;
        aad
    }
}

fn nonce(number: u32) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[8..].copy_from_slice(&number.to_be_bytes());
    nonce
}

/// Room for `more`, in the steps of a doubling but never more than a chunk.
fn grow(chunk: &mut Zeroizing<Vec<u8>>, more: usize) {
    let need = chunk.len() + more;
    if need > chunk.capacity() {
        let mut bigger = Zeroizing::new(Vec::with_capacity((need * 2).min(CHUNK)));
        bigger.extend_from_slice(chunk);
        *chunk = bigger;
    }
}

thread_local! {
    // A context takes longer to make than a small body takes to compress, and as much memory as a chunk.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Appends the compressed chunk to `out` if that is shorter than the chunk; else leaves `out` as it is.
fn compress_to(chunk: &[u8], out: &mut Vec<u8>) -> bool {
    if chunk.len() < WORTH_COMPRESSING {
        return false;
    }
    let start = out.len();
    // One byte less than the chunk: what does not fit is not worth it, and zstd says so by failing.
    out.resize(start + chunk.len() - 1, 0);
    let packed = COMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Compressor::new(1).ok();
        }
        slot.as_mut().and_then(|c| c.compress_to_buffer(chunk, &mut out[start..]).ok())
    });
    out.truncate(start + packed.unwrap_or(0));
    packed.is_some()
}

/// At most a chunk, whatever the frame claims.
fn decompress(packed: &[u8]) -> Result<Vec<u8>, Tampered> {
    DECOMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Decompressor::new().ok();
        }
        // It takes the lesser of what the frame says and of the capacity, and fails when the content is more.
        slot.as_mut().and_then(|d| d.decompress(packed, CHUNK).ok()).ok_or(Tampered)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Random;

    fn place() -> (Key, TenantId, BlobId) {
        (Random::danger_predictable(1).key(), TenantId::from_raw(1), BlobId::from_raw(2))
    }

    fn seal(plain: &[u8], pieces: usize) -> (Vec<u8>, Sealed) {
        let (key, tenant, blob) = place();
        let (mut sealer, mut out) = (BlobSealer::new(&key, tenant, blob), Vec::new());
        for piece in plain.chunks(pieces.max(1)) {
            sealer.write(piece, &mut out);
        }
        let sealed = sealer.finish(&mut out);
        assert_eq!(sealed.stored, out.len() as u64);
        assert_eq!(sealed.size, plain.len() as u64);
        (out, sealed)
    }

    fn open(frames: &[u8], pieces: usize) -> Result<Vec<u8>, Tampered> {
        let (key, tenant, blob) = place();
        open_as(&key, tenant, blob, frames, pieces)
    }

    fn open_as(
        key: &Key,
        tenant: TenantId,
        blob: BlobId,
        frames: &[u8],
        pieces: usize,
    ) -> Result<Vec<u8>, Tampered> {
        let (mut stream, mut out) = (BlobStream::new(BlobOpener::new(key, tenant, blob)), Vec::new());
        for piece in frames.chunks(pieces.max(1)) {
            stream.write(piece, &mut out)?;
        }
        stream.finish()?;
        Ok(out)
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        Random::danger_predictable(9).fill(&mut bytes);
        bytes
    }

    #[test]
    fn every_length_around_a_chunk_comes_back() {
        for len in [0, 1, 95, 96, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 7] {
            for plain in [noise(len), vec![b'a'; len]] {
                let (frames, sealed) = seal(&plain, 70_001);
                assert_eq!(sealed.frames.len(), len.div_ceil(CHUNK).max(1), "{len}");
                assert_eq!(open(&frames, 65_537).as_deref(), Ok(&plain[..]), "{len}");
            }
        }
    }

    #[test]
    fn text_shrinks_and_noise_grows_by_the_overhead_only() {
        let (frames, _) = seal(&vec![b'a'; 3 * CHUNK], CHUNK);
        assert!(frames.len() < 3_000, "{}", frames.len());
        let (frames, _) = seal(&noise(3 * CHUNK), CHUNK);
        assert_eq!(frames.len(), 3 * MAX_FRAME);
    }

    #[test]
    fn any_chunk_opens_by_itself_and_in_its_place_only() {
        let plain = noise(2 * CHUNK + 9);
        let (frames, sealed) = seal(&plain, 4096);
        let (key, tenant, blob) = place();
        let opener = BlobOpener::new(&key, tenant, blob);
        let mut at = 0;
        for (i, len) in sealed.frames.iter().enumerate() {
            let frame = &frames[at..at + *len as usize];
            at += frame.len();
            assert_eq!(BlobOpener::frame_len(frame[..4].try_into().unwrap()), Ok(frame.len()));
            let chunk = opener.open(i as u32, frame).unwrap();
            assert_eq!(chunk.plain, plain[i * CHUNK..plain.len().min((i + 1) * CHUNK)]);
            assert_eq!(chunk.last, i == 2);
            assert_eq!(opener.open(i as u32 + 1, frame), Err(Tampered), "as another number");
            for (k, t, b) in [
                (key.derive("x"), tenant, blob),
                (key.clone(), TenantId::from_raw(9), blob),
                (key.clone(), tenant, BlobId::from_raw(9)),
            ] {
                assert_eq!(BlobOpener::new(&k, t, b).open(i as u32, frame), Err(Tampered));
            }
        }
        assert_eq!(BlobOpener::chunk_of(2 * CHUNK as u64 + 8), (2, 8));
    }

    #[test]
    fn chunks_cant_be_swapped_dropped_repeated_or_added() {
        let (frames, sealed) = seal(&noise(3 * CHUNK), CHUNK);
        let one = sealed.frames[0] as usize;
        let part = |i: usize| &frames[i * one..(i + 1) * one];
        for wrong in [
            [part(1), part(0), part(2)].concat(),
            [part(0), part(2)].concat(),
            [part(0), part(1)].concat(),
            [part(0), part(0), part(1), part(2)].concat(),
            [part(0), part(1), part(2), part(2)].concat(),
            [part(0), part(1), part(2), &[0]].concat(),
            frames[..frames.len() - 1].to_vec(),
            Vec::new(),
        ] {
            assert_eq!(open(&wrong, 99_999), Err(Tampered));
        }
    }

    #[test]
    fn a_blob_cant_be_ended_early_or_never() {
        let (frames, sealed) = seal(&noise(2 * CHUNK), CHUNK);
        let one = sealed.frames[0] as usize;
        let mut ended = frames[..one].to_vec();
        ended[FRAME_HEADER] |= LAST;
        assert_eq!(open(&ended, one), Err(Tampered));
        let mut endless = frames.clone();
        endless[one + FRAME_HEADER] &= !LAST;
        let (key, tenant, blob) = place();
        assert_eq!(BlobOpener::new(&key, tenant, blob).open(1, &endless[one..]), Err(Tampered));
    }

    #[test]
    fn a_frame_made_to_swell_is_refused() {
        // Someone who holds the key (a bug of ours, say) packs 64 MiB of zeros into one frame.
        let (key, tenant, blob) = place();
        let place = Place::new(&key, tenant, blob);
        let frame = |body: &[u8], flags: u8| {
            let mut frame = vec![0; 5];
            frame[4] = flags;
            frame.extend_from_slice(body);
            let tag = place.cipher.seal_chunk(nonce(0), &place.aad(0, flags), &mut frame[5..]);
            frame.extend_from_slice(&tag);
            let len = (frame.len() - 4) as u32;
            frame[..4].copy_from_slice(&len.to_be_bytes());
            frame
        };
        let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 19).unwrap();
        let opener = BlobOpener::new(&key, tenant, blob);
        assert_eq!(opener.open(0, &frame(&bomb, LAST | COMPRESSED)), Err(Tampered));
        // The same without its content size in the header, and one byte too many.
        let mut stream = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
        std::io::Write::write_all(&mut stream, &vec![0; CHUNK + 1]).unwrap();
        assert_eq!(opener.open(0, &frame(&stream.finish().unwrap(), LAST | COMPRESSED)), Err(Tampered));
        // Flags from the future, a short chunk that isn't the last, and what isn't zstd at all.
        assert_eq!(opener.open(0, &frame(b"x", LAST | 4)), Err(Tampered));
        assert_eq!(opener.open(0, &frame(b"x", 0)), Err(Tampered));
        assert_eq!(opener.open(0, &frame(b"x", LAST | COMPRESSED)), Err(Tampered));
        assert_eq!(opener.open(0, &frame(b"x", LAST)), Ok(Chunk { plain: b"x".to_vec(), last: true }));
    }

    #[test]
    fn a_frames_length_is_bounded_before_anything_is_held() {
        for rest in [0, 1, 16, MAX_FRAME as u32 - 3, u32::MAX] {
            assert_eq!(BlobOpener::frame_len(rest.to_be_bytes()), Err(Tampered), "{rest}");
        }
        let (key, tenant, blob) = place();
        let mut stream = BlobStream::new(BlobOpener::new(&key, tenant, blob));
        assert_eq!(stream.write(&[0xFF; 5], &mut Vec::new()), Err(Tampered));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn pieces_dont_matter(len in 0..3 * CHUNK, write in 1..2 * CHUNK, read in 1..2 * CHUNK, text: bool) {
            let plain = if text { b"Dear Pat, ".iter().copied().cycle().take(len).collect() } else { noise(len) };
            let (frames, _) = seal(&plain, write);
            prop_assert_eq!(&frames, &seal(&plain, CHUNK).0);
            prop_assert_eq!(open(&frames, read), Ok(plain));
        }

        #[test]
        fn any_flipped_bit_is_noticed(len in 0..2_000_usize, at: prop::sample::Index, bit in 0..8_u8) {
            let (mut frames, _) = seal(&vec![b'a'; len], 300);
            let at = at.index(frames.len());
            frames[at] ^= 1 << bit;
            prop_assert_eq!(open(&frames, 300), Err(Tampered));
        }
    }
}
