//! Numbers that tell how a server does: counted where it happens, read where they are shown.
//!
//! A meter is a field of what it measures, never a global, and holds no name, address or id.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that only grows.
#[derive(Default, Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    /// A counter at nought.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// One more.
    pub fn one(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// How many so far.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How often something was done and how long all of it took together.
#[derive(Default, Debug)]
pub struct Timing {
    count: Counter,
    micros: Counter,
}

impl Timing {
    /// A timing of nothing yet.
    pub const fn new() -> Self {
        Self { count: Counter::new(), micros: Counter::new() }
    }

    /// It was done once more and took this long.
    pub fn took(&self, time: Duration) {
        self.count.one();
        self.micros.add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// How often.
    pub fn count(&self) -> u64 {
        self.count.count()
    }

    /// How long together.
    pub fn total(&self) -> Duration {
        Duration::from_micros(self.micros.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_add_up() {
        let timing = Timing::new();
        timing.took(Duration::from_millis(3));
        timing.took(Duration::from_micros(7));
        assert_eq!((timing.count(), timing.total()), (2, Duration::from_micros(3_007)));
    }
}
