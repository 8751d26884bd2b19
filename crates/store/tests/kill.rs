//! A process that is killed in the middle of its work loses nothing that it had acknowledged.
//!
//! The test starts its own binary again as the victim, which writes rows and bodies and prints the id of each once it
//! was answered.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test, and its victim speaks through stdout")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sealpost_crypto::{Key, Random};
use sealpost_model::{BlobId, Id, SystemClock, TenantId};
use sealpost_store::{Error, Options, Schema, Scope, Store, blob, params, sql};

const VICTIM: &str = "SEALPOST_STORE_VICTIM";

const SCHEMA: Schema = Schema {
    name: "twin",
    steps: &[
        "CREATE TABLE one (id {int} PRIMARY KEY) {strict}; CREATE TABLE two (id {int} PRIMARY KEY) {strict}",
    ],
    statements: STATEMENTS,
    blobs: &[&NAMES],
};

sql! {
    NAMES = "SELECT 1 FROM one WHERE id = ?1";
    ONE = "INSERT INTO one (id) VALUES (?1)";
    TWO = "INSERT INTO two (id) VALUES (?1)";
    BOTH = "SELECT one.id FROM one JOIN two ON two.id = one.id JOIN blob ON blob.id = one.id ORDER BY one.id";
    ALL = "SELECT (SELECT count(*) FROM one), (SELECT count(*) FROM two), (SELECT count(*) FROM blob)";
}

fn open(data: PathBuf) -> Store {
    let options = Options::embedded(data, Arc::new(SystemClock), Random::system());
    Store::open(options, &[&SCHEMA]).unwrap()
}

fn tenant() -> TenantId {
    TenantId::from_raw(1)
}

fn key() -> Key {
    Key::from_bytes([5; 32])
}

/// What blob `id` holds: its number again and again, shorter or longer, in its row or in a pack.
fn body(id: BlobId) -> Vec<u8> {
    let words = 1 << (id.raw() % 15);
    let mut state = id.raw() as u64 | 1;
    let noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()
    };
    std::iter::repeat_with(noise).take(words).flatten().collect()
}

#[test]
fn victim() {
    let Ok(data) = std::env::var(VICTIM) else { return };
    let store = open(PathBuf::from(data));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let tasks: Vec<_> = (0..16).map(|_| runtime.spawn(write_for_ever(store.clone()))).collect();
    runtime.spawn(look_after(store.clone()));
    for task in tasks {
        runtime.block_on(task).unwrap().unwrap();
    }
}

async fn write_for_ever(store: Store) -> Result<(), Error> {
    loop {
        let id: BlobId = store.id();
        let durable = store.blobs().put_bytes(tenant(), id, &key(), &body(id)).await?;
        store
            .write(Scope::tenant(tenant()), move |tx| {
                blob::insert(tx, &durable)?;
                blob::keep_until(tx, id, 20_000 + (id.raw() % 400) as i32)?;
                tx.execute(&ONE, params![id])?;
                tx.execute(&TWO, params![id])
            })
            .await?;
        println!("acknowledged {id}");
    }
}

/// Everything that moves and ends bodies, without any grace, while others write and the kill comes.
async fn look_after(store: Store) -> Result<(), Error> {
    loop {
        blob::archive::run(&store).await?;
        blob::compact::run(&store, Duration::ZERO).await?;
        blob::collect::run(&store, Duration::ZERO).await?;
        blob::scrub::run(&store, Duration::from_secs(1)).await?;
    }
}

#[test]
fn what_was_acknowledged_survives_kills() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut acknowledged = Vec::new();
    for round in 1..=4 {
        acknowledged.extend(run_and_kill(&data, 100 * round));
        let store = open(data.clone());
        let found = store.read_blocking(|tx| tx.rows(&BOTH, &[], |row| row.id::<BlobId>(0))).unwrap();
        for id in &acknowledged {
            assert!(found.binary_search(id).is_ok(), "{id:?} is lost");
        }
        // All of a closure, or nothing.
        let counts = store.read_blocking(|tx| tx.row(&ALL, &[], |r| Ok([r.int(0)?, r.int(1)?, r.int(2)?])));
        let many = i64::try_from(found.len()).unwrap();
        assert_eq!(counts.unwrap().unwrap(), [many; 3]);
        for id in found {
            let row = store.read_blocking(move |tx| blob::locate(tx, id)).unwrap().unwrap();
            assert_eq!(store.blobs().reader(row, &key()).read_all().unwrap(), body(id));
        }
        assert!(store.id::<BlobId>() > acknowledged.iter().copied().max().unwrap());
    }
}

/// Lets a victim work until it acknowledged so many, kills it, and answers all that it acknowledged.
fn run_and_kill(data: &Path, many: usize) -> Vec<BlobId> {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--nocapture"])
        .env(VICTIM, data)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    for line in lines {
        // A line is one short write to a pipe, so a kill does not tear it.
        let Ok(line) = line else { break };
        let id = line.split_once("acknowledged ").and_then(|(_, id)| id.parse().ok());
        acknowledged.extend(id.map(BlobId::from_raw));
        if acknowledged.len() == many {
            victim.kill().unwrap();
        }
    }
    victim.wait().unwrap();
    assert!(acknowledged.len() >= many, "the victim ended by itself");
    acknowledged
}
