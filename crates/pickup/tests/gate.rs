//! The gate: link, code, tries, lock, device, idle, end.

mod stage;

use std::time::Duration;

use sealpost_crypto::Code;
use sealpost_model::{Flags, Secret};
use sealpost_pickup::{Browser, Ending, Error, Granted, Guessed, Link, Opened, Opening, Pressed, State};
use stage::{PAT, Stage, client, client_at, message};

const DAY: Duration = Duration::from_secs(86_400);

fn none() -> Secret<String> {
    Secret::new(String::new())
}

async fn open(stage: &Stage, link: &Link, session: &Secret<String>) -> Option<Box<Opened>> {
    match stage.pickup.opened(link, Some(session), &client()).await.expect("answers") {
        Opening::Open(opened) => Some(opened),
        _ => None,
    }
}

async fn guess(stage: &Stage, link: &Link, code: &str) -> Guessed {
    let code = Code::parse(code).expect("six digits");
    stage.pickup.guess(link, &code, &Browser::default(), &client()).await.expect("answers")
}

/// A later visit of the browser that was granted this.
fn device(granted: &Granted) -> Browser {
    let devices = granted.device.iter().map(|d| d.token.clone()).collect();
    Browser { devices, ..Browser::default() }
}

fn wrong(code: &str) -> String {
    let n: u32 = code.parse().expect("digits");
    format!("{:06}", (n + 1) % 1_000_000)
}

