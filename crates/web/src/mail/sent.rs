//! `/sent/ID`: what became of a message, recipient by recipient, with what its sender can do about it (S31, S34).

use askama::Template;
use sealpost_pickup::{SentRecipient, State};

use crate::answer::Answer;
use crate::app::show_ip;
use crate::cx::{Cx, show as print};
use crate::page::{Moment, Page};
use crate::problem::Problem;

/// Where.
pub const PATH: &str = "/sent/{id}";

#[derive(Template)]
#[template(path = "mail/sent.html")]
struct Sent {
    p: Page,
    id: String,
    subject: String,
    destroyed: bool,
    sent: Moment,
    done: Option<(&'static str, String)>,
    recipients: Vec<Recipient>,
    many: bool,
}

struct Recipient {
    id: String,
    address: String,
    state: &'static str,
    word: &'static str,
    why: &'static str,
    until: Moment,
    opened: Option<Moment>,
    from_ip: String,
    replied: Option<Moment>,
    ended: Option<Moment>,
    ended_why: String,
    no_notice: bool,
    wrong: u32,
    codes_left: u32,
    live: bool,
    version: i64,
}

/// The page.
pub async fn show(cx: Cx) -> Result<Answer, Problem> {
    let done = match cx.query.value("done") {
        "extended" => Some(("good", cx.w("done.extended").to_owned())),
        "expired" => Some(("good", cx.w("done.expired").to_owned())),
        "retracted" => Some(("good", cx.w("done.retracted").to_owned())),
        "changed" => Some(("warn", cx.w("done.changed").to_owned())),
        "limit" => Some(("warn", cx.lang.fill("done.limit", &[("n", &cx.app.pickup().longest_days())]))),
        _ => None,
    };
    let id = cx.param("id").to_owned();
    let sent = cx.app.pickup().sent(&cx.sender()?, &id).await?.ok_or(Problem::NotFound)?;
    let moment = cx.moment(sent.sent);
    let destroyed = sent.subject.is_none();
    let subject = match sent.subject {
        Some(subject) if !subject.is_empty() => subject,
        Some(_) => cx.w("message.nosubject").to_owned(),
        None => cx.lang.fill("sent.gonesubject", &[("day", &moment.day)]),
    };
    let live = sent.recipients.iter().filter(|r| r.state.is_kept()).count();
    let recipients = sent.recipients.into_iter().map(|r| recipient(&cx, r)).collect();
    let mut p = cx.page(cx.w("sent.title"));
    p.leaves = Some(super::home::idle());
    print(&Sent { p, id, subject, destroyed, sent: moment, done, recipients, many: live > 1 })
}

fn recipient(cx: &Cx, r: SentRecipient) -> Recipient {
    Recipient {
        id: r.id,
        address: r.address,
        state: r.state.word(),
        word: state_word(cx, r.state),
        why: why(cx, r.reason),
        until: cx.moment(r.until),
        opened: r.opened.map(|t| cx.moment(t)),
        from_ip: r.opened_from.map(show_ip).unwrap_or_default(),
        replied: r.replied.map(|t| cx.moment(t)),
        ended: r.ended.map(|t| cx.moment(t)),
        ended_why: r.ended_why,
        no_notice: r.no_notice,
        wrong: r.wrong,
        codes_left: r.codes_left,
        live: r.state.is_kept(),
        version: r.version,
    }
}

/// A state's word for people.
pub fn state_word(cx: &Cx, state: State) -> &'static str {
    cx.w(match state {
        State::Waiting => "state.waiting",
        State::Opened => "state.opened",
        State::Replied => "state.replied",
        State::Locked => "state.locked",
        State::Expired => "state.expired",
        State::Retracted => "state.retracted",
    })
}

/// Why a recipient's way is pickup.
fn why(cx: &Cx, reason: sealpost_policy::Reason) -> &'static str {
    use sealpost_policy::Reason;
    match reason {
        Reason::SenderAskedPickup => cx.w("why.asked"),
        Reason::TransportBelowFloor => cx.w("why.floor"),
        Reason::TransportLacksExtension => cx.w("why.extension"),
        Reason::TransportUnreachable => cx.w("why.unreachable"),
        _ => cx.w("why.policy"),
    }
}

/// Back to the page, with what was done.
pub fn back(id: &str, done: &str) -> Answer {
    Answer::see(&format!("{}?done={done}", PATH.replace("{id}", id)))
}
