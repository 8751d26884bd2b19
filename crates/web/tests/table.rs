//! Who may use what: every route of the table, tried by everybody who may not.

mod browser;
#[path = "../../pickup/tests/stage/mod.rs"]
mod stage;

use axum::Router;
use axum::http::{Method, StatusCode};
use browser::{Browser, MAIL, PORTAL, Reply, site};
use sealpost_web::routes::{Act, RULES, Rule, Site, Who};
use stage::{ALICE, Stage};

/// What the paths' parameters stand for.
struct Names {
    link: String,
    sent: String,
}

impl Names {
    fn path(&self, rule: &Rule) -> String {
        let asset = sealpost_web::assets::path("style.css").trim_start_matches("/assets/");
        rule.path
            .replace("{token}", &self.link)
            .replace("{id}", &self.sent)
            .replace("{number}", "1")
            .replace("{hash}/{name}", asset)
    }
}

async fn visit(browser: &mut Browser, rule: &Rule, path: &str) -> Reply {
    match rule.act {
        Act::Get => browser.get(path).await,
        Act::Post | Act::Upload => {
            // With the right token, so that it is the visitor who is refused.
            let page = if browser.host == MAIL { "/signin" } else { "/pickup/aaaaaaaaaaaaaaaaaaaaaaaaaa" };
            let csrf = browser.get(page).await.csrf();
            match rule.act {
                Act::Upload => browser.upload(path, &[("csrf", &csrf), ("text", "x")], &[]).await,
                _ => browser.post(path, format!("csrf={csrf}&to=x&version=1&days=7&code=123456")).await,
            }
        }
    }
}

fn host(rule: &Rule) -> &'static str {
    if rule.site == Site::Portal { PORTAL } else { MAIL }
}

struct World {
    stage: Stage,
    site: Router,
    names: Names,
    other: (String, String),
}

impl World {
    async fn new() -> Self {
        let stage = Stage::new().await;
        let site = site(&stage);
        let (other, code) = stage.wait_for_pat("another").await;
        let (link, _) = stage.wait_for_pat("MARKER").await;
        let sent = stage.pickup.sent_list(&stage.sender(), None, 1).await.expect("a list")[0].id.clone();
        Self { names: Names { link: link.to_string(), sent }, other: (other.to_string(), code), stage, site }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_the_holders_of_something_else_get_no_further() {
    let world = World::new().await;
    // A stranger; a recipient of another message; a person whose message it isn't.
    let stranger = Browser::new(&world.site, PORTAL);
    let mut recipient = Browser::new(&world.site, PORTAL);
    recipient.open(&world.other.0, &world.other.1).await;
    recipient.cookies.retain(|name, _| !name.starts_with("__Host-device-"));
    let mut bob = Browser::new(&world.site, MAIL);
    bob.sign_in("bob@clinic.test").await;
    for rule in RULES {
        let path = world.names.path(rule);
        for (who, browser) in [("a stranger", &stranger), ("another recipient", &recipient), ("bob", &bob)] {
            if who == "bob" && rule.path == "/signout" {
                continue;
            }
            let mut browser = browser.clone();
            browser.host = host(rule);
            let answer = visit(&mut browser, rule, &path).await;
            let text = answer.text();
            assert!(!text.contains("MARKER"), "{who} read at {path}");
            let line = format!("{who} at {:?} {path}: {}", rule.act, answer.status);
            match rule.who {
                Who::Anyone | Who::Link => assert!(!answer.status.is_server_error(), "{line}"),
                Who::Opened => {
                    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{line}");
                    assert_eq!(answer.header("location"), format!("/pickup/{}", world.names.link), "{line}");
                }
                Who::OpenedOrIdle => assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{line}"),
                // The empty list is bob's own.
                Who::Person if who == "bob" && rule.path == "/" => {}
                Who::Person if who == "bob" => assert_eq!(answer.status, StatusCode::NOT_FOUND, "{line}"),
                Who::Person => {
                    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{line}");
                    assert!(answer.header("location").starts_with("/signin"), "{line}");
                }
            }
        }
    }
    let list = world.stage.pickup.sent_list(&world.stage.sender(), None, 1).await.expect("a list");
    assert_eq!(list[0].opened, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_wrong_host_nothing_exists() {
    let world = World::new().await;
    let mut alice = Browser::new(&world.site, MAIL);
    alice.sign_in(ALICE).await;
    for rule in RULES {
        let path = world.names.path(rule);
        let others: &[&'static str] = match rule.site {
            Site::Every => &["evil.example", "localhost", ""],
            Site::Mail => &[PORTAL, "evil.example", ""],
            Site::Portal => &[MAIL, "evil.example", "pickup.clinic.test.evil.example"],
        };
        for host in others {
            let mut browser = alice.clone();
            browser.host = host;
            let method = if rule.act == Act::Get { Method::GET } else { Method::POST };
            let answer = browser.request(method, &path, "", Vec::new()).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path} on {host:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_the_strict_headers_and_other_methods_do_not_exist() {
    let world = World::new().await;
    for rule in RULES {
        let path = world.names.path(rule);
        let mut browser = Browser::new(&world.site, host(rule));
        let answer = visit(&mut browser, rule, &path).await;
        assert!(answer.header("content-security-policy").starts_with("default-src 'none'"), "{path}");
        assert!(answer.header("strict-transport-security").starts_with("max-age="), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert!(!answer.header("x-frame-options").is_empty(), "{path}");
        let kept = rule.path.starts_with("/assets/");
        assert_eq!(answer.header("cache-control") == "no-store", !kept, "{path}");
        let text = answer.text();
        for inline in ["<style>", "<script>", " style=\"", " onclick", "http://"] {
            assert!(!text.contains(inline) || rule.path.starts_with("/assets/"), "{inline} in {path}");
        }
        for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS, Method::TRACE] {
            let answer = browser.request(method.clone(), &path, "", Vec::new()).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        }
    }
}

/// No page grew without a line in the table, and none lost its guard: the exceptions may only shrink.
#[test]
fn what_is_open_to_anybody_is_known_by_name() {
    let open: Vec<_> = RULES.iter().filter(|r| r.who == Who::Anyone).map(|r| r.path).collect();
    assert_eq!(
        open,
        [
            "/healthz",
            "/assets/{hash}/{name}",
            "/robots.txt",
            "/language",
            "/signin",
            "/signin",
            // Its token is the proof, and it looks at it itself.
            "/signin/setup/{token}",
            "/signin/setup/{token}",
        ]
    );
}
