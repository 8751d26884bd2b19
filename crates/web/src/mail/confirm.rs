//! `/sent/ID/expire` and `/sent/ID/retract`: asks first, then ends a message for one recipient or for all (S31, S34).

use askama::Template;
use sealpost_pickup::{Ending, Error};

use super::sent::back;
use crate::answer::Answer;
use crate::cx::{Cx, show as print};
use crate::page::Page;
use crate::problem::Problem;

/// Ends it.
pub const EXPIRE: &str = "/sent/{id}/expire";
/// Takes it back.
pub const RETRACT: &str = "/sent/{id}/retract";

#[derive(Template)]
#[template(path = "mail/confirm.html")]
struct Confirm {
    p: Page,
    id: String,
    to: String,
    verb: &'static str,
    heading: &'static str,
    text: String,
    yes: &'static str,
    opened: bool,
    retract: bool,
}

/// Asks.
pub async fn ask_expire(cx: Cx) -> Result<Answer, Problem> {
    ask(cx, Ending::Expire).await
}

/// Asks.
pub async fn ask_retract(cx: Cx) -> Result<Answer, Problem> {
    ask(cx, Ending::Retract).await
}

/// Ends it.
pub async fn expire(cx: Cx) -> Result<Answer, Problem> {
    end(cx, Ending::Expire, "expired").await
}

/// Takes it back.
pub async fn retract(cx: Cx) -> Result<Answer, Problem> {
    end(cx, Ending::Retract, "retracted").await
}

async fn ask(cx: Cx, ending: Ending) -> Result<Answer, Problem> {
    let id = cx.param("id").to_owned();
    let sent = cx.app.pickup().sent(&cx.sender()?, &id).await?.ok_or(Problem::NotFound)?;
    let to = cx.query.value("to").to_owned();
    let meant: Vec<_> =
        sent.recipients.iter().filter(|r| r.state.is_kept() && (to.is_empty() || r.id == to)).collect();
    let who = match meant.as_slice() {
        [] => return Ok(back(&id, "changed")),
        [one] => one.address.clone(),
        _ => cx.w("confirm.everyone").to_owned(),
    };
    let opened = meant.iter().any(|r| r.opened.is_some());
    let (verb, heading, text, yes) = match ending {
        Ending::Expire => ("expire", "confirm.expire.title", "confirm.expire.text", "confirm.expire.yes"),
        Ending::Retract => {
            ("retract", "confirm.retract.title", "confirm.retract.text", "confirm.retract.yes")
        }
    };
    let mut p = cx.page(cx.w(heading));
    p.leaves = Some(super::home::idle());
    p.scripts = &["reply.js"];
    print(&Confirm {
        p,
        id,
        to,
        verb,
        heading: cx.w(heading),
        text: cx.lang.fill(text, &[("who", &who)]),
        yes: cx.w(yes),
        opened,
        retract: ending == Ending::Retract,
    })
}

async fn end(cx: Cx, ending: Ending, done: &str) -> Result<Answer, Problem> {
    let id = cx.param("id").to_owned();
    let to = Some(cx.form.value("to")).filter(|to| !to.is_empty());
    match cx.app.pickup().end(&cx.sender()?, &id, to, ending).await {
        Ok(_) => Ok(back(&id, done)),
        Err(Error::NotFound) => Err(Problem::NotFound),
        Err(Error::Ended) => Ok(back(&id, "changed")),
        Err(error) => Err(error.into()),
    }
}
