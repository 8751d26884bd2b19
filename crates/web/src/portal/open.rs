//! `/pickup/TOKEN`: "press to open". The link rides an untrusted path, so the page shows no content, and looking at it
//! changes nothing: a mail scanner that follows the link burns nothing (S29).

use askama::Template;
use sealpost_model::Address;
use sealpost_pickup::Pressed;

use crate::answer::Answer;
use crate::cookie::Cookie;
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
    let until = cx.moment(glance.expires);
    let address = masked(&glance.address);
    print(&Open { p, token: link.to_string(), org: glance.organisation, address, until })
}

/// The button: opens in a browser that has earned it, and asks for the code in any other.
pub async fn press(cx: Cx) -> Result<Answer, Problem> {
    let link = cx.link()?;
    let (session, device) = (cx.cookie(Cookie::Pickup), cx.cookie(Cookie::Device));
    match cx.app.pickup().press(link, session.as_ref(), device.as_ref(), &cx.client).await? {
        Pressed::Open(granted) => Ok(welcome(&format!("/pickup/{link}/message"), &granted)),
        Pressed::Code => Ok(Answer::see(&format!("/pickup/{link}/code"))),
        Pressed::Gone(glance) => Err(Problem::Gone(glance)),
        Pressed::Unknown => Err(Problem::WrongLink),
    }
}

/// Sends a recipient on with what the browser earned.
pub(super) fn welcome(path: &str, granted: &sealpost_pickup::Granted) -> Answer {
    let mut answer = Answer::see(path).cookie(&Cookie::Pickup.set(granted.session.expose()));
    if let Some(device) = &granted.device {
        answer = answer.cookie(&Cookie::Device.set(device.expose()));
    }
    answer
}

/// `p•••@outside.example`: enough for its owner to know which of their addresses it is.
fn masked(address: &Address) -> String {
    let first: String = address.local().chars().take(1).collect();
    format!("{first}•••@{}", address.domain())
}
