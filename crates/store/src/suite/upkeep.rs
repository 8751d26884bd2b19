//! Bodies are looked after: what is named stays and can be read at any moment, what is not goes after its grace.

use std::os::unix::fs::FileExt;
use std::time::Duration;

use sealpost_crypto::CHUNK;
use sealpost_model::{BlobId, Clock as _};

use super::blobs::{get, key, locate, noise, packs, tenant};
use super::*;
use crate::Sql;
use crate::blob::{self, Shelf};

const DAY: Duration = Duration::from_secs(86_400);
const MINUTE: Duration = Duration::from_secs(60);

/// Puts a body that a note names.
fn named(store: &Store, plain: &[u8]) -> BlobId {
    let id: BlobId = store.id();
    let durable = store.blobs().put_blocking(tenant(), id, &key(id), plain).unwrap();
    store
        .write_blocking(Scope::instance(), move |tx| {
            blob::insert(tx, &durable)?;
            tx.execute(&NAME, params![id, id]).map(drop)
        })
        .unwrap();
    id
}

fn unname(store: &Store, id: BlobId) {
    store.write_blocking(Scope::instance(), move |tx| tx.execute(&UNNAME, params![id]).map(drop)).unwrap();
}

fn keep_until(store: &Store, ids: &[BlobId], day: i32) {
    let ids = ids.to_vec();
    store
        .write_blocking(Scope::instance(), move |tx| {
            ids.iter().try_for_each(|id| blob::keep_until(tx, *id, day))
        })
        .unwrap();
}

fn collect(store: &Store) -> blob::collect::Collected {
    crate::job::block_on(blob::collect::run(store, DAY)).unwrap()
}

fn compact(store: &Store) -> blob::compact::Compacted {
    crate::job::block_on(blob::compact::run(store, DAY)).unwrap()
}

fn archive(store: &Store) -> blob::archive::Archived {
    crate::job::block_on(blob::archive::run(store)).unwrap()
}

fn scrub(store: &Store, period: Duration) -> blob::scrub::Scrubbed {
    crate::job::block_on(blob::scrub::run(store, period)).unwrap()
}

fn status(store: &Store) -> blob::Status {
    crate::job::block_on(blob::status(store)).unwrap()
}

fn shelf_of(store: &Store, id: BlobId) -> Shelf {
    const SHELF: &Sql = &Sql::new(
        "shelf",
        "SELECT COALESCE(p.shelf, 0) FROM blob b LEFT JOIN pack p ON p.id = b.pack WHERE b.id = ?1",
    );
    let found = store.read_blocking(move |tx| tx.row(SHELF, params![id], |r| r.int(0)));
    Shelf::from_raw(found.unwrap().unwrap())
}

#[test]
fn what_nothing_names_goes_after_its_grace_and_no_sooner() {
    let bench = Bench::new();
    let store = bench.open();
    let kept = [named(&store, b"small"), named(&store, &noise(50_000, 1))];
    let gone = [named(&store, b"small too"), named(&store, &noise(50_000, 2))];
    gone.iter().for_each(|id| unname(&store, *id));
    let first = collect(&store);
    assert_eq!((first.looked, first.dying, first.deleted), (4, 2, 0));
    assert_eq!(get(&store, gone[1]).unwrap(), noise(50_000, 2), "the grace is for second thoughts");
    bench.clock.advance(DAY - MINUTE);
    assert_eq!(collect(&store).deleted, 0);
    bench.clock.advance(MINUTE);
    let last = collect(&store);
    assert_eq!((last.looked, last.dying, last.deleted), (2, 0, 2));
    for id in gone {
        assert!(store.read_blocking(move |tx| blob::locate(tx, id)).unwrap().is_none());
    }
    assert_eq!(get(&store, kept[0]).unwrap(), b"small");
    assert_eq!(get(&store, kept[1]).unwrap(), noise(50_000, 1));
    assert_eq!(status(&store).collected, Some(bench.clock.now()));
}

#[test]
fn what_is_named_again_lives_on() {
    let bench = Bench::new();
    let store = bench.open();
    let id = named(&store, &noise(50_000, 1));
    unname(&store, id);
    assert_eq!(collect(&store).dying, 1);
    store.write_blocking(Scope::instance(), move |tx| tx.execute(&NAME, params![id, id]).map(drop)).unwrap();
    bench.clock.advance(DAY);
    let collected = collect(&store);
    assert_eq!((collected.revived, collected.deleted), (1, 0));
    bench.clock.advance(DAY + DAY);
    assert_eq!(collect(&store), blob::collect::Collected { looked: 1, ..Default::default() });
    assert_eq!(get(&store, id).unwrap(), noise(50_000, 1));
}

