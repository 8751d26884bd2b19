//! The word that a set was brought back and proved, left in the data folder by a command that ran beside the server (S75).
//!
//! It is sealed under the set's key, which only who has key ring and master key can do; the server takes it over into
//! its table and the log.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sealpost_crypto::{Key, Random};
use sealpost_model::Time;

use crate::Error;
use crate::place::{Folder, Place as _};
use crate::set::Header;

const FOLDER: &str = "backup-proofs";

/// Leaves the word; answers its file.
///
/// # Errors
/// The data folder can't be written.
pub fn leave(data: &Path, header: Header, key: &Key, random: &Random, at: Time) -> Result<PathBuf, Error> {
    let name = format!("{}.proof", header.set);
    let folder = data.join(FOLDER);
    Folder::new(&folder).put(&name, &header.seal(key, random, &("verified", at)))?;
    Ok(folder.join(name))
}

/// What lies there.
pub(crate) fn left(data: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>, Error> {
    let folder = data.join(FOLDER);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::file(&folder, &e)),
    };
    let mut out = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| Error::file(&folder, &e))?.path();
        if path.extension().is_some_and(|e| e == "proof") {
            out.push((path.clone(), fs::read(&path).map_err(|e| Error::file(&path, &e))?));
        }
    }
    Ok(out)
}

/// When the set was proved, if its own key sealed these bytes.
pub(crate) fn open(header: Header, key: &Key, bytes: &[u8]) -> Option<Time> {
    let (word, at) = header.open::<(String, Time)>(key, bytes)?;
    (word == "verified").then_some(at)
}
