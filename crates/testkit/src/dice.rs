//! Chance that a seed repeats.

use std::{
    env,
    hash::{BuildHasher, RandomState},
};

/// SplitMix64 (Steele, Lea and Flood 2014): good enough to spread tests, never used for a key.
#[derive(Clone, Debug)]
pub struct Dice {
    seed: u64,
    state: u64,
}

impl Dice {
    /// From `$SEALPOST_SEED`, or a new seed. Print [`Dice::seed`] where the test's output shows it.
    pub fn from_env() -> Dice {
        let given = env::var("SEALPOST_SEED").ok().and_then(|seed| seed.parse().ok());
        Dice::new(given.unwrap_or_else(|| RandomState::new().hash_one(0) & 0xffff_ffff))
    }

    /// From a seed.
    pub fn new(seed: u64) -> Dice {
        Dice { seed, state: seed }
    }

    /// What repeats this run.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The next 64 bits.
    pub fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 when `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.roll() % end.max(1)
    }

    /// One of the items.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let at = usize::try_from(self.below(items.len() as u64)).ok()?;
        items.get(at)
    }

    /// A word of `length` lower-case letters.
    pub fn word(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(b'a' + (self.below(26) as u8))).collect()
    }

    /// `length` bytes of any value.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.roll() as u8).collect()
    }

    /// Another stream of chance for another thread.
    pub fn split(&mut self) -> Dice {
        Dice { seed: self.seed, state: self.roll() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_a_run() {
        let (mut one, mut two) = (Dice::new(7), Dice::new(7));
        assert_eq!(one.word(20), two.word(20));
        assert_eq!(one.split().bytes(9), two.split().bytes(9));
        assert_ne!(one.roll(), Dice::new(8).roll());
        assert_eq!(one.pick::<u8>(&[]), None);
        assert_eq!(one.pick(&[5]), Some(&5));
    }
}
