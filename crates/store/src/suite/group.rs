//! Many closures in one commit, and what happens when one of them, or the disk, fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

fn noting(id: i64) -> Closure<()> {
    Box::new(move |tx| insert(tx, id, b"x"))
}

#[test]
fn what_was_answered_is_there_after_opening_again() {
    let bench = Bench::new();
    let store = bench.open();
    store.write_blocking(Scope::instance(), |tx| insert(tx, 1, b"x")).unwrap();
    assert_eq!(count(&store), 1);
    drop(store);
    assert_eq!(ids(&bench.open()), [1]);
}

#[test]
fn every_closure_runs_twice_when_rehearsed_and_counts_once() {
    let mut bench = Bench::new();
    let runs = Arc::new(AtomicU32::new(0));
    for (rehearse, expected) in [(true, 2), (false, 1)] {
        bench.rehearse = rehearse;
        let store = bench.open();
        runs.store(0, Ordering::SeqCst);
        let seen = runs.clone();
        let id = i64::from(expected);
        store
            .write_blocking(Scope::instance(), move |tx| {
                seen.fetch_add(1, Ordering::SeqCst);
                insert(tx, id, b"x")
            })
            .unwrap();
        assert_eq!(runs.load(Ordering::SeqCst), expected as u32);
    }
    assert_eq!(ids(&bench.open()), [1, 2]);
}

#[test]
fn a_refusal_undoes_itself_and_nothing_else() {
    let store = Bench::new();
    let store = store.open();
    let refusing: Closure<()> = Box::new(|tx| {
        insert(tx, 2, b"x")?;
        Err(Error::Bug("no".into()))
    });
    let answers = in_one_group(&store, vec![noting(1), refusing, noting(3)]);
    assert!(answers[0].is_ok() && answers[2].is_ok());
    assert!(matches!(&answers[1], Err(Error::Bug(why)) if why == "no"));
    assert_eq!(ids(&store), [1, 3]);
}

#[test]
fn a_panic_undoes_itself_and_the_store_goes_on() {
    let bench = Bench::new();
    let store = bench.open();
    let panicking: Closure<()> = Box::new(|tx| {
        insert(tx, 2, b"x")?;
        panic!("as it should")
    });
    let answers = in_one_group(&store, vec![noting(1), panicking, noting(3)]);
    assert!(matches!(answers[1], Err(Error::Panicked)));
    assert_eq!(ids(&store), [1, 3]);
    let read = store.read_blocking(|_| -> Result<()> { panic!("as it should") });
    assert!(matches!(read, Err(Error::Panicked)));
    assert_eq!(count(&store), 2);
}

#[test]
fn a_failed_statement_fails_its_closure_even_when_that_looks_away() {
    let bench = Bench::new();
    let store = bench.open();
    let careless: Closure<()> = Box::new(|tx| {
        insert(tx, 1, b"x")?;
        assert!(matches!(insert(tx, 1, b"x"), Err(Error::Conflict(_))));
        // As on PostgreSQL, nothing goes any more.
        assert!(matches!(insert(tx, 2, b"x"), Err(Error::Conflict(_))));
        Ok(())
    });
    let answers = in_one_group(&store, vec![careless, noting(3)]);
    assert!(matches!(answers[0], Err(Error::Conflict(_))));
    assert_eq!(ids(&store), [3]);
}

#[test]
fn a_closure_sees_its_neighbours_and_readers_only_commits() {
    let bench = Bench::new();
    let store = bench.open();
    let counting: Closure<i64> = Box::new(|tx| count_in(tx));
    let one: Closure<i64> = Box::new(|tx| insert(tx, 1, b"x").map(|()| 0));
    let reader = store.clone();
    let outside: Closure<i64> = Box::new(move |_| Ok(count(&reader)));
    let answers = in_one_group(&store, vec![one, counting, outside]);
    assert_eq!(*answers[1].as_ref().unwrap(), 1);
    assert_eq!(*answers[2].as_ref().unwrap(), 0);
}

