//! Flags and keywords.

use sealpost_mailbox::{Error, FlagOp};
use sealpost_model::Flags;

use crate::world::{ROOMY, World};

const LETTER: &[u8] = b"Subject: x\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn flags_are_added_removed_and_replaced() {
    let world = World::new().await;
    let ann = world.owner(ROOMY).await;
    let inbox = world.inbox(&ann).await;
    for _ in 0..2 {
        world.put(&ann, inbox, LETTER, Flags::SEEN).await.expect("is taken");
    }
    let both = Flags::SEEN.with(Flags::FLAGGED);
    for (op, flags, want) in [
        (FlagOp::Add, Flags::FLAGGED, both),
        (FlagOp::Remove, Flags::SEEN, Flags::FLAGGED),
        (FlagOp::Replace, Flags::DRAFT, Flags::DRAFT),
        (FlagOp::Replace, Flags::NONE, Flags::NONE),
    ] {
        let changed =
            world.mailboxes.store_flags(&ann, inbox, &[2, 99], op, flags, None).await.expect("is set");
        assert_eq!(changed.iter().map(|e| (e.uid, e.flags)).collect::<Vec<_>>(), [(2, want)], "{op:?}");
        let entries = world.entries(&ann, inbox).await;
        assert_eq!(entries[1], changed[0]);
        assert_eq!(entries[0].flags, Flags::SEEN, "the other one stays as it was");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_facts_are_beyond_clients() {
    let world = World::new().await;
    let ann = world.owner(ROOMY).await;
    let inbox = world.inbox(&ann).await;
    world.put(&ann, inbox, LETTER, Flags::FACTS.with(Flags::SEEN)).await.expect("is taken");
    assert_eq!(world.entries(&ann, inbox).await[0].flags, Flags::SEEN, "an APPEND claims no fact");

    // A delivery sets one.
    let mut upload = world.mailboxes.upload(world.tenant, 1 << 20);
    upload.write(LETTER).await.expect("is taken");
    let uploaded = world.mailboxes.finish(upload).await.expect("is whole");
    let (account, fact) = (ann.access.target(), Flags::SECURE_REPLY);
    let now = sealpost_model::Time::from_seconds(1_795_300_000);
    let entry = world.mailboxes.seal_entry(&uploaded, account, None, fact, now).await.expect("seals");
    world
        .store
        .write(sealpost_store::Scope::account(account), move |tx| {
            sealpost_store::blob::insert(tx, &uploaded.blob)?;
            sealpost_mailbox::insert_entry(tx, &entry)
        })
        .await
        .expect("is delivered");
    for (op, flags, want) in [
        (FlagOp::Remove, fact, fact),
        (FlagOp::Replace, Flags::NONE, fact),
        (FlagOp::Add, Flags::RECEIPT, fact),
        (FlagOp::Replace, Flags::RECEIPT.with(Flags::SEEN), fact.with(Flags::SEEN)),
    ] {
        world.mailboxes.store_flags(&ann, inbox, &[2], op, flags, None).await.expect("is set");
        assert_eq!(world.entries(&ann, inbox).await[1].flags, want, "{op:?} {flags:?}");
    }
    // A copy is of the same origin.
    world.mailboxes.copy(&ann, inbox, &[2], inbox).await.expect("is copied");
    assert_eq!(world.entries(&ann, inbox).await[2].flags, fact.with(Flags::SEEN));
}

/// RFC 7162 section 3.1.3.
#[tokio::test(flavor = "multi_thread")]
async fn what_changed_since_is_left_alone() {
    let world = World::new().await;
    let ann = world.owner(ROOMY).await;
    let inbox = world.inbox(&ann).await;
    for _ in 0..3 {
        world.put(&ann, inbox, LETTER, Flags::NONE).await.expect("is taken");
    }
    let known = world.mailboxes.folder(&ann, inbox).await.expect("is there").modseq;
    let store = |uids: Vec<u32>, op, flags, since| {
        let (ann, mailboxes) = (ann, world.mailboxes.clone());
        async move { mailboxes.store_flags(&ann, inbox, &uids, op, flags, since).await.expect("is set") }
    };
    let elsewhere = store(vec![2], FlagOp::Add, Flags::SEEN, None).await;
    let changed = store(vec![1, 2, 3], FlagOp::Add, Flags::DELETED, Some(known)).await;
    assert_eq!(changed.iter().map(|e| e.uid).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(world.entries(&ann, inbox).await[1], elsewhere[0], "it is as the other program left it");
    let newest = world.mailboxes.folder(&ann, inbox).await.expect("is there").modseq;
    assert_eq!(store(vec![1, 2, 3], FlagOp::Add, Flags::DRAFT, Some(newest)).await.len(), 3);
    assert_eq!(store(vec![1], FlagOp::Add, Flags::SEEN, Some(0)).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_already_is_no_change() {
    let world = World::new().await;
    let ann = world.owner(ROOMY).await;
    let inbox = world.inbox(&ann).await;
    world.put(&ann, inbox, LETTER, Flags::SEEN).await.expect("is taken");
    let before = world.mailboxes.open(&ann, inbox).await.expect("opens");
    let kept =
        world.mailboxes.store_flags(&ann, inbox, &[1], FlagOp::Add, Flags::SEEN, None).await.expect("is set");
    assert_eq!(kept, before.entries);
    let since = before.folder.modseq;
    assert!(world.mailboxes.changes(&ann, inbox, since).await.expect("reads").changed.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn keywords_are_kept_up_to_the_limit() {
    let world = World::new().await;
    let ann = world.owner(ROOMY).await;
    let bob = world.owner(ROOMY).await;
    let first = world.mailboxes.keyword(&ann, "$Phishing").await.expect("is made");
    assert_eq!(first, Flags::FIRST_KEYWORD);
    assert_eq!(world.mailboxes.keyword(&ann, "$phishing").await.expect("is the same"), first);
    for bit in first + 1..=Flags::LAST_KEYWORD {
        assert_eq!(world.mailboxes.keyword(&ann, &format!("k{bit}")).await.expect("is made"), bit);
    }
    let error = world.mailboxes.keyword(&ann, "one-more").await.expect_err("is one too many");
    assert!(matches!(error, Error::Keywords), "{error}");
    assert_eq!(world.mailboxes.keyword(&ann, "K62").await.expect("is known"), 62);
    let kept = world.fresh().keywords(&ann).await.expect("lists");
    assert_eq!(kept.len(), 55);
    assert_eq!((kept[0].clone(), kept[54].clone()), ((8, "$Phishing".into()), (62, "k62".into())));
    assert_eq!(world.mailboxes.keyword(&bob, "mine").await.expect("is made"), 8, "each account has its own");
    for bad in ["", "a b", "a*", "a)", "\u{fc}", &"x".repeat(101)] {
        let error = world.mailboxes.keyword(&bob, bad).await.expect_err("is no keyword");
        assert!(matches!(error, Error::Name(_)), "{bad:?}: {error}");
    }

    // The highest bit is a flag like any other.
    let inbox = world.inbox(&ann).await;
    world.put(&ann, inbox, LETTER, Flags::NONE).await.expect("is taken");
    let last = Flags::keyword(Flags::LAST_KEYWORD).expect("is one");
    world.mailboxes.store_flags(&ann, inbox, &[1], FlagOp::Add, last, None).await.expect("is set");
    assert_eq!(world.entries(&ann, inbox).await[0].flags.keywords().collect::<Vec<_>>(), [62]);
}
