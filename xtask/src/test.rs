//! `cargo xtask test`: all that judges a change, quickest first, the test runner last.

use std::process::Command;

use anyhow::Result;

use crate::{
    licences, packages,
    postgres::Postgres,
    shell::{self, Steps, cargo},
};

/// What `test` takes.
#[derive(clap::Args)]
pub struct Args {
    /// Further words for the test runner, a filter for example
    #[arg(last = true)]
    nextest: Vec<String>,
}

/// Installs what is missing, then formats, lints, licences, tests.
pub fn run(args: &Args) -> Result<()> {
    let mut steps = Steps::default();
    steps.step("packages", packages::ensure)?;
    steps.step("format", || shell::run(cargo().args(["fmt", "--all", "--check"])))?;
    steps.step("licences", licences::check)?;
    steps.step("clippy", || {
        shell::run(cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ]))
    })?;
    let postgres = Postgres::start()?;
    steps.step("tests", || {
        let mut nextest = cargo();
        nextest.args(["nextest", "run", "--workspace", "--locked"]).args(&args.nextest);
        shell::run(with_world(&mut nextest).env("SEALPOST_TEST_POSTGRES", postgres.connection()))
    })?;
    println!("\nall good: {}", steps.times());
    Ok(())
}

/// What tests find in their environment. `SEALPOST_TEST_ALL`: everything is installed, nothing may be skipped.
pub fn with_world(command: &mut Command) -> &mut Command {
    // A panic shows where it was; an error says what it is, and its backtrace would bury that.
    command.env("RUST_LIB_BACKTRACE", "0");
    command.env("SEALPOST_TEST_ALL", "1").env("PYTHONPATH", packages::python_modules())
}
