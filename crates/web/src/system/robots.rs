//! `GET /robots.txt`: nothing here is for search engines (RFC 9309).

use axum::http::StatusCode;

use crate::answer::Answer;
use crate::cx::Cx;
use crate::problem::Problem;

/// Where.
pub const PATH: &str = "/robots.txt";

/// Says so.
pub async fn show(_cx: Cx) -> Result<Answer, Problem> {
    Ok(Answer::text(StatusCode::OK, "User-agent: *\nDisallow: /\n"))
}
