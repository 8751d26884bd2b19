//! What an attacker tries: cookies noted in a shared browser, reading without a trace, bodies made to exhaust, a crash
//! or a failure at the worst moment.

mod stage;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use sealpost_crypto::Code;
use sealpost_model::Secret;
use sealpost_pickup::{Browser, Ending, Error, Granted, Guessed, Link, Opened, Opening, Pressed, State};
use sealpost_store::{Scope, params, sql};
use stage::{PAT, Stage, client, code_in, message};

const EVE: &str = "eve@outside.example";

sql! {
    ADD_TRIES = "UPDATE pickup_recipient SET tries = tries + ?2 WHERE id = ?1";
    ADD_SUBMISSION = "UPDATE pickup SET submission = submission + 1000000";
    ADD_ACCOUNT = "UPDATE pickup SET account = account + 1";
    ADD_CREATED = "UPDATE pickup SET created = created + 1";
}

/// Sends a message, waits for notice and receipt, and returns link and code.
async fn wait_for(stage: &Stage, to: &str, raw: &str) -> (Link, String) {
    let (before, seen) = (stage.outside.notices(to).len(), stage.inbox().await.len());
    stage.send(&[to], raw).await;
    stage.until(async || stage.outside.notices(to).len() > before && stage.inbox().await.len() > seen).await;
    (stage.outside.link(to), code_in(&stage.inbox().await.pop().expect("a receipt").1))
}

async fn plain(stage: &Stage, to: &str, subject: &str) -> (Link, String) {
    wait_for(stage, to, &message(&format!("Subject: {subject}\nTo: {to}"), "Your results are fine.\n")).await
}

async fn proof(stage: &Stage, link: &Link, code: &str, browser: &Browser) -> Granted {
    let code = Code::parse(code).expect("six digits");
    match stage.pickup.guess(link, &code, browser, &client()).await.expect("answers") {
        Guessed::Open(granted) => granted,
        other => panic!("{other:?}"),
    }
}

async fn open(stage: &Stage, link: &Link, session: &Secret<String>) -> Option<Box<Opened>> {
    match stage.pickup.opened(link, Some(session), &client()).await.expect("answers") {
        Opening::Open(opened) => Some(opened),
        _ => None,
    }
}

async fn asked_for_code(stage: &Stage, link: &Link, device: &Secret<String>) -> bool {
    let browser = Browser { devices: vec![device.clone()], ..Browser::default() };
    matches!(stage.pickup.press(link, &browser, &client()).await.expect("answers"), Pressed::Code)
}

/// The cookie jar after this grant.
fn jar(granted: &Granted, shared: bool) -> Browser {
    let devices = granted.device.iter().map(|d| d.token.clone()).collect();
    Browser { session: Some(granted.session.clone()), devices, shared }
}

fn device(granted: &Granted) -> Secret<String> {
    granted.device.clone().expect("a credential").token
}

