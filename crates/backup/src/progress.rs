//! How far it is, how fast it may go, and whether it should stop.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::Error;

/// How far a piece of work is.
#[derive(Clone, PartialEq, Debug, Default, serde::Serialize)]
pub struct Progress {
    /// What it does now, in a word or three.
    pub phase: &'static str,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all; 0 while that is not known.
    pub total: u64,
    /// Bytes a second since it began.
    pub rate: u64,
    /// Seconds left, when that can be told.
    pub left: Option<u64>,
}

impl Progress {
    /// Hundredths that are done.
    pub fn percent(&self) -> u64 {
        (self.done.min(self.total) * 100).checked_div(self.total).unwrap_or(0)
    }
}

/// What work and whoever watches it share.
pub struct Watcher {
    phase: Mutex<&'static str>,
    done: AtomicU64,
    total: AtomicU64,
    sent: AtomicU64,
    stop: AtomicBool,
    woken: (Mutex<()>, Condvar),
    begun: Instant,
    /// Bytes a second to the place at most.
    most: Option<u64>,
}

impl Watcher {
    /// For one piece of work that may bring so many bytes a second to its place.
    pub fn new(most: Option<u64>) -> Self {
        Self {
            phase: Mutex::new("beginning"),
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            woken: (Mutex::new(()), Condvar::new()),
            begun: Instant::now(),
            most: most.filter(|n| *n > 0),
        }
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        let (done, total) = (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
        let rate = (done * 1000).checked_div(self.begun.elapsed().as_millis().try_into().unwrap_or(u64::MAX));
        let rate = rate.unwrap_or(0);
        let left = total.checked_sub(done).filter(|_| total > 0).and_then(|left| left.checked_div(rate));
        let phase = *self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        Progress { phase, done, total, rate, left }
    }

    /// Tells the work to stop at the next piece.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.woken.1.notify_all();
    }

    pub(crate) fn phase(&self, phase: &'static str) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    pub(crate) fn total(&self, bytes: u64) {
        self.total.store(bytes, Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
    }

    pub(crate) fn done(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.stop.load(Ordering::Acquire) { Err(Error::Stopped) } else { Ok(()) }
    }

    /// Bytes went to the place: waits for as long as they should have taken.
    pub(crate) fn sent(&self, bytes: u64) -> Result<(), Error> {
        let sent = self.sent.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let Some(most) = self.most else { return Ok(()) };
        let due = Duration::from_secs_f64(sent as f64 / most as f64);
        let wait = due.saturating_sub(self.begun.elapsed());
        if !wait.is_zero() {
            let woken = self.woken.0.lock().unwrap_or_else(PoisonError::into_inner);
            let stop = |(): &mut ()| !self.stop.load(Ordering::Acquire);
            drop(self.woken.1.wait_timeout_while(woken, wait, stop));
        }
        self.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_no_faster_than_it_may_and_stops_at_once() {
        let watch = Watcher::new(Some(1_000_000));
        watch.total(200_000);
        for _ in 0..10 {
            watch.sent(20_000).unwrap();
            watch.done(20_000);
        }
        assert!(watch.begun.elapsed() >= Duration::from_millis(195), "{:?}", watch.begun.elapsed());
        let progress = watch.progress();
        assert_eq!((progress.percent(), progress.left), (100, Some(0)));
        assert!(progress.rate <= 1_100_000, "{progress:?}");
        watch.stop();
        assert!(matches!(watch.sent(u64::MAX / 2), Err(Error::Stopped)));
        assert!(matches!(watch.check(), Err(Error::Stopped)));
    }
}
