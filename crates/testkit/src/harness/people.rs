//! Does a program that we did not write get along? An IMAP library from PyPI reads, flags, searches, moves and idles.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context, Result};

use crate::{Server, program};

/// Runs `tests/python/imap_client.py` against a fresh server. `script` is its path.
pub fn imap_library(binary: &Path, script: &Path) -> Result<String> {
    let server = Server::start(binary)?;
    let mut python = Command::new("python3");
    python.arg(script).arg(&server.ready().json);
    let out = program::run(&mut python, b"", Duration::from_secs(120))?.ok().context("imap_client.py")?;
    Ok(out.text())
}

/// Drives the newcomer's loop, `tests/e2e/loop.mjs`: submission, notice, browser, code, reply, status, retraction.
/// Screenshots go below `shots`.
pub fn newcomers_loop(binary: &Path, script: &Path, shots: &Path) -> Result<String> {
    let server = Server::start(binary)?;
    std::fs::create_dir_all(shots)?;
    let mut node = Command::new("node");
    node.arg(script).arg(&server.ready().json).arg(shots);
    let out = program::run(&mut node, b"", Duration::from_secs(300))?;
    out.ok().with_context(|| format!("loop.mjs; the server said:\n{}", server.log())).map(|out| out.text())
}
