//! `GET /assets/HASH/NAME`: our own stylesheet, modules and pictures.

use crate::answer::Answer;
use crate::assets;
use crate::cx::Cx;
use crate::problem::Problem;

/// Where.
pub const PATH: &str = "/assets/{hash}/{name}";

/// Sends it.
pub async fn show(cx: Cx) -> Result<Answer, Problem> {
    let asset = assets::at(&cx.path).ok_or(Problem::NotFound)?;
    Ok(Answer::asset(asset.media_type, asset.body))
}
