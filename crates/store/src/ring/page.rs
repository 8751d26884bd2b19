//! The pages: what they hold in memory, and how they are written.
//!
//! Plain bytes of a leaf page, a stored format: slots given so far (2, big endian), then for each living key its slot
//! (1) and the key (32). Of the root page: the number of the next leaf (8), the key of the list of destructions (32), then
//! for each leaf its number (8) and page key (32). Sealed by [`Key::seal`] for a place that names the ring, the page's kind and its number.

use std::collections::BTreeMap;

use sealpost_crypto::{Aad, Key, Random};
use sealpost_model::{Id, LifeKeyId};
use zeroize::Zeroizing;

use super::{Error, Result, raw_parts};

/// Life keys in a leaf.
pub(super) const LEAF: usize = 256;

/// A ring's name: random, the same in both of its files.
pub(super) type Identity = [u8; 16];

/// All of a ring.
pub(super) struct Tree {
    pub identity: Identity,
    pub generation: u64,
    pub next_leaf: i64,
    /// Under which the list of destructions is; stays the same.
    pub history: Key,
    pub leaves: BTreeMap<i64, Leaf>,
}

impl Default for Tree {
    fn default() -> Self {
        let history = Key::from_bytes([0; Key::LEN]);
        Self { identity: [0; 16], generation: 0, next_leaf: 1, history, leaves: BTreeMap::new() }
    }
}

/// Up to 256 life keys and the key of their page.
#[derive(Clone)]
pub(super) struct Leaf {
    pub page_key: Key,
    /// By slot; a slot once given is never given again. Made with its full capacity, so that keys don't move.
    slots: Vec<Option<Key>>,
}

impl Tree {
    pub fn key(&self, id: LifeKeyId) -> Option<&Key> {
        let (leaf, slot) = raw_parts(id);
        self.leaves.get(&leaf)?.slots.get(slot)?.as_ref()
    }

    pub fn ids(&self) -> Vec<LifeKeyId> {
        let ids = self.leaves.iter().flat_map(|(leaf, l)| {
            let living = l.slots.iter().enumerate().filter(|(_, key)| key.is_some());
            living.map(move |(slot, _)| id_of(*leaf, slot))
        });
        ids.collect()
    }

    pub fn len(&self) -> usize {
        self.leaves.values().map(|l| l.slots.iter().flatten().count()).sum()
    }

    /// The next leaf's number, the key of the list of destructions, and the page keys of all leaves.
    pub fn parse_root(bytes: &[u8]) -> Option<(i64, Key, BTreeMap<i64, Key>)> {
        let (next, rest) = bytes.split_first_chunk::<8>()?;
        let (history, mut rest) = rest.split_first_chunk::<32>()?;
        let next = i64::from_be_bytes(*next);
        let mut keys = BTreeMap::new();
        while let Some((entry, after)) = rest.split_first_chunk::<40>() {
            let (leaf, key) = entry.split_first_chunk::<8>()?;
            let leaf = i64::from_be_bytes(*leaf);
            let fresh = keys.insert(leaf, Key::from_bytes(key.try_into().ok()?)).is_none();
            if !fresh || !(1..next).contains(&leaf) {
                return None;
            }
            rest = after;
        }
        rest.is_empty().then_some((next, Key::from_bytes(*history), keys))
    }
}

impl Leaf {
    pub fn new(random: &Random) -> Self {
        Self { page_key: random.key(), slots: Vec::with_capacity(LEAF) }
    }

    /// Leaves no slot to be given.
    pub fn fill(&mut self) {
        self.slots.resize_with(LEAF, || None);
    }

    /// For a backup: slots given so far (2), living keys (2), then each one's slot (1) and key (32).
    pub fn write(&self, out: &mut Vec<u8>) {
        let living = self.slots.iter().flatten().count();
        out.extend_from_slice(&(self.slots.len() as u16).to_be_bytes());
        out.extend_from_slice(&(living as u16).to_be_bytes());
        for (slot, key) in self.slots.iter().enumerate() {
            if let Some(key) = key {
                out.push(slot as u8);
                out.extend_from_slice(key.expose());
            }
        }
    }

