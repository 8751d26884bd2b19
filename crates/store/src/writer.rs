//! The one thread that writes: many closures in one commit.
//!
//! Each closure runs in a savepoint of its own, so a refusal undoes only itself. Every answer, refusals too, waits for
//! the commit: what a closure saw may have come from a neighbour in its group. When SQLite gives up the whole
//! transaction in the middle (full disk, I/O error), or can't commit it, the closures are run again one by one, so
//! that only those fail that must. After a failed sync nobody knows what is on the disk: the group is told so, and
//! everything closes and opens again.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::feed::{Feed, Topic};
use crate::ids::Ids;
use crate::job::{Job, Verdict};
use crate::queue::lock;
use crate::reserve::Reserve;
use crate::schema;
use crate::scope::Locks;
use crate::tx::Link;
use crate::wal::{Bell, Wal};
use crate::{Error, Result, Scope, Tx, params};

pub(crate) type WriteJob = Box<dyn Job<Tx>>;

/// Where closures wait: a lane a writer thread, and in it delivery before bulk.
pub(crate) struct Lanes {
    each: Vec<Lane>,
    /// Where the next one goes that anybody may take.
    turn: AtomicUsize,
}

struct Lane {
    state: Mutex<State>,
    wake: Condvar,
}

/// A closure that waits, and what is locked for it.
pub(crate) struct Waiting {
    pub(crate) job: WriteJob,
    pub(crate) locks: Locks,
}

struct State {
    delivery: VecDeque<Waiting>,
    bulk: VecDeque<Waiting>,
    /// Groups of delivery since the last bulk closure ran.
    passed: u32,
    /// Something is due though no closure waits.
    poked: bool,
    open: bool,
}

/// So many groups go before a waiting bulk closure, then it goes: it waits, but not for ever.
const BULK_PATIENCE: u32 = 16;

impl Lanes {
    /// For so many writer threads.
    pub(crate) fn new(writers: usize) -> Self {
        let lane = || {
            let (delivery, bulk) = (VecDeque::new(), VecDeque::new());
            let state = State { delivery, bulk, passed: 0, poked: false, open: true };
            Lane { state: Mutex::new(state), wake: Condvar::new() }
        };
        Self { each: (0..writers.max(1)).map(|_| lane()).collect(), turn: AtomicUsize::new(0) }
    }

    /// Puts a closure in; answers it at once when the lanes are closed. Closures of one scope come to one writer.
    pub(crate) fn push(&self, job: WriteJob, scope: &Scope) {
        let locks = scope.locks().clone();
        let writers = self.each.len();
        let lane = match locks.keys().first() {
            // Ids come in runs; the multiplication spreads them.
            Some(key) => {
                (key.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64.cast_signed()) >> 32).cast_unsigned() as usize
            }
            None => self.turn.fetch_add(1, Ordering::Relaxed),
        };
        let Some(lane) = self.each.get(lane % writers) else { return };
        let mut state = lock(&lane.state);
        if !state.open {
            drop(state);
            return job.answer(Err(Error::Closed));
        }
        let queue = if scope.is_bulk() { &mut state.bulk } else { &mut state.delivery };
        queue.push_back(Waiting { job, locks });
        drop(state);
        lane.wake.notify_one();
    }

    /// Has the first writer look at what is due.
    pub(crate) fn poke(&self) {
        if let Some(lane) = self.each.first() {
            lock(&lane.state).poked = true;
            lane.wake.notify_one();
        }
    }

    /// Takes no more closures; those that wait will still run.
    pub(crate) fn close(&self) {
        for lane in &self.each {
            lock(&lane.state).open = false;
            lane.wake.notify_one();
        }
    }

    /// A writer's next group, at most `most` closures; false once closed and empty.
    pub(crate) fn next(&self, writer: usize, most: usize, group: &mut Vec<Waiting>) -> bool {
        let Some(lane) = self.each.get(writer) else { return false };
        let mut state = lock(&lane.state);
        loop {
            let overdue = state.passed >= BULK_PATIENCE || state.delivery.is_empty();
            if overdue && let Some(job) = state.bulk.pop_front() {
                state.passed = 0;
                group.push(job);
                return true;
            }
            if !state.delivery.is_empty() {
                state.passed += u32::from(!state.bulk.is_empty());
                let many = state.delivery.len().min(most);
                group.extend(state.delivery.drain(..many));
                return true;
            }
            if std::mem::take(&mut state.poked) {
                return true;
            }
            if !state.open {
                return false;
            }
            state = lane.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Answers whoever still waits for this writer, should it ever end before its lane is empty.
    pub(crate) fn abandon(&self, writer: usize) {
        self.close();
        let mut left = Vec::new();
        while self.next(writer, usize::MAX, &mut left) {
            answer_all(&mut left, &Err(Error::Closed));
        }
    }
}

/// The writer thread's state.
pub(crate) struct Writer {
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) wal: Arc<Wal>,
    pub(crate) ids: Arc<Ids>,
    pub(crate) feed: Feed,
    pub(crate) bell: Bell,
    pub(crate) rehearse: bool,
    pub(crate) node: i64,
    pub(crate) tx: Option<Tx>,
    /// Why the store is closed, and when to try again.
    pub(crate) broken: Option<(Error, Instant)>,
}

