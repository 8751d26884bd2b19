//! `/pickup/TOKEN/html`: a message's HTML, sanitised, for the sandboxed frame of `/formatted` alone: its content
//! security policy loads nothing, runs nothing, sends nothing (S88).

use askama::Template;

use crate::answer::Answer;
use crate::cx::Cx;
use crate::problem::Problem;

/// Where.
pub const PATH: &str = "/pickup/{token}/html";

#[derive(Template)]
#[template(path = "portal/frame.html")]
struct Frame<'a> {
    lang: &'a str,
    title: &'a str,
    nonce: &'a str,
    html: String,
}

/// Sends it.
pub async fn show(cx: Cx) -> Result<Answer, Problem> {
    let html = cx.app.pickup().html(cx.opened()?, &cx.client).await?.ok_or(Problem::NotFound)?;
    let frame = Frame { lang: cx.lang.tag(), title: cx.w("message.frame"), nonce: &cx.nonce, html };
    frame.render().map(Answer::frame).map_err(|_| Problem::Broken)
}
