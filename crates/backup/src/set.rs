//! The bytes of a set, and of the segments that sets share. [F] `docs/backup-format.md` says the same for others.
//!
//! ```text
//! sets/ID.set        = "SEALBSET" format:u16=1 kind:u8 0:u8 set:i64 life:i64 created:i64 server:16 sealed
//! sealed             = AES-256-GCM under life key `life` (1, nonce 12, ciphertext, tag 16), what stands before it as
//!                      AAD; inside: zstd of the manifest (postcard)
//! segments/AB/ABC..  = AES-256-GCM under a key of its own (1, nonce 12, ciphertext, tag 16); inside: 0 and bytes,
//!                      or 1 and zstd of bytes
//! server             = "SEALBPLC" format:u16=1 kind:u8 0:u8 server:16: whose place it is
//! ```
//!
//! A segment's file is named by the SHA-256 of its bytes, so anybody can hold it against its name, and nobody without a
//! manifest opens it: each segment has a random key, and each manifest that names the segment holds that key. So a
//! set dies with one life key, and what newer sets share with it lives on in theirs.

use sealpost_crypto::{Aad, Key, Random, sha256};
use sealpost_model::{BackupId, Id, LifeKeyId, Time};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::Error;

/// How often sets of a kind are made, and how long they are kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Kind {
    /// Each day, on site; the newest 2 are kept (S70).
    Daily = 1,
    /// Each week, off site; 4 weeks are kept (S71).
    Weekly = 2,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Daily, Self::Weekly];

    /// Its word in commands and in the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Weekly => "weekly",
        }
    }

    /// How many are kept.
    pub const fn kept(self) -> usize {
        match self {
            Self::Daily => 2,
            Self::Weekly => 4,
        }
    }

    /// The kind with this number.
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as i64 == number)
    }
}

/// What a set says without its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Daily or weekly.
    pub kind: Kind,
    /// Its id.
    pub set: BackupId,
    /// The life key that opens it.
    pub life: LifeKeyId,
    /// When its snapshot was taken.
    pub created: Time,
    /// Whose it is: a keyed hash that tells one server's sets from another's.
    pub server: [u8; 16],
}

const MAGIC: &[u8; 8] = b"SEALBSET";
const PLACE_MAGIC: &[u8; 8] = b"SEALBPLC";
const FORMAT: u16 = 1;
const HEADER: usize = 52;

/// All that a set holds, and where.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Manifest {
    /// The server's name.
    pub host: String,
    /// The version that made it.
    pub version: String,
    /// How far each crate's tables were.
    pub formats: Vec<(String, i64)>,
    /// Rows, by table.
    pub tables: Vec<TableDump>,
    /// Packs of sealed bodies.
    pub packs: Vec<PackDump>,
    /// Other files: the read journal, the configuration.
    pub files: Vec<FileDump>,
}

/// A table's rows in the order of its key.
#[derive(Clone, Serialize, Deserialize)]
pub struct TableDump {
    /// Its name.
    pub name: String,
    /// Its columns, in the order of the cells.
    pub columns: Vec<String>,
    /// How many rows.
    pub rows: u64,
    /// Runs of rows, in order.
    pub pieces: Vec<RowPiece>,
}

/// A run of rows.
#[derive(Clone, Serialize, Deserialize)]
pub struct RowPiece {
    /// SHA-256 of the rows as bytes.
    pub hash: [u8; 32],
    /// How many rows.
    pub rows: u32,
    /// Where they lie.
    pub segment: Segment,
}

/// A pack's bytes.
#[derive(Clone, Serialize, Deserialize)]
pub struct PackDump {
    /// Its number.
    pub pack: i64,
    /// Its bytes.
    pub length: u64,
    /// Pieces of [`PIECE`] bytes each but the last.
    pub pieces: Vec<Segment>,
}

/// A file's bytes.
#[derive(Clone, Serialize, Deserialize)]
pub struct FileDump {
    /// Its path: `read-journal/..` goes into the data folder, `config/..` beside it.
    pub name: String,
    /// Pieces of [`PIECE`] bytes each but the last.
    pub pieces: Vec<Segment>,
}

/// Plain bytes of a pack or a file in one segment.
pub const PIECE: usize = 4 << 20;

