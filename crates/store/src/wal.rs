//! Keeps the write-ahead log short, whatever readers do.
//!
//! A thread of its own writes the log back while commits go on (`PASSIVE`). That alone would let it grow for ever
//! under load, since SQLite begins the log anew only when all of it is written back and nobody reads from it. So past
//! a hard bound the writer shuts the gate for readers, waits for those inside, interrupts those that take too long,
//! and restarts the log. The file keeps its length: overwriting is cheaper to sync than growing.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, InterruptHandle};

use crate::connection::{self, Database};
use crate::queue::lock;
use crate::{ReadTx, Result};

/// Lets readers in, or not.
pub(crate) struct Gate {
    state: Mutex<Inside>,
    changed: Condvar,
}

struct Inside {
    readers: usize,
    shut: bool,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(Inside { readers: 0, shut: false }), changed: Condvar::new() }
    }

    /// Waits until the gate is open, and goes in.
    pub(crate) fn enter(&self) -> Pass<'_> {
        let state = self.changed.wait_while(lock(&self.state), |s| s.shut);
        state.unwrap_or_else(PoisonError::into_inner).readers += 1;
        Pass(self)
    }

    /// Shuts the gate and waits until nobody is inside; after `patience` calls `hurry` and waits as long again.
    /// Says whether everybody is out.
    pub(crate) fn shut(&self, patience: Duration, hurry: impl FnOnce()) -> bool {
        lock(&self.state).shut = true;
        if self.wait_empty(patience) {
            return true;
        }
        hurry();
        self.wait_empty(patience)
    }

    fn wait_empty(&self, patience: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(lock(&self.state), patience, |s| s.readers > 0);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    pub(crate) fn open(&self) {
        lock(&self.state).shut = false;
        self.changed.notify_all();
    }
}

/// Someone inside the gate.
pub(crate) struct Pass<'a>(&'a Gate);

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).readers -= 1;
        self.0.changed.notify_all();
    }
}

/// A reader thread's connection, where the writer can close it.
#[derive(Default)]
pub(crate) struct Slot {
    pub(crate) tx: Mutex<Option<ReadTx>>,
    pub(crate) interrupt: Mutex<Option<InterruptHandle>>,
}

/// What writer, readers and checkpointer share about the one database.
pub(crate) struct Wal {
    pub(crate) database: Database,
    pub(crate) gate: Gate,
    pub(crate) slots: Vec<Slot>,
    /// Pages in the log after the last commit.
    pub(crate) pages: Arc<AtomicI64>,
    /// Long views that are being read: the log must not wait for them.
    pub(crate) snapshots: AtomicUsize,
    /// A checkpoint failed to write or sync: everything must close and open again.
    pub(crate) suspect: AtomicBool,
    background: Mutex<Option<Connection>>,
}

impl Wal {
    pub(crate) fn new(database: Database, readers: usize) -> Self {
        Self {
            database,
            gate: Gate::new(),
            slots: (0..readers).map(|_| Slot::default()).collect(),
            pages: Arc::new(AtomicI64::new(0)),
            snapshots: AtomicUsize::new(0),
            suspect: AtomicBool::new(false),
            background: Mutex::new(None),
        }
    }

    /// Stops statements that run now.
    fn interrupt(&self) {
        for slot in &self.slots {
            if let Some(handle) = &*lock(&slot.interrupt) {
                handle.interrupt();
            }
        }
    }

    /// Begins the log anew, by the writer between two groups; says whether that went.
    pub(crate) fn restart(&self, writer: &Connection) -> Result<bool> {
        if self.snapshots.load(Ordering::Acquire) > 0 {
            // It can't go, and trying would keep writers waiting.
            return Ok(false);
        }
        let background = lock(&self.background);
        let empty = self.gate.shut(self.database.tuning.patience, || self.interrupt());
        let done = if empty { connection::checkpoint(writer, "RESTART") } else { Ok(None) };
        self.gate.open();
        drop(background);
        let restarted = done?.is_some_and(|c| c.done >= c.log);
        if restarted {
            self.pages.store(0, Ordering::Relaxed);
        } else {
            tracing::warn!("the write-ahead log could not be restarted: a reader holds it");
        }
        Ok(restarted)
    }

    /// Closes every connection but the writer's, which its owner has closed, and opens a new one for it. Whatever the
    /// log holds is written back and synced before anything new is accepted.
    pub(crate) fn reopen(&self) -> Result<Connection> {
        let mut background = lock(&self.background);
        *background = None;
        if self.gate.shut(self.database.tuning.patience, || self.interrupt()) {
            for slot in &self.slots {
                *lock(&slot.interrupt) = None;
                *lock(&slot.tx) = None;
            }
        }
        let opened = self.database.writer(self.pages.clone()).and_then(|conn| {
            connection::checkpoint(&conn, "TRUNCATE")?;
            Ok(conn)
        });
        self.gate.open();
        let conn = opened?;
        self.suspect.store(false, Ordering::Release);
        self.pages.store(0, Ordering::Relaxed);
        Ok(conn)
    }

    fn write_back(&self) {
        let mut background = lock(&self.background);
        let conn = match background.take().map_or_else(|| self.database.checkpointer(), Ok) {
            Ok(conn) => conn,
            Err(e) => return tracing::warn!(error = %e, "the write-ahead log can't be written back"),
        };
        match connection::checkpoint(&conn, "PASSIVE") {
            Ok(_) => *background = Some(conn),
            Err(e) => {
                tracing::error!(error = %e, "writing the log back failed");
                self.suspect.store(true, Ordering::Release);
            }
        }
    }
}

/// Asks for the log to be written back.
pub(crate) struct Bell {
    ring: SyncSender<()>,
    last: i64,
    /// After a restart that did not go: the length at which to try again, so that one stuck reader does not hold up
    /// every group.
    again: i64,
}

impl Bell {
    /// The bell, and what the checkpointing thread listens to; it ends when the bell is dropped.
    pub(crate) fn new() -> (Self, Receiver<()>) {
        let (ring, heard) = sync_channel(1);
        (Self { ring, last: 0, again: 0 }, heard)
    }

    /// After a commit: rings each time the log has grown by a soft bound; says whether the log must begin anew.
    pub(crate) fn check(&mut self, wal: &Wal) -> bool {
        let pages = wal.pages.load(Ordering::Relaxed);
        if pages < self.last {
            self.last = 0;
            self.again = 0;
        }
        if pages - self.last >= wal.database.tuning.wal_soft {
            self.last = pages;
            // Full means that it will look anyway.
            let _ = self.ring.try_send(());
        }
        pages >= wal.database.tuning.wal_hard.max(self.again)
    }

    /// The log could not begin anew.
    pub(crate) fn later(&mut self, wal: &Wal) {
        self.again = wal.pages.load(Ordering::Relaxed).saturating_mul(2);
    }
}

/// The checkpointing thread.
pub(crate) fn write_back(wal: &Wal, heard: &Receiver<()>) {
    while heard.recv().is_ok() {
        wal.write_back();
    }
}