/// A group that did not commit.
enum Failed {
    /// Nothing of it remains, for certain; singly it may go. `refused`: the closure under which it happened answers an
    /// error of its own.
    Undone { error: Error, refused: bool },
    /// Nothing of it was acknowledged, and nobody knows whether it will be found after all.
    Unknown(Error),
}

/// How long a store that could not reopen waits before it tries again.
const REOPEN_PAUSE: Duration = Duration::from_millis(500);

impl Writer {
    /// Runs until the lanes are closed and empty.
    pub(crate) fn serve(mut self) {
        // Should the loop ever panic, nobody may wait for ever.
        struct Closing(Arc<Lanes>);
        impl Drop for Closing {
            fn drop(&mut self) {
                self.0.abandon(0);
            }
        }
        let _closing = Closing(self.lanes.clone());
        let mut group = Vec::new();
        while self.lanes.next(0, self.wal.database.tuning.group, &mut group) {
            self.commit(&mut group);
            self.care_for_log();
        }
    }

    /// Commits a group, or each of its closures by itself, and answers them.
    fn commit(&mut self, group: &mut Vec<Waiting>) {
        let mut outcomes = Vec::with_capacity(group.len());
        let mut events = Vec::new();
        match self.attempt(group, &mut outcomes, &mut events) {
            Ok(()) => {
                for (job, outcome) in group.drain(..).zip(outcomes) {
                    answer(job, outcome);
                }
                self.feed.publish(&mut events);
            }
            // With what the reserve held it may go.
            Err(Failed::Undone { error: Error::Full, .. }) if self.reserve().release() => self.commit(group),
            Err(Failed::Undone { error, .. }) if group.len() > 1 => {
                tracing::warn!(error = %error, closures = group.len(), "a group failed and runs again singly");
                self.close_after(&error);
                let mut single = Vec::with_capacity(1);
                for job in group.drain(..) {
                    single.push(job);
                    self.commit(&mut single);
                }
            }
            Err(Failed::Undone { error, refused }) => {
                self.close_after(&error);
                // The closure's own error stands: it tells its caller more than we can.
                answer_all(group, &if refused { Ok(()) } else { Err(error) });
            }
            Err(Failed::Unknown(error)) => {
                tracing::error!(error = %error, closures = group.len(), "a commit failed; the store opens again");
                self.tx = None;
                answer_all(group, &Err(error));
            }
        }
    }

    fn reserve(&self) -> &Reserve {
        &self.wal.database.tuning.reserve
    }

    /// Runs a group in one transaction.
    fn attempt(
        &mut self,
        group: &mut [Waiting],
        outcomes: &mut Vec<Result<()>>,
        events: &mut Vec<Topic>,
    ) -> Result<(), Failed> {
        let rehearse = self.rehearse;
        let ids = self.ids.clone();
        let tx = self.open().map_err(|error| Failed::Undone { error, refused: false })?;
        tx.take_failure();
        let begun = tx.word("BEGIN IMMEDIATE").and_then(|()| {
            let due = ids.due();
            if let Some(end) = due {
                tx.execute(&schema::LEASE_BLOCK, params![end])?;
            }
            Ok(due)
        });
        let lease = match begun {
            Ok(lease) => lease,
            Err(error) => return Err(undo(tx, error, false)),
        };
        for job in group.iter_mut() {
            let (outcome, refused) = run(tx, &mut job.job, rehearse);
            if tx.is_over() {
                let error = tx.take_failure().or(outcome.err());
                let error = error.unwrap_or_else(|| Error::Bug("the group was rolled back".into()));
                return Err(undo(tx, error, refused));
            }
            outcomes.push(outcome);
            events.append(tx.events());
        }
        self.finish()?;
        if let Some(end) = lease {
            self.ids.leased(end);
        }
        Ok(())
    }