/// A sealed file of the place, and its key.
#[derive(Clone, Serialize, Deserialize)]
pub struct Segment {
    /// SHA-256 of the sealed bytes: its name.
    pub name: [u8; 32],
    key: [u8; 32],
    /// Plain bytes.
    pub plain: u32,
    /// Sealed bytes.
    pub stored: u32,
}

/// Never its key.
impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.file())
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl Segment {
    /// Seals bytes under a fresh key. Answers the sealed bytes too.
    pub(crate) fn seal(random: &Random, plain: &[u8], compress: bool) -> (Self, Vec<u8>) {
        let mut body = Zeroizing::new(Vec::with_capacity(plain.len() + 1));
        let short = compress.then(|| zstd::bulk::compress(plain, 1).ok()).flatten();
        match short.filter(|short| short.len() < plain.len()) {
            Some(short) => {
                body.push(1);
                body.extend_from_slice(&short);
            }
            None => {
                body.push(0);
                body.extend_from_slice(plain);
            }
        }
        let key = random.key();
        let sealed = key.seal(random, &aad(), &body);
        let (name, length) = (sha256(&sealed), |n: usize| u32::try_from(n).expect("a segment is a few MiB"));
        let segment =
            Self { name, key: *key.expose(), plain: length(plain.len()), stored: length(sealed.len()) };
        (segment, sealed)
    }

    /// Opens sealed bytes; `None` when they are not what was written.
    pub(crate) fn open(&self, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        if sha256(sealed) != self.name {
            return None;
        }
        let body = Zeroizing::new(Key::from_bytes(self.key).open(&aad(), sealed).ok()?);
        let (how, bytes) = body.split_first()?;
        let plain = match how {
            0 => bytes.to_vec(),
            1 => zstd::bulk::decompress(bytes, self.plain as usize).ok()?,
            _ => return None,
        };
        (plain.len() == self.plain as usize).then(|| Zeroizing::new(plain))
    }

    /// Its file at the place.
    pub fn file(&self) -> String {
        segment_file(&self.name)
    }
}

fn aad() -> Aad {
    Aad::instance("backup_segment", 0, "body")
}

pub(crate) fn segment_file(name: &[u8; 32]) -> String {
    let hex: String = name.iter().map(|b| format!("{b:02x}")).collect();
    format!("{SEGMENTS}/{}/{hex}", hex.get(..2).unwrap_or_default())
}

/// The folder of segments.
pub(crate) const SEGMENTS: &str = "segments";
/// The folder of sets.
pub(crate) const SETS: &str = "sets";
/// Whose place it is.
pub(crate) const OWNER: &str = "server";

impl Header {
    /// Its file at the place.
    pub fn file(&self) -> String {
        set_file(self.set)
    }

    fn print(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT.to_be_bytes());
        out.extend_from_slice(&[self.kind as u8, 0]);
        out.extend_from_slice(&self.set.raw().to_be_bytes());
        out.extend_from_slice(&self.life.raw().to_be_bytes());
        out.extend_from_slice(&self.created.millis().to_be_bytes());
        out.extend_from_slice(&self.server);
        out
    }

    /// Reads the header of a set; `Ok(None)` when the bytes are none.
    ///
    /// # Errors
    /// [`Error::Newer`].
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, Error> {
        fn word<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
            bytes.get(at..at + N)?.try_into().ok()
        }
        if bytes.get(..8) != Some(MAGIC) {
            return Ok(None);
        }
        match word(bytes, 8).map(u16::from_be_bytes) {
            Some(FORMAT) => {}
            Some(found) => return Err(Error::Newer { found, known: FORMAT }),
            None => return Ok(None),
        }
        let read = || {
            let number = |at| word(bytes, at).map(i64::from_be_bytes);
            Some(Self {
                kind: Kind::from_number(i64::from(*bytes.get(10)?))?,
                set: BackupId::from_raw(number(12)?),
                life: LifeKeyId::from_raw(number(20)?),
                created: Time::from_millis(number(28)?),
                server: word(bytes, 36)?,
            })
        };
        Ok(read())
    }

    fn bound(&self) -> Aad {
        Aad::instance("backup_set", self.set.raw(), "manifest").with(&self.print())
    }

    /// Seals something that belongs to this set.
    pub(crate) fn seal<T: Serialize>(&self, key: &Key, random: &Random, value: &T) -> Vec<u8> {
        let plain = Zeroizing::new(postcard::to_allocvec(value).expect("plain data is always written"));
        let short = zstd::bulk::compress(&plain, 3).expect("memory is the only thing that compressing needs");
        let mut body = (plain.len() as u64).to_be_bytes().to_vec();
        body.extend_from_slice(&short);
        let body = Zeroizing::new(body);
        let mut out = self.print();
        out.extend_from_slice(&key.seal(random, &self.bound(), &body));
        out
    }

    /// Opens what [`Header::seal`] made; `None` when it is not what was written, or another key's.
    pub(crate) fn open<T: for<'a> Deserialize<'a>>(&self, key: &Key, bytes: &[u8]) -> Option<T> {
        let (head, sealed) = bytes.split_at_checked(HEADER)?;
        if head != self.print() {
            return None;
        }
        let body = Zeroizing::new(key.open(&self.bound(), sealed).ok()?);
        let (length, short) = body.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
        let plain = Zeroizing::new(zstd::bulk::decompress(short, length).ok()?);
        postcard::from_bytes(&plain).ok()
    }
}

