//! `GET /healthz`: the pages answer. Says nothing about anything else.

use axum::http::StatusCode;

use crate::answer::Answer;
use crate::cx::Cx;
use crate::problem::Problem;

/// Where.
pub const PATH: &str = "/healthz";

/// Says so.
pub async fn show(_cx: Cx) -> Result<Answer, Problem> {
    Ok(Answer::text(StatusCode::OK, "ok\n"))
}
