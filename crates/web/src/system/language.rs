//! `POST /language`: the switch at the foot of each page.

use crate::answer::Answer;
use crate::cookie::Cookie;
use crate::cx::Cx;
use crate::problem::Problem;
use crate::words::Lang;

/// Where.
pub const PATH: &str = "/language";

/// Keeps the choice in this browser and goes back.
pub async fn choose(cx: Cx) -> Result<Answer, Problem> {
    let lang = Lang::from_tag(cx.form.value("language")).unwrap_or(cx.lang);
    Ok(Answer::see(cx.form.value("back")).cookie(&Cookie::Language.set(lang.tag())))
}
