//! Threads that write, each over a connection of its own: many closures in one commit.
//!
//! The group runs in one transaction without savepoints. A refusal that wrote nothing is just answered with the rest;
//! any other, and any failed statement, rolls the group back, and its closures run singly. A closure that met another
//! connection's change (a deadlock, a row that appeared meanwhile) runs again. When the connection is lost before COMMIT
//! was sent, nothing remains and the closures run again; when it is lost after, nobody knows, and they are told so.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Cluster, Place, Poke, Purpose, Session, schema};
use crate::feed::{Feed, Topic};
use crate::job::Verdict;
use crate::tuning::Tuning;
use crate::tx::Link;
use crate::writer::{Lanes, Waiting, answer, answer_all};
use crate::{Error, Result, Tx, params};

/// One writer thread's state.
pub(crate) struct Worker {
    /// Which of the lanes is its own.
    pub(crate) number: usize,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) place: Place,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) feed: Feed,
    pub(crate) tuning: Tuning,
    pub(crate) rehearse: bool,
    pub(crate) tx: Option<Tx>,
    /// Why there is no connection, and when to try again.
    pub(crate) broken: Option<(Error, Instant)>,
}

/// A group that did not commit.
enum Failed {
    /// Nothing of it remains. `refused`: the closure answers an error of its own.
    Undone { error: Error, refused: bool },
    /// Nobody knows whether it will be found.
    Unknown(Error),
}

/// How long a worker that could not connect waits before it tries again.
const PAUSE: Duration = Duration::from_millis(500);

impl Worker {
    /// Runs until the lanes are closed and empty.
    pub(crate) fn serve(mut self) {
        // Should the loop ever panic, nobody may wait for ever.
        struct Closing(Arc<Lanes>, usize);
        impl Drop for Closing {
            fn drop(&mut self) {
                self.0.abandon(self.1);
            }
        }
        let _closing = Closing(self.lanes.clone(), self.number);
        let mut group = Vec::new();
        let lanes = self.lanes.clone();
        while lanes.next(self.number, self.tuning.shared_group, &mut group) {
            if group.len() > 1 {
                self.commit_group(&mut group);
            }
            for waiting in group.drain(..) {
                self.commit_one(waiting);
            }
        }
    }

    /// Commits a group and answers it. What can't go together is left in `group`.
    fn commit_group(&mut self, group: &mut Vec<Waiting>) {
        let mut events = Vec::new();
        match self.attempt(group, &mut events) {
            Ok(()) => {
                group.drain(..).for_each(|waiting| answer(waiting, Ok(())));
                self.publish(&mut events);
            }
            Err(Failed::Undone { error, .. }) => {
                tracing::debug!(error = %error, closures = group.len(), "a group runs again singly");
            }
            Err(Failed::Unknown(error)) => self.unknown(group, error),
        }
    }

    fn commit_one(&mut self, waiting: Waiting) {
        let mut alone = vec![waiting];
        let mut events = Vec::new();
        let mut tries = 0;
        loop {
            tries += 1;
            events.clear();
            match self.attempt(&mut alone, &mut events) {
                Ok(()) => {
                    answer_all(&mut alone, &Ok(()));
                    return self.publish(&mut events);
                }
                Err(Failed::Undone { error, .. }) if tries < most_tries(&error) => {
                    tracing::debug!(error = %error, tries, "a closure runs again");
                }
                // The closure's own error stands: it tells its caller more than we can.
                Err(Failed::Undone { error, refused }) => {
                    return answer_all(&mut alone, &if refused { Ok(()) } else { Err(error) });
                }
                Err(Failed::Unknown(error)) => return self.unknown(&mut alone, error),
            }
        }
    }

    fn unknown(&mut self, group: &mut Vec<Waiting>, error: Error) {
        tracing::error!(error = %error, closures = group.len(), "nobody knows whether a commit went");
        self.tx = None;
        answer_all(group, &Err(error));
    }

    fn publish(&self, events: &mut Vec<Topic>) {
        if !events.is_empty() {
            self.feed.publish(events);
            self.cluster.poke(Poke::Tell);
        }
    }

    /// Runs closures in one transaction.
    fn attempt(&mut self, group: &mut [Waiting], events: &mut Vec<Topic>) -> Result<(), Failed> {
        let undone = |error| Failed::Undone { error, refused: false };
        self.connect().map_err(undone)?;
        let Some(tx) = &mut self.tx else { return Err(undone(Error::Closed)) };
        let ran = run(tx, group, events, self.rehearse);
        let Link::Postgres(session) = tx.link() else { return Err(undone(Error::Closed)) };
        if let Err((error, refused)) = ran {
            session.post_word("ROLLBACK");
            if session.settle().is_err() || session.is_lost() || error.wants_reopen() {
                self.tx = None;
            }
            return Err(Failed::Undone { error, refused });
        }
        if !events.is_empty() {
            events.sort_unstable();
            events.dedup();
            let mut topics = Vec::with_capacity(9 * events.len());
            events.iter().for_each(|topic| topic.print(&mut topics));
            session.post(&schema::TELL, params![self.cluster.node(), topics]).map_err(undone)?;
        }
        let began = std::time::Instant::now();
        session.post_word("COMMIT");
        let committed = session.settle();
        self.tuning.meters.commits.took(began.elapsed());
        #[cfg(test)]
        let committed = committed.and_then(|()| self.tuning.faults.commit());
        match committed {
            Ok(()) => Ok(()),
            // The connection, or the server's own disk: what it did is not known.
            Err(error @ Error::Io(_)) => Err(Failed::Unknown(error)),
            // A statement before COMMIT failed, so COMMIT rolled back.
            Err(error) => {
                session.post_word("ROLLBACK");
                if session.settle().is_err() {
                    self.tx = None;
                }
                Err(undone(error))
            }
        }
    }

