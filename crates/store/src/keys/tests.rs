//! What the keys promise, over a real store and a real ring.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use sealpost_crypto::{Aad, Random};
use sealpost_model::{ManualClock, TenantId, Time};
use tempfile::TempDir;

use super::*;
use crate::Options;

pub(super) struct World {
    pub dir: TempDir,
    pub clock: Arc<ManualClock>,
    pub random: Random,
    pub master: Master,
}

pub(super) fn tenant(n: i64) -> TenantId {
    TenantId::from_raw(n)
}

pub(super) fn place(n: i64, column: &'static str) -> Aad {
    Aad::new(tenant(1), "person", n, column)
}

impl World {
    pub fn new() -> Self {
        let random = Random::danger_predictable(11);
        Self {
            dir: TempDir::new().unwrap(),
            clock: Arc::new(ManualClock::new(Time::from_seconds(1_800_000_000))),
            master: Master::new(random.key()),
            random: Random::system(),
        }
    }

    pub fn options(&self) -> Options {
        Options {
            rehearse: true,
            ..Options::embedded(self.dir.path().join("data"), self.clock.clone(), self.random.clone())
        }
    }

    pub fn store(&self) -> Store {
        Store::open(self.options(), &[]).unwrap()
    }

    pub fn ring_folder(&self) -> std::path::PathBuf {
        self.dir.path().join("ring")
    }

    pub fn ring(&self) -> Ring {
        let made: &Path = &self.ring_folder();
        if made.exists() {
            Ring::open(made, &self.master, &self.random).unwrap()
        } else {
            Ring::create(made, &self.master, &self.random).unwrap()
        }
    }

    pub async fn create(&self) -> Keys {
        let keys = Keys::create(self.store(), self.ring(), &self.master).await.unwrap();
        keys.create_tenant(tenant(1)).await.unwrap();
        keys.create_tenant(tenant(2)).await.unwrap();
        keys
    }

    pub async fn open(&self) -> Keys {
        Keys::open(self.store(), self.ring(), &self.master).await.unwrap()
    }
}

#[tokio::test]
async fn what_was_sealed_opens_after_a_restart_with_keys_of_its_own() {
    let world = World::new();
    let keys = world.create().await;
    let one = keys.tenant(tenant(1)).await.unwrap();
    let content = one.seal(Root::Content, &place(1, "name"), b"Alice");
    let records = one.seal(Root::Records, &place(1, "detail"), b"opened");
    let (blind, mac) =
        (one.blind("person.address", b"alice@clinic.test"), one.mac("role", 5, 1, &[b"admin"]));
    let (opaque, purpose) = (one.opaque("entry", 3, 4), one.derive(Root::Records, "checkpoint"));
    let domain = keys.instance().blind("domain.name", b"clinic.test");
    let sealed = keys.instance().seal(&Aad::instance("domain", 1, "name"), b"clinic.test");
    assert_eq!(one.open(&place(1, "name"), &content).unwrap(), b"Alice");
    drop((one, keys));

    let keys = world.open().await;
    let one = keys.tenant(tenant(1)).await.unwrap();
    assert_eq!(one.open(&place(1, "name"), &content).unwrap(), b"Alice");
    assert_eq!(one.open(&place(1, "detail"), &records).unwrap(), b"opened");
    assert_eq!(one.blind("person.address", b"alice@clinic.test"), blind);
    one.verify_mac("role", 5, 1, &[b"admin"], &mac).unwrap();
    assert_eq!(one.from_opaque("entry", 3, &opaque), Some(4));
    assert_eq!(one.derive(Root::Records, "checkpoint"), purpose);
    assert_eq!(keys.instance().blind("domain.name", b"clinic.test"), domain);
    assert_eq!(keys.instance().open(&Aad::instance("domain", 1, "name"), &sealed).unwrap(), b"clinic.test");
    // This process seals with data keys of its own.
    let again = one.seal(Root::Content, &place(1, "name"), b"Alice");
    assert_ne!(again[..9], content[..9]);
    assert_eq!(again[0], 2);
}

