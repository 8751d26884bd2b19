//! Threads that read, each over a connection of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Place, Purpose, Session};
use crate::job::Verdict;
use crate::queue::Queue;
use crate::readers::ReadJob;
use crate::tuning::Tuning;
use crate::tx::Link;
use crate::{Error, ReadTx, Result};

/// One reader thread.
pub(crate) fn serve(place: &Place, tuning: &Tuning, queue: &Queue<ReadJob>) {
    let mut open = None;
    while let Some(mut job) = queue.pop() {
        let mut outcome = run(place, tuning, &mut open, &mut job);
        if let (Err(Error::Io(_)), None) = (&outcome, &open) {
            // The connection had gone while nobody used it.
            outcome = run(place, tuning, &mut open, &mut job);
        }
        if catch_unwind(AssertUnwindSafe(|| job.answer(outcome))).is_err() {
            tracing::error!("an answer panicked");
        }
        // The end of the snapshot goes out now, while nobody waits for it.
        if let Some(Link::Postgres(session)) = open.as_ref().map(ReadTx::link)
            && session.settle().is_err()
        {
            open = None;
        }
    }
}

fn run(place: &Place, tuning: &Tuning, open: &mut Option<ReadTx>, job: &mut ReadJob) -> Result<()> {
    let mut tx = match open.take() {
        Some(tx) => tx,
        None => ReadTx::over(Session::connect(place, Purpose::Read(tuning.statement))?),
    };
    tx.word("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
    let ran = catch_unwind(AssertUnwindSafe(|| job.run(&mut tx)));
    let failure = tx.take_failure();
    tx.word("ROLLBACK")?;
    if !failure.as_ref().is_some_and(Error::wants_reopen) {
        *open = Some(tx);
    }
    match (ran, failure) {
        (Err(_), _) => Err(Error::Panicked),
        // Another connection may do; a closure that hid the error must not go on without it.
        (Ok(_), Some(error @ Error::Io(_))) => Err(error),
        // The closure's own error says more, if it gave one.
        (Ok(Verdict::Keep), Some(error)) => Err(error),
        (Ok(_), _) => Ok(()),
    }
}
