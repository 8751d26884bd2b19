//! From one organisation of this server to another.

use std::sync::Arc;
use std::time::Duration;

use sealpost_archive::Direction;
use sealpost_delivery::{Batch, Courier, Couriers, Future, LocalCourier, Outcome, State};
use sealpost_model::QueueId;
use sealpost_policy::{Grade, Method, Reason};

use sealpost_store::{params, sql};

use crate::world::{World, letter};

sql! {
    FORGE = "INSERT INTO handed (queue, tenant, mac) SELECT id, ?1, ?2 FROM queue";
}

fn couriers(world: &World) -> Couriers {
    Couriers::default().with(Method::Local, Arc::new(LocalCourier::new(world.delivery.clone())))
}

#[tokio::test(start_paused = true)]
async fn a_message_to_another_organisation_comes_in_there_as_from_outside() {
    let world = World::new().await;
    let message = letter("carl@lab.test").replace("Subject: ", "Bcc: bob@clinic.test\r\nSubject: [secure] ");
    let accepted = world.send(&["carl@lab.test"], &message).await.expect("is taken");
    world.work(&couriers(&world)).await;

    let inbox = world.inbox("carl").await;
    assert_eq!(inbox.len(), 1);
    let want = format!(
        "Return-Path: <ann@clinic.test>\r\nReceived: by mail.clinic.test\r\n{}",
        letter("carl@lab.test")
    );
    assert_eq!(inbox[0].1, want, "what Ann's organisation hides does not leave it");
    let row = &world.of(accepted.submission).await[0];
    assert_eq!((row.state, row.method, row.grade), (State::Delivered, Method::Local, Some(Grade::Pinned)));
    let theirs = world.ledger(world.person("carl").tenant).await;
    assert_eq!((theirs.len(), theirs[0].state, theirs[0].method), (1, State::Delivered, Method::Mailbox));
    let journal = world.journal().await;
    let got: Vec<_> = journal.iter().map(|(row, ..)| (row.tenant, row.direction)).collect();
    let lab = world.person("carl").tenant;
    assert_eq!(got, [(world.clinic(), Direction::Outbound as i64), (lab, Direction::Inbound as i64)]);
}

/// As if the process had died after the other organisation's commit and before ours.
struct Forgetful(LocalCourier);

impl Courier for Forgetful {
    fn carry<'a>(&'a self, batch: &'a Batch) -> Future<'a, Vec<(QueueId, Outcome)>> {
        Box::pin(async move {
            let _ = self.0.carry(batch).await;
            Vec::new()
        })
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_other_organisation_has_taken_does_not_come_twice() {
    let world = World::new().await;
    let accepted = world.send(&["carl@lab.test"], &letter("carl@lab.test")).await.expect("is taken");
    let forgetful = Arc::new(Forgetful(LocalCourier::new(world.delivery.clone())));
    let handed = || world.handed();
    for _ in 0..3 {
        world.work(&Couriers::default().with(Method::Local, forgetful.clone())).await;
        assert_eq!(world.of(accepted.submission).await[0].state, State::Queued);
        assert_eq!(handed(), 1);
        world.clock.advance(Duration::from_secs(3600));
    }
    world.work(&couriers(&world)).await;
    assert_eq!(world.of(accepted.submission).await[0].state, State::Delivered);
    assert_eq!((world.inbox("carl").await.len(), handed()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn nobody_else_can_say_that_it_was_taken() {
    let world = World::new().await;
    let accepted = world.send(&["carl@lab.test"], &letter("carl@lab.test")).await.expect("is taken");
    let lab = world.person("carl").tenant;
    world.attack(move |tx| tx.execute(&FORGE, params![lab, [7_u8; 16]]).map(drop));
    world.work(&couriers(&world)).await;
    assert_eq!(world.of(accepted.submission).await[0].state, State::Queued);
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_stays_full_is_given_up_in_the_end() {
    let world = World::new().await;
    let message = format!("{}{}", letter("carl@lab.test"), "x".repeat(800));
    let accepted = world.send(&["carl@lab.test"], &message).await.expect("is taken");
    let couriers = couriers(&world);
    world.work(&couriers).await;
    assert_eq!(world.of(accepted.submission).await[0].state, State::Queued);
    let mut hours = 0;
    while world.of(accepted.submission).await[0].state == State::Queued {
        world.clock.advance(Duration::from_secs(3600));
        hours += 1;
        assert!(hours <= 48, "two days are enough");
        world.work(&couriers).await;
    }
    assert_eq!(hours, 48);
    let row = &world.of(accepted.submission).await[0];
    assert_eq!((row.state, row.reason.as_str()), (State::Failed, Reason::TransportUnreachable.name()));
    assert!(world.inbox("carl").await.is_empty());
    assert!(world.inbox("ann").await[0].1.contains("carl@lab.test"), "Ann is told");
}
