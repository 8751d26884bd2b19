//! The journal from outside: what is written verifies, and whatever was changed is named.

use std::sync::Arc;

use sealpost_archive::journal::{self, NewJournal};
use sealpost_archive::verify::{self, Report};
use sealpost_archive::{Archive, Direction, Envelope, JournalRow};
use sealpost_crypto::{Key, Random, sha256};
use sealpost_model::{BlobId, Id, JournalId, ManualClock, SubmissionId, TenantId, Time};
use sealpost_store::keys::{Keys, Master};
use sealpost_store::ring::Ring;
use sealpost_store::{Options, Scope, Sql, Store, params, sql};

sql! {
    ADD_TENANT = "UPDATE journal SET tenant = tenant + ?2 WHERE id = ?1";
    ADD_SUBMISSION = "UPDATE journal SET submission = submission + ?2 WHERE id = ?1";
    ADD_BLOB = "UPDATE journal SET blob = blob + ?2 WHERE id = ?1";
    ADD_RECEIVED = "UPDATE journal SET received = received + ?2 WHERE id = ?1";
    ADD_EXPIRES = "UPDATE journal SET expires = expires + ?2 WHERE id = ?1";
    ADD_DIRECTION = "UPDATE journal SET direction = direction + ?2 WHERE id = ?1";
    ADD_LIFE = "UPDATE journal SET life = life + ?2 WHERE id = ?1";
    ADD_ID = "UPDATE journal SET id = id + ?2 WHERE id = ?1";
    WRAPPED = "SELECT wrapped FROM journal WHERE id = ?1";
    SET_WRAPPED = "UPDATE journal SET wrapped = ?2 WHERE id = ?1";
    ENVELOPE = "SELECT envelope FROM journal WHERE id = ?1";
    SET_ENVELOPE = "UPDATE journal SET envelope = ?2 WHERE id = ?1";
    MAC = "SELECT mac FROM journal WHERE id = ?1";
    SET_MAC = "UPDATE journal SET mac = ?2 WHERE id = ?1";
    BODY = "SELECT body FROM blob WHERE id = ?1";
    SET_BODY = "UPDATE blob SET body = ?2 WHERE id = ?1";
    DROP_BODY = "DELETE FROM blob WHERE id = ?1";
    SWAP_BODIES = "UPDATE blob SET body = (SELECT b.body FROM blob b WHERE b.id = ?2) WHERE id = ?1";
}

const BODY_BYTES: &[u8] = b"Subject: Results\r\n\r\nAll is well.\r\n";

struct World {
    folder: tempfile::TempDir,
    store: Store,
    keys: Keys,
    archive: Archive,
}

fn tenant(n: i64) -> TenantId {
    TenantId::from_raw(n)
}

fn envelope(body: &[u8]) -> Envelope {
    let to = ["bob@clinic.test", "hidden@clinic.test"].map(String::from).to_vec();
    Envelope { from: "ann@clinic.test".into(), to, sha256: sha256(body), size: body.len() as u64 }
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(ManualClock::new(Time::from_seconds(1_795_300_822)));
        let random = Random::system();
        let data = folder.path().join("data");
        let options = Options { rehearse: true, ..Options::embedded(data, clock, random.clone()) };
        let store = Store::open(options, &[&sealpost_archive::SCHEMA]).expect("opens");
        let master = Master::new(Key::from_bytes([7; 32]));
        let ring = Ring::create(&folder.path().join("ring"), &master, &random).expect("makes a ring");
        let keys = Keys::create(store.clone(), ring, &master).await.expect("makes keys");
        for n in [1, 2] {
            keys.create_tenant(tenant(n)).await.expect("makes a tenant");
        }
        let archive = Archive::new(store.clone(), keys.clone(), random);
        Self { folder, store, keys, archive }
    }

    /// Writes a row whose envelope may say something else than the body.
    async fn keep_as(&self, of: TenantId, received: Time, body: &[u8], envelope: &Envelope) -> JournalRow {
        let (blob, key): (BlobId, Key) = (self.store.id(), Random::system().key());
        let stored = self.store.blobs().put_bytes(of, blob, &key, body).await.expect("is stored");
        let submission: SubmissionId = self.store.id();
        let direction = Direction::Internal;
        let new = NewJournal { tenant: of, submission, blob, key: &key, received, direction, envelope };
        let row = self.archive.seal(new).await.expect("seals");
        let written = row.clone();
        self.store
            .write(Scope::tenant(of), move |tx| {
                sealpost_store::blob::insert(tx, &stored)?;
                journal::insert(tx, &written)
            })
            .await
            .expect("is written");
        row
    }

    async fn keep(&self) -> JournalRow {
        let received = Time::from_seconds(1_795_300_822);
        self.keep_as(tenant(1), received, BODY_BYTES, &envelope(BODY_BYTES)).await
    }

    async fn verify(&self) -> Report {
        verify::run(&self.store, &self.archive, |_| {}).await.expect("looks")
    }

    fn attack(
        &self,
        change: impl Fn(&mut sealpost_store::Tx) -> sealpost_store::Result<()> + Send + 'static,
    ) {
        self.store.write_blocking(Scope::instance(), change).expect("the attack works");
    }

    fn bytes(&self, sql: &'static Sql, id: i64) -> Vec<u8> {
        let found = self.store.read_blocking(move |tx| tx.row(sql, params![id], |r| r.bytes(0)));
        let found: sealpost_store::Result<Option<Vec<u8>>> = found;
        found.expect("reads").expect("is there")
    }

    fn set(&self, sql: &'static Sql, id: i64, bytes: Vec<u8>) {
        self.attack(move |tx| tx.execute(sql, params![id, &bytes]).map(drop));
    }
}

