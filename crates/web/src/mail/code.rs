//! `POST /sent/ID/code`: a new code, shown this once; the one before is void (S30).

use askama::Template;
use sealpost_pickup::Error;

use super::sent::back;
use crate::answer::Answer;
use crate::cx::{Cx, show as print};
use crate::page::Page;
use crate::problem::Problem;

/// Where.
pub const PATH: &str = "/sent/{id}/code";

#[derive(Template)]
#[template(path = "mail/code.html")]
struct Code {
    p: Page,
    id: String,
    address: String,
    code: String,
    left: u32,
}

/// Makes it. The form says which version of the row it was made for, so that reloading makes no second one.
pub async fn issue(cx: Cx) -> Result<Answer, Problem> {
    let id = cx.param("id").to_owned();
    let (to, version) = (cx.form.value("to"), cx.form.value("version").parse().unwrap_or(0));
    let issued = match cx.app.pickup().reissue(&cx.sender()?, &id, to, Some(version)).await {
        Ok(issued) => issued,
        Err(Error::NotFound) => return Err(Problem::NotFound),
        Err(Error::Changed | Error::Ended | Error::NoCodesLeft) => return Ok(back(&id, "changed")),
        Err(error) => return Err(error.into()),
    };
    let digits = issued.code.expose();
    let code = format!("{} {}", &digits[..3], &digits[3..]);
    let mut p = cx.page(cx.w("act.code"));
    p.back = format!("/sent/{id}");
    p.leaves = Some((600, format!("/sent/{id}")));
    print(&Code { p, id, address: issued.address, code, left: issued.left })
}
