//! `/signin`: an address and a password, inside TLS, with a session of 20 idle minutes at the end (S39, S45).

use askama::Template;
use axum::http::StatusCode;
use sealpost_identity::{Attempt, AuthError, Login, Method};
use sealpost_model::Secret;

use crate::answer::Answer;
use crate::cookie::Cookie;
use crate::cx::{Cx, show_as};
use crate::page::Page;
use crate::problem::Problem;

/// Where.
pub const PATH: &str = "/signin";

#[derive(Template)]
#[template(path = "mail/signin.html")]
struct SignIn {
    p: Page,
    login: String,
    next: String,
    error: Option<String>,
    notice: Option<&'static str>,
}

/// The form.
pub async fn show(cx: Cx) -> Result<Answer, Problem> {
    let notice = match cx.query.value("why") {
        "out" => Some(cx.w("signin.out")),
        "idle" => Some(cx.w("signin.idle")),
        "set" => Some(cx.w("setup.set")),
        _ => None,
    };
    let next = cx.query.value("next").to_owned();
    page(&cx, StatusCode::OK, String::new(), next, None, notice)
}

/// The attempt.
pub async fn sign_in(cx: Cx) -> Result<Answer, Problem> {
    let login = cx.form.value("login").trim().to_owned();
    let next = cx.form.value("next").to_owned();
    let password = Secret::new(cx.form.value("password").to_owned());
    let attempt = Attempt { login: login.clone(), password, client: &cx.client };
    let (status, error) = match cx.app.identity().authenticate(attempt).await {
        Ok(Login { method: Method::AppPassword { .. }, .. }) => {
            (StatusCode::UNAUTHORIZED, cx.w("signin.app").to_owned())
        }
        Ok(found) => {
            let token = cx.app.identity().open_session(&found).await?;
            let path = if local(&next) { next.as_str() } else { "/" };
            // A fresh form cookie too: what was known before signing in is worth nothing after it.
            return Ok(Answer::see(path)
                .cookie(&Cookie::Session.set(token.expose()))
                .cookie(&Cookie::Form.set(cx.app.token().expose())));
        }
        // A page for everybody says no more than that it didn't fit.
        Err(AuthError::Wrong | AuthError::Disabled | AuthError::AppPasswordNeeded) => {
            (StatusCode::UNAUTHORIZED, cx.w("signin.wrong").to_owned())
        }
        Err(AuthError::Throttled { retry }) => {
            let wait = cx.lang.wait(retry);
            (StatusCode::TOO_MANY_REQUESTS, cx.lang.fill("signin.slow", &[("wait", &wait)]))
        }
        Err(AuthError::Temporary) => (StatusCode::SERVICE_UNAVAILABLE, cx.w("signin.later").to_owned()),
    };
    page(&cx, status, login, next, Some(error), None)
}

/// Where somebody without a session is sent: to sign in, and back to a page that can be asked for again.
pub fn way_back(cx: &Cx, again: bool) -> String {
    let had_one = cx.cookie(Cookie::Session).is_some();
    let mut query = form_urlencoded::Serializer::new(String::new());
    if again && cx.path != "/" {
        query.append_pair("next", &cx.path);
    }
    if had_one {
        query.append_pair("why", "idle");
    }
    match query.finish() {
        query if query.is_empty() => PATH.to_owned(),
        query => format!("{PATH}?{query}"),
    }
}

fn page(
    cx: &Cx,
    status: StatusCode,
    login: String,
    next: String,
    error: Option<String>,
    notice: Option<&'static str>,
) -> Result<Answer, Problem> {
    let mut p = cx.page(cx.w("signin.title"));
    p.scripts = &["reply.js"];
    let next = if local(&next) { next } else { String::new() };
    show_as(status, &SignIn { p, login, next, error, notice })
}

/// A path on this host, of the kind that this host has.
fn local(path: &str) -> bool {
    path == "/" || path.starts_with("/sent/") && path.len() < 200
}
