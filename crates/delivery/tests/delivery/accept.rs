//! The one way in, when it takes a message.

use sealpost_archive::Direction;
use sealpost_audit::{Caller, Object, Outcome, Verb};
use sealpost_delivery::{Kind, Origin, Rcpt, State};
use sealpost_model::{Flags, Protocol};
use sealpost_policy::{Grade, Method, Reason};

use crate::world::{World, address, client, letter};

#[tokio::test(start_paused = true)]
async fn one_message_is_everywhere_at_once() {
    let world = World::new().await;
    let before = world.rows();
    let to = ["bob@clinic.test", "eve@outside.test", "carl@lab.test"];
    let accepted = world.send(&to, &letter("bob@clinic.test")).await.expect("is taken");
    let after = world.rows();
    let new: Vec<i64> = after.iter().zip(before).map(|(a, b)| a - b).collect();
    assert_eq!(
        new,
        [1, 1, 1, 1, 1, 3, 2],
        "one body, one journal row, one entry, three in the ledger, two queued"
    );

    let inbox = world.inbox("bob").await;
    assert!(inbox[0].1.ends_with(&letter("bob@clinic.test")) && inbox[0].1.starts_with("Received: by mail"));
    assert_eq!(inbox[0].0.flags, Flags::NONE);
    assert!(world.inbox("carl").await.is_empty(), "another organisation's mailbox is not written from here");

    let (row, envelope, body) = world.journal().await.remove(0);
    assert_eq!((row.id, row.submission, row.tenant), (accepted.journal, accepted.submission, world.clinic()));
    assert_eq!(row.direction, Direction::Outbound as i64);
    assert_eq!((envelope.from.as_str(), &envelope.to[..]), ("ann@clinic.test", &to.map(String::from)[..]));
    assert_eq!(body, inbox[0].1);

    let ledger = world.of(accepted.submission).await;
    let got: Vec<_> = ledger.iter().map(|r| (r.recipient.as_str(), r.method, r.state)).collect();
    let want =
        [(Method::Mailbox, State::Delivered), (Method::Smtp, State::Queued), (Method::Local, State::Queued)];
    assert_eq!(got, to.iter().zip(want).map(|(to, (m, s))| (*to, m, s)).collect::<Vec<_>>());
    for r in &ledger {
        assert_eq!((r.sender.as_str(), r.message_id.as_str()), ("ann@clinic.test", "<letter@clinic.test>"));
        assert_eq!(r.account, Some(world.person("ann").account));
    }

    let accept = &world.log(world.clinic(), Verb::Accept).await[0];
    assert_eq!(accept.outcome, Some(Outcome::Done));
    assert_eq!(
        (accept.protocol, accept.owner),
        (Some(Protocol::Submission), Some(world.person("ann").account))
    );
    let mut objects = vec![Object::from(accepted.submission), Object::from(accepted.journal)];
    objects.push(inbox[0].0.id.into());
    objects.extend(ledger.iter().map(|r| Object::from(r.id)));
    assert_eq!(accept.objects, objects);

    let sent = world.delivery.sent(accepted.submission).await.expect("reads").expect("is on its way");
    assert_eq!((sent.recipients.len(), sent.facts.subject.as_str()), (3, "Results of Mrs Doe"));
}

