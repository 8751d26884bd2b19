//! Leases: of all nodes on one database, the one that holds a name does its work.
//!
//! A lease is a row with an end by the **database's** time and an epoch that grows with each taking. Its holder renews
//! it; who was paused past the end finds it taken, and whatever it still commits under [`Tx::fence`] is refused with
//! [`Error::Fenced`], since the epoch moved. So a lease never protects by time alone: each completion of leased work
//! is fenced.
//!
//! On SQLite one process has the database to itself (its folder is locked), so each lease is granted at once and never
//! lost.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use sealpost_model::Time;
use tokio::time::Instant;

use crate::postgres::schema;
use crate::tx::Link;
use crate::{Error, ReadTx, Result, Scope, Store, Tx, params};

/// A name that this process holds until it lets go, or until it failed to renew it in time. Clones share it.
#[derive(Clone)]
pub struct Lease {
    held: Arc<Held>,
}

struct Held {
    store: Store,
    name: String,
    epoch: i64,
    ttl: Duration,
}

/// How long a single task's lease lasts unless it is renewed; a third of it passes between renewals.
const SINGLE: Duration = Duration::from_secs(15);

impl Lease {
    /// What is held.
    pub fn name(&self) -> &str {
        &self.held.name
    }

    /// Grows each time the name changes hands.
    pub fn epoch(&self) -> i64 {
        self.held.epoch
    }

    /// Holds it for another `ttl` from now, by the database's time.
    ///
    /// # Errors
    /// [`Error::Fenced`] when somebody else has taken it since.
    pub async fn renew(&self) -> Result<()> {
        let Held { store, name, epoch, ttl } = &*self.held;
        if store.cluster().is_none() {
            return Ok(());
        }
        let (name, epoch, ttl) = (name.clone(), *epoch, *ttl);
        let renew = move |tx: &mut Tx| {
            let until = now(tx)?.plus(ttl);
            match tx.execute(&schema::RENEW_LEASE, params![name, epoch, until])? {
                0 => Err(Error::Fenced),
                _ => Ok(()),
            }
        };
        store.write(Scope::unlocked(), renew).await
    }

    /// Lets go, so that nobody has to wait for its end. A lease that was lost is let go already.
    ///
    /// # Errors
    /// The store's; it ends by itself then.
    pub async fn release(self) -> Result<()> {
        let Held { store, name, epoch, .. } = &*self.held;
        if store.cluster().is_none() {
            return Ok(());
        }
        let (name, epoch) = (name.clone(), *epoch);
        let end = move |tx: &mut Tx| tx.apply(&schema::END_LEASE, params![name, epoch]);
        store.write(Scope::unlocked(), end).await
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lease({}, epoch {})", self.held.name, self.held.epoch)
    }
}

impl Tx {
    /// Refuses the closure unless the lease is still held, and keeps others from taking it until the commit. First
    /// thing in each closure that completes leased work.
    ///
    /// # Errors
    /// [`Error::Fenced`].
    pub fn fence(&mut self, lease: &Lease) -> Result<()> {
        if let Link::Sqlite(_) = self.link() {
            return Ok(());
        }
        self.apply(&schema::SHARE_NAME, params![lease.held.name])?;
        let epoch = self.row(&schema::LEASE, params![lease.held.name], |row| row.int(0))?;
        if epoch == Some(lease.held.epoch) { Ok(()) } else { Err(Error::Fenced) }
    }
}

impl ReadTx {
    /// Whether a process may still be at work: what it has claimed is its own. On SQLite nobody is but this one.
    pub fn lives(&self, node: i64) -> Result<bool> {
        if let Link::Sqlite(_) = self.link() {
            return Ok(false);
        }
        let until = self.row(&schema::LEASE, params![node_name(node)], |row| row.time(1))?;
        let now = now(self)?;
        Ok(until.is_some_and(|until| until > now))
    }
}

/// The lease that says that a node lives.
pub(crate) fn node_name(node: i64) -> String {
    format!("node/{node}")
}

impl Store {
    /// Takes `name` for `ttl`; `None` while another process has it.
    ///
    /// # Errors
    /// The store's.
    pub async fn lease(&self, name: &str, ttl: Duration) -> Result<Option<Lease>> {
        if self.is_read_only() {
            return Err(Error::ReadOnly);
        }
        let taken = match self.cluster() {
            None => Some(1),
            Some(cluster) => self.take(name.to_owned(), cluster.node(), ttl).await?,
        };
        let held = |epoch| Held { store: self.clone(), name: name.to_owned(), epoch, ttl };
        Ok(taken.map(|epoch| Lease { held: Arc::new(held(epoch)) }))
    }

