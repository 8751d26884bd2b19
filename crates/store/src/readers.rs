//! Threads that read, each over a connection of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::job::Job;
use crate::queue::{Queue, lock};
use crate::wal::{Slot, Wal};
use crate::{Error, ReadTx, Result};

pub(crate) type ReadJob = Box<dyn Job<ReadTx>>;

/// One reader thread: its connection lies in `wal.slots[number]`.
pub(crate) fn serve(wal: &Wal, number: usize, queue: &Queue<ReadJob>) {
    let slot = &wal.slots[number];
    while let Some(mut job) = queue.pop() {
        let outcome = run(wal, slot, &mut job);
        let answered = catch_unwind(AssertUnwindSafe(|| job.answer(outcome)));
        if answered.is_err() {
            tracing::error!("an answer panicked");
        }
    }
    *lock(&slot.interrupt) = None;
    *lock(&slot.tx) = None;
}

fn run(wal: &Wal, slot: &Slot, job: &mut ReadJob) -> Result<()> {
    let _inside = wal.gate.enter();
    let mut place = lock(&slot.tx);
    let mut tx = match place.take() {
        Some(tx) => tx,
        None => {
            let conn = wal.database.reader()?;
            *lock(&slot.interrupt) = Some(conn.get_interrupt_handle());
            ReadTx::new(conn)
        }
    };
    tx.word("BEGIN")?;
    let ran = catch_unwind(AssertUnwindSafe(|| job.run(&mut tx)));
    let failure = tx.take_failure();
    let ended = tx.word("ROLLBACK");
    if ended.is_ok() && !failure.as_ref().is_some_and(Error::wants_reopen) {
        *place = Some(tx);
    }
    match (ran, failure) {
        (Err(_), _) => Err(Error::Panicked),
        // The closure's own error says more, if it gave one.
        (Ok(crate::job::Verdict::Keep), Some(error)) => Err(error),
        (Ok(_), _) => Ok(()),
    }
}