pub(crate) fn set_file(set: BackupId) -> String {
    format!("{SETS}/{:020}.set", set.raw())
}

/// What says whose place it is.
pub(crate) fn owner(kind: Kind, server: &[u8; 16]) -> Vec<u8> {
    let mut out = PLACE_MAGIC.to_vec();
    out.extend_from_slice(&FORMAT.to_be_bytes());
    out.extend_from_slice(&[kind as u8, 0]);
    out.extend_from_slice(server);
    out
}

impl Manifest {
    /// Every segment.
    pub fn segments(&self) -> impl Iterator<Item = &Segment> {
        let rows = self.tables.iter().flat_map(|t| t.pieces.iter().map(|p| &p.segment));
        let packs = self.packs.iter().flat_map(|p| &p.pieces);
        rows.chain(packs).chain(self.files.iter().flat_map(|f| &f.pieces))
    }

    /// Plain bytes in all.
    pub fn bytes(&self) -> u64 {
        self.segments().map(|s| u64::from(s.plain)).sum()
    }

    /// Rows in all.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|t| t.rows).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            kind: Kind::Weekly,
            set: BackupId::from_raw(7),
            life: LifeKeyId::from_raw(99),
            created: Time::from_millis(5),
            server: [3; 16],
        }
    }

    #[test]
    fn a_segment_opens_only_as_it_was_written() {
        let random = Random::danger_predictable(1);
        for (plain, compress) in [(vec![7; 5000], true), (vec![7; 5000], false), (Vec::new(), true)] {
            let (segment, sealed) = Segment::seal(&random, &plain, compress);
            assert_eq!(segment.open(&sealed).unwrap().as_slice(), plain);
            assert_eq!(sealed.len() < 1000, compress || plain.is_empty());
            for at in [0, 1, 20, sealed.len() - 1] {
                let mut other = sealed.clone();
                other[at] ^= 1;
                assert!(segment.open(&other).is_none());
            }
            assert!(segment.open(&sealed[1..]).is_none());
        }
        let (segment, _) = Segment::seal(&random, b"x", false);
        assert!(!format!("{segment:?}").contains(&format!("{:02x}{:02x}", segment.key[0], segment.key[1])));
    }

    #[test]
    fn a_set_opens_with_its_key_and_its_own_header() {
        let random = Random::danger_predictable(1);
        let (header, key) = (header(), random.key());
        let manifest = Manifest { host: "mail.test".into(), ..Manifest::default() };
        let bytes = header.seal(&key, &random, &manifest);
        assert_eq!(Header::parse(&bytes).unwrap(), Some(header));
        assert_eq!(header.open::<Manifest>(&key, &bytes).unwrap().host, "mail.test");
        assert!(header.open::<Manifest>(&random.key(), &bytes).is_none());
        for at in [10, 12, 20, 28, 36, HEADER, bytes.len() - 1] {
            let mut other = bytes.clone();
            other[at] ^= 1;
            let opened = Header::parse(&other).ok().flatten().and_then(|h| h.open::<Manifest>(&key, &other));
            assert!(opened.is_none(), "{at}");
        }
        let mut newer = bytes.clone();
        newer[9] = 2;
        assert!(matches!(Header::parse(&newer), Err(Error::Newer { found: 2, .. })));
        assert!(matches!(Header::parse(b"SEALBSE"), Ok(None)));
    }
}
