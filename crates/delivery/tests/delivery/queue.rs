//! The one way out: what becomes of a message, outcome by outcome.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sealpost_audit::{Outcome as Ended, Verb};
use sealpost_delivery::{Batch, Courier, Couriers, Delivery, Evidence, Future, Job, Kind, Outcome, State};
use sealpost_model::QueueId;
use sealpost_policy::{Grade, Method, Reason};
use sealpost_store::{params, sql};

use crate::world::{Scripted, World, letter};

sql! {
    BREAK_BODY = "UPDATE submission SET wrapped = summary";
    TAKEN_OVER = "UPDATE queue SET node = 4711, attempt = attempt + 1 WHERE state = 1";
}

const MINUTE: Duration = Duration::from_secs(60);

fn evidence() -> Evidence {
    Evidence {
        host: "mx.outside.test".into(),
        tls: "TLSv1.3".into(),
        reply: "250 ok".into(),
        ..Evidence::default()
    }
}

fn delivered() -> Option<Outcome> {
    Some(Outcome::Delivered { grade: Grade::Dane, evidence: evidence() })
}

fn retry() -> Option<Outcome> {
    Some(Outcome::Retry { reason: Reason::TransportUnreachable, evidence: evidence() })
}

fn rejected() -> Option<Outcome> {
    Some(Outcome::Rejected { reason: Reason::RecipientRejected, evidence: evidence() })
}

fn unfit() -> Option<Outcome> {
    Some(Outcome::Unfit { reason: Reason::TransportBelowFloor, evidence: evidence() })
}

/// SMTP that does as told, and a pickup where everything waits.
fn both(smtp: &Arc<Scripted>, pickup: &Arc<Scripted>) -> Couriers {
    smtp.as_smtp().with(Method::Pickup, pickup.clone())
}

#[tokio::test(start_paused = true)]
async fn what_was_delivered_leaves_the_queue_with_its_evidence() {
    let world = World::new().await;
    let message = letter("eve@outside.test").replace("Subject: ", "Bcc: fay@outside.test\r\nSubject: ");
    let to = ["eve@outside.test", "fay@outside.test"];
    let accepted = world.send(&to, &message).await.expect("is taken");
    let courier = Scripted::new(|_| delivered());
    world.work(&courier.as_smtp()).await;

    let seen = courier.seen();
    assert_eq!(
        seen.iter().map(|s| s.recipient.as_str()).collect::<Vec<_>>(),
        to,
        "one message, both recipients"
    );
    let shown = format!("Received: by mail.clinic.test\r\n{}", letter("eve@outside.test"));
    assert!(seen.iter().all(|s| s.body == shown && s.attempt == 1 && s.from == "ann@clinic.test"));
    for row in world.of(accepted.submission).await {
        assert_eq!((row.state, row.method, row.grade), (State::Delivered, Method::Smtp, Some(Grade::Dane)));
        assert!(row.evidence == evidence());
        assert_eq!(row.reason, Reason::VerifiableTransport.name());
    }
    assert!(world.delivery.queue(world.clinic(), None).await.expect("lists").is_empty());
    let attempts = world.log(world.clinic(), Verb::Attempt).await;
    assert_eq!(
        attempts.iter().map(|a| a.outcome).collect::<Vec<_>>(),
        [Some(Ended::Open), Some(Ended::Done)]
    );
    assert_eq!(attempts[1].closes, Some(attempts[0].id));
    world.work(&courier.as_smtp()).await;
    assert!(courier.seen().is_empty(), "once is enough");
}

