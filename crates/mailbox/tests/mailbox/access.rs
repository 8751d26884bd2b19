//! Who may do what with a mailbox.

use sealpost_audit::Verb;
use sealpost_mailbox::{Error, FlagOp};
use sealpost_model::{Flags, Id, PersonId};
use sealpost_policy::{Reason, Right};

use crate::world::{ROOMY, World};

const LETTER: &[u8] = b"Subject: x\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn who_may_read_changes_nothing() {
    let world = World::new().await;
    let ann = world.owner(ROOMY).await;
    let account = ann.access.target();
    let inbox = world.inbox(&ann).await;
    world.put(&ann, inbox, LETTER, Flags::DELETED).await.expect("is taken");
    world.mailboxes.create_folder(&ann, "Work").await.expect("is made");
    let before = (world.mailboxes.folders(&ann).await.expect("lists"), world.counts(&ann).await);

    let person = PersonId::from_raw(77);
    let bob = world.caller(account, person, Some(Right::Read), Right::Read).await.expect("may read");
    let id = world.entries(&bob, inbox).await[0].id;
    assert_eq!(world.mailboxes.read(&bob, id, None).await.expect("reads"), LETTER);
    let read = world.log(Verb::ReadMessage).await;
    assert_eq!((read[0].actor, read[0].owner), (Some(bob.access.actor()), Some(account)));

    let m = &world.mailboxes;
    let refusals = [
        world.put(&bob, inbox, LETTER, Flags::NONE).await.err(),
        m.store_flags(&bob, inbox, &[1], FlagOp::Add, Flags::SEEN, None).await.err(),
        m.copy(&bob, inbox, &[1], inbox).await.err(),
        m.move_(&bob, inbox, &[1], inbox).await.err(),
        m.expunge(&bob, inbox, None).await.err(),
        m.delete(&bob, inbox, &[1]).await.err(),
        m.keyword(&bob, "k").await.err(),
        m.create_folder(&bob, "New").await.err(),
        m.rename_folder(&bob, "Work", "Play").await.err(),
        m.delete_folder(&bob, "Work").await.err(),
        m.subscribe(&bob, "Work", false).await.err(),
    ];
    for (n, refusal) in refusals.into_iter().enumerate() {
        let Some(Error::Denied(denied)) = refusal else { panic!("{n}: {refusal:?}") };
        assert_eq!(denied.reason, Reason::GrantTooNarrow);
    }
    assert_eq!(before, (m.folders(&ann).await.expect("lists"), world.counts(&ann).await));

    let error = world.caller(account, person, Some(Right::Read), Right::Write).await.expect_err("may not");
    assert!(matches!(error, Error::Denied(_)));
    assert!(world.caller(account, person, None, Right::Read).await.is_err());
}

/// A caller's proof is for one mailbox: ids of another one lead nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn ids_of_another_mailbox_lead_nowhere() {
    let world = World::new().await;
    let ann = world.owner(ROOMY).await;
    let bob = world.owner(ROOMY).await;
    let inbox = world.inbox(&ann).await;
    let own = world.inbox(&bob).await;
    world.put(&ann, inbox, LETTER, Flags::DELETED).await.expect("is taken");
    let id = world.entries(&ann, inbox).await[0].id;
    let before = (world.mailboxes.folders(&ann).await.expect("lists"), world.counts(&ann).await);

    let m = &world.mailboxes;
    assert!(matches!(m.read(&bob, id, None).await, Err(Error::NoEntry)));
    assert!(m.summaries(&bob, &[id]).await.expect("reads").is_empty());
    let refusals = [
        m.open(&bob, inbox).await.err(),
        m.changes(&bob, inbox, 0).await.err(),
        world.put(&bob, inbox, LETTER, Flags::NONE).await.err(),
        m.store_flags(&bob, inbox, &[1], FlagOp::Add, Flags::SEEN, None).await.err(),
        m.move_(&bob, inbox, &[1], own).await.err(),
        m.copy(&bob, own, &[1], inbox).await.err(),
        m.expunge(&bob, inbox, None).await.err(),
        m.delete(&bob, inbox, &[1]).await.err(),
    ];
    for (n, refusal) in refusals.into_iter().enumerate() {
        assert!(matches!(refusal, Some(Error::NoFolder)), "{n}: {refusal:?}");
    }
    assert_eq!(m.copy(&bob, inbox, &[1], own).await.expect("finds nothing").1, []);
    assert!(world.entries(&bob, own).await.is_empty());
    assert_eq!(world.counts(&bob).await.0, 0);
    assert_eq!(before, (m.folders(&ann).await.expect("lists"), world.counts(&ann).await));
}
