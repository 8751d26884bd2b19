//! Sets of a store with bodies in packs: made, kept in the right number, cut short, brought back, damaged, dead.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sealpost_audit::{Audit, Caller, Filter, Verb};
use sealpost_crypto::{Key, Random};
use sealpost_model::{BlobId, Id, ManualClock, TenantId, Time};
use sealpost_policy::{Role, Roles};
use sealpost_store::keys::{Keys, Master};
use sealpost_store::ring::Ring;
use sealpost_store::{Schema, Scope, Store, blob};

use super::*;

const SCHEMAS: &[&Schema] = &[&sealpost_audit::SCHEMA, &SCHEMA];
const DAY: Duration = Duration::from_secs(86_400);

struct World {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    store: Store,
    keys: Keys,
    audit: Audit,
    backup: Backup,
    key: Key,
}

fn store_options(data: PathBuf, clock: &Arc<ManualClock>) -> sealpost_store::Options {
    sealpost_store::Options::embedded(data, clock.clone(), Random::system())
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // A Monday at noon, UTC.
        let clock = Arc::new(ManualClock::new(Time::from_seconds(1_795_435_200)));
        let store = Store::open(store_options(folder.path().join("data"), &clock), SCHEMAS).unwrap();
        let master = Master::new(Key::from_bytes([7; 32]));
        let ring = Ring::create(&folder.path().join("ring"), &master, &Random::system()).unwrap();
        let keys = Keys::create(store.clone(), ring, &master).await.unwrap();
        let options = sealpost_audit::Options::default();
        let audit =
            Audit::new(store.clone(), keys.clone(), clock.clone(), Random::system(), options).await.unwrap();
        let backup = service(&folder, &clock, &store, &keys, &audit, None);
        Self { folder, clock, store, keys, audit, backup, key: Key::from_bytes([9; 32]) }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A body of its own bytes.
    async fn add(&self, length: usize) -> BlobId {
        let id: BlobId = self.store.id();
        let mut plain = vec![0; length];
        self.store.random().fill(&mut plain);
        let blob = self.store.blobs().put_bytes(TenantId::from_raw(1), id, &self.key, &plain).await.unwrap();
        self.store.write(Scope::instance(), move |tx| blob::insert(tx, &blob)).await.unwrap();
        id
    }

    async fn body(&self, store: &Store, id: BlobId) -> Vec<u8> {
        let row = store.read(move |tx| blob::locate(tx, id)).await.unwrap().expect("its row");
        store.blobs().read(row, &self.key, 0..u64::MAX).await.unwrap()
    }

    /// Brings a set back into a new folder and opens it there.
    fn bring_back(&self, set: &SetRow, name: &str) -> Result<Store, Error> {
        let place = self.backup.place(set.kind)?;
        let opened = open_with(&*place, self.backup.header(set), |life| self.backup.key(life))?;
        let options = store_options(self.at(name), &self.clock);
        opened.restore(&options, SCHEMAS, &Watcher::new(None))?;
        Ok(Store::open(options, SCHEMAS)?)
    }

    fn files(&self, place: &str) -> BTreeSet<String> {
        let place = place::Folder::new(self.at(place));
        [place.list("segments").unwrap(), place.list("sets").unwrap()].concat().into_iter().collect()
    }

    async fn log(&self, verb: Verb) -> usize {
        let filter = Filter { limit: 500, verb: Some(verb), ..Filter::default() };
        let roles = Roles::NONE.with(Role::SecurityOfficial);
        let page = self.audit.list(&Caller::SYSTEM, roles, sealpost_audit::instance(), &filter).await;
        page.unwrap().records.len()
    }
}

