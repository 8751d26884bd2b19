//! Ids in blocks: known before the row is written, never used twice.
//!
//! A block is leased by one row that says up to where ids are taken. A new process begins at that row, so what a
//! crashed one had left of its block is skipped. The writer puts the next lease into a group's own transaction once
//! half a block is used; so no group can commit an id that is not leased, and `take` is one atomic addition.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::queue::lock;

/// The blocks of a process that has the database to itself: each follows the last.
pub(crate) struct Ids {
    next: AtomicI64,
    leased: AtomicI64,
    block: i64,
    waiting: Mutex<()>,
    renewed: Condvar,
}

impl Ids {
    /// Ids from `first`, of which a block is leased.
    pub(crate) fn new(first: i64, block: i64) -> Self {
        Self {
            next: AtomicI64::new(first),
            leased: AtomicI64::new(first.saturating_add(block)),
            block,
            waiting: Mutex::new(()),
            renewed: Condvar::new(),
        }
    }

    /// The next id. Only when a whole block was used up while nothing could be committed does it wait, calling
    /// `renew` to have a lease written, and then not for long: a row with an id beyond the lease can't be committed
    /// without a new lease anyway.
    pub(crate) fn take(&self, renew: impl Fn()) -> i64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        if id >= self.leased.load(Ordering::Acquire) {
            renew();
            let guard = lock(&self.waiting);
            let patience = Duration::from_secs(2);
            let still = |_: &mut ()| id >= self.leased.load(Ordering::Acquire);
            let waited = self.renewed.wait_timeout_while(guard, patience, still);
            if waited.unwrap_or_else(PoisonError::into_inner).1.timed_out() {
                tracing::error!("no new block of ids could be leased: the store can't be written");
            }
        }
        id
    }

    /// The end of the block that the next commit must lease, if it must.
    pub(crate) fn due(&self) -> Option<i64> {
        let next = self.next.load(Ordering::Acquire);
        let left = self.leased.load(Ordering::Acquire) - next;
        (left < self.block / 2).then(|| next.saturating_add(self.block))
    }

    /// A lease up to `end` was committed.
    pub(crate) fn leased(&self, end: i64) {
        let _guard = lock(&self.waiting);
        self.leased.fetch_max(end, Ordering::Release);
        self.renewed.notify_all();
    }
}
