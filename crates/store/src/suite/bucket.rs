//! Bodies in a bucket: what was acknowledged is there whatever the bucket does, and its failures pass.

use std::sync::Arc;
use std::time::Duration;

use sealpost_crypto::{CHUNK, Key, Random};
use sealpost_model::{BlobId, Clock as _, Id as _, ManualClock, Secret, SystemClock, TenantId, Time};
use sealpost_testkit::bucket::Bucket;
use sealpost_testkit::faulty::{Faulty, Way};

use crate::blob;
use crate::tuning::Tuning;
use crate::{Bodies, Error, Options, Result, Schema, Scope, Store, params, sql};

const NAMES: Schema = Schema {
    name: "names",
    steps: &["CREATE TABLE named (id {int} PRIMARY KEY, blob {int} NOT NULL) {strict};
        CREATE INDEX named_blob ON named (blob)"],
    statements: STATEMENTS,
    blobs: &[&NAMED],
};

sql! {
    NAME = "INSERT INTO named (id, blob) VALUES (?1, ?2)";
    UNNAME = "DELETE FROM named WHERE blob = ?1";
    NAMED = "SELECT 1 FROM named WHERE blob = ?1 LIMIT 1";
}

const DAY: Duration = Duration::from_secs(86_400);

struct World {
    folder: tempfile::TempDir,
    bucket: Bucket,
    way: Faulty,
    clock: Arc<ManualClock>,
}

fn key() -> Key {
    Key::from_bytes([5; 32])
}

fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(step).take(length).collect()
}

impl World {
    fn new() -> Self {
        let bucket = Bucket::start(false).unwrap();
        let way = Faulty::start(bucket.address()).unwrap();
        // The bucket dates its objects by the machine's clock.
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        Self { folder: tempfile::tempdir().unwrap(), bucket, way, clock }
    }

    fn url(&self) -> Secret<String> {
        Secret::new(self.bucket.url(self.folder.path(), self.way.address()).unwrap())
    }

    fn options(&self, folder: &str) -> Options {
        let data = self.folder.path().join(folder);
        let bodies = Bodies::S3 { url: self.url() };
        let own = Options::embedded(data, self.clock.clone(), Random::system());
        Options { rehearse: true, bodies, ..own }
    }

    fn try_open(&self, folder: &str) -> Result<Store> {
        let tuning = Tuning {
            patience_bucket: (Duration::from_millis(700), Duration::from_secs(2)),
            ..Tuning::default()
        };
        Store::open_tuned(self.options(folder), &[&NAMES], tuning)
    }

    fn open(&self) -> Store {
        self.try_open("data").unwrap()
    }

    fn objects(&self) -> usize {
        self.bucket.names().unwrap().iter().filter(|name| name.contains("/blobs/")).count()
    }
}

fn put(store: &Store, plain: &[u8]) -> Result<BlobId> {
    let id: BlobId = store.id();
    let durable = store.blobs().put_blocking(TenantId::from_raw(7), id, &key(), plain)?;
    store.write_blocking(Scope::instance(), move |tx| {
        blob::insert(tx, &durable)?;
        tx.execute(&NAME, params![id, id]).map(drop)
    })?;
    Ok(id)
}

fn get(store: &Store, id: BlobId) -> Result<Vec<u8>> {
    let row = store.read_blocking(move |tx| blob::locate(tx, id))?.unwrap();
    store.blobs().reader(row, &key()).read_all()
}

fn collect(store: &Store) -> blob::collect::Collected {
    crate::job::block_on(blob::collect::run(store, DAY)).unwrap()
}

#[test]
fn bodies_come_back_from_objects_small_ones_from_rows_and_any_range_by_itself() {
    let world = World::new();
    let store = world.open();
    let sizes = [0, 900, 50_000, CHUNK, 3 * CHUNK + 17, 15 << 20];
    let bodies: Vec<_> = sizes.iter().map(|n| noise(*n, *n as u64)).collect();
    let ids: Vec<_> = bodies.iter().map(|body| put(&store, body).unwrap()).collect();
    assert_eq!(world.objects(), 4, "an object each, but what fits in a row");
    drop(store);
    let store = world.open();
    for (body, id) in bodies.iter().zip(&ids) {
        assert_eq!(&get(&store, *id).unwrap(), body);
    }
    let last = *ids.last().unwrap();
    let row = store.read_blocking(move |tx| blob::locate(tx, last)).unwrap().unwrap();
    let mut reader = store.blobs().reader(row, &key());
    assert_eq!(reader.read_at(9_000_000, 70_000).unwrap(), bodies[5][9_000_000..9_070_000]);
    let looking = Store::open_read_only(world.options("data"), &[&NAMES]).unwrap();
    assert_eq!(get(&looking, ids[2]).unwrap(), bodies[2]);
}