#[tokio::test(start_paused = true)]
async fn what_cant_go_safely_waits_here_at_once() {
    let world = World::new().await;
    let accepted = world.send(&["eve@outside.test"], &letter("eve@outside.test")).await.expect("is taken");
    let (smtp, pickup) = (Scripted::new(|_| unfit()), Scripted::new(|_| Some(Outcome::Waiting)));
    world.work(&both(&smtp, &pickup)).await;
    assert_eq!((smtp.seen().len(), pickup.seen().len()), (1, 1));
    let row = &world.of(accepted.submission).await[0];
    assert_eq!((row.state, row.method, row.grade), (State::Waiting, Method::Pickup, None));
    assert_eq!(row.reason, Reason::TransportBelowFloor.name());
    assert!(row.evidence == evidence(), "what SMTP saw is kept");
    assert_eq!(world.rows()[6], 0);

    // Once it waits here SMTP is closed, also when pickup has trouble of its own.
    world.send(&["eve@outside.test"], &letter("eve@outside.test")).await.expect("is taken");
    let trouble = Scripted::new(|_| retry());
    world.work(&both(&smtp, &trouble)).await;
    for _ in 0..60 {
        world.clock.advance(60 * MINUTE);
        world.work(&both(&smtp, &trouble)).await;
    }
    assert_eq!(smtp.seen().len(), 1);
    assert_eq!(trouble.seen().len(), 61, "it is never given up");
    assert_eq!(world.rows()[6], 1);
    assert!(world.inbox("ann").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_cant_be_reached_is_tried_for_two_hours() {
    let world = World::new().await;
    let accepted = world.send(&["eve@outside.test"], &letter("eve@outside.test")).await.expect("is taken");
    let (smtp, pickup) = (Scripted::new(|_| retry()), Scripted::new(|_| Some(Outcome::Waiting)));
    let couriers = both(&smtp, &pickup);
    let mut tried = Vec::new();
    for minute in 0..=180 {
        world.work(&couriers).await;
        for seen in smtp.seen() {
            tried.push(minute);
            assert_eq!(seen.attempt as usize, tried.len());
        }
        let row = &world.of(accepted.submission).await[0];
        let want =
            if minute < 120 { (State::Queued, Method::Smtp) } else { (State::Waiting, Method::Pickup) };
        assert_eq!((row.state, row.method), want, "after {minute} minutes");
        world.clock.advance(MINUTE);
    }
    assert_eq!(tried, [0, 1, 3, 8, 18, 33, 63, 120]);
    assert_eq!(pickup.seen().len(), 1);
    assert_eq!(world.of(accepted.submission).await[0].reason, Reason::TransportUnreachable.name());
    assert!(world.inbox("ann").await.is_empty(), "waiting is no failure");
}

#[tokio::test(start_paused = true)]
async fn what_a_courier_says_nothing_of_is_tried_again() {
    let world = World::new().await;
    world.send(&["eve@outside.test"], &letter("eve@outside.test")).await.expect("is taken");
    let silent = Scripted::new(|_| None);
    world.work(&silent.as_smtp()).await;
    assert_eq!(silent.seen().len(), 1);
    // Nor is there always a courier.
    world.clock.advance(MINUTE);
    world.work(&Couriers::default()).await;
    world.clock.advance(2 * MINUTE);
    let courier = Scripted::new(|_| delivered());
    world.work(&courier.as_smtp()).await;
    assert_eq!(courier.seen()[0].attempt, 3);
    assert_eq!(world.rows()[6], 0);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_to_the_sender_without_content() {
    let world = World::new().await;
    let to = ["eve@outside.test", "fay@outside.test", "gus@outside.test"];
    let accepted = world.send(&to, &letter("eve@outside.test")).await.expect("is taken");
    let courier = Scripted::new(|job| match job.recipient.local() {
        "eve" => delivered(),
        "fay" => rejected(),
        _ => Some(Outcome::Rejected { reason: Reason::DomainTakesNoMail, evidence: evidence() }),
    });
    world.work(&courier.as_smtp()).await;
    let states: Vec<_> = world.of(accepted.submission).await.iter().map(|r| r.state).collect();
    assert_eq!(states, [State::Delivered, State::Failed, State::Failed]);

    let inbox = world.inbox("ann").await;
    assert_eq!(inbox.len(), 1, "one for all");
    let dsn = &inbox[0].1;
    for part in [
        "To: ann@clinic.test",
        "multipart/report",
        "rfc822; fay@outside.test",
        "Status: 5.1.1",
        "rfc822; gus@outside.test",
        "Status: 5.1.2",
        "Action: failed",
        "letter@clinic.test",
    ] {
        assert!(dsn.contains(part), "{part} is missing:\n{dsn}");
    }
    for part in ["eve@", "potassium", "Doe", "Results", "250 ok"] {
        assert!(!dsn.contains(part), "{part} is in:\n{dsn}");
    }
    let journal = world.journal().await;
    assert_eq!((journal.len(), journal[1].1.from.as_str()), (2, ""), "it is a message like any other");
    let told = world.log(world.clinic(), Verb::Bounce).await;
    assert_eq!(told[0].objects[0], accepted.submission.into());
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_of_what_nobody_sent() {
    let world = World::new().await;
    let text = "From: postmaster@clinic.test\r\nSubject: x\r\n\r\nx\r\n";
    let courier = Scripted::new(|_| rejected());
    let message = world.own(Kind::Message, "", "eve@outside.test", text).await.expect("is taken");
    let dsn = world.own(Kind::Dsn, "ann@clinic.test", "eve@outside.test", text).await.expect("is taken");
    let before = world.journal().await.len();
    world.work(&courier.as_smtp()).await;
    assert_eq!(courier.seen().len(), 2);
    for id in [message.submission, dsn.submission] {
        assert_eq!(world.of(id).await[0].state, State::Failed, "the ledger says it");
    }
    assert_eq!(world.journal().await.len(), before, "no bounce of a bounce");
    assert!(world.log(world.clinic(), Verb::Bounce).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_notice_that_fails_is_told_and_never_waits() {
    let world = World::new().await;
    let text = "From: Ann <ann@clinic.test>\r\nSubject: Something waits for you\r\n\r\nx\r\n";
    for verdict in [rejected, unfit] {
        let courier = Scripted::new(move |_| verdict());
        let pickup = Scripted::new(|_| Some(Outcome::Waiting));
        let notice =
            world.own(Kind::Notice, "ann@clinic.test", "eve@outside.test", text).await.expect("is taken");
        world.work(&both(&courier, &pickup)).await;
        assert_eq!(courier.seen()[0].kind, Kind::Notice);
        assert!(pickup.seen().is_empty());
        assert_eq!(world.of(notice.submission).await[0].state, State::Failed);
    }
    assert_eq!(world.inbox("ann").await.len(), 2);

    // One that can't be handed over is tried for two days.
    let notice =
        world.own(Kind::Notice, "ann@clinic.test", "eve@outside.test", text).await.expect("is taken");
    let courier = Scripted::new(|_| retry());
    let mut hours = 0;
    loop {
        world.work(&courier.as_smtp()).await;
        if world.of(notice.submission).await[0].state == State::Failed {
            break;
        }
        world.clock.advance(60 * MINUTE);
        hours += 1;
    }
    assert_eq!(hours, 48);
    assert_eq!(world.inbox("ann").await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_courier_that_breaks_keeps_nothing_back() {
    let world = World::new().await;
    let accepted = world.send(&["eve@outside.test"], &letter("eve@outside.test")).await.expect("is taken");
    let broken = Scripted::new(|_| panic!("a courier's mistake"));
    world.work(&broken.as_smtp()).await;
    let queued = world.delivery.queue(world.clinic(), None).await.expect("lists");
    assert!(!queued[0].sending, "it was put back");
    let courier = Scripted::new(|_| delivered());
    world.work(&courier.as_smtp()).await;
    assert!(courier.seen().is_empty(), "not before a minute has gone");
    world.clock.advance(MINUTE);
    world.work(&courier.as_smtp()).await;
    assert_eq!(courier.seen()[0].attempt, 2);
    assert_eq!(world.of(accepted.submission).await[0].state, State::Delivered);
}

#[tokio::test(start_paused = true)]
async fn what_was_changed_is_not_sent() {
    let world = World::new().await;
    let accepted = world.send(&["eve@outside.test"], &letter("eve@outside.test")).await.expect("is taken");
    world.attack(|tx| tx.execute(&BREAK_BODY, params![]).map(drop));
    let courier = Scripted::new(|_| delivered());
    let row = async || world.of(accepted.submission).await.remove(0);
    let mut hours = 0;
    while row().await.state == State::Queued {
        world.work(&courier.as_smtp()).await;
        assert_eq!(row().await.reason, Reason::MessageDamaged.name());
        assert!(hours < 24, "it is given up within a day");
        world.clock.advance(60 * MINUTE);
        hours += 1;
    }
    assert!(courier.seen().is_empty());
    assert!(hours > 12, "whoever mends it has time");
    assert_eq!(row().await.state, State::Failed);
    let inbox = world.inbox("ann").await;
    assert!(inbox[0].1.contains("rfc822; eve@outside.test"), "Ann is told");
}

/// The bounce and what it tells of are one commit: no crash comes between them.
#[tokio::test(start_paused = true)]
async fn a_failure_without_room_for_its_bounce_is_settled_all_the_same() {
    let world = World::new().await;
    let (dan, message) = (world.person("dan"), letter("eve@outside.test").replace("Ann <ann@", "Dan <dan@"));
    let submission = world.submission(dan, dan.address, &["eve@outside.test"], &message);
    let accepted = world.take(submission).await.expect("is taken");
    let courier = Scripted::new(|_| rejected());
    world.work(&courier.as_smtp()).await;
    assert_eq!(courier.seen().len(), 1);
    assert_eq!(world.of(accepted.submission).await[0].state, State::Failed);
    assert_eq!(world.ledger(world.clinic()).await.len(), 1, "of the bounce nothing remains");
    assert!(world.inbox("dan").await.is_empty());
    let untold = world.log(world.clinic(), Verb::Bounce).await;
    let got: Vec<_> = untold.iter().map(|r| (r.outcome, r.reason.as_str())).collect();
    assert_eq!(got, [(Some(Ended::Refused), Reason::MailboxFull.name())]);
}

/// As several servers on one database do: while this one was paused, another took it for gone and its rows over.
#[tokio::test(start_paused = true)]
async fn who_was_taken_for_gone_completes_nothing() {
    let world = World::new().await;
    let accepted = world.send(&["eve@outside.test"], &letter("eve@outside.test")).await.expect("is taken");
    let store = world.store.clone();
    let paused = Scripted::new(move |_| {
        let take_over = |tx: &mut sealpost_store::Tx| tx.apply(&TAKEN_OVER, params![]);
        store.write_blocking(sealpost_store::Scope::unlocked(), take_over).expect("takes over");
        delivered()
    });
    world.delivery.run(paused.as_smtp(), once_seen(&paused)).await.expect("works");
    // It was sent, and says so to nobody: the row is the other one's, or what is left of that.
    let rows = world.queue_rows().await;
    assert!(matches!(rows[..], [(1, 4711, 2) | (0, 0, 2)]), "{rows:?}");
    let state = world.of(accepted.submission).await[0].state;
    assert!(matches!(state, State::Queued | State::MaybeSent), "{state:?}");
    // That one is gone by now (on SQLite everybody else is): what it had begun may have arrived.
    let courier = Scripted::new(|_| delivered());
    world.work(&courier.as_smtp()).await;
    assert_eq!(courier.seen().iter().map(|seen| seen.attempt).collect::<Vec<_>>(), [3]);
    assert_eq!(world.queue_rows().await, []);
    assert_eq!(world.of(accepted.submission).await[0].state, State::Delivered);
}

/// Ends a run once the courier was given something.
fn once_seen(courier: &Arc<Scripted>) -> impl std::future::Future<Output = ()> + use<> {
    let courier = Arc::clone(courier);
    async move {
        while courier.seen().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_breaks_off_is_maybe_sent() {
    let world = World::new().await;
    let accepted = world.send(&["eve@outside.test"], &letter("eve@outside.test")).await.expect("is taken");
    let broken = Scripted::new(|_| panic!("the courier has a bug"));
    world.work(&broken.as_smtp()).await;
    assert_eq!(world.of(accepted.submission).await[0].state, State::MaybeSent);
    world.clock.advance(MINUTE);
    let courier = Scripted::new(|_| delivered());
    world.work(&courier.as_smtp()).await;
    assert_eq!(world.of(accepted.submission).await[0].state, State::Delivered);
}

#[tokio::test(start_paused = true)]
async fn an_administrator_may_have_it_tried_now() {
    let world = World::new().await;
    world.send(&["eve@outside.test"], &letter("eve@outside.test")).await.expect("is taken");
    let courier = Scripted::new(|_| retry());
    for _ in 0..3 {
        world.work(&courier.as_smtp()).await;
        world.clock.advance(2 * MINUTE);
    }
    let row = world.delivery.queue(world.clinic(), None).await.expect("lists").remove(0);
    assert_eq!((row.attempt, row.sending), (3, false));
    courier.seen();
    let lab = world.person("carl").tenant;
    assert!(!world.delivery.retry_now(lab, row.id).await.expect("asks"), "it is not theirs");
    world.work(&courier.as_smtp()).await;
    assert!(courier.seen().is_empty());
    assert!(world.delivery.queue(lab, None).await.expect("lists").is_empty());

    let mut watch = world.store.feed().watch(sealpost_store::Topic::Queue);
    assert!(world.delivery.retry_now(world.clinic(), row.id).await.expect("asks"));
    watch.changed().await;
    world.work(&courier.as_smtp()).await;
    assert_eq!(courier.seen()[0].attempt, 4);
}

/// More than is claimed at once, and more batches than run at once.
#[tokio::test(start_paused = true)]
async fn a_long_queue_is_carried_whole() {
    let world = World::new().await;
    let to: Vec<String> = (0..230).map(|n| format!("r{n}@outside.test")).collect();
    let many: Vec<&str> = to.iter().map(String::as_str).collect();
    let one = world.send(&many, &letter("list@outside.test")).await.expect("is taken");
    for to in &to[..70] {
        world.send(&[to.as_str()], &letter(to)).await.expect("is taken");
    }
    assert_eq!(world.rows()[4..], [71, 300, 300]);
    let courier = Scripted::new(|_| delivered());
    world.work(&courier.as_smtp()).await;
    let mut seen: Vec<QueueId> = courier.seen().iter().map(|s| s.job).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 300, "each once");
    assert_eq!(world.rows()[4..], [71, 300, 0], "and the ledger has as many rows as there were recipients");
    assert!(world.of(one.submission).await.iter().all(|r| r.state == State::Delivered));
}

/// A courier that tells what the ledger says while it carries; the first one never comes back.
struct Telling {
    delivery: Delivery,
    began: tokio::sync::Notify,
    hangs: bool,
    seen: Mutex<Vec<(u32, State, Method, String)>>,
}

impl Courier for Telling {
    fn carry<'a>(&'a self, batch: &'a Batch) -> Future<'a, Vec<(QueueId, Outcome)>> {
        Box::pin(async move {
            let sent = self.delivery.sent(batch.submission).await.expect("reads").expect("is there");
            let state = |job: &Job| {
                sent.recipients
                    .iter()
                    .find(|r| r.id == job.ledger)
                    .map(|r| (r.state, r.method))
                    .expect("has a row")
            };
            for job in &batch.jobs {
                let (state, method) = state(job);
                let id = batch.facts.message_id.clone();
                self.seen.lock().expect("nobody panicked").push((job.attempt, state, method, id));
            }
            if self.hangs {
                self.began.notify_one();
                std::future::pending::<()>().await;
            }
            batch.jobs.iter().filter_map(|job| Some((job.id, delivered()?))).collect()
        })
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("starts")
}

#[test]
fn what_a_dying_process_had_begun_is_maybe_sent_and_tried_again() {
    let first = runtime();
    let (folder, clock, people, id) = first.block_on(async {
        let world = World::new().await;
        let id = world.send(&["eve@outside.test", "carl@lab.test"], &letter("eve@outside.test")).await;
        let id = id.expect("is taken").submission;
        let delivery = world.delivery.clone();
        let telling = |hangs| {
            let (began, seen) = (tokio::sync::Notify::new(), Mutex::default());
            Arc::new(Telling { delivery: delivery.clone(), began, hangs, seen })
        };
        let (smtp, local) = (telling(true), telling(true));
        let couriers =
            Couriers::default().with(Method::Smtp, smtp.clone()).with(Method::Local, local.clone());
        tokio::select! {
            _ = world.delivery.run(couriers, std::future::pending()) => panic!("it never stops"),
            () = async { smtp.began.notified().await; local.began.notified().await } => {}
        }
        (world.folder, world.clock, world.people, id)
    });
    // Everything that runs is gone, in the middle of its work.
    drop(first);

    let second = runtime();
    second.block_on(async {
        let world = World::start(folder, clock, people, false).await;
        assert!(world.delivery.queue(world.clinic(), None).await.expect("lists").iter().all(|q| q.sending));
        let seen = Mutex::default();
        let began = tokio::sync::Notify::new();
        let telling = Arc::new(Telling { delivery: world.delivery.clone(), began, hangs: false, seen });
        let couriers =
            Couriers::default().with(Method::Smtp, telling.clone()).with(Method::Local, telling.clone());
        world.work(&couriers).await;
        let mut seen = telling.seen.lock().expect("nobody panicked").clone();
        seen.sort_by_key(|(_, _, method, _)| *method as u8);
        let id_of = "<letter@clinic.test>".to_owned();
        let want = [
            // Nothing left the server there.
            (2, State::Queued, Method::Local, id_of.clone()),
            (2, State::MaybeSent, Method::Smtp, id_of),
        ];
        assert_eq!(seen, want);
        assert!(world.of(id).await.iter().all(|r| r.state == State::Delivered));
        let ends: Vec<_> =
            world.log(world.clinic(), Verb::Attempt).await.iter().filter_map(|a| a.outcome).collect();
        let count = |end| ends.iter().filter(|e| **e == end).count();
        assert_eq!((count(Ended::Open), count(Ended::Unknown), count(Ended::Done)), (4, 2, 2));
    });
}
