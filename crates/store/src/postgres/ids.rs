//! Ids in blocks that several nodes lease from one row: each block is anywhere behind the last.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::queue::lock;

pub(crate) struct Blocks {
    state: Mutex<State>,
    more: Condvar,
    /// Ids in a block.
    pub(crate) block: i64,
}

struct State {
    next: i64,
    end: i64,
    /// The first id of the block that comes next.
    spare: Option<i64>,
    asked: bool,
    closed: bool,
}

impl Blocks {
    /// Ids from `first`, of which a block is leased.
    pub(crate) fn new(first: i64, block: i64) -> Self {
        let state =
            State { next: first, end: first.saturating_add(block), spare: None, asked: false, closed: false };
        Self { state: Mutex::new(state), more: Condvar::new(), block }
    }

    /// The next id. Calls `ask` to have another block leased once half of this one is used. When the database gives
    /// none it waits for as long as the store is open: an id that is not leased may be another node's.
    pub(crate) fn take(&self, ask: impl Fn()) -> i64 {
        let mut state = lock(&self.state);
        loop {
            if state.next < state.end {
                let id = state.next;
                state.next += 1;
                let low = state.spare.is_none() && state.end - state.next < self.block / 2;
                if low && !state.asked {
                    state.asked = true;
                    drop(state);
                    ask();
                }
                return id;
            }
            if let Some(first) = state.spare.take() {
                state.next = first;
                state.end = first.saturating_add(self.block);
                continue;
            }
            if state.closed {
                // Nothing can be committed any more, so nobody will ever see it.
                return i64::MAX;
            }
            state.asked = true;
            ask();
            let (waited, timeout) =
                self.more.wait_timeout(state, Duration::from_secs(2)).unwrap_or_else(PoisonError::into_inner);
            state = waited;
            if timeout.timed_out() {
                tracing::error!("no new block of ids could be leased: the database can't be written");
            }
        }
    }

    /// A block that begins at `first` was leased.
    pub(crate) fn leased(&self, first: i64) {
        let mut state = lock(&self.state);
        state.spare = Some(first);
        state.asked = false;
        self.more.notify_all();
    }

    /// Nobody needs to wait any more.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.more.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn blocks_follow_each_other_wherever_they_lie() {
        let asked = Cell::new(0);
        let blocks = Blocks::new(100, 4);
        let ask = || asked.set(asked.get() + 1);
        let first: Vec<i64> = (0..3).map(|_| blocks.take(ask)).collect();
        assert_eq!((first, asked.get()), (vec![100, 101, 102], 1));
        blocks.leased(500);
        let more: Vec<i64> = (0..3).map(|_| blocks.take(ask)).collect();
        assert_eq!(more, [103, 500, 501]);
        blocks.leased(900);
        let more: Vec<i64> = (0..3).map(|_| blocks.take(ask)).collect();
        assert_eq!((more, asked.get()), (vec![502, 503, 900], 1));
        assert_eq!((blocks.take(ask), blocks.take(ask), asked.get()), (901, 902, 2));
    }
}
