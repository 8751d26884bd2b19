//! Every route, with the host that has it and who may use it: the web's whole policy in one table, and the layer that
//! enforces it before any handler runs (S37, S38).

use std::pin::Pin;
use std::sync::Mutex;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{DefaultBodyLimit, FromRequestParts, RawPathParams, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::response::Response;
use axum::routing::any;
use sealpost_identity::Touch;
use sealpost_model::{Client, Protocol};
use sealpost_pickup::{Link, Opening};

use crate::answer::Answer;
use crate::app::{REPLY_LIMIT, Web};
use crate::cookie::Cookie;
use crate::cx::{Cx, Visitor};
use crate::form::{Fields, PATIENCE};
use crate::problem::Problem;
use crate::words::Lang;
use crate::{mail, portal, system};

/// Which host has a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Site {
    /// All of ours.
    Every,
    /// Where people sign in.
    Mail,
    /// Where recipients open messages.
    Portal,
}

/// Who may use a route. Each is checked anew at each request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    /// Anybody; the page shows nothing that isn't public.
    Anyone,
    /// Whoever holds a link: never content.
    Link,
    /// A recipient with a live session for this link's message.
    Opened,
    /// The same, or one whose session has idled out, for whom the page does nothing but keep their own text.
    OpenedOrIdle,
    /// Somebody signed in.
    Person,
}

/// What a request to a route is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    /// GET, and HEAD where nothing is read: changes nothing.
    Get,
    /// POST of a small form, with its token.
    Post,
    /// POST of a multipart form, whose token [`Cx::upload`] demands.
    Upload,
}

type Handler = fn(Cx) -> Pin<Box<dyn Future<Output = Result<Answer, Problem>> + Send>>;

/// A line of the table.
#[derive(Clone, Copy)]
pub struct Rule {
    /// Which host.
    pub site: Site,
    /// What.
    pub act: Act,
    /// Where; parts in braces are parameters.
    pub path: &'static str,
    /// Who.
    pub who: Who,
    handler: Handler,
}

macro_rules! rules {
    ($( $site:ident $act:ident $path:path, $who:ident => $handler:path; )+) => {
        &[$( Rule {
            site: Site::$site,
            act: Act::$act,
            path: $path,
            who: Who::$who,
            handler: |cx| Box::pin($handler(cx)),
        } ),+]
    };
}

/// The table. What is not in it does not exist.
pub const RULES: &[Rule] = rules! {
    Every  Get    system::healthz::PATH,      Anyone       => system::healthz::show;
    Every  Get    system::assets::PATH,       Anyone       => system::assets::show;
    Every  Get    system::robots::PATH,       Anyone       => system::robots::show;
    Every  Post   system::language::PATH,     Anyone       => system::language::choose;

    Portal Get    portal::open::PATH,         Link         => portal::open::show;
    Portal Post   portal::open::PATH,         Link         => portal::open::press;
    Portal Get    portal::code::PATH,         Link         => portal::code::show;
    Portal Post   portal::code::PATH,         Link         => portal::code::give;
    Portal Get    portal::closed::PATH,       Link         => portal::closed::show;
    Portal Get    portal::message::PATH,      Opened       => portal::message::plain;
    Portal Get    portal::message::FORMATTED, Opened       => portal::message::formatted;
    Portal Get    portal::frame::PATH,        Opened       => portal::frame::show;
    Portal Get    portal::file::PATH,         Opened       => portal::file::show;
    Portal Get    portal::original::PATH,     Opened       => portal::original::show;
    Portal Get    portal::reply::PATH,        Opened       => portal::reply::show;
    Portal Upload portal::reply::PATH,        OpenedOrIdle => portal::reply::send;
    Portal Get    portal::reply::ALL,         Opened       => portal::reply::show_all;
    Portal Upload portal::reply::ALL,         OpenedOrIdle => portal::reply::send_all;
    Portal Get    portal::replied::PATH,      Opened       => portal::replied::show;
    Portal Post   portal::closed::CLOSE,      Opened       => portal::closed::close;

    Mail   Get    mail::signin::PATH,         Anyone       => mail::signin::show;
    Mail   Post   mail::signin::PATH,         Anyone       => mail::signin::sign_in;
    Mail   Get    mail::setup::PATH,          Anyone       => mail::setup::show;
    Mail   Post   mail::setup::PATH,          Anyone       => mail::setup::set;
    Mail   Post   mail::signout::PATH,        Person       => mail::signout::sign_out;
    Mail   Get    mail::home::PATH,           Person       => mail::home::show;
    Mail   Get    mail::sent::PATH,           Person       => mail::sent::show;
    Mail   Post   mail::code::PATH,           Person       => mail::code::issue;
    Mail   Post   mail::extend::PATH,         Person       => mail::extend::extend;
    Mail   Get    mail::confirm::EXPIRE,      Person       => mail::confirm::ask_expire;
    Mail   Post   mail::confirm::EXPIRE,      Person       => mail::confirm::expire;
    Mail   Get    mail::confirm::RETRACT,     Person       => mail::confirm::ask_retract;
    Mail   Post   mail::confirm::RETRACT,     Person       => mail::confirm::retract;
};