    /// What [`Leaf::write`] wrote, without a page key, and the bytes behind it.
    pub fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (used, rest) = bytes.split_first_chunk::<2>()?;
        let (living, rest) = rest.split_first_chunk::<2>()?;
        let (keys, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*living)) * 33)?;
        let slots = Self::parse_keys(usize::from(u16::from_be_bytes(*used)), keys)?;
        Some((Self { page_key: Key::from_bytes([0; Key::LEN]), slots }, rest))
    }

    pub fn is_full(&self) -> bool {
        self.slots.len() >= LEAF
    }

    /// Whether nothing in it lives.
    pub fn is_dead(&self) -> bool {
        self.slots.iter().all(Option::is_none)
    }

    /// Puts a key into the next slot of leaf number `leaf`, which is not full.
    pub fn push(&mut self, leaf: i64, key: Key) -> LifeKeyId {
        self.slots.push(Some(key));
        id_of(leaf, self.slots.len() - 1)
    }

    /// Forgets the key in `slot`; whether there was one.
    pub fn forget(&mut self, slot: usize) -> bool {
        self.slots.get_mut(slot).is_some_and(|key| key.take().is_some())
    }

    /// The same keys at a place in memory of their own, for a change that may fail.
    pub fn draft(&self) -> Self {
        let mut slots = Vec::with_capacity(LEAF);
        slots.extend(self.slots.iter().cloned());
        Self { page_key: self.page_key.clone(), slots }
    }

    pub fn seal(&self, identity: &Identity, leaf: i64, random: &Random) -> Vec<u8> {
        let mut plain = Zeroizing::new(Vec::with_capacity(2 + LEAF * 33));
        plain.extend_from_slice(&(self.slots.len() as u16).to_be_bytes());
        for (slot, key) in self.slots.iter().enumerate() {
            if let Some(key) = key {
                plain.push(slot as u8);
                plain.extend_from_slice(key.expose());
            }
        }
        self.page_key.seal(random, &leaf_aad(identity, leaf), &plain)
    }

    pub fn open(page_key: Key, identity: &Identity, leaf: i64, page: &[u8]) -> Result<Self> {
        let damaged = || Error::Corrupt { what: format!("leaf page {leaf}") };
        let plain = Zeroizing::new(page_key.open(&leaf_aad(identity, leaf), page).map_err(|_| damaged())?);
        let slots = Self::parse(&plain).ok_or_else(damaged)?;
        Ok(Self { page_key, slots })
    }

    fn parse(plain: &[u8]) -> Option<Vec<Option<Key>>> {
        let (used, rest) = plain.split_first_chunk::<2>()?;
        Self::parse_keys(usize::from(u16::from_be_bytes(*used)), rest)
    }

    fn parse_keys(used: usize, mut rest: &[u8]) -> Option<Vec<Option<Key>>> {
        if used > LEAF {
            return None;
        }
        let mut slots = Vec::with_capacity(LEAF);
        slots.resize_with(used, || None);
        while let Some((entry, after)) = rest.split_first_chunk::<33>() {
            let place: &mut Option<Key> = slots.get_mut(usize::from(entry[0]))?;
            *place = Some(Key::from_bytes(entry[1..].try_into().ok()?));
            rest = after;
        }
        rest.is_empty().then_some(slots)
    }
}

fn id_of(leaf: i64, slot: usize) -> LifeKeyId {
    LifeKeyId::from_raw(leaf * LEAF as i64 + slot as i64)
}

fn leaf_aad(identity: &Identity, leaf: i64) -> Aad {
    Aad::instance("ring_leaf", leaf, "page").with(identity)
}

pub(super) fn root_aad(identity: &Identity, generation: u64) -> Aad {
    Aad::instance("ring", i64::try_from(generation).unwrap_or(i64::MAX), "root").with(identity)
}