async fn look(stage: &Stage) -> (State, u32) {
    let list = stage.pickup.sent_list(&stage.sender(), None, 1).await.expect("a list");
    let sent = stage.pickup.sent(&stage.sender(), &list[0].id).await.expect("answers").expect("hers");
    (sent.recipients[0].state, sent.recipients[0].wrong)
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_noted_by_the_one_before_open_nothing_of_the_one_after() {
    let stage = Stage::new().await;
    let (eves, code) = plain(&stage, EVE, "for eve").await;
    let eve = proof(&stage, &eves, &code, &Browser::default()).await;

    // Pat, next in the same browser, proves with a code: the noted session and credential stay what they were or die.
    let (pats, code) = plain(&stage, PAT, "for pat").await;
    let pat = proof(&stage, &pats, &code, &jar(&eve, false)).await;
    assert!(open(&stage, &pats, &pat.session).await.is_some());
    assert!(open(&stage, &pats, &eve.session).await.is_none(), "the noted session reads pat's message");
    assert!(open(&stage, &eves, &eve.session).await.is_none(), "it ended");
    assert!(open(&stage, &eves, &pat.session).await.is_some(), "what was open in the browser still is");
    assert!(asked_for_code(&stage, &pats, &device(&eve)).await);
    let labels = [&eve, &pat].map(|g| g.device.as_ref().expect("a credential").label.clone());
    assert!(labels[0] != labels[1] && labels.iter().all(|l| l.len() == 8));

    // A later message to pat: pat's credential opens it, the noted one does not.
    let (later, _) = plain(&stage, PAT, "later").await;
    assert!(
        asked_for_code(&stage, &later, &device(&eve)).await,
        "the noted credential opens a later message"
    );
    let eve = proof(&stage, &eves, &plain_code(&stage, EVE).await, &Browser::default()).await;
    let planted = Browser { session: Some(eve.session.clone()), ..jar(&pat, false) };
    let Pressed::Open(known) = stage.pickup.press(&later, &planted, &client()).await.expect("answers") else {
        panic!("pat's browser is known")
    };
    assert!(open(&stage, &later, &known.session).await.is_some());
    assert!(open(&stage, &later, &eve.session).await.is_none(), "a planted session was given pat's message");
}

/// A new code for the newest message to this recipient.
async fn plain_code(stage: &Stage, to: &str) -> String {
    for line in stage.pickup.sent_list(&stage.sender(), None, 10).await.expect("a list") {
        let sent = stage.pickup.sent(&stage.sender(), &line.id).await.expect("answers").expect("hers");
        if let Some(r) = sent.recipients.iter().find(|r| r.address == to) {
            let issued = stage.pickup.reissue(&stage.sender(), &sent.id, &r.id, None).await.expect("a code");
            return issued.code.expose().to_owned();
        }
    }
    panic!("nothing was sent to {to}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_computer_carries_nothing_over() {
    let stage = Stage::new().await;
    let (eves, code) = plain(&stage, EVE, "for eve").await;
    let eve = proof(&stage, &eves, &code, &Browser::default()).await;
    let (pats, code) = plain(&stage, PAT, "for pat").await;
    let pat = proof(&stage, &pats, &code, &jar(&eve, true)).await;
    assert!(pat.device.is_none());
    assert!(open(&stage, &pats, &pat.session).await.is_some());
    assert!(open(&stage, &eves, &pat.session).await.is_none(), "the one before's message is open to pat");
    for link in [&pats, &eves] {
        assert!(open(&stage, link, &eve.session).await.is_none());
        assert!(asked_for_code(&stage, link, &device(&eve)).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_credential_replaces_that_of_the_same_recipient() {
    let stage = Stage::new().await;
    let (link, code) = plain(&stage, PAT, "first").await;
    let first = proof(&stage, &link, &code, &Browser::default()).await;
    let (link, code) = plain(&stage, PAT, "second").await;
    let second = proof(&stage, &link, &code, &jar(&first, false)).await;
    assert!(asked_for_code(&stage, &link, &device(&first)).await);
    assert!(!asked_for_code(&stage, &link, &device(&second)).await);
    assert_eq!(first.device.expect("one").label, second.device.expect("one").label);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_shows_something_of_the_message_opens_it() {
    let stage = Stage::new().await;
    for page in 0..3 {
        let (link, code) = plain(&stage, PAT, "Blood count").await;
        let granted = proof(&stage, &link, &code, &Browser::default()).await;
        let opened = open(&stage, &link, &granted.session).await.expect("open");
        assert_eq!(look(&stage).await.0, State::Waiting);
        match page {
            0 => {
                let head = stage.pickup.reply_head(&opened, true, &client()).await.expect("a head");
                assert_eq!(head.subject, "Re: Blood count");
            }
            1 => assert!(stage.pickup.sender(&opened, &client()).await.is_ok()),
            _ => assert!(stage.pickup.begin_reply(&opened, false, "x", &client()).await.is_ok()),
        }
        assert_eq!(look(&stage).await.0, State::Opened, "page {page} was shown to nobody, says the sender's");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_parts_and_one_picture_many_times_have_one_room() {
    let stage = Stage::new().await;
    let line = format!("<p>{}</p>\n", "x".repeat(90));
    let part = format!("--a\nContent-Type: text/html; charset=utf-8\n\n{}\n", line.repeat(1_000));
    let body = format!("{}--a--\n", part.repeat(30));
    let raw = message("Subject: parts\nContent-Type: multipart/mixed; boundary=a", &body);
    let (link, code) = wait_for(&stage, PAT, &raw).await;
    let granted = proof(&stage, &link, &code, &Browser::default()).await;
    let opened = open(&stage, &link, &granted.session).await.expect("open");
    let html = stage.pickup.html(&opened, &client()).await.expect("readable").expect("html");
    assert!(((900 << 10)..(1100 << 10)).contains(&html.len()), "{}", html.len());
    let letter = stage.pickup.letter(&opened, &client()).await.expect("readable");
    assert!(letter.cut && letter.text.len() < 1100 << 10);

    let picture = format!("{}\n", "QUJD".repeat(19)).repeat(4_000);
    let body = format!(
        "--a\nContent-Type: text/html\n\n{}\n--a\nContent-Type: image/png\nContent-ID: <p>\n\
         Content-Transfer-Encoding: base64\n\n{picture}\n--a--\n",
        "<img src=\"cid:p\">\n".repeat(300)
    );
    let raw = message("Subject: pictures\nContent-Type: multipart/related; boundary=a", &body);
    let (link, code) = wait_for(&stage, PAT, &raw).await;
    let granted = proof(&stage, &link, &code, &Browser::default()).await;
    let opened = open(&stage, &link, &granted.session).await.expect("open");
    let html = stage.pickup.html(&opened, &client()).await.expect("readable").expect("html");
    assert!(((15 << 20)..(17 << 20)).contains(&html.len()), "{}", html.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_left_is_no_failure_and_its_state_is_mended() {
    let stage = Stage::new().await;
    let (link, code) = plain(&stage, PAT, "x").await;
    let granted = proof(&stage, &link, &code, &Browser::default()).await;
    let opened = open(&stage, &link, &granted.session).await.expect("open");
    let draft = stage.pickup.begin_reply(&opened, false, "Thank you.\n", &client()).await.expect("begun");
    let recipient = stage.pickup.glance(&link).await.expect("answers").expect("known").recipient;
    let add = async |n: i64| {
        let add = stage
            .store
            .write(Scope::tenant(stage.tenant), move |tx| tx.execute(&ADD_TRIES, params![recipient, n]));
        assert_eq!(add.await.expect("written"), 1);
    };
    // The row can't be written: its MAC isn't right.
    add(1).await;
    let before = stage.inbox().await.len();
    stage.pickup.send_reply(&opened, draft, &client()).await.expect("it was sent");
    assert_eq!(stage.inbox().await.len(), before + 1);
    add(-1).await;
    assert_eq!(look(&stage).await.0, State::Opened);
    stage.pickup.sweep().await.expect("a round");
    assert_eq!(look(&stage).await.0, State::Replied);
    assert_eq!(stage.inbox().await.len(), before + 1);
}

/// Counts a try and dies before its verdict.
async fn die_after_counting(stage: &Stage, link: &Link, code: &str) {
    struct Woken(AtomicBool);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let tries = look(stage).await.1;
    let (code, browser) = (Code::parse(code).expect("six digits"), Browser::default());
    let client = client();
    let mut guess = pin!(stage.pickup.guess(link, &code, &browser, &client));
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&woken));
    stage
        .until(async || {
            // It goes on only when it was woken, so that its next step is never begun once the try is counted.
            woken.0.load(Ordering::SeqCst)
        })
        .await;
    while look(stage).await.1 == tries {
        woken.0.store(false, Ordering::SeqCst);
        let poll = guess.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(matches!(poll, Poll::Pending), "it answered before its try was counted");
        stage.until(async || woken.0.load(Ordering::SeqCst)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tries_that_a_crash_left_without_a_verdict_lock_and_tell() {
    let stage = Stage::new().await;
    let (link, code) = plain(&stage, PAT, "x").await;
    let wrong = format!("{:06}", (code.parse::<u32>().expect("digits") + 1) % 1_000_000);
    for _ in 0..5 {
        die_after_counting(&stage, &link, &wrong).await;
    }
    assert_eq!(look(&stage).await, (State::Waiting, 5));
    for _ in 0..2 {
        let code = Code::parse(&code).expect("six digits");
        let answer = stage.pickup.guess(&link, &code, &Browser::default(), &client()).await.expect("answers");
        assert!(matches!(answer, Guessed::Gone(g) if g.state == State::Locked));
        assert_eq!(look(&stage).await, (State::Locked, 5));
    }
    let told = stage.inbox().await.iter().filter(|(_, t)| t.contains("given wrong five times")).count();
    assert_eq!(told, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_makes_a_message_another_senders() {
    for change in [&ADD_SUBMISSION, &ADD_ACCOUNT, &ADD_CREATED] {
        let stage = Stage::new().await;
        let (link, _) = plain(&stage, PAT, "x").await;
        let changed = stage.store.write(Scope::tenant(stage.tenant), move |tx| tx.execute(change, params![]));
        assert_eq!(changed.await.expect("written"), 1);
        assert!(stage.pickup.glance(&link).await.is_err(), "{}", change.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_under_way_ends_with_its_message() {
    let stage = Stage::new().await;
    let raw = message("Subject: large", &format!("{}\n", "x".repeat(75)).repeat(60_000));
    let (link, code) = wait_for(&stage, PAT, &raw).await;
    let granted = proof(&stage, &link, &code, &Browser::default()).await;
    let opened = open(&stage, &link, &granted.session).await.expect("open");
    let mut whole = stage.pickup.original(&opened, &client()).await.expect("readable");
    let mut size = 0;
    while let Some(piece) = whole.next().await.expect("readable") {
        size += piece.len() as u64;
    }
    assert!(size > 4 << 20 && Some(size) == whole.size());

    let mut download = stage.pickup.original(&opened, &client()).await.expect("readable");
    let mut got = download.next().await.expect("readable").expect("a piece").len();
    let id = stage.pickup.sent_list(&stage.sender(), None, 1).await.expect("a list")[0].id.clone();
    stage.pickup.end(&stage.sender(), &id, None, Ending::Retract).await.expect("ended");
    let end = loop {
        match download.next().await {
            Ok(Some(piece)) => got += piece.len(),
            end => break end,
        }
    };
    assert!(matches!(end, Err(Error::Ended)));
    assert!(got <= 1 << 20, "{got}");
}

#[tokio::test(flavor = "multi_thread")]
async fn notice_and_page_promise_the_same_day_and_it_holds_everywhere() {
    let stage = Stage::new().await;
    let (link, _) = plain(&stage, PAT, "x").await;
    let glance = stage.pickup.glance(&link).await.expect("answers").expect("known");
    let day = sealpost_message::notice::day(glance.last_day, "UTC");
    let words = sealpost_message::notice::date_in_words(sealpost_message::notice::Language::English, day);
    let notice = stage.outside.notices(PAT).pop().expect("a notice");
    assert!(notice.contains(&format!("until {words}.")), "{notice}");
    // Noon in UTC ends the day in the last of all time zones.
    let over = (i64::from(glance.last_day.day()) + 1) * 86_400_000 + 12 * 3_600_000;
    assert!(over <= glance.expires.millis() && glance.expires.millis() < over + 86_400_000);
    // One that is kept for a day names no day before its own.
    let raw = message("Subject: short\nX-Sealpost-Expire: 1d", "x\n");
    let (link, _) = wait_for(&stage, PAT, &raw).await;
    let glance = stage.pickup.glance(&link).await.expect("answers").expect("known");
    assert!(glance.last_day >= stage.now() && glance.last_day < glance.expires);
}
