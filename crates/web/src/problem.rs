//! What a visitor gets instead of the page: one place that turns a problem into words and a status.

use askama::Template;
use axum::http::StatusCode;
use sealpost_model::Fault;
use sealpost_pickup::Glance;

use crate::answer::Answer;
use crate::app::REPLY_LIMIT;
use crate::cx::{Cx, show_as};
use crate::page::Page;
use crate::portal;

/// Why there is no page.
#[derive(Debug)]
pub enum Problem {
    /// No such page, or not for this visitor: both look the same.
    NotFound,
    /// A method that the page doesn't have.
    Method,
    /// A form that doesn't come from our page.
    BadForm,
    /// A body larger than the route takes.
    TooLarge,
    /// A policy says no; these words say why.
    Refused(String),
    /// It may work later.
    Busy,
    /// We are wrong; it was logged.
    Broken,
    /// A link that nobody was given.
    WrongLink,
    /// The message is no longer open to this visitor.
    Gone(Box<Glance>),
    /// Look there instead.
    See(String),
}

impl Problem {
    /// Sorts a service's failure; `what` names the act in the log.
    pub fn of(fault: Fault, what: &'static str, error: &dyn std::fmt::Display) -> Self {
        match fault {
            Fault::Policy | Fault::Caller => Self::Refused(error.to_string()),
            Fault::Temporary | Fault::Peer | Fault::PeerCannot => {
                tracing::warn!(what, %error, "not now");
                Self::Busy
            }
            Fault::Corrupt | Fault::Bug => {
                tracing::error!(what, %error, "failed");
                Self::Broken
            }
        }
    }

    /// The page that says what happened and what to do.
    pub fn answer(self, cx: &Cx) -> Answer {
        match self {
            Self::See(path) => Answer::see(&path),
            Self::Gone(glance) => portal::gone::answer(cx, &glance),
            Self::WrongLink => portal::gone::wrong_link(cx),
            other => other.plain(cx),
        }
    }

    fn plain(self, cx: &Cx) -> Answer {
        let limit = cx.lang.size(REPLY_LIMIT);
        let (status, tone, icon, title, text, advice) = match self {
            Self::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                "",
                "info",
                "error.method.title",
                cx.w("error.notfound.text").to_owned(),
                "",
            ),
            Self::BadForm => (
                StatusCode::FORBIDDEN,
                "warn",
                "alert",
                "error.form.title",
                cx.w("error.form.text").to_owned(),
                cx.w("error.form.do"),
            ),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "warn",
                "alert",
                "error.large.title",
                cx.lang.fill("error.large.text", &[("limit", &limit)]),
                "",
            ),
            Self::Refused(why) => (StatusCode::FORBIDDEN, "warn", "lock", "error.refused.title", why, ""),
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "warn",
                "clock",
                "error.busy.title",
                cx.w("error.busy.text").to_owned(),
                "",
            ),
            Self::Broken => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "bad",
                "alert",
                "error.broken.title",
                cx.lang.fill("error.broken.text", &[("time", &cx.app.clock().now().rfc3339())]),
                "",
            ),
            Self::NotFound | Self::WrongLink | Self::Gone(_) | Self::See(_) => (
                StatusCode::NOT_FOUND,
                "",
                "info",
                "error.notfound.title",
                cx.w("error.notfound.text").to_owned(),
                "",
            ),
        };
        let mut p = cx.page(cx.w(title));
        p.who = None;
        let page = ErrorPage { p, tone, icon, text, advice };
        show_as(status, &page).unwrap_or_else(|_| Answer::text(status, "Something went wrong on our side.\n"))
    }
}

#[derive(Template)]
#[template(path = "system/error.html")]
struct ErrorPage {
    p: Page,
    tone: &'static str,
    icon: &'static str,
    text: String,
    advice: &'static str,
}

macro_rules! from {
    ($($error:path => $what:literal),+ $(,)?) => {$(
        impl From<$error> for Problem {
            fn from(error: $error) -> Self {
                Self::of(error.fault(), $what, &error)
            }
        }
    )+};
}

from! {
    sealpost_pickup::Error => "pickup",
    sealpost_identity::Error => "identity",
}
