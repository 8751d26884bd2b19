//! What the server writes to standard error: ids, never addresses, subjects or bodies.

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;

/// Begins to log at `level`: a word or a filter as `tracing` reads it.
///
/// # Errors
/// When the filter is not one.
pub fn start(level: &str) -> Result<()> {
    let filter = EnvFilter::try_new(level)
        .with_context(|| format!("[server] log = \"{level}\" is not a level: write error, warn, info or debug"))?;
    // A second start in one process (tests) keeps the first.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    Ok(())
}
