//! Rows that were changed behind the server's back are named, and nothing is served from them.

use sealpost_mailbox::{Caller, Error};
use sealpost_model::{EntryId, Flags, FolderId, Id};
use sealpost_store::{params, sql};

use crate::world::{ROOMY, World};

sql! {
    POINT = "UPDATE content SET blob = (SELECT c.blob FROM content c WHERE c.id = ?2) WHERE id = ?1";
    REWRAP = "UPDATE content SET wrapped = (SELECT c.wrapped FROM content c WHERE c.id = ?2) WHERE id = ?1";
    RETELL = "UPDATE content SET summary = (SELECT c.summary FROM content c WHERE c.id = ?2) WHERE id = ?1";
    GIVE = "UPDATE content SET account = ?2 WHERE id = ?1";
    DROP_CONTENT = "DELETE FROM content WHERE id = ?1";
    DROP_BLOBS = "DELETE FROM blob";
    GET_BODY = "SELECT b.id, b.body FROM blob b JOIN content c ON c.blob = b.id WHERE c.id = ?1";
    SET_BODY = "UPDATE blob SET body = ?2 WHERE id = ?1";
    QUOTA = "UPDATE account SET quota = quota + 1 WHERE id = ?1";
    OWNER = "UPDATE account SET owner = 4711 WHERE id = ?1";
    INBOX = "UPDATE account SET inbox = inbox + 1 WHERE id = ?1";
    LIFE = "UPDATE account SET life = (SELECT a.life FROM account a WHERE a.id = ?2) WHERE id = ?1";
    NAME = "UPDATE folder SET name = (SELECT f.name FROM folder f WHERE f.id = ?2) WHERE id = ?1";
    KEYWORD = "UPDATE keyword SET bit = 9 WHERE account = ?1";
}

fn letter(n: u8) -> Vec<u8> {
    format!("Subject: letter {n}\r\n\r\nText of letter {n}.\r\n").into_bytes()
}

async fn two(world: &World, caller: &Caller) -> (FolderId, Vec<EntryId>) {
    let inbox = world.inbox(caller).await;
    for n in 1..=2 {
        world.put(caller, inbox, &letter(n), Flags::NONE).await.expect("is taken");
    }
    (inbox, world.entries(caller, inbox).await.iter().map(|e| e.id).collect())
}

