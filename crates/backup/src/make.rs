//! Makes a set of a running server, in an order that loses nothing:
//!
//! 1. the read journal's files, since the sequencer moves them into the table and removes them;
//! 2. one snapshot of all rows, at the disk's speed, into a *spool* beside the data (sealed like everything else);
//! 3. the packs' new bytes. Packs only grow, and a row names a body only after its bytes are on the disk: so what is
//!    read after the snapshot holds whatever a row of the snapshot names;
//! 4. the manifest, once all segments are at the place for good. Only then there is a set.
//!
//! What an earlier set at the same place has is named again and not copied: a daily set costs what is new. A process
//! that dies leaves the spool with all that is known so far; the next try goes on there.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sealpost_crypto::{Key, Random, sha256};
use sealpost_store::copy::{self, Snapshot, Table};
use sealpost_store::{Schema, Store, Value};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::place::{Folder, Place};
use crate::progress::Watcher;
use crate::rows::Cutter;
use crate::set::{FileDump, Header, Manifest, PIECE, PackDump, RowPiece, SEGMENTS, Segment, TableDump};

/// What it takes to make a set.
pub(crate) struct Job<'a> {
    pub store: &'a Store,
    pub schemas: &'a [&'static Schema],
    pub random: &'a Random,
    pub place: &'a dyn Place,
    /// A folder of this set's own, beside the data.
    pub spool: PathBuf,
    pub header: Header,
    pub key: &'a Key,
    pub host: &'a str,
    /// Files besides: name in the set, and where they lie.
    pub files: Vec<(String, PathBuf)>,
    pub known: Known,
    pub watch: &'a Watcher,
}

/// What earlier sets at the place have.
#[derive(Default)]
pub(crate) struct Known {
    rows: HashMap<[u8; 32], Segment>,
    packs: HashMap<(i64, u32, u32), Segment>,
}

impl Known {
    /// Learns an earlier set, as far as its segments are still there.
    pub(crate) fn learn(&mut self, manifest: &Manifest, there: &HashSet<String>) {
        let has = |segment: &Segment| there.contains(&segment.file());
        for piece in manifest.tables.iter().flat_map(|t| &t.pieces).filter(|p| has(&p.segment)) {
            self.rows.insert(piece.hash, piece.segment.clone());
        }
        for pack in &manifest.packs {
            for (number, segment) in (0..).zip(&pack.pieces).filter(|(_, s)| has(s)) {
                self.packs.insert((pack.pack, number, segment.plain), segment.clone());
            }
        }
    }
}

/// What making it came to.
pub(crate) struct Made {
    pub manifest: Manifest,
    /// Sealed bytes that were new at the place.
    pub added: u64,
}

/// What the spool knows when all rows are in it.
#[derive(Serialize, Deserialize)]
struct Index {
    manifest: Manifest,
    /// Packs with their bytes at the time of the snapshot.
    packs: Vec<(i64, u64)>,
    /// Segments that lie in the spool.
    spooled: Vec<Segment>,
}

