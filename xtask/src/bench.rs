//! `cargo xtask bench`: release build, real connections, real disk.

use anyhow::Result;

use crate::{harness, shell};

/// What `bench` takes.
#[derive(clap::Args)]
pub struct Args {
    /// Which one
    #[arg(default_value = "smtp", value_parser = ["smtp"])]
    name: String,
    /// Further words for the harness, `--messages 5000` for example
    #[arg(last = true)]
    words: Vec<String>,
}

/// Runs one bench and prints its figures.
pub fn run(args: &Args) -> Result<()> {
    shell::run(harness::build()?.args(["bench", &args.name]).args(&args.words))
}
