//! The pages from a browser's side: the loop of a recipient, the sender's view, what strangers get.

mod browser;
#[path = "../../pickup/tests/stage/mod.rs"]
mod stage;

use std::time::Duration;

use axum::http::{Method, StatusCode};
use browser::{Browser, MAIL, PORTAL, site};
use sealpost_model::Flags;
use stage::{ALICE, PAT, Stage, message};

#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_opens_reads_answers_and_closes() {
    let stage = Stage::new().await;
    let site = site(&stage);
    let (link, code) = stage.wait_for_pat("Blood count").await;
    let base = format!("/pickup/{link}");
    let mut pat = Browser::new(&site, PORTAL);

    let page = pat.get(&base).await;
    assert_eq!(page.status, StatusCode::OK);
    let text = page.text();
    assert!(
        text.contains("Demo Clinic")
            && text.contains("p•••@outside.example")
            && text.contains("December 20, 2026")
    );
    for hidden in ["Blood", "results", "Alice", PAT] {
        assert!(!text.contains(hidden), "{hidden} before any proof");
    }

    pat.submit(&base, &base, &[]).await;
    let wrong = pat.submit(&format!("{base}/code"), &format!("{base}/code"), &[("code", "12")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.text().contains("You have 5 tries left"), "what is no code is no try");
    let guess = format!("{:06}", (code.parse::<u32>().expect("digits") + 1) % 1_000_000);
    let wrong = pat.submit(&format!("{base}/code"), &format!("{base}/code"), &[("code", &guess)]).await;
    assert!(wrong.text().contains("That is not the code.") && wrong.text().contains("You have 4 tries left"));
    pat.open(&link.to_string(), &format!("{} {}", &code[..3], &code[3..])).await;

    let page = pat.get(&format!("{base}/message")).await;
    let text = page.text();
    assert!(
        text.contains("<h1>Blood count</h1>")
            && text.contains("Your results are fine.")
            && text.contains(ALICE)
    );
    assert!(!text.contains("<title>Blood"), "no subject in the browser's history");
    let eml = pat.get(&format!("{base}/message.eml")).await;
    assert!(
        eml.header("content-disposition").starts_with("attachment;")
            && eml.text().contains("Subject: Blood count")
    );

    let form = pat.get(&format!("{base}/reply")).await;
    let file = vec![7_u8; 300_000];
    let empty = pat
        .upload(&format!("{base}/reply"), &[("csrf", &form.csrf()), ("text", " ")], &[("", "", b"")])
        .await;
    assert_eq!(empty.status, StatusCode::UNPROCESSABLE_ENTITY);
    let fields = [("csrf", form.csrf()), ("text", "Thank you, <b>Alice</b>!".to_owned())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let sent = pat.upload(&format!("{base}/reply"), &fields, &[("scan.png", "image/png", &file)]).await;
    assert_eq!(
        (sent.status, sent.header("location")),
        (StatusCode::SEE_OTHER, format!("{base}/replied").as_str())
    );
    assert!(pat.get(&format!("{base}/replied")).await.text().contains("Your reply has been delivered"));
    let (flags, mail) = stage.inbox().await.pop().expect("a reply");
    assert!(
        flags.contains(Flags::SECURE_REPLY)
            && mail.contains("Thank you, <b>Alice</b>!")
            && mail.contains("scan.png")
    );

    let closed = pat.submit(&format!("{base}/message"), &format!("{base}/close"), &[]).await;
    assert_eq!(closed.header("location"), format!("{base}/closed"));
    assert_eq!(pat.get(&format!("{base}/message")).await.header("location"), base);
    // The same browser isn't asked again.
    let again = pat.submit(&base, &base, &[]).await;
    assert_eq!(again.header("location"), format!("{base}/message"));
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_of_the_one_before_are_worth_nothing_and_a_shared_computer_keeps_none() {
    let stage = Stage::new().await;
    let site = site(&stage);
    let (first, code) = stage.wait_for_pat("first").await;
    let mut pat = Browser::new(&site, PORTAL);
    pat.open(&first.to_string(), &code).await;
    let noted = pat.cookies.clone();
    let devices = |b: &Browser| b.cookies.keys().filter(|n| n.starts_with("__Host-device-")).count();
    assert_eq!(devices(&pat), 1);

    let (second, code) = stage.wait_for_pat("second").await;
    let base = format!("/pickup/{second}");
    let fields = [("code", code.as_str()), ("shared", "yes")];
    pat.submit(&format!("{base}/code"), &format!("{base}/code"), &fields).await;
    assert_eq!(pat.get(&format!("{base}/message")).await.status, StatusCode::OK);
    assert_eq!(devices(&pat), 0);
    let mut thief = Browser::new(&site, PORTAL);
    thief.cookies = noted;
    for link in [&first, &second] {
        let base = format!("/pickup/{link}");
        assert_eq!(thief.get(&format!("{base}/message")).await.header("location"), base);
        assert_eq!(thief.submit(&base, &base, &[]).await.header("location"), format!("{base}/code"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_form_is_a_reading() {
    let stage = Stage::new().await;
    let site = site(&stage);
    let (link, code) = stage.wait_for_pat("Blood count").await;
    let mut pat = Browser::new(&site, PORTAL);
    pat.open(&link.to_string(), &code).await;
    let opened = async || stage.pickup.sent_list(&stage.sender(), None, 1).await.expect("a list")[0].opened;
    assert_eq!(opened().await, 0);
    assert!(pat.get(&format!("/pickup/{link}/reply")).await.text().contains("Re: Blood count"));
    assert_eq!(opened().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_reply_keeps_its_text() {
    let stage = Stage::new().await;
    let site = site(&stage);
    let (link, code) = stage.wait_for_pat("x").await;
    let base = format!("/pickup/{link}");
    let mut pat = Browser::new(&site, PORTAL);
    pat.open(&link.to_string(), &code).await;
    let form = pat.get(&format!("{base}/reply")).await;
    stage.clock.advance(Duration::from_secs(21 * 60));
    let fields = [("csrf", form.csrf()), ("text", "A long answer & more".to_owned())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let idle = pat.upload(&format!("{base}/reply"), &fields, &[]).await;
    assert_eq!(idle.status, StatusCode::UNAUTHORIZED);
    let text = idle.text();
    assert!(text.contains("A long answer &#38; more") || text.contains("A long answer &amp; more"), "{text}");
    assert!(!text.contains(ALICE) && !text.contains("Re: x"), "nothing of the message");
    // Opened again in another tab, the same form goes through.
    let other = pat.submit(&base, &base, &[]).await;
    assert_eq!(other.header("location"), format!("{base}/message"));
    let sent = pat.upload(&format!("{base}/reply"), &fields, &[]).await;
    assert_eq!(sent.header("location"), format!("{base}/replied"));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_is_refused_and_nothing_is_sent() {
    let stage = Stage::new().await;
    let site = site(&stage);
    let (link, code) = stage.wait_for_pat("x").await;
    let base = format!("/pickup/{link}");
    let mut pat = Browser::new(&site, PORTAL);
    pat.open(&link.to_string(), &code).await;
    let before = stage.inbox().await.len();
    let form = pat.get(&format!("{base}/reply")).await;
    let fields = [("csrf", form.csrf()), ("text", "see files".to_owned())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let big = vec![0_u8; 13_000_000];
    let refused =
        pat.upload(&format!("{base}/reply"), &fields, &[("a", "x/y", &big), ("b", "x/y", &big)]).await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(refused.text().contains("larger than 25 MB") && refused.text().contains("see files"));
    let one: &[u8] = b"x";
    let many: Vec<_> = (0..101).map(|_| ("a", "x/y", one)).collect();
    let refused = pat.upload(&format!("{base}/reply"), &fields, &many).await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(stage.inbox().await.len(), before);
    // The token comes first, or the form isn't ours.
    let late = pat.upload(&format!("{base}/reply"), &[fields[1], fields[0]], &[]).await;
    assert_eq!(late.status, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_looks_makes_a_code_and_takes_it_back() {
    let stage = Stage::new().await;
    let site = site(&stage);
    let (link, code) = stage.wait_for_pat("Blood count").await;
    let mut alice = Browser::new(&site, MAIL);
    let home = alice.get("/").await;
    assert_eq!(home.header("location"), "/signin");
    let wrong = alice.submit("/signin", "/signin", &[("login", ALICE), ("password", "x")]).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.text().contains("The address or the password is not right."));
    alice.sign_in(ALICE).await;
    let home = alice.get("/").await.text();
    assert!(home.contains("Blood count") && home.contains(PAT) && home.contains("Waiting"));
    let at = home.find("/sent/").expect("a link");
    let sent = home[at..at + "/sent/".len() + 26].to_owned();
    let page = alice.get(&sent).await;
    assert!(page.text().contains("Never opened") && page.text().contains("could not prove who it is"));
    assert!(!page.text().contains(&code));

    let (to, version) = (page.field("to"), page.field("version"));
    let fields = [("to", to.as_str()), ("version", version.as_str())];
    let shown = alice.submit(&sent, &format!("{sent}/code"), &fields).await;
    assert_eq!(shown.status, StatusCode::OK);
    let at = shown.text().find("translate=\"no\">").expect("a code") + "translate=\"no\">".len();
    let fresh: String = shown.text()[at..at + 7].replace(' ', "");
    let again = alice.submit(&sent, &format!("{sent}/code"), &fields).await;
    assert!(again.header("location").ends_with("done=changed"), "reloading makes no second code");

    let mut pat = Browser::new(&site, PORTAL);
    pat.open(&link.to_string(), &fresh).await;
    let base = format!("/pickup/{link}");
    assert_eq!(pat.get(&format!("{base}/message")).await.status, StatusCode::OK);
    let page = alice.get(&sent).await;
    assert!(page.text().contains("Opened") && page.text().contains("from 127.0.0.1"));

    let longer = alice
        .submit(
            &sent,
            &format!("{sent}/extend"),
            &[("to", &to), ("version", &page.field("version")), ("days", "90")],
        )
        .await;
    assert!(longer.header("location").ends_with("done=extended"));
    let ask = alice.get(&format!("{sent}/retract?to={to}")).await;
    assert!(ask.text().contains("It has already been opened"));
    let done = alice.submit(&sent, &format!("{sent}/retract"), &[("to", &to)]).await;
    assert!(done.header("location").ends_with("done=retracted"));
    for path in ["", "/message", "/html", "/message.eml", "/file/1", "/reply"] {
        let gone = pat.get(&format!("{base}{path}")).await;
        assert_eq!(gone.status, StatusCode::GONE, "{path}");
        assert!(gone.text().contains("The sender took this message back"));
    }
    let page = alice.get(&format!("{sent}?done=retracted")).await.text();
    assert!(page.contains("Retracted") && !page.contains("Blood count") && page.contains("First opened"));

    let out = alice.submit(&sent, "/signout", &[]).await;
    assert_eq!(out.header("location"), "/signin?why=out");
    assert_eq!(alice.get(&sent).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_idle_minutes_sign_out() {
    let stage = Stage::new().await;
    let site = site(&stage);
    let mut alice = Browser::new(&site, MAIL);
    alice.sign_in(ALICE).await;
    for _ in 0..3 {
        stage.clock.advance(Duration::from_secs(19 * 60));
        assert_eq!(alice.get("/").await.status, StatusCode::OK);
    }
    stage.clock.advance(Duration::from_secs(20 * 60));
    assert_eq!(alice.get("/").await.header("location"), "/signin?why=idle");
}

#[tokio::test(flavor = "multi_thread")]
async fn scanners_and_prefetching_burn_nothing_and_read_nothing() {
    let stage = Stage::new().await;
    let site = site(&stage);
    let (link, code) = stage.wait_for_pat("Blood count").await;
    let base = format!("/pickup/{link}");
    let mut scanner = Browser::new(&site, PORTAL);
    for _ in 0..20 {
        scanner.get(&base).await;
        scanner.request(Method::HEAD, &base, "", Vec::new()).await;
        scanner.get(&format!("{base}/code")).await;
        scanner.get(&format!("{base}/message")).await;
    }
    let list = stage.pickup.sent_list(&stage.sender(), None, 1).await.expect("a list");
    let sent = stage.pickup.sent(&stage.sender(), &list[0].id).await.expect("answers").expect("hers");
    assert_eq!((sent.recipients[0].state, sent.recipients[0].wrong), (sealpost_pickup::State::Waiting, 0));

    let mut pat = Browser::new(&site, PORTAL);
    pat.open(&link.to_string(), &code).await;
    pat.headers.push(("sec-purpose", "prefetch;prerender".to_owned()));
    assert_eq!(pat.get(&format!("{base}/message")).await.status, StatusCode::SERVICE_UNAVAILABLE);
    pat.headers.clear();
    assert_eq!(pat.request(Method::HEAD, &format!("{base}/message"), "", Vec::new()).await.status, 405);
    assert_eq!(stage.pickup.sent_list(&stage.sender(), None, 1).await.expect("a list")[0].opened, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_counts_from_its_own_page_only() {
    let stage = Stage::new().await;
    let site = site(&stage);
    let (link, _) = stage.wait_for_pat("x").await;
    let base = format!("/pickup/{link}");
    let mut pat = Browser::new(&site, PORTAL);
    let csrf = pat.get(&base).await.csrf();
    let mut other = Browser::new(&site, PORTAL);
    let theirs = other.get(&base).await.csrf();
    for form in [String::new(), "csrf=".into(), format!("csrf={theirs}"), format!("csrf={csrf}0")] {
        assert_eq!(pat.post(&base, form).await.status, StatusCode::FORBIDDEN);
    }
    pat.headers.push(("sec-fetch-site", "cross-site".to_owned()));
    assert_eq!(pat.post(&base, format!("csrf={csrf}")).await.status, StatusCode::FORBIDDEN);
    pat.headers[0].1 = "same-origin".to_owned();
    assert_eq!(pat.post(&base, format!("csrf={csrf}")).await.status, StatusCode::SEE_OTHER);
    pat.headers.clear();
    pat.cookies.clear();
    assert_eq!(pat.post(&base, format!("csrf={csrf}")).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reader_chooses_the_language() {
    let stage = Stage::new().await;
    let site = site(&stage);
    let (link, _) = stage.wait_for_pat("x").await;
    let base = format!("/pickup/{link}");
    let mut pat = Browser::new(&site, PORTAL);
    pat.headers.push(("accept-language", "es-MX,es;q=0.9,en;q=0.5".to_owned()));
    let page = pat.get(&base).await.text();
    assert!(page.contains("<html lang=\"es\">") && page.contains("Le espera un mensaje seguro"));
    let chosen = pat.submit(&base, "/language", &[("language", "en"), ("back", &base)]).await;
    assert_eq!(chosen.header("location"), base);
    assert!(pat.get(&base).await.text().contains("A secure message is waiting for you"));
    let away = pat.submit(&base, "/language", &[("language", "es"), ("back", "//evil.example")]).await;
    assert_eq!(away.header("location"), "/");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_formatted_message_stays_in_its_frame() {
    let stage = Stage::new().await;
    let site = site(&stage);
    let seen = stage.inbox().await.len();
    let html =
        "<p>Hello <script>alert(1)</script><img src=https://track.test/x><a href=https://a.test>a</a></p>\n";
    stage.send(&[PAT], &message("Subject: html\nContent-Type: text/html", html)).await;
    stage.until(async || stage.inbox().await.len() > seen && !stage.outside.notices(PAT).is_empty()).await;
    let (link, code) =
        (stage.outside.link(PAT), stage::code_in(&stage.inbox().await.pop().expect("a receipt").1));
    let base = format!("/pickup/{link}");
    let mut pat = Browser::new(&site, PORTAL);
    pat.open(&link.to_string(), &code).await;
    let page = pat.get(&format!("{base}/formatted")).await;
    assert!(
        page.text().contains(&format!("<iframe class=\"frame\" src=\"{base}/html\" sandbox=\"allow-popups"))
    );
    assert!(!page.text().contains("allow-scripts") && !page.text().contains("allow-same-origin"));
    let frame = pat.get(&format!("{base}/html")).await;
    let policy = frame.header("content-security-policy");
    assert!(
        policy.contains("default-src 'none'") && policy.contains("sandbox") && !policy.contains("script-src")
    );
    assert!(!frame.text().contains("<script") && !frame.text().contains("track.test"));
}