#[test]
fn while_somebody_holds_nothing_is_deleted() {
    let bench = Bench::tuned(|t| t.pack = 64 << 10);
    let store = bench.open();
    let id = named(&store, &noise(50_000, 1));
    unname(&store, id);
    named(&store, &noise(50_000, 2));
    collect(&store);
    bench.clock.advance(DAY);
    let held = crate::job::block_on(blob::hold(&store, DAY)).unwrap();
    let collected = collect(&store);
    assert!(collected.held && collected.deleted == 0);
    crate::job::block_on(held.release()).unwrap();
    assert_eq!(collect(&store).deleted, 1);
    // A holder who died holds nothing up for longer than they said.
    drop(crate::job::block_on(blob::hold(&store, 3 * DAY)).unwrap());
    drop(store);
    let store = bench.open();
    assert_eq!(compact(&store).dying, 0, "it was closed just now");
    bench.clock.advance(DAY);
    assert_eq!(compact(&store).dying, 1);
    bench.clock.advance(DAY);
    assert_eq!(compact(&store).removed, 0);
    bench.clock.advance(DAY);
    assert_eq!(compact(&store).removed, 1);
}

#[test]
fn a_store_that_does_not_know_every_table_collects_nothing() {
    let bench = Bench::new();
    let store = bench.open();
    let id = named(&store, b"a body");
    drop(store);
    let store = Store::open(bench.options(), &[&NOTES]).unwrap();
    assert!(matches!(crate::job::block_on(blob::collect::run(&store, DAY)), Err(Error::Bug(_))));
    drop(store);
    assert_eq!(get(&bench.open(), id).unwrap(), b"a body");
}

#[test]
fn what_the_journal_names_is_copied_to_its_quarter_and_can_be_read_all_along() {
    let bench = Bench::tuned(|t| t.pack = 1 << 20);
    let store = bench.open();
    let bodies = [b"small".to_vec(), noise(50_000, 1), noise(7 * CHUNK, 2), Vec::new()];
    let ids: Vec<_> = bodies.iter().map(|body| named(&store, body)).collect();
    let before: Vec<_> = ids.iter().map(|id| locate(&store, *id).unwrap()).collect();
    let day = bench.clock.now().day() + 2192;
    keep_until(&store, &ids[..3], day);
    assert_eq!(status(&store).awaiting, 3);
    let archived = archive(&store);
    assert_eq!((archived.bodies, archived.damaged), (3, 0));
    assert_eq!(status(&store).awaiting, 0);
    for (n, id) in ids.iter().enumerate() {
        let shelf = if n < 3 { Shelf::until(day) } else { Shelf::WORKING };
        assert_eq!(shelf_of(&store, *id), shelf, "{n}");
        assert_eq!(get(&store, *id).unwrap(), bodies[n]);
        // Whoever located it before still reads it there.
        let mut reader = store.blobs().reader(before[n].clone(), &key(*id));
        assert_eq!(reader.read_all().unwrap(), bodies[n]);
    }
    assert!(locate(&store, ids[0]).unwrap().place().starts_with("pack"), "small ones too");
    assert_eq!(archive(&store), blob::archive::Archived::default());
    // A longer retention moves it on; a shorter one changes nothing.
    keep_until(&store, &ids[..1], day + 100);
    keep_until(&store, &ids[1..2], day - 100);
    assert_eq!(archive(&store).bodies, 1);
    assert_eq!(shelf_of(&store, ids[0]), Shelf::until(day + 100));
    assert_eq!(shelf_of(&store, ids[1]), Shelf::until(day));
    drop(store);
    let store = bench.open();
    for (body, id) in bodies.iter().zip(ids) {
        assert_eq!(&get(&store, id).unwrap(), body);
    }
}

#[test]
fn a_damaged_body_stops_neither_the_archiver_nor_what_comes_after_it() {
    let bench = Bench::new();
    let store = bench.open();
    let [bad, good] = [named(&store, &noise(50_000, 1)), named(&store, &noise(50_000, 2))];
    let pack = packs(&bench).remove(0);
    let file = std::fs::OpenOptions::new().read(true).write(true).open(pack).unwrap();
    file.write_all_at(b"rot", 1_000).unwrap();
    keep_until(&store, &[bad, good], bench.clock.now().day());
    let archived = archive(&store);
    assert_eq!((archived.bodies, archived.damaged), (1, 1));
    assert_eq!(archive(&store), blob::archive::Archived::default(), "it is not tried for ever");
    assert_eq!(status(&store).unreadable, 1);
    assert_eq!(get(&store, good).unwrap(), noise(50_000, 2));
    assert!(matches!(get(&store, bad), Err(Error::Corrupt { .. })));
}

