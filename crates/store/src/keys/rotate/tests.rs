//! A rotation loses nothing, whatever moment it stops at.

use sealpost_crypto::{Key, Share};
use sealpost_model::Secret;

use super::*;
use crate::Ring;
use crate::keys::recovery::RecoveryKit;
use crate::keys::tests::{World, place, tenant};
use crate::keys::{InstanceKeys, Passphrase, Root};
use crate::ring::Place;

const STOPS: [Stop; 7] = [
    Stop::NewKept,
    Stop::PaperWritten,
    Stop::KitSealed,
    Stop::RingRewrapped,
    Stop::RootsRewrapped,
    Stop::Promoted,
    Stop::KitResealed,
];

/// What was sealed before, to be opened after.
struct Sealed {
    content: Vec<u8>,
    records: Vec<u8>,
    instance: Vec<u8>,
    life: (LifeKeyId, Key),
}

fn instance_place() -> Aad {
    Aad::instance("domain", 1, "name")
}

async fn seal(keys: &Keys) -> Sealed {
    let one = keys.tenant(tenant(1)).await.unwrap();
    Sealed {
        content: one.seal(Root::Content, &place(1, "name"), b"Alice"),
        records: one.seal(Root::Records, &place(1, "detail"), b"opened"),
        instance: InstanceKeys::seal(keys.instance(), &instance_place(), b"clinic.test"),
        life: keys.ring().create_key().await.unwrap(),
    }
}

async fn opens(keys: &Keys, sealed: &Sealed) {
    let one = keys.tenant(tenant(1)).await.unwrap();
    assert_eq!(one.open(&place(1, "name"), &sealed.content).unwrap(), b"Alice");
    assert_eq!(one.open(&place(1, "detail"), &sealed.records).unwrap(), b"opened");
    assert_eq!(keys.instance().open(&instance_place(), &sealed.instance).unwrap(), b"clinic.test");
    assert_eq!(keys.ring().key(sealed.life.0).as_ref(), Some(&sealed.life.1));
}

async fn open(world: &World, master: &Key) -> Result<Keys> {
    let master = Master::new(master.clone());
    let ring = Ring::open(&world.ring_folder(), &master, &world.random)?;
    Keys::open(world.store(), ring, &master).await
}

async fn names_nothing_but(keys: &Keys, master: &Fingerprint) {
    let roots = keys.roots_after((i64::MIN, 0, 0)).await.unwrap();
    assert_eq!(roots.len(), 7);
    assert!(roots.iter().all(|root| root.wrapper == *master));
}

#[tokio::test]
async fn after_a_rotation_the_new_master_key_opens_all_and_the_old_one_nothing() {
    let world = World::new();
    let keys = world.create().await;
    let sealed = seal(&keys).await;
    let kit = RecoveryKit::create(&keys, 2, 3).unwrap();
    let (old, new) = (keys.master().current().key, world.random.key());
    let done = keys.rotate_master(NewMaster::given(&Master::new(new.clone()))).await.unwrap();
    assert_eq!(done, 8, "the ring key, the instance key and three tenants' two roots");
    opens(&keys, &sealed).await;
    let fingerprint = Master::new(new.clone()).fingerprint();
    names_nothing_but(&keys, &fingerprint).await;
    // The kit opens the new one, without a share having been asked for.
    let shares: Vec<Share> = kit.shares()[1..].to_vec();
    assert_eq!(recovery::open(keys.ring().places(), &shares).unwrap().fingerprint(), fingerprint);
    assert!(recovery::facts(&keys).unwrap().unwrap().opens);
    assert!(!keys.is_rotating().unwrap());
    assert_eq!(keys.progress(), None);
    drop(keys);
    assert!(matches!(open(&world, &old).await, Err(Error::Ring(crate::ring::Error::WrongMaster { .. }))));
    let keys = open(&world, &new).await.unwrap();
    assert_eq!(keys.resume().await.unwrap(), None);
    opens(&keys, &sealed).await;
}

#[tokio::test]
async fn it_may_be_killed_at_any_point_and_goes_on() {
    for at in STOPS {
        let world = World::new();
        let keys = world.create().await;
        let sealed = seal(&keys).await;
        let kit = RecoveryKit::create(&keys, 2, 3).unwrap();
        let (old, new) = (keys.master().current().key, world.random.key());
        *keys.inner.stops.hook.lock().unwrap() =
            Some(Box::new(
                move |stop| {
                    if stop == at { Err(Error::Master("killed".to_owned())) } else { Ok(()) }
                },
            ));
        let said = keys.rotate_master(NewMaster::given(&Master::new(new.clone()))).await.unwrap_err();
        assert!(said.to_string().contains("killed"), "{said}");
        // What is made in between is not lost either.
        keys.create_tenant(tenant(9)).await.unwrap();
        drop(keys);
        if at == Stop::NewKept {
            // Nothing had begun.
            assert!(open(&world, &new).await.is_err());
            opens(&open(&world, &old).await.unwrap(), &sealed).await;
            continue;
        }
        for master in [&old, &new] {
            let keys = open(&world, master).await.unwrap_or_else(|e| panic!("{at:?}: {e}"));
            assert!(keys.is_rotating().unwrap());
            opens(&keys, &sealed).await;
            keys.tenant(tenant(9)).await.unwrap();
            let again = keys.rotate_master(NewMaster::given(&Master::new(world.random.key()))).await;
            assert!(matches!(again, Err(Error::Rotating)), "one at a time");
        }
        let keys = open(&world, &old).await.unwrap();
        keys.resume().await.unwrap().unwrap_or_else(|| panic!("{at:?}: there was something to do"));
        opens(&keys, &sealed).await;
        assert_eq!(recovery::open(keys.ring().places(), kit.shares()).unwrap().current().key, new);
        drop(keys);
        assert!(open(&world, &old).await.is_err(), "{at:?}");
        let keys = open(&world, &new).await.unwrap();
        opens(&keys, &sealed).await;
        keys.tenant(tenant(9)).await.unwrap();
        assert_eq!(keys.resume().await.unwrap(), None);
    }
}

