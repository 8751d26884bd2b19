//! From one organisation of this server to another.

use std::sync::Arc;
use std::time::Duration;

use sealpost_archive::Direction;
use sealpost_delivery::{Couriers, LocalCourier, State};
use sealpost_policy::{Grade, Method, Reason};

use crate::world::{World, letter};

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
