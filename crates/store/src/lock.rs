//! The data folder, and the lock that keeps a second process away from it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// A locked data folder; the system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    exclusive: bool,
}

impl Lock {
    /// For the one process that writes. Makes the folder, for its owner only, when it is not there.
    pub(crate) fn exclusive(data: &Path) -> Result<Self> {
        make_folder(data)?;
        let mut file = open(data, true)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(data, file)),
            Err(TryLockError::Error(e)) => return Err(Error::file(&data.join(NAME), &e)),
        }
        let named = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
        named.map_err(|e| Error::file(&data.join(NAME), &e))?;
        Ok(Self { file, exclusive: true })
    }

    /// For programs that only look. They need none: the database gives each reader a snapshot, and packs only grow.
    pub(crate) fn none(data: &Path) -> Result<Self> {
        if !data.join(NAME).exists() {
            return Err(Error::Missing { data: data.to_owned() });
        }
        Ok(Self { file: open(data, false)?, exclusive: false })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.exclusive {
            // So that the next one to find it locked does not read our number.
            let _ = self.file.set_len(0);
        }
    }
}

const NAME: &str = "lock";

fn open(data: &Path, write: bool) -> Result<File> {
    let path = data.join(NAME);
    let mut options = OpenOptions::new();
    options.read(true);
    if write {
        options.write(true).create(true).truncate(false).mode(0o600);
    }
    options.open(&path).map_err(|e| Error::file(&path, &e))
}

fn held(data: &Path, mut file: File) -> Error {
    let mut text = String::new();
    let _ = file.rewind().and_then(|()| file.read_to_string(&mut text));
    let named = text.parse::<u32>().ok().filter(|pid| PathBuf::from(format!("/proc/{pid}")).exists());
    let holder = named.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
    Error::Locked { data: data.to_owned(), holder }
}

/// Makes a folder that only its owner may enter.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| Error::file(path, &e))
}

/// Makes what was created or renamed in a folder last.
pub(crate) fn sync_folder(path: &Path) -> Result<()> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(|e| Error::file(path, &e))
}
