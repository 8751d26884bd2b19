//! A ring's backup: one file, sealed under the key of its week; and a ring made of it.
//!
//! The file, a stored format: `SPRINGB1` (8), the ring's identity (16), generation (8), time (8, milliseconds), week (4),
//! number of destructions so far (8), all big endian; then sealed for a place that names all that: the number of the next
//! leaf (8), the history key (32), and for each leaf its number (8), slots given so far (2), living keys (2), and each
//! one's slot (1) and key (32).
//!
//! A restore replays the list of destructions before it answers. Numbers of life keys that were given after the backup
//! are never given again: rows may name them, and what hung on them is lost.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use sealpost_crypto::{Aad, Key, Random};
use sealpost_model::{LifeKeyId, Time};
use zeroize::Zeroizing;

use super::list::List;
use super::page::{Identity, LEAF, Leaf, Tree};
use super::{Error, Place, Places, Result, Ring, disk, weeks};
use crate::keys::Master;

const MAGIC: &[u8; 8] = b"SPRINGB1";
const HEADER: usize = 8 + 16 + 8 + 8 + 4 + 8;
/// Leaves whose numbers are passed over by a restore: more than can be given in the four weeks that a backup lives.
const JUMP: i64 = 1 << 24;
/// Far more than any ring has.
const LONGEST: u64 = 16 << 30;

/// What a backup holds.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct BackupFacts {
    /// How often the ring key had changed.
    pub generation: u64,
    /// When it was made.
    pub made: Time,
    /// Under the key of which week.
    pub week: i32,
    /// When that key dies, and the backup with it.
    pub dies: Time,
    /// Life keys in it.
    pub keys: usize,
    /// Its length in bytes.
    pub bytes: u64,
}

/// What a restore did.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct RestoreFacts {
    /// The backup that it came from.
    pub from: BackupFacts,
    /// Life keys that were destroyed after the backup, and are again.
    pub destroyed_again: usize,
    /// Life keys that live.
    pub keys: usize,
}

impl Ring {
    /// Writes a backup to a new file of mode 0600 at `to`, durably, under the key of this week; keys of weeks that are
    /// due die. Keep it apart from the backups of the data, and never at the second place. It can be opened until
    /// [`BackupFacts::dies`].
    ///
    /// # Errors
    /// [`Error::Exists`] when the file is there; [`Error::Papers`].
    pub fn backup(&self, to: &Path, now: Time) -> Result<BackupFacts> {
        let (places, master, random) = (self.places(), &self.inner.master, &self.inner.random);
        let (week, key) = weeks::current(places, master, random, now)?;
        let (header, plain, keys) = self.tree(|tree| {
            // Under the tree's lock: a destruction that is in the list by then is in the tree or is replayed.
            let (destroyed, _) = List::look(places, &tree.history)?;
            let header = header(&tree.identity, tree.generation, now, week, destroyed);
            Ok::<_, Error>((header, plain(tree), tree.len()))
        })?;
        let sealed = key.seal(random, &aad(&header), &plain);
        let write = || -> std::io::Result<()> {
            let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
            file.write_all(&header)?;
            file.write_all(&sealed)?;
            file.sync_all()?;
            let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
            std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        };
        write().map_err(|e| Error::file(to, &e))?;
        let bytes = (header.len() + sealed.len()) as u64;
        Ok(BackupFacts {
            generation: self.generation(),
            made: now,
            week,
            dies: weeks::dies(week),
            keys,
            bytes,
        })
    }

    /// Makes a ring of a backup, where none is. What was destroyed since the backup is destroyed in it: when this
    /// returns, [`Ring::open`] serves nothing that was ever destroyed.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::DeadBackup`], [`Error::Papers`] when the list of destructions is shorter than the
    /// backup knows it to be, [`Error::WrongMaster`].
    pub fn restore(
        places: impl Into<Places>,
        from: &Path,
        master: &Master,
        random: &Random,
        now: Time,
    ) -> Result<RestoreFacts> {
        let places = places.into();
        let (head, mut tree, from) = open(&places, from, master, now)?;
        let (known, destroyed) = List::look(&places, &tree.history)?;
        if known < head.destroyed {
            return Err(Error::Papers(format!(
                "the list of destructions has {known} lines and the backup knows {}: name the right second place in \
                 `[keys] destructions`; without the list what was destroyed would come back",
                head.destroyed
            )));
        }
        let destroyed_again = destroyed.iter().filter(|id| tree.forget(**id)).count();
        tree.leaves.retain(|_, leaf| !leaf.is_dead());
        tree.leaves.values_mut().for_each(Leaf::fill);
        tree.next_leaf = tree.next_leaf.saturating_add(JUMP);
        tree.generation += 1;
        tree.identity = random.bytes();
        let keys = tree.len();
        let Place::Folder(folder) = &places.ring;
        disk::create_with(folder, master, random, &tree)?;
        Ok(RestoreFacts { from, destroyed_again, keys })
    }

