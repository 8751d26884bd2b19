//! What the ring promises, and where it may be interrupted.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use sealpost_crypto::{Aad, Key, Random, Tampered};
use sealpost_model::{Id, LifeKeyId};
use tempfile::TempDir;

use super::disk::Disk;
use super::page::Tree;
use super::writer::{Step, StepHook, Steps};
use super::{Error, Ring};
use crate::keys::Master;

const STEPS: [Step; 3] = [Step::NewSlotWritten, Step::PagesCommitted, Step::OldSlotZeroed];

struct World {
    dir: TempDir,
    key: Key,
    master: Master,
    random: Random,
}

impl World {
    fn new() -> Self {
        let random = Random::danger_predictable(7);
        let key = random.key();
        Self { dir: TempDir::new().unwrap(), master: Master::new(key.clone()), key, random }
    }

    fn create(&self) -> Ring {
        Ring::create(self.dir.path(), &self.master, &self.random).unwrap()
    }

    fn open(&self) -> Result<Ring, Error> {
        Ring::open(self.dir.path(), &self.master, &self.random)
    }

    fn open_with(&self, hook: StepHook) -> Ring {
        Ring::open_with(self.dir.path(), &self.master, &self.random, Steps { hook: Some(hook) }).unwrap()
    }

    /// A copy of the ring's folder as a crash would leave it now.
    fn copy(&self) -> Self {
        Self {
            dir: copy_of(self.dir.path()),
            key: self.key.clone(),
            master: self.master.clone(),
            random: self.random.clone(),
        }
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }
}