#[tokio::test]
async fn mail_goes_on_while_everything_is_rotated() {
    let world = World::new();
    let keys = world.create().await;
    let before = seal(&keys).await;
    let busy = {
        let keys = keys.clone();
        tokio::spawn(async move {
            let mut made = Vec::new();
            for n in 0..200 {
                if n % 20 == 0 {
                    keys.create_tenant(tenant(100 + n)).await.unwrap();
                }
                made.push(seal(&keys).await);
            }
            made
        })
    };
    for _ in 0..3 {
        let new = NewMaster::given(&Master::new(world.random.key()));
        keys.rotate_master(new).await.unwrap();
        keys.rotate_ring().await.unwrap();
        keys.rotate_roots().await.unwrap();
        keys.rotate_data().await.unwrap();
    }
    let made = busy.await.unwrap();
    opens(&keys, &before).await;
    let master = keys.master().current().key;
    drop(keys);
    let keys = open(&world, &master).await.unwrap();
    for sealed in made.iter().chain([&before]) {
        opens(&keys, sealed).await;
    }
    for n in (0..200).step_by(20) {
        keys.tenant(tenant(100 + n)).await.unwrap();
    }
}

#[tokio::test]
async fn a_passphrase_takes_the_place_of_a_file_and_a_file_that_of_a_passphrase() {
    let world = World::new();
    let keys = world.create().await;
    let sealed = seal(&keys).await;
    let keeper = |text: &str| Passphrase::danger_cheap(Secret::new(text.to_owned()));
    let (first, second) = (keeper("the first of two passphrases"), keeper("the second of two passphrases"));
    let places = keys.ring().places().clone();
    keys.rotate_master(NewMaster::kept(&first, &world.random).unwrap()).await.unwrap();
    let taken = Master::take(&places, &first).unwrap();
    assert_eq!(taken.fingerprint(), keys.master().fingerprint());
    keys.rotate_master(NewMaster::kept(&second, &world.random).unwrap()).await.unwrap();
    assert!(Master::take(&places, &first).is_err());
    let key = Master::take(&places, &second).unwrap().current().key;
    drop(keys);
    let keys = open(&world, &key).await.unwrap();
    opens(&keys, &sealed).await;
    let file = world.random.key();
    keys.rotate_master(NewMaster::given(&Master::new(file.clone()))).await.unwrap();
    assert!(Master::take(&places, &second).is_err());
    let Place::Folder(folder) = &places.ring;
    let left: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(
        left.iter().all(|name| name.to_string_lossy().starts_with("ring.") || name == "destroyed"),
        "{left:?}"
    );
    drop(keys);
    opens(&open(&world, &file).await.unwrap(), &sealed).await;
}

#[tokio::test]
async fn an_old_copy_of_the_roots_dies_when_they_are_rotated() {
    let world = World::new();
    let keys = world.create().await;
    let sealed = seal(&keys).await;
    let before = keys.roots_after((i64::MIN, 0, 0)).await.unwrap();
    let (many, ring) = (keys.ring().len(), keys.ring().clone());
    assert_eq!(keys.rotate_roots().await.unwrap(), 7);
    assert_eq!(ring.len(), many, "as many life keys as before");
    for root in before.iter().filter(|root| root.life.is_some()) {
        assert!(matches!(root.open(keys.master(), &ring), Err(Error::Gone(_))));
    }
    opens(&keys, &sealed).await;
    // Cut short between the rows and the end of the old life keys: the next start ends them.
    let orphans = ring.create_keys(2).await.unwrap();
    let root = keys.roots_after((0, 0, 1)).await.unwrap().remove(0);
    let named = root.life.unwrap();
    write_old_lives(ring.places(), &[orphans[0].0, orphans[1].0, named]).unwrap();
    keys.resume().await.unwrap();
    assert!(ring.key(orphans[0].0).is_none() && ring.key(orphans[1].0).is_none());
    assert!(ring.key(named).is_some(), "a root hangs on it");
    drop((keys, ring));
    opens(&world.open().await, &sealed).await;
}

#[tokio::test]
async fn a_paper_that_was_changed_moves_nothing() {
    let world = World::new();
    let keys = world.create().await;
    let old = keys.master().current().key;
    *keys.inner.stops.hook.lock().unwrap() = Some(Box::new(|stop| {
        if stop == Stop::PaperWritten { Err(Error::Master("killed".to_owned())) } else { Ok(()) }
    }));
    keys.rotate_master(NewMaster::given(&Master::new(world.random.key()))).await.unwrap_err();
    drop(keys);
    let file = world.ring_folder().join("rotation");
    let text = std::fs::read_to_string(&file).unwrap();
    let line = text.lines().find(|line| line.starts_with("new-by-old")).unwrap();
    let changed = if line.ends_with('a') { "b" } else { "a" };
    let wrong = text.replace(line, &format!("{}{changed}", &line[..line.len() - 1]));
    std::fs::write(&file, wrong).unwrap();
    let said = open(&world, &old).await.unwrap_err().to_string();
    assert!(said.contains("rotation"), "{said}");
    std::fs::write(&file, text).unwrap();
    let keys = open(&world, &old).await.unwrap();
    keys.resume().await.unwrap().unwrap();
}
