//! What is kept is kept to the end of its day, and then goes with its day's key.

use std::sync::Arc;
use std::time::Duration;

use sealpost_archive::journal::{self, NewJournal};
use sealpost_archive::{Archive, Direction, Envelope, JournalRow, Rules, Upkeep, verify};
use sealpost_audit::{Audit, Caller, Verb};
use sealpost_crypto::{Key, Random, sha256};
use sealpost_model::{BlobId, Clock as _, Id as _, ManualClock, SubmissionId, TenantId, Time};
use sealpost_store::keys::{Keys, Master};
use sealpost_store::ring::Ring;
use sealpost_store::{Options, Scope, Store, blob, params, sql};

sql! {
    SOONER = "UPDATE journal SET expires = expires - 3000 WHERE id = ?1";
    GONE_ELSEWHERE = "UPDATE journal_gone SET day = day + 1 WHERE id = ?1";
    ENTRIES = "SELECT count(*) FROM audit WHERE verb = ?1 AND tenant = ?2";
    DAY_KEYS = "SELECT count(*) FROM journal_key";
}

const DAY: Duration = Duration::from_secs(86_400);
const BODY: &[u8] = b"Subject: Results\r\n\r\nAll is well.\r\n";

struct World {
    _folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    store: Store,

    archive: Archive,
    upkeep: Upkeep,
}

