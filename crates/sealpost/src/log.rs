//! What the server writes to standard error: ids, never addresses, subjects or bodies.

use std::io::IsTerminal as _;

use anyhow::{Context, Result};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// Changes the level while the server runs.
pub struct Level(reload::Handle<EnvFilter, Registry>);

/// Begins to log at `level`: a word or a filter as `tracing` reads it.
///
/// # Errors
/// When the filter is not one.
pub fn start(level: &str) -> Result<Level> {
    let (filter, handle) = reload::Layer::new(parse(level)?);
    let text = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    tracing_subscriber::registry().with(filter).with(text).try_init()?;
    Ok(Level(handle))
}

impl Level {
    /// Logs at `level` from now on.
    ///
    /// # Errors
    /// When the filter is not one; the old one stays then.
    pub fn set(&self, level: &str) -> Result<()> {
        Ok(self.0.reload(parse(level)?)?)
    }
}

fn parse(level: &str) -> Result<EnvFilter> {
    EnvFilter::try_new(level).with_context(|| {
        format!("[server] log = \"{level}\" is not a level: write error, warn, info or debug")
    })
}
