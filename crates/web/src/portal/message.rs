//! `/pickup/TOKEN/message`: the message itself, plain text first; `/formatted` shows its HTML in a frame (S88).

use askama::Template;
use sealpost_pickup::Letter;

use super::{letter, party};
use crate::answer::Answer;
use crate::cx::{Cx, show as print};
use crate::icons;
use crate::page::{Moment, Page, Party};
use crate::problem::Problem;

/// Where.
pub const PATH: &str = "/pickup/{token}/message";
/// The same with its formatting.
pub const FORMATTED: &str = "/pickup/{token}/formatted";

#[derive(Template)]
#[template(path = "portal/message.html")]
struct Message {
    p: Page,
    token: String,
    subject: String,
    from: Party,
    to: Vec<Party>,
    cc: Vec<Party>,
    sent: Moment,
    until: Moment,
    all: bool,
    files: Vec<File>,
    formatted: bool,
    framed: bool,
    text: String,
    cut: bool,
}

struct File {
    number: u32,
    name: String,
    size: String,
    icon: &'static str,
}

/// Its text.
pub async fn plain(cx: Cx) -> Result<Answer, Problem> {
    page(&cx, false).await
}

/// Its HTML.
pub async fn formatted(cx: Cx) -> Result<Answer, Problem> {
    page(&cx, true).await
}

async fn page(cx: &Cx, framed: bool) -> Result<Answer, Problem> {
    let opened = cx.opened()?;
    let letter = cx.app.pickup().letter(opened, &cx.client).await?;
    let mut p = cx.page_of(opened.organisation(), cx.w("frame.product"));
    p.scripts = &["time.js", "message.js"];
    // A little after the server has ended the session.
    p.leaves = Some((1210, format!("/pickup/{}/closed", cx.link()?)));
    let Letter { subject, from, to, cc, sent, text, cut, has_html, files, reply_all } = letter;
    let files = files.into_iter().map(|f| File {
        number: f.number,
        size: cx.lang.size(f.size),
        icon: icons::of_type(&f.media_type),
        name: f.name,
    });
    print(&Message {
        token: cx.link()?.to_string(),
        subject: if subject.is_empty() { cx.w("message.nosubject").to_owned() } else { subject },
        from: party(&from),
        to: to.iter().map(party).collect(),
        cc: cc.iter().map(party).collect(),
        sent: cx.moment(sent),
        until: cx.moment(opened.last_day()),
        all: reply_all,
        files: files.collect(),
        formatted: has_html,
        framed: framed && has_html,
        text: if framed && has_html { String::new() } else { letter::html(text.trim_end()) },
        cut,
        p,
    })
}
