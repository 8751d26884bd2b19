//! `POST /sent/ID/extend`: keeps a waiting copy longer, within the limit of 730 days (S32).

use std::time::Duration;

use sealpost_pickup::Error;

use super::sent::back;
use crate::answer::Answer;
use crate::cx::Cx;
use crate::problem::Problem;

/// Where.
pub const PATH: &str = "/sent/{id}/extend";

/// Does it.
pub async fn extend(cx: Cx) -> Result<Answer, Problem> {
    let id = cx.param("id").to_owned();
    let days: u64 = cx.form.value("days").parse().map_err(|_| Problem::BadForm)?;
    let version = cx.form.value("version").parse().unwrap_or(0);
    let longer = Duration::from_secs(days.min(730) * 86_400);
    let done = cx.app.pickup().extend(&cx.sender()?, &id, cx.form.value("to"), longer, Some(version)).await;
    match done {
        Ok(_) => Ok(back(&id, "extended")),
        Err(Error::NotFound) => Err(Problem::NotFound),
        Err(Error::TooLong) => Ok(back(&id, "limit")),
        Err(Error::Changed | Error::Ended) => Ok(back(&id, "changed")),
        Err(error) => Err(error.into()),
    }
}
