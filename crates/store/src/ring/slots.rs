//! `ring.key`: the ring key, wrapped, in one of two slots.
//!
//! Each slot is a block of 4,096 bytes, so that a torn write of one never touches the other. A slot, a stored format:
//! `SPRINGK1` (8), generation (8, big endian), the ring's identity (16), the master key's fingerprint (8), the wrapped
//! ring key (61), the first 8 bytes of the SHA-256 of all that, zeros. An empty slot is zeros. The checksum tells a
//! torn write from a wrong master key; whether the key is right, the seal tells.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sealpost_crypto::{Aad, Key, Random, WRAPPED_LEN, sha256};

use super::page::{Identity, Tree};
use super::{Error, Result};
use crate::keys::{Master, Purpose, Unopened};

const SLOT: usize = 4096;
const MAGIC: &[u8; 8] = b"SPRINGK1";
const BODY: usize = 8 + 8 + 16 + 8 + WRAPPED_LEN;

/// The file with both slots.
pub(super) struct Slots {
    file: File,
    path: PathBuf,
    master: Master,
}

/// What a slot holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Slot {
    Empty,
    /// Half written, or damaged.
    Torn,
    Full {
        generation: u64,
        identity: Identity,
        fingerprint: [u8; 8],
        wrapped: Vec<u8>,
    },
}

impl Slots {
    /// Makes the file, with `key` as the tree's generation in the first slot.
    pub fn create(path: &Path, master: Master, tree: &Tree, key: &Key, random: &Random) -> Result<()> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|e| Error::file(path, &e))?;
        let slots = Self { file, path: path.to_owned(), master };
        slots.zero(1)?;
        slots.write(0, tree.generation, &tree.identity, key, random)
    }

    /// Opens the file and keeps other processes out.
    pub fn open(path: &Path, master: Master) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(|e| Error::file(path, &e))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file, path: path.to_owned(), master }),
            Err(std::fs::TryLockError::WouldBlock) => Err(Error::Locked { path: path.to_owned() }),
            Err(std::fs::TryLockError::Error(e)) => Err(Error::file(path, &e)),
        }
    }

    /// Opens the file to look, without the lock of the one that writes.
    pub fn look(path: &Path, master: Master) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::file(path, &e))?;
        Ok(Self { path: path.to_owned(), file, master })
    }

    pub fn read(&self) -> Result<[Slot; 2]> {
        Ok([self.read_one(0)?, self.read_one(1)?])
    }

    fn read_one(&self, number: usize) -> Result<Slot> {
        let mut block = [0; SLOT];
        let mut at = 0;
        while at < SLOT {
            match self.file.read_at(&mut block[at..], (number * SLOT + at) as u64) {
                Ok(0) => break,
                Ok(n) => at += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::file(&self.path, &e)),
            }
        }
        Ok(if at == SLOT { Slot::parse(&block) } else { Slot::Torn })
    }

    /// Puts a ring key into a slot, durably.
    pub fn write(
        &self,
        number: usize,
        generation: u64,
        identity: &Identity,
        key: &Key,
        random: &Random,
    ) -> Result<()> {
        let (fingerprint, wrapped) =
            self.master.wrap(Purpose::Ring, random, &key_aad(identity, generation), key);
        let mut block = [0; SLOT];
        let body: Vec<u8> =
            [MAGIC.as_slice(), &generation.to_be_bytes(), identity, &fingerprint, &wrapped].concat();
        block[..BODY].copy_from_slice(&body);
        block[BODY..BODY + 8].copy_from_slice(&sha256(&body)[..8]);
        self.put(number, &block)
    }

    /// Overwrites a slot with zeros, durably.
    pub fn zero(&self, number: usize) -> Result<()> {
        self.put(number, &[0; SLOT])
    }

    /// The ring key in this slot.
    pub fn unwrap(&self, slot: &Slot) -> Result<Key> {
        let Slot::Full { generation, identity, fingerprint, wrapped } = slot else {
            return Err(Error::Corrupt { what: "ring.key".to_owned() });
        };
        let key = self.master.unwrap(Purpose::Ring, fingerprint, &key_aad(identity, *generation), wrapped);
        key.map_err(|e| match e {
            Unopened::Other => Error::WrongMaster { path: self.path.clone() },
            Unopened::Tampered => Error::Corrupt { what: "ring.key".to_owned() },
        })
    }

    fn put(&self, number: usize, block: &[u8; SLOT]) -> Result<()> {
        let written =
            self.file.write_all_at(block, (number * SLOT) as u64).and_then(|()| self.file.sync_all());
        written.map_err(|e| Error::file(&self.path, &e))
    }
}

impl Slot {
    fn parse(block: &[u8; SLOT]) -> Self {
        if block.iter().all(|b| *b == 0) {
            return Self::Empty;
        }
        let (body, rest) = block.split_at(BODY);
        let whole = body.starts_with(MAGIC) && rest[..8] == sha256(body)[..8];
        Self::parse_body(body).filter(|_| whole).unwrap_or(Self::Torn)
    }

    fn parse_body(body: &[u8]) -> Option<Self> {
        let (_, rest) = body.split_first_chunk::<8>()?;
        let (generation, rest) = rest.split_first_chunk::<8>()?;
        let (identity, rest) = rest.split_first_chunk::<16>()?;
        let (fingerprint, wrapped) = rest.split_first_chunk::<8>()?;
        Some(Self::Full {
            generation: u64::from_be_bytes(*generation),
            identity: *identity,
            fingerprint: *fingerprint,
            wrapped: wrapped.to_vec(),
        })
    }
}

fn key_aad(identity: &Identity, generation: u64) -> Aad {
    Aad::instance("ring", i64::try_from(generation).unwrap_or(i64::MAX), "key").with(identity)
}
