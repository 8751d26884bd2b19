//! The store as everybody else sees it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use sealpost_crypto::Random;
use sealpost_model::{Id, Secret, SharedClock};

use crate::blob::bucket::Bucket;
use crate::blob::{self, Blobs, pack};
use crate::connection::{self, Database};
use crate::copy::Source;
use crate::feed::Feed;
use crate::ids::Ids as OwnIds;
use crate::lock::{Lock, make_folder};
use crate::postgres::{self, Blocks, Cluster, Place, Poke, Purpose, Session, Worker};
use crate::queue::{Queue, lock};
use crate::readers::{self, ReadJob};
use crate::reserve::Reserve;
use crate::tuning::Tuning;
use crate::tx::Link;
use crate::wal::{self, Bell, Wal};
use crate::writer::{Lanes, Writer};
use crate::{Error, ReadTx, Result, Schema, Scope, Sql, Tx, job, params, schema};

/// Where bodies lie.
#[derive(Clone, Debug, Default)]
pub enum Bodies {
    /// In packs: append-only files in the data folder.
    #[default]
    Packs,
    /// In packs in another folder.
    PacksIn {
        /// The folder.
        path: PathBuf,
    },
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
    /// Bytes of disk that are kept back in the data folder for when it is full; 0 for none.
    pub reserve: u64,
}

/// Where rows lie.
#[derive(Clone, Debug, Default)]
pub enum Engine {
    /// `store.db` in the data folder, for this process alone.
    #[default]
    Sqlite,
    /// Another SQLite file, for this process alone.
    File {
        /// The file; its folder is made when it is not there.
        path: PathBuf,
    },
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
            reserve: 0,
        }
    }
}

