//! Random operations against a simple model: counters are always equal to the rows.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use sealpost_mailbox::{Caller, FlagOp};
use sealpost_model::{Flags, FolderId};

use crate::world::World;

#[derive(Clone, Debug)]
enum Op {
    Append { to: usize, size: usize, flags: Flags },
    Flag { at: usize, uids: Vec<u32>, op: FlagOp, flags: Flags },
    Copy { from: usize, uids: Vec<u32>, to: usize },
    Move { from: usize, uids: Vec<u32>, to: usize },
    Expunge { at: usize, uids: Option<Vec<u32>> },
    Delete { at: usize, uids: Vec<u32> },
}

/// What the mailbox should be.
#[derive(Default)]
struct Model {
    folders: [Shelf; 3],
}

#[derive(Default)]
struct Shelf {
    last: u32,
    messages: BTreeMap<u32, (Flags, usize)>,
}

impl Shelf {
    fn add(&mut self, message: (Flags, usize)) -> u32 {
        self.last += 1;
        self.messages.insert(self.last, message);
        self.last
    }
}

const QUOTA: usize = 4_000;

impl Model {
    fn used(&self) -> usize {
        self.folders.iter().flat_map(|f| f.messages.values()).map(|(_, size)| size).sum()
    }

    fn taken(&self, at: usize, uids: &[u32]) -> Vec<(u32, (Flags, usize))> {
        uids.iter().filter_map(|uid| Some((*uid, *self.folders[at].messages.get(uid)?))).collect()
    }

    /// Does it; answers what the mailbox should, as UIDs. `None` is "full".
    fn run(&mut self, op: &Op) -> Option<Vec<(u32, u32)>> {
        match op {
            Op::Append { to, size, flags } => {
                if self.used() + size > QUOTA {
                    return None;
                }
                let flags = flags.without(Flags::FACTS);
                Some(vec![(0, self.folders[*to].add((flags, *size)))])
            }
            Op::Flag { at, uids, op, flags } => {
                let flags = flags.without(Flags::FACTS);
                for uid in uids {
                    let Some((f, _)) = self.folders[*at].messages.get_mut(uid) else { continue };
                    *f = match op {
                        FlagOp::Add => f.with(flags),
                        FlagOp::Remove => f.without(flags),
                        FlagOp::Replace => flags,
                    };
                }
                Some(self.taken(*at, uids).into_iter().map(|(uid, _)| (uid, uid)).collect())
            }
            Op::Copy { from, uids, to } => {
                let found = self.taken(*from, uids);
                let more: usize = found.iter().map(|(_, (_, size))| size).sum();
                if more > 0 && self.used() + more > QUOTA {
                    return None;
                }
                Some(found.into_iter().map(|(uid, m)| (uid, self.folders[*to].add(m))).collect())
            }
            Op::Move { from, uids, to } => {
                let mut moved = Vec::new();
                for uid in uids {
                    moved.extend(self.folders[*from].messages.remove(uid).map(|m| (*uid, m)));
                }
                Some(moved.into_iter().map(|(uid, m)| (uid, self.folders[*to].add(m))).collect())
            }
            Op::Expunge { at, uids } => {
                let shelf = &mut self.folders[*at].messages;
                let wanted = |uid: &u32| uids.as_ref().is_none_or(|uids| uids.contains(uid));
                let doomed: Vec<u32> = shelf
                    .iter()
                    .filter(|(uid, (flags, _))| flags.contains(Flags::DELETED) && wanted(uid))
                    .map(|(uid, _)| *uid)
                    .collect();
                shelf.retain(|uid, _| !doomed.contains(uid));
                Some(doomed.into_iter().map(|uid| (uid, uid)).collect())
            }
            Op::Delete { at, uids } => {
                let mut gone = Vec::new();
                for uid in uids {
                    gone.extend(self.folders[*at].messages.remove(uid).map(|_| (*uid, *uid)));
                }
                gone.sort_unstable();
                Some(gone)
            }
        }
    }
}

async fn run(world: &World, caller: &Caller, folders: &[FolderId], op: &Op) -> Option<Vec<(u32, u32)>> {
    let m = &world.mailboxes;
    let twice = |uids: Vec<u32>| uids.into_iter().map(|uid| (uid, uid)).collect();
    let done = match op {
        Op::Append { to, size, flags } => {
            world.put(caller, folders[*to], &vec![b'x'; *size], *flags).await.map(|uid| vec![(0, uid)])
        }
        Op::Flag { at, uids, op, flags } => m
            .store_flags(caller, folders[*at], uids, *op, *flags, None)
            .await
            .map(|kept| twice(kept.iter().map(|e| e.uid).collect())),
        Op::Copy { from, uids, to } => {
            m.copy(caller, folders[*from], uids, folders[*to]).await.map(|(_, p)| p)
        }
        Op::Move { from, uids, to } => {
            m.move_(caller, folders[*from], uids, folders[*to]).await.map(|(_, p)| p)
        }
        Op::Expunge { at, uids } => m.expunge(caller, folders[*at], uids.as_deref()).await.map(twice),
        Op::Delete { at, uids } => m.delete(caller, folders[*at], uids).await.map(twice),
    };
    match done {
        Ok(pairs) => Some(pairs),
        Err(sealpost_mailbox::Error::OverQuota) => None,
        Err(error) => panic!("{op:?}: {error}"),
    }
}