    /// The epoch under which the name is ours.
    async fn take(&self, name: String, node: i64, ttl: Duration) -> Result<Option<i64>> {
        let wanted = name.clone();
        let held = self
            .read(move |tx| {
                let until = tx.row(&schema::LEASE, params![wanted], |row| row.time(1))?;
                Ok::<_, Error>(until.is_some_and(|until| until > now(tx).unwrap_or(until)))
            })
            .await?;
        if held {
            return Ok(None);
        }
        let take = move |tx: &mut Tx| {
            // Whoever is in the middle of a fenced change commits first.
            tx.apply(&schema::LOCK_NAME, params![name])?;
            let now = now(tx)?;
            tx.row(&schema::TAKE_LEASE, params![name, node, now, now.plus(ttl)], |row| row.int(0))
        };
        self.write(Scope::unlocked(), take).await
    }

    /// Runs `task` on one node of all: takes the lease `name`, runs `task` under it, renews it meanwhile, and ends the
    /// task (drops its future) when the lease is lost, to try again. Returns when `stop` does, or when the task ends
    /// by itself. The future of a task that was stopped is dropped at its next `await`.
    pub async fn single<F>(
        &self,
        name: &str,
        stop: impl Future<Output = ()>,
        mut task: impl FnMut(Lease) -> F,
    ) where
        F: Future<Output = ()>,
    {
        let mut stop = pin!(stop);
        loop {
            let lease = match self.lease(name, SINGLE).await {
                Ok(lease) => lease,
                Err(Error::Closed | Error::ReadOnly) => return,
                Err(error) => {
                    tracing::warn!(task = name, error = %error, "a lease could not be taken; it is tried again");
                    None
                }
            };
            let Some(lease) = lease else {
                tokio::select! {
                    () = stop.as_mut() => return,
                    () = tokio::time::sleep(SINGLE / 3) => continue,
                }
            };
            let ended = tokio::select! {
                () = task(lease.clone()) => true,
                () = stop.as_mut() => true,
                () = lost(&lease) => false,
            };
            if ended {
                if let Err(error) = lease.release().await {
                    tracing::debug!(task = name, error = %error, "a lease ends by itself");
                }
                return;
            }
            tracing::warn!(task = name, "another node has taken this task over");
        }
    }
}

/// A task that several nodes do by turns, a piece at a time: whoever has the lease does the next piece.
pub struct Turn {
    store: Store,
    name: &'static str,
    ttl: Duration,
    state: tokio::sync::Mutex<Having>,
}

/// Whose turn it is, as far as this node knows.
#[derive(Default)]
struct Having {
    lease: Option<Lease>,
    /// When to ask the database again.
    next: Option<Instant>,
}

impl Turn {
    /// Nobody's turn yet. After `ttl` without a sign of life another node takes it.
    pub fn new(store: Store, name: &'static str, ttl: Duration) -> Self {
        Self { store, name, ttl, state: tokio::sync::Mutex::default() }
    }

    /// The lease, while it is this node's turn. Asks the database a few times in each `ttl` only.
    pub async fn take(&self) -> Option<Lease> {
        let mut state = self.state.lock().await;
        let now = Instant::now();
        if state.next.is_some_and(|next| now < next) {
            return state.lease.clone();
        }
        state.next = Some(now + self.ttl / 3);
        let answer = match state.lease.take() {
            Some(lease) => lease.renew().await.map(|()| Some(lease)),
            None => self.store.lease(self.name, self.ttl).await,
        };
        match answer {
            Ok(lease) => state.lease = lease,
            Err(Error::Closed | Error::ReadOnly) => {}
            Err(Error::Fenced) => tracing::warn!(task = self.name, "another node has taken this task over"),
            Err(error) => tracing::warn!(task = self.name, error = %error, "a lease could not be had"),
        }
        state.lease.clone()
    }

    /// Lets others have it at once.
    pub async fn end(&self) {
        let lease = std::mem::take(&mut *self.state.lock().await).lease;
        if let Some(lease) = lease
            && let Err(error) = lease.release().await
        {
            tracing::debug!(task = self.name, error = %error, "a lease ends by itself");
        }
    }
}

/// The time of the database, which all nodes share.
fn now(tx: &ReadTx) -> Result<Time> {
    tx.row(&schema::NOW, &[], |row| row.time(0))?.ok_or_else(|| Error::Bug("no time".into()))
}

/// Renews the lease for as long as that goes.
async fn lost(lease: &Lease) {
    let ttl = lease.held.ttl;
    let mut failing = Duration::ZERO;
    loop {
        tokio::time::sleep(ttl / 3).await;
        match lease.renew().await {
            Ok(()) => failing = Duration::ZERO,
            Err(Error::Fenced) => return,
            Err(error) => {
                tracing::warn!(lease = lease.name(), error = %error, "a lease could not be renewed");
                failing += ttl / 3;
                if failing >= ttl {
                    return;
                }
            }
        }
    }
}
