//! A view and what changed since: together always the folder as it is.

use std::collections::BTreeMap;

use sealpost_mailbox::{Caller, Changes, Entry, FlagOp};
use sealpost_model::{Flags, FolderId};

use crate::world::{ROOMY, World};

const LETTER: &[u8] = b"Subject: x\r\n\r\n";

/// A mailbox whose inbox holds `count` messages: one that came, and copies of it by 500 under one MODSEQ.
async fn filled(world: &World, count: usize) -> (Caller, FolderId) {
    let ann = world.owner(ROOMY).await;
    let inbox = world.inbox(&ann).await;
    world.put(&ann, inbox, LETTER, Flags::NONE).await.expect("is taken");
    world.mailboxes.copy(&ann, inbox, &vec![1; count - 1], inbox).await.expect("is copied");
    (ann, inbox)
}

/// A mail program's picture of a folder.
#[derive(Default, PartialEq, Debug)]
struct Picture {
    entries: BTreeMap<u32, Entry>,
}

impl Picture {
    fn of(entries: &[Entry]) -> Self {
        Self { entries: entries.iter().map(|e| (e.uid, *e)).collect() }
    }

    fn follow(&mut self, changes: &Changes) {
        for e in &changes.changed {
            self.entries.insert(e.uid, *e);
        }
        for uid in &changes.vanished {
            self.entries.remove(uid);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_and_its_changes_go_beyond_a_page() {
    let world = World::new().await;
    let (ann, inbox) = filled(&world, 2_600).await;
    let view = world.mailboxes.open(&ann, inbox).await.expect("opens");
    let uids: Vec<u32> = view.entries.iter().map(|e| e.uid).collect();
    assert_eq!(uids, (1..=2_600).collect::<Vec<u32>>());
    assert_eq!((view.folder.messages, view.folder.unseen, view.folder.uidnext), (2_600, 2_600, 2_601));
    let modseqs: std::collections::BTreeSet<i64> = view.entries.iter().map(|e| e.modseq).collect();
    assert_eq!(modseqs.len(), 7, "500 copies share a MODSEQ");

    let all = world.mailboxes.changes(&ann, inbox, 0).await.expect("reads");
    assert_eq!(all.changed.len(), 2_600);
    assert!(all.changed.is_sorted_by_key(|e| e.modseq));
    assert_eq!(Picture::of(&all.changed), Picture::of(&view.entries));
    assert_eq!(all.modseq, view.folder.modseq);
    let none = world.mailboxes.changes(&ann, inbox, all.modseq).await.expect("reads");
    assert!(none.changed.is_empty() && none.vanished.is_empty() && none.modseq == all.modseq);
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_changes_of_500_at_one_modseq_are_told_whole() {
    let world = World::new().await;
    let (ann, inbox) = filled(&world, 2_000).await;
    let view = world.mailboxes.open(&ann, inbox).await.expect("opens");
    let since = view.folder.modseq;
    let uids: Vec<u32> = (1..=1_500).collect();
    let seen = world
        .mailboxes
        .store_flags(&ann, inbox, &uids, FlagOp::Add, Flags::SEEN, None)
        .await
        .expect("is set");
    assert_eq!(seen.len(), 1_500);
    let gone: Vec<u32> = (200..=1_900).collect();
    assert_eq!(world.mailboxes.delete(&ann, inbox, &gone).await.expect("goes"), gone);

    // From each MODSEQ on, also from those in the middle.
    let last = world.mailboxes.folder(&ann, inbox).await.expect("is there").modseq;
    let now = world.entries(&ann, inbox).await;
    for from in since..=last {
        let changes = world.mailboxes.changes(&ann, inbox, from).await.expect("reads");
        assert_eq!(changes.modseq, last);
        let left = now.iter().filter(|e| e.modseq > from).count();
        assert_eq!(changes.changed.len(), left, "from {from}");
        assert!(changes.vanished.is_sorted());
        if from == since {
            assert_eq!(changes.vanished, gone);
            let mut picture = Picture::of(&view.entries);
            picture.follow(&changes);
            assert_eq!(picture, Picture::of(&now));
        }
    }
}

/// A page is read after the other while others write: nothing is lost, and what is told twice says the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_changes_while_pages_are_read_is_not_lost() {
    let world = std::sync::Arc::new(World::new().await);
    let (ann, inbox) = filled(&world, 2_200).await;
    let other = {
        let world = world.clone();
        tokio::spawn(async move {
            let mailboxes = &world.mailboxes;
            for round in 0..12_u32 {
                let uids: Vec<u32> = (1..=2_600).filter(|uid| uid % 5 == round % 5).collect();
                let op = if round % 2 == 0 { FlagOp::Add } else { FlagOp::Remove };
                mailboxes.store_flags(&ann, inbox, &uids, op, Flags::FLAGGED, None).await.expect("is set");
                mailboxes.delete(&ann, inbox, &[round * 7 + 3, 2_200 - round]).await.expect("goes");
                mailboxes.copy(&ann, inbox, &[1, 2, 4], inbox).await.expect("is copied");
            }
        })
    };
    let mut picture: Option<(Picture, i64)> = None;
    while !other.is_finished() {
        let (mut seen, since) = match picture.take() {
            Some(known) => known,
            None => {
                let view = world.mailboxes.open(&ann, inbox).await.expect("opens");
                (Picture::of(&view.entries), view.folder.modseq)
            }
        };
        let changes = world.mailboxes.changes(&ann, inbox, since).await.expect("reads");
        seen.follow(&changes);
        picture = Some((seen, changes.modseq));
    }
    other.await.expect("has written");
    let (mut seen, since) = picture.expect("has looked");
    seen.follow(&world.mailboxes.changes(&ann, inbox, since).await.expect("reads"));
    assert!(seen == Picture::of(&world.entries(&ann, inbox).await), "the picture is the folder");
    let mut whole = Picture::default();
    whole.follow(&world.mailboxes.changes(&ann, inbox, 0).await.expect("reads"));
    assert!(whole == seen, "and so is all that ever changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_watches_an_account_hears_of_a_change_after_it_is_there() {
    let world = World::new().await;
    let ann = world.owner(ROOMY).await;
    let inbox = world.inbox(&ann).await;
    let mut watch = world.mailboxes.watch(ann.access.target());
    let bob = world.owner(ROOMY).await;
    let theirs = world.inbox(&bob).await;
    world.put(&bob, theirs, LETTER, Flags::NONE).await.expect("is taken");
    assert!(!watch.is_due(), "somebody else's mail is not told");
    world.put(&ann, inbox, LETTER, Flags::NONE).await.expect("is taken");
    watch.changed().await;
    assert_eq!(world.mailboxes.changes(&ann, inbox, 1).await.expect("reads").changed.len(), 1);
}
