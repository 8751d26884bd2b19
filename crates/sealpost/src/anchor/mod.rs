//! The anchors that the configuration names, as places that the log can use.

mod https;
mod mail;

use std::sync::Arc;

use anyhow::{Context as _, Result};
use sealpost_audit::{AnchorText, FileWitness, Witness, anchor_text};

pub use mail::Post;

use crate::config::{AnchorAt, Config};

/// Every anchor of the configuration. Those that send mail do so once `post` knows how.
///
/// # Errors
/// When one of them can't be set up.
pub fn witnesses(config: &Config, post: &Post) -> Result<Vec<Arc<dyn Witness>>> {
    let token = match &config.audit.anchor_token {
        Some(path) => {
            let text = std::fs::read_to_string(path);
            Some(text.with_context(|| format!("[audit] anchor_token {} can't be read", path.display()))?)
        }
        None => None,
    };
    let mut all: Vec<Arc<dyn Witness>> = Vec::new();
    for at in config.anchors()? {
        all.push(match at {
            AnchorAt::File(path) => Arc::new(FileWitness::new(path)),
            AnchorAt::Https(url) => Arc::new(https::HttpsWitness::new(config, &url, token.as_deref())?),
            AnchorAt::Mail(address) => Arc::new(mail::MailWitness::new(address, post.clone())),
        });
    }
    Ok(all)
}

/// What each of them holds that can be asked.
///
/// # Errors
/// When one of them can't be set up. One that does not answer says so in its text's place.
pub async fn texts(config: &Config) -> Result<Vec<AnchorText>> {
    let mut texts = Vec::new();
    for witness in witnesses(config, &Post::default())? {
        texts.extend(anchor_text(&*witness).await);
    }
    Ok(texts)
}
