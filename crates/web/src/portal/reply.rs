//! `/pickup/TOKEN/reply` and `/reply-all`: the recipient answers, with attachments, without an account (S27).
//!
//! The body is streamed: each attachment is encoded and sealed while it arrives. Whatever goes wrong, the text that the
//! person wrote comes back with the form.

use askama::Template;
use axum::http::StatusCode;
use sealpost_model::Fault;
use sealpost_pickup::{Opened, ReplyError};

use super::party;
use crate::answer::Answer;
use crate::app::REPLY_LIMIT;
use crate::cx::{Cx, Visitor, show_as};
use crate::form::{self, Broken, Upload};
use crate::page::{Page, Party};
use crate::problem::Problem;

/// Where.
pub const PATH: &str = "/pickup/{token}/reply";
/// To everybody whom the message names.
pub const ALL: &str = "/pickup/{token}/reply-all";

#[derive(Template)]
#[template(path = "portal/reply.html")]
struct Reply {
    p: Page,
    token: String,
    all: bool,
    lead: String,
    from: String,
    to: Vec<Party>,
    subject: String,
    text: String,
    error: Option<String>,
    files_again: bool,
    idle: bool,
    limit: String,
    limit_bytes: u64,
}

/// The form.
pub async fn show(cx: Cx) -> Result<Answer, Problem> {
    form(&cx, StatusCode::OK, false, String::new(), None, false).await
}

/// The form, to all.
pub async fn show_all(cx: Cx) -> Result<Answer, Problem> {
    form(&cx, StatusCode::OK, true, String::new(), None, false).await
}

/// Sends to the sender alone.
pub async fn send(cx: Cx) -> Result<Answer, Problem> {
    take(cx, false).await
}

/// Sends to all.
pub async fn send_all(cx: Cx) -> Result<Answer, Problem> {
    take(cx, true).await
}

/// Why a reply did not leave; the text comes back with it.
enum Stopped {
    Empty,
    TooLarge,
    TooMany,
    Refused(String),
    Later,
}

async fn take(mut cx: Cx, all: bool) -> Result<Answer, Problem> {
    let mut upload = cx.upload().await?;
    let first = match upload.next().await {
        Ok(Some(field)) if field.name() == Some("text") => form::text(field, TEXT_LIMIT).await,
        Ok(_) => Err(Broken::Malformed),
        Err(broken) => Err(broken),
    };
    let text = match first {
        Ok(text) => text,
        Err(Broken::TooLarge) => return Err(Problem::TooLarge),
        Err(Broken::Malformed) => return Err(Problem::BadForm),
    };
    let outcome = match &cx.visitor {
        Visitor::Opened(_, opened) => deliver(&cx, opened, all, &text, &mut upload).await?,
        _ => {
            return form(
                &cx,
                StatusCode::UNAUTHORIZED,
                all,
                text,
                Some(cx.w("reply.idle").to_owned()),
                false,
            )
            .await;
        }
    };
    let limit = cx.lang.size(REPLY_LIMIT);
    let (status, error, again) = match outcome {
        Ok(()) => return Ok(Answer::see(&format!("/pickup/{}/replied", cx.link()?))),
        Err(Stopped::Empty) => (StatusCode::UNPROCESSABLE_ENTITY, cx.w("reply.empty").to_owned(), false),
        Err(Stopped::TooLarge) => {
            (StatusCode::PAYLOAD_TOO_LARGE, cx.lang.fill("reply.toolarge", &[("limit", &limit)]), true)
        }
        Err(Stopped::TooMany) => (StatusCode::PAYLOAD_TOO_LARGE, cx.w("reply.toomany").to_owned(), true),
        Err(Stopped::Refused(why)) => {
            (StatusCode::FORBIDDEN, cx.lang.fill("reply.refused", &[("reason", &why)]), true)
        }
        Err(Stopped::Later) => (StatusCode::SERVICE_UNAVAILABLE, cx.w("reply.later").to_owned(), true),
    };
    form(&cx, status, all, text, Some(error), again).await
}