#[test]
fn a_pack_that_is_mostly_dead_is_emptied_and_its_file_goes_after_the_grace() {
    let bench = Bench::tuned(|t| t.pack = 1_100_000);
    let store = bench.open();
    let ids: Vec<_> = (0..4).map(|n| named(&store, &noise(250_000, n))).collect();
    // It spans two packs, so that the first of them holds chunks of a body whose row names the second.
    let wide = named(&store, &noise(CHUNK + 50_000, 9));
    let next = named(&store, &noise(200_000, 10));
    drop(store);
    let store = bench.open();
    let files = packs(&bench);
    bench.clock.advance(DAY);
    assert_eq!(compact(&store), blob::compact::Compacted::default(), "all is alive");
    for id in &ids[..3] {
        unname(&store, *id);
    }
    unname(&store, next);
    collect(&store);
    bench.clock.advance(DAY);
    collect(&store);
    let stale = locate(&store, ids[3]).unwrap();
    let compacted = compact(&store);
    assert!(compacted.dying >= 1 && compacted.bodies >= 2 && compacted.removed == 0, "{compacted:?}");
    assert!(packs(&bench).len() > files.len(), "nothing is overwritten");
    assert_eq!(store.blobs().reader(stale, &key(ids[3])).read_all().unwrap(), noise(250_000, 3));
    bench.clock.advance(DAY);
    assert_eq!(compact(&store).removed, compacted.dying);
    assert!(!files[0].exists());
    let mut store = store;
    for _ in 0..2 {
        assert_eq!(get(&store, ids[3]).unwrap(), noise(250_000, 3));
        assert_eq!(get(&store, wide).unwrap(), noise(CHUNK + 50_000, 9));
        drop(store);
        store = bench.open();
    }
    // No number is used twice.
    named(&store, &noise(50_000, 20));
    assert!(!files[0].exists());
    assert!(scrub(&store, Duration::ZERO).damaged.is_empty());
}

#[test]
fn an_archive_pack_is_left_alone_until_its_quarter_is_over() {
    let bench = Bench::new();
    let store = bench.open();
    let [kept, gone] = [named(&store, &noise(50_000, 1)), named(&store, &noise(50_000, 2))];
    let day = bench.clock.now().day() + 30;
    keep_until(&store, &[kept, gone], day);
    archive(&store);
    unname(&store, gone);
    drop(store);
    let store = bench.open();
    let over = Shelf::until(day).over().unwrap();
    collect(&store);
    bench.clock.advance(DAY);
    assert_eq!(collect(&store).deleted, 1);
    // The working pack is all dead by now; the archive's is half dead.
    assert_eq!(compact(&store).dying, 1);
    assert_eq!(shelf_of(&store, kept), Shelf::until(day));
    bench.clock.set(Time::from_seconds(i64::from(over) * 86_400));
    assert_eq!(compact(&store).dying, 0);
    assert_eq!(shelf_of(&store, kept), Shelf::until(day), "what expired needs its time to be collected");
    bench.clock.advance(8 * DAY);
    let compacted = compact(&store);
    assert_eq!((compacted.dying, compacted.bodies), (1, 1));
    assert_eq!(shelf_of(&store, kept), Shelf::WORKING, "a mailbox still names it");
    bench.clock.advance(DAY);
    assert_eq!(compact(&store).removed, 1);
    assert_eq!(get(&store, kept).unwrap(), noise(50_000, 1));
}

#[test]
fn a_body_whose_pack_ended_gets_no_row() {
    let bench = Bench::new();
    let store = bench.open();
    let id: BlobId = store.id();
    let durable = store.blobs().put_blocking(tenant(), id, &key(id), &noise(50_000, 1)).unwrap();
    drop(store);
    let store = bench.open();
    bench.clock.advance(DAY);
    assert_eq!(compact(&store).dying, 1, "a body without a row is dead bytes");
    let insert = store.write_blocking(Scope::instance(), move |tx| blob::insert(tx, &durable));
    assert!(matches!(insert, Err(Error::Io(_))));
}

#[test]
fn scrubbing_finds_what_rots() {
    let bench = Bench::tuned(|t| t.pack = 100 << 10);
    let store = bench.open();
    for n in 0..6 {
        named(&store, &noise(50_000, n));
    }
    drop(store);
    let store = bench.open();
    let all = packs(&bench);
    assert_eq!(scrub(&store, 30 * DAY).packs, 0, "they are young");
    bench.clock.advance(30 * DAY);
    let scrubbed = scrub(&store, 30 * DAY);
    assert_eq!((scrubbed.packs, scrubbed.damaged.len()), (all.len() as u64, 0));
    assert_eq!(scrub(&store, 30 * DAY).packs, 0, "once a period");
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&all[1]).unwrap();
    file.write_all_at(b"rot", 60_000).unwrap();
    let scrubbed = scrub(&store, Duration::ZERO);
    assert_eq!(scrubbed.packs, all.len() as u64);
    let [(2, at)] = scrubbed.damaged[..] else { panic!("{scrubbed:?}") };
    assert!(at < 60_000);
    assert_eq!(status(&store).damaged, [(2, at)]);
}