/// The router over the table.
pub fn router(app: Web) -> Router {
    let mut paths: Vec<&'static str> = Vec::new();
    let mut router = Router::new();
    // A reply's attachments, its text, and what multipart puts between.
    let limit = usize::try_from(REPLY_LIMIT).unwrap_or(usize::MAX).saturating_add(1 << 20);
    for rule in RULES {
        if paths.contains(&rule.path) {
            continue;
        }
        paths.push(rule.path);
        let path = rule.path;
        router = router.route(
            path,
            any(move |State(app): State<Web>, request: Request| enter(app, Some(path), request)),
        );
    }
    router
        .fallback(|State(app): State<Web>, request: Request| enter(app, None, request))
        .layer(DefaultBodyLimit::max(limit))
        .with_state(app)
}

/// One request through the layer: host, rule, prefetching, form token, visitor; then the handler; then the headers.
async fn enter(app: Web, path: Option<&'static str>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let headers = parts.headers.clone();
    let client = parts.extensions.get::<Client>().copied();
    let authority = parts.uri.authority().map(|a| a.as_str().to_owned());
    let authority = authority.or_else(|| header_text(&headers, &header::HOST)).unwrap_or_default();
    let known_form = Cookie::Form.read(&headers).map(str::to_owned);
    let form_cookie = known_form.clone().unwrap_or_else(|| app.token().expose().clone());
    let site_here = |site| match site {
        Site::Every => app.hosts().mail.is(&authority) || app.hosts().portal.is(&authority),
        Site::Mail => app.hosts().mail.is(&authority),
        Site::Portal => app.hosts().portal.is(&authority),
    };
    let params = match RawPathParams::from_request_parts(&mut parts, &()).await {
        Ok(params) => params.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        Err(_) => Vec::new(),
    };
    let method = parts.method.clone();
    let rule_for = |act: &[Act]| {
        RULES.iter().find(|r| Some(r.path) == path && act.contains(&r.act) && site_here(r.site)).copied()
    };
    let rule = match method {
        Method::GET => rule_for(&[Act::Get]),
        // HEAD may look at what shows nothing: where content would be read it isn't there.
        Method::HEAD => rule_for(&[Act::Get]).filter(|r| matches!(r.who, Who::Anyone | Who::Link)),
        Method::POST => rule_for(&[Act::Post, Act::Upload]),
        _ => None,
    };
    let exists = rule_for(&[Act::Get, Act::Post, Act::Upload]).is_some();
    let on_portal = rule.is_some_and(|r| r.site == Site::Portal);
    let client = client.map_or(Client::local(Protocol::Web), |c| Client {
        protocol: if on_portal { Protocol::Portal } else { Protocol::Web },
        ..c
    });
    let mut cx = Cx {
        lang: language(&headers),
        client,
        visitor: Visitor::Anyone,
        query: Fields::parse(parts.uri.query().unwrap_or_default().as_bytes()),
        form: Fields::default(),
        path: parts.uri.path().to_owned(),
        params,
        nonce: app.token().expose().clone(),
        form_cookie,
        request: Mutex::default(),
        cookies: headers.clone(),
        app,
    };
    let nonce = cx.nonce.clone();
    let problem = match rule {
        None if exists => Some(Problem::Method),
        None => Some(Problem::NotFound),
        // A browser or scanner that fetches ahead is not a reader.
        Some(rule) if rule.who != Who::Anyone && fetched_ahead(&headers) => Some(Problem::Busy),
        Some(rule) => {
            admit(&mut cx, rule, Request::from_parts(parts, body), known_form.is_some()).await.err()
        }
    };
    // Cookies of a fresh browser go out with the first page that has a form.
    let fresh = known_form.is_none().then(|| Cookie::Form.set(&cx.form_cookie));
    let answer = match (problem, rule) {
        (None, Some(rule)) => {
            // Problems are shown with what the handler left of the visit: a copy made before.
            let back = cx.echo();
            match (rule.handler)(cx).await {
                Ok(answer) => answer,
                Err(problem) => problem.answer(&back),
            }
        }
        (problem, _) => problem.unwrap_or(Problem::NotFound).answer(&cx),
    };
    let answer = match fresh {
        Some(set)
            if !matches!(path, Some(system::healthz::PATH | system::assets::PATH | system::robots::PATH)) =>
        {
            answer.cookie(&set)
        }
        _ => answer,
    };
    answer.finish(&nonce)
}

