//! A master key in a file.
//!
//! The file has mode 0600 and one line that counts, `sealpost-master-1:` and the key in base32, `:`, a checksum; lines
//! that begin with `#` are for people. The checksum (40 bits of a hash of the key's child) tells a file that was cut
//! or mistyped from one that belongs to other data.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use sealpost_crypto::{Key, Random, base32, sha256};
use zeroize::Zeroizing;

use super::Master;
use crate::keys::{Error, Result};

const PREFIX: &str = "sealpost-master-1:";
const NOTE: &str = "# The master key of this Sealpost. Who has it and the key ring can open all mail; without it\n\
                    # nobody can. Keep a copy in a safe, away from the backups of the data.\n";
/// Far more than any right file has.
const LONGEST: u64 = 4096;

impl Master {
    /// Makes a master key and writes it, durably, to a new file of mode 0600.
    ///
    /// [`Error::MasterFile`] when there is a file already, or none can be made.
    pub fn create_file(path: &Path, random: &Random) -> Result<Self> {
        let key = random.key();
        let text = Zeroizing::new(format!("{NOTE}{PREFIX}{}:{}\n", &*letters(&key), checksum(&key)));
        let write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                Some(folder) => File::open(folder)?.sync_all(),
                None => File::open(".")?.sync_all(),
            }
        };
        write().map_err(|e| match e.kind() {
            ErrorKind::AlreadyExists => unusable(path, "it exists already and is never overwritten"),
            _ => unusable(path, &format!("it can't be written ({e})")),
        })?;
        Ok(Self::new(key))
    }

    /// Reads the master key from its file. A service manager hands it over as 0400, or as root's own 0440 with a list
    /// of who else may read it (systemd's `LoadCredential`); nobody else's group may.
    ///
    /// [`Error::MasterFile`] when the file is missing, unreadable, open to others, or is no master key.
    pub fn load_file(path: &Path) -> Result<Self> {
        let mut text = Zeroizing::new(String::with_capacity(LONGEST as usize));
        let read = |text: &mut String| -> std::io::Result<(u32, bool)> {
            let file = File::open(path)?;
            let meta = file.metadata()?;
            let mode = meta.permissions().mode() & 0o7777;
            file.take(LONGEST).read_to_string(text)?;
            let handed = mode == 0o440 && meta.uid() == 0 && meta.gid() == 0;
            Ok((mode, matches!(mode, 0o600 | 0o400) || handed))
        };
        let (mode, closed) = read(&mut text).map_err(|e| match e.kind() {
            ErrorKind::NotFound => {
                unusable(path, "there is no such file; give the right one in `[keys] master`")
            }
            ErrorKind::PermissionDenied => {
                unusable(path, "this user may not read it; make the user that runs Sealpost its owner")
            }
            ErrorKind::InvalidData => unusable(path, NO_KEY),
            _ => unusable(path, &format!("it can't be read ({e})")),
        })?;
        if !closed {
            return Err(unusable(
                path,
                &format!("it has mode {mode:04o} and must have 0600; run `chmod 600` on it"),
            ));
        }
        parse(&text).map(Self::new).ok_or_else(|| unusable(path, NO_KEY))
    }
}

const NO_KEY: &str = "its text is no master key, or was cut or mistyped; put it back from your copy";

fn unusable(path: &Path, why: &str) -> Error {
    Error::MasterFile { path: path.to_owned(), why: why.to_owned() }
}

pub(super) fn parse(text: &str) -> Option<Key> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (key, check) = lines.next()?.strip_prefix(PREFIX)?.split_once(':')?;
    let key = Key::from_bytes(base32::decode::<32>(key)?);
    (lines.next().is_none() && checksum(&key) == check).then_some(key)
}

fn letters(key: &Key) -> Zeroizing<String> {
    Zeroizing::new(base32::encode(key.expose()))
}

fn checksum(key: &Key) -> String {
    base32::encode(&sha256(key.derive("checksum").expose())[..5])
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn the_file_brings_the_key_back() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("master.key");
        let made = Master::create_file(&path, &Random::system()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let loaded = Master::load_file(&path).unwrap();
        assert_eq!(loaded.fingerprint(), made.fingerprint());
        assert!(
            Master::create_file(&path, &Random::system()).unwrap_err().to_string().contains("exists already")
        );
        assert_eq!(Master::load_file(&path).unwrap().fingerprint(), made.fingerprint());
    }

    #[test]
    fn what_is_wrong_is_said_in_one_sentence() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("master.key");
        let said = |path: &Path| Master::load_file(path).unwrap_err().to_string();
        assert!(said(&path).contains("no such file"));
        Master::create_file(&path, &Random::system()).unwrap();
        let right = fs::read_to_string(&path).unwrap();
        for mode in [0o644, 0o640, 0o604, 0o700, 0o444] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(said(&path).contains("chmod 600"), "{}", said(&path));
        }
        for mode in [0o400, 0o600] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            Master::load_file(&path).unwrap();
        }
        let key = right.find(PREFIX).unwrap() + PREFIX.len();
        let mut wrong = vec![
            String::new(),
            right[..right.len() - 2].to_owned(),
            right.replace("master-1", "master-2"),
            format!("{right}{right}"),
            "\u{0}".repeat(9000),
        ];
        for at in [0, 1, 30, 51, 53] {
            let mut typo = right.clone().into_bytes();
            typo[key + at] = if typo[key + at] == b'a' { b'b' } else { b'a' };
            wrong.push(String::from_utf8(typo).unwrap());
        }
        for text in wrong {
            fs::write(&path, &text).unwrap();
            assert!(said(&path).contains("no master key"), "{text}: {}", said(&path));
        }
        fs::write(&path, [0xFF, 0xFE]).unwrap();
        assert!(said(&path).contains("no master key"));
        fs::write(&path, right).unwrap();
        Master::load_file(&path).unwrap();
    }
}
