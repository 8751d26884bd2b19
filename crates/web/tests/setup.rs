//! A first password by a link: once, within an hour, by nobody but who holds it.

mod browser;
#[path = "../../pickup/tests/stage/mod.rs"]
mod stage;

use std::time::Duration;

use axum::http::StatusCode;
use browser::{Browser, MAIL, PORTAL, Reply, site};
use sealpost_audit::{Caller, Filter, Verb};
use sealpost_model::Address;
use sealpost_policy::{Role, Roles};
use stage::{ALICE, PASSWORD, Stage};

const NEW: &str = "copper lantern drifts 48 meadows";

async fn link(stage: &Stage) -> String {
    let alice = Address::parse(ALICE).expect("an address");
    let (_, person) = stage.identity.person_at(&alice).await.expect("the directory").expect("alice");
    let token = stage.identity.new_setup_link(person, &Caller::SYSTEM).await.expect("a link");
    format!("/signin/setup/{}", token.expose())
}

async fn set(browser: &mut Browser, path: &str, password: &str, again: &str) -> Reply {
    browser.submit(path, path, &[("password", password), ("again", again)]).await
}

async fn opens(stage: &Stage, password: &str) -> bool {
    let router = site(stage);
    let mut browser = Browser::new(&router, MAIL);
    let fields = [("login", ALICE), ("password", password)];
    browser.submit("/signin", "/signin", &fields).await.status == StatusCode::SEE_OTHER
}

#[tokio::test(flavor = "multi_thread")]
async fn it_sets_a_password_once_and_the_log_says_so() {
    let stage = Stage::new().await;
    let router = site(&stage);
    let path = link(&stage).await;
    let mut browser = Browser::new(&router, MAIL);
    // Looking, any number of times, changes nothing.
    for _ in 0..3 {
        let page = browser.get(&path).await;
        let text = page.text();
        assert_eq!(page.status, StatusCode::OK);
        for words in ["Choose your password", ALICE, "Demo Clinic", "at least 15 characters", "works once"] {
            assert!(text.contains(words), "{words} in {text}");
        }
    }
    assert!(opens(&stage, PASSWORD).await);
    // What does not do leaves the link as it is.
    for (one, two, words) in [
        ("short", "short", "too short: at least 15"),
        ("aaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaa", "too easy to guess"),
        ("demo clinic rides again 55", "demo clinic rides again 55", "must not contain your name"),
        (NEW, PASSWORD, "The two are not the same"),
    ] {
        let answer = set(&mut browser, &path, one, two).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{one}");
        assert!(answer.text().contains(words), "{words} in {}", answer.text());
    }
    let done = set(&mut browser, &path, NEW, NEW).await;
    assert_eq!((done.status, done.header("location")), (StatusCode::SEE_OTHER, "/signin?why=set"));
    assert!(browser.get("/signin?why=set").await.text().contains("Your password is set."));
    assert!(opens(&stage, NEW).await && !opens(&stage, PASSWORD).await);
    // A second use finds nothing, and sets nothing.
    assert_eq!(browser.get(&path).await.status, StatusCode::NOT_FOUND);
    let csrf = browser.get("/signin").await.csrf();
    let again = browser.post(&path, format!("csrf={csrf}&password={NEW}x&again={NEW}x")).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    assert!(again.text().contains("does not work any more") && opens(&stage, NEW).await);

    let official = Roles::NONE.with(Role::SecurityOfficial);
    let tenant = stage.sender().tenant;
    for (verb, actor) in [(Verb::SetupLink, "System"), (Verb::PasswordSet, "Person")] {
        let filter = Filter { limit: 10, verb: Some(verb), ..Filter::default() };
        let page = stage.audit.list(&Caller::SYSTEM, official, tenant, &filter).await.expect("the log");
        let found = page.records.iter().any(|r| {
            format!("{:?}", r.actor).contains(actor) && (verb == Verb::SetupLink || r.reason == "setup-link")
        });
        assert!(found, "{verb:?} by {actor}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_use_it_at_once_one_sets_the_password() {
    let stage = Stage::new().await;
    let router = site(&stage);
    let path = link(&stage).await;
    let others: Vec<String> = (0..4).map(|n| format!("copper lantern drifts {n} meadows")).collect();
    let mut uses = Vec::new();
    for password in &others {
        let mut browser = Browser::new(&router, MAIL);
        let (path, password) = (path.clone(), password.clone());
        let csrf = browser.get(&path).await.csrf();
        uses.push(tokio::spawn(async move {
            let form = format!("csrf={csrf}&password={password}&again={password}").replace(' ', "+");
            browser.post(&path, form).await.status
        }));
    }
    let mut set = Vec::new();
    for (number, one) in uses.into_iter().enumerate() {
        if one.await.expect("an answer") == StatusCode::SEE_OTHER {
            set.push(number);
        }
    }
    assert_eq!(set.len(), 1, "{set:?}");
    assert!(opens(&stage, &others[set[0]]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_after_an_hour_with_another_link_and_with_any_change() {
    let stage = Stage::new().await;
    let router = site(&stage);
    let mut browser = Browser::new(&router, MAIL);
    let alice = Address::parse(ALICE).expect("an address");
    let (_, person) = stage.identity.person_at(&alice).await.expect("the directory").expect("alice");

    let old = link(&stage).await;
    let new = link(&stage).await;
    assert_eq!(browser.get(&old).await.status, StatusCode::NOT_FOUND);
    assert_eq!(browser.get(&new).await.status, StatusCode::OK);
    assert_eq!(
        Browser::new(&router, PORTAL).get(&new).await.status,
        StatusCode::NOT_FOUND,
        "not on the portal"
    );
    stage.clock.advance(Duration::from_secs(3_599));
    assert_eq!(browser.get(&new).await.status, StatusCode::OK);
    let csrf = browser.get(&new).await.csrf();
    stage.clock.advance(Duration::from_secs(1));
    assert_eq!(browser.get(&new).await.status, StatusCode::NOT_FOUND);
    let late = browser.post(&new, format!("csrf={csrf}&password={NEW}&again={NEW}").replace(' ', "+")).await;
    assert_eq!(late.status, StatusCode::NOT_FOUND);
    assert!(stage.identity.has_unused_setup_link(person).await.expect("the table"), "it may be made anew");

    let third = link(&stage).await;
    let password = sealpost_model::Secret::new("plum orbit kettle ninety".to_owned());
    stage.identity.set_password(person, &password, &Caller::SYSTEM).await.expect("set");
    assert_eq!(browser.get(&third).await.status, StatusCode::NOT_FOUND);
    let fourth = link(&stage).await;
    stage.identity.disable(person, &Caller::SYSTEM).await.expect("disabled");
    assert_eq!(browser.get(&fourth).await.status, StatusCode::NOT_FOUND);
    stage.identity.new_setup_link(person, &Caller::SYSTEM).await.expect_err("no link for somebody disabled");
    for wrong in ["aaaaaaaaaaaaaaaaaaaaaaaaaa", "x", "%00", "..%2f..%2f"] {
        assert_eq!(
            browser.get(&format!("/signin/setup/{wrong}")).await.status,
            StatusCode::NOT_FOUND,
            "{wrong}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_speaks_spanish() {
    let stage = Stage::new().await;
    let router = site(&stage);
    let path = link(&stage).await;
    let mut browser = Browser::new(&router, MAIL);
    browser.headers.push(("accept-language", "es".to_owned()));
    let text = browser.get(&path).await.text();
    assert!(text.contains("Elija su contraseña") && text.contains("al menos 15 caracteres"), "{text}");
}