#[tokio::test(start_paused = true)]
async fn a_recipient_who_is_named_twice_gets_it_once() {
    let world = World::new().await;
    let to =
        ["bob@clinic.test", "eve@outside.test", "bob@CLINIC.test", "eve@Outside.test", "ann@clinic.test"];
    let accepted = world.send(&to, &letter("bob@clinic.test")).await.expect("is taken");
    assert_eq!(world.of(accepted.submission).await.len(), 3);
    assert_eq!((world.inbox("bob").await.len(), world.inbox("ann").await.len()), (1, 1));
    let queued = world.delivery.queue(world.clinic(), None).await.expect("lists");
    assert_eq!(queued.iter().map(|q| q.recipient.as_str()).collect::<Vec<_>>(), ["eve@outside.test"]);
    assert_eq!(world.journal().await[0].1.to.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn mail_between_people_of_one_organisation_never_queues() {
    let world = World::new().await;
    let accepted = world.send(&["bob@clinic.test"], &letter("bob@clinic.test")).await.expect("is taken");
    assert_eq!(world.rows()[4..], [0, 1, 0]);
    assert_eq!(world.journal().await[0].0.direction, Direction::Internal as i64);
    assert!(world.delivery.sent(accepted.submission).await.expect("reads").is_none());
}

#[tokio::test(start_paused = true)]
async fn mail_from_outside_is_traced_and_stripped_of_our_headers() {
    let world = World::new().await;
    let message = "From: eve@outside.test\r\nBcc: x@outside.test\r\nX-Sealpost-Method: pickup\r\n\
        Return-Path: <forged@outside.test>\r\nSubject: [secure] Hello\r\nX-Sealpost-Anything: [7]\r\n\r\nHi.\r\n";
    let accepted = world
        .take(world.arriving("eve@outside.test", &["bob@clinic.test"], message))
        .await
        .expect("is taken");
    let shown = "Return-Path: <eve@outside.test>\r\nReceived: from outside\r\nFrom: eve@outside.test\r\n\
        Bcc: x@outside.test\r\nSubject: [secure] Hello\r\n\r\nHi.\r\n";
    let inbox = world.inbox("bob").await;
    assert_eq!(inbox[0].1, shown);
    assert_eq!((inbox[0].0.size as usize, inbox[0].0.flags), (shown.len(), Flags::NONE));
    let (row, envelope, body) = world.journal().await.remove(0);
    assert_eq!(row.direction, Direction::Inbound as i64);
    assert!(body.contains("X-Sealpost-Method: pickup") && body.contains("forged@outside.test"), "S22");
    assert_eq!(envelope.from, "eve@outside.test");
    assert_eq!(world.of(accepted.submission).await[0].state, State::Delivered);
    let accept = &world.log(world.clinic(), Verb::Accept).await[0];
    assert_eq!((accept.actor, accept.owner), (Some(sealpost_model::Actor::Stranger), None));
}

#[tokio::test(start_paused = true)]
async fn a_bounce_from_outside_is_taken() {
    let world = World::new().await;
    let message = "From: postmaster@outside.test\r\nSubject: failure\r\n\r\nx\r\n";
    world.take(world.arriving("", &["bob@clinic.test"], message)).await.expect("is taken");
    assert!(world.inbox("bob").await[0].1.starts_with("Return-Path: <>\r\n"));
    assert_eq!(world.journal().await[0].1.from, "");
}

#[tokio::test(start_paused = true)]
async fn hidden_recipients_are_kept_by_the_journal_alone() {
    let world = World::new().await;
    let message = "From: ann@clinic.test\r\nTo: bob@clinic.test\r\nBcc: secret@outside.test,\r\n dan@clinic.test\r\n\
        Subject: x\r\n\r\nHi.\r\n";
    let to = ["bob@clinic.test", "secret@outside.test"];
    let accepted = world.send(&to, message).await.expect("is taken");
    let shown = &world.inbox("bob").await[0].1;
    assert!(!shown.contains("secret") && !shown.contains("Bcc") && !shown.contains("dan@"), "{shown}");
    let (_, envelope, body) = world.journal().await.remove(0);
    assert_eq!(envelope.to, to);
    assert!(body.contains("Bcc: secret@outside.test"), "the body is kept as it came");
    let sent = world.delivery.sent(accepted.submission).await.expect("reads").expect("is there");
    assert_eq!(sent.facts.visible, ["bob@clinic.test"]);
}

#[tokio::test(start_paused = true)]
async fn a_submission_gets_the_date_and_id_that_it_lacks() {
    let world = World::new().await;
    let message = "From: ann@clinic.test\r\nTo: bob@clinic.test\r\n\r\nHi.\r\n";
    for _ in 0..2 {
        world.send(&["bob@clinic.test"], message).await.expect("is taken");
    }
    let inbox = world.inbox("bob").await;
    let id = |shown: &str| {
        let at = shown.find("Message-ID: <").expect("has one");
        shown[at..].lines().next().expect("is a line").to_owned()
    };
    let first = id(&inbox[0].1);
    assert!(first.ends_with("@mail.clinic.test>"), "{first}");
    assert_ne!(first, id(&inbox[1].1));
    assert!(inbox[0].1.contains("\r\nDate: Sat, 21 Nov 2026 22:40:22 +0000\r\n"));
    let ledger = world.ledger(world.clinic()).await;
    assert_eq!(format!("Message-ID: {}", ledger[0].message_id), first, "the ledger knows it by that id");

    // Both stay as they are where they are, and mail from outside is not touched.
    world.send(&["bob@clinic.test"], &letter("bob@clinic.test")).await.expect("is taken");
    let arriving = world.arriving("eve@outside.test", &["bob@clinic.test"], "From: eve@outside.test\r\n\r\n");
    world.take(arriving).await.expect("is taken");
    let inbox = world.inbox("bob").await;
    assert_eq!(inbox[2].1.matches("Message-ID:").count(), 1);
    assert!(inbox[2].1.contains("<letter@clinic.test>"));
    assert!(!inbox[3].1.contains("Message-ID:") && !inbox[3].1.contains("Date:"));
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_pickup_gets_it_for_those_outside() {
    let world = World::new().await;
    for (headers, subject, plan) in [
        ("", "Results", Method::Smtp),
        ("", "[SECURE] Results", Method::Pickup),
        ("X-Sealpost-Method: pickup\r\n", "Results", Method::Pickup),
        ("X-Sealpost-Code: required\r\n", "Results", Method::Pickup),
        ("X-Sealpost-Method: tls\r\n", "Results", Method::Smtp),
        ("X-Sealpost-Method: tls\r\n", "Results [secure]", Method::Pickup),
        ("X-Sealpost-Expire: 7d\r\n", "Results", Method::Smtp),
    ] {
        let message = format!(
            "From: ann@clinic.test\r\n{headers}Subject: {subject}\r\nTo: bob@clinic.test\r\n\r\nHi.\r\n"
        );
        let to = ["bob@clinic.test", "eve@outside.test"];
        let accepted = world.send(&to, &message).await.expect("is taken");
        let methods: Vec<_> = world.of(accepted.submission).await.iter().map(|r| r.method).collect();
        assert_eq!(methods, [Method::Mailbox, plan], "{headers}{subject}");
        let shown = world.inbox("bob").await.pop().expect("has mail").1;
        assert!(shown.contains("\r\nSubject: Results\r\n"), "{shown}");
        assert!(!shown.contains("X-Sealpost") && !shown.to_lowercase().contains("secure"), "{shown}");
        let body = world.journal().await.pop().expect("has rows").2;
        assert!(body.contains(headers) && body.contains(subject), "the journal keeps what came");
        let reason = &world.of(accepted.submission).await[1].reason;
        let asked = Reason::SenderAskedPickup.name();
        assert_eq!(reason == asked, plan == Method::Pickup);
    }
}

/// The result is the same however the message was cut on the wire.
#[tokio::test(start_paused = true)]
async fn a_message_may_come_in_any_pieces() {
    let world = World::new().await;
    let message = "From: ann@clinic.test\r\nMessage-ID: <1@clinic.test>\r\nDate: x\r\nBcc: s@outside.test\r\n\
        Subject: [secure] x\r\n\r\n\r\n\r\nBcc: this is text\r\n";
    let mut shown = Vec::new();
    for piece in [1, 2, 3, 7, 1000] {
        let ann = world.person("ann");
        let (mut s, bytes) = world.submission(ann, ann.address, &["bob@clinic.test"], message);
        for part in bytes.chunks(piece) {
            s.body.write(part).await.expect("is taken");
        }
        assert_eq!(s.body.received(), message.len() as u64);
        assert!(s.body.facts().tags.pickup);
        world.delivery.accept(s).await.expect("is taken");
        shown.push(world.inbox("bob").await.pop().expect("has mail").1);
    }
    let want = "Received: by mail.clinic.test\r\nFrom: ann@clinic.test\r\nMessage-ID: <1@clinic.test>\r\nDate: x\r\n\
        Subject: x\r\n\r\n\r\n\r\nBcc: this is text\r\n";
    assert!(shown.iter().all(|s| s == want), "{shown:?}");
}

#[tokio::test(start_paused = true)]
async fn what_the_server_writes_is_marked_as_what_it_is() {
    let world = World::new().await;
    let text = "From: postmaster@clinic.test\r\nSubject: x\r\n\r\nCode 123456\r\n";
    world.own(Kind::Receipt, "", "ann@clinic.test", text).await.expect("is taken");
    assert_eq!(world.inbox("ann").await[0].0.flags, Flags::RECEIPT);
    let error = world.own(Kind::Receipt, "", "eve@outside.test", text).await.expect_err("codes stay here");
    assert_eq!(error.reason(), Some(Reason::AddressRefused));

    // The journal keeps the twin in place of a receipt's codes (S22).
    let origin = Origin::System { tenant: world.clinic() };
    let mut body = world.delivery.begin(sealpost_delivery::Arrival {
        origin,
        trace: String::new(),
        return_path: String::new(),
    });
    body.write(text.as_bytes()).await.expect("is taken");
    let twin = Some(text.replace("123456", "[code]").into_bytes());
    let (from, to) = (sealpost_model::ReversePath::Null, vec![address("ann@clinic.test")]);
    let caller = Caller::SYSTEM;
    let s = sealpost_delivery::Submission { caller, origin, kind: Kind::Receipt, from, to, body, twin };
    world.delivery.accept(s).await.expect("is taken");
    assert!(world.inbox("ann").await[1].1.contains("123456"));
    let kept = world.journal().await.pop().expect("has rows").2;
    assert!(kept.contains("[code]") && !kept.contains("123456"));

    // A reply from the portal is a fact of the row, which no header forges.
    let origin = Origin::Portal { tenant: world.clinic() };
    let mut body = world.delivery.begin(sealpost_delivery::Arrival {
        origin,
        trace: String::new(),
        return_path: String::new(),
    });
    body.write(b"From: eve@outside.test\r\n\r\nThanks\r\n").await.expect("is taken");
    let from = sealpost_model::ReversePath::From(address("eve@outside.test"));
    let to = vec![address("ann@clinic.test")];
    let caller = Caller { actor: sealpost_model::Actor::Stranger, client: client(Protocol::Portal) };
    let s = sealpost_delivery::Submission { caller, origin, kind: Kind::Message, from, to, body, twin: None };
    world.delivery.accept(s).await.expect("is taken");
    assert_eq!(world.inbox("ann").await[2].0.flags, Flags::SECURE_REPLY);
    assert_eq!(world.journal().await.pop().expect("has rows").0.direction, Direction::Inbound as i64);

    // Notices may go where messages must not, and never wait.
    let notice =
        world.own(Kind::Notice, "ann@clinic.test", "eve@outside.test", text).await.expect("is taken");
    assert_eq!(world.of(notice.submission).await[0].method, Method::Smtp);
    let courier = crate::world::Scripted::new(|_| {
        let evidence = sealpost_delivery::Evidence::default();
        Some(sealpost_delivery::Outcome::Delivered { grade: Grade::Clear, evidence })
    });
    world.work(&courier.as_smtp()).await;
    assert_eq!(courier.seen()[0].floor, Grade::Clear);
    world.send(&["eve@outside.test"], &letter("eve@outside.test")).await.expect("is taken");
    world.work(&courier.as_smtp()).await;
    assert_eq!(courier.seen()[0].floor, Grade::WebpkiMx, "a message of a HIPAA domain has a floor");
}

#[tokio::test(start_paused = true)]
async fn recipients_are_asked_for_before_the_message() {
    let world = World::new().await;
    let clinic = Some(world.clinic());
    world
        .identity
        .add_alias(
            world.clinic(),
            &address("office@clinic.test"),
            &address("bob@clinic.test"),
            &Caller::SYSTEM,
        )
        .await
        .expect("is added");
    let bob = world.person("bob");
    let carl = world.person("carl");
    let here = |p: crate::world::Person| Ok(Rcpt::Here { tenant: p.tenant, account: p.account });
    for (who, to, want) in [
        (None, "bob@clinic.test", here(bob)),
        (None, "Office@clinic.test", here(bob)),
        (None, "carl@lab.test", here(carl)),
        (None, "nobody@clinic.test", Err(Reason::NoSuchAddress)),
        (None, "eve@outside.test", Err(Reason::RelayDenied)),
        (None, "sent+x@clinic.test", Err(Reason::NoSuchAddress)),
        (clinic, "eve@outside.test", Ok(Rcpt::Elsewhere)),
        (clinic, "SENT+x@clinic.test", Ok(Rcpt::Command { tenant: world.clinic() })),
        (clinic, "sent+x@lab.test", Err(Reason::NoSuchAddress)),
        (clinic, "nobody@clinic.test", Err(Reason::NoSuchAddress)),
    ] {
        let got = world.delivery.check_recipient(who, &address(to)).await.map_err(|r| r.reason());
        assert_eq!(got, want.map_err(Some), "{to} for {who:?}");
    }
}