fn service(
    folder: &tempfile::TempDir,
    clock: &Arc<ManualClock>,
    store: &Store,
    keys: &Keys,
    audit: &Audit,
    max_rate: Option<u64>,
) -> Backup {
    let place = |name: &str| Some(folder.path().join(name).display().to_string());
    let config = folder.path().join("sealpost.toml");
    std::fs::write(&config, "[server]\n").unwrap();
    Backup::new(
        Ground {
            store: store.clone(),
            schemas: SCHEMAS,
            keys: keys.clone(),
            audit: audit.clone(),
            clock: clock.clone(),
            random: Random::system(),
        },
        Options {
            host: "mail.test".into(),
            daily: place("daily"),
            weekly: place("weekly"),
            ring: Some(folder.path().join("rings")),
            schedule: Schedule::new("02:30", "sunday", "UTC").unwrap(),
            max_rate,
            files: vec![("config/sealpost.toml".into(), config)],
        },
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn two_days_and_four_weeks_are_kept_and_the_rest_dies() {
    let world = World::new().await;
    let mut first = None;
    for day in 0..36 {
        world.add(20_000).await;
        world.backup.tick().await;
        let standing = world.backup.standing().await.unwrap();
        let kept: Vec<usize> = standing.iter().map(|s| s.sets.len()).collect();
        // The first of each at once, then one each morning and each Sunday.
        assert_eq!(kept, [(day + 1).min(2), (1 + (day + 1) / 7).min(4)], "day {day}");
        for (place, kept) in ["daily", "weekly"].into_iter().zip(kept) {
            let sets = world.files(place).into_iter().filter(|f| f.starts_with("sets/")).count();
            assert_eq!(sets, kept, "day {day}, {place}");
        }
        first = first.or_else(|| standing[1].sets.first().cloned());
        world.clock.advance(DAY);
    }
    let standing = world.backup.standing().await.unwrap();
    let gone = first.unwrap();
    // Its key is gone: whoever kept its files can't open them, and nobody finds them here.
    assert!(world.backup.key(gone.life).is_none());
    assert!(matches!(world.bring_back(&gone, "dead"), Err(Error::Dead { .. })));
    let ended = world.backup.sets().await.unwrap().iter().filter(|s| s.ended.is_some()).count();
    assert_eq!(world.log(Verb::BackupEnd).await, 2 * ended, "each end is opened and completed");
    assert!(ended >= 34, "{ended}");
    // What only ended sets named is deleted; what lives is whole.
    let mut named = BTreeSet::new();
    for set in &standing[0].sets {
        let place = world.backup.place(Kind::Daily).unwrap();
        let opened = open_with(&*place, world.backup.header(set), |l| world.backup.key(l)).unwrap();
        named.extend(opened.manifest.segments().map(|s| s.file()));
        named.insert(opened.header.file());
    }
    assert_eq!(world.files("daily"), named);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_newer_one_a_set_dies_at_four_weeks_all_the_same() {
    let world = World::new().await;
    let set = world.backup.run(Kind::Weekly).await.unwrap();
    world.clock.advance(LIFE - Duration::from_secs(1));
    assert_eq!(world.backup.retire(Kind::Weekly).await.unwrap(), 0);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.backup.retire(Kind::Weekly).await.unwrap(), 1);
    assert!(world.backup.key(set.life).is_none());
    assert!(world.files("weekly").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_brings_everything_back_and_the_next_one_copies_what_is_new() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for length in [10, 5_000, 300_000, 6_000_000] {
        ids.push(world.add(length).await);
    }
    let first = world.backup.run(Kind::Daily).await.unwrap();
    let late = world.add(40_000).await;
    let second = world.backup.run(Kind::Daily).await.unwrap();
    assert!(first.added > 6_000_000, "{first:?}");
    assert!(second.added < 5_000_000 && second.bytes > first.bytes, "{first:?} {second:?}");

    let back = world.bring_back(&first, "first").unwrap();
    for id in &ids {
        assert_eq!(world.body(&back, *id).await, world.body(&world.store, *id).await);
    }
    assert!(back.read(move |tx| blob::locate(tx, late)).await.unwrap().is_none());
    let config = restore::restored(&world.at("first")).join("config/sealpost.toml");
    assert_eq!(std::fs::read_to_string(config).unwrap(), "[server]\n");
    // What was lost with the old server must not be given again.
    assert!(sealpost_model::Id::raw(back.id::<BlobId>()) > sealpost_model::Id::raw(late) + 900_000);
    back.close();
    // Nothing is restored over data.
    assert!(matches!(world.bring_back(&first, "first"), Err(Error::Store(_))));
    let back = world.bring_back(&second, "second").unwrap();
    assert_eq!(world.body(&back, late).await, world.body(&world.store, late).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_short_goes_on() {
    let world = World::new().await;
    for _ in 0..4 {
        world.add(5_000_000).await;
    }
    // So slow that it is surely stopped in the middle.
    let World { folder, clock, store, keys, audit, .. } = &world;
    let slow = service(folder, clock, store, keys, audit, Some(6_000_000));
    let running = tokio::spawn({
        let slow = slow.clone();
        async move { slow.run(Kind::Daily).await }
    });
    let standing = async || slow.standing().await.unwrap().remove(0);
    while standing().await.running.is_none_or(|p| p.phase != "bodies" || p.done < 9_000_000) {
        assert!(!running.is_finished(), "it was too quick");
        tokio::task::yield_now().await;
    }
    assert!(matches!(slow.run(Kind::Daily).await, Err(Error::Busy)));
    running.abort();
    assert!(running.await.is_err());
    // The thread behind it sees that at its next piece.
    while standing().await.running.is_some() {
        tokio::task::yield_now().await;
    }
    let later = world.add(100).await;
    let before = world.files("daily");
    assert!(before.iter().all(|f| f.starts_with("segments/")), "a set that is not whole is none");
    let set = world.backup.run(Kind::Daily).await.unwrap();
    assert!(before.is_subset(&world.files("daily")), "what was there is named again");
    assert!(!world.at("data/backup-spool").join(set.id.to_string()).exists());
    // It goes on with the snapshot that it had.
    let back = world.bring_back(&set, "back").unwrap();
    assert!(back.read(move |tx| blob::locate(tx, later)).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_goes_on_and_names_what_is_damaged() {
    let world = World::new().await;
    let id = world.add(9_000_000).await;
    let set = world.backup.run(Kind::Weekly).await.unwrap();
    let place = world.backup.place(Kind::Weekly).unwrap();
    let opened = open_with(&*place, world.backup.header(&set), |l| world.backup.key(l)).unwrap();
    let segments: Vec<String> = opened.manifest.segments().map(|s| s.file()).collect();
    for (number, file) in segments.iter().enumerate() {
        let path = world.at("weekly").join(file);
        let right = std::fs::read(&path).unwrap();
        let mut wrong = right.clone();
        *wrong.last_mut().unwrap() ^= 1;
        std::fs::write(&path, wrong).unwrap();
        let folder = format!("back{number}");
        let said = world.bring_back(&set, &folder).err().expect("it is damaged").to_string();
        assert!(said.contains(file), "{said}");
        let half = Store::open(store_options(world.at(&folder), &world.clock), SCHEMAS);
        assert!(matches!(half, Err(sealpost_store::Error::Unfinished)), "piece {number}");
        std::fs::write(&path, right).unwrap();
    }
    let last = format!("back{}", segments.len() - 1);
    let back = world.bring_back(&set, &last).unwrap();
    assert_eq!(world.body(&back, id).await, world.body(&world.store, id).await);

    // A manifest with another's header, and a place that is another's.
    let file = world.at("weekly").join(opened.header.file());
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[35] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    assert!(matches!(world.bring_back(&set, "other"), Err(Error::Damaged { .. })));
    std::fs::rename(world.at("weekly"), world.at("daily")).unwrap();
    let said = world.backup.run(Kind::Daily).await.unwrap_err().to_string();
    assert!(said.contains("sets of the other kind"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_changes_the_table_unseen() {
    let world = World::new().await;
    let set = world.backup.run(Kind::Daily).await.unwrap();
    world.backup.verified(set.id, sealpost_model::Clock::now(&*world.clock)).await.unwrap();
    assert!(world.backup.standing().await.unwrap()[0].verified.is_some());
    world
        .store
        .write(Scope::instance(), |tx| {
            sealpost_store::sql! { FORGE = "UPDATE backup_set SET ended = NULL, created = created + 1"; }
            tx.execute(&FORGE, &[])
        })
        .await
        .unwrap();
    assert!(world.backup.sets().await.is_err());
    let mut look = sealpost_store::Inspection::new(&world.store, &world.keys);
    inspect(&mut look).await.unwrap();
    assert_eq!(look.finish(0).faults.len(), 1);
}
