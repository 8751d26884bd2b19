//! Who watches hears of commits, and only of commits.

use sealpost_model::{AccountId, Id};

use super::*;
use crate::Topic;

fn account(n: i64) -> Topic {
    Topic::Account(AccountId::from_raw(n))
}

#[tokio::test]
async fn what_is_heard_of_is_there() {
    let bench = Bench::new();
    let store = bench.open();
    let mut watch = store.feed().watch(account(1));
    let mut other = store.feed().watch(account(2));
    for n in 1..=20 {
        let writer = store.clone();
        let done = tokio::spawn(async move {
            let write = move |tx: &mut Tx| {
                insert(tx, n, b"x")?;
                tx.after_commit(account(1));
                Ok::<_, Error>(())
            };
            writer.write(Scope::account(AccountId::from_raw(1)), write).await
        });
        watch.changed().await;
        assert_eq!(store.read(count_in).await.unwrap(), n);
        done.await.unwrap().unwrap();
    }
    assert!(!other.is_due());
    let heard = tokio::time::timeout(Duration::from_millis(1), other.changed()).await;
    assert!(heard.is_err());
}

#[tokio::test]
async fn many_changes_are_one_call_and_none_is_lost() {
    let bench = Bench::new();
    let store = bench.open();
    let mut watch = store.feed().watch(account(1));
    for n in 1..=5 {
        let write = move |tx: &mut Tx| {
            tx.after_commit(account(1));
            insert(tx, n, b"x")
        };
        store.write(Scope::instance(), write).await.unwrap();
    }
    // The answer comes a moment before the call.
    watch.changed().await;
    assert_eq!(store.read(count_in).await.unwrap(), 5);
}

#[tokio::test]
async fn what_did_not_commit_is_not_heard_of() {
    let bench = Bench::new();
    let store = bench.open();
    let watch = store.feed().watch(account(1));
    let refused = store
        .write(Scope::instance(), |tx| {
            tx.after_commit(account(1));
            Err::<(), _>(Error::Bug("no".into()))
        })
        .await;
    assert!(refused.is_err());
    bench.tuning.faults.commits.store(1, std::sync::atomic::Ordering::SeqCst);
    let failed = store
        .write(Scope::instance(), |tx| {
            tx.after_commit(account(1));
            insert(tx, 1, b"x")
        })
        .await;
    assert!(failed.is_err());
    store.write(Scope::instance(), |tx| insert(tx, 2, b"x")).await.unwrap();
    assert!(!watch.is_due());
}

#[tokio::test]
async fn a_watch_leaves_nothing_behind() {
    let bench = Bench::new();
    let store = bench.open();
    let first = store.feed().watch(account(1));
    let mut second = store.feed().watch(account(1));
    drop(first);
    store
        .write(Scope::instance(), |tx| {
            tx.after_commit(account(1));
            Ok::<_, Error>(())
        })
        .await
        .unwrap();
    second.changed().await;
    drop(second);
    assert_eq!(store.feed().len(), 0);
}