#[test]
fn after_a_failed_commit_nobody_is_told_yes_and_the_store_opens_again() {
    let bench = Bench::new();
    let store = bench.open();
    store.write_blocking(Scope::instance(), |tx| insert(tx, 1, b"x")).unwrap();
    bench.tuning.faults.commits.store(1, Ordering::SeqCst);
    let failed = store.write_blocking(Scope::instance(), |tx| insert(tx, 2, b"x"));
    assert!(matches!(failed, Err(Error::Io(_))));
    store.write_blocking(Scope::instance(), |tx| insert(tx, 3, b"x")).unwrap();
    let found = ids(&store);
    assert!(found.contains(&1) && found.contains(&3), "{found:?}");
}

#[test]
fn bulk_waits_behind_delivery_but_not_for_ever() {
    let bench = Bench::tuned(|t| (t.group, t.shared_group, t.writers) = (1, 1, 1));
    let store = bench.open();
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let held = store.push(&Scope::instance(), move |_| {
        let _ = wait.lock().unwrap().recv();
        Ok::<_, Error>(())
    });
    let answers: Vec<_> = (0..41)
        .map(|n| {
            let scope = if n == 0 { Scope::bulk() } else { Scope::instance() };
            let order = order.clone();
            store.push(&scope, move |_| {
                order.lock().unwrap().push(n);
                Ok::<_, Error>(())
            })
        })
        .collect();
    drop(go);
    for answer in held.into_iter().map(|a| a.block()).chain(answers.into_iter().flatten().map(|a| a.block()))
    {
        answer.unwrap();
    }
    let mut order = order.lock().unwrap().clone();
    order.dedup();
    let place = order.iter().position(|n| *n == 0).unwrap();
    assert!((8..=32).contains(&place), "{order:?}");
}

#[test]
fn ids_are_never_used_twice_not_even_after_a_crash() {
    let bench = Bench::tuned(|t| t.block = 8);
    let mut seen = std::collections::HashSet::new();
    for _ in 0..5 {
        let store = bench.open();
        for _ in 0..50 {
            let id: sealpost_model::EntryId = store.id();
            assert!(seen.insert(id));
            if seen.len() % 3 == 0 {
                store
                    .write_blocking(Scope::instance(), move |tx| {
                        insert(tx, sealpost_model::Id::raw(id), b"x")
                    })
                    .unwrap();
            }
        }
        // As a crash does: nothing is handed back.
        drop(store);
    }
    assert_eq!(seen.len(), 250);
}

#[test]
fn a_group_leases_before_it_commits() {
    let bench = Bench::tuned(|t| t.block = 4);
    let store = bench.open();
    let taken: Vec<sealpost_model::EntryId> = (0..3).map(|_| store.id()).collect();
    let last = sealpost_model::Id::raw(taken[2]);
    store.write_blocking(Scope::instance(), move |tx| insert(tx, last, b"x")).unwrap();
    let leased = store.read_blocking(|tx| tx.row(&crate::schema::NEXT_BLOCK, &[], |row| row.int(0)));
    assert!(leased.unwrap().unwrap() >= last + 4);
}

#[tokio::test]
async fn a_dropped_caller_does_not_stop_the_closure() {
    let bench = Bench::new();
    let store = bench.open();
    drop(store.push(&Scope::instance(), |tx| insert(tx, 1, b"x")));
    store.write(Scope::instance(), |tx| insert(tx, 2, b"x")).await.unwrap();
    assert_eq!(count(&store), 2);
    // Blocking calls work inside a runtime too.
    store.write_blocking(Scope::instance(), |tx| insert(tx, 3, b"x")).unwrap();
    assert_eq!(store.read(count_in).await.unwrap(), 3);
}

#[test]
fn a_closed_store_says_so() {
    let bench = Bench::new();
    let store = bench.open();
    let kept = store.clone();
    store.close();
    assert!(matches!(kept.write_blocking(Scope::instance(), |tx| insert(tx, 1, b"x")), Err(Error::Closed)));
    assert!(matches!(kept.read_blocking(count_in), Err(Error::Closed)));
    // And the folder is free though `kept` still lives.
    bench.open();
}

#[test]
fn a_closure_may_hold_the_last_clone() {
    let bench = Bench::new();
    let store = bench.open();
    let own = std::sync::Mutex::new(Some(store.clone()));
    let answer = store.push(&Scope::instance(), move |_| {
        let _kept = own.lock().unwrap();
        Ok::<_, Error>(())
    });
    drop(store);
    answer.unwrap().block().unwrap();
    until(|| bench.try_open().is_ok());
}
