//! `/pickup/TOKEN`: "press to open". The link rides an untrusted path, so the page shows no content, and looking at it
//! changes nothing: a mail scanner that follows the link burns nothing (S29).

use askama::Template;
use sealpost_model::Address;
use sealpost_pickup::{Browser, Credential, Granted, Pressed};

use crate::answer::Answer;
use crate::cookie::{Cookie, device};
use crate::cx::{Cx, show as print};
use crate::page::{Moment, Page};
use crate::problem::Problem;

/// Where.
pub const PATH: &str = "/pickup/{token}";

#[derive(Template)]
#[template(path = "portal/open.html")]
struct Open {
    p: Page,
    token: String,
    org: String,
    address: String,
    until: Moment,
}

/// The page with the button.
pub async fn show(cx: Cx) -> Result<Answer, Problem> {
    let link = cx.link()?;
    let glance = cx.app.pickup().visit(link, &cx.client).await?.ok_or(Problem::WrongLink)?;
    if !glance.state.is_live() {
        return Err(Problem::Gone(Box::new(glance)));
    }
    let p = cx.page_of(&glance.organisation, cx.w("open.title"));
    let until = cx.moment(glance.last_day);
    let address = masked(&glance.address);
    print(&Open { p, token: link.to_string(), org: glance.organisation, address, until })
}

/// The button: opens in a browser that has earned it, and asks for the code in any other.
pub async fn press(cx: Cx) -> Result<Answer, Problem> {
    let link = cx.link()?;
    match cx.app.pickup().press(link, &cx.browser(false), &cx.client).await? {
        Pressed::Open(granted) => Ok(welcome(&cx, &format!("/pickup/{link}/message"), &granted, false)),
        Pressed::Code => Ok(Answer::see(&format!("/pickup/{link}/code"))),
        Pressed::Gone(glance) => Err(Problem::Gone(glance)),
        Pressed::Unknown => Err(Problem::WrongLink),
    }
}

/// Sends a recipient on with what the browser earned. One that is shared keeps no credential at all; another one keeps
/// those of a household, the newest ones.
pub(super) fn welcome(cx: &Cx, path: &str, granted: &Granted, shared: bool) -> Answer {
    let mut answer = Answer::see(path).cookie(&Cookie::Pickup.set(granted.session.expose()));
    let mut keep = if shared { 0 } else { Browser::DEVICES };
    let mut own = String::new();
    if let Some(Credential { label, token }) = &granted.device {
        answer = answer.cookie(&device::set(label, token.expose()));
        (own, keep) = (device::name(label), keep - 1);
    }
    let others = device::read(&cx.cookies).into_iter().map(|(name, _)| name).filter(|name| *name != own);
    for name in others.rev().skip(keep) {
        answer = answer.cookie(&device::clear(name));
    }
    answer
}

/// `p•••@outside.example`: enough for its owner to know which of their addresses it is.
fn masked(address: &Address) -> String {
    let first: String = address.local().chars().take(1).collect();
    format!("{first}•••@{}", address.domain())
}