#[tokio::test]
async fn everything_differs_by_tenant_root_table_and_purpose() {
    let world = World::new();
    let keys = world.create().await;
    let (one, two) = (keys.tenant(tenant(1)).await.unwrap(), keys.tenant(tenant(2)).await.unwrap());
    let value = b"alice@clinic.test";
    let blinds = [
        one.blind("person.address", value),
        one.blind("alias.address", value),
        one.blind_record("person.address", value),
        two.blind("person.address", value),
        keys.instance().blind("person.address", value),
    ];
    for (i, a) in blinds.iter().enumerate() {
        assert!(blinds[i + 1..].iter().all(|b| a != b));
    }
    let mac = one.mac("role", 5, 1, &[b"admin"]);
    assert!(one.verify_mac("role", 5, 1, &[b"user"], &mac).is_err());
    assert!(one.verify_mac("role", 6, 1, &[b"admin"], &mac).is_err());
    assert!(one.verify_mac("role", 5, 2, &[b"admin"], &mac).is_err());
    assert!(one.verify_mac("hold", 5, 1, &[b"admin"], &mac).is_err());
    assert!(two.verify_mac("role", 5, 1, &[b"admin"], &mac).is_err());
    assert!(keys.instance().verify_mac("role", 5, 1, &[b"admin"], &mac).is_err());
    assert_ne!(one.derive(Root::Content, "x"), one.derive(Root::Records, "x"));
    assert_eq!(two.from_opaque("entry", 3, &one.opaque("entry", 3, 4)), None);
    // Two rows whose values were swapped, and a value of another tenant.
    let (a, b) = (
        one.seal(Root::Content, &place(1, "name"), b"Alice"),
        one.seal(Root::Content, &place(2, "name"), b"Bob"),
    );
    assert!(matches!(one.open(&place(1, "name"), &b).unwrap_err(), Error::Damaged { .. }));
    assert!(matches!(one.open(&place(2, "name"), &a).unwrap_err(), Error::Damaged { .. }));
    assert!(matches!(two.open(&place(1, "name"), &a).unwrap_err(), Error::Damaged { .. }));
}

#[tokio::test]
async fn a_data_key_lasts_a_month() {
    let world = World::new();
    let keys = world.create().await;
    let one = keys.tenant(tenant(1)).await.unwrap();
    let first = one.seal(Root::Content, &place(1, "name"), b"Alice");
    world.clock.advance(Duration::from_secs(29 * 86_400));
    let same = keys.tenant(tenant(1)).await.unwrap().seal(Root::Content, &place(1, "name"), b"Alice");
    assert_eq!(first[..9], same[..9]);
    world.clock.advance(Duration::from_secs(2 * 86_400));
    let renewed = keys.tenant(tenant(1)).await.unwrap();
    assert!(Arc::ptr_eq(&one, &renewed), "whoever still holds them has the new ones too");
    let later = one.seal(Root::Content, &place(1, "name"), b"Alice");
    assert_ne!(first[..9], later[..9]);
    assert_eq!(one.open(&place(1, "name"), &first).unwrap(), b"Alice");
    assert_eq!(one.open(&place(1, "name"), &later).unwrap(), b"Alice");
}

