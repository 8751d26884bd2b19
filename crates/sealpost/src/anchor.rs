//! The anchors that the configuration names, as places that the log can use.

use std::sync::Arc;

use anyhow::Result;
use sealpost_audit::{AnchorText, FileWitness, Witness, anchor_text};

use crate::config::{AnchorAt, Config};

/// Every anchor of the configuration.
///
/// # Errors
/// When one of them can't be set up.
pub fn witnesses(config: &Config) -> Result<Vec<Arc<dyn Witness>>> {
    let mut all: Vec<Arc<dyn Witness>> = Vec::new();
    for at in config.anchors()? {
        match at {
            AnchorAt::File(path) => all.push(Arc::new(FileWitness::new(path))),
            AnchorAt::Https(url) => anyhow::bail!("[audit] anchor {url}: not yet"),
            AnchorAt::Mail(address) => anyhow::bail!("[audit] anchor mailto:{address}: not yet"),
        }
    }
    Ok(all)
}

/// What each of them holds that can be asked.
///
/// # Errors
/// When one of them can't be set up. One that does not answer says so in its text's place.
pub async fn texts(config: &Config) -> Result<Vec<AnchorText>> {
    let mut texts = Vec::new();
    for witness in witnesses(config)? {
        texts.extend(anchor_text(&*witness).await);
    }
    Ok(texts)
}
