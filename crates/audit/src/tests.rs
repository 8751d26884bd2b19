//! The log from outside: written, sequenced, read, and attacked.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sealpost_crypto::{Key, Random};
use sealpost_model::{
    AccountId, Actor, AuditId, BlobId, Client, Clock as _, Id, ManualClock, PersonId, Protocol, TenantId,
    Time,
};
use sealpost_policy::{Role, Roles};
use sealpost_store::keys::{Keys, Master};
use sealpost_store::ring::Ring;
use sealpost_store::{Scope, Store, params, sql};

use crate::*;

mod export;
mod independent;
mod offline;

sql! {
    FLIP_REASON = "UPDATE audit SET reason = 'owner' WHERE id = ?1";
    BREAK_TEXT = "UPDATE audit SET reason = CAST(x'ff' AS TEXT) WHERE id = ?1";
    FLIP_DETAIL = "UPDATE audit SET detail = ?2 WHERE id = ?1";
    ADOPT = "UPDATE audit SET tenant = ?2 WHERE id = ?1";
    REMOVE = "DELETE FROM audit WHERE id = ?1";
    MOVE = "UPDATE audit SET position = ?2 WHERE id = ?1";
    SWAP_OUT = "UPDATE audit SET id = -1 WHERE id = ?1";
    SWAP_OVER = "UPDATE audit SET id = ?1 WHERE id = ?2";
    SWAP_IN = "UPDATE audit SET id = ?1 WHERE id = -1";
    CUT = "DELETE FROM audit WHERE tenant = ?1 AND position >= ?2";
    CUT_TILE = "UPDATE audit_tile SET hashes = ?2, ids = ?3 WHERE tenant = ?1 AND level = 0 AND number = 0";
    CUT_TREE = "UPDATE audit_tree SET size = ?2, note = ?3 WHERE tenant = ?1";
    GET_TILE = "SELECT hashes, ids FROM audit_tile WHERE tenant = ?1 AND level = 0 AND number = 0";
    DROP_TILE = "DELETE FROM audit_tile WHERE tenant = ?1 AND level = ?2 AND number = ?3";
    FLIP_TILE = "UPDATE audit_tile SET hashes = ?4 WHERE tenant = ?1 AND level = ?2 AND number = ?3";
    DROP_TREE = "DELETE FROM audit_tree WHERE tenant = ?1";
    FORGET_OPEN = "DELETE FROM audit_open";
}

struct World {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    store: Store,
    keys: Keys,
    audit: Audit,
}

const TENANT: i64 = 500;

fn tenant() -> TenantId {
    TenantId::from_raw(TENANT)
}