fn named<T>(result: Result<T, Error>, what: &str, id: i64) -> bool {
    matches!(result, Err(Error::Corrupt { what: w, id: i }) if w == what && i == id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_names_another_body_or_summary_opens_nothing() {
    for (attack, summary_too) in [(&POINT, false), (&REWRAP, false), (&RETELL, true)] {
        let world = World::new().await;
        let ann = world.owner(ROOMY).await;
        let (inbox, ids) = two(&world, &ann).await;
        let (a, b) = (ids[0], ids[1]);
        world.attack(move |tx| tx.execute(attack, params![a, b]).map(drop));
        let m = &world.mailboxes;
        assert!(named(m.read(&ann, a, None).await, "content", a.raw()), "{}", attack.name());
        assert_eq!(
            named(m.summaries(&ann, &[a]).await, "content", a.raw()),
            summary_too,
            "{}",
            attack.name()
        );
        assert!(named(m.copy(&ann, inbox, &[1], inbox).await, "content", a.raw()), "{}", attack.name());
        assert_eq!(m.read(&ann, b, None).await.expect("is whole"), letter(2));
        assert_eq!(world.entries(&ann, inbox).await.len(), 2, "what can't be read can still be listed");
        assert_eq!(m.delete(&ann, inbox, &[1]).await.expect("goes"), [1]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_given_to_another_account_opens_nothing() {
    let world = World::new().await;
    let ann = world.owner(ROOMY).await;
    let bob = world.owner(ROOMY).await;
    let (_, ids) = two(&world, &ann).await;
    let (id, thief) = (ids[0], bob.access.target());
    world.attack(move |tx| tx.execute(&GIVE, params![id, thief]).map(drop));
    assert!(named(world.mailboxes.read(&bob, id, None).await, "content", id.raw()));
    assert!(named(world.mailboxes.summaries(&bob, &[id]).await, "content", id.raw()));
    assert!(matches!(world.mailboxes.read(&ann, id, None).await, Err(Error::NoEntry)));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_changed_byte_of_a_body_is_found() {
    let world = World::new().await;
    let ann = world.owner(ROOMY).await;
    let (_, ids) = two(&world, &ann).await;
    let id = ids[0];
    let (blob, body) = world
        .store
        .read(move |tx| tx.row(&GET_BODY, params![id], |r| Ok((r.int(0)?, r.bytes(1)?))))
        .await
        .expect("reads")
        .expect("lies in its row");
    for at in 0..body.len() {
        let mut flipped = body.clone();
        flipped[at] ^= 1;
        world.attack(move |tx| tx.execute(&SET_BODY, params![blob, &flipped]).map(drop));
        let error = world.mailboxes.read(&ann, id, None).await.expect_err("is damaged");
        assert_eq!(error.fault(), sealpost_model::Fault::Corrupt, "byte {at}: {error}");
    }
    world.attack(|tx| tx.execute(&DROP_BLOBS, params![]).map(drop));
    assert!(named(world.mailboxes.read(&ann, id, None).await, "blob", blob));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_what_lost_its_content_takes_nobody_elses() {
    let world = World::new().await;
    let ann = world.owner(ROOMY).await;
    let inbox = world.inbox(&ann).await;
    for bytes in [b"Subject: a\r\n\r\n".to_vec(), letter(1), letter(2)] {
        world.put(&ann, inbox, &bytes, Flags::NONE).await.expect("is taken");
    }
    let id = world.entries(&ann, inbox).await[0].id;
    world.attack(move |tx| tx.execute(&DROP_CONTENT, params![id]).map(drop));
    let to = world.named(&ann, "Archive").await.expect("is there").id;
    let (_, pairs) = world.mailboxes.copy(&ann, inbox, &[1, 2, 3], to).await.expect("is copied");
    assert_eq!(pairs, [(2, 1), (3, 2)]);
    for (n, entry) in (1..).zip(world.entries(&ann, to).await) {
        assert_eq!(entry.size as usize, letter(n).len());
        assert_eq!(world.mailboxes.read(&ann, entry.id, None).await.expect("reads"), letter(n));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_account_is_refused_whole() {
    for attack in [&QUOTA, &OWNER, &INBOX, &LIFE] {
        let world = World::new().await;
        let ann = world.owner(ROOMY).await;
        let bob = world.owner(ROOMY).await;
        let (account, other) = (ann.access.target(), bob.access.target());
        let inbox = world.inbox(&ann).await;
        world.attack(move |tx| {
            let params = [params![account, other].to_vec(), params![account].to_vec()];
            let with = usize::from(!std::ptr::eq(attack, &raw const LIFE));
            tx.execute(attack, &params[with]).map(drop)
        });
        let fresh = world.fresh();
        assert!(named(fresh.open(&ann, inbox).await, "account", account.raw()), "{}", attack.name());
        assert!(fresh.folders(&bob).await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_were_swapped_are_named() {
    let world = World::new().await;
    let ann = world.owner(ROOMY).await;
    let sent = world.named(&ann, "Sent").await.expect("is there").id;
    let junk = world.named(&ann, "Junk").await.expect("is there").id;
    world.mailboxes.keyword(&ann, "k").await.expect("is made");
    let account = ann.access.target();
    world.attack(move |tx| {
        tx.execute(&NAME, params![sent, junk])?;
        tx.execute(&KEYWORD, params![account]).map(drop)
    });
    assert!(named(world.mailboxes.folders(&ann).await, "folder", sent.raw()));
    assert!(named(world.mailboxes.keywords(&ann).await, "keyword", account.raw()));
}
