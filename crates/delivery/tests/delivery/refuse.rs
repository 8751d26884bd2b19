//! The one way in, when it refuses: nothing stays but the log's entry.

use sealpost_audit::{Caller, Outcome, Verb};
use sealpost_delivery::Refused;
use sealpost_model::Fault;
use sealpost_policy::Reason;

use crate::world::{LIMIT, World, address, letter};

/// That a message was refused for this reason and has left its entry, and nothing else.
async fn refused(
    world: &World,
    result: Result<sealpost_delivery::Accepted, Refused>,
    want: Reason,
    rows: [i64; 7],
) {
    let error = result.expect_err("is refused");
    assert_eq!(error.reason(), Some(want), "{error}");
    assert_eq!(world.rows(), rows, "{want:?} leaves no row");
    let entry = world.log(world.clinic(), Verb::Accept).await.pop().expect("has entries");
    assert_eq!((entry.outcome, entry.reason.as_str()), (Some(Outcome::Refused), want.name()));
}

#[tokio::test(start_paused = true)]
async fn nobody_sends_in_anothers_name() {
    let world = World::new().await;
    let ann = world.person("ann");
    let rows = world.rows();
    let to = ["bob@clinic.test", "eve@outside.test"];
    let from = |fields: &str| format!("{fields}Subject: x\r\n\r\nHi.\r\n");
    for (envelope, fields, want) in [
        ("ann@clinic.test", "From: bob@clinic.test\r\n", Reason::SenderNotOwned),
        ("ann@clinic.test", "From: eve@outside.test\r\n", Reason::SenderNotOwned),
        ("ann@clinic.test", "From: ann@clinic.test, bob@clinic.test\r\n", Reason::SenderNotOwned),
        ("bob@clinic.test", "From: ann@clinic.test\r\n", Reason::SenderNotOwned),
        ("eve@outside.test", "From: ann@clinic.test\r\n", Reason::SenderNotOwned),
        ("", "From: bob@clinic.test\r\n", Reason::SenderNotOwned),
        ("ann@clinic.test", "", Reason::FromFieldInvalid),
        ("ann@clinic.test", "From:\r\n", Reason::FromFieldInvalid),
        ("ann@clinic.test", "From: ann@clinic.test\r\nFrom: ann@clinic.test\r\n", Reason::FromFieldInvalid),
        ("ann@clinic.test", "From: ann@clinic.test\r\nfrom: bob@clinic.test\r\n", Reason::FromFieldInvalid),
        ("ann@clinic.test", "From: Ann at the clinic\r\n", Reason::FromFieldInvalid),
        ("ann@clinic.test", "From: ann@clinic.test, somebody else\r\n", Reason::FromFieldInvalid),
    ] {
        let result = world.take(world.submission(ann, envelope, &to, &from(fields))).await;
        refused(&world, result, want, rows).await;
    }
    // An alias is hers, and so is a null reverse-path (a read receipt).
    let alias = address("a.smith@clinic.test");
    world
        .identity
        .add_alias(world.clinic(), &alias, &address(ann.address), &Caller::SYSTEM)
        .await
        .expect("is added");
    for envelope in ["a.smith@clinic.test", ""] {
        let message = from("From: \"Ann\" <a.smith@clinic.test>\r\n");
        world.take(world.submission(ann, envelope, &to, &message)).await.expect("is taken");
    }
    // Whoever writes from outside may name anybody: that is for sender authentication to judge.
    let message = from("From: bob@clinic.test\r\n");
    world.take(world.arriving("eve@outside.test", &["bob@clinic.test"], &message)).await.expect("is taken");
}

