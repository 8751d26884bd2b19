//! The Merkle tree of one log (RFC 6962 section 2.1), held as C2SP tlog-tiles of height 8.
//!
//! Only the right edge is ever open: one unfinished tile a level. To grow the tree one reads the edge (at most one
//! tile a level), appends leaves, and writes the tiles that changed.

use std::collections::BTreeMap;

use sealpost_model::TenantId;
use sealpost_store::{ReadTx, Tx, params};
use tlog_tiles::{HASH_SIZE, Hash, HashReader, Tile, tree_hash};

use crate::object::{leb, unleb};
use crate::schema;

/// A tile: up to 256 hashes of one level; at level 0 also the ids of the entries.
#[derive(Clone, Default)]
pub(crate) struct TileRow {
    pub hashes: Vec<u8>,
    pub ids: Vec<i64>,
}

/// Level and number of a tile.
pub(crate) type Place = (u8, u64);

/// A tree's right edge.
pub(crate) struct Edge {
    size: u64,
    /// What is open, and what this edge has closed or changed since it was read.
    tiles: BTreeMap<Place, TileRow>,
    changed: Vec<Place>,
}

impl Edge {
    /// Reads the edge of a tree of this size. A missing tile or one of another width comes as `None`.
    pub(crate) fn read(
        tx: &ReadTx,
        tenant: TenantId,
        size: u64,
    ) -> Result<Option<Self>, sealpost_store::Error> {
        let mut tiles = BTreeMap::new();
        for (level, number, width) in edge(size) {
            let Some(tile) = tile(tx, tenant, level, number)? else { return Ok(None) };
            if tile.hashes.len() != width * HASH_SIZE || (level == 0 && tile.ids.len() != width) {
                return Ok(None);
            }
            tiles.insert((level, number), tile);
        }
        Ok(Some(Self { size, tiles, changed: Vec::new() }))
    }

    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf.
    pub(crate) fn push(&mut self, id: i64, leaf: Hash) {
        let mut hash = leaf;
        for level in 0_u8.. {
            let number = (self.size >> (8 * level)) >> 8;
            let row = self.tiles.entry((level, number)).or_default();
            row.hashes.extend_from_slice(&hash.0);
            if level == 0 {
                row.ids.push(id);
            }
            if !self.changed.contains(&(level, number)) {
                self.changed.push((level, number));
            }
            if row.hashes.len() < WIDTH * HASH_SIZE {
                break;
            }
            hash = Tile::subtree_hash(&row.hashes);
        }
        self.size += 1;
    }

    /// The root (RFC 6962 section 2.1).
    pub(crate) fn root(&self) -> Option<Hash> {
        tree_hash(self.size, self).ok()
    }

    /// The tiles to write.
    pub(crate) fn changed(&self) -> Vec<(Place, TileRow)> {
        self.changed.iter().filter_map(|p| Some((*p, self.tiles.get(p)?.clone()))).collect()
    }
}

impl HashReader for Edge {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        read_hashes(indexes, |place| self.tiles.get(&place).map(|t| t.hashes.clone()))
    }
}

/// Hashes out of tiles that `fetch` gives. Nothing is authenticated here: the caller compares the root.
pub(crate) fn read_hashes(
    indexes: &[u64],
    fetch: impl Fn(Place) -> Option<Vec<u8>>,
) -> Result<Vec<Hash>, tlog_tiles::Error> {
    indexes
        .iter()
        .map(|index| {
            let tile = Tile::from_index(HEIGHT, *index);
            let data =
                fetch((tile.level(), tile.level_index())).ok_or(tlog_tiles::Error::IndexesNotInTree)?;
            tile.hash_at_index(&data, *index)
        })
        .collect()
}

/// The unfinished tiles of a tree of `size`: level, number, width.
fn edge(size: u64) -> impl Iterator<Item = (u8, u64, usize)> {
    (0..7_u8).filter_map(move |level| {
        let hashes = size >> (8 * level);
        let width = (hashes % WIDTH as u64) as usize;
        (width > 0).then_some((level, hashes / WIDTH as u64, width))
    })
}

/// Reads one tile.
pub(crate) fn tile(
    tx: &ReadTx,
    tenant: TenantId,
    level: u8,
    number: u64,
) -> Result<Option<TileRow>, sealpost_store::Error> {
    tx.row(&schema::TILE, params![tenant, level, number as i64], |r| {
        Ok(TileRow { hashes: r.bytes(0)?, ids: ids(r.slice(1)?) })
    })
}

/// Writes one tile, whole.
pub(crate) fn put_tile(
    tx: &mut Tx,
    tenant: TenantId,
    (level, number): Place,
    tile: &TileRow,
) -> Result<(), sealpost_store::Error> {
    let mut ids = Vec::with_capacity(tile.ids.len() * 2);
    let mut last = 0_i64;
    for id in &tile.ids {
        let step = id.wrapping_sub(last);
        leb(&mut ids, ((step << 1) ^ (step >> 63)) as u64);
        last = *id;
    }
    tx.apply(&schema::PUT_TILE, params![tenant, level, number as i64, tile.hashes, ids])
}

/// The ids of a level-0 tile: zigzag LEB128 of the differences. Damaged bytes give a shorter list, which `verify` sees.
fn ids(mut bytes: &[u8]) -> Vec<i64> {
    let mut out = Vec::new();
    let mut last = 0_i64;
    while !bytes.is_empty() {
        let Some(zigzag) = unleb(&mut bytes) else { break };
        last = last.wrapping_add((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64));
        out.push(last);
    }
    out
}

/// Height of a tile, as C2SP tlog-tiles fixes it.
pub(crate) const HEIGHT: u8 = 8;
/// Hashes of a full tile.
pub(crate) const WIDTH: usize = 256;

#[cfg(test)]
mod tests {
    use tlog_tiles::record_hash;

    use super::*;
    use crate::spine::Spine as Frontier;

    #[test]
    fn edge_and_frontier_agree_at_each_size() {
        let mut edge = Edge { size: 0, tiles: BTreeMap::new(), changed: Vec::new() };
        let mut frontier = Frontier::default();
        assert_eq!(edge.root(), Some(frontier.root()));
        for n in 0..70_000_i64 {
            let leaf = record_hash(&n.to_be_bytes());
            edge.push(n, leaf);
            frontier.push(leaf);
            let size = n + 1;
            if size < 600 || size % 256 < 2 || size > 65_530 && size < 65_545 {
                assert_eq!(edge.root(), Some(frontier.root()), "{size}");
            }
            if n % 1000 == 999 {
                // What a new pass reads is the unfinished tiles alone.
                let open: Vec<_> = super::edge(edge.size).map(|(l, n, _)| (l, n)).collect();
                edge.tiles.retain(|place, _| open.contains(place));
                edge.changed.clear();
                assert_eq!(edge.tiles.len(), open.len());
            }
        }
    }

    /// The example of RFC 6962 section 2.1.3 has no numbers; these are of the reference log of Certificate Transparency.
    #[test]
    fn known_roots() {
        let leaves: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let mut frontier = Frontier::default();
        for leaf in leaves {
            frontier.push(record_hash(leaf));
        }
        let hex: String = frontier.root().0.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
    }
}