#[test]
fn a_changed_object_is_not_served() {
    let world = World::new();
    let store = world.open();
    let [one, two] = [put(&store, &noise(50_000, 1)).unwrap(), put(&store, &noise(50_000, 2)).unwrap()];
    let names: Vec<String> =
        world.bucket.names().unwrap().into_iter().filter(|name| name.contains("/blobs/")).collect();
    let [a, _] = &names[..] else { panic!("{names:?}") };
    world.bucket.overwrite(a, &noise(50_200, 9)).unwrap();
    let damaged = [one, two].map(|id| matches!(get(&store, id), Err(Error::Corrupt { what: "blob", .. })));
    assert_eq!(damaged.iter().filter(|d| **d).count(), 1, "{damaged:?}");
    world.bucket.ask("DELETE", &format!("/mail/{a}"), "").unwrap();
    assert_eq!([one, two].iter().filter(|id| get(&store, **id).is_ok()).count(), 1);
}

#[test]
fn a_bucket_that_fails_or_hangs_makes_errors_that_pass_and_loses_nothing() {
    let world = World::new();
    let store = world.open();
    let before = put(&store, &noise(50_000, 1)).unwrap();
    let mut kept = vec![(before, noise(50_000, 1))];
    for (n, way) in [(2, Way::Cut), (3, Way::Silent), (4, Way::Failing)] {
        world.way.set(way);
        let refused = put(&store, &noise(60_000, n)).unwrap_err();
        assert!(matches!(&refused, Error::Bucket { lasting: false, .. }), "{way:?}: {refused}");
        assert_eq!(refused.fault(), sealpost_model::Fault::Temporary);
        assert!(!refused.to_string().contains("tester"), "{refused}");
        let large = put(&store, &noise(14 << 20, n)).unwrap_err();
        assert!(matches!(large, Error::Bucket { .. }), "{way:?}: {large}");
        assert!(matches!(get(&store, before), Err(Error::Bucket { .. })), "{way:?}: not called damaged");
        let small = put(&store, b"this needs no bucket").unwrap();
        assert_eq!(get(&store, small).unwrap(), b"this needs no bucket");
        world.way.set(Way::Open);
        let after = put(&store, &noise(60_000, 10 + n)).unwrap();
        kept.push((after, noise(60_000, 10 + n)));
        for (id, body) in &kept {
            assert_eq!(&get(&store, *id).unwrap(), body, "{way:?}");
        }
    }
    // It starts beside a bucket that does not answer, too.
    drop(store);
    world.way.set(Way::Cut);
    let store = world.open();
    assert!(matches!(get(&store, before), Err(Error::Bucket { .. })));
    world.way.set(Way::Open);
    assert_eq!(get(&store, before).unwrap(), noise(50_000, 1));
}

#[test]
fn a_bucket_that_is_anothers_or_not_there_stops_the_start_in_words() {
    let world = World::new();
    drop(world.open());
    drop(world.open());
    let error = world.try_open("other").map(drop).unwrap_err();
    assert!(error.to_string().contains("another Sealpost"), "{error}");
    let url = world.url().expose().replace("s3://mail", "s3://nothing");
    let options = Options { bodies: Bodies::S3 { url: Secret::new(url) }, ..world.options("third") };
    let error = Store::open(options, &[&NAMES]).map(drop).unwrap_err();
    assert!(error.to_string().contains("no such bucket"), "{error}");
}

#[test]
fn objects_that_nothing_names_go_after_the_grace() {
    let world = World::new();
    let store = world.open();
    let [kept, gone] = [put(&store, &noise(50_000, 1)).unwrap(), put(&store, &noise(50_000, 2)).unwrap()];
    // One whose row never came.
    let id: BlobId = store.id();
    store.blobs().put_blocking(TenantId::from_raw(7), id, &key(), &noise(50_000, 3)).unwrap();
    assert_eq!(world.objects(), 3);
    store.write_blocking(Scope::instance(), move |tx| tx.execute(&UNNAME, params![gone]).map(drop)).unwrap();
    collect(&store);
    assert_eq!(world.objects(), 3, "the grace");
    world.clock.advance(DAY + Duration::from_secs(5));
    assert_eq!(collect(&store).objects, 1);
    world.way.set(Way::Cut);
    world.clock.advance(DAY);
    assert!(crate::job::block_on(blob::collect::run(&store, DAY)).is_err());
    world.way.set(Way::Open);
    assert_eq!(collect(&store).objects, 1);
    assert_eq!(world.objects(), 1);
    assert_eq!(get(&store, kept).unwrap(), noise(50_000, 1));
    let _ = Time::from_millis(0);
}

#[test]
fn bodies_move_from_packs_to_the_bucket_when_the_journal_names_them() {
    let world = World::new();
    let packs = Options { bodies: Bodies::Packs, ..world.options("data") };
    let store = Store::open(packs, &[&NAMES]).unwrap();
    let [large, small] = [put(&store, &noise(3 * CHUNK, 1)).unwrap(), put(&store, b"small").unwrap()];
    drop(store);
    let store = world.open();
    assert_eq!(get(&store, large).unwrap(), noise(3 * CHUNK, 1), "packs are read on");
    let day = world.clock.now().day();
    store
        .write_blocking(Scope::instance(), move |tx| {
            blob::keep_until(tx, large, day)?;
            blob::keep_until(tx, small, day)
        })
        .unwrap();
    let archived = crate::job::block_on(blob::archive::run(&store)).unwrap();
    assert_eq!((archived.bodies, world.objects()), (1, 1));
    assert_eq!(get(&store, large).unwrap(), noise(3 * CHUNK, 1));
    assert_eq!(get(&store, small).unwrap(), b"small");
}
