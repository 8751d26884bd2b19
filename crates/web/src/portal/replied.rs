//! `/pickup/TOKEN/replied`: the reply has arrived.

use askama::Template;

use crate::answer::Answer;
use crate::cx::{Cx, show as print};
use crate::page::Page;
use crate::problem::Problem;

/// Where.
pub const PATH: &str = "/pickup/{token}/replied";

#[derive(Template)]
#[template(path = "portal/replied.html")]
struct Replied {
    p: Page,
    token: String,
    who: String,
}

/// Says so.
pub async fn show(cx: Cx) -> Result<Answer, Problem> {
    let opened = cx.opened()?;
    let sender = cx.app.pickup().sender(opened, &cx.client).await?;
    let who = if sender.name.is_empty() { sender.address } else { sender.name };
    print(&Replied {
        p: cx.page_of(opened.organisation(), cx.w("replied.title")),
        token: cx.link()?.to_string(),
        who,
    })
}
