//! Several nodes on one PostgreSQL.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Instant;

use sealpost_model::{AccountId, EntryId, Id, Secret};
use sealpost_testkit::Database;

use super::on_postgres::*;
use crate::Topic;

/// Another node's bench: a data folder of its own on the first one's database.
struct Node {
    bench: Bench,
    url: Secret<String>,
}

impl Node {
    fn beside(first: &Bench) -> Self {
        let url = Secret::new(first.database.as_ref().map(Database::url).unwrap().unwrap());
        Self { bench: Bench { database: None, ..Bench::new() }, url }
    }

    fn open(&self) -> Result<Store, Error> {
        let engine = Engine::Postgres { url: self.url.clone() };
        let options = Options { engine, ..self.bench.options() };
        Store::open_tuned(options, &[&NOTES], self.bench.tuning.clone())
    }
}

/// Two nodes whose bodies would lie in folders can't be; for what follows none has any.
fn two() -> (Bench, Store, Node, Store) {
    let first = Bench::tuned(|t| t.shared_packs = true);
    let store = first.open();
    let mut second = Node::beside(&first);
    second.bench.tuning.shared_packs = true;
    let other = second.open().unwrap();
    (first, store, second, other)
}

fn account(n: i64) -> Topic {
    Topic::Account(AccountId::from_raw(n))
}

#[tokio::test]
async fn a_commit_on_one_node_is_heard_on_the_other_at_once() {
    let (_first, store, _second, other) = two();
    let mut watch = other.feed().watch(account(1));
    let mut elsewhere = other.feed().watch(account(2));
    let mut slowest = Duration::ZERO;
    for n in 1..=20 {
        let write = move |tx: &mut Tx| {
            insert(tx, n, b"x")?;
            tx.after_commit(account(1));
            Ok::<_, Error>(())
        };
        store.write(Scope::account(AccountId::from_raw(1)), write).await.unwrap();
        let begun = Instant::now();
        watch.changed().await;
        slowest = slowest.max(begun.elapsed());
        assert_eq!(other.read(count_in).await.unwrap(), n);
    }
    assert!(slowest < Duration::from_millis(100), "{slowest:?}");
    assert!(!elsewhere.is_due());
    assert!(tokio::time::timeout(Duration::from_millis(1), elsewhere.changed()).await.is_err());
}

#[tokio::test]
async fn what_commits_out_of_order_is_heard_all_the_same() {
    let (first, store, _second, other) = two();
    let mut watch = other.feed().watch(account(1));
    // A transaction of our own that began before and ends after.
    let url = Secret::new(first.database.as_ref().unwrap().url().unwrap());
    let early = std::thread::spawn(move || {
        let place = crate::postgres::Place::parse(&url).unwrap();
        let session = crate::postgres::Session::connect(&place, crate::postgres::Purpose::Write).unwrap();
        session.batch("BEGIN; SELECT pg_current_xact_id()", "early").unwrap();
        session
    });
    let early = early.join().unwrap();
    let write = |tx: &mut Tx| {
        tx.after_commit(account(1));
        Ok::<_, Error>(())
    };
    store.write(Scope::unlocked(), write).await.unwrap();
    watch.changed().await;
    let mut late = other.feed().watch(account(2));
    let topic = "decode('610000000000000002', 'hex')";
    let words = format!(
        "INSERT INTO feed (change, node, made, topics)
         VALUES (CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT), 7,
                 CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT), {topic}); COMMIT"
    );
    std::thread::spawn(move || early.batch(&words, "late").unwrap()).join().unwrap();
    // Nobody notified: the poll finds it.
    tokio::time::timeout(Duration::from_secs(3), late.changed()).await.expect("heard");
    assert!(!watch.is_due(), "told twice");
}

#[test]
fn nodes_never_give_the_same_id() {
    let first = Bench::tuned(|t| (t.shared_packs, t.block) = (true, 16));
    let store = first.open();
    let mut second = Node::beside(&first);
    (second.bench.tuning.shared_packs, second.bench.tuning.block) = (true, 16);
    let other = second.open().unwrap();
    let mut seen = HashSet::new();
    for _ in 0..200 {
        for node in [&store, &other] {
            assert!(seen.insert(node.id::<EntryId>()));
        }
    }
}

#[test]
fn a_lease_has_one_holder_and_is_taken_over_when_it_ends() {
    let (_first, store, _second, other) = two();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let take = |node: &Store, ttl| runtime.block_on(node.lease("clock", Duration::from_millis(ttl))).unwrap();
    let paused = take(&store, 300).expect("free");
    assert!(take(&other, 300).is_none());
    runtime.block_on(paused.renew()).unwrap();
    let mut taken = None;
    until(|| {
        taken = take(&other, 60_000);
        taken.is_some()
    });
    let taken = taken.unwrap();
    assert!(taken.epoch() > paused.epoch());
    // Who was paused comes too late with everything.
    assert!(matches!(runtime.block_on(paused.renew()), Err(Error::Fenced)));
    let complete = |node: &Store, lease: &crate::Lease, id| {
        let lease = lease.clone();
        node.write_blocking(Scope::unlocked(), move |tx| {
            insert(tx, id, b"done")?;
            tx.fence(&lease)
        })
    };
    assert!(matches!(complete(&store, &paused, 1), Err(Error::Fenced)));
    complete(&other, &taken, 2).unwrap();
    assert_eq!(ids(&store), [2]);
    // Let go, it is free at once.
    runtime.block_on(taken.release()).unwrap();
    assert!(take(&store, 300).is_some());
}

