//! Nothing that was destroyed comes back, from no backup, and a backup dies when it should.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use sealpost_model::Id;
use tempfile::TempDir;

use super::*;

const NOW: Time = Time::from_seconds(1_800_000_000);

struct World {
    dir: TempDir,
    master: Master,
    random: Random,
}

fn days(n: u64) -> std::time::Duration {
    std::time::Duration::from_secs(n * 86_400)
}

impl World {
    fn new() -> Self {
        let random = Random::danger_predictable(21);
        Self { dir: TempDir::new().unwrap(), master: Master::new(random.key()), random }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn places(&self) -> Places {
        Places { ring: Place::Folder(self.at("ring")), second: Some(Place::Folder(self.at("second"))) }
    }

    fn create(&self) -> Ring {
        Ring::create(self.places(), &self.master, &self.random).unwrap()
    }

    fn open(&self) -> Result<Ring> {
        Ring::open(self.places(), &self.master, &self.random)
    }

    /// The ring's machine burns down; its second place is elsewhere.
    fn burn(&self) {
        fs::remove_dir_all(self.at("ring")).unwrap();
    }

    fn restore(&self, name: &str, now: Time) -> Result<RestoreFacts> {
        Ring::restore(self.places(), &self.at(name), &self.master, &self.random, now)
    }
}

#[test]
fn a_restored_ring_has_all_that_lived_and_nothing_that_died() {
    let world = World::new();
    let ring = world.create();
    let made = ring.create_keys_blocking(700).unwrap();
    ring.destroy_blocking(&[made[0].0, made[300].0]).unwrap();
    let facts = ring.backup(&world.at("one"), NOW).unwrap();
    assert_eq!((facts.keys, facts.made, facts.generation), (698, NOW, 2));
    assert!(facts.dies > NOW.plus(days(20)) && facts.dies <= NOW.plus(days(28)));
    // After the backup: some die, some are made.
    ring.destroy_blocking(&[made[1].0, made[699].0]).unwrap();
    ring.destroy_blocking(&[made[2].0]).unwrap();
    let later = ring.create_keys_blocking(1_000).unwrap();
    drop(ring);
    world.burn();
    let restored = world.restore("one", NOW.plus(days(1))).unwrap();
    assert_eq!((restored.destroyed_again, restored.keys), (3, 695));
    assert_eq!(restored.from, facts);
    let ring = world.open().unwrap();
    for (at, (id, key)) in made.iter().enumerate() {
        let lives = ![0, 1, 2, 300, 699].contains(&at);
        assert_eq!(ring.key(*id).as_ref(), lives.then_some(key), "{at}");
    }
    // What was made after the backup is lost, and its numbers are given to nobody.
    let fresh = ring.create_keys_blocking(600).unwrap();
    let highest = later.iter().map(|(id, _)| id.raw()).max().unwrap();
    assert!(later.iter().all(|(id, _)| ring.key(*id).is_none()));
    assert!(fresh.iter().all(|(id, _)| id.raw() > highest));
    // The list goes on where it was.
    ring.destroy_blocking(&[fresh[0].0]).unwrap();
    assert_eq!(ring.destructions().unwrap(), 4);
    drop(ring);
    world.open().unwrap();
}

#[test]
fn a_backup_can_not_be_opened_after_four_weeks() {
    let world = World::new();
    let ring = world.create();
    ring.create_keys_blocking(3).unwrap();
    let facts = ring.backup(&world.at("old"), NOW).unwrap();
    let stolen = fs::read_to_string(world.at("second/weeks")).unwrap();
    let just_before = facts.dies.minus(std::time::Duration::from_millis(1));
    assert_eq!(
        Ring::verify_backup(world.places(), &world.at("old"), &world.master, just_before).unwrap(),
        facts
    );
    // Each week has one key, and at most four and the current one live.
    for week in 1..10 {
        let now = NOW.plus(days(7 * week));
        ring.backup(&world.at(&format!("week {week}")), now).unwrap();
        ring.backup(&world.at(&format!("week {week} again")), now).unwrap();
        assert!(ring.weeks().unwrap().len() <= 4, "{:?}", ring.weeks());
    }
    for now in [facts.dies, NOW.plus(days(63)), NOW] {
        // Even with the clock put back: the key itself is gone.
        let error = Ring::verify_backup(world.places(), &world.at("old"), &world.master, now).unwrap_err();
        assert!(matches!(error, Error::DeadBackup { .. }), "{error}");
    }
    // A clock that stands right refuses a week's key that somebody kept, too.
    fs::write(world.at("second/weeks"), stolen.clone()).unwrap();
    fs::write(world.at("ring/weeks"), stolen).unwrap();
    assert!(Ring::verify_backup(world.places(), &world.at("old"), &world.master, facts.dies).is_err());
    assert_eq!(ring.bury_weeks(facts.dies).unwrap(), 1);
    assert_eq!(ring.bury_weeks(facts.dies).unwrap(), 0);
}

#[test]
fn without_the_list_nothing_is_restored() {
    let world = World::new();
    let ring = world.create();
    let made = ring.create_keys_blocking(3).unwrap();
    ring.destroy_blocking(&[made[0].0]).unwrap();
    ring.backup(&world.at("one"), NOW).unwrap();
    ring.destroy_blocking(&[made[1].0]).unwrap();
    drop(ring);
    world.burn();
    let list = fs::read_to_string(world.at("second/destroyed")).unwrap();
    let lines: Vec<&str> = list.lines().collect();
    let cut = format!("{}\n", lines[..1].join("\n"));
    let changed = list.replace(&made[0].0.raw().to_string(), "999");
    let swapped = format!("{}\n{}\n{}\n", lines[0], lines[2], lines[1]);
    for wrong in [cut, changed, swapped] {
        fs::write(world.at("second/destroyed"), &wrong).unwrap();
        let error = world.restore("one", NOW).unwrap_err();
        assert!(matches!(error, Error::Papers(_)), "{error}");
    }
    assert!(!world.at("ring/ring.key").exists());
    fs::write(world.at("second/destroyed"), &list).unwrap();
    assert_eq!(world.restore("one", NOW).unwrap().destroyed_again, 1);
    let again = world.restore("one", NOW).unwrap_err();
    assert!(matches!(again, Error::Exists { .. }), "{again}");
}

#[test]
fn what_is_on_the_list_dies_at_the_next_start_even_if_old_files_were_put_back() {
    let world = World::new();
    let ring = world.create();
    let made = ring.create_keys_blocking(3).unwrap();
    drop(ring);
    let copies: Vec<_> =
        ["ring.key", "ring.sqlite"].map(|name| (name, fs::read(world.at("ring").join(name)).unwrap())).into();
    let ring = world.open().unwrap();
    ring.destroy_blocking(&[made[1].0]).unwrap();
    drop(ring);
    // Whoever copies the ring's files by hand, which nobody should.
    world.burn();
    fs::create_dir(world.at("ring")).unwrap();
    for (name, bytes) in copies {
        use std::os::unix::fs::PermissionsExt as _;
        let path = world.at("ring").join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let ring = world.open().unwrap();
    assert!(ring.key(made[1].0).is_none() && ring.key(made[0].0).is_some());
}

#[test]
fn a_second_place_out_of_reach_holds_up_destructions_alone() {
    let world = World::new();
    let ring = world.create();
    let made = ring.create_keys_blocking(5).unwrap();
    ring.destroy_blocking(&[made[0].0]).unwrap();
    // A file where the folder was: nothing can be written or read there.
    fs::rename(world.at("second"), world.at("away")).unwrap();
    fs::write(world.at("second"), b"").unwrap();
    ring.destroy_blocking(&[made[1].0]).unwrap_err();
    assert_eq!(ring.key(made[1].0).as_ref(), Some(&made[1].1), "nothing died without being noted");
    ring.create_keys_blocking(2).unwrap();
    drop(ring);
    let ring = world.open().unwrap();
    ring.destroy_blocking(&[made[1].0]).unwrap_err();
    ring.create_keys_blocking(2).unwrap();
    fs::remove_file(world.at("second")).unwrap();
    fs::rename(world.at("away"), world.at("second")).unwrap();
    ring.destroy_blocking(&[made[1].0]).unwrap();
    ring.destroy_blocking(&[made[2].0]).unwrap();
    drop(ring);
    let same = |name: &str| fs::read(world.at(name).join("destroyed")).unwrap();
    assert_eq!(same("ring"), same("second"));
    // A copy that was lost is written again, and a line that a crash cut short is dropped.
    fs::remove_file(world.at("second/destroyed")).unwrap();
    let mut torn = same("ring");
    torn.extend_from_slice(b"4 77");
    fs::write(world.at("ring/destroyed"), torn).unwrap();
    let ring = world.open().unwrap();
    assert_eq!(same("ring"), same("second"));
    assert_eq!(ring.destructions().unwrap(), 3);
}

#[test]
fn two_lists_that_part_ways_are_said() {
    let (world, other) = (World::new(), World::new());
    let ring = world.create();
    let made = ring.create_keys_blocking(5).unwrap();
    ring.destroy_blocking(&[made[0].0]).unwrap();
    drop(ring);
    // The same ring, used twice.
    fs::create_dir(other.at("ring")).unwrap();
    fs::create_dir(other.at("second")).unwrap();
    for folder in ["ring", "second"] {
        for entry in fs::read_dir(world.at(folder)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), other.at(folder).join(entry.file_name())).unwrap();
        }
    }
    world.open().unwrap().destroy_blocking(&[made[1].0]).unwrap();
    other.open().unwrap().destroy_blocking(&[made[2].0]).unwrap();
    fs::copy(other.at("second/destroyed"), world.at("second/destroyed")).unwrap();
    let said = world.open().unwrap_err().to_string();
    assert!(said.contains("part ways at line 2"), "{said}");
}