fn copy_of(folder: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

fn all(ring: &Ring) -> BTreeMap<i64, Key> {
    ring.ids().into_iter().map(|id| (id.raw(), ring.key(id).unwrap())).collect()
}

fn blob_aad() -> Aad {
    Aad::instance("entry", 1, "wrapped")
}

#[test]
fn keys_are_there_after_opening_again() {
    let world = World::new();
    let ring = world.create();
    let mut made = ring.create_keys_blocking(300).unwrap();
    made.extend(ring.create_keys_blocking(1).unwrap());
    assert_eq!(ring.len(), 301);
    drop(ring);
    let ring = world.open().unwrap();
    for (id, key) in &made {
        assert_eq!(ring.key(*id).as_ref(), Some(key));
    }
    // And the open leaf goes on where it stopped.
    let (id, _) = ring.create_keys_blocking(1).unwrap().pop().unwrap();
    assert_eq!(id.raw(), made.last().unwrap().0.raw() + 1);
    assert_eq!(ring.tree(|tree| tree.leaves.len()), 2);
}

#[test]
fn a_destroyed_key_is_gone_and_its_number_too() {
    let world = World::new();
    let ring = world.create();
    let made = ring.create_keys_blocking(600).unwrap();
    let cipher = ring.cipher(made[3].0).unwrap();
    assert!(Arc::ptr_eq(&cipher, &ring.cipher(made[3].0).unwrap()));
    let cached = Arc::downgrade(&cipher);
    drop(cipher);
    assert!(cached.upgrade().is_some());
    let dead: Vec<LifeKeyId> = made[..256].iter().chain(&made[400..402]).map(|(id, _)| *id).collect();
    ring.destroy_blocking(&dead).unwrap();
    assert!(cached.upgrade().is_none(), "its expanded form was wiped too");
    let check = |ring: &Ring| {
        assert_eq!(ring.len(), 600 - 258);
        assert!(dead.iter().all(|id| ring.key(*id).is_none() && ring.cipher(*id).is_none()));
        assert_eq!(ring.key(made[402].0).as_ref(), Some(&made[402].1));
        assert_eq!(ring.generation(), 2);
    };
    check(&ring);
    drop(ring);
    let ring = world.open().unwrap();
    check(&ring);
    // A list may be replayed, and may name what never was.
    ring.destroy_blocking(&dead).unwrap();
    ring.destroy_blocking(&[LifeKeyId::from_raw(0), LifeKeyId::from_raw(-5), LifeKeyId::from_raw(i64::MAX)])
        .unwrap();
    assert_eq!(ring.generation(), 2, "nothing was there to destroy");
    let fresh = ring.create_keys_blocking(300).unwrap();
    assert!(fresh.iter().all(|(id, _)| made.iter().all(|(old, _)| old != id)));
}

#[test]
fn yesterdays_copy_of_the_data_does_not_open_with_todays_ring() {
    let world = World::new();
    let ring = world.create();
    let keys = ring.create_keys_blocking(3).unwrap();
    let blob_key = world.random.key();
    // What lies in the data folder, and in every copy of it.
    let in_the_data = keys[1].1.wrap(&world.random, &blob_aad(), &blob_key);
    let yesterday = fs::read(world.file("ring.sqlite")).unwrap();
    let yesterday_log = fs::read(world.file("ring.sqlite-wal")).unwrap();
    ring.destroy_blocking(&[keys[1].0]).unwrap();
    for key in all(&ring).values() {
        assert_eq!(key.unwrap(&blob_aad(), &in_the_data), Err(Tampered));
    }
    drop(ring);
    // Yesterday's pages with today's ring.key and master.
    fs::write(world.file("ring.sqlite"), yesterday).unwrap();
    fs::write(world.file("ring.sqlite-wal"), yesterday_log).unwrap();
    assert_eq!(world.open().unwrap_err(), Error::Mixed { path: world.dir.path().to_owned() });
    // Nor does it help to pretend that they are today's.
    let conn = rusqlite::Connection::open(world.file("ring.sqlite")).unwrap();
    conn.execute("UPDATE ring SET generation = generation + 1", []).unwrap();
    drop(conn);
    fs::set_permissions(world.file("ring.sqlite"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(world.open().unwrap_err(), Error::Corrupt { what: "root page".to_owned() });
}

#[test]
fn nothing_is_left_of_the_old_ring_key() {
    let world = World::new();
    let ring = world.create();
    let keys = ring.create_keys_blocking(2).unwrap();
    let before = fs::read(world.file("ring.key")).unwrap();
    ring.destroy_blocking(&[keys[0].0]).unwrap();
    let after = fs::read(world.file("ring.key")).unwrap();
    assert!(before[..4096].iter().any(|b| *b != 0) && before[4096..].iter().all(|b| *b == 0));
    assert!(after[..4096].iter().all(|b| *b == 0) && after[4096..].iter().any(|b| *b != 0));
    ring.destroy_blocking(&[keys[1].0]).unwrap();
    let third = fs::read(world.file("ring.key")).unwrap();
    assert!(third[..4096].iter().any(|b| *b != 0) && third[4096..].iter().all(|b| *b == 0));
}

#[test]
fn no_life_key_lies_in_the_files_in_the_clear() {
    let world = World::new();
    let ring = world.create();
    let keys = ring.create_keys_blocking(50).unwrap();
    ring.destroy_blocking(&[keys[7].0]).unwrap();
    for name in ["ring.key", "ring.sqlite", "ring.sqlite-wal"] {
        let bytes = fs::read(world.file(name)).unwrap();
        for key in keys.iter().map(|(_, key)| key).chain([&world.key]) {
            assert!(!bytes.windows(32).any(|w| w == key.expose()), "{name}");
        }
    }
    assert!(!format!("{ring:?}").contains("Key"));
}

/// A crash between any two steps of a destruction: the copy made at that moment opens, with the key wholly
/// gone (it was on the list), and one slot is left.
#[test]
fn a_crash_between_any_two_steps_leaves_a_whole_ring() {
    for at in STEPS {
        let world = World::new();
        let ring = world.create();
        let keys = ring.create_keys_blocking(300).unwrap();
        drop(ring);
        let crashed: Arc<Mutex<Option<TempDir>>> = Arc::default();
        let ring = world.open_with({
            let (crashed, folder) = (Arc::clone(&crashed), world.dir.path().to_owned());
            Box::new(move |step| {
                if step == at {
                    *crashed.lock().unwrap() = Some(copy_of(&folder));
                }
                Ok(())
            })
        });
        ring.destroy_blocking(&[keys[5].0, keys[299].0]).unwrap();
        assert_eq!(ring.len(), 298);

        let crashed = World {
            dir: crashed.lock().unwrap().take().unwrap(),
            key: world.key.clone(),
            master: world.master.clone(),
            random: world.random.clone(),
        };
        let found = crashed.open().unwrap();
        // It was on the list before the first step, so opening has carried it out.
        assert_eq!(found.len(), 298, "{at:?}");
        assert_eq!(found.key(keys[6].0).as_ref(), Some(&keys[6].1));
        let slots = fs::read(crashed.file("ring.key")).unwrap();
        let empty = slots.chunks(4096).filter(|s| s.iter().all(|b| *b == 0)).count();
        assert_eq!(empty, 1, "{at:?}: opening zeroed the slot that does not count");
        // And it goes on: the destruction is repeated, more is made.
        found.destroy_blocking(&[keys[5].0, keys[299].0]).unwrap();
        found.create_keys_blocking(2).unwrap();
        let now = all(&found);
        drop(found);
        assert_eq!(all(&crashed.open().unwrap()), now);
    }
}

/// The same, when the step fails and the process lives on.
#[test]
fn a_failure_between_any_two_steps_is_told_and_mended() {
    for at in STEPS {
        let world = World::new();
        let ring = world.create();
        let keys = ring.create_keys_blocking(3).unwrap();
        drop(ring);
        let once = Arc::new(Mutex::new(true));
        let ring = world.open_with({
            let once = Arc::clone(&once);
            Box::new(move |step| {
                if step == at && std::mem::take(&mut *once.lock().unwrap()) {
                    return Err(Error::Full);
                }
                Ok(())
            })
        });
        assert_eq!(ring.destroy_blocking(&[keys[0].0]), Err(Error::Full), "{at:?}");
        // What memory shows is what the files say.
        assert!(ring.key(keys[0].0).is_none(), "{at:?}: it was noted, so it is carried out");
        ring.destroy_blocking(&[keys[0].0]).unwrap();
        assert!(ring.key(keys[0].0).is_none());
        ring.create_keys_blocking(1).unwrap();
        assert_eq!(ring.len(), 3);
        let now = all(&ring);
        drop(ring);
        assert_eq!(all(&world.open().unwrap()), now, "{at:?}");
    }
}

#[test]
fn a_torn_slot_is_no_slot() {
    for counts in [0, 1] {
        for cut in [1, 50, 100, 108] {
            let world = World::new();
            let ring = world.create();
            let keys = ring.create_keys_blocking(3).unwrap();
            if counts == 1 {
                ring.destroy_blocking(&[keys[0].0]).unwrap();
            }
            let now = all(&ring);
            drop(ring);
            // As if the machine had stopped while the next generation was written into the other slot.
            let path = world.file("ring.key");
            let mut torn = fs::read(&path).unwrap()[counts * 4096..][..cut].to_vec();
            if let Some(generation) = torn.get_mut(15) {
                *generation += 1;
            }
            let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
            file.write_all_at(&torn, (1 - counts) as u64 * 4096).unwrap();
            assert_eq!(all(&world.open().unwrap()), now, "{counts} {cut}");
            assert!(fs::read(&path).unwrap()[(1 - counts) * 4096..][..4096].iter().all(|b| *b == 0));
        }
    }
}

#[test]
fn what_is_wrong_is_said_in_one_sentence() {
    let world = World::new();
    let missing = world.open().unwrap_err();
    assert!(matches!(missing, Error::Missing { .. }), "{missing}");
    let ring = world.create();
    assert!(matches!(world.open().unwrap_err(), Error::Locked { .. }));
    let again = Ring::create(world.dir.path(), &world.master, &world.random).unwrap_err();
    assert!(matches!(again, Error::Exists { .. }), "{again}");
    ring.create_keys_blocking(1).unwrap();
    drop(ring);

    let wrong = Ring::open(world.dir.path(), &Master::new(world.random.key()), &world.random).unwrap_err();
    assert_eq!(wrong, Error::WrongMaster { path: world.file("ring.key") });

    for name in ["ring.key", "ring.sqlite"] {
        for mode in [0o640, 0o604, 0o644, 0o400] {
            fs::set_permissions(world.file(name), fs::Permissions::from_mode(mode)).unwrap();
            let error = world.open().unwrap_err();
            assert_eq!(error, Error::Mode { path: world.file(name), mode });
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
        fs::set_permissions(world.file(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    let copy = world.copy();
    fs::remove_file(copy.file("ring.sqlite")).unwrap();
    assert_eq!(copy.open().unwrap_err(), Error::Missing { path: copy.file("ring.sqlite") });
    let copy = world.copy();
    fs::write(copy.file("ring.key"), [0; 8192]).unwrap();
    assert_eq!(copy.open().unwrap_err(), Error::Corrupt { what: "ring.key".to_owned() });
    let copy = world.copy();
    fs::write(copy.file("ring.sqlite"), "no database at all, but quite some text to read").unwrap();
    assert_eq!(copy.open().unwrap_err(), Error::Corrupt { what: "ring.sqlite".to_owned() });
    assert_eq!(world.open().unwrap().len(), 1);
}

#[test]
fn pages_of_another_ring_are_refused() {
    let (a, b) = (World::new(), World::new());
    drop(a.create());
    let other = Ring::create(b.dir.path(), &a.master, &Random::danger_predictable(8)).unwrap();
    drop(other);
    fs::copy(b.file("ring.sqlite"), a.file("ring.sqlite")).unwrap();
    assert!(matches!(a.open().unwrap_err(), Error::Mixed { .. }));
}

#[test]
fn a_missing_foreign_or_exchanged_leaf_is_named() {
    let world = World::new();
    let ring = world.create();
    ring.create_keys_blocking(600).unwrap();
    drop(ring);
    for (damage, leaf) in [
        ("DELETE FROM leaf WHERE id = 2", 2),
        ("INSERT INTO leaf SELECT 9, page FROM leaf WHERE id = 1", 9),
        ("UPDATE leaf SET page = (SELECT page FROM leaf WHERE id = 3) WHERE id = 1", 1),
        ("UPDATE leaf SET page = x'01' WHERE id = 3", 3),
    ] {
        let copy = world.copy();
        rusqlite::Connection::open(copy.file("ring.sqlite")).unwrap().execute(damage, []).unwrap();
        assert_eq!(
            copy.open().unwrap_err(),
            Error::Corrupt { what: format!("leaf page {leaf}") },
            "{damage}"
        );
    }
}

#[test]
fn an_interrupted_creation_leaves_no_ring_and_can_be_repeated() {
    let world = World::new();
    fs::write(world.file("ring.key.new"), "half").unwrap();
    fs::write(world.file("ring.sqlite.new"), "half").unwrap();
    assert!(matches!(world.open().unwrap_err(), Error::Missing { .. }));
    drop(world.create());
    let mut names: Vec<_> = fs::read_dir(world.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["destroyed", "ring.key", "ring.sqlite"]);
}

#[test]
fn creations_that_come_together_share_a_sync() {
    let world = World::new();
    drop(world.create());
    let commits = Arc::new(Mutex::new(0));
    let ring = world.open_with({
        let commits = Arc::clone(&commits);
        Box::new(move |step| {
            if step == Step::PagesCommitted {
                *commits.lock().unwrap() += 1;
            }
            Ok(())
        })
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let made = runtime.block_on(async {
        let calls: Vec<_> = (0..500)
            .map(|_| {
                let ring = ring.clone();
                tokio::spawn(async move { ring.create_key().await.unwrap() })
            })
            .collect();
        let mut made = Vec::new();
        for call in calls {
            made.push(call.await.unwrap());
        }
        made
    });
    let different: std::collections::HashSet<_> = made.iter().map(|(id, _)| *id).collect();
    assert_eq!(different.len(), 500);
    let commits = *commits.lock().unwrap();
    assert!(commits < 250, "{commits} commits for 500 creations");
    drop(ring);
    assert_eq!(all(&world.open().unwrap()).len(), 500);
}

#[test]
fn readers_go_on_while_keys_come_and_go() {
    let world = World::new();
    let ring = world.create();
    let (kept, key) = ring.create_keys_blocking(1).unwrap().pop().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let made = ring.create_keys_blocking(40).unwrap();
                    let ids: Vec<_> = made.iter().map(|(id, _)| *id).collect();
                    for (id, key) in &made {
                        assert_eq!(ring.key(*id).as_ref(), Some(key));
                    }
                    ring.destroy_blocking(&ids).unwrap();
                    assert!(ids.iter().all(|id| ring.key(*id).is_none()));
                    assert_eq!(ring.key(kept), Some(key.clone()));
                }
            });
        }
    });
    assert_eq!(ring.len(), 1);
}

/// What a thief may hold: copies of `ring.sqlite` (log included) from any earlier day.
struct Copies(Vec<(u64, TempDir)>);

impl Copies {
    fn take(&mut self, world: &World, ring: &Ring) {
        self.0.push((ring.generation(), copy_of(world.dir.path())));
    }

    /// Every root page that copies from before the newest destruction hold.
    fn roots(&self, before: u64) -> Vec<(u64, Vec<u8>)> {
        let old = self.0.iter().filter(|(generation, _)| *generation < before);
        old.map(|(_, dir)| {
            let conn = rusqlite::Connection::open(dir.path().join("ring.sqlite")).unwrap();
            conn.query_row("SELECT generation, root FROM ring", [], |r| {
                Ok((r.get::<_, i64>(0)? as u64, r.get(1)?))
            })
            .unwrap()
        })
        .collect()
    }

    /// Every leaf page that any copy holds.
    fn leaves(&self) -> Vec<(i64, Vec<u8>)> {
        let mut all = Vec::new();
        for (_, dir) in &self.0 {
            let conn = rusqlite::Connection::open(dir.path().join("ring.sqlite")).unwrap();
            let mut statement = conn.prepare("SELECT id, page FROM leaf").unwrap();
            let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
            all.extend(rows.map(Result::unwrap));
        }
        all
    }
}

#[derive(Clone, Debug)]
enum Act {
    Create(usize),
    Destroy(Vec<prop::sample::Index>),
    Copy,
    Reopen,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (1..200_usize).prop_map(Act::Create),
        3 => prop::collection::vec(any::<prop::sample::Index>(), 1..60).prop_map(Act::Destroy),
        2 => Just(Act::Copy),
        1 => Just(Act::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever came and went: the ring holds what lives and nothing else, and today's ring key opens no root page
    /// from before the last destruction, so no copy of the pages helps to anything that hung on them.
    #[test]
    fn what_is_destroyed_stays_destroyed(acts in prop::collection::vec(act(), 1..16)) {
        let world = World::new();
        let mut ring = world.create();
        let mut living: BTreeMap<i64, Key> = BTreeMap::new();
        let mut sealed: Vec<(i64, Vec<u8>)> = Vec::new();
        let mut copies = Copies(Vec::new());
        for act in acts {
            match act {
                Act::Create(n) => {
                    for (id, key) in ring.create_keys_blocking(n).unwrap() {
                        sealed.push((id.raw(), key.wrap(&world.random, &blob_aad(), &key)));
                        prop_assert_eq!(living.insert(id.raw(), key), None);
                    }
                }
                Act::Destroy(picks) if !living.is_empty() => {
                    copies.take(&world, &ring);
                    let ids: Vec<i64> = living.keys().copied().collect();
                    let doomed: Vec<i64> = picks.iter().map(|p| *p.get(&ids)).collect();
                    let before = ring.generation();
                    ring.destroy_blocking(&doomed.iter().map(|id| LifeKeyId::from_raw(*id)).collect::<Vec<_>>()).unwrap();
                    doomed.iter().for_each(|id| drop(living.remove(id)));
                    prop_assert_eq!(ring.generation(), before + 1);
                }
                Act::Destroy(_) => {}
                Act::Copy => copies.take(&world, &ring),
                Act::Reopen => {
                    drop(ring);
                    ring = world.open().unwrap();
                }
            }
            prop_assert_eq!(&all(&ring), &living);
        }
        let generation = ring.generation();
        // Blob keys in any copy of the data folder open only while their life key lives.
        for (id, wrapped) in &sealed {
            let opened = ring.key(LifeKeyId::from_raw(*id)).map(|key| key.unwrap(&blob_aad(), wrapped).is_ok());
            prop_assert_eq!(opened, living.contains_key(id).then_some(true));
        }
        drop(ring);
        let (disk, tree) = Disk::open(world.dir.path(), &world.master).unwrap();
        for (old, root) in copies.roots(generation) {
            for as_generation in [old, generation] {
                prop_assert!(!disk.opens_root(as_generation, &root));
            }
        }
        // An old leaf that today's page keys open holds nothing but what lives today.
        for (number, page) in copies.leaves() {
            for page_key in tree.leaves.values().map(|leaf| &leaf.page_key) {
                let Some(leaf) = disk.open_leaf(page_key, number, &page) else { continue };
                let old = Tree { leaves: BTreeMap::from([(number, leaf)]), ..Tree::default() };
                prop_assert!(old.ids().iter().all(|id| living.contains_key(&id.raw())));
            }
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// A flipped bit anywhere is named when the ring is opened, or makes no difference.
    #[test]
    fn a_flipped_bit_is_named_or_harmless(page_file: bool, at: prop::sample::Index, bit in 0..8_u8) {
        thread_local! {
            static WHOLE: (World, BTreeMap<i64, Key>) = {
                let world = World::new();
                let ring = world.create();
                let keys = ring.create_keys_blocking(20).unwrap();
                ring.destroy_blocking(&[keys[3].0]).unwrap();
                let keys = all(&ring);
                drop(ring);
                (world, keys)
            };
        }
        WHOLE.with(|(whole, keys)| {
            let world = whole.copy();
            let path = world.file(if page_file { "ring.sqlite" } else { "ring.key" });
            let mut bytes = fs::read(&path).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            fs::write(&path, bytes).unwrap();
            if let Ok(ring) = world.open() {
                prop_assert_eq!(&all(&ring), keys);
            }
            Ok(())
        })?;
    }
}

#[test]
fn who_looks_finds_keys_that_came_later() {
    let world = World::new();
    let ring = world.create();
    let looking = Ring::look(world.dir.path(), &world.master).unwrap();
    let (id, key) = ring.create_keys_blocking(1).unwrap().remove(0);
    assert_eq!(looking.key(id), Some(key));
    ring.destroy_blocking(&[id]).unwrap();
    assert!(Ring::look(world.dir.path(), &world.master).unwrap().key(id).is_none());
}
