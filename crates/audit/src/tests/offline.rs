//! What offline commands leave reaches the log, and what was done to it in between is told.

use crate::offline::{Act, FILE, leave};

use super::*;

async fn left(world: &World, command: &str) {
    let act = Act::new(world.clock.now(), 1000, command).note("sound");
    leave(world.store.data(), &world.keys, &Random::system(), &act).await.expect("leaves it");
}

async fn told(world: &World) -> Vec<Record> {
    let roles = Roles::NONE.with(Role::Auditor);
    let page = world.audit.list(&alice(), roles, instance(), &Filter::default()).await.expect("lists");
    let mut records = page.records;
    records.retain(|r| matches!(r.verb, Some(Verb::Command | Verb::JournalDamaged)));
    records.reverse();
    records
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_start_puts_offline_commands_into_the_log_once() {
    let world = World::new().await;
    left(&world, "audit verify").await;
    let file = world.store.data().join(FILE);
    let bytes = std::fs::read(&file).expect("is there");
    assert!(!bytes.windows(6).any(|w| w == b"verify"), "it is sealed");
    world.clock.advance(Duration::from_secs(60));
    let failed = Act::new(world.clock.now(), 0, "check").failed();
    leave(world.store.data(), &world.keys, &Random::system(), &failed).await.expect("leaves it");
    let both = std::fs::read(&file).expect("is there");
    let world = world.restart().await;
    assert!(!file.exists());
    // The file comes back after a power cut.
    std::fs::write(&file, both).expect("writes");
    let world = world.restart().await;
    let records = told(&world).await;
    assert_eq!(records.len(), 2, "{records:?}");
    assert_eq!(records[0].actor, Some(Actor::Operator { uid: 1000 }));
    assert_eq!(records[0].protocol, Some(Protocol::Cli));
    assert_eq!(records[0].notes[0].1, "audit verify");
    assert_eq!(records[0].notes[1], ("at".to_owned(), "2023-11-14T22:13:20.000Z".to_owned()));
    assert_eq!(records[1].outcome, Some(Outcome::Failed));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_in_between_is_told() {
    let lines = |world: &World| -> Vec<String> {
        let text = std::fs::read_to_string(world.store.data().join(FILE)).expect("is there");
        text.lines().map(str::to_owned).collect()
    };
    type Change = fn(&mut Vec<String>);
    let changes: [(&str, Change, usize); 4] = [
        ("one taken out of the middle", |l| drop(l.remove(1)), 1),
        ("two swapped", |l| l.swap(0, 1), 0),
        ("one twice", |l| l.push(l[2].clone()), 3),
        ("one flipped", |l| l[1] = l[1].replacen(|c: char| c.is_ascii_lowercase(), "Z", 1), 1),
    ];
    for (what, change, kept) in changes {
        let world = World::new().await;
        for command in ["check", "audit verify", "archive verify"] {
            left(&world, command).await;
        }
        let mut all = lines(&world);
        change(&mut all);
        std::fs::write(world.store.data().join(FILE), all.join("\n") + "\n").expect("writes");
        let world = world.restart().await;
        let records = told(&world).await;
        assert_eq!(records.last().and_then(|r| r.verb), Some(Verb::JournalDamaged), "{what}");
        assert!(records.len() > kept, "{what}: {records:?}");
        assert!(world.store.data().join("offline.damaged").exists(), "{what}: evidence");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_lose_nothing() {
    let world = Arc::new(World::new().await);
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let world = world.clone();
            tokio::spawn(async move { left(&world, &format!("check {n}")).await })
        })
        .collect();
    for task in tasks {
        task.await.expect("ends");
    }
    let world = Arc::into_inner(world).expect("is ours").restart().await;
    let records = told(&world).await;
    assert_eq!(records.iter().filter(|r| r.verb == Some(Verb::Command)).count(), 20);
    assert!(records.iter().all(|r| r.verb != Some(Verb::JournalDamaged)));
}