#[test]
fn a_changed_backup_or_another_master_key_opens_nothing() {
    let world = World::new();
    let ring = world.create();
    ring.create_keys_blocking(3).unwrap();
    ring.backup(&world.at("one"), NOW).unwrap();
    let right = fs::read(world.at("one")).unwrap();
    for at in (0..right.len()).step_by(3) {
        let mut wrong = right.clone();
        wrong[at] ^= 0x40;
        fs::write(world.at("one"), &wrong).unwrap();
        assert!(
            Ring::verify_backup(world.places(), &world.at("one"), &world.master, NOW).is_err(),
            "byte {at}"
        );
    }
    fs::write(world.at("one"), &right).unwrap();
    let other = Master::new(world.random.key());
    let error = Ring::verify_backup(world.places(), &world.at("one"), &other, NOW).unwrap_err();
    assert!(matches!(error, Error::WrongMaster { .. }), "{error}");
    assert!(matches!(ring.backup(&world.at("one"), NOW), Err(Error::Exists { .. })));
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(world.at("one")).unwrap().permissions().mode() & 0o777, 0o600);
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Some(tree) = parse(&bytes) {
            prop_assert_eq!(&plain(&tree)[..40], &bytes[..40]);
        }
        let _ = parse_header(&bytes);
    }
}