#[tokio::test(start_paused = true)]
async fn who_cant_get_it_keeps_everybody_elses_back() {
    let world = World::new().await;
    let message = letter("bob@clinic.test");
    let rows = world.rows();
    for (to, want) in [
        (["bob@clinic.test", "nobody@clinic.test"], Reason::NoSuchAddress),
        (["bob@clinic.test", "nobody@lab.test"], Reason::NoSuchAddress),
        (["bob@clinic.test", "dan@clinic.test"], Reason::MailboxFull),
    ] {
        let long = format!("{message}{}", "x".repeat(300));
        let result = world.send(&to, &long).await;
        refused(&world, result, want, rows).await;
        assert!(world.inbox("bob").await.is_empty());
    }
    for (to, want) in [
        (["bob@clinic.test", "eve@outside.test"], Reason::RelayDenied),
        (["bob@clinic.test", "carl@lab.test"], Reason::OtherTenant),
        (["bob@clinic.test", "sent+7@clinic.test"], Reason::NoSuchAddress),
    ] {
        let result = world.take(world.arriving("eve@outside.test", &to, &message)).await;
        refused(&world, result, want, rows).await;
    }
    let full = Refused::from(Reason::MailboxFull);
    assert_eq!(full.fault(), Fault::Temporary, "there may be room tomorrow");
    assert_eq!(Refused::from(Reason::RelayDenied).fault(), Fault::Policy);
}

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_is_told_at_rcpt() {
    let world = World::new().await;
    let short = "From: ann@clinic.test\r\nMessage-ID: <1@x>\r\nDate: x\r\n\r\n";
    let fill = 300 - "Received: by mail.clinic.test\r\n".len() - short.len();
    let dan = address("dan@clinic.test");
    world.send(&["dan@clinic.test"], &format!("{short}{}", "x".repeat(fill))).await.expect("just fits");
    let error = world.delivery.check_recipient(None, &dan).await.expect_err("is full");
    assert_eq!(error.reason(), Some(Reason::MailboxFull));
}

#[tokio::test(start_paused = true)]
async fn loops_end() {
    let world = World::new().await;
    let hops = |n: usize| format!("{}{}", "Received: by somebody\r\n".repeat(n), letter("bob@clinic.test"));
    world.take(world.arriving("e@outside.test", &["bob@clinic.test"], &hops(100))).await.expect("is taken");
    let rows = world.rows();
    let result = world.take(world.arriving("e@outside.test", &["bob@clinic.test"], &hops(101))).await;
    refused(&world, result, Reason::MailLoop, rows).await;
}

#[tokio::test(start_paused = true)]
async fn limits_hold_while_it_arrives() {
    let world = World::new().await;
    let ann = world.person("ann");
    let rows = world.rows();
    let to = ["bob@clinic.test"];
    let text = letter("bob@clinic.test");
    let room = LIMIT as usize - text.len();
    let exact = format!("{text}{}", "x\r\n".repeat(room / 3) + &"y".repeat(room % 3));
    let over = format!("{exact}z");
    for pieces in [1 << 20, 4096, 999] {
        let (mut s, bytes) = world.submission(ann, ann.address, &to, &over);
        let mut last = Ok(());
        for piece in bytes.chunks(pieces) {
            last = s.body.write(piece).await;
        }
        assert_eq!(last.expect_err("is too large").reason(), Some(Reason::MessageTooLarge));
    }
    assert_eq!(world.rows(), rows);
    world.send(&to, &exact).await.expect("what fits is taken, our trace apart");

    // A header has an end, and it is the same however it was cut.
    let rows = world.rows();
    let endless = format!(
        "{}X-Long: {}\r\n\r\nHi.\r\n",
        text.split("\r\n\r\n").next().expect("is there"),
        "x".repeat(270_000)
    );
    for pieces in [1 << 20, 4096] {
        let (mut s, bytes) = world.submission(ann, ann.address, &to, &endless);
        let mut reasons = Vec::new();
        for piece in bytes.chunks(pieces) {
            if let Err(refused) = s.body.write(piece).await {
                reasons.push(refused.reason());
                break;
            }
        }
        assert_eq!(reasons, [Some(Reason::LinesInvalid)], "in pieces of {pieces}");
    }
    assert_eq!(world.rows(), rows);
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_and_not_known_is_never_passed_over() {
    let world = World::new().await;
    let rows = world.rows();
    for field in [
        "X-Sealpost-Method: pigeon",
        "X-Sealpost-Method: smime",
        "X-Sealpost-Method: pickup\r\nX-Sealpost-Method: tls",
        "X-Sealpost-Expire: tomorrow",
        "X-Sealpost-Code: maybe",
        "X-Sealpost-Metod: pickup",
    ] {
        let message = format!("{field}\r\n{}", letter("eve@outside.test"));
        let error = world.send(&["eve@outside.test"], &message).await.expect_err("is refused");
        assert_eq!(error.reason(), Some(Reason::TagInvalid), "{field}");
        // The same without a body: it is told at the end.
        let ann = world.person("ann");
        let (mut s, _) = world.submission(ann, ann.address, &["eve@outside.test"], "");
        let head = format!("From: ann@clinic.test\r\n{field}\r\n");
        s.body.write(head.as_bytes()).await.expect("has no end yet");
        let result = world.delivery.accept(s).await;
        refused(&world, result, Reason::TagInvalid, rows).await;
    }
}
