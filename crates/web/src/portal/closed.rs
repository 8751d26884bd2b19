//! `/pickup/TOKEN/closed`: nothing of the message stays on the screen (S33). `POST /pickup/TOKEN/close` ends the
//! session at once.

use super::gone::{Gone, Link};
use crate::answer::Answer;
use crate::cookie::Cookie;
use crate::cx::{Cx, show as print};
use crate::problem::Problem;

/// Where.
pub const PATH: &str = "/pickup/{token}/closed";
/// The button.
pub const CLOSE: &str = "/pickup/{token}/close";

/// The page that an idle message leaves behind.
pub async fn show(cx: Cx) -> Result<Answer, Problem> {
    let link: Link = Some((cx.w("closed.open"), format!("/pickup/{}", cx.link()?)));
    print(&Gone {
        p: cx.page(cx.w("closed.title")),
        tone: "",
        icon: "lock",
        heading: cx.w("closed.title"),
        text: cx.w("closed.text").to_owned(),
        advice: String::new(),
        link,
    })
}

/// Ends the session.
pub async fn close(cx: Cx) -> Result<Answer, Problem> {
    cx.app.pickup().close(cx.opened()?, &cx.client).await?;
    Ok(Answer::see(&format!("/pickup/{}/closed", cx.link()?)).cookie(&Cookie::Pickup.clear()))
}