    /// COMMIT
    fn finish(&mut self) -> Result<(), Failed> {
        let Some(tx) = &mut self.tx else {
            return Err(Failed::Unknown(Error::Closed));
        };
        let began = Instant::now();
        let committed = tx.word("COMMIT");
        self.wal.database.tuning.meters.commits.took(began.elapsed());
        #[cfg(test)]
        let committed = committed.and_then(|()| self.wal.database.tuning.faults.commit());
        match committed {
            Ok(()) => Ok(()),
            // Frames were not all written, so no commit mark was.
            Err(error @ Error::Full) => Err(undo(tx, error, false)),
            Err(error) => {
                let _ = undo(tx, error.clone(), false);
                Err(Failed::Unknown(error))
            }
        }
    }

    /// The connection, opened again if it was closed.
    fn open(&mut self) -> Result<&mut Tx> {
        if self.wal.suspect.load(Ordering::Acquire) {
            self.tx = None;
        }
        if self.tx.is_none() {
            if let Some((error, until)) = &self.broken
                && Instant::now() < *until
            {
                return Err(error.clone());
            }
            match self.wal.reopen() {
                Ok(conn) => {
                    tracing::info!("the store is open again");
                    self.broken = None;
                    self.tx = Some(Tx::new(conn, self.node));
                }
                Err(error) => {
                    tracing::error!(error = %error, "the store can't be opened again");
                    self.broken = Some((error.clone(), Instant::now() + REOPEN_PAUSE));
                    return Err(error);
                }
            }
        }
        self.tx.as_mut().ok_or(Error::Closed)
    }

    fn close_after(&mut self, error: &Error) {
        if error.wants_reopen() {
            self.tx = None;
        }
    }

    /// Between two groups: has the log written back, and begins it anew when it is too long.
    fn care_for_log(&mut self) {
        self.reserve().mend();
        if !self.bell.check(&self.wal) {
            return;
        }
        let Some(Link::Sqlite(conn)) = self.tx.as_ref().map(|tx| tx.link()) else { return };
        match self.wal.restart(conn) {
            Ok(true) => {}
            Ok(false) => self.bell.later(&self.wal),
            Err(error) => {
                tracing::error!(error = %error, "the write-ahead log could not be restarted");
                self.bell.later(&self.wal);
                self.close_after(&error);
            }
        }
    }
}

/// Runs one closure in a savepoint. Answers what its caller is told besides its own result, and whether its own
/// result is an error.
fn run(tx: &mut Tx, job: &mut WriteJob, rehearse: bool) -> (Result<()>, bool) {
    if rehearse {
        let rehearsed = step(tx, job, true);
        if rehearsed.0.is_err() || tx.is_over() {
            return rehearsed;
        }
    }
    step(tx, job, false)
}

fn step(tx: &mut Tx, job: &mut WriteJob, undo: bool) -> (Result<()>, bool) {
    tx.take_failure();
    tx.events().clear();
    if let Err(error) = tx.word("SAVEPOINT closure") {
        return (Err(error), false);
    }
    let ran = catch_unwind(AssertUnwindSafe(|| job.run(tx)));
    let refused = matches!(ran, Ok(Verdict::Undo));
    let outcome = match (ran, tx.failure()) {
        (Err(_), _) => Err(Error::Panicked),
        (Ok(Verdict::Keep), Some(error)) => Err(error),
        (Ok(_), _) => Ok(()),
    };
    if tx.is_over() {
        return (outcome, refused);
    }
    let ended = if undo || refused || outcome.is_err() {
        tx.events().clear();
        tx.word("ROLLBACK TO closure").and_then(|()| tx.word("RELEASE closure"))
    } else {
        tx.word("RELEASE closure")
    };
    tx.take_failure();
    (outcome.and(ended), refused)
}

/// Ends a failed transaction, whatever is left of it.
fn undo(tx: &mut Tx, error: Error, refused: bool) -> Failed {
    if !tx.is_over() && tx.word("ROLLBACK").is_err() {
        return Failed::Unknown(error);
    }
    tx.take_failure();
    tx.events().clear();
    Failed::Undone { error, refused }
}

pub(crate) fn answer(waiting: Waiting, outcome: Result<()>) {
    if catch_unwind(AssertUnwindSafe(|| waiting.job.answer(outcome))).is_err() {
        tracing::error!("an answer panicked");
    }
}

pub(crate) fn answer_all(jobs: &mut Vec<Waiting>, outcome: &Result<()>) {
    for job in jobs.drain(..) {
        answer(job, outcome.clone());
    }
}