/// Streams text and attachments into a submission and hands it over.
async fn deliver(
    cx: &Cx,
    opened: &Opened,
    all: bool,
    text: &str,
    upload: &mut Upload,
) -> Result<Result<(), Stopped>, Problem> {
    let mut draft = match cx.app.pickup().begin_reply(opened, all, text, &cx.client).await {
        Ok(draft) => draft,
        Err(error) => return stopped(error).map(Err),
    };
    let (mut files, mut bytes) = (0, 0_u64);
    loop {
        let mut field = match upload.next().await {
            Ok(Some(field)) => field,
            Ok(None) => break,
            Err(Broken::TooLarge) => return Ok(Err(Stopped::TooLarge)),
            Err(Broken::Malformed) => return Err(Problem::BadForm),
        };
        let name = field.file_name().unwrap_or_default().to_owned();
        // A form without a chosen file sends one without a name.
        if field.name() != Some("attachment") || name.is_empty() {
            continue;
        }
        files += 1;
        if files > FILES_LIMIT {
            return Ok(Err(Stopped::TooMany));
        }
        let media_type = field.content_type().unwrap_or("application/octet-stream").to_owned();
        if let Err(error) = draft.attach(&name, &media_type).await {
            return stopped(error).map(Err);
        }
        loop {
            let piece = match form::piece(&mut field).await {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                Err(Broken::TooLarge) => return Ok(Err(Stopped::TooLarge)),
                Err(Broken::Malformed) => return Err(Problem::BadForm),
            };
            bytes += piece.len() as u64;
            if bytes > REPLY_LIMIT {
                return Ok(Err(Stopped::TooLarge));
            }
            if let Err(error) = draft.write(&piece).await {
                return stopped(error).map(Err);
            }
        }
    }
    if text.trim().is_empty() && files == 0 {
        return Ok(Err(Stopped::Empty));
    }
    match cx.app.pickup().send_reply(opened, draft, &cx.client).await {
        Ok(()) => Ok(Ok(())),
        Err(error) => stopped(error).map(Err),
    }
}

fn stopped(error: ReplyError) -> Result<Stopped, Problem> {
    match error {
        ReplyError::Refused(why) => Ok(Stopped::Refused(why)),
        ReplyError::Failed(error) if error.fault() == Fault::Temporary => Ok(Stopped::Later),
        ReplyError::Failed(error) => Err(error.into()),
    }
}

async fn form(
    cx: &Cx,
    status: StatusCode,
    all: bool,
    text: String,
    error: Option<String>,
    files_again: bool,
) -> Result<Answer, Problem> {
    let idle = !matches!(cx.visitor, Visitor::Opened(..));
    let title = cx.w(if all { "reply.title.all" } else { "reply.title" });
    let mut page = Reply {
        p: cx.page(title),
        token: cx.link()?.to_string(),
        all,
        lead: cx.w("frame.organisation").to_owned(),
        from: String::new(),
        to: Vec::new(),
        subject: String::new(),
        text,
        error,
        files_again: files_again || idle,
        idle,
        limit: cx.lang.size(REPLY_LIMIT),
        limit_bytes: REPLY_LIMIT,
    };
    if let Visitor::Opened(_, opened) = &cx.visitor {
        let head = cx.app.pickup().reply_head(opened, all, &cx.client).await?;
        page.p = cx.page_of(opened.organisation(), title);
        page.lead =
            if head.sender.name.is_empty() { head.sender.address.clone() } else { head.sender.name.clone() };
        page.from = head.from;
        page.to = head.to.iter().map(party).collect();
        page.subject = head.subject;
    }
    page.p.scripts = &["reply.js"];
    show_as(status, &page)
}

const TEXT_LIMIT: usize = 1 << 20;
const FILES_LIMIT: usize = 100;