#[tokio::test]
async fn a_day_of_expiry_has_one_key_however_many_ask() {
    let world = World::new();
    let keys = world.create().await;
    let before = keys.ring().len();
    let one = keys.tenant(tenant(1)).await.unwrap();
    let calls: Vec<_> = (0..50)
        .map(|i| {
            let one = Arc::clone(&one);
            tokio::spawn(async move { one.journal_key(20_000 + i % 2).await.unwrap() })
        })
        .collect();
    let mut ids = std::collections::BTreeSet::new();
    for call in calls {
        ids.insert(call.await.unwrap().0.raw());
    }
    assert_eq!((ids.len(), keys.ring().len() - before), (2, 2));
    assert_eq!(keys.ring().generation(), 1, "none was made in vain and destroyed");
    let (id, key) = one.journal_key(20_000).await.unwrap();
    assert_ne!(keys.tenant(tenant(2)).await.unwrap().journal_key(20_000).await.unwrap().0, id);
    drop((one, keys));
    let keys = world.open().await;
    let one = keys.tenant(tenant(1)).await.unwrap();
    assert_eq!(one.journal_key(20_000).await.unwrap(), (id, key));
    keys.ring().destroy(&[id]).await.unwrap();
    assert!(matches!(one.journal_key(20_000).await.unwrap_err(), Error::Gone(gone) if gone == id));
    assert!(matches!(one.account_key(id).unwrap_err(), Error::Gone(_)));
}

#[tokio::test]
async fn a_days_key_cant_be_exchanged_for_another_days() {
    let world = World::new();
    let keys = world.create().await;
    let one = keys.tenant(tenant(1)).await.unwrap();
    one.journal_key(20_000).await.unwrap();
    one.journal_key(30_000).await.unwrap();
    drop((one, keys));
    let conn = rusqlite::Connection::open(world.dir.path().join("data/store.db")).unwrap();
    let swapped = conn
        .execute("UPDATE journal_key SET life = (SELECT life FROM journal_key WHERE day = 20000) WHERE day = 30000", [])
        .unwrap();
    assert_eq!(swapped, 1);
    drop(conn);
    let one = world.open().await.tenant(tenant(1)).await.unwrap();
    one.journal_key(20_000).await.unwrap();
    let error = one.journal_key(30_000).await.unwrap_err();
    assert!(matches!(error, Error::Damaged { what: "journal key of day", id: 30_000 }), "{error}");
}

#[tokio::test]
async fn damaged_and_missing_rows_are_named() {
    let world = World::new();
    let keys = world.create().await;
    let one = keys.tenant(tenant(1)).await.unwrap();
    let sealed = one.seal(Root::Content, &place(1, "name"), b"Alice");
    let id = i64::from_be_bytes(sealed[1..9].try_into().unwrap());
    drop((one, keys));
    let change = |sql: &str, n: i64| {
        let conn = rusqlite::Connection::open(world.dir.path().join("data/store.db")).unwrap();
        assert_eq!(conn.execute(sql, [n]).unwrap(), 1);
    };
    // Another root's key under this one's name.
    change("UPDATE data_key SET kind = 2 WHERE id = ?1", id);
    let one = world.open().await.tenant(tenant(1)).await.unwrap();
    let error = one.open(&place(1, "name"), &sealed).unwrap_err();
    assert!(matches!(error, Error::Damaged { what: "data key", id: n } if n == id), "{error}");
    drop(one);
    change("DELETE FROM data_key WHERE id = ?1", id);
    let one = world.open().await.tenant(tenant(1)).await.unwrap();
    let error = one.open(&place(1, "name"), &sealed).unwrap_err();
    assert!(matches!(error, Error::Damaged { id: n, .. } if n == id), "{error}");
    for nonsense in [&b""[..], b"\x02", b"\x01aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
        assert!(matches!(one.open(&place(1, "name"), nonsense).unwrap_err(), Error::Damaged { .. }));
    }
    drop(one);
    change(
        "UPDATE tenant_root SET wrapped = (SELECT wrapped FROM tenant_root WHERE tenant = 2 AND kind = 1)
         WHERE tenant = ?1 AND kind = 1",
        1,
    );
    let error = world.open().await.tenant(tenant(1)).await.unwrap_err();
    assert!(matches!(error, Error::Damaged { what: "tenant root of tenant", id: 1 }), "{error}");
}

