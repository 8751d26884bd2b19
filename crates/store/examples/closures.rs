//! How many closures a second the writer takes: `cargo run -p sealpost-store --release --example closures [seconds]`.
//!
//! 64 tasks each write 7 small rows in a closure, wait for the answer, and do it again. Printed beside it: what one
//! sync of this disk takes, and the CPU that a closure took.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sealpost_crypto::Random;
use sealpost_model::{EntryId, Id, SystemClock, TenantId};
use sealpost_store::{Error, Options, Schema, Scope, Store, params, sql};

const SCHEMA: Schema = Schema {
    name: "example",
    steps: &["
        CREATE TABLE entry (id {int} PRIMARY KEY, owner {int} NOT NULL, body {bytes} NOT NULL) {strict};
        CREATE INDEX entry_owner ON entry (owner, id);
        CREATE TABLE mark (id {int} PRIMARY KEY, owner {int} NOT NULL, body {bytes} NOT NULL) {strict}"],
    statements: STATEMENTS,
    blobs: &[],
};

sql! {
    ENTRY = "INSERT INTO entry (id, owner, body) VALUES (?1, ?2, ?3)";
    MARK = "INSERT INTO mark (id, owner, body) VALUES (?1, ?2, ?3)";
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seconds = std::env::args().nth(1).map_or(Ok(5), |n| n.parse())?;
    let data = std::env::temp_dir().join(format!("sealpost-closures-{}", std::process::id()));
    let options = Options::embedded(data.clone(), Arc::new(SystemClock), Random::system());
    let store = Store::open(options, &[&SCHEMA])?;
    println!("sync of this disk: {:.2} ms", sync_time(&data)? * 1000.0);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    let stop = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicU64::new(0));
    let (cpu, began) = (cpu_time(), Instant::now());
    let tasks: Vec<_> =
        (0..64).map(|owner| runtime.spawn(write(store.clone(), owner, stop.clone(), done.clone()))).collect();
    while began.elapsed() < Duration::from_secs(seconds) {
        std::thread::park_timeout(Duration::from_millis(100));
    }
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        runtime.block_on(task)??;
    }
    let (done, took, cpu) = (done.load(Ordering::Relaxed), began.elapsed().as_secs_f64(), cpu_time() - cpu);
    println!("closures of 7 rows: {:.0} a second", done as f64 / took);
    println!("CPU a closure: {:.1} us ({:.0} % of one core)", cpu / done as f64 * 1e6, cpu / took * 100.0);
    drop(store);
    std::fs::remove_dir_all(&data)?;
    Ok(())
}

async fn write(store: Store, owner: i64, stop: Arc<AtomicBool>, done: Arc<AtomicU64>) -> Result<(), Error> {
    while !stop.load(Ordering::Relaxed) {
        let ids: [EntryId; 7] = std::array::from_fn(|_| store.id());
        store
            .write(Scope::tenant(TenantId::from_raw(1)), move |tx| {
                for (n, id) in ids.iter().enumerate() {
                    let sql = if n % 2 == 0 { &ENTRY } else { &MARK };
                    tx.execute(sql, params![*id, owner, [7_u8; 120]])?;
                }
                Ok::<_, Error>(())
            })
            .await?;
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Seconds that an appended block takes to be safe, the mean of 100.
fn sync_time(data: &Path) -> std::io::Result<f64> {
    let file = std::fs::File::create(data.join("sync"))?;
    let began = Instant::now();
    for n in 0..100 {
        file.write_all_at(&[1; 4096], n * 4096)?;
        file.sync_data()?;
    }
    Ok(began.elapsed().as_secs_f64() / 100.0)
}

/// Seconds of CPU that this process used.
fn cpu_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}
