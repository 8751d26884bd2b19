//! `/pickup/TOKEN/code`: the six digits that only the sender can tell (S29, S30). Five tries, counted by the service
//! before it compares.

use askama::Template;
use axum::http::StatusCode;
use sealpost_pickup::Guessed;

use super::open::welcome;
use crate::answer::Answer;
use crate::cx::{Cx, show_as};
use crate::page::Page;
use crate::problem::Problem;

/// Where.
pub const PATH: &str = "/pickup/{token}/code";

#[derive(Template)]
#[template(path = "portal/code.html")]
struct Code {
    p: Page,
    token: String,
    org: String,
    left: u32,
    error: Option<String>,
}

/// The page that asks.
pub async fn show(cx: Cx) -> Result<Answer, Problem> {
    page(&cx, StatusCode::OK, None).await
}

/// A try.
pub async fn give(cx: Cx) -> Result<Answer, Problem> {
    let link = cx.link()?;
    let Some(code) = sealpost_crypto::Code::parse(cx.form.value("code")) else {
        // Not six digits: no try.
        return page(&cx, StatusCode::UNPROCESSABLE_ENTITY, Some("code.shape")).await;
    };
    let shared = cx.form.value("shared") == "yes";
    match cx.app.pickup().guess(link, &code, &cx.browser(shared), &cx.client).await? {
        Guessed::Open(granted) => Ok(welcome(&cx, &format!("/pickup/{link}/message"), &granted, shared)),
        Guessed::Wrong => page(&cx, StatusCode::UNPROCESSABLE_ENTITY, Some("code.wrong")).await,
        Guessed::Slow => page(&cx, StatusCode::TOO_MANY_REQUESTS, Some("code.slow")).await,
        Guessed::Gone(glance) => Err(Problem::Gone(glance)),
        Guessed::Unknown => Err(Problem::WrongLink),
    }
}

async fn page(cx: &Cx, status: StatusCode, error: Option<&str>) -> Result<Answer, Problem> {
    let link = cx.link()?;
    let glance = cx.app.pickup().glance(link).await?.ok_or(Problem::WrongLink)?;
    if !glance.state.is_live() {
        return Err(Problem::Gone(Box::new(glance)));
    }
    let mut p = cx.page_of(&glance.organisation, cx.w("code.title"));
    p.scripts = &["code.js", "reply.js"];
    let error = error.map(|key| match key {
        "code.slow" => cx.lang.fill(key, &[("org", &glance.organisation)]),
        key => cx.w(key).to_owned(),
    });
    show_as(
        status,
        &Code { p, token: link.to_string(), org: glance.organisation, left: glance.tries_left, error },
    )
}