#[tokio::test]
async fn a_single_task_moves_when_its_node_goes() {
    let (_first, store, _second, other) = two();
    let (began, mut begun) = tokio::sync::mpsc::unbounded_channel();
    let task = |node: &'static str, store: Store| {
        let began = began.clone();
        async move {
            let stop = std::future::pending();
            let work = |_| {
                let _ = began.send(node);
                std::future::pending()
            };
            store.single("task", stop, work).await;
        }
    };
    let one = tokio::spawn(task("one", store.clone()));
    assert_eq!(begun.recv().await, Some("one"));
    let two = tokio::spawn(task("two", other.clone()));
    one.abort();
    let lease = |tx: &mut Tx| tx.apply(&crate::postgres::schema::END_LEASE, params!["task", 1]);
    // As if the first node's time had passed since.
    store.write(Scope::unlocked(), lease).await.unwrap();
    assert_eq!(begun.recv().await, Some("two"));
    two.abort();
}

#[test]
fn closures_of_one_account_run_one_after_the_other_on_all_nodes() {
    let (_first, store, _second, other) = two();
    let account = AccountId::from_raw(77);
    let (mut count_up, mut expected) = (Vec::new(), Vec::new());
    // Each reads and writes what it read: an update would be lost, or a row conflict.
    let add = |tx: &mut Tx| {
        let next = count_in(tx)? + 1;
        insert(tx, next, b"x")
    };
    for n in 0..100 {
        let node = if n % 2 == 0 { &store } else { &other };
        count_up.push(node.push(&Scope::account(account), add).unwrap());
        expected.push(n + 1);
    }
    count_up.into_iter().for_each(|answer| answer.block().unwrap());
    assert_eq!(ids(&store), expected);
}

#[test]
fn what_met_another_connections_row_runs_again_and_sees_it() {
    let (_first, store, _second, other) = two();
    // Two closures look for a row and make it when it is not there.
    let make = |id: i64| {
        move |tx: &mut Tx| {
            let found = tx.row(&FIND, params![7], |row| row.int(0))?;
            match found {
                Some(id) => Ok::<_, Error>(id),
                None => {
                    tx.execute(&INSERT, params![id, 7, b"x"])?;
                    Ok(id)
                }
            }
        }
    };
    for round in 0..20 {
        let clear = |tx: &mut Tx| tx.apply(&CLEAR, &[]);
        store.write_blocking(Scope::unlocked(), clear).unwrap();
        let one = store.push(&Scope::unlocked(), make(2 * round + 1)).unwrap();
        let two = other.push(&Scope::unlocked(), make(2 * round + 2)).unwrap();
        assert_eq!(one.block().unwrap(), two.block().unwrap());
    }
}

static CLEAR: crate::Sql = crate::Sql::new("CLEAR", "DELETE FROM note");

#[test]
fn a_lost_connection_is_made_again_and_loses_nothing() {
    let bench = Bench::new();
    let store = bench.open();
    let database = bench.database.as_ref().unwrap();
    for n in 0..10 {
        store.write_blocking(Scope::instance(), move |tx| insert(tx, n, b"x")).unwrap();
        database.disconnect_all().unwrap();
        assert_eq!(count(&store), n + 1);
    }
    // In the middle of a closure too: nothing of it had been sent to be committed.
    let url = Secret::new(database.url().unwrap());
    let cut = move |tx: &mut Tx| {
        insert(tx, 100, b"x")?;
        if !CUT.swap(true, Ordering::SeqCst) {
            cut_off(&url);
        }
        insert(tx, 101, b"x")
    };
    static CUT: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
    store.write_blocking(Scope::instance(), cut).unwrap();
    assert_eq!(count(&store), 12);
}

/// Ends every other connection to the database.
fn cut_off(url: &Secret<String>) {
    let place = crate::postgres::Place::parse(url).unwrap();
    let session = crate::postgres::Session::connect(&place, crate::postgres::Purpose::Write).unwrap();
    let words = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid()";
    session.batch(words, "cut").unwrap();
}

#[test]
fn a_node_with_packs_is_alone() {
    let first = Bench::new();
    let store = first.open();
    let second = Node::beside(&first);
    let error = second.open().map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("another node works on it"), "{error}");
    drop(store);
    second.open().unwrap();
}

#[test]
fn a_slow_read_is_stopped_and_told_so() {
    let bench = Bench::tuned(|t| t.statement = Duration::from_millis(50));
    let store = bench.open();
    let slow = store.read_blocking(|tx| tx.row(&SLOW, params![1_000_000_000_i64], |r| r.int(0)));
    assert!(matches!(slow, Err(Error::Slow)), "{slow:?}");
    assert_eq!(count(&store), 0);
}

#[test]
fn no_password_is_shown() {
    let url = Secret::new("postgres://sealpost:hunter2@127.0.0.1:1/mail".to_owned());
    let bench = Bench::new();
    let options = Options { engine: Engine::Postgres { url }, ..bench.options() };
    assert!(!format!("{:?}", options.engine).contains("hunter2"));
    let error = Store::open(options, &[]).map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Database { .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}
