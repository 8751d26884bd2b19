//! `POST /signout`: ends the session here and at the server, and empties the browser's stores of this host (S48).

use axum::http::HeaderName;
use sealpost_audit::Caller;

use crate::answer::Answer;
use crate::cookie::Cookie;
use crate::cx::Cx;
use crate::problem::Problem;

/// Where.
pub const PATH: &str = "/signout";

/// Ends it.
pub async fn sign_out(cx: Cx) -> Result<Answer, Problem> {
    let caller = Caller { actor: cx.person()?.login.actor, client: cx.client };
    cx.app.identity().close_session(cx.person()?, &caller, "signed-out").await?;
    Ok(Answer::see("/signin?why=out")
        .cookie(&Cookie::Session.clear())
        .cookie(&Cookie::Form.clear())
        .header(HeaderName::from_static("clear-site-data"), "\"storage\""))
}
