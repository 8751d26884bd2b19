//! What is done with is gone: the queue's way to a body dies with its life key.

use std::path::Path;

use sealpost_audit::{Object, Outcome as Ended, Verb};
use sealpost_delivery::{Evidence, Outcome, State};
use sealpost_model::{LifeKeyId, SubmissionId};
use sealpost_policy::{Grade, Reason};
use sealpost_store::{params, sql};

use crate::world::{Scripted, World, letter};

sql! {
    LIFE = "SELECT life, wrapped, summary FROM submission WHERE id = ?1";
    DOOMED = "SELECT COUNT(*) FROM doomed";
}

/// A message's way to its body, as its row has it.
fn way(world: &World, id: SubmissionId) -> (Option<LifeKeyId>, usize, usize) {
    let read = move |tx: &sealpost_store::ReadTx| {
        tx.row(&LIFE, params![id], |r| Ok((r.opt_id(0)?, r.bytes(1)?.len(), r.bytes(2)?.len())))
    };
    let row: sealpost_store::Result<_> = world.store.read_blocking(read);
    row.expect("reads").expect("is there")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("makes a folder");
    for file in std::fs::read_dir(from).expect("lists") {
        let file = file.expect("is there").path();
        let target = to.join(file.file_name().expect("has a name"));
        if file.is_dir() {
            copy(&file, &target);
        } else {
            std::fs::copy(&file, target).expect("copies");
        }
    }
}

fn delivered() -> Option<Outcome> {
    Some(Outcome::Delivered { grade: Grade::Dane, evidence: Evidence::default() })
}

#[tokio::test(start_paused = true)]
async fn the_last_recipient_ends_the_way_to_the_body() {
    let world = World::new().await;
    let to = ["eve@outside.test", "fay@outside.test", "bob@clinic.test"];
    let id = world.send(&to, &letter("eve@outside.test")).await.expect("is taken").submission;
    let (life, wrapped, summary) = way(&world, id);
    let life = life.expect("hangs on one");
    assert!(wrapped > 0 && summary > 0 && world.keys.ring().key(life).is_some());

    let half = Scripted::new(|job| match job.recipient.local() {
        "eve" => delivered(),
        _ => Some(Outcome::Retry { reason: Reason::TransportUnreachable, evidence: Evidence::default() }),
    });
    world.work(&half.as_smtp()).await;
    world.delivery.destroy_doomed().await.expect("has nothing to do");
    assert!(
        way(&world, id).0.is_some() && world.keys.ring().key(life).is_some(),
        "somebody still waits for it"
    );

    world.clock.advance(std::time::Duration::from_secs(60));
    world.work(&Scripted::new(|_| delivered()).as_smtp()).await;
    assert_eq!(way(&world, id), (None, 0, 0));
    world.delivery.destroy_doomed().await.expect("destroys");
    assert!(world.keys.ring().key(life).is_none());
    let left: sealpost_store::Result<_> =
        world.store.read_blocking(|tx| tx.row(&DOOMED, params![], |r| r.int(0)));
    assert_eq!(left.expect("reads"), Some(0));
    let entries = world.log(world.clinic(), Verb::KeyDestroy).await;
    assert_eq!(entries.iter().map(|e| e.outcome).collect::<Vec<_>>(), [Some(Ended::Open), Some(Ended::Done)]);
    assert!(entries.iter().all(|e| e.objects == [Object::from(life)]));

    // Those who own it still read it: each has a key of its own.
    assert_eq!(world.inbox("bob").await.len(), 1);
    assert_eq!(world.journal().await.len(), 1);
    let sent = world.delivery.sent(id).await.expect("reads").expect("its story stays");
    assert_eq!((sent.facts.subject.as_str(), sent.recipients.len()), ("Results of Mrs Doe", 3));
}

#[tokio::test(start_paused = true)]
async fn a_failure_ends_it_too() {
    let world = World::new().await;
    let id =
        world.send(&["eve@outside.test"], &letter("eve@outside.test")).await.expect("is taken").submission;
    let life = way(&world, id).0.expect("hangs on one");
    let rejected =
        || Some(Outcome::Rejected { reason: Reason::RecipientRejected, evidence: Evidence::default() });
    world.work(&Scripted::new(move |_| rejected()).as_smtp()).await;
    world.delivery.destroy_doomed().await.expect("destroys");
    assert!(world.keys.ring().key(life).is_none());
}

/// A message that nobody has but those outside: after its end yesterday's copy of the data opens nothing by its row.
#[tokio::test(start_paused = true)]
async fn yesterdays_copy_opens_nothing() {
    let world = World::new().await;
    let id =
        world.send(&["eve@outside.test"], &letter("eve@outside.test")).await.expect("is taken").submission;
    let (clock, people) = (world.clock.clone(), world.people.clone());
    let folder = world.close();

    let (data, yesterday) = (folder.path().join("data"), folder.path().join("yesterday"));
    copy(&data, &yesterday);
    let world = World::start(folder, clock.clone(), people.clone(), false).await;
    let life = way(&world, id).0.expect("hangs on one");
    let courier = Scripted::new(|_| delivered());
    world.work(&courier.as_smtp()).await;
    assert_eq!(courier.seen().len(), 1);
    world.delivery.destroy_doomed().await.expect("destroys");
    let folder = world.close();

    std::fs::remove_dir_all(&data).expect("is removed");
    copy(&yesterday, &data);
    let world = World::start(folder, clock, people, false).await;
    let (again, wrapped, _) = way(&world, id);
    assert_eq!((again, wrapped > 0), (Some(life), true), "the copy has the row as it was");
    assert!(world.keys.ring().key(life).is_none(), "and its key is gone");
    world.work(&courier.as_smtp()).await;
    assert!(courier.seen().is_empty(), "nothing is sent a second time");
    assert_eq!(world.of(id).await[0].state, State::Queued);
}
