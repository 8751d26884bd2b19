//! The store as everybody else sees it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use sealpost_crypto::Random;
use sealpost_model::{Id, Secret, SharedClock};

use crate::blob::{self, Blobs, pack, packer::Packer};
use crate::connection::{self, Database};
use crate::feed::Feed;
use crate::ids::Ids;
use crate::lock::Lock;
use crate::queue::{Queue, lock};
use crate::readers::{self, ReadJob};
use crate::tuning::Tuning;
use crate::wal::{self, Bell, Wal};
use crate::writer::{Lanes, Writer};
use crate::{Error, ReadTx, Result, Schema, Scope, Tx, job, schema};

/// Where bodies lie.
#[derive(Clone, Debug, Default)]
pub enum Bodies {
    /// In packs: append-only files in the data folder.
    #[default]
    Packs,
    /// In a bucket, an object each.
    S3 {
        /// `s3://bucket/prefix?endpoint=..&region=..&access_key_id=..&secret_file=..`
        url: Secret<String>,
    },
}

/// Where the data lies, and what the store is given of the world.
#[derive(Clone)]
pub struct Options {
    /// The data folder; made, for its owner only, when it is not there.
    pub data: PathBuf,
    /// What the time is.
    pub clock: SharedClock,
    /// Where chance comes from.
    pub random: Random,
    /// Where bodies lie.
    pub bodies: Bodies,
    /// Runs each write closure twice, the first time rolled back: for tests.
    pub rehearse: bool,
    /// Where rows lie.
    pub engine: Engine,
}

/// Where rows lie.
#[derive(Clone, Debug, Default)]
pub enum Engine {
    /// `store.db` in the data folder, for this process alone.
    #[default]
    Sqlite,
    /// A PostgreSQL database, which several nodes may share.
    Postgres {
        /// `postgres://user:password@host/database`.
        url: Secret<String>,
    },
}

impl Options {
    /// All in the data folder, each closure once: what a single server has.
    pub fn embedded(data: impl Into<PathBuf>, clock: SharedClock, random: Random) -> Self {
        Self {
            data: data.into(),
            clock,
            random,
            bodies: Bodies::default(),
            rehearse: false,
            engine: Engine::Sqlite,
        }
    }
}

/// A database with its blobs. Clones share it; the last one to go closes it, and waits for what was begun.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    data: PathBuf,
    clock: SharedClock,
    random: Random,
    /// `None` when opened for reading only.
    lanes: Option<Arc<Lanes>>,
    readers: Arc<Queue<ReadJob>>,
    ids: Arc<Ids>,
    feed: Feed,
    blobs: Blobs,
    threads: Mutex<Threads>,
}

/// In the order in which they end.
#[derive(Default)]
struct Threads {
    packer: Option<JoinHandle<()>>,
    readers: Vec<JoinHandle<()>>,
    openers: Vec<JoinHandle<()>>,
    writer: Option<JoinHandle<()>>,
    checkpointer: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens the data folder for this process alone, and brings its tables up to date. Blocks for as long as the
    /// disk takes.
    pub fn open(options: Options, schemas: &[&Schema]) -> Result<Self> {
        Self::open_tuned(options, schemas, Tuning::default())
    }

