//! `/`: the messages of a person that wait for their recipients, newest first.

use askama::Template;
use sealpost_pickup::SentSummary;

use super::sent::state_word;
use crate::answer::Answer;
use crate::cx::{Cx, show as print};
use crate::page::{Moment, Page};
use crate::problem::Problem;

/// Where.
pub const PATH: &str = "/";

#[derive(Template)]
#[template(path = "mail/home.html")]
struct Home {
    p: Page,
    rows: Vec<Row>,
    more: Option<String>,
}

struct Row {
    id: String,
    subject: String,
    people: String,
    state: &'static str,
    word: String,
    sent: Moment,
}

/// The list.
pub async fn show(cx: Cx) -> Result<Answer, Problem> {
    let sender = cx.sender()?;
    let before = Some(cx.query.value("before")).filter(|b| !b.is_empty());
    let list = cx.app.pickup().sent_list(&sender, before, PAGE).await?;
    let more = (list.len() == PAGE).then(|| list.last().map(|s| s.id.clone())).flatten();
    let rows = list.into_iter().map(|s| row(&cx, s)).collect();
    let mut p = cx.page(cx.w("home.title"));
    p.leaves = Some(idle());
    print(&Home { p, rows, more })
}

fn row(cx: &Cx, sent: SentSummary) -> Row {
    let moment = cx.moment(sent.sent);
    let word = if sent.total > 1 && sent.opened > 0 {
        cx.lang.fill("home.opened", &[("opened", &sent.opened), ("n", &sent.total)])
    } else {
        state_word(cx, sent.state).to_owned()
    };
    let people = match sent.recipients.as_slice() {
        people if sent.total as usize <= people.len() => people.join(", "),
        [first, ..] => format!("{first} · {}", cx.lang.count("home.people", sent.total.into())),
        [] => String::new(),
    };
    Row {
        subject: match sent.subject {
            Some(subject) if !subject.is_empty() => subject,
            Some(_) => cx.w("message.nosubject").to_owned(),
            None => cx.lang.fill("sent.gonesubject", &[("day", &moment.day)]),
        },
        id: sent.id,
        people,
        state: sent.state.word(),
        word,
        sent: moment,
    }
}

/// A signed-in page leaves by itself, a little after the server has ended the session (S45).
pub(super) fn idle() -> (u32, String) {
    (1210, "/signin?why=idle".to_owned())
}

const PAGE: usize = 30;
