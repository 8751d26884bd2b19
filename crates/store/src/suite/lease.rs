//! Single tasks, and who holds a name.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

#[tokio::test]
async fn a_single_task_runs_until_it_ends_or_is_stopped() {
    let bench = Bench::new();
    let store = bench.open();
    let lease = store.lease("sequencer", Duration::from_secs(5)).await.unwrap().expect("free");
    lease.renew().await.unwrap();
    let held = lease.clone();
    store
        .write(Scope::instance(), move |tx| {
            tx.fence(&held)?;
            insert(tx, 1, b"x")
        })
        .await
        .unwrap();
    lease.release().await.unwrap();

    let runs = Arc::new(AtomicU32::new(0));
    let seen = runs.clone();
    let task = move |lease: crate::Lease| {
        let seen = seen.clone();
        async move {
            assert_eq!(lease.name(), "clock");
            seen.fetch_add(1, Ordering::SeqCst);
        }
    };
    store.single("clock", std::future::pending(), task).await;
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    store.single("clock", std::future::ready(()), |_| std::future::pending()).await;
}
