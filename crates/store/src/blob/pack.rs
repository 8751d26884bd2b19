//! Pack files: their names, their making, and what is done with them at the start.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use sealpost_model::Time;

use super::frame::{self, HEADER, Header, Kind, PACK_HEADER};
use super::schema;
use crate::lock::{make_folder, sync_folder};
use crate::queue::lock;
use crate::{Error, Result, Row, Tx, params};

/// `0000000042.pack`
pub(crate) fn path(folder: &Path, pack: i64) -> PathBuf {
    folder.join(format!("{pack:010}.pack"))
}

/// Makes a pack that lasts: its header is on the disk, and its name too.
pub(crate) fn create(folder: &Path, pack: i64, created: i64) -> Result<File> {
    let path = path(folder, pack);
    let error = |e| Error::file(&path, &e);
    let file =
        OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path).map_err(error)?;
    let begun = file
        .write_all_at(&frame::print_pack(pack, created), 0)
        .and_then(|()| file.sync_all())
        .map_err(error)
        .and_then(|()| sync_folder(folder));
    if let Err(error) = begun {
        // Ours, empty, and named by nobody: the next try makes it again.
        let _ = std::fs::remove_file(&path);
        return Err(error);
    }
    Ok(file)
}

/// Looks at the packs when the store opens: closes those that a crash left open at their last valid frame, removes the
/// files of those whose end was committed, and stops the start when there is one that the database never heard of.
/// Nothing is cut. Answers the number of the next pack.
pub(crate) fn recover(tx: &mut Tx, folder: &Path, now: Time) -> Result<i64> {
    make_folder(folder)?;
    let read = |r: &Row<'_>| Ok(PackRow { pack: r.int(0)?, state: r.int(1)?, length: r.int(2)? });
    let rows = tx.rows(&schema::PACKS, &[], read)?;
    let known = rows.last().map_or(0, |row| row.pack);
    if let Some(pack) = files(folder)?.into_iter().filter(|pack| *pack > known).min() {
        return Err(Error::PacksNewer { folder: folder.to_owned(), pack, known });
    }
    for row in rows {
        match row.state {
            OPEN => {
                let length = i64::try_from(valid_length(folder, row.pack)?).unwrap_or(i64::MAX);
                tx.execute(&schema::CLOSE_PACK, params![row.pack, length, now])?;
            }
            GONE => remove(folder, row.pack)?,
            _ if row.length > 0 && !path(folder, row.pack).exists() => {
                tracing::error!(pack = row.pack, "a pack is missing: bring it back from a backup");
            }
            _ => {}
        }
    }
    Ok(known + 1)
}

/// `pack.state`: it is being written.
pub(crate) const OPEN: i64 = 0;
/// It is full.
pub(crate) const CLOSED: i64 = 1;
/// Nothing names it any more; its file goes after the grace.
pub(crate) const DYING: i64 = 2;
/// Its file is gone, or goes at the next start.
pub(crate) const GONE: i64 = 3;

struct PackRow {
    pack: i64,
    state: i64,
    length: i64,
}

/// Removes the file of a pack whose end was committed.
pub(crate) fn remove(folder: &Path, pack: i64) -> Result<()> {
    let path = path(folder, pack);
    match std::fs::remove_file(&path) {
        Ok(()) => sync_folder(folder),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::file(&path, &e)),
    }
}

fn files(folder: &Path) -> Result<Vec<i64>> {
    let error = |e| Error::file(folder, &e);
    let mut packs = Vec::new();
    for entry in folder.read_dir().map_err(error)? {
        let name = entry.map_err(error)?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".pack"));
        packs.extend(number.and_then(|n| n.parse::<i64>().ok()));
    }
    Ok(packs)
}

/// Where the last valid frame of a pack ends; 0 when there is no such pack.
pub(crate) fn valid_length(folder: &Path, pack: i64) -> Result<u64> {
    let path = path(folder, pack);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(Error::file(&path, &e)),
    };
    scan(BufReader::with_capacity(1 << 20, file), pack).map_err(|e| Error::file(&path, &e))
}

fn scan(mut file: impl Read, pack: i64) -> std::io::Result<u64> {
    let mut header = [0; PACK_HEADER];
    if !fill(&mut file, &mut header)? || !frame::is_pack(&header, pack) {
        return Ok(0);
    }
    let mut end = PACK_HEADER as u64;
    let mut bytes = [0; HEADER];
    let mut payload = Vec::new();
    while fill(&mut file, &mut bytes)? {
        let Some((header, crc)) = Header::parse(&bytes) else { break };
        payload.resize(header.length as usize, 0);
        if !fill(&mut file, &mut payload)? || !frame::is_whole(&bytes, &payload, crc) {
            break;
        }
        end += (HEADER + payload.len()) as u64;
        if header.kind == Kind::End {
            break;
        }
    }
    Ok(end)
}

/// Fills `out`; false when the file ends before.
fn fill(file: &mut impl Read, out: &mut [u8]) -> std::io::Result<bool> {
    match file.read_exact(out) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

/// Packs opened for reading, a bounded number of them.
pub(crate) struct Files {
    folder: PathBuf,
    open: Mutex<HashMap<i64, Arc<File>>>,
}

/// With 256 MB each that is 32 GB under hand.
const OPEN_FILES: usize = 128;

impl Files {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, open: Mutex::new(HashMap::new()) }
    }

    fn file(&self, pack: i64) -> Result<Arc<File>> {
        let mut open = lock(&self.open);
        if let Some(file) = open.get(&pack) {
            return Ok(file.clone());
        }
        let path = path(&self.folder, pack);
        let file = File::open(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Error::Corrupt { what: "pack", id: pack },
            _ => Error::file(&path, &e),
        })?;
        if open.len() >= OPEN_FILES
            && let Some(other) = open.keys().next().copied()
        {
            open.remove(&other);
        }
        let file = Arc::new(file);
        open.insert(pack, file.clone());
        Ok(file)
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Lets go of a pack whose file is removed.
    pub(crate) fn forget(&self, pack: i64) {
        lock(&self.open).remove(&pack);
    }

    /// The bytes `at .. at + length` of a pack; `None` when the pack is shorter.
    pub(crate) fn read(&self, pack: i64, at: u64, length: usize) -> Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; length];
        match self.file(pack)?.read_exact_at(&mut bytes, at) {
            Ok(()) => Ok(Some(bytes)),
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
            Err(e) => Err(Error::file(&path(&self.folder, pack), &e)),
        }
    }
}