fn alice() -> Caller {
    let actor = Actor::Person { tenant: tenant(), person: PersonId::from_raw(600) };
    let ip = "192.0.2.77".parse().expect("an address");
    Caller { actor, client: Client { ip, port: 50_000, protocol: Protocol::Imap, tls: None } }
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(ManualClock::new(Time::from_seconds(1_700_000_000)));
        let random = Random::system();
        let options = sealpost_store::Options {
            rehearse: true,
            ..sealpost_store::Options::embedded(folder.path().join("data"), clock.clone(), random.clone())
        };
        let store = Store::open(options, &[&SCHEMA]).expect("opens");
        let master = Master::new(Key::from_bytes([7; 32]));
        let ring = Ring::create(&folder.path().join("ring"), &master, &random).expect("makes a ring");
        let keys = Keys::create(store.clone(), ring, &master).await.expect("makes keys");
        keys.create_tenant(tenant()).await.expect("makes a tenant");
        let audit = start(&store, &keys, &clock, folder.path().join("anchor")).await;
        Self { folder, clock, store, keys, audit }
    }

    /// The process dies and starts again on the same data.
    async fn restart(self) -> Self {
        let Self { folder, clock, store, keys, audit } = self;
        drop(audit);
        let audit = start(&store, &keys, &clock, folder.path().join("anchor")).await;
        Self { folder, clock, store, keys, audit }
    }

    fn anchor(&self) -> PathBuf {
        self.folder.path().join("anchor")
    }

    async fn write(&self, count: usize) -> Vec<i64> {
        let mut ids = Vec::new();
        for n in 0..count {
            self.clock.advance(Duration::from_millis(1));
            let draft = self.draft(Verb::Append).detail(format!("subject {n}"));
            let entry = self.audit.seal(draft).await.expect("seals");
            ids.push(entry.id().raw());
            self.store.write(Scope::tenant(tenant()), move |tx| insert(tx, &entry)).await.expect("writes");
        }
        self.audit.pass().await.expect("sequences");
        ids
    }

    /// The same, a thousand a transaction.
    async fn write_many(&self, count: usize) {
        let mut entries = Vec::new();
        for _ in 0..count {
            entries.push(self.audit.seal(self.draft(Verb::Flag)).await.expect("seals"));
        }
        for chunk in entries.chunks(1000) {
            let chunk = chunk.to_vec();
            self.store
                .write(Scope::tenant(tenant()), move |tx| chunk.iter().try_for_each(|e| insert(tx, e)))
                .await
                .expect("writes");
        }
        self.audit.pass().await.expect("sequences");
    }

    fn draft(&self, verb: Verb) -> Draft {
        let Caller { actor, client } = alice();
        self.audit.draft(tenant(), &actor, &client, verb).owner(AccountId::from_raw(700))
    }

    async fn verify(&self) -> Report {
        self.verify_with(Some(self.anchor())).await
    }

    async fn verify_with(&self, anchor: Option<PathBuf>) -> Report {
        let mut anchors = Vec::new();
        if let Some(path) = anchor {
            let text = anchor_text(&FileWitness::new(path)).await.expect("can be read");
            anchors.push(AnchorText { name: "file".into(), ..text });
        }
        let what = Verify {
            store: &self.store,
            keys: &self.keys,
            anchors: &anchors,
            now: Some(self.clock.now()),
            cited: None,
            coverage: &[],
        };
        verify(what).await.expect("looks")
    }

    /// The findings about our tenant's log.
    async fn findings(&self) -> Vec<Finding> {
        let report = self.verify().await;
        log_of(&report, tenant()).findings.clone()
    }

    fn attack(
        &self,
        change: impl Fn(&mut sealpost_store::Tx) -> sealpost_store::Result<()> + Send + 'static,
    ) {
        self.store.write_blocking(Scope::instance(), change).expect("the attack works");
    }

    async fn all(&self) -> Vec<Record> {
        let roles = Roles::NONE.with(Role::SecurityOfficial);
        let filter = Filter { limit: 1000, ..Filter::default() };
        self.audit.list(&alice(), roles, tenant(), &filter).await.expect("lists").records
    }
}

async fn restore(world: World) -> (World, Vec<Gap>) {
    let World { folder, clock, store, keys, audit } = world;
    drop(audit);
    let options = Options {
        anchors: vec![Arc::new(FileWitness::new(folder.path().join("anchor")))],
        server: "mail.clinic.test".into(),
        restoring: true,
        ..Options::default()
    };
    let audit = Audit::new(store.clone(), keys.clone(), clock.clone(), Random::system(), options)
        .await
        .expect("starts");
    let what = Restored { backup: "sunday".into(), newest: Vec::new() };
    let gaps = audit.restored(&Caller::SYSTEM, &what).await.expect("goes on");
    (World { folder, clock, store, keys, audit }, gaps)
}

async fn start(store: &Store, keys: &Keys, clock: &Arc<ManualClock>, anchor: PathBuf) -> Audit {
    let options = Options {
        anchors: vec![Arc::new(FileWitness::new(anchor))],
        server: "mail.clinic.test".into(),
        ..Options::default()
    };
    Audit::new(store.clone(), keys.clone(), clock.clone(), Random::system(), options).await.expect("starts")
}

