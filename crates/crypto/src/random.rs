//! Where randomness comes from: a value that is handed in, so that a test can repeat itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::hmac;

use crate::Key;

/// A source of random bytes.
#[derive(Clone)]
pub struct Random(Source);

#[derive(Clone)]
enum Source {
    System,
    Predictable(Arc<Predictable>),
}

struct Predictable {
    key: hmac::Key,
    next: AtomicU64,
}

impl Random {
    /// The generator of the cryptographic library, seeded by the kernel.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A stream that depends on `seed` alone. For tests and simulations only: whoever knows the seed knows every key.
    pub fn danger_predictable(seed: u64) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &seed.to_be_bytes());
        Self(Source::Predictable(Arc::new(Predictable { key, next: AtomicU64::new(0) })))
    }

    /// Fills `out`. Panics if the system has no randomness: nothing safe can be done then.
    pub fn fill(&self, out: &mut [u8]) {
        match &self.0 {
            #[expect(clippy::disallowed_methods, reason = "the one place that asks the library")]
            Source::System => aws_lc_rs::rand::fill(out).expect("the system's random generator works"),
            Source::Predictable(p) => {
                for piece in out.chunks_mut(32) {
                    let block = p.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
                    let tag = hmac::sign(&p.key, &block);
                    piece.copy_from_slice(&tag.as_ref()[..piece.len()]);
                }
            }
        }
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    /// A fresh key.
    pub fn key(&self) -> Key {
        Key::from_bytes(self.bytes())
    }

    /// A number below `n`, each as likely as the others. Panics if `n` is 0.
    pub fn below(&self, n: u64) -> u64 {
        assert!(n > 0, "there is no number below 0");
        // Numbers past the last whole multiple of n would favour the small ones: draw again.
        let usable = u64::MAX - u64::MAX % n;
        loop {
            let drawn = u64::from_be_bytes(self.bytes());
            if drawn < usable {
                return drawn % n;
            }
        }
    }
}

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Source::System => "Random(system)",
            Source::Predictable(_) => "Random(predictable)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_reaches_every_number_and_no_other() {
        let r = Random::system();
        let mut seen = [0_u32; 7];
        for _ in 0..7_000 {
            seen[usize::try_from(r.below(7)).unwrap()] += 1;
        }
        assert!(seen.iter().all(|n| *n > 700), "{seen:?}");
    }

    #[test]
    fn a_predictable_stream_repeats_itself_and_differs_by_seed() {
        let draw = |seed| Random::danger_predictable(seed).bytes::<100>();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn the_system_never_repeats() {
        assert_ne!(Random::system().bytes::<16>(), Random::system().bytes::<16>());
    }
}
