//! Exports: made, verified without us, and attacked byte by byte.

use crate::export::{ExportFinding, ExportReport, Part, verify};

use super::*;

const READER: Roles = Roles::NONE.with(Role::Auditor);

async fn export(world: &World, part: Part) -> Vec<u8> {
    let mut export =
        world.audit.export(&alice(), READER, tenant(), &part).await.expect("may").expect("holds something");
    let mut file = Vec::new();
    while let Some(piece) = export.next().await.expect("goes on") {
        file.extend(piece);
    }
    file
}

fn check(file: &[u8]) -> ExportReport {
    verify(file, None).expect("reads")
}

async fn world() -> World {
    let world = World::new().await;
    world.write(5).await;
    let Caller { actor, mut client } = alice();
    client.ip = "2001:db8::7:0:1".parse().expect("an address");
    for n in 0..4 {
        let draft = world.audit.draft(tenant(), &actor, &client, Verb::Accept).object(BlobId::from_raw(n));
        world.audit.record(draft.note("wort", "größer")).await.expect("writes");
        world.clock.advance(Duration::from_millis(1));
    }
    world.write_many(290).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_export_verifies_whatever_part_it_is() {
    let world = world().await;
    let key = world.audit.verifier(tenant()).await.expect("reads").expect("has a key");
    let mut parts = vec![(None, None)];
    for (from, to) in
        [(0, 1), (0, 7), (1, 2), (3, 9), (5, 256), (255, 257), (256, 299), (100, 300), (298, 299)]
    {
        parts.push((Some(from), Some(to)));
    }
    for opened in [false, true] {
        for (from, to) in &parts {
            let file = export(&world, Part { from: *from, to: *to, opened, ..Part::default() }).await;
            let report = check(&file);
            assert!(report.is_sound(), "{from:?}..{to:?}: {report}");
            assert_eq!(report.entries, report.to - report.from);
            assert_eq!(report.from, from.unwrap_or(0));
            assert_eq!(report.opened, if opened { report.entries } else { 0 });
            assert_eq!(report.anchors.len(), 1, "{report}");
            for good in [&key, &report.fingerprint] {
                assert!(verify(&file[..], Some(good)).expect("reads").is_sound());
            }
            let other = verify(&file[..], Some(&"0".repeat(64))).expect("reads");
            assert_eq!(other.findings, [ExportFinding::OtherKey]);
        }
    }
    let nothing = Part { from: Some(9), to: Some(9), ..Part::default() };
    assert!(world.audit.export(&alice(), READER, tenant(), &nothing).await.expect("may").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_by_time_holds_what_happened_then() {
    let world = World::new().await;
    world.write(10).await;
    let start = world.clock.now();
    world.clock.advance(Duration::from_secs(3600));
    world.write(10).await;
    let middle = world.clock.now();
    world.clock.advance(Duration::from_secs(3600));
    world.write(10).await;
    let part =
        Part { since: Some(start.plus(Duration::from_secs(600))), until: Some(middle), ..Part::default() };
    let report = check(&export(&world, part).await);
    assert_eq!((report.from, report.to), (10, 20), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_changed_byte_is_seen_and_each_changed_entry_is_named() {
    let world = world().await;
    let file = export(&world, Part { from: Some(3), to: Some(11), opened: true, ..Part::default() }).await;
    for at in 0..file.len() {
        let mut other = file.clone();
        other[at] ^= if at % 2 == 0 { 1 } else { 0x20 };
        assert!(
            !check(&other).is_sound(),
            "byte {at}: {}",
            String::from_utf8_lossy(&file[at.saturating_sub(20)..at + 1])
        );
    }
    for end in 0..file.len() {
        assert!(!check(&file[..end]).is_sound(), "cut at {end}");
    }
    for extra in ["x", "\n", "{}\n"] {
        let longer = [&file[..], extra.as_bytes()].concat();
        assert!(!check(&longer).is_sound());
    }

    let lines: Vec<&[u8]> = file.split_inclusive(|b| *b == b'\n').collect();
    let with = |lines: &[&[u8]]| check(&lines.concat()).findings;
    let text = |n: usize| String::from_utf8(lines[n].to_vec()).expect("text");
    let replaced = |n: usize, line: &str| {
        let mut other = lines.clone();
        other[n] = line.as_bytes();
        with(&other)
    };
    // Line 3 is position 5.
    for (from, to) in [("\"outcome\":\"0\"", "\"outcome\":\"1\""), ("\"actor\":\"600\"", "\"actor\":\"601\"")]
    {
        let found = replaced(3, &text(3).replace(from, to));
        assert!(
            found.contains(&ExportFinding::Changed { position: 5 })
                || found.contains(&ExportFinding::LeafChanged { position: 5 }),
            "{found:?}"
        );
        assert!(
            found.contains(&ExportFinding::Words { position: 5 }) && found.contains(&ExportFinding::Bytes),
            "{found:?}"
        );
    }
    let found = replaced(3, &text(3).replace("größer", "kleiner"));
    assert_eq!(found, [ExportFinding::Opened { position: 5 }, ExportFinding::Bytes]);
    let found = replaced(3, &text(3).replace("{\"position\"", "{ \"position\""));
    assert_eq!(found, [ExportFinding::Bytes]);
    let mut removed = lines.clone();
    removed.remove(4);
    assert!(with(&removed).contains(&ExportFinding::Missing { position: 6, found: 7 }));
    let mut swapped = lines.clone();
    swapped.swap(4, 5);
    assert!(with(&swapped).contains(&ExportFinding::Missing { position: 6, found: 7 }));
    let mut twice = lines.clone();
    twice.insert(4, lines[4]);
    assert!(with(&twice).contains(&ExportFinding::Missing { position: 7, found: 6 }));
    // A line whose leaf was made to fit the change.
    let mut line: super::super::export::EntryLine = serde_json::from_slice(lines[3]).expect("an entry");
    line.reason = "owner".into();
    let numbers = [
        line.id,
        line.tenant,
        line.at,
        line.verb,
        line.outcome,
        line.protocol,
        line.actor_kind,
        line.actor_tenant,
        line.actor,
        line.owner,
        line.closes,
    ]
    .map(|n| n.0);
    let decode = |t: &str| base64::Engine::decode(&base64::prelude::BASE64_STANDARD, t).expect("base64");
    let facts = crate::leaf::facts(&numbers, &line.reason, &decode(&line.objects));
    let leaf =
        tlog_tiles::record_hash(&crate::leaf::data(facts, &decode(&line.detail), &decode(&line.commitment)));
    line.leaf = leaf.to_string();
    line.says = crate::words::line(&numbers, &line.reason, &decode(&line.objects));
    let found = replaced(3, &format!("{}\n", serde_json::to_string(&line).expect("prints")));
    assert_eq!(found, [ExportFinding::Root, ExportFinding::Bytes]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_an_act_and_wants_a_role() {
    let world = World::new().await;
    world.write(5).await;
    for (role, plain, opened) in [
        (Role::User, false, false),
        (Role::Delegate, false, false),
        (Role::DomainAdmin, false, false),
        (Role::Operator, true, false),
        (Role::TenantAdmin, true, false),
        (Role::Auditor, true, true),
        (Role::SecurityOfficial, true, true),
    ] {
        for (asked, may) in [(false, plain), (true, opened)] {
            let part = Part { opened: asked, ..Part::default() };
            let done = world.audit.export(&alice(), Roles::NONE.with(role), tenant(), &part).await;
            assert_eq!(done.is_ok(), may, "{role:?} {asked}");
            if let Ok(Some(export)) = done {
                export.give_up("nobody-takes-it").await.expect("writes");
            }
        }
    }
    export(&world, Part::default()).await;
    let all = world.all().await;
    let exports =
        |outcome| all.iter().filter(|r| r.verb == Some(Verb::Export) && r.outcome == Some(outcome)).count();
    assert_eq!(
        (exports(Outcome::Refused), exports(Outcome::Failed), exports(Outcome::Open), exports(Outcome::Done)),
        (8, 6, 7, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_log_is_not_exported_as_if_it_were_whole() {
    let world = World::new().await;
    let ids = world.write(10).await;
    let id = ids[4];
    world.attack(move |tx| tx.execute(&FLIP_REASON, params![id]).map(drop));
    let mut export =
        world.audit.export(&alice(), READER, tenant(), &Part::default()).await.expect("may").expect("begins");
    export.next().await.expect("the header").expect("is there");
    let error = export.next().await.expect_err("stops");
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    export.give_up("damaged").await.expect("writes");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_restore_left_out_is_told_by_the_export() {
    let world = World::new().await;
    world.write(20).await;
    let before = remember(&world);
    world.write(15).await;
    put_back(&world, before);
    let (world, _) = restore(world).await;
    world.write(30).await;
    let file = export(&world, Part::default()).await;
    let report = check(&file);
    assert!(report.is_sound(), "{report}");
    assert_eq!(report.restored.len(), 1);
    assert_eq!(report.anchors.len(), 2, "the lost one and the newest: {report}");
    let part = check(&export(&world, Part { from: Some(30), ..Part::default() }).await);
    assert!(part.is_sound(), "{part}");
}

proptest::proptest! {
    #[test]
    fn hostile_bytes_do_not_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        let _ = check(&bytes);
        let text = String::from_utf8_lossy(&bytes);
        let _ = (Proof::from_text(&text), Consistency::from_text(&text));
    }
}
