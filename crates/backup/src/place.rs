//! Where sets are kept: a folder on another disk, a network share, a stick.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::Error;

/// A place with named files. Names are relative, with `/` between levels. Calls block for as long as the place takes.
pub trait Place: Send + Sync {
    /// Where it is, for people.
    fn name(&self) -> String;
    /// Writes a file whole and for good, over one that is there.
    ///
    /// # Errors
    /// [`Error::Place`], [`Error::Full`].
    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Error>;
    /// Reads a file; `None` when there is none.
    ///
    /// # Errors
    /// [`Error::Place`].
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Error>;
    /// Whether a file of this length is there.
    ///
    /// # Errors
    /// [`Error::Place`].
    fn has(&self, name: &str, length: u64) -> Result<bool, Error>;
    /// The names of all files in a folder and below.
    ///
    /// # Errors
    /// [`Error::Place`].
    fn list(&self, folder: &str) -> Result<Vec<String>, Error>;
    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// [`Error::Place`].
    fn remove(&self, name: &str) -> Result<(), Error>;
    /// Makes what was put and removed so far last, folders too.
    ///
    /// # Errors
    /// [`Error::Place`].
    fn settle(&self) -> Result<(), Error>;
}

/// Opens the place that a configuration names: a path, or `file:PATH`.
///
/// # Errors
/// [`Error::Schedule`] for a kind of place that this version can't reach.
pub fn open(url: &str) -> Result<Box<dyn Place>, Error> {
    let path = url.strip_prefix("file:").unwrap_or(url);
    if path.contains("://") || path.is_empty() {
        return Err(Error::Schedule(format!(
            "{url:?} is no place that this version can reach: give a folder"
        )));
    }
    Ok(Box::new(Folder::new(path)))
}

/// A folder of any file system that is mounted here.
pub struct Folder {
    path: PathBuf,
    sync: bool,
}

impl Folder {
    /// This folder; it is made when something is put there.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), sync: true }
    }

    /// The same for what may be torn by a power cut, since whoever reads it holds it against its hash.
    pub(crate) fn unsynced(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), sync: false }
    }

    fn failed(&self, error: &std::io::Error) -> Error {
        let place = self.path.display().to_string();
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::Full(place),
            _ => Error::Place { place, why: error.to_string() },
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The file under another name, synced, then in its place.
    fn write(&self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        let path = self.at(name);
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        let fresh = path.with_extension("new");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(bytes)?;
        if self.sync {
            file.sync_data()?;
        }
        fs::rename(&fresh, &path)
    }
}

fn make_folder(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

impl Place for Folder {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.write(name, bytes).map_err(|e| self.failed(&e))
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        match fs::read(self.at(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.failed(&e)),
        }
    }

    fn has(&self, name: &str, length: u64) -> Result<bool, Error> {
        match fs::metadata(self.at(name)) {
            Ok(facts) => Ok(facts.is_file() && facts.len() == length),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(self.failed(&e)),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, Error> {
        let mut out = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            let entries = match fs::read_dir(self.at(&folder)) {
                Ok(entries) => entries,
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => return Err(self.failed(&e)),
            };
            for entry in entries {
                let entry = entry.map_err(|e| self.failed(&e))?;
                let Ok(name) = entry.file_name().into_string() else { continue };
                let name = format!("{folder}/{name}");
                if entry.file_type().map_err(|e| self.failed(&e))?.is_dir() {
                    folders.push(name);
                } else {
                    out.push(name);
                }
            }
        }
        out.sort();
        Ok(out)
    }

    fn remove(&self, name: &str) -> Result<(), Error> {
        match fs::remove_file(self.at(name)) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(self.failed(&e)),
            _ => Ok(()),
        }
    }

    fn settle(&self) -> Result<(), Error> {
        let mut folders = vec![self.path.clone()];
        while let Some(folder) = folders.pop() {
            let synced = File::open(&folder).and_then(|f| f.sync_all()).and_then(|()| fs::read_dir(&folder));
            let entries = match synced {
                Ok(entries) => entries,
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => return Err(self.failed(&e)),
            };
            let below = entries.filter_map(Result::ok).filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
            folders.extend(below.map(|e| e.path()));
        }
        Ok(())
    }
}
