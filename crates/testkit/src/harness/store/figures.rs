//! Figures as they are printed.

use std::{fmt, time::Duration};

use crate::{Dice, process::Usage};

/// What so many of something took.
pub(super) struct Each {
    pub(super) count: u32,
    pub(super) wall: Duration,
    pub(super) used: Usage,
    /// Of content.
    pub(super) bytes: usize,
    /// One each.
    pub(super) times: Vec<Duration>,
}

impl fmt::Display for Each {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = f64::from(self.count.max(1));
        let seconds = self.wall.as_secs_f64();
        write!(f, "{:.0}/s", count / seconds)?;
        if self.bytes > 0 {
            write!(f, " ({:.0} MB/s)", self.bytes as f64 / seconds / 1e6)?;
        }
        write!(f, "; each {:.3} ms CPU", self.used.cpu_ms as f64 / count)?;
        if self.used.written > 0 {
            write!(f, ", {:.1} KiB written", self.used.written as f64 / count / 1024.0)?;
        }
        if self.bytes > 0 {
            write!(f, " for {:.1} KiB", self.bytes as f64 / count / 1024.0)?;
        }
        write!(f, "; {}", percentiles(&mut self.times.clone()))
    }
}

/// Median, 99th of a hundred, slowest.
pub(super) fn percentiles(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |part: f64| {
        let last = times.len().saturating_sub(1);
        times.get((last as f64 * part) as usize).copied().unwrap_or_default()
    };
    format!("p50 {}, p99 {}, max {}", ms(at(0.5)), ms(at(0.99)), ms(at(1.0)))
}

/// Milliseconds, with as many places as they need.
pub(super) fn ms(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    if ms < 10.0 { format!("{ms:.2} ms") } else { format!("{ms:.0} ms") }
}

/// A length with this median; `sigma` of its logarithm.
pub(super) fn lognormal(dice: &mut Dice, median: f64, sigma: f64) -> usize {
    // Twelve uniform numbers make a normal one that is good enough for sizes.
    let sum: f64 = (0..12).map(|_| dice.below(1 << 20) as f64 / f64::from(1 << 20)).sum();
    (median * (sigma * (sum - 6.0)).exp()) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_sizes_are_below_the_median() {
        let mut dice = Dice::new(7);
        let below = (0..4_000).filter(|_| lognormal(&mut dice, 15_000.0, 1.1) < 15_000).count();
        assert!((1_850..2_150).contains(&below), "{below}");
    }

    #[test]
    fn percentiles_are_of_the_sorted() {
        let mut times: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(percentiles(&mut times), "p50 50 ms, p99 99 ms, max 100 ms");
    }
}
