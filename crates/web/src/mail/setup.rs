//! `/signin/setup/TOKEN`: a new person sets their first password themselves, once, within an hour (S108). Looking at
//! the page changes nothing.

use askama::Template;
use axum::http::StatusCode;
use sealpost_identity::{Error, PasswordError, SetupLink};
use sealpost_model::Secret;

use crate::answer::Answer;
use crate::cookie::Cookie;
use crate::cx::{Cx, show_as};
use crate::page::Page;
use crate::problem::Problem;

/// Where.
pub const PATH: &str = "/signin/setup/{token}";

#[derive(Template)]
#[template(path = "mail/setup.html")]
struct Setup {
    p: Page,
    path: String,
    address: String,
    organisation: String,
    least: usize,
    until: String,
    error: Option<String>,
}

#[derive(Template)]
#[template(path = "mail/setup_over.html")]
struct Over {
    p: Page,
}

/// The form.
pub async fn show(cx: Cx) -> Result<Answer, Problem> {
    match cx.app.identity().setup_link(&token(&cx)).await? {
        Some(link) => form(&cx, StatusCode::OK, &link, None),
        None => over(&cx),
    }
}

/// The password.
pub async fn set(cx: Cx) -> Result<Answer, Problem> {
    let Some(link) = cx.app.identity().setup_link(&token(&cx)).await? else { return over(&cx) };
    let password = Secret::new(cx.form.value("password").to_owned());
    let again = Secret::new(cx.form.value("again").to_owned());
    if password.expose() != again.expose() {
        let differ = cx.w("setup.differ").to_owned();
        return form(&cx, StatusCode::UNPROCESSABLE_ENTITY, &link, Some(differ));
    }
    match cx.app.identity().use_setup_link(&token(&cx), &password, &cx.client).await {
        // A fresh form cookie: what was known before is worth nothing after it.
        Ok(Some(_)) => Ok(Answer::see("/signin?why=set").cookie(&Cookie::Form.set(cx.app.token().expose()))),
        Ok(None) => over(&cx),
        Err(Error::Password(why)) => {
            form(&cx, StatusCode::UNPROCESSABLE_ENTITY, &link, Some(words(&cx, &why)))
        }
        Err(error) => Err(error.into()),
    }
}

fn token(cx: &Cx) -> Secret<String> {
    Secret::new(cx.param("token").to_owned())
}

fn words(cx: &Cx, why: &PasswordError) -> String {
    match why {
        PasswordError::Short { least } => cx.lang.fill("setup.short", &[("least", least)]),
        PasswordError::Long => cx.w("setup.long").to_owned(),
        PasswordError::Composition => cx.w("setup.composition").to_owned(),
        PasswordError::Name => cx.w("setup.name").to_owned(),
        _ => cx.w("setup.guessable").to_owned(),
    }
}

fn form(cx: &Cx, status: StatusCode, link: &SetupLink, error: Option<String>) -> Result<Answer, Problem> {
    let mut p = cx.page_of(&link.organisation, cx.w("setup.title"));
    p.scripts = &["reply.js"];
    let page = Setup {
        p,
        path: cx.path.clone(),
        address: link.address.to_string(),
        organisation: link.organisation.clone(),
        least: link.least,
        until: cx.lang.moment(link.ends),
        error,
    };
    show_as(status, &page)
}

/// Never given, used, or too old: all look the same.
fn over(cx: &Cx) -> Result<Answer, Problem> {
    show_as(StatusCode::NOT_FOUND, &Over { p: cx.page(cx.w("setup.over.title")) })
}