fn tenant() -> TenantId {
    TenantId::from_raw(1)
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(ManualClock::new(Time::from_seconds(1_795_300_822)));
        let random = Random::system();
        let options = Options {
            rehearse: true,
            ..Options::embedded(folder.path().join("data"), clock.clone(), random.clone())
        };
        let schemas = [&sealpost_audit::SCHEMA, &sealpost_archive::SCHEMA];
        let store = Store::open(options, &schemas).expect("opens");
        let master = Master::new(Key::from_bytes([7; 32]));
        let ring = Ring::create(&folder.path().join("ring"), &master, &random).expect("makes a ring");
        let keys = Keys::create(store.clone(), ring, &master).await.expect("makes keys");
        keys.create_tenant(tenant()).await.expect("makes a tenant");
        let audit = Audit::new(
            store.clone(),
            keys.clone(),
            clock.clone(),
            random.clone(),
            sealpost_audit::Options::default(),
        )
        .await
        .expect("the log opens");
        let archive = Archive::new(store.clone(), keys.clone(), random);
        let upkeep = Upkeep::new(store.clone(), keys.clone(), audit, Rules::default());
        Self { _folder: folder, clock, store, archive, upkeep }
    }

    async fn keep(&self) -> JournalRow {
        let (id, key): (BlobId, Key) = (self.store.id(), Random::system().key());
        let stored = self.store.blobs().put_bytes(tenant(), id, &key, BODY).await.expect("is stored");
        let envelope =
            Envelope { from: String::new(), to: Vec::new(), sha256: sha256(BODY), size: BODY.len() as u64 };
        let new = NewJournal {
            tenant: tenant(),
            submission: self.store.id::<SubmissionId>(),
            blob: id,
            key: &key,
            received: self.clock.now(),
            direction: Direction::Internal,
            envelope: &envelope,
        };
        let row = self.archive.seal(new).await.expect("seals");
        let written = row.clone();
        self.store
            .write(Scope::tenant(tenant()), move |tx| {
                blob::insert(tx, &stored)?;
                journal::insert(tx, &written)
            })
            .await
            .expect("is written");
        row
    }

    /// Moves to the first moment at which `day` has ended everywhere.
    fn after(&self, day: i32) {
        self.clock.set(Time::from_seconds(i64::from(day + 1) * 86_400 + 12 * 3_600));
    }

    fn count(&self, verb: Verb) -> i64 {
        let (verb, of) = (verb as i64, tenant());
        let found = self.store.read_blocking(move |tx| tx.row(&ENTRIES, params![verb, of], |r| r.int(0)));
        let found: sealpost_store::Result<Option<i64>> = found;
        found.expect("reads").unwrap_or(0)
    }

    fn there(&self, row: &JournalRow) -> bool {
        let id = row.blob;
        let found = self.store.read_blocking(move |tx| blob::locate(tx, id));
        let found: sealpost_store::Result<Option<blob::BlobRow>> = found;
        found.expect("reads").is_some()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_stays_to_the_end_of_its_day_and_then_goes_with_its_key() {
    let world = World::new().await;
    let old = world.keep().await;
    world.clock.advance(DAY);
    let young = world.keep().await;
    world.after(old.expires);
    world.clock.set(world.clock.now().minus(Duration::from_millis(1)));
    assert_eq!(world.upkeep.expire().await.expect("looks").rows, 0);
    world.clock.advance(Duration::from_millis(1));
    let expired = world.upkeep.expire().await.expect("expires");
    assert_eq!((expired.days, expired.rows, expired.left), (1, 1, 0));
    assert!(world.archive.open(&old).await.is_err(), "its key is destroyed");
    assert!(world.archive.open(&young).await.is_ok());
    // The entry that opened it, and the one that says how it ended.
    assert_eq!(world.count(Verb::JournalExpire), 2);
    let keys: sealpost_store::Result<Option<i64>> =
        world.store.read_blocking(|tx| tx.row(&DAY_KEYS, &[], |r| r.int(0)));
    assert_eq!(keys.expect("reads"), Some(1));
    assert_eq!(world.upkeep.expire().await.expect("looks").days, 0);
    let id = old.id;
    let known: sealpost_store::Result<bool> = world.store.read_blocking(move |tx| journal::exists(tx, id));
    assert!(known.expect("reads"), "the log's proof knows that it expired");
    let report = verify::run(&world.store, &world.archive, |_| {}).await.expect("verifies");
    assert_eq!((report.rows, report.expired, report.faults.len()), (1, 1, 0), "{:?}", report.faults);
    // Its body is the collector's.
    assert!(world.there(&old));
    world.upkeep.collect(Caller::SYSTEM).await.expect("marks");
    world.clock.advance(DAY);
    world.upkeep.collect(Caller::SYSTEM).await.expect("collects");
    assert!(!world.there(&old));
    assert!(world.there(&young));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_whose_day_was_changed_does_not_expire_and_keeps_its_key() {
    let world = World::new().await;
    let [bad, good] = [world.keep().await, world.keep().await];
    let id = bad.id;
    let attack = move |tx: &mut sealpost_store::Tx| tx.execute(&SOONER, params![id]).map(drop);
    world.store.write_blocking(Scope::instance(), attack).expect("the attack works");
    let expired = world.upkeep.expire().await.expect("looks");
    assert_eq!((expired.rows, expired.left), (0, 1));
    assert!(world.archive.open(&good).await.is_ok());
    assert!(world.there(&bad));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_an_entry_cannot_be_forged() {
    let world = World::new().await;
    let row = world.keep().await;
    world.after(row.expires);
    world.upkeep.expire().await.expect("expires");
    let id = row.id;
    let attack = move |tx: &mut sealpost_store::Tx| tx.execute(&GONE_ELSEWHERE, params![id]).map(drop);
    world.store.write_blocking(Scope::instance(), attack).expect("the attack works");
    let report = verify::run(&world.store, &world.archive, |_| {}).await.expect("verifies");
    let [fault] = &report.faults[..] else { panic!("{:?}", report.faults) };
    assert_eq!((fault.table, fault.journal), ("journal_gone", row.id.raw()));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_turn_does_all_that_is_due() {
    let world = World::new().await;
    let row = world.keep().await;
    world.upkeep.turn().await.expect("turns");
    let status = blob::status(&world.store).await.expect("counts");
    assert_eq!((status.awaiting, status.bodies[1].0), (0, 1), "it lies in its archive pack");
    assert_eq!(status.collected, Some(world.clock.now()));
    world.after(row.expires);
    world.upkeep.turn().await.expect("turns");
    world.clock.advance(DAY);
    world.upkeep.turn().await.expect("turns");
    assert!(!world.there(&row));
}