    /// Sees to it that there is a connection.
    fn connect(&mut self) -> Result<()> {
        if self.tx.as_ref().is_some_and(|tx| matches!(tx.link(), Link::Postgres(s) if s.is_lost())) {
            self.tx = None;
        }
        if self.tx.is_some() {
            return Ok(());
        }
        if let Some((error, until)) = &self.broken
            && Instant::now() < *until
        {
            return Err(error.clone());
        }
        match Session::connect(&self.place, Purpose::Write) {
            Ok(session) => {
                self.broken = None;
                self.tx = Some(Tx::over(session, self.cluster.node()));
                Ok(())
            }
            Err(error) => {
                tracing::error!(error = %error, "PostgreSQL can't be reached");
                // To whoever waits, this passes.
                let error = Error::Io(error.to_string());
                self.broken = Some((error.clone(), Instant::now() + PAUSE));
                Err(error)
            }
        }
    }
}

/// How often a single closure is tried that failed with this.
fn most_tries(error: &Error) -> u32 {
    match error {
        Error::Busy => 10,
        // What it looked for may have come in between.
        Error::Conflict(_) => 3,
        Error::Io(_) => 3,
        _ => 1,
    }
}

/// BEGIN, the locks, the closures. On failure: why, and whether the closure has an error of its own.
fn run(
    tx: &mut Tx,
    group: &mut [Waiting],
    events: &mut Vec<Topic>,
    rehearse: bool,
) -> Result<(), (Error, bool)> {
    let failed = |error| (error, false);
    tx.take_failure();
    tx.word("BEGIN").map_err(failed)?;
    lock(tx, group).map_err(failed)?;
    let alone = group.len() == 1;
    for waiting in group {
        if rehearse {
            rehearsal(tx, waiting).map_err(failed)?;
        }
        tx.events().clear();
        wrote(tx);
        let ran = catch_unwind(AssertUnwindSafe(|| waiting.job.run(tx)));
        match (ran, tx.take_failure()) {
            (Err(_), _) => return Err(failed(Error::Panicked)),
            (Ok(Verdict::Keep), None) => events.append(tx.events()),
            (Ok(Verdict::Keep), Some(error)) => return Err(failed(error)),
            (Ok(Verdict::Undo), Some(error)) => return Err((error, true)),
            // What it saw may come from a neighbour, so it is answered when that one is.
            (Ok(Verdict::Undo), None) if !wrote(tx) && !alone => {}
            (Ok(Verdict::Undo), None) => {
                let posted = settle(tx).err();
                return Err((posted.unwrap_or_else(|| Error::Bug("a closure refused".into())), true));
            }
        }
    }
    Ok(())
}

fn lock(tx: &Tx, group: &[Waiting]) -> Result<()> {
    let Link::Postgres(session) = tx.link() else { return Ok(()) };
    match group {
        [one] if one.locks.keys().is_empty() => Ok(()),
        [one] => session.post_locks(one.locks.keys()),
        _ => {
            let mut keys: Vec<i64> = group.iter().flat_map(|waiting| waiting.locks.keys()).copied().collect();
            keys.sort_unstable();
            keys.dedup();
            if keys.is_empty() { Ok(()) } else { session.post_locks(&keys) }
        }
    }
}

/// Runs a closure and undoes it.
fn rehearsal(tx: &mut Tx, waiting: &mut Waiting) -> Result<()> {
    tx.word("SAVEPOINT rehearsal")?;
    settle(tx)?;
    let ran = catch_unwind(AssertUnwindSafe(|| waiting.job.run(tx)));
    let _ = settle(tx);
    tx.take_failure();
    tx.word("ROLLBACK TO SAVEPOINT rehearsal")?;
    settle(tx)?;
    if ran.is_err() { Err(Error::Panicked) } else { Ok(()) }
}

fn settle(tx: &Tx) -> Result<()> {
    match tx.link() {
        Link::Postgres(session) => session.settle(),
        Link::Sqlite(_) => Ok(()),
    }
}

/// Whether anything may have been changed since the last call.
fn wrote(tx: &Tx) -> bool {
    matches!(tx.link(), Link::Postgres(session) if session.take_wrote())
}
