//! What any engine of the store must do. This file is a module twice: see `suite`.

mod blobs;
mod feed;
mod group;
mod lease;
mod rows;
mod upkeep;

use std::path::Path;
pub(crate) use std::sync::Arc;
pub(crate) use std::time::Duration;

use sealpost_crypto::Random;
use sealpost_model::{ManualClock, Secret, Time};
use sealpost_testkit::Database;
use tempfile::TempDir;

pub(crate) use crate::tuning::Tuning;
pub(crate) use crate::{Engine, Error, Options, ReadTx, Result, Schema, Scope, Store, Tx, params, sql};

pub(crate) const NOTES: Schema = Schema {
    name: "notes",
    steps: &[
        "CREATE TABLE note (id {int} PRIMARY KEY, owner {int} NOT NULL, body {bytes} NOT NULL) {strict};
        CREATE UNIQUE INDEX note_owner ON note (owner)",
    ],
    statements: &[],
    blobs: &[],
};

/// Rows that name bodies.
pub(crate) const NAMES: Schema = Schema {
    name: "names",
    steps: &["CREATE TABLE named (id {int} PRIMARY KEY, blob {int} NOT NULL) {strict};
        CREATE INDEX named_blob ON named (blob)"],
    statements: STATEMENTS,
    blobs: &[&NAMED],
};

sql! {
    pub(crate) NAME = "INSERT INTO named (id, blob) VALUES (?1, ?2)";
    pub(crate) UNNAME = "DELETE FROM named WHERE blob = ?1";
    pub(crate) NAMED = "SELECT 1 FROM named WHERE blob = ?1 LIMIT 1";
    pub(crate) INSERT = "INSERT INTO note (id, owner, body) VALUES (?1, ?2, ?3)";
    pub(crate) COUNT = "SELECT count(*) FROM note";
    pub(crate) IDS = "SELECT id FROM note ORDER BY id";
    pub(crate) FIND = "SELECT id FROM note WHERE owner = ?1";
    pub(crate) SLOW = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) SELECT max(i) FROM n";
}

/// A store in a folder of its own.
pub(crate) struct Bench {
    pub(crate) folder: TempDir,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) tuning: Tuning,
    pub(crate) rehearse: bool,
    /// `None` on SQLite.
    pub(crate) database: Option<Database>,
}

/// Whether this is the module for PostgreSQL.
fn on_postgres() -> bool {
    module_path!().contains("postgres")
}

impl Bench {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Time::from_seconds(1_795_300_000)));
        let database = on_postgres().then(|| Database::create().unwrap());
        Self {
            folder: tempfile::tempdir().unwrap(),
            clock,
            tuning: Tuning::default(),
            rehearse: true,
            database,
        }
    }

    pub(crate) fn tuned(set: impl FnOnce(&mut Tuning)) -> Self {
        let mut bench = Self::new();
        set(&mut bench.tuning);
        bench
    }

    pub(crate) fn data(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn options(&self) -> Options {
        let data = self.folder.path().join("data");
        let engine = self.database.as_ref().map_or(Engine::Sqlite, |database| Engine::Postgres {
            url: Secret::new(database.url().unwrap()),
        });
        let own = Options::embedded(data, self.clock.clone(), Random::system());
        Options { rehearse: self.rehearse, engine, ..own }
    }

    /// Changes rows behind the store's back.
    pub(crate) fn change(&self, words: &str) {
        match &self.database {
            Some(database) => database.connect().unwrap().batch_execute(words).unwrap(),
            None => {
                let path = self.folder.path().join("data/store.db");
                rusqlite::Connection::open(path).unwrap().execute_batch(words).unwrap();
            }
        }
    }

    pub(crate) fn try_open(&self) -> Result<Store> {
        Store::open_tuned(self.options(), &[&NOTES, &NAMES], self.tuning.clone())
    }

    pub(crate) fn open(&self) -> Store {
        self.try_open().unwrap()
    }
}

pub(crate) fn insert(tx: &mut Tx, id: i64, body: &[u8]) -> Result<()> {
    tx.execute(&INSERT, params![id, id, body]).map(|_| ())
}

pub(crate) fn count(store: &Store) -> i64 {
    store.read_blocking(count_in).unwrap()
}

pub(crate) fn count_in(tx: &ReadTx) -> Result<i64> {
    Ok(tx.row(&COUNT, &[], |row| row.int(0))?.unwrap_or(0))
}

pub(crate) fn ids(store: &Store) -> Vec<i64> {
    store.read_blocking(|tx| tx.rows(&IDS, &[], |row| row.int(0))).unwrap()
}

pub(crate) type Closure<T> = Box<dyn Fn(&mut Tx) -> Result<T> + Send>;

/// Starts writes that wait until the writer is free, so that they all come into one group: the writer is held by a
/// closure of the first thread until the others stand in line.
pub(crate) fn in_one_group<T: Send + 'static>(store: &Store, closures: Vec<Closure<T>>) -> Vec<Result<T>> {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (held, holding) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let held = std::sync::Mutex::new(held);
    let first = store.push(&Scope::instance(), move |_| {
        let _ = held.lock().unwrap().send(());
        // A second run (rehearsal) finds the sender gone.
        let _ = wait.lock().unwrap().recv();
        Ok::<_, Error>(())
    });
    let first = first.unwrap();
    holding.recv().unwrap();
    let answers: Vec<_> =
        closures.into_iter().map(|f| store.push(&Scope::instance(), move |tx| f(tx)).unwrap()).collect();
    drop(go);
    first.block().unwrap();
    answers.into_iter().map(|answer| answer.block()).collect()
}

/// Waits for what another thread does, at most ten seconds.
pub(crate) fn until(mut done: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if done() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    panic!("it did not come to pass");
}