    /// Opens a backup and looks at it: what it holds, and that it can be opened.
    ///
    /// # Errors
    /// As [`Ring::restore`].
    pub fn verify_backup(
        places: impl Into<Places>,
        from: &Path,
        master: &Master,
        now: Time,
    ) -> Result<BackupFacts> {
        open(&places.into(), from, master, now).map(|(_, _, facts)| facts)
    }

    /// Ends the keys of ring backups that are due; answers how many there were. To be called each day or so.
    ///
    /// # Errors
    /// [`Error::Papers`].
    pub fn bury_weeks(&self, now: Time) -> Result<usize> {
        weeks::bury(self.places(), now)
    }

    /// The weeks whose keys live, and when each dies.
    ///
    /// # Errors
    /// [`Error::Papers`].
    pub fn weeks(&self) -> Result<Vec<(i32, Time)>> {
        Ok(weeks::list(self.places())?.into_iter().map(|week| (week, weeks::dies(week))).collect())
    }

    /// How many destructions the list knows.
    ///
    /// # Errors
    /// [`Error::Papers`].
    pub fn destructions(&self) -> Result<u64> {
        self.tree(|tree| List::look(self.places(), &tree.history)).map(|(number, _)| number)
    }
}

struct Head {
    generation: u64,
    made: Time,
    week: i32,
    destroyed: u64,
}

fn open(places: &Places, from: &Path, master: &Master, now: Time) -> Result<(Head, Tree, BackupFacts)> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(from).map_err(|e| Error::file(from, &e))?;
    file.take(LONGEST).read_to_end(&mut bytes).map_err(|e| Error::file(from, &e))?;
    let damaged = || Error::Corrupt { what: format!("the backup {}", from.display()) };
    let (header, sealed) = bytes.split_at_checked(HEADER).ok_or_else(damaged)?;
    let head = parse_header(header).ok_or_else(damaged)?;
    let dead = || Error::DeadBackup { path: from.to_owned(), died: weeks::dies(head.week).rfc3339() };
    let key = weeks::of_week(places, master, head.week, now)?.ok_or_else(dead)?;
    let plain = Zeroizing::new(key.open(&aad(header), sealed).map_err(|_| damaged())?);
    let mut tree = parse(&plain).ok_or_else(damaged)?;
    tree.generation = head.generation;
    let facts = BackupFacts {
        generation: head.generation,
        made: head.made,
        week: head.week,
        dies: weeks::dies(head.week),
        keys: tree.len(),
        bytes: bytes.len() as u64,
    };
    Ok((head, tree, facts))
}

fn header(identity: &Identity, generation: u64, now: Time, week: i32, destroyed: u64) -> Vec<u8> {
    [
        MAGIC.as_slice(),
        identity,
        &generation.to_be_bytes(),
        &now.millis().to_be_bytes(),
        &week.to_be_bytes(),
        &destroyed.to_be_bytes(),
    ]
    .concat()
}

fn parse_header(header: &[u8]) -> Option<Head> {
    let rest = header.strip_prefix(MAGIC)?;
    let (_, rest) = rest.split_first_chunk::<16>()?;
    let (generation, rest) = rest.split_first_chunk::<8>()?;
    let (made, rest) = rest.split_first_chunk::<8>()?;
    let (week, rest) = rest.split_first_chunk::<4>()?;
    let (destroyed, _) = rest.split_first_chunk::<8>()?;
    Some(Head {
        generation: u64::from_be_bytes(*generation),
        made: Time::from_millis(i64::from_be_bytes(*made)),
        week: i32::from_be_bytes(*week),
        destroyed: u64::from_be_bytes(*destroyed),
    })
}

fn plain(tree: &Tree) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(40 + tree.leaves.len() * (12 + LEAF * 33)));
    out.extend_from_slice(&tree.next_leaf.to_be_bytes());
    out.extend_from_slice(tree.history.expose());
    for (id, leaf) in &tree.leaves {
        out.extend_from_slice(&id.to_be_bytes());
        leaf.write(&mut out);
    }
    out
}

/// The tree in a backup's plain bytes, without generation and identity.
pub(super) fn parse(plain: &[u8]) -> Option<Tree> {
    let (next, rest) = plain.split_first_chunk::<8>()?;
    let (history, mut rest) = rest.split_first_chunk::<32>()?;
    let next_leaf = i64::from_be_bytes(*next);
    let mut leaves = BTreeMap::new();
    while let Some((id, after)) = rest.split_first_chunk::<8>() {
        let id = i64::from_be_bytes(*id);
        let (leaf, after) = Leaf::read(after)?;
        if !(1..next_leaf).contains(&id) || leaves.insert(id, leaf).is_some() {
            return None;
        }
        rest = after;
    }
    let tree = Tree { next_leaf, history: Key::from_bytes(*history), leaves, ..Tree::default() };
    rest.is_empty().then_some(tree)
}

fn aad(header: &[u8]) -> Aad {
    Aad::instance("ring_backup", 1, "ring").with(header)
}

impl Tree {
    fn forget(&mut self, id: LifeKeyId) -> bool {
        let (leaf, slot) = super::raw_parts(id);
        self.leaves.get_mut(&leaf).is_some_and(|leaf| leaf.forget(slot))
    }
}