/// Checks the form's token and the visitor.
async fn admit(cx: &mut Cx, rule: Rule, request: Request, known_form: bool) -> Result<(), Problem> {
    if rule.act != Act::Get {
        // The token is what counts; this refuses early what a modern browser says comes from elsewhere.
        let from = header_text(request.headers(), &header::HeaderName::from_static("sec-fetch-site"));
        if from.is_some_and(|site| site != "same-origin" && site != "none") || !known_form {
            return Err(Problem::BadForm);
        }
    }
    match rule.act {
        Act::Get => {}
        Act::Upload => cx.request = Mutex::new(Some(request)),
        Act::Post => {
            let body = tokio::time::timeout(PATIENCE, to_bytes(request.into_body(), SMALL_FORM)).await;
            let Ok(Ok(body)) = body else { return Err(Problem::BadForm) };
            cx.form = Fields::parse(&body);
            if !cx.app.is_form_token(&cx.form_cookie, cx.form.value("csrf")) {
                return Err(Problem::BadForm);
            }
        }
    }
    cx.visitor = visitor(cx, rule).await?;
    Ok(())
}

/// Finds out who it is.
async fn visitor(cx: &Cx, rule: Rule) -> Result<Visitor, Problem> {
    match rule.who {
        Who::Anyone => Ok(Visitor::Anyone),
        Who::Link => Ok(Visitor::Link(link(cx)?)),
        Who::Opened | Who::OpenedOrIdle => {
            let link = link(cx)?;
            let session = cx.cookie(Cookie::Pickup);
            match cx.app.pickup().opened(&link, session.as_ref(), &cx.client).await? {
                Opening::Open(opened) => Ok(Visitor::Opened(link, opened)),
                Opening::Gone(glance) => Err(Problem::Gone(glance)),
                Opening::Unknown => Err(Problem::WrongLink),
                Opening::Closed if rule.who == Who::OpenedOrIdle => Ok(Visitor::Link(link)),
                Opening::Closed => Err(Problem::See(format!("/pickup/{link}"))),
            }
        }
        Who::Person => {
            let session = match cx.cookie(Cookie::Session) {
                Some(token) => cx.app.identity().session(&token, Touch::Yes, &cx.client).await?,
                None => None,
            };
            match session {
                Some(session) => Ok(Visitor::Person(Box::new(session))),
                None => Err(Problem::See(mail::signin::way_back(cx, rule.act == Act::Get))),
            }
        }
    }
}

fn link(cx: &Cx) -> Result<Link, Problem> {
    Link::parse(cx.param("token")).ok_or(Problem::WrongLink)
}

fn language(headers: &HeaderMap) -> Lang {
    Cookie::Language.read(headers).and_then(Lang::from_tag).unwrap_or_else(|| {
        Lang::negotiate(&header_text(headers, &header::ACCEPT_LANGUAGE).unwrap_or_default())
    })
}

/// `Sec-Purpose: prefetch` (Fetch), and its older names.
fn fetched_ahead(headers: &HeaderMap) -> bool {
    ["sec-purpose", "purpose", "x-moz"].iter().any(|name| {
        header_text(headers, &header::HeaderName::from_static(name))
            .is_some_and(|v| v.contains("prefetch") || v.contains("prerender") || v.contains("preview"))
    })
}

/// What a form without files may send, in bytes.
const SMALL_FORM: usize = 64 * 1024;

fn header_text(headers: &HeaderMap, name: &header::HeaderName) -> Option<String> {
    headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned)
}
