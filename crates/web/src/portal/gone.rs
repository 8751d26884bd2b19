//! What a link says when the message isn't there: expired, ended, taken back, locked, or a link that nobody was given.
//! Each page says what happened and what to do.

use askama::Template;
use axum::http::StatusCode;
use sealpost_pickup::{Glance, State};

use crate::answer::Answer;
use crate::cx::{Cx, show_as};
use crate::page::Page;

pub(super) type Link = Option<(&'static str, String)>;

#[derive(Template)]
#[template(path = "portal/gone.html")]
pub(super) struct Gone {
    pub p: Page,
    pub tone: &'static str,
    pub icon: &'static str,
    pub heading: &'static str,
    pub text: String,
    pub advice: String,
    pub link: Link,
}

/// The page for a message that was there (410), or is locked (403).
pub fn answer(cx: &Cx, glance: &Glance) -> Answer {
    let org: &str =
        if glance.organisation.is_empty() { cx.w("frame.organisation") } else { &glance.organisation };
    let ended = cx.moment(glance.ended.unwrap_or(glance.expires)).day;
    let fill = |key: &str| cx.lang.fill(key, &[("org", &org)]);
    let on_day = |key: &str| cx.lang.fill(key, &[("day", &ended)]);
    let (status, tone, icon, heading, text, advice) = match glance.state {
        State::Retracted => (
            StatusCode::GONE,
            "",
            "back",
            "gone.retracted.title",
            on_day("gone.retracted.text"),
            fill("gone.do.again"),
        ),
        State::Locked => (
            StatusCode::FORBIDDEN,
            "warn",
            "lock",
            "gone.locked.title",
            cx.w("gone.locked.text").to_owned(),
            fill("gone.do.code"),
        ),
        State::Expired if glance.ended_by_hand => (
            StatusCode::GONE,
            "",
            "clock",
            "gone.ended.title",
            cx.lang.fill("gone.ended.text", &[("org", &org), ("day", &ended)]),
            fill("gone.do.again"),
        ),
        State::Expired | State::Waiting | State::Opened | State::Replied => (
            StatusCode::GONE,
            "",
            "clock",
            "gone.expired.title",
            on_day("gone.expired.text"),
            fill("gone.do.again"),
        ),
    };
    let mut p = cx.page_of(&glance.organisation, cx.w(heading));
    p.back = format!("/pickup/{}", cx.param("token"));
    // The link works again once the sender has made a new code.
    let link = (glance.state == State::Locked).then(|| (cx.w("gone.unlocked"), p.back.clone()));
    page(status, &Gone { p, tone, icon, heading: cx.w(heading), text, advice, link })
}

/// The page for a link that nobody was given.
pub fn wrong_link(cx: &Cx) -> Answer {
    let gone = Gone {
        p: cx.page(cx.w("wrong.title")),
        tone: "warn",
        icon: "alert",
        heading: cx.w("wrong.title"),
        text: cx.w("wrong.text").to_owned(),
        advice: cx.w("wrong.do").to_owned(),
        link: None,
    };
    page(StatusCode::NOT_FOUND, &gone)
}

fn page(status: StatusCode, gone: &Gone) -> Answer {
    show_as(status, gone).unwrap_or_else(|_| Answer::text(status, "This message is not available.\n"))
}
