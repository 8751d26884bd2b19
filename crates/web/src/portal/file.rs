//! `/pickup/TOKEN/file/N`: one attachment, streamed.

use axum::body::Body;

use super::original::stream;
use crate::answer::Answer;
use crate::cx::Cx;
use crate::problem::Problem;

/// Where.
pub const PATH: &str = "/pickup/{token}/file/{number}";

/// Sends it.
pub async fn show(cx: Cx) -> Result<Answer, Problem> {
    let number = cx.param("number").parse().map_err(|_| Problem::NotFound)?;
    let download = cx.app.pickup().file(cx.opened()?, number, &cx.client).await?.ok_or(Problem::NotFound)?;
    let name = download.name().to_owned();
    let media_type = download.media_type().to_owned();
    Ok(Answer::download(&name, &media_type, None, Body::from_stream(stream(download))))
}