async fn state(stage: &Stage) -> (State, u32, u32, i64, String, String) {
    let list = stage.pickup.sent_list(&stage.sender(), None, 10).await.expect("a list");
    let sent = stage.pickup.sent(&stage.sender(), &list[0].id).await.expect("answers").expect("hers");
    let r = &sent.recipients[0];
    (r.state, r.wrong, r.codes_left, r.version, sent.id.clone(), r.id.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_waits_opens_with_its_code_and_is_read() {
    let stage = Stage::new().await;
    let (link, code) = stage.wait_for_pat("Blood count").await;

    let notice = stage.outside.notices(PAT).pop().expect("a notice");
    for secret in ["Blood", "results", "Alice", "alice", code.as_str()] {
        assert!(!notice.contains(secret), "the notice holds {secret}");
    }
    let (flags, receipt) = stage.inbox().await.pop().expect("a receipt");
    assert!(flags.contains(Flags::RECEIPT));
    assert!(receipt.contains("Re: Blood count") && receipt.contains(PAT) && receipt.contains("/sent/"));

    // The link alone opens nothing.
    assert!(matches!(stage.pickup.press(&link, &Browser::default(), &client()).await, Ok(Pressed::Code)));
    assert!(open(&stage, &link, &none()).await.is_none());
    assert_eq!(state(&stage).await.0, State::Waiting);

    let Guessed::Open(granted) = guess(&stage, &link, &code).await else { panic!("the code is right") };
    let opened = open(&stage, &link, &granted.session).await.expect("open");
    assert_eq!(state(&stage).await.0, State::Waiting, "a session alone is no reading");
    let letter = stage.pickup.letter(&opened, &client()).await.expect("readable");
    assert_eq!((letter.subject.as_str(), letter.text.trim()), ("Blood count", "Your results are fine."));
    assert_eq!(letter.from.address, stage::ALICE);
    assert_eq!(state(&stage).await.0, State::Opened);

    // A browser that gave a code once isn't asked for the next message; another one is.
    let (link, _) = stage.wait_for_pat("A second one").await;
    let pressed = stage.pickup.press(&link, &device(&granted), &client()).await.expect("answers");
    let Pressed::Open(again) = pressed else { panic!("it has earned it") };
    assert!(open(&stage, &link, &again.session).await.is_some());
    assert!(matches!(stage.pickup.press(&link, &Browser::default(), &client()).await, Ok(Pressed::Code)));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_guesses_at_once_are_five_tries() {
    let stage = Stage::new().await;
    let (link, code) = stage.wait_for_pat("x").await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..200_u32 {
        let (pickup, link) = (stage.pickup.clone(), link.clone());
        let code = Code::parse(&format!("{:06}", (code.parse::<u32>().expect("digits") + 1 + n) % 1_000_000))
            .expect("six");
        tasks.spawn(async move {
            pickup.guess(&link, &code, &Browser::default(), &client()).await.expect("answers")
        });
    }
    let answers = tasks.join_all().await;
    assert!(!answers.iter().any(|a| matches!(a, Guessed::Open(_))));
    let (now, tries, ..) = state(&stage).await;
    assert_eq!((now, tries), (State::Locked, 5));
    // The right code doesn't open what is locked.
    assert!(matches!(guess(&stage, &link, &code).await, Guessed::Gone(g) if g.state == State::Locked));
    let seen = stage.inbox().await;
    assert_eq!(seen.iter().filter(|(_, t)| t.contains("given wrong five times")).count(), 1, "told once");
    assert!(!seen.last().expect("mail").1.contains(&code));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_code_voids_the_old_and_refills_no_budget() {
    let stage = Stage::new().await;
    let (link, mut code) = stage.wait_for_pat("x").await;
    for round in 0..4 {
        for left in (0..5).rev() {
            let answer = guess(&stage, &link, &wrong(&code)).await;
            assert!(matches!(answer, Guessed::Wrong) == (left > 0), "round {round}, {left} left: {answer:?}");
        }
        let (now, _, left, version, id, to) = state(&stage).await;
        assert_eq!((now, left), (State::Locked, 3 - round));
        let issued = stage.pickup.reissue(&stage.sender(), &id, &to, Some(version)).await;
        match issued {
            Ok(issued) => {
                assert!(round < 3);
                let old = std::mem::replace(&mut code, issued.code.expose().to_owned());
                // From a page that was shown before: refused.
                let again = stage.pickup.reissue(&stage.sender(), &id, &to, Some(version)).await;
                assert!(matches!(again, Err(Error::Changed)));
                if round == 0 && old != code {
                    assert!(matches!(guess(&stage, &link, &old).await, Guessed::Wrong));
                    let Guessed::Open(_) = guess(&stage, &link, &code).await else { panic!("right") };
                    // A right try costs none, a wrong one stays.
                    assert_eq!(state(&stage).await.1, 1);
                    let next = guess(&stage, &link, &wrong(&code)).await;
                    assert!(matches!(next, Guessed::Wrong));
                    for _ in 0..3 {
                        guess(&stage, &link, &wrong(&code)).await;
                    }
                    let (now, ..) = state(&stage).await;
                    assert_eq!(now, State::Locked);
                    return;
                }
            }
            Err(Error::NoCodesLeft) => assert_eq!(round, 3),
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_a_network_and_a_sender_have_their_own_budgets() {
    let stage = Stage::new().await;
    let mut tried = 0;
    // Four messages lock after five tries each; the fifth is not even tried.
    for n in 0..5 {
        let (link, code) = stage.wait_for_pat(&format!("message {n}")).await;
        for _ in 0..5 {
            match guess(&stage, &link, &wrong(&code)).await {
                Guessed::Slow => assert_eq!(tried, 20),
                _ => tried += 1,
            }
        }
        if n == 4 {
            assert_eq!(state(&stage).await.1, 0, "what doesn't count is no try");
            // Another day, another try; the right code was never void.
            assert!(matches!(guess(&stage, &link, &code).await, Guessed::Slow));
            stage.clock.advance(DAY);
            assert!(matches!(guess(&stage, &link, &code).await, Guessed::Open(_)));
        }
    }
    assert_eq!(tried, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_already_is_not_locked_out_by_guesses_of_others() {
    let stage = Stage::new().await;
    let (link, code) = stage.wait_for_pat("x").await;
    let Guessed::Open(granted) = guess(&stage, &link, &code).await else { panic!("right") };
    for _ in 0..5 {
        stage
            .pickup
            .guess(&link, &Code::parse(&wrong(&code)).unwrap(), &Browser::default(), &client_at([9, 9, 9, 9]))
            .await
            .unwrap();
    }
    assert_eq!(state(&stage).await.0, State::Locked);
    let opened = open(&stage, &link, &granted.session).await.expect("reads on");
    assert!(stage.pickup.letter(&opened, &client()).await.is_ok());
    assert_eq!(state(&stage).await.0, State::Locked);
    let pressed = stage.pickup.press(&link, &device(&granted), &client()).await;
    assert!(matches!(pressed, Ok(Pressed::Open(_))));
    let pressed = stage.pickup.press(&link, &Browser::default(), &client()).await;
    assert!(matches!(pressed, Ok(Pressed::Gone(g)) if g.state == State::Locked));
    // A new code brings back what it was.
    let (_, _, _, version, id, to) = state(&stage).await;
    stage.pickup.reissue(&stage.sender(), &id, &to, Some(version)).await.expect("a code");
    assert_eq!(state(&stage).await.0, State::Opened);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_idle_minutes_close_it() {
    let stage = Stage::new().await;
    let (link, code) = stage.wait_for_pat("x").await;
    let Guessed::Open(granted) = guess(&stage, &link, &code).await else { panic!("right") };
    let device = device(&granted);
    for _ in 0..5 {
        stage.clock.advance(Duration::from_secs(19 * 60));
        assert!(open(&stage, &link, &granted.session).await.is_some(), "each request counts");
    }
    stage.clock.advance(Duration::from_secs(20 * 60));
    assert!(open(&stage, &link, &granted.session).await.is_none());
    // However busy: twelve hours.
    let Pressed::Open(granted) = stage.pickup.press(&link, &device, &client()).await.unwrap() else {
        panic!("the device is known")
    };
    for _ in 0..47 {
        stage.clock.advance(Duration::from_secs(15 * 60));
        assert!(open(&stage, &link, &granted.session).await.is_some());
    }
    stage.clock.advance(Duration::from_secs(15 * 60));
    assert!(open(&stage, &link, &granted.session).await.is_none());
    // Closed by hand is closed at once.
    let Pressed::Open(granted) = stage.pickup.press(&link, &device, &client()).await.unwrap() else {
        panic!("the device is known")
    };
    let opened = open(&stage, &link, &granted.session).await.expect("open");
    stage.pickup.close(&opened, &client()).await.expect("closed");
    assert!(open(&stage, &link, &granted.session).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn time_and_sender_end_it_for_open_tabs_too_and_the_key_dies() {
    let stage = Stage::new().await;
    let (link, code) = stage.wait_for_pat("x").await;
    let keys_before = stage.keys.ring().len();
    let Guessed::Open(granted) = guess(&stage, &link, &code).await else { panic!("right") };
    let opened = open(&stage, &link, &granted.session).await.expect("open");
    let (_, _, _, _, id, to) = state(&stage).await;
    assert_eq!(stage.pickup.end(&stage.sender(), &id, Some(&to), Ending::Retract).await.expect("ended"), 1);
    let after = stage.pickup.opened(&link, Some(&granted.session), &client()).await.expect("answers");
    assert!(matches!(after, Opening::Gone(g) if g.state == State::Retracted && g.ended_by_hand));
    assert!(
        stage.pickup.letter(&opened, &client()).await.is_err(),
        "a request that was under way gets nothing"
    );
    assert!(matches!(stage.pickup.end(&stage.sender(), &id, None, Ending::Expire).await, Err(Error::Ended)));
    assert!(matches!(guess(&stage, &link, &code).await, Guessed::Gone(_)));
    stage.delivery.destroy_doomed().await.expect("destroyed");
    assert!(stage.keys.ring().len() < keys_before);
    let sent = stage.pickup.sent(&stage.sender(), &id).await.expect("answers").expect("hers");
    assert!(sent.subject.is_none() && sent.recipients[0].opened.is_none(), "evidence: nothing was read");

    // Another one, by time alone. Access ends at the moment, the round comes later.
    let (link, code) = stage.wait_for_pat("y").await;
    let Guessed::Open(granted) = guess(&stage, &link, &code).await else { panic!("right") };
    stage.clock.advance(DAY * 30);
    let after = stage.pickup.opened(&link, Some(&granted.session), &client()).await.expect("answers");
    assert!(matches!(after, Opening::Gone(g) if g.state == State::Expired && !g.ended_by_hand));
    let pressed = stage.pickup.press(&link, &device(&granted), &client()).await.expect("answers");
    assert!(matches!(pressed, Pressed::Gone(_)));
    assert_eq!(stage.pickup.sweep().await.expect("a round"), 1);
    assert_eq!(stage.pickup.sweep().await.expect("a round"), 0);
    assert_eq!(state(&stage).await.0, State::Expired);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_its_sender_sees_and_ends_it() {
    let stage = Stage::new().await;
    stage.wait_for_pat("x").await;
    let (_, _, _, version, id, to) = state(&stage).await;
    let bob = stage::sender(&stage.bob);
    assert!(stage.pickup.sent(&bob, &id).await.expect("answers").is_none());
    assert!(stage.pickup.sent_list(&bob, None, 10).await.expect("a list").is_empty());
    assert!(matches!(stage.pickup.reissue(&bob, &id, &to, Some(version)).await, Err(Error::NotFound)));
    assert!(matches!(stage.pickup.end(&bob, &id, None, Ending::Expire).await, Err(Error::NotFound)));
    for odd in ["", "x", "aaaaaaaaaaaaaaaaaaaaaaaaaa"] {
        assert!(stage.pickup.sent(&stage.sender(), odd).await.expect("answers").is_none());
        assert!(matches!(
            stage.pickup.end(&stage.sender(), &id, Some(odd), Ending::Expire).await,
            Err(Error::NotFound)
        ));
    }
    let link = Link::parse("aaaaaaaaaaaaaaaaaaaaaaaaaa").expect("a token");
    assert!(matches!(stage.pickup.press(&link, &Browser::default(), &client()).await, Ok(Pressed::Unknown)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_can_ask_every_time_and_a_policy_too() {
    let stage = Stage::new().await;
    let (link, code) = stage.wait_for_pat("first").await;
    let Guessed::Open(granted) = guess(&stage, &link, &code).await else { panic!("right") };
    let seen = stage.inbox().await.len();
    stage.send(&[PAT], &message("Subject: strict\nX-Sealpost-Code: required", "x\n")).await;
    stage.until(async || stage.inbox().await.len() > seen && stage.outside.notices(PAT).len() > 1).await;
    let link = stage.outside.link(PAT);
    let pressed = stage.pickup.press(&link, &device(&granted), &client()).await;
    assert!(matches!(pressed, Ok(Pressed::Code)));

    let stage = Stage::with(true).await;
    let (link, code) = stage.wait_for_pat("first").await;
    let Guessed::Open(granted) = guess(&stage, &link, &code).await else { panic!("right") };
    let pressed = stage.pickup.press(&link, &device(&granted), &client()).await;
    assert!(matches!(pressed, Ok(Pressed::Code)));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_time_has_a_limit() {
    let stage = Stage::new().await;
    stage.wait_for_pat("x").await;
    let (_, _, _, version, id, to) = state(&stage).await;
    let until =
        stage.pickup.extend(&stage.sender(), &id, &to, DAY * 30, Some(version)).await.expect("longer");
    assert_eq!(until, stage.now().plus(DAY * 60));
    let again = stage.pickup.extend(&stage.sender(), &id, &to, DAY * 30, Some(version)).await;
    assert!(matches!(again, Err(Error::Changed)), "a form that was sent twice");
    let long = stage.pickup.extend(&stage.sender(), &id, &to, DAY * 671, None).await;
    assert!(matches!(long, Err(Error::TooLong)));
    assert!(stage.pickup.extend(&stage.sender(), &id, &to, DAY * 670, None).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_ends_with_a_reason_and_sees_no_code() {
    let stage = Stage::new().await;
    let (_, code) = stage.wait_for_pat("Blood count").await;
    let caller = stage.sender().caller;
    let listed = stage.pickup.list(&caller, stage.tenant, None, 10).await.expect("a list");
    let shown = format!("{:?}{}", listed[0].recipients, listed[0].sender);
    assert!(shown.contains(PAT) && !shown.contains(&code) && !shown.contains("Blood"));
    let ended = stage.pickup.expire(&caller, stage.tenant, listed[0].id, None, "sent to the wrong Pat").await;
    assert_eq!(ended.expect("ended"), 1);
    let sent = stage.pickup.sent(&stage.sender(), &state(&stage).await.4).await.unwrap().unwrap();
    assert_eq!(sent.recipients[0].ended_why, "sent to the wrong Pat");
    assert_eq!(sent.recipients[0].state, State::Expired);
}
