//! The write-ahead log stays short, whatever readers do.

use super::on_sqlite::*;

fn tuned() -> Bench {
    let mut bench = Bench::tuned(|t| {
        t.wal_soft = 50;
        t.wal_hard = 200;
        t.patience = Duration::from_millis(200);
    });
    bench.rehearse = false;
    bench
}

fn wal_length(bench: &Bench) -> u64 {
    bench.data().join("data/store.db-wal").metadata().unwrap().len()
}

#[test]
fn readers_that_come_and_go_do_not_let_it_grow() {
    let bench = tuned();
    let store = bench.open();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let reading: Vec<_> = (0..2)
        .map(|_| {
            let (store, stop) = (store.clone(), stop.clone());
            std::thread::spawn(move || {
                while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                    count(&store);
                }
            })
        })
        .collect();
    for n in 1..400 {
        store.write_blocking(Scope::instance(), move |tx| insert(tx, n, &[1; 10_000])).unwrap();
    }
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    reading.into_iter().for_each(|thread| thread.join().unwrap());
    // 400 notes of 4 pages and more: 10 times the bound, if it did not hold.
    assert!(wal_length(&bench) < 300 * 4096, "{}", wal_length(&bench));
}

#[test]
fn a_stalled_reader_is_stopped_and_told_so() {
    let bench = tuned();
    let store = bench.open();
    let slow = store.clone();
    let reading = std::thread::spawn(move || {
        slow.read_blocking(|tx| {
            count_in(tx)?;
            tx.row(&SLOW, params![i64::MAX], |row| row.int(0))
        })
    });
    for n in 1..200 {
        store.write_blocking(Scope::instance(), move |tx| insert(tx, n, &[1; 10_000])).unwrap();
    }
    assert!(matches!(reading.join().unwrap(), Err(Error::Slow)));
    assert!(wal_length(&bench) < 400 * 4096, "{}", wal_length(&bench));
    assert_eq!(count(&store), 199);
}

#[test]
fn a_reader_stuck_outside_sql_delays_a_few_writes_and_no_more() {
    let bench = tuned();
    let store = bench.open();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (held, holding) = std::sync::mpsc::channel::<()>();
    let (wait, stuck) = (std::sync::Mutex::new(wait), store.clone());
    let reading = std::thread::spawn(move || {
        stuck.read_blocking(move |tx| {
            count_in(tx)?;
            let _ = held.send(());
            let _ = wait.lock().unwrap().recv();
            count_in(tx)
        })
    });
    holding.recv().unwrap();
    let began = std::time::Instant::now();
    for n in 1..150 {
        store.write_blocking(Scope::instance(), move |tx| insert(tx, n, &[1; 10_000])).unwrap();
    }
    // It tries at 200 pages, at 400 and at 800, and waits 0.4 s each time; 149 waits would be a minute.
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    drop(go);
    // Its snapshot stood still.
    assert_eq!(reading.join().unwrap().unwrap(), 0);
    for n in 150..400 {
        store.write_blocking(Scope::instance(), move |tx| insert(tx, n, &[1; 10_000])).unwrap();
    }
    assert!(wal_length(&bench) < 2_000 * 4096, "{}", wal_length(&bench));
}
