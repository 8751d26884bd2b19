//! Papers beside the ring: small named files that belong to the keys and not to the data.
//!
//! A *paper* is text: a first line that names its format, then lines `name value`. It is written whole, durably, before
//! its name points to it; one that held a wrapped key is overwritten with zeros before it is removed.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use sealpost_crypto::base32;
use zeroize::Zeroizing;

use super::{Error, Place, Result};

/// Far more than any right paper has.
const LONGEST: u64 = 1 << 20;

/// Where papers lie: a ring's place or its second one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Shelf {
    place: Place,
}

impl Shelf {
    pub fn new(place: Place) -> Self {
        Self { place }
    }

    /// The paper's text; `None` when there is none.
    pub fn read(&self, name: &str) -> Result<Option<Zeroizing<String>>> {
        let Place::Folder(folder) = &self.place;
        read_file(&folder.join(name), LONGEST)
    }

    /// The text of a paper that grows.
    pub fn read_long(&self, name: &str) -> Result<Option<Zeroizing<String>>> {
        let Place::Folder(folder) = &self.place;
        read_file(&folder.join(name), u64::MAX)
    }

    /// Adds a line to a paper that grows, durably; begins it with its format when it is new.
    pub fn append(&self, name: &str, format: &str, line: &str) -> Result<()> {
        let Place::Folder(folder) = &self.place;
        let path = folder.join(name);
        if !path.exists() {
            self.write(name, &format!("{format}\n"))?;
        }
        let append = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().append(true).open(&path)?;
            file.write_all(line.as_bytes())?;
            file.sync_all()
        };
        append().map_err(|e| Error::file(&path, &e))
    }

    /// Writes a paper in the place of the one of its name, durably.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let Place::Folder(folder) = &self.place;
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|e| Error::file(folder, &e))?;
        let path = folder.join(name);
        let new = folder.join(format!("{name}.new"));
        let write = || -> std::io::Result<()> {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            // What it replaces may hold a key that has to be gone.
            let old = OpenOptions::new().write(true).open(&path);
            std::fs::rename(&new, &path)?;
            File::open(folder)?.sync_all()?;
            old.map_or(Ok(()), |old| zero(&old))
        };
        write().map_err(|e| Error::file(&path, &e))
    }

    /// Removes a paper, after zeros were written over it; nothing happens when there is none.
    pub fn remove(&self, name: &str) -> Result<()> {
        let Place::Folder(folder) = &self.place;
        let path = folder.join(name);
        let remove = || -> std::io::Result<()> {
            zero(&OpenOptions::new().write(true).open(&path)?)?;
            std::fs::remove_file(&path)?;
            File::open(folder)?.sync_all()
        };
        match remove() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(|e| Error::file(&path, &e)),
        }
    }
}

/// Overwrites a file with zeros, durably.
fn zero(mut file: &File) -> std::io::Result<()> {
    let len = usize::try_from(file.metadata()?.len().min(LONGEST)).unwrap_or(0);
    file.write_all(&vec![0; len])?;
    file.sync_all()
}

fn read_file(path: &Path, longest: u64) -> Result<Option<Zeroizing<String>>> {
    use std::io::Read as _;
    let mut text = Zeroizing::new(String::new());
    match File::open(path).and_then(|file| file.take(longest).read_to_string(&mut text)) {
        Ok(_) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) if e.kind() == std::io::ErrorKind::InvalidData => {
            Err(Error::Corrupt { what: path.display().to_string() })
        }
        Err(e) => Err(Error::file(path, &e)),
    }
}

/// A paper's lines.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Paper {
    lines: Vec<(String, String)>,
}

impl Paper {
    /// Adds a line. The name has no space, and neither has a line break.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.lines.push((name.to_owned(), value.to_string().replace(['\n', '\r'], " ")));
        self
    }

    /// Adds bytes, as base32.
    #[must_use]
    pub fn with_bytes(self, name: &str, bytes: &[u8]) -> Self {
        self.with(name, base32::encode(bytes))
    }

    /// Without the lines of this name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.lines.retain(|(n, _)| n != name);
        self
    }

    /// The value of the first line of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.lines.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The values of all lines of this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.lines.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A value as a number.
    pub fn int<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }

    /// A value as bytes.
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        base32::decode_any(self.get(name)?)
    }

    /// A value as so many bytes.
    pub fn array<const N: usize>(&self, name: &str) -> Option<[u8; N]> {
        base32::decode(self.get(name)?)
    }

    /// The text of a paper of this format.
    pub fn text(&self, format: &str) -> Zeroizing<String> {
        let mut text = Zeroizing::new(format!("{format}\n"));
        for (name, value) in &self.lines {
            text.push_str(&format!("{name} {value}\n"));
        }
        text
    }

    /// Reads a paper of this format.
    pub fn parse(format: &str, text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != format {
            return None;
        }
        let lines = lines.map(|line| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), value.to_owned()))
        });
        Some(Self { lines: lines.collect::<Option<_>>()? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_paper_is_there_whole_or_not() {
        let dir = TempDir::new().unwrap();
        let shelf = Shelf::new(Place::Folder(dir.path().join("ring")));
        assert_eq!(shelf.read("recovery").unwrap(), None);
        shelf.remove("recovery").unwrap();
        let paper = Paper::default().with("needed", 3).with_bytes("sealed", b"abc").with("needed", 4);
        shelf.write("recovery", &paper.text("x-1")).unwrap();
        let text = shelf.read("recovery").unwrap().unwrap();
        let read = Paper::parse("x-1", &text).unwrap();
        assert_eq!(read, paper);
        assert_eq!(
            (read.int("needed"), read.bytes("sealed"), read.int::<u8>("made")),
            (Some(3), Some(b"abc".to_vec()), None)
        );
        assert_eq!(read.all("needed").count(), 2);
        assert_eq!(Paper::parse("x-2", &text), None);
        shelf.remove("recovery").unwrap();
        assert_eq!(shelf.read("recovery").unwrap(), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(x-1\n)?[ -~\n]{0,80}") {
            if let Some(paper) = Paper::parse("x-1", &text) {
                prop_assert_eq!(Paper::parse("x-1", &paper.text("x-1")), Some(paper));
            }
        }
    }
}
