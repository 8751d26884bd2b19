//! What is put in comes out again, sealed on the disk and with an entry of the log for each read.

use std::time::Duration;

use sealpost_audit::{Object, Outcome, Verb};
use sealpost_mailbox::Error;
use sealpost_model::{Flags, Time};

use crate::world::{ROOMY, World};

const LETTER: &[u8] =
    b"From: Ann <ann@clinic.test>\r\nTo: bob@clinic.test\r\nSubject: Potassium of Mrs Doe\r\n\
    Message-ID: <1@clinic.test>\r\n\r\nThe potassium is fine: 4.1 mmol/l.\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_message_comes_out_as_it_went_in() {
    let world = World::new().await;
    let ann = world.owner(ROOMY).await;
    let inbox = world.inbox(&ann).await;
    let uid = world.put(&ann, inbox, LETTER, Flags::FLAGGED).await.expect("is taken");
    let entry = world.entries(&ann, inbox).await[0];
    assert_eq!((entry.uid, entry.size as usize, entry.flags), (uid, LETTER.len(), Flags::FLAGGED));
    assert_eq!(entry.received, Time::from_seconds(1_700_000_000));

    let whole = world.mailboxes.read(&ann, entry.id, None).await.expect("reads");
    assert_eq!(whole, LETTER);
    for (range, want) in
        [(6..9, &LETTER[6..9]), (90..100_000, &LETTER[90..]), (5..5, b""), (9_000..9_001, b"")]
    {
        let part = world.mailboxes.read(&ann, entry.id, Some(range)).await.expect("reads");
        assert_eq!(part, want);
    }
    let summaries = world.mailboxes.summaries(&ann, &[entry.id]).await.expect("reads");
    let summary = &summaries[0].1;
    assert_eq!(summary.structure.size, LETTER.len() as u64);
    assert!(summary.preview.contains("The potassium is fine"), "the preview is the text's beginning");
    assert!(summary.hidden.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_a_date_of_its_own_gets_the_time_of_its_coming() {
    let world = World::new().await;
    let ann = world.owner(ROOMY).await;
    let inbox = world.inbox(&ann).await;
    let mut upload = world.mailboxes.upload(world.tenant, 1 << 20);
    upload.write(LETTER).await.expect("is taken");
    world.mailboxes.append(&ann, inbox, upload, Flags::NONE, None).await.expect("is put there");
    assert_eq!(world.entries(&ann, inbox).await[0].received, Time::from_seconds(1_795_300_822));
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_jump_over_what_is_hidden() {
    let world = World::new().await;
    let ann = world.owner(ROOMY).await;
    let inbox = world.inbox(&ann).await;
    // Pieces around the border of two chunks (256 KiB), hidden ones beside each other and at both ends.
    let line = |n: u8, length: usize| [vec![n; length - 2], b"\r\n".to_vec()].concat();
    let pieces: Vec<(bool, Vec<u8>)> = vec![
        (true, line(b'h', 40)),
        (false, b"Subject: x\r\n".to_vec()),
        (true, line(b'i', 300)),
        (true, line(b'j', 20)),
        (false, b"\r\n".to_vec()),
        (false, line(b'a', 261_000)),
        (true, line(b'k', 2_000)),
        (false, line(b'b', 270_000)),
        (true, line(b'l', 10)),
    ];
    let mut upload = world.mailboxes.upload(world.tenant, 1 << 20);
    let (mut shown, mut stored) = (Vec::new(), 0);
    for (hidden, bytes) in &pieces {
        stored += bytes.len() as u64;
        if *hidden {
            upload.write_hidden(bytes).await.expect("is taken");
        } else {
            upload.write(bytes).await.expect("is taken");
            shown.extend_from_slice(bytes);
        }
    }
    assert_eq!(upload.len(), stored);
    world.mailboxes.append(&ann, inbox, upload, Flags::NONE, None).await.expect("is put there");

    let entry = world.entries(&ann, inbox).await[0];
    assert_eq!(entry.size as usize, shown.len(), "the size is that of what is shown");
    assert_eq!(world.counts(&ann).await.0, shown.len() as i64);
    let reader = world.mailboxes.reader(&ann, entry.id).await.expect("opens");
    assert_eq!(reader.len(), shown.len() as u64);
    assert_eq!(reader.summary().hidden.len(), 4, "neighbours are one span");
    let end = shown.len() as u64;
    let border = 261_000 + 14;
    for (from, to) in [
        (0, end),
        (0, 1),
        (11, 13),
        (border - 1, border + 1),
        (border - 5_000, border + 5_000),
        (256 << 10, (256 << 10) + 1),
        (end - 3, end),
        (end, end + 10),
        (7, 7),
    ] {
        let want = &shown[from as usize..(to.min(end)) as usize];
        assert!(reader.read(from..to).await.expect("reads") == want, "{from}..{to}");
    }
    let mut joined = Vec::new();
    for at in (0..end).step_by(99_991) {
        joined.extend(reader.read(at..at + 99_991).await.expect("reads"));
    }
    assert!(joined == shown);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_person_wrote_lies_open_on_the_disk() {
    let world = World::new().await;
    let ann = world.owner(ROOMY).await;
    let inbox = world.inbox(&ann).await;
    let large = [LETTER, &b"Haemoglobin of Mrs Doe was repeated.\r\n".repeat(40_000)].concat();
    for letter in [LETTER, &large] {
        world.put(&ann, inbox, letter, Flags::NONE).await.expect("is taken");
    }
    world.mailboxes.create_folder(&ann, "Oncology referrals").await.expect("is made");
    world.mailboxes.keyword(&ann, "palliative-care").await.expect("is made");
    for needle in ["potassium", "Potassium", "Haemoglobin", "ann@clinic", "Oncology", "palliative"] {
        assert!(!world.on_disk(needle.as_bytes()), "{needle} lies open");
    }
    assert!(world.on_disk(b"uidvalidity"), "what is plain is found by this search");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_or_too_much_leaves_nothing() {
    let world = World::new().await;
    let size = LETTER.len() as i64;
    let ann = world.owner(2 * size + 5).await;
    let account = ann.access.target();
    let inbox = world.inbox(&ann).await;

    let mut upload = world.mailboxes.upload(world.tenant, 10);
    let error = upload.write(LETTER).await.expect_err("is too large");
    assert!(matches!(error, Error::TooLarge(10)), "{error}");

    for _ in 0..2 {
        world.put(&ann, inbox, LETTER, Flags::NONE).await.expect("fits");
    }
    let before = (world.counts(&ann).await, world.entries(&ann, inbox).await);
    assert!(world.mailboxes.has_room(account, 5).await.expect("reads"));
    assert!(!world.mailboxes.has_room(account, 6).await.expect("reads"));
    let error = world.put(&ann, inbox, LETTER, Flags::NONE).await.expect_err("is full");
    assert!(matches!(error, Error::OverQuota), "{error}");
    let error = world.mailboxes.copy(&ann, inbox, &[1], inbox).await.expect_err("is full");
    assert!(matches!(error, Error::OverQuota), "{error}");
    assert_eq!(before, (world.counts(&ann).await, world.entries(&ann, inbox).await));
    assert_eq!(world.log(Verb::Copy).await.len(), 0, "what was rolled back is not told as done");

    world.mailboxes.delete(&ann, inbox, &[1]).await.expect("goes");
    world.put(&ann, inbox, LETTER, Flags::NONE).await.expect("there is room again");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_read_and_each_change_leaves_its_entry() {
    let world = World::new().await;
    let ann = world.owner(ROOMY).await;
    let mailboxes = &world.mailboxes;
    let inbox = world.inbox(&ann).await;
    for _ in 0..3 {
        world.put(&ann, inbox, LETTER, Flags::NONE).await.expect("is taken");
    }
    let ids: Vec<_> = world.entries(&ann, inbox).await.iter().map(|e| e.id).collect();
    let objects: Vec<Object> = ids.iter().map(|id| Object::from(*id)).collect();

    mailboxes.summaries(&ann, &ids).await.expect("reads");
    mailboxes.read(&ann, ids[1], Some(0..4)).await.expect("reads");
    let reader = mailboxes.reader(&ann, ids[2]).await.expect("opens");
    reader.read(0..4).await.expect("reads");
    reader.read(4..8).await.expect("reads");
    let error = mailboxes.read(&ann, sealpost_model::Id::from_raw(1), None).await.expect_err("is not there");
    assert!(matches!(error, Error::NoEntry), "{error}");

    let logged = |records: Vec<sealpost_audit::Record>| -> Vec<Vec<Object>> {
        for r in &records {
            assert_eq!((r.actor, r.owner), (Some(ann.access.actor()), Some(ann.access.target())));
            assert_eq!(r.outcome, Some(Outcome::Done));
        }
        records.into_iter().map(|r| r.objects).collect()
    };
    assert_eq!(logged(world.log(Verb::ReadSummary).await), std::slice::from_ref(&objects));
    assert_eq!(logged(world.log(Verb::ReadMessage).await), [[objects[1]], [objects[2]]]);
    assert_eq!(logged(world.log(Verb::Append).await).concat(), objects);

    world.clock.advance(Duration::from_secs(1));
    let work = mailboxes.create_folder(&ann, "Work").await.expect("is made");
    mailboxes.subscribe(&ann, "Work", false).await.expect("is set");
    mailboxes.rename_folder(&ann, "Work", "Play").await.expect("is renamed");
    mailboxes.keyword(&ann, "urgent").await.expect("is made");
    mailboxes.keyword(&ann, "urgent").await.expect("is known");
    mailboxes
        .store_flags(&ann, inbox, &[1], sealpost_mailbox::FlagOp::Add, Flags::DELETED, None)
        .await
        .expect("is set");
    mailboxes.copy(&ann, inbox, &[1, 2], work).await.expect("is copied");
    mailboxes.move_(&ann, inbox, &[2], work).await.expect("is moved");
    mailboxes.expunge(&ann, inbox, None).await.expect("goes");
    mailboxes.delete_folder(&ann, "Play").await.expect("goes");
    let uid = |n: i64| Object::from(n);
    let folder = Object::from(work);
    for (verb, want) in [
        (Verb::FolderCreate, vec![vec![folder]]),
        (Verb::FolderSubscribe, vec![vec![folder]]),
        (Verb::FolderRename, vec![vec![folder]]),
        (Verb::FolderDelete, vec![vec![folder]]),
        (Verb::Keyword, vec![vec![Object::from(ann.access.target())]]),
        (Verb::Flag, vec![vec![Object::from(inbox), uid(1)]]),
        (Verb::Move, vec![vec![Object::from(inbox), uid(2)]]),
        (Verb::Expunge, vec![vec![Object::from(inbox), uid(1)], vec![folder, uid(1), uid(2), uid(3)]]),
    ] {
        assert_eq!(logged(world.log(verb).await), want, "{verb:?}");
    }
    assert_eq!(logged(world.log(Verb::Copy).await)[0].len(), 2);
}
