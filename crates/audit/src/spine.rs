//! A Merkle tree that is only walked once, left to right: the roots of its perfect subtrees (RFC 6962 section 2.1).

use tlog_tiles::{EMPTY_HASH, Hash, node_hash};

/// The tree so far.
#[derive(Clone, Default)]
pub(crate) struct Spine {
    size: u64,
    subtrees: Vec<(u8, Hash)>,
}

impl Spine {
    /// Appends a leaf.
    pub(crate) fn push(&mut self, leaf: Hash) {
        self.push_subtree(0, leaf);
    }

    /// Appends a perfect subtree of `2^level` leaves. It must begin where such a subtree may: the size is a multiple of
    /// that.
    pub(crate) fn push_subtree(&mut self, mut level: u8, mut hash: Hash) {
        self.size += 1 << level;
        while self.subtrees.last().is_some_and(|(l, _)| *l == level) {
            let Some((_, left)) = self.subtrees.pop() else { break };
            hash = node_hash(left, hash);
            level += 1;
        }
        self.subtrees.push((level, hash));
    }

    /// Leaves so far.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// The root so far.
    pub(crate) fn root(&self) -> Hash {
        let hashes = self.subtrees.iter().rev().map(|(_, hash)| *hash);
        hashes.reduce(|right, left| node_hash(left, right)).unwrap_or(EMPTY_HASH)
    }
}

/// The perfect subtrees that stand side by side from `start` to `end`, as level and number: none overlaps, none could be
/// larger.
pub(crate) fn subtrees(start: u64, end: u64) -> Vec<(u8, u64)> {
    let (mut at, mut out) = (start, Vec::new());
    while at < end {
        let fits = (end - at).ilog2();
        let level = if at == 0 { fits } else { fits.min(at.trailing_zeros()) };
        out.push((level as u8, at >> level));
        at += 1 << level;
    }
    out
}

#[cfg(test)]
mod tests {
    use tlog_tiles::record_hash;

    use super::*;

    #[test]
    fn a_tree_is_the_same_from_leaves_and_from_subtrees() {
        let leaf = |n: u64| record_hash(&n.to_be_bytes());
        let whole = |start: u64, end: u64| {
            let mut spine = Spine::default();
            (start..end).for_each(|n| spine.push(leaf(n)));
            spine.root()
        };
        for size in 1..70_u64 {
            for start in 0..size {
                for end in [start + 1, (start + size).div_ceil(2).max(start + 1), size] {
                    let mut spine = Spine::default();
                    for (level, number) in subtrees(0, start) {
                        spine.push_subtree(level, whole(number << level, (number + 1) << level));
                    }
                    (start..end).for_each(|n| spine.push(leaf(n)));
                    for (level, number) in subtrees(end, size) {
                        spine.push_subtree(level, whole(number << level, (number + 1) << level));
                    }
                    assert_eq!(
                        (spine.size(), spine.root()),
                        (size, whole(0, size)),
                        "{start}..{end} of {size}"
                    );
                }
            }
        }
    }
}