impl Engine {
    /// Whether somebody's data is there already, or the beginnings of it: a new instance wants an empty place.
    ///
    /// # Errors
    /// When a PostgreSQL can't be reached.
    pub fn is_taken(&self) -> Result<bool> {
        match self {
            Self::Sqlite => Ok(false),
            Self::File { path } => Ok(connection::exists(path)),
            Self::Postgres { url } => {
                let place = Place::parse(url)?;
                on_own_thread(|| postgres::is_taken(&Session::connect(&place, Purpose::Write)?))
            }
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
    source: Source,
    /// `None` when opened for reading only.
    lanes: Option<Arc<Lanes>>,
    readers: Arc<Queue<ReadJob>>,
    ids: Ids,
    node: i64,
    feed: Feed,
    cluster: Option<Arc<Cluster>>,
    blobs: Blobs,
    known: Arc<Known>,
    threads: Mutex<Threads>,
    meters: Arc<Meters>,
}

/// How often something was made safe, and how long it took.
#[derive(Default, Debug)]
pub struct Meters {
    /// Commits of the database.
    pub commits: sealpost_model::Timing,
    /// Syncs of packs.
    pub syncs: sealpost_model::Timing,
}

/// Which crates' tables this process knows.
pub(crate) struct Known {
    /// Their words.
    pub(crate) schemas: Vec<&'static str>,
    /// Which of their rows name bodies.
    pub(crate) owners: Vec<&'static Sql>,
}

impl Known {
    fn of(schemas: &[&Schema]) -> Arc<Self> {
        let owners = schemas.iter().flat_map(|schema| schema.blobs).copied().collect();
        Arc::new(Self { schemas: schemas.iter().map(|schema| schema.name).collect(), owners })
    }
}

/// Where ids come from.
enum Ids {
    Own(Arc<OwnIds>),
    Shared(Arc<Blocks>),
}

/// What an engine has begun, on its way into a store.
struct Parts {
    lock: Arc<Lock>,
    lanes: Arc<Lanes>,
    readers: Arc<Queue<ReadJob>>,
    ids: Ids,
    node: i64,
    feed: Feed,
    source: Source,
    cluster: Option<Arc<Cluster>>,
    known: Arc<Known>,
    threads: Threads,
    packs: PathBuf,
    next_pack: i64,
    tuning: Tuning,
}

/// In the order in which they end.
#[derive(Default)]
struct Threads {
    blobs: blob::threads::Threads,
    readers: Vec<JoinHandle<()>>,
    writers: Vec<JoinHandle<()>>,
    /// Writes the log back (SQLite), or hears other nodes (PostgreSQL).
    background: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens the data folder for this process alone, and brings its tables up to date. Blocks for as long as the
    /// disk takes.
    pub fn open(options: Options, schemas: &[&Schema]) -> Result<Self> {
        Self::open_tuned(options, schemas, Tuning::default())
    }

    pub(crate) fn open_tuned(options: Options, schemas: &[&Schema], mut tuning: Tuning) -> Result<Self> {
        let lock = Arc::new(Lock::exclusive(&options.data)?);
        tuning.reserve = Arc::new(Reserve::keep(&options.data, options.reserve));
        match options.engine.clone() {
            Engine::Sqlite => {
                let file = options.data.join(FILE);
                Self::open_sqlite(options, lock, file, schemas, tuning)
            }
            Engine::File { path } => {
                make_folder(path.parent().unwrap_or(Path::new(".")))?;
                Self::open_sqlite(options, lock, path, schemas, tuning)
            }
            Engine::Postgres { url } => {
                let place = Place::parse(&url)?;
                // It waits for answers in a runtime of its own, which none other may be around.
                on_own_thread(|| Self::open_postgres(options, lock, &place, schemas, tuning))
            }
        }
    }

    fn open_sqlite(
        options: Options,
        lock: Arc<Lock>,
        file: PathBuf,
        schemas: &[&Schema],
        tuning: Tuning,
    ) -> Result<Self> {
        let schemas = with_own(schemas);
        let database = database(file, &schemas, tuning.clone());
        database.create()?;
        let wal = Arc::new(Wal::new(database, tuning.readers));
        let conn = wal.database.writer(wal.pages.clone())?;
        schema::migrate(&conn, &schemas)?;
        schema::prepare(&conn, &schemas)?;
        let packs = packs(&options);
        let ids = Arc::new(lease(&conn, tuning.block)?);
        let node = ids.take(|| {});
        let mut tx = Tx::new(conn, node);
        let next_pack = pack::recover(&mut tx, &packs, options.clock.now())?;

        let known = Known::of(&schemas);
        let lanes = Arc::new(Lanes::new(1));
        let feed = Feed::default();
        let (bell, heard) = Bell::new();
        let writer = Writer {
            lanes: lanes.clone(),
            wal: wal.clone(),
            ids: ids.clone(),
            feed: feed.clone(),
            bell,
            rehearse: options.rehearse,
            node,
            tx: Some(tx),
            broken: None,
        };
        let log = wal.clone();
        let mut threads = Threads {
            writers: vec![spawn("store-write", keeping(&lock, move || writer.serve()))?],
            background: Some(spawn("store-log", keeping(&lock, move || wal::write_back(&log, &heard)))?),
            ..Threads::default()
        };
        let readers: Arc<Queue<ReadJob>> = Arc::new(Queue::new());
        start_readers(&mut threads, &wal, &readers, &tuning, &lock)?;
        let ids = Ids::Own(ids);
        Self::assemble(
            options,
            Parts {
                lock,
                lanes,
                readers,
                ids,
                node,
                feed,
                source: Source::Sqlite(wal),
                cluster: None,
                known,
                threads,
                packs,
                next_pack,
                tuning,
            },
        )
    }

    /// Opens a PostgreSQL database, which other nodes may have open too.
    fn open_postgres(
        options: Options,
        lock: Arc<Lock>,
        place: &Place,
        schemas: &[&Schema],
        tuning: Tuning,
    ) -> Result<Self> {
        let mut schemas = with_own(schemas);
        schemas.push(&postgres::CLUSTER);
        let session = Session::connect(place, Purpose::Write)?;
        postgres::migrate(&session, &schemas)?;
        postgres::prepare(&session, &schemas)?;
        drop(session);
        let session = Session::connect(place, Purpose::Write)?;
        let next = session.query(&schema::SHARE_BLOCK, params![tuning.block])?;
        let next =
            next.first().map(|row| crate::Row::postgres(row, &schema::SHARE_BLOCK).int(0)).transpose()?;
        let next = next.ok_or(Error::Corrupt { what: "id_block", id: 1 })?;
        let ids = Arc::new(Blocks::new(next - tuning.block, tuning.block));
        let feed = Feed::default();
        let alone = !matches!(options.bodies, Bodies::S3 { .. });
        #[cfg(test)]
        let alone = alone && !tuning.shared_packs;
        let node = ids.take(|| {});
        let mut tx = Tx::over(session, node);
        let (cluster, listener) = Cluster::new(node, place.clone(), feed.clone(), ids.clone(), alone);
        let (runtime, started) = listener.start()?;
        // Only now is it certain that nobody else writes packs.
        let packs = packs(&options);
        let next_pack = pack::recover(&mut tx, &packs, options.clock.now())?;

        let known = Known::of(&schemas);
        let lanes = Arc::new(Lanes::new(tuning.writers));
        let mut threads = Threads {
            background: Some(spawn("store-feed", keeping(&lock, move || started.serve(&runtime)))?),
            ..Threads::default()
        };
        let mut first = Some(tx);
        for number in 0..tuning.writers {
            let worker = Worker {
                number,
                lanes: lanes.clone(),
                place: place.clone(),
                cluster: cluster.clone(),
                feed: feed.clone(),
                tuning: tuning.clone(),
                rehearse: options.rehearse,
                tx: first.take(),
                broken: None,
            };
            threads.writers.push(spawn("store-write", keeping(&lock, move || worker.serve()))?);
        }
        let readers: Arc<Queue<ReadJob>> = Arc::new(Queue::new());
        start_postgres_readers(&mut threads, place, &readers, &tuning, &lock)?;
        let (ids, cluster) = (Ids::Shared(ids), Some(cluster));
        Self::assemble(
            options,
            Parts {
                lock,
                lanes,
                readers,
                ids,
                node,
                feed,
                source: Source::Postgres(Box::new(place.clone())),
                cluster,
                known,
                threads,
                packs,
                next_pack,
                tuning,
            },
        )
    }

    /// What both engines have: the packs, and who reads them.
    fn assemble(options: Options, parts: Parts) -> Result<Self> {
        let Parts {
            lock,
            lanes,
            readers,
            ids,
            node,
            feed,
            source,
            cluster,
            known,
            mut threads,
            packs,
            next_pack,
            tuning,
        } = parts;
        let bucket = match &options.bodies {
            Bodies::Packs | Bodies::PacksIn { .. } => None,
            Bodies::S3 { url } => {
                let bucket = Arc::new(Bucket::new(url, options.random.clone(), tuning.patience_bucket)?);
                claim(&bucket, &lanes, &options.random)?;
                Some(bucket)
            }
        };
        let ground = blob::threads::Ground { lock: &lock, folder: packs, tuning: &tuning, bucket };
        let (blobs, started) = blob::threads::start(&ground, &lanes, &options.clock, next_pack)?;
        threads.blobs = started;
        let Options { data, clock, random, .. } = options;
        let threads = Mutex::new(threads);
        let inner = Inner {
            data,
            clock,
            random,
            source,
            lanes: Some(lanes),
            readers,
            ids,
            node,
            feed,
            cluster,
            blobs,
            known,
            threads,
            meters: tuning.meters,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Opens a data folder to look at it, beside a server too: nothing is written, migrated or repaired.
    pub fn open_read_only(options: Options, schemas: &[&Schema]) -> Result<Self> {
        let tuning = Tuning::default();
        let lock = Arc::new(Lock::none(&options.data)?);
        let mut schemas = with_own(schemas);
        let readers: Arc<Queue<ReadJob>> = Arc::new(Queue::new());
        let mut threads = Threads::default();
        let source = match &options.engine {
            Engine::Sqlite | Engine::File { .. } => {
                let file = match &options.engine {
                    Engine::File { path } => path.clone(),
                    _ => options.data.join(FILE),
                };
                let database = database(file, &schemas, tuning.clone());
                if !connection::exists(&database.path) {
                    return Err(Error::Missing { data: options.data });
                }
                let wal = Arc::new(Wal::new(database, tuning.readers));
                let conn = wal.database.reader()?;
                schema::check(&conn, &schemas)?;
                schema::prepare(&conn, &schemas)?;
                drop(conn);
                start_readers(&mut threads, &wal, &readers, &tuning, &lock)?;
                Source::Sqlite(wal)
            }
            Engine::Postgres { url } => {
                let place = Place::parse(url)?;
                schemas.push(&postgres::CLUSTER);
                on_own_thread(|| {
                    let session = Session::connect(&place, Purpose::Read(tuning.statement))?;
                    if postgres::check(&session, &schemas)?.iter().all(|format| *format == 0) {
                        return Err(Error::Missing { data: options.data.clone() });
                    }
                    postgres::prepare(&session, &schemas)
                })?;
                start_postgres_readers(&mut threads, &place, &readers, &tuning, &lock)?;
                Source::Postgres(Box::new(place))
            }
        };
        let bucket = match &options.bodies {
            Bodies::Packs | Bodies::PacksIn { .. } => None,
            Bodies::S3 { url } => {
                Some(Arc::new(Bucket::new(url, options.random.clone(), tuning.patience_bucket)?))
            }
        };
        let ground = blob::threads::Ground { lock: &lock, folder: packs(&options), tuning: &tuning, bucket };
        let (blobs, started) = blob::threads::look(&ground)?;
        threads.blobs = started;
        let known = Known::of(&schemas);
        let Options { data, clock, random, .. } = options;
        let inner = Inner {
            data,
            clock,
            random,
            source,
            lanes: None,
            readers,
            ids: Ids::Own(Arc::new(OwnIds::new(i64::MAX / 2, tuning.block))),
            node: 0,
            feed: Feed::default(),
            cluster: None,
            blobs,
            known,
            threads: Mutex::new(threads),
            meters: tuning.meters,
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
        lanes.push(job, scope);
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
        T::from_raw(match &self.inner.ids {
            Ids::Own(ids) => ids.take(|| {
                if let Some(lanes) = &self.inner.lanes {
                    lanes.poke();
                }
            }),
            Ids::Shared(ids) => ids.take(|| {
                if let Some(cluster) = &self.inner.cluster {
                    cluster.poke(Poke::Ids);
                }
            }),
        })
    }

    /// How often something was made safe, and how long it took.
    pub fn meters(&self) -> &Meters {
        &self.inner.meters
    }

    /// Settings of a PostgreSQL server under which it may lose what it acknowledged; `None` on SQLite.
    ///
    /// # Errors
    /// What keeps it from asking.
    pub async fn database_risks(&self) -> Result<Option<Vec<String>>> {
        self.read(|tx| match tx.link() {
            Link::Sqlite(_) => Ok(None),
            Link::Postgres(_) => tx.rows(&postgres::schema::RISKS, &[], |row| row.text(0)).map(Some),
        })
        .await
    }

    /// This process among all that ever worked on this data: what it claims carries this number.
    pub fn node(&self) -> i64 {
        self.inner.node
    }

    /// Who wants to hear of changes.
    pub fn feed(&self) -> &Feed {
        &self.inner.feed
    }

    /// The sealed bodies.
    pub fn blobs(&self) -> &Blobs {
        &self.inner.blobs
    }

    /// Which crates' tables this process knows.
    pub(crate) fn known(&self) -> Arc<Known> {
        self.inner.known.clone()
    }

    /// What is kept back of the disk for when it is full.
    pub fn reserve(&self) -> &Reserve {
        &self.inner.blobs.reserve
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

    /// What ties this node to others; `None` on SQLite, which has none.
    pub(crate) fn cluster(&self) -> Option<&Cluster> {
        self.inner.cluster.as_deref()
    }

    /// Where rows lie.
    pub(crate) fn source(&self) -> &Source {
        &self.inner.source
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
            blobs: self.blobs.clone(),
            readers: self.readers.clone(),
            lanes: self.lanes.clone(),
            cluster: self.cluster.clone(),
        };
        if let Ids::Shared(ids) = &self.ids {
            ids.close();
        }
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
    blobs: Blobs,
    readers: Arc<Queue<ReadJob>>,
    lanes: Option<Arc<Lanes>>,
    cluster: Option<Arc<Cluster>>,
}

impl Closing {
    /// The packer still writes rows, so the writer goes after it; the checkpointer follows the writer.
    fn run(self) {
        self.blobs.close_packers();
        join(self.threads.blobs.packers);
        self.readers.close();
        self.blobs.close_openers();
        join(self.threads.readers.into_iter().chain(self.threads.blobs.openers));
        if let Some(lanes) = &self.lanes {
            lanes.close();
        }
        join(self.threads.writers);
        if let Some(cluster) = &self.cluster {
            cluster.poke(Poke::Close);
        }
        join(self.threads.background);
    }
}

impl Threads {
    fn is_one_of_them(&self) -> bool {
        let own = self.readers.iter().chain(&self.blobs.openers);
        let all = own.chain(&self.blobs.packers).chain(&self.writers).chain(&self.background);
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

pub(crate) fn spawn(name: &str, f: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.into()).spawn(f).map_err(|e| Error::Io(format!("no thread: {e}")))
}

/// The folder stays locked until the last thread is done with it.
pub(crate) fn keeping(lock: &Arc<Lock>, f: impl FnOnce() + Send + 'static) -> impl FnOnce() + Send + 'static {
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
    tuning: &Tuning,
    lock: &Arc<Lock>,
) -> Result<()> {
    for number in 0..tuning.readers {
        let (wal, queue) = (wal.clone(), readers.clone());
        let serve = move || readers::serve(&wal, number, &queue);
        threads.readers.push(spawn("store-read", keeping(lock, serve))?);
    }
    Ok(())
}

fn start_postgres_readers(
    threads: &mut Threads,
    place: &Place,
    readers: &Arc<Queue<ReadJob>>,
    tuning: &Tuning,
    lock: &Arc<Lock>,
) -> Result<()> {
    for _ in 0..tuning.readers {
        let (place, tuning, queue) = (place.clone(), tuning.clone(), readers.clone());
        let serve = move || postgres::serve_reads(&place, &tuning, &queue);
        threads.readers.push(spawn("store-read", keeping(lock, serve))?);
    }
    Ok(())
}

/// Makes sure that the bucket is this instance's and nobody else's, if it answers now.
fn claim(bucket: &Bucket, lanes: &Lanes, random: &Random) -> Result<()> {
    let fresh = blob::bucket::hex(&random.bytes());
    let own = move |tx: &mut Tx| {
        tx.execute(&blob::schema::INSERT_BUCKET, params![fresh])?;
        tx.row(&blob::schema::BUCKET, &[], |r| r.text(0))
    };
    let (job, answer) = job::write(own);
    lanes.push(job, &Scope::unlocked());
    let own: Option<String> = answer.block()?;
    match job::block_on(bucket.verify(own.unwrap_or_default())) {
        Err(error @ Error::Bucket { lasting: false, .. }) => {
            tracing::error!(%error, "large messages wait at their senders until the bucket answers");
            Ok(())
        }
        done => done,
    }
}

/// Runs `f` on a thread of its own and waits for it.
fn on_own_thread<T: Send>(f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| scope.spawn(f).join().unwrap_or(Err(Error::Panicked)))
}

pub(crate) fn with_own<'s>(schemas: &[&'s Schema]) -> Vec<&'s Schema> {
    let own = crate::SCHEMAS.iter().copied();
    own.chain(schemas.iter().copied().filter(|s| crate::SCHEMAS.iter().all(|own| own.name != s.name)))
        .collect()
}

/// The database in the data folder.
pub(crate) const FILE: &str = "store.db";

pub(crate) fn database(path: PathBuf, schemas: &[&Schema], tuning: Tuning) -> Database {
    let statements = schemas.iter().map(|s| s.statements.len()).sum::<usize>() + 16;
    Database { path, tuning, statements }
}

fn packs(options: &Options) -> PathBuf {
    match &options.bodies {
        Bodies::PacksIn { path } => path.clone(),
        Bodies::Packs | Bodies::S3 { .. } => options.data.join("packs"),
    }
}

/// Leases the first block of this process.
fn lease(conn: &rusqlite::Connection, block: i64) -> Result<OwnIds> {
    let lease = || -> rusqlite::Result<i64> {
        conn.execute_batch("BEGIN IMMEDIATE")?;
        let first: i64 = conn.query_row(schema::NEXT_BLOCK.text(), [], |row| row.get(0))?;
        conn.execute(schema::LEASE_BLOCK.text(), [first.saturating_add(block)])?;
        conn.execute_batch("COMMIT")?;
        Ok(first)
    };
    lease().map(|first| OwnIds::new(first, block)).map_err(|e| Error::sqlite(e, "lease"))
}
