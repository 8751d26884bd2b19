//! Folders: their names, and the numbers that mail programs rely on.

use sealpost_mailbox::{Caller, Error, Special};
use sealpost_model::Flags;

use crate::world::{ROOMY, World};

async fn names(world: &World, caller: &Caller) -> Vec<String> {
    world.mailboxes.folders(caller).await.expect("lists").into_iter().map(|f| f.name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_mailbox_has_its_special_folders() {
    let world = World::new().await;
    let ann = world.owner(ROOMY).await;
    let mut folders = world.mailboxes.folders(&ann).await.expect("lists");
    folders.sort_by_key(|f| f.special.map(|s| s as u8));
    let got: Vec<_> = folders.iter().map(|f| (f.special.expect("is special"), f.name.as_str())).collect();
    assert_eq!(got, Special::ALL);
    for f in folders {
        assert!(f.subscribed);
        assert_eq!((f.uidnext, f.messages, f.unseen, f.modseq), (1, 0, 0, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_are_made_with_those_above_them() {
    let world = World::new().await;
    let ann = world.owner(ROOMY).await;
    let deep = world.mailboxes.create_folder(&ann, "Clients/2026/Übung/").await.expect("is made");
    let made = &names(&world, &ann).await[Special::ALL.len()..];
    assert_eq!(made, ["Clients", "Clients/2026", "Clients/2026/Übung"]);
    assert_eq!(world.named(&ann, "Clients/2026/Übung").await.expect("is there").id, deep);
    world.mailboxes.create_folder(&ann, "inbox/Later").await.expect("is made");
    assert!(world.named(&ann, "INBOX/Later").await.is_some());

    for taken in ["Clients/2026", "INBOX", "inbox", "Inbox/Later", "Sent"] {
        let error = world.mailboxes.create_folder(&ann, taken).await.expect_err("is taken");
        assert!(matches!(error, Error::Exists), "{taken}: {error}");
    }
    // Names are compared as they are, but for INBOX.
    world.mailboxes.create_folder(&ann, "sent").await.expect("is another one");
    for bad in ["", "/", "a//b", "a*", "50%", "a\nb", &"x".repeat(256)] {
        let error = world.mailboxes.create_folder(&ann, bad).await.expect_err("is no name");
        assert!(matches!(error, Error::Name(_)), "{bad:?}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_takes_what_lies_below_along() {
    let world = World::new().await;
    let ann = world.owner(ROOMY).await;
    let mailboxes = &world.mailboxes;
    for name in ["A/B/C", "AB", "D"] {
        mailboxes.create_folder(&ann, name).await.expect("is made");
    }
    let b = world.named(&ann, "A/B").await.expect("is there").id;
    world.put(&ann, b, b"Subject: x\r\n\r\n", Flags::NONE).await.expect("is taken");
    let before = world.named(&ann, "A/B").await.expect("is there");

    mailboxes.rename_folder(&ann, "A", "New/Place/A").await.expect("is renamed");
    let mut made = names(&world, &ann).await.split_off(Special::ALL.len());
    made.sort();
    let want = ["AB", "D", "New", "New/Place", "New/Place/A", "New/Place/A/B", "New/Place/A/B/C"];
    assert_eq!(made, want, "and those above its new place are made");
    let after = world.named(&ann, "New/Place/A/B").await.expect("is there");
    assert_eq!((after.id, after.messages, after.uidvalidity), (before.id, 1, before.uidvalidity));

    for (from, to, want) in [
        ("INBOX", "Old", "Folder"),
        ("New/Place", "New/Place/Deeper", "Folder"),
        ("D", "AB", "Exists"),
        ("D", "D", "Exists"),
        ("D", "inbox", "Exists"),
        ("A", "E", "NoFolder"),
        ("D", "*", "Name"),
    ] {
        let error = mailboxes.rename_folder(&ann, from, to).await.expect_err("is refused");
        assert!(format!("{error:?}").starts_with(want), "{from} to {to}: {error:?}");
    }
    // A special folder keeps what it is for.
    mailboxes.rename_folder(&ann, "Sent", "Gone out").await.expect("is renamed");
    assert_eq!(world.named(&ann, "Gone out").await.expect("is there").special, Some(Special::Sent));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_folder_takes_its_mail_along() {
    let world = World::new().await;
    let ann = world.owner(ROOMY).await;
    let mailboxes = &world.mailboxes;
    mailboxes.create_folder(&ann, "A/B").await.expect("is made");
    let b = world.named(&ann, "A/B").await.expect("is there").id;
    world.put(&ann, b, b"Subject: x\r\n\r\n", Flags::NONE).await.expect("is taken");
    let id = world.entries(&ann, b).await[0].id;
    for (name, want) in [("INBOX", "Folder"), ("Trash", "Folder"), ("A", "Folder"), ("Z", "NoFolder")] {
        let error = mailboxes.delete_folder(&ann, name).await.expect_err("is refused");
        assert!(format!("{error:?}").starts_with(want), "{name}: {error:?}");
    }
    mailboxes.delete_folder(&ann, "A/B").await.expect("goes");
    mailboxes.delete_folder(&ann, "A").await.expect("goes");
    assert_eq!(names(&world, &ann).await.len(), Special::ALL.len());
    assert_eq!(world.counts(&ann).await.0, 0, "its bytes are free again");
    assert!(matches!(mailboxes.read(&ann, id, None).await, Err(Error::NoEntry)));
    assert!(matches!(mailboxes.open(&ann, b).await, Err(Error::NoFolder)));
    assert!(matches!(mailboxes.changes(&ann, b, 0).await, Err(Error::NoFolder)));
}

/// RFC 9051 section 2.3.1.1: name, UIDVALIDITY and UID mean one message for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_used_again_never_brings_old_uids_back() {
    let world = World::new().await;
    let ann = world.owner(ROOMY).await;
    let mailboxes = &world.mailboxes;
    let mut seen = Vec::new();
    // The clock stands still: a script that empties its folder does it this fast.
    for _ in 0..3 {
        mailboxes.create_folder(&ann, "Scratch").await.expect("is made");
        seen.push(world.named(&ann, "Scratch").await.expect("is there").uidvalidity);
        mailboxes.delete_folder(&ann, "Scratch").await.expect("goes");
    }
    mailboxes.rename_folder(&ann, "Sent", "Old").await.expect("is renamed");
    mailboxes.rename_folder(&ann, "Drafts", "Sent").await.expect("is renamed");
    seen.extend(mailboxes.folders(&ann).await.expect("lists").iter().map(|f| f.uidvalidity));
    let count = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), count, "each folder has a UIDVALIDITY of its own");
    assert!(seen.iter().all(|v| *v >= 1_795_300_822));
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_are_kept() {
    let world = World::new().await;
    let ann = world.owner(ROOMY).await;
    for wanted in [false, true, true] {
        world.mailboxes.subscribe(&ann, "inbox", wanted).await.expect("is set");
        assert_eq!(world.named(&ann, "INBOX").await.expect("is there").subscribed, wanted);
    }
    let error = world.mailboxes.subscribe(&ann, "Nowhere", true).await.expect_err("is not there");
    assert!(matches!(error, Error::NoFolder), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn uids_only_grow_whatever_is_removed() {
    let world = World::new().await;
    let ann = world.owner(ROOMY).await;
    let inbox = world.inbox(&ann).await;
    let mut modseq = 0;
    for want in 1..=4 {
        let uid = world.put(&ann, inbox, b"Subject: x\r\n\r\n", Flags::NONE).await.expect("is taken");
        assert_eq!(uid, want);
        assert_eq!(world.mailboxes.delete(&ann, inbox, &[uid]).await.expect("goes"), [uid]);
        let folder = world.mailboxes.folder(&ann, inbox).await.expect("is there");
        assert_eq!((folder.uidnext, folder.messages, folder.unseen), (want + 1, 0, 0));
        assert!(folder.modseq > modseq);
        modseq = folder.modseq;
    }
}