#[tokio::test]
async fn what_hung_on_a_dead_root_key_is_opened_by_nobody_and_the_records_stay() {
    let world = World::new();
    let keys = world.create().await;
    let (content, record) = {
        let one = keys.tenant(tenant(1)).await.unwrap();
        let seal = |root| one.seal(root, &Aad::new(tenant(1), "person", 7, "name"), b"Ann");
        (seal(Root::Content), seal(Root::Records))
    };
    let life = |keys: &Keys| {
        let read = |tx: &ReadTx| StoredRoot::read(tx, tenant(1), Root::Content.kind());
        keys.inner.store.read_blocking(read).unwrap().unwrap().life.unwrap()
    };
    let id = life(&keys);
    keys.ring().destroy(&[id]).await.unwrap();
    // The data folder is as it was, and the master key is here.
    drop(keys);
    let keys = world.open().await;
    let one = keys.tenant(tenant(1)).await.unwrap();
    let aad = Aad::new(tenant(1), "person", 7, "name");
    assert!(one.open(&aad, &content).is_err());
    assert_eq!(one.open(&aad, &record).unwrap(), b"Ann");
    keys.tenant(tenant(2)).await.unwrap();
}

#[tokio::test]
async fn the_first_start_and_a_wrong_one() {
    let world = World::new();
    let none = Keys::open(world.store(), world.ring(), &world.master).await.unwrap_err();
    assert!(matches!(none, Error::NoKeys), "{none}");
    let keys = world.create().await;
    keys.tenant(instance_tenant()).await.unwrap();
    keys.create_tenant(tenant(1)).await.unwrap();
    assert!(matches!(keys.tenant(tenant(9)).await.unwrap_err(), Error::UnknownTenant(_)));
    let count = keys.ring().len();
    drop(keys);
    let again = Keys::create(world.store(), world.ring(), &world.master).await.unwrap_err();
    assert!(matches!(again, Error::Exists), "{again}");
    assert_eq!(world.ring().len(), count, "and nothing was left behind");
    let wrong = Keys::open(world.store(), world.ring(), &Master::new(world.random.key())).await.unwrap_err();
    assert!(matches!(wrong, Error::WrongMaster), "{wrong}");
}

#[tokio::test]
async fn a_store_for_reading_opens_what_others_sealed() {
    let world = World::new();
    let keys = world.create().await;
    let sealed = keys.tenant(tenant(1)).await.unwrap().seal(Root::Content, &place(1, "name"), b"Alice");
    drop(keys);
    let store = Store::open_read_only(world.options(), &[]).unwrap();
    let keys = Keys::open(store, world.ring(), &world.master).await.unwrap();
    let one = keys.tenant(tenant(1)).await.unwrap();
    assert_eq!(one.open(&place(1, "name"), &sealed).unwrap(), b"Alice");
}

#[tokio::test]
async fn nothing_of_a_key_is_printed() {
    let world = World::new();
    let keys = world.create().await;
    let one = keys.tenant(tenant(1)).await.unwrap();
    assert_eq!(
        format!("{keys:?} {one:?} {:?} {:?}", keys.instance(), world.master),
        "[keys] [keys of tenant 1] [keys] [key]"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_flipped_bit_is_noticed(plain: Vec<u8>, at: prop::sample::Index, bit in 0..8_u8) {
        thread_local! {
            static KEYS: (World, Arc<TenantKeys>) = {
                let world = World::new();
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let keys = runtime.block_on(async { world.create().await.tenant(tenant(1)).await.unwrap() });
                (world, keys)
            };
        }
        KEYS.with(|(_, one)| {
            let mut sealed = one.seal(Root::Content, &place(1, "name"), &plain);
            prop_assert_eq!(one.open(&place(1, "name"), &sealed).unwrap(), plain);
            let at = at.index(sealed.len());
            sealed[at] ^= 1 << bit;
            prop_assert!(one.open(&place(1, "name"), &sealed).is_err());
            Ok(())
        })?;
    }
}