fn log_of(report: &Report, tenant: TenantId) -> &TenantReport {
    report.tenants.iter().find(|t| t.tenant == tenant).expect("is in the report")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_in_the_tree_and_verifies() {
    let world = World::new().await;
    world.write(3).await;
    world.write_many(2500).await;
    let report = world.verify().await;
    assert!(report.is_sound(), "{report}");
    assert_eq!(report.anchor, AnchorState::Agrees);
    let log = log_of(&report, tenant());
    assert_eq!((log.size, log.pending), (2503, 0));
    assert!(report.verdict().contains("all that the anchor knows"));
    let without = world.verify_with(None).await;
    assert!(without.is_sound() && without.verdict().contains("rollback can't be excluded"));
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_of_the_last_moment_are_said_to_be_pending() {
    let world = World::new().await;
    world.write(3).await;
    world.audit.record(world.draft(Verb::Append)).await.expect("writes");
    let report = world.verify().await;
    assert!(report.is_sound());
    assert_eq!(log_of(&report, tenant()).pending, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_row_is_named() {
    let world = World::new().await;
    let ids = world.write(10).await;
    let id = ids[4];
    world.attack(move |tx| tx.execute(&FLIP_REASON, params![id]).map(drop));
    assert_eq!(world.findings().await, [Finding::RowChanged { position: 4, id }]);

    let world = World::new().await;
    let ids = world.write(300).await;
    let id = ids[260];
    world.attack(move |tx| tx.execute(&FLIP_DETAIL, params![id, [1_u8; 40]]).map(drop));
    assert_eq!(world.findings().await, [Finding::RowChanged { position: 260, id }]);

    let world = World::new().await;
    let ids = world.write(10).await;
    let id = ids[3];
    world.attack(move |tx| tx.execute(&BREAK_TEXT, params![id]).map(drop));
    assert_eq!(world.findings().await, [Finding::RowChanged { position: 3, id }]);
    assert_eq!(world.all().await.iter().filter(|r| r.verb == Some(Verb::Append)).count(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_row_is_named() {
    let world = World::new().await;
    let ids = world.write(10).await;
    let id = ids[9];
    world.attack(move |tx| tx.execute(&REMOVE, params![id]).map(drop));
    assert_eq!(world.findings().await, [Finding::RowMissing { position: 9, id }]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_given_to_another_tenant_is_named() {
    let world = World::new().await;
    let ids = world.write(10).await;
    let id = ids[2];
    world.attack(move |tx| tx.execute(&ADOPT, params![id, 999_i64]).map(drop));
    assert_eq!(world.findings().await, [Finding::RowChanged { position: 2, id }]);
    let report = world.verify().await;
    let other = &log_of(&report, TenantId::from_raw(999)).findings;
    assert!(matches!(other[..], [Finding::NoKeys { .. }]), "{other:?}");
    world.keys.create_tenant(TenantId::from_raw(999)).await.expect("makes a tenant");
    let report = world.verify().await;
    assert_eq!(log_of(&report, TenantId::from_raw(999)).findings, [Finding::TreeMissing]);
}

#[tokio::test(flavor = "multi_thread")]
async fn swapped_rows_are_named() {
    let world = World::new().await;
    let ids = world.write(10).await;
    let (a, b) = (ids[1], ids[7]);
    world.attack(move |tx| {
        tx.execute(&SWAP_OUT, params![a])?;
        tx.execute(&SWAP_OVER, params![a, b])?;
        tx.execute(&SWAP_IN, params![b]).map(drop)
    });
    let findings = world.findings().await;
    assert!(findings.contains(&Finding::RowChanged { position: 1, id: a }), "{findings:?}");
    assert!(findings.contains(&Finding::RowChanged { position: 7, id: b }), "{findings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_or_extra_row_is_named() {
    let world = World::new().await;
    let ids = world.write(10).await;
    let id = ids[3];
    world.attack(move |tx| tx.execute(&MOVE, params![id, 8_i64]).map(drop));
    assert_eq!(world.findings().await, [Finding::RowMisplaced { id, claims: Some(8), position: Some(3) }]);

    let world = World::new().await;
    world.write(10).await;
    let extra = world.audit.record(world.draft(Verb::Append)).await.expect("writes").raw();
    world.attack(move |tx| tx.execute(&MOVE, params![extra, 4_i64]).map(drop));
    assert_eq!(world.findings().await, [Finding::RowExtra { id: extra }]);
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_and_missing_hashes_are_named() {
    for (level, number) in [(0_u8, 1_u64), (1, 0)] {
        let world = World::new().await;
        world.write_many(700).await;
        let at = (level, number as i64);
        world.attack(move |tx| {
            let width = if at.0 == 0 { 256 } else { 2 };
            tx.execute(&FLIP_TILE, params![tenant(), at.0, at.1, vec![9_u8; width * 32]]).map(drop)
        });
        assert_eq!(world.findings().await, [Finding::TileChanged { level, number }]);

        let world = World::new().await;
        world.write_many(700).await;
        world.attack(move |tx| tx.execute(&DROP_TILE, params![tenant(), at.0, at.1]).map(drop));
        assert!(world.findings().await.contains(&Finding::TileMissing { level, number }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_tree_a_log_is_not_sound() {
    let world = World::new().await;
    world.write(5).await;
    world.attack(|tx| tx.execute(&DROP_TREE, params![tenant()]).map(drop));
    let findings = world.findings().await;
    assert_eq!(
        findings,
        [Finding::TreeMissing, Finding::Rollback { anchor: "file".into(), here: 0, anchored: 5 }]
    );
}

/// What the log was after some entries: enough to put it back so.
type Before = (Vec<u8>, Vec<u8>, u64, String);

fn remember(world: &World) -> Before {
    let read = |tx: &sealpost_store::ReadTx| {
        let tile = tx.row(&GET_TILE, params![tenant()], |r| Ok((r.bytes(0)?, r.bytes(1)?)))?;
        let (hashes, ids) = tile.expect("there is a tile");
        let row = crate::sequence::tree_row(tx, tenant())?.expect("there is a tree");
        Ok::<_, sealpost_store::Error>((hashes, ids, row.size, row.note))
    };
    world.store.read_blocking(read).expect("reads")
}

fn put_back(world: &World, before: Before) {
    world.attack(move |tx| {
        let (hashes, ids, size, note) = &before;
        let size = *size as i64;
        tx.execute(&CUT, params![tenant(), size])?;
        tx.execute(&CUT_TILE, params![tenant(), hashes, ids])?;
        tx.execute(&CUT_TREE, params![tenant(), size, note]).map(drop)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_tail_is_named_by_the_anchor_and_by_nothing_else() {
    let world = World::new().await;
    world.write(20).await;
    let before = remember(&world);
    world.write(15).await;
    put_back(&world, before);
    let without = world.verify_with(None).await;
    assert!(without.is_sound(), "a perfect older copy can't be told apart: {without}");
    let report = world.verify().await;
    assert_eq!(report.anchor, AnchorState::Conflicts);
    assert_eq!(
        log_of(&report, tenant()).findings,
        [Finding::Rollback { anchor: "file".into(), here: 20, anchored: 35 }]
    );
    assert!(report.to_string().contains("from position 20 on"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_stays_named_however_long_it_goes_on() {
    let world = World::new().await;
    world.write(20).await;
    let before = remember(&world);
    world.write(5).await;
    put_back(&world, before);
    let world = world.restart().await;
    world.write(30).await;
    assert_eq!(world.findings().await, [Finding::OtherHistory { anchor: "file".into(), anchored: 25 }]);
    let world = world.restart().await;
    world.write(30).await;
    assert_eq!(world.findings().await, [Finding::OtherHistory { anchor: "file".into(), anchored: 25 }]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_is_the_one_break_that_is_accepted_and_it_is_told() {
    let world = World::new().await;
    world.write(20).await;
    let before = remember(&world);
    world.write(5).await;
    let between = std::fs::read_to_string(world.anchor()).expect("reads");
    world.write(10).await;
    put_back(&world, before);
    let (world, gaps) = restore(world).await;
    let gap = gaps.iter().find(|g| g.tenant == tenant()).expect("this log, too");
    assert_eq!((gap.from, gap.newest), (20, Some(35)));
    let world = {
        world.write(30).await;
        world.restart().await
    };
    world.write(3).await;
    let report = world.verify().await;
    assert!(report.is_sound(), "{report}");
    assert_eq!(report.anchor, AnchorState::Agrees);
    assert!(report.verdict().contains("but for what a restore left out"), "{report}");
    let log = log_of(&report, tenant());
    assert_eq!(log.size, 54);
    assert_eq!((log.lost[0].position, log.lost[0].from, &log.lost[0].lost[..]), (20, 20, &[35][..]));
    assert!(report.to_string().contains("went on from 20 entries; 15 that were known are lost"), "{report}");
    let text = std::fs::read_to_string(world.anchor()).expect("reads");
    assert!(text.contains("sealpost-anchor-lost-1 500 ") && text.contains("\n35\n"), "{text}");
    assert!(text.contains("\n54\n"), "the anchor goes on: {text}");

    // Another checkpoint of the lost part, which the entry does not cite, is a fork.
    std::fs::write(world.anchor(), between).expect("writes");
    assert_eq!(world.findings().await, [Finding::OtherHistory { anchor: "file".into(), anchored: 25 }]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_entry_that_does_not_say_where_it_came_from_accepts_nothing() {
    let world = World::new().await;
    world.write(20).await;
    let before = remember(&world);
    world.write(15).await;
    let newest = crate::anchor::parse(&std::fs::read_to_string(world.anchor()).expect("reads"))
        .and_then(|k| k[&TENANT].current.clone())
        .expect("is anchored")
        .signed;
    put_back(&world, before);
    // Somebody with the keys, but with another beginning than the true one.
    let mut draft = world.draft(Verb::Restored);
    draft.reason = format!("from 19 {} lost 35 {}", newest.root, newest.root).into();
    world.audit.record(draft).await.expect("writes");
    world.audit.pass().await.expect("sequences");
    let findings = world.findings().await;
    assert!(matches!(findings[0], Finding::RestoredWrong { position: 20, .. }), "{findings:?}");
    assert!(findings.contains(&Finding::Rollback { anchor: "file".into(), here: 21, anchored: 35 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_stood_still_is_named() {
    let world = World::new().await;
    world.audit.started().await.expect("writes");
    let beat = async |minutes: u64| {
        world.clock.advance(Duration::from_secs(60 * minutes));
        world.audit.sign_of_life(Verb::Heartbeat).await.expect("writes");
        world.audit.pass().await.expect("sequences");
        log_of(&world.verify().await, instance()).silences.clone()
    };
    for _ in 0..3 {
        assert_eq!(beat(10).await, []);
    }
    let silences = beat(45).await;
    assert!(
        matches!(silences[..], [Silence { position: 3, before: Some(_), restarted: false, .. }]),
        "{silences:?}"
    );
    world.clock.advance(Duration::from_secs(60 * 30));
    let silences = log_of(&world.verify().await, instance()).silences.clone();
    assert!(matches!(silences[..], [_, Silence { before: None, .. }]), "{silences:?}");
    // Ended without a word, started again: told as that.
    world.audit.started().await.expect("writes");
    world.audit.stopped().await.expect("writes");
    world.audit.pass().await.expect("sequences");
    world.clock.advance(Duration::from_secs(3600 * 30));
    let report = world.verify().await;
    let silences = &log_of(&report, instance()).silences;
    assert!(
        matches!(silences[..], [_, Silence { restarted: true, .. }]),
        "stopped is no silence: {silences:?}"
    );
    assert!(report.is_sound() && report.to_string().contains("without a stop entry"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_anchor_that_fails_keeps_nobody_waiting() {
    struct Broken;
    impl Witness for Broken {
        fn name(&self) -> String {
            "https://witness.test/".into()
        }
        fn read(&self) -> Answer<'_, Option<String>> {
            Box::pin(async { Err("it refused the connection".into()) })
        }
        fn write<'a>(&'a self, _: &'a str) -> Answer<'a, ()> {
            Box::pin(async { Err("it refused the connection".into()) })
        }
        fn is_quick(&self) -> bool {
            true
        }
    }
    let world = World::new().await;
    let World { folder, clock, store, keys, audit } = world;
    drop(audit);
    let file: Arc<dyn Witness> = Arc::new(FileWitness::new(folder.path().join("anchor")));
    let options = Options { anchors: vec![Arc::new(Broken), file], ..Options::default() };
    let audit = Audit::new(store.clone(), keys.clone(), clock.clone(), Random::system(), options)
        .await
        .expect("starts");
    let world = World { folder, clock, store, keys, audit };
    world.write(4).await;
    assert!(std::fs::read_to_string(world.anchor()).expect("is there").contains("\n4\n"));
    let states = anchor_statuses(&world.store).await.expect("reads");
    assert_eq!(states.len(), 2);
    assert!(states[0].failing.is_none() && states[0].written.is_some(), "{states:?}");
    assert!(states[1].failing.as_ref().is_some_and(|(_, why)| why.contains("refused")), "{states:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_anchor_that_was_changed_is_kept_as_it_is() {
    let world = World::new().await;
    world.write(4).await;
    let text = std::fs::read_to_string(world.anchor()).expect("reads").replace("\n4\n", "\n5\n");
    std::fs::write(world.anchor(), &text).expect("writes");
    world.write(4).await;
    assert_eq!(std::fs::read_to_string(world.anchor()).expect("reads"), text, "evidence");
    let report = world.verify().await;
    assert!(!report.is_sound() && report.to_string().contains("anchor file: WRONG"), "{report}");
    assert!(anchor_statuses(&world.store).await.expect("reads")[0].failing.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_was_changed_does_not_grow() {
    let world = World::new().await;
    world.write(5).await;
    world.attack(|tx| tx.execute(&FLIP_TILE, params![tenant(), 0_u8, 0_i64, vec![9_u8; 5 * 32]]).map(drop));
    world.audit.record(world.draft(Verb::Append)).await.expect("acts go on");
    let error = world.audit.pass().await.expect_err("the sequencer stops");
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert_eq!(world.findings().await, [Finding::TileChanged { level: 0, number: 0 }]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_changed_before_it_was_sequenced_is_named() {
    let world = World::new().await;
    world.write(3).await;
    let id = world.audit.record(world.draft(Verb::Append)).await.expect("writes").raw();
    world.attack(move |tx| tx.execute(&FLIP_REASON, params![id]).map(drop));
    assert_eq!(world.findings().await, [Finding::RowForged { position: None, id }]);
    world.audit.pass().await.expect("sequences");
    world.audit.pass().await.expect("sequences");
    assert_eq!(world.findings().await, [Finding::RowForged { position: Some(3), id }]);
    let all = world.all().await;
    let said = all.iter().find(|r| r.verb == Some(Verb::Tampered)).expect("an entry says so");
    assert_eq!(said.objects, [Object { kind: ObjectKind::Audit, id }]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_open_becomes_unknown() {
    let world = World::new().await;
    let done = world.audit.open(world.draft(Verb::Attempt)).await.expect("opens");
    let done_id = done.id();
    done.complete(Completion::from(Outcome::Done).detail("250 ok")).await.expect("completes");
    let lost =
        world.audit.open(world.draft(Verb::KeyDestroy).object(BlobId::from_raw(5))).await.expect("opens");
    let lost_id = lost.id();
    drop(lost);
    world.audit.pass().await.expect("sequences");
    let report = world.verify().await;
    assert!(report.is_sound(), "{report}");
    assert_eq!(log_of(&report, tenant()).open, 1);

    let world = world.restart().await;
    let all = world.all().await;
    let end = |id| all.iter().find(|r| r.closes == Some(id)).expect("has an end");
    assert_eq!(end(done_id).outcome, Some(Outcome::Done));
    assert_eq!(end(done_id).notes, [(String::new(), "250 ok".to_owned())]);
    assert_eq!(end(lost_id).outcome, Some(Outcome::Unknown));
    assert_eq!(end(lost_id).verb, Some(Verb::KeyDestroy));
    assert_eq!(end(lost_id).actor, Some(Actor::System));
    assert_eq!(end(lost_id).objects, [BlobId::from_raw(5).into()]);
    assert_eq!(end(lost_id).owner, Some(AccountId::from_raw(700)));
    let report = world.verify().await;
    assert!(report.is_sound(), "{report}");
    assert_eq!(log_of(&report, tenant()).open, 0);
    let ends = world.restart().await.all().await.iter().filter(|r| r.closes == Some(lost_id)).count();
    assert_eq!(ends, 1, "it ends once");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_was_lost_is_named() {
    let world = World::new().await;
    let lost = world.audit.open(world.draft(Verb::Attempt)).await.expect("opens");
    let id = lost.id().raw();
    drop(lost);
    world.audit.pass().await.expect("sequences");
    world.attack(|tx| tx.execute(&FORGET_OPEN, params![]).map(drop));
    assert_eq!(world.findings().await, [Finding::CompletionMissing { position: 0, id }]);
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_survive_a_kill_in_their_order() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for n in 0..50 {
        let draft = world.draft(Verb::ReadMessage).object(BlobId::from_raw(n));
        ids.push(world.audit.read(draft).await.expect("is written"));
        world.clock.advance(Duration::from_millis(1));
    }
    // Nothing was ingested: the process dies.
    let world = world.restart().await;
    let mut all = world.all().await;
    all.retain(|r| r.verb == Some(Verb::ReadMessage));
    all.reverse();
    assert_eq!(all.iter().map(|r| r.id).collect::<Vec<_>>(), ids);
    assert!(world.verify().await.is_sound());
    let files = crate::journal::segments(&world.folder.path().join("data/read-journal")).expect("lists");
    assert!(files.is_empty(), "what was ingested is gone: {files:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_journal_that_was_changed_is_named() {
    let world = World::new().await;
    for n in 0..3 {
        world
            .audit
            .read(world.draft(Verb::ReadMessage).object(BlobId::from_raw(n)))
            .await
            .expect("is written");
    }
    let journal = world.folder.path().join("data/read-journal");
    let (_, file) = crate::journal::segments(&journal).expect("lists").pop().expect("one file");
    let mut bytes = std::fs::read(&file).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).expect("writes");
    let world = world.restart().await;
    assert!(file.with_extension("damaged").exists());
    let roles = Roles::NONE.with(Role::Auditor);
    let page = world.audit.list(&alice(), roles, instance(), &Filter::default()).await.expect("lists");
    let said = page.records.iter().find(|r| r.verb == Some(Verb::JournalDamaged)).expect("an entry says so");
    assert!(said.notes[0].1.contains("segment 1"), "{:?}", said.notes);
    let reads = world.all().await.iter().filter(|r| r.verb == Some(Verb::ReadMessage)).count();
    assert_eq!(reads, 2, "the others are kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_journal_cannot_be_written_reading_stops() {
    let world = World::new().await;
    let journal = world.folder.path().join("data/read-journal");
    std::fs::rename(&journal, world.folder.path().join("away")).expect("moves");
    let error = world.audit.read(world.draft(Verb::ReadMessage)).await.expect_err("reading stops");
    assert!(matches!(error, Error::Journal(_)), "{error}");
    std::fs::rename(world.folder.path().join("away"), &journal).expect("moves");
    world.audit.read(world.draft(Verb::ReadMessage)).await.expect("and goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn durable_reads_wait_for_the_disk() {
    let world = World::new().await;
    let options = Options { durable_reads: true, ..Options::default() };
    let audit =
        Audit::new(world.store.clone(), world.keys.clone(), world.clock.clone(), Random::system(), options)
            .await
            .expect("starts");
    for _ in 0..3 {
        audit.read(world.draft(Verb::ReadMessage)).await.expect("is on the disk");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sequencers_do_not_disturb_each_other() {
    let world = World::new().await;
    let other = Audit::new(
        world.store.clone(),
        world.keys.clone(),
        world.clock.clone(),
        Random::system(),
        Options::default(),
    )
    .await
    .expect("starts");
    for _ in 0..20 {
        for _ in 0..5 {
            world.audit.record(world.draft(Verb::Flag)).await.expect("writes");
        }
        let (a, b) = tokio::join!(world.audit.pass(), other.pass());
        a.and(b).expect("sequence");
    }
    world.audit.pass().await.expect("sequences");
    let report = world.verify().await;
    assert!(report.is_sound(), "{report}");
    assert_eq!(log_of(&report, tenant()).size, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn details_come_with_the_role_only() {
    let world = World::new().await;
    world.write(3).await;
    let filter = Filter { verb: Some(Verb::Append), ..Filter::default() };
    let list = async |role: Role| world.audit.list(&alice(), Roles::NONE.with(role), tenant(), &filter).await;
    for role in [Role::User, Role::Delegate, Role::DomainAdmin] {
        assert!(matches!(list(role).await, Err(Error::Denied(_))), "{role:?}");
    }
    for role in [Role::TenantAdmin, Role::Operator] {
        let page = list(role).await.expect("lists");
        assert_eq!(page.records.len(), 3);
        assert!(page.records.iter().all(|r| r.notes.is_empty() && r.client.is_none()), "{role:?}");
    }
    let page = list(Role::Auditor).await.expect("lists");
    assert_eq!(page.records[0].notes, [(String::new(), "subject 2".to_owned())]);
    assert_eq!(page.records[0].client.as_ref().map(|c| c.ip.to_string()), Some("192.0.2.77".into()));
    let all = world.all().await;
    let refused =
        all.iter().filter(|r| r.verb == Some(Verb::ReadLog) && r.outcome == Some(Outcome::Refused)).count();
    assert_eq!(refused, 3, "refusals are entries");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_each_other_without_gap() {
    let world = World::new().await;
    world.write_many(1500).await;
    let mut filter = Filter { verb: Some(Verb::Flag), limit: 400, ..Filter::default() };
    let mut positions = Vec::new();
    loop {
        let roles = Roles::NONE.with(Role::TenantAdmin);
        let page = world.audit.list(&alice(), roles, tenant(), &filter).await.expect("lists");
        positions.extend(page.records.iter().filter_map(|r| r.position));
        match page.next {
            Some(next) => filter.before = Some(next),
            None => break,
        }
    }
    assert_eq!(positions, (0..1500).rev().collect::<Vec<_>>());
    let nobody = Filter { actor: Some(Actor::Stranger), ..Filter::default() };
    let roles = Roles::NONE.with(Role::TenantAdmin);
    assert!(world.audit.list(&alice(), roles, tenant(), &nobody).await.expect("lists").records.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_accept_entries_cite_is_looked_at() {
    let world = World::new().await;
    let objects = [1_i64, 2, 3, 4].map(BlobId::from_raw);
    world.audit.record(world.draft(Verb::Accept).objects(objects)).await.expect("writes");
    world.audit.record(world.draft(Verb::Accept).refused().objects(objects)).await.expect("writes");
    world.audit.pass().await.expect("sequences");
    let mut cited = |of: TenantId, objects: &[Object]| {
        assert_eq!(of, tenant());
        let all = [Standing::Good, Standing::Retired, Standing::Missing, Standing::Changed];
        Ok(objects.iter().map(|o| all[o.id as usize - 1]).collect::<Vec<_>>())
    };
    let coverage = [Coverage { table: "journal", by: "cited by accept entries" }];
    let what = Verify {
        store: &world.store,
        keys: &world.keys,
        anchors: &[],
        now: None,
        cited: Some(&mut cited),
        coverage: &coverage,
    };
    let report = verify(what).await.expect("looks");
    let log = log_of(&report, tenant());
    assert_eq!((log.findings.len(), log.retired), (2, 1));
    let words = report.to_string();
    assert!(words.contains("blob 3") && words.contains("is missing"), "{words}");
    assert!(words.contains("blob 4") && words.contains("is not what was written"), "{words}");
    assert!(words.contains("journal: cited by accept entries") && words.contains("audit_tile:"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn run_sequences_by_itself_and_once_more_at_the_end() {
    let world = World::new().await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let audit = world.audit.clone();
    let task = tokio::spawn(async move {
        audit
            .run(async {
                let _ = stopped.await;
            })
            .await;
    });
    world.audit.record(world.draft(Verb::Append)).await.expect("writes");
    world.audit.read(world.draft(Verb::ReadMessage)).await.expect("writes");
    drop(stop);
    task.await.expect("ends");
    let report = world.verify().await;
    assert!(report.is_sound());
    assert_eq!(log_of(&report, tenant()).size, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_typed_lies_in_the_clear() {
    let world = World::new().await;
    world.audit.record(world.draft(Verb::Login).note("login", "marker-7261")).await.expect("writes");
    world.audit.read(world.draft(Verb::ReadMessage).detail("marker-7261")).await.expect("writes");
    world.audit.pass().await.expect("sequences");
    for file in walk(&world.folder.path().join("data")) {
        let bytes = std::fs::read(&file).expect("reads");
        assert!(!bytes.windows(11).any(|w| w == b"marker-7261"), "{}", file.display());
    }
}

fn walk(folder: &std::path::Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("lists") {
        let path = entry.expect("lists").path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}