/// That one fault was found, in this row, and what is said of it.
fn only_fault(report: &Report, row: i64) -> String {
    let [fault] = &report.faults[..] else { panic!("not one fault: {:?}", report.faults) };
    assert_eq!(fault.journal, row);
    fault.what.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_verifies_and_opens() {
    let world = World::new().await;
    let mut last = None;
    for n in 0..450_u32 {
        let body = format!("Subject: {n}\r\n\r\n");
        let of = tenant(1 + i64::from(n % 2));
        let day = Time::from_seconds(1_700_000_000 + i64::from(n % 3) * 86_400);
        last = Some(world.keep_as(of, day, body.as_bytes(), &envelope(body.as_bytes())).await);
    }
    let mut bodies = std::collections::BTreeSet::new();
    let report = verify::run(&world.store, &world.archive, |blob| {
        bodies.insert(blob);
    });
    let report = report.await.expect("looks");
    assert_eq!((report.rows, report.faults.len()), (450, 0), "{:?}", report.faults);
    assert_eq!(report.bytes, (0..450).map(|n| format!("Subject: {n}\r\n\r\n").len() as u64).sum::<u64>());
    assert_eq!(bodies.len(), 450, "every body that is named is told");

    let row = last.expect("has rows");
    let (key, kept) = world.archive.open(&row).await.expect("opens");
    assert!(kept == envelope(b"Subject: 449\r\n\r\n"), "hidden recipients too");
    let blob = row.blob;
    let located = world.store.read(move |tx| sealpost_store::blob::locate(tx, blob)).await.expect("reads");
    let body = world.store.blobs().read(located.expect("is there"), &key, 0..100).await.expect("opens");
    assert_eq!(body, b"Subject: 449\r\n\r\n");

    let (id, none) = (row.id, JournalId::from_raw(row.id.raw() + 10_000));
    let there = world.store.read(move |tx| {
        Ok::<_, sealpost_store::Error>([journal::exists(tx, id)?, journal::exists(tx, none)?])
    });
    assert_eq!(there.await.expect("reads"), [true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wrote_to_whom_lies_sealed() {
    let world = World::new().await;
    world.keep().await;
    let data = world.folder.path().join("data");
    let bytes =
        ["store.db", "store.db-wal"].map(|file| std::fs::read(data.join(file)).expect("reads")).concat();
    let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|w| w == needle);
    assert!(holds(b"journal"), "what is plain is found by this search");
    assert!(!holds(b"clinic") && !holds(b"hidden") && !holds(b"well"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_changed_column_is_named() {
    let world = World::new().await;
    let other = world.keep().await;
    let row = world.keep().await;
    let id = row.id.raw();
    assert!(world.verify().await.faults.is_empty());
    let columns =
        [&ADD_TENANT, &ADD_SUBMISSION, &ADD_BLOB, &ADD_RECEIVED, &ADD_EXPIRES, &ADD_DIRECTION, &ADD_LIFE];
    for column in columns {
        // Also by what no column of this program can hold.
        for step in [1_i64, -1, 1 << 40] {
            world.attack(move |tx| tx.execute(column, params![id, step]).map(drop));
            let report = world.verify().await;
            assert_eq!(report.rows, 2, "{}: the other row is read, too", column.name());
            let what = only_fault(&report, id);
            // Another organisation's keys don't even exist in two of three cases.
            let named = what.contains("plain columns") || std::ptr::eq(column, &raw const ADD_TENANT);
            assert!(named, "{} {step}: {what}", column.name());
            world.attack(move |tx| tx.execute(column, params![id, -step]).map(drop));
        }
    }
    world.attack(move |tx| tx.execute(&ADD_ID, params![id, 1000_i64]).map(drop));
    only_fault(&world.verify().await, id + 1000);
    world.attack(move |tx| tx.execute(&ADD_ID, params![id + 1000, -1000_i64]).map(drop));

    // Another row's bytes are as wrong as any others.
    for (get, set, part) in [(&WRAPPED, &SET_WRAPPED, "wrapped"), (&ENVELOPE, &SET_ENVELOPE, "envelope")] {
        let own = world.bytes(get, id);
        world.set(set, id, world.bytes(get, other.id.raw()));
        assert!(only_fault(&world.verify().await, id).ends_with(part));
        world.set(set, id, own);
    }
    assert!(world.verify().await.faults.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_flipped_byte_is_named() {
    let world = World::new().await;
    let row = world.keep().await;
    let (id, blob) = (row.id.raw(), row.blob.raw());
    let places = [
        (&WRAPPED, &SET_WRAPPED, id, "wrapped"),
        (&ENVELOPE, &SET_ENVELOPE, id, "envelope"),
        (&MAC, &SET_MAC, id, "plain columns"),
        (&BODY, &SET_BODY, blob, "blob"),
    ];
    for (get, set, key, word) in places {
        let own = world.bytes(get, key);
        for at in 0..own.len() {
            let mut flipped = own.clone();
            flipped[at] ^= 0x80;
            world.set(set, key, flipped);
            let what = only_fault(&world.verify().await, id);
            assert!(what.contains(word), "{word} byte {at}: {what}");
        }
        for cut in [own[..own.len() - 1].to_vec(), Vec::new(), [&own[..], b"x"].concat()] {
            if cut.len() > own.len() && key == blob {
                // What lies behind a body is never read; `check` holds its length against the row's.
                continue;
            }
            world.set(set, key, cut);
            let what = only_fault(&world.verify().await, id);
            assert!(what.contains(word), "{word} of another length: {what}");
        }
        world.set(set, key, own);
        assert!(world.verify().await.faults.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_gone_or_another_one_is_named() {
    let world = World::new().await;
    let first = world.keep().await;
    let second = world.keep().await;
    let (a, b) = (first.blob, second.blob);
    world.attack(move |tx| tx.execute(&SWAP_BODIES, params![a, b]).map(drop));
    only_fault(&world.verify().await, first.id.raw());
    world.attack(move |tx| tx.execute(&DROP_BODY, params![a]).map(drop));
    assert!(only_fault(&world.verify().await, first.id.raw()).contains("missing"));

    // S22: the hash is that of the body as it came.
    let received = Time::from_seconds(1_795_300_822);
    let world = World::new().await;
    let row = world
        .keep_as(tenant(1), received, b"Another body, its size is the same", &envelope(BODY_BYTES))
        .await;
    assert!(only_fault(&world.verify().await, row.id.raw()).contains("hash"));
}

/// S62: six years, counted in whole UTC days, on a life key of that day and tenant alone.
#[tokio::test(flavor = "multi_thread")]
async fn rows_hang_on_the_key_of_their_day() {
    let world = World::new().await;
    let midnight = Time::from_seconds(20_779 * 86_400);
    let mut rows = Vec::new();
    for (of, at) in [(1, -1), (1, 0), (1, 86_399_999), (1, 86_400_000), (2, 0)] {
        let received = Time::from_millis(midnight.millis() + at);
        rows.push(world.keep_as(tenant(of), received, BODY_BYTES, &envelope(BODY_BYTES)).await);
    }
    let days: Vec<i32> = rows.iter().map(|r| r.expires - 20_779 - 2_192).collect();
    assert_eq!(days, [-1, 0, 0, 1, 0]);
    let life: Vec<_> = rows.iter().map(|r| r.life).collect();
    assert_eq!(life[1], life[2], "one key a day");
    let mut distinct = life.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), 4, "another day or tenant has another one");

    // When a day's key dies its rows are gone for good, and no others.
    world.keys.ring().destroy(&[life[1]]).await.expect("dies");
    let report = world.verify().await;
    let gone: Vec<i64> = report.faults.iter().map(|f| f.journal).collect();
    assert_eq!(gone, [rows[1].id.raw(), rows[2].id.raw()]);
    assert!(report.faults.iter().all(|f| f.what.contains("life key is gone")), "{:?}", report.faults);
}
