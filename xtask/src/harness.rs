//! Builds the server and the harness of `sealpost-testkit` in release, and runs the harness on it.

use std::process::Command;

use anyhow::Result;

use crate::{
    shell::{self, cargo},
    test::with_world,
};

/// Builds both; what the harness needs besides is in its environment.
pub fn build() -> Result<Command> {
    let words = ["build", "--release", "--locked", "-p", "sealpost", "-p", "sealpost-testkit", "--bins"];
    shell::run(cargo().args(words).args(["--features", "sealpost-testkit/ground"]))?;
    let release = shell::target().join("release");
    let mut harness = Command::new(release.join("sealpost-harness"));
    with_world(&mut harness).env("SEALPOST_BIN", release.join("sealpost"));
    Ok(harness)
}