async fn check(world: &World, ops: Vec<Op>) -> Result<(), TestCaseError> {
    let caller = world.owner(QUOTA as i64).await;
    let mut folders = Vec::new();
    for name in ["INBOX", "Sent", "Archive"] {
        folders.push(world.named(&caller, name).await.expect("is there").id);
    }
    let mut model = Model::default();
    let mut last = 0;
    for op in ops {
        let want = model.run(&op);
        let got = run(world, &caller, &folders, &op).await;
        prop_assert_eq!(got, want, "{:?}", op);
        let (used, modseq) = world.counts(&caller).await;
        prop_assert_eq!(used as usize, model.used(), "{:?}", op);
        prop_assert!(modseq >= last, "MODSEQ only grows");
        last = modseq;
        for (id, shelf) in folders.iter().zip(&model.folders) {
            let view = world.mailboxes.open(&caller, *id).await.expect("opens");
            let rows: BTreeMap<u32, (Flags, usize)> =
                view.entries.iter().map(|e| (e.uid, (e.flags, e.size as usize))).collect();
            prop_assert_eq!(&rows, &shelf.messages, "{:?}", op);
            let unseen = rows.values().filter(|(flags, _)| !flags.contains(Flags::SEEN)).count();
            prop_assert_eq!(
                (view.folder.messages as usize, view.folder.unseen as usize, view.folder.uidnext),
                (rows.len(), unseen, shelf.last + 1),
                "{:?}",
                op
            );
            prop_assert!(view.entries.iter().all(|e| e.modseq <= view.folder.modseq));
            prop_assert!(view.folder.modseq <= modseq);
        }
    }
    Ok(())
}

fn op() -> impl Strategy<Value = Op> {
    let uids = || prop::collection::vec(1..10_u32, 0..6);
    let flags = || {
        prop::sample::subsequence(vec![Flags::SEEN, Flags::DELETED, Flags::FLAGGED, Flags::RECEIPT], 0..4)
            .prop_map(|set| set.into_iter().fold(Flags::NONE, Flags::with))
    };
    let op = prop_oneof![Just(FlagOp::Add), Just(FlagOp::Remove), Just(FlagOp::Replace)];
    prop_oneof![
        4 => (0..3_usize, 1..600_usize, flags()).prop_map(|(to, size, flags)| Op::Append { to, size, flags }),
        3 => (0..3_usize, uids(), op, flags()).prop_map(|(at, uids, op, flags)| Op::Flag { at, uids, op, flags }),
        2 => (0..3_usize, uids(), 0..3_usize).prop_map(|(from, uids, to)| Op::Copy { from, uids, to }),
        2 => (0..3_usize, uids(), 0..3_usize).prop_map(|(from, uids, to)| Op::Move { from, uids, to }),
        1 => (0..3_usize, prop::option::of(uids())).prop_map(|(at, uids)| Op::Expunge { at, uids }),
        1 => (0..3_usize, uids()).prop_map(|(at, uids)| Op::Delete { at, uids }),
    ]
}

static RUNTIME: LazyLock<(tokio::runtime::Runtime, World)> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("starts");
    let world = runtime.block_on(World::new());
    (runtime, world)
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn counters_are_equal_to_the_rows(ops in prop::collection::vec(op(), 1..25)) {
        let (runtime, world) = &*RUNTIME;
        runtime.block_on(check(world, ops))?;
    }
}

/// A moved message keeps its id and its sealed content; a copy has its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_keeps_the_message_and_a_copy_makes_one() {
    let world = World::new().await;
    let ann = world.owner(crate::world::ROOMY).await;
    let inbox = world.inbox(&ann).await;
    let to = world.named(&ann, "Archive").await.expect("is there");
    world.put(&ann, inbox, b"Subject: x\r\n\r\nhello", Flags::SEEN).await.expect("is taken");
    let original = world.entries(&ann, inbox).await[0];
    let (validity, pairs) = world.mailboxes.copy(&ann, inbox, &[1], to.id).await.expect("is copied");
    assert_eq!((validity, &pairs[..]), (to.uidvalidity, &[(1, 1)][..]));
    let (validity, pairs) = world.mailboxes.move_(&ann, inbox, &[1], to.id).await.expect("is moved");
    assert_eq!((validity, &pairs[..]), (to.uidvalidity, &[(1, 2)][..]));
    let there = world.entries(&ann, to.id).await;
    assert_ne!(there[0].id, original.id);
    assert_eq!(there[1].id, original.id);
    for e in &there {
        assert_eq!((e.flags, e.size, e.received), (original.flags, original.size, original.received));
        assert_eq!(world.mailboxes.read(&ann, e.id, None).await.expect("reads"), b"Subject: x\r\n\r\nhello");
    }
    // Each lives as long as itself.
    world.mailboxes.delete(&ann, to.id, &[2]).await.expect("goes");
    assert!(world.mailboxes.read(&ann, there[0].id, None).await.is_ok());
}