    pub(crate) fn open_tuned(options: Options, schemas: &[&Schema], tuning: Tuning) -> Result<Self> {
        if let Engine::Postgres { .. } = options.engine {
            return Err(Error::Io("this version can't use PostgreSQL yet".into()));
        }
        let lock = Arc::new(Lock::exclusive(&options.data)?);
        let schemas = with_own(schemas);
        let database = database(&options.data, &schemas, tuning.clone());
        database.create()?;
        let wal = Arc::new(Wal::new(database, tuning.readers));
        let conn = wal.database.writer(wal.pages.clone())?;
        schema::migrate(&conn, &schemas)?;
        schema::prepare(&conn, &schemas)?;
        let packs = packs(&options.data);
        let next_pack = pack::recover(&conn, &packs)?;
        let ids = Arc::new(lease(&conn, tuning.block)?);

        let lanes = Arc::new(Lanes::new());
        let packing = Arc::new(Queue::new());
        let feed = Feed::default();
        let (bell, heard) = Bell::new();
        let readers: Arc<Queue<ReadJob>> = Arc::new(Queue::new());
        let openers = Arc::new(Queue::new());
        let writer = Writer {
            lanes: lanes.clone(),
            wal: wal.clone(),
            ids: ids.clone(),
            feed: feed.clone(),
            bell,
            rehearse: options.rehearse,
            tx: Some(Tx::new(conn)),
            broken: None,
        };
        let packer = Packer {
            queue: packing.clone(),
            lanes: lanes.clone(),
            clock: options.clock.clone(),
            folder: packs.clone(),
            tuning: tuning.clone(),
            next: next_pack,
            named: false,
            pack: None,
            lost: Vec::new(),
        };
        let log = wal.clone();
        let mut threads = Threads {
            packer: Some(spawn("store-pack", keeping(&lock, move || packer.serve()))?),
            writer: Some(spawn("store-write", keeping(&lock, move || writer.serve()))?),
            checkpointer: Some(spawn("store-log", keeping(&lock, move || wal::write_back(&log, &heard)))?),
            ..Threads::default()
        };
        start_readers(&mut threads, &wal, &readers, &openers, &tuning, &lock)?;
        let blobs = Blobs {
            files: Arc::new(pack::Files::new(packs)),
            packer: Some(packing),
            openers,
            inline: tuning.inline,
        };
        let Options { data, clock, random, .. } = options;
        let threads = Mutex::new(threads);
        let inner = Inner { data, clock, random, lanes: Some(lanes), readers, ids, feed, blobs, threads };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Opens a data folder to look at it, beside a server too: nothing is written, migrated or repaired.
    pub fn open_read_only(options: Options, schemas: &[&Schema]) -> Result<Self> {
        let tuning = Tuning::default();
        let lock = Arc::new(Lock::none(&options.data)?);
        let schemas = with_own(schemas);
        let database = database(&options.data, &schemas, tuning.clone());
        if !connection::exists(&database.path) {
            return Err(Error::Missing { data: options.data });
        }
        let wal = Arc::new(Wal::new(database, tuning.readers));
        let conn = wal.database.reader()?;
        schema::check(&conn, &schemas)?;
        schema::prepare(&conn, &schemas)?;
        drop(conn);
        let readers: Arc<Queue<ReadJob>> = Arc::new(Queue::new());
        let openers = Arc::new(Queue::new());
        let mut threads = Threads::default();
        start_readers(&mut threads, &wal, &readers, &openers, &tuning, &lock)?;
        let files = Arc::new(pack::Files::new(packs(&options.data)));
        let Options { data, clock, random, .. } = options;
        let inner = Inner {
            data,
            clock,
            random,
            lanes: None,
            readers,
            ids: Arc::new(Ids::new(i64::MAX / 2, tuning.block)),
            feed: Feed::default(),
            blobs: Blobs { files, packer: None, openers, inline: tuning.inline },
            threads: Mutex::new(threads),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Runs a closure in a transaction and answers its result once that is on the disk; a refusal too. The closure
    /// may run several times and must make nothing but SQL. When the returned future is dropped the closure still
    /// runs.
    pub async fn write<T, E>(
        &self,
        scope: Scope,
        f: impl Fn(&mut Tx) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let answer = self.push(&scope, f)?;
        answer.wait().await
    }

    /// [`write`](Self::write), waiting on this thread.
    pub fn write_blocking<T, E>(
        &self,
        scope: Scope,
        f: impl Fn(&mut Tx) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.push(&scope, f)?.block()
    }

    pub(crate) fn push<T, E>(
        &self,
        scope: &Scope,
        f: impl Fn(&mut Tx) -> Result<T, E> + Send + 'static,
    ) -> Result<job::Answer<T, E>, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let lanes = self.inner.lanes.as_ref().ok_or(Error::ReadOnly)?;
        let (job, answer) = job::write(f);
        lanes.push(job, scope.is_bulk());
        Ok(answer)
    }

    /// Runs a closure over one snapshot of everything that was answered before. It returns at most 1,000 rows,
    /// unseals nothing and is short: one that takes longer than a second may be stopped with [`Error::Slow`].
    pub async fn read<T, E>(&self, f: impl Fn(&ReadTx) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (job, answer) = job::read(f);
        self.inner.readers.push(job).map_err(|_| Error::Closed)?;
        answer.wait().await
    }

    /// [`read`](Self::read), waiting on this thread.
    pub fn read_blocking<T, E>(&self, f: impl Fn(&ReadTx) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (job, answer) = job::read(f);
        self.inner.readers.push(job).map_err(|_| Error::Closed)?;
        answer.block()
    }

    /// A fresh id: never used before, not even by a process that crashed.
    pub fn id<T: Id>(&self) -> T {
        let renew = || {
            if let Some(lanes) = &self.inner.lanes {
                lanes.poke();
            }
        };
        T::from_raw(self.inner.ids.take(renew))
    }

    /// Who wants to hear of changes.
    pub fn feed(&self) -> &Feed {
        &self.inner.feed
    }

    /// The sealed bodies.
    pub fn blobs(&self) -> &Blobs {
        &self.inner.blobs
    }

    /// The clock that the store was given.
    pub fn clock(&self) -> &SharedClock {
        &self.inner.clock
    }

    /// The source of chance that the store was given.
    pub fn random(&self) -> &Random {
        &self.inner.random
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        &self.inner.data
    }

    /// Whether it was opened for reading only.
    pub fn is_read_only(&self) -> bool {
        self.inner.lanes.is_none()
    }

    /// Takes nothing more, finishes what was begun, and closes the files, whoever else still holds the store. Later
    /// calls answer [`Error::Closed`].
    pub fn close(&self) {
        self.inner.close();
    }
}

impl Inner {
    fn close(&self) {
        let closing = Closing {
            threads: std::mem::take(&mut *lock(&self.threads)),
            packing: self.blobs.packer.clone(),
            readers: self.readers.clone(),
            openers: self.blobs.openers.clone(),
            lanes: self.lanes.clone(),
        };
        if closing.threads.is_one_of_them() {
            // A closure held the last clone. Its thread can't wait for itself, nor for those that wait for it.
            if let Err(error) = spawn("store-close", || closing.run()) {
                tracing::error!(error = %error, "the store stays open until the process ends");
            }
        } else {
            closing.run();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

/// What it takes to end the threads.
struct Closing {
    threads: Threads,
    packing: Option<Arc<Queue<blob::packer::Work>>>,
    readers: Arc<Queue<ReadJob>>,
    openers: Arc<Queue<blob::Opening>>,
    lanes: Option<Arc<Lanes>>,
}

impl Closing {
    /// The packer still writes rows, so the writer goes after it; the checkpointer follows the writer.
    fn run(self) {
        if let Some(packing) = &self.packing {
            packing.close();
        }
        join(self.threads.packer);
        self.readers.close();
        self.openers.close();
        join(self.threads.readers.into_iter().chain(self.threads.openers));
        if let Some(lanes) = &self.lanes {
            lanes.close();
        }
        join(self.threads.writer);
        join(self.threads.checkpointer);
    }
}

impl Threads {
    fn is_one_of_them(&self) -> bool {
        let own = self.readers.iter().chain(&self.openers);
        let all = own.chain(&self.packer).chain(&self.writer).chain(&self.checkpointer);
        all.into_iter().any(|thread| thread.thread().id() == std::thread::current().id())
    }
}

fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a thread of the store panicked");
        }
    }
}

fn spawn(name: &str, f: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.into()).spawn(f).map_err(|e| Error::Io(format!("no thread: {e}")))
}

/// The folder stays locked until the last thread is done with it.
fn keeping(lock: &Arc<Lock>, f: impl FnOnce() + Send + 'static) -> impl FnOnce() + Send + 'static {
    let lock = lock.clone();
    move || {
        f();
        drop(lock);
    }
}

fn start_readers(
    threads: &mut Threads,
    wal: &Arc<Wal>,
    readers: &Arc<Queue<ReadJob>>,
    openers: &Arc<Queue<blob::Opening>>,
    tuning: &Tuning,
    lock: &Arc<Lock>,
) -> Result<()> {
    for number in 0..tuning.readers {
        let (wal, queue) = (wal.clone(), readers.clone());
        threads
            .readers
            .push(spawn("store-read", keeping(lock, move || readers::serve(&wal, number, &queue)))?);
    }
    for _ in 0..tuning.openers {
        let queue = openers.clone();
        threads.openers.push(spawn("store-blob", keeping(lock, move || blob::serve(&queue)))?);
    }
    Ok(())
}

fn with_own<'s>(schemas: &[&'s Schema]) -> Vec<&'s Schema> {
    let own = crate::SCHEMAS.iter().copied();
    own.chain(schemas.iter().copied().filter(|s| crate::SCHEMAS.iter().all(|own| own.name != s.name)))
        .collect()
}

fn database(data: &Path, schemas: &[&Schema], tuning: Tuning) -> Database {
    let statements = schemas.iter().map(|s| s.statements.len()).sum::<usize>() + 16;
    Database { path: data.join("store.db"), tuning, statements }
}

fn packs(data: &Path) -> PathBuf {
    data.join("packs")
}

/// Leases the first block of this process.
fn lease(conn: &rusqlite::Connection, block: i64) -> Result<Ids> {
    let lease = || -> rusqlite::Result<i64> {
        conn.execute_batch("BEGIN IMMEDIATE")?;
        let first: i64 = conn.query_row(schema::NEXT_BLOCK.text(), [], |row| row.get(0))?;
        conn.execute(schema::LEASE_BLOCK.text(), [first.saturating_add(block)])?;
        conn.execute_batch("COMMIT")?;
        Ok(first)
    };
    lease().map(|first| Ids::new(first, block)).map_err(|e| Error::sqlite(e, "lease"))
}