impl Job<'_> {
    /// Makes the set, or goes on with it.
    pub(crate) fn run(mut self) -> Result<Made, Error> {
        let spool = Folder::unsynced(&self.spool);
        let index = match self.resume(&spool)? {
            Some(index) => index,
            None => self.snapshot(&spool)?,
        };
        let rows: u64 = index.spooled.iter().map(|s| u64::from(s.plain)).sum();
        self.watch.total(rows + index.packs.iter().map(|(_, length)| length).sum::<u64>());
        let mut added = self.upload(&spool, &index.spooled)?;
        let mut manifest = index.manifest;
        added += self.copy_packs(&index.packs, &mut manifest)?;
        self.place.settle()?;
        self.place.put(&self.header.file(), &self.header.seal(self.key, self.random, &manifest))?;
        self.place.settle()?;
        remove(&self.spool)?;
        Ok(Made { manifest, added })
    }

    /// What an earlier try left, if that is of this set and whole.
    fn resume(&mut self, spool: &Folder) -> Result<Option<Index>, Error> {
        let Some(bytes) = spool.get(INDEX)? else { return Ok(None) };
        let Some(index) = self.header.open::<Index>(self.key, &bytes) else { return Ok(None) };
        for (pack, _) in &index.packs {
            if !copy::pack_file(self.store.data(), *pack).exists() {
                // It was collected meanwhile: this snapshot can't be had any more.
                return Ok(None);
            }
        }
        let mut log = fs::read(self.spool.join(DONE)).unwrap_or_default().into_boxed_slice();
        let mut rest: &mut [u8] = &mut log;
        // A torn end is a piece that is copied again.
        while let Some((length, more)) = rest.split_first_chunk_mut::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            let Some((frame, more)) = more.split_at_mut_checked(length) else { break };
            let Some((pack, number, segment)) = self.header.open::<(i64, u32, Segment)>(self.key, frame)
            else {
                break;
            };
            if self.place.has(&segment.file(), segment.stored.into())? {
                self.known.packs.insert((pack, number, segment.plain), segment);
            }
            rest = more;
        }
        Ok(Some(index))
    }

    /// Steps 1 and 2: all rows and the small files, sealed, into the spool.
    fn snapshot(&self, spool: &Folder) -> Result<Index, Error> {
        remove(&self.spool)?;
        self.watch.phase("rows");
        let mut spooled = Vec::new();
        let mut manifest = Manifest {
            host: self.host.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Manifest::default()
        };
        for (name, path) in self.journal()?.into_iter().chain(self.files.iter().cloned()) {
            manifest.files.extend(self.file(spool, name, &path, &mut spooled)?);
        }
        let snapshot = self.store.snapshot()?;
        manifest.formats = snapshot.formats()?;
        let tables = copy::tables(self.schemas, &manifest.formats)?;
        let mut packs = Vec::new();
        for table in &tables {
            let dump = self.table(spool, &snapshot, table, &mut spooled, &mut packs)?;
            manifest.tables.push(dump);
        }
        drop(snapshot);
        let packs = packs
            .into_iter()
            .filter_map(|(pack, closed, length)| self.pack_length(pack, closed, length).transpose())
            .collect::<Result<_, Error>>()?;
        let index = Index { manifest, packs, spooled };
        spool.put(INDEX, &self.header.seal(self.key, self.random, &index))?;
        spool.settle()?;
        Ok(index)
    }

    /// The read journal as it lies there: frames that are not in the table yet.
    fn journal(&self) -> Result<Vec<(String, PathBuf)>, Error> {
        let folder = self.store.data().join(JOURNAL);
        let mut out = Vec::new();
        let Ok(entries) = fs::read_dir(&folder) else { return Ok(out) };
        for entry in entries {
            let entry = entry.map_err(|e| Error::file(&folder, &e))?;
            if let Some(name) = entry.file_name().to_str().filter(|name| name.ends_with(".log")) {
                out.push((format!("{JOURNAL}/{name}"), entry.path()));
            }
        }
        Ok(out)
    }

    /// A small file; `None` when it went meanwhile.
    fn file(
        &self,
        spool: &Folder,
        name: String,
        path: &Path,
        spooled: &mut Vec<Segment>,
    ) -> Result<Option<FileDump>, Error> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::file(path, &e)),
        };
        let pieces = bytes.chunks(PIECE).map(|piece| self.spool(spool, piece, true, spooled));
        Ok(Some(FileDump { name, pieces: pieces.collect::<Result<_, _>>()? }))
    }

    fn table(
        &self,
        spool: &Folder,
        snapshot: &Snapshot,
        table: &Table,
        spooled: &mut Vec<Segment>,
        packs: &mut Vec<(i64, bool, i64)>,
    ) -> Result<TableDump, Error> {
        let (mut cutter, mut pieces) = (Cutter::default(), Vec::new());
        let keep = |(bytes, rows): (Vec<u8>, u32), pieces: &mut Vec<RowPiece>, spooled: &mut Vec<Segment>| {
            self.watch.check()?;
            let hash = sha256(&bytes);
            let segment = match self.known.rows.get(&hash) {
                Some(segment) => segment.clone(),
                None => self.spool(spool, &bytes, true, spooled)?,
            };
            self.watch.done(0);
            pieces.push(RowPiece { hash, rows, segment });
            Ok::<_, Error>(())
        };
        let column = |name: &str| table.columns.iter().position(|c| c == name);
        let facts = ["id", "state", "length"].map(|name| column(name).filter(|_| table.name == "pack"));
        let rows = snapshot.walk::<Error>(table, |row| {
            let number = |at: Option<usize>| match row.get(at?) {
                Some(Value::Int(n)) => Some(*n),
                _ => None,
            };
            if let [Some(id), Some(state), Some(length)] = facts.map(number) {
                packs.extend((state <= CLOSED).then_some((id, state == CLOSED, length)));
            }
            match cutter.push(row) {
                Some(piece) => keep(piece, &mut pieces, spooled),
                None => Ok(()),
            }
        })?;
        if let Some(piece) = cutter.end() {
            keep(piece, &mut pieces, spooled)?;
        }
        Ok(TableDump { name: table.name.clone(), columns: table.columns.clone(), rows, pieces })
    }

    fn spool(
        &self,
        spool: &Folder,
        plain: &[u8],
        compress: bool,
        spooled: &mut Vec<Segment>,
    ) -> Result<Segment, Error> {
        let (segment, sealed) = Segment::seal(self.random, plain, compress);
        spool.put(&segment.file(), &sealed)?;
        spooled.push(segment.clone());
        Ok(segment)
    }

    /// How many bytes of a pack to take: all of one that is closed, and of one that is written what is there now.
    fn pack_length(&self, pack: i64, closed: bool, length: i64) -> Result<Option<(i64, u64)>, Error> {
        let path = copy::pack_file(self.store.data(), pack);
        match fs::metadata(&path) {
            Ok(facts) if closed => Ok(Some((pack, facts.len().min(length.try_into().unwrap_or(0))))),
            Ok(facts) => Ok(Some((pack, facts.len()))),
            // A row is made before its file, and one without bytes may have none.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && (!closed || length == 0) => Ok(None),
            Err(e) => Err(Error::file(&path, &e)),
        }
    }

    /// Brings what lies in the spool to the place.
    fn upload(&self, spool: &Folder, segments: &[Segment]) -> Result<u64, Error> {
        self.watch.phase("rows to the place");
        let mut added = 0;
        for segment in segments {
            self.watch.check()?;
            let file = segment.file();
            if !self.place.has(&file, segment.stored.into())? {
                let sealed = spool.get(&file)?.filter(|sealed| sha256(sealed) == segment.name);
                let Some(sealed) = sealed else {
                    // A power cut tore it: the next try takes a new snapshot.
                    remove(&self.spool)?;
                    return Err(Error::damaged(self.header.set, "the spool"));
                };
                self.place.put(&file, &sealed)?;
                added += sealed.len() as u64;
                self.watch.sent(sealed.len() as u64)?;
            }
            spool.remove(&file)?;
            self.watch.done(segment.plain.into());
        }
        Ok(added)
    }

    /// Step 3: what no earlier set has of the packs.
    fn copy_packs(&self, packs: &[(i64, u64)], manifest: &mut Manifest) -> Result<u64, Error> {
        self.watch.phase("bodies");
        let mut log = OpenOptions::new();
        let log_path = self.spool.join(DONE);
        fs::create_dir_all(&self.spool).map_err(|e| Error::file(&self.spool, &e))?;
        let mut log = log
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&log_path)
            .map_err(|e| Error::file(&log_path, &e))?;
        let mut added = 0;
        for (pack, length) in packs {
            let path = copy::pack_file(self.store.data(), *pack);
            let file = File::open(&path).map_err(|e| Error::file(&path, &e))?;
            let mut pieces = Vec::new();
            let mut at = 0;
            while at < *length {
                self.watch.check()?;
                let piece = usize::try_from(length - at).unwrap_or(PIECE).min(PIECE);
                let number = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
                let short = u32::try_from(piece).unwrap_or(u32::MAX);
                let segment = match self.known.packs.get(&(*pack, number, short)) {
                    Some(segment) => segment.clone(),
                    None => {
                        let mut bytes = vec![0; piece];
                        file.read_exact_at(&mut bytes, at).map_err(|e| Error::file(&path, &e))?;
                        let (segment, sealed) = Segment::seal(self.random, &bytes, false);
                        self.place.put(&segment.file(), &sealed)?;
                        self.note(&mut log, &(*pack, number, segment.clone()))
                            .map_err(|e| Error::file(&log_path, &e))?;
                        added += sealed.len() as u64;
                        self.watch.sent(sealed.len() as u64)?;
                        segment
                    }
                };
                pieces.push(segment);
                at += piece as u64;
                self.watch.done(piece as u64);
            }
            manifest.packs.push(PackDump { pack: *pack, length: *length, pieces });
        }
        Ok(added)
    }

    fn note(&self, log: &mut File, done: &(i64, u32, Segment)) -> std::io::Result<()> {
        let frame = self.header.seal(self.key, self.random, done);
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX).to_be_bytes();
        log.write_all(&[&length[..], &frame].concat())
    }
}

/// All segments that are at a place, by their names there.
pub(crate) fn there(place: &dyn Place) -> Result<HashSet<String>, Error> {
    Ok(place.list(SEGMENTS)?.into_iter().collect())
}

/// Makes a folder for its owner alone.
pub(crate) fn folder(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|e| Error::file(path, &e))
}

fn remove(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::file(folder, &e)),
        _ => Ok(()),
    }
}

/// All rows are in the spool when this file is there.
const INDEX: &str = "index";
/// What of the packs is at the place already.
const DONE: &str = "done";
/// The state of a pack that is full; one that is written has less, one that dies or is gone has more.
const CLOSED: i64 = 1;
/// The read journal's folder, in the data folder and in the set.
pub(crate) const JOURNAL: &str = "read-journal";
