//! `cargo xtask bench`: release build, real connections, real disk.

use anyhow::Result;

use crate::{harness, postgres::Postgres, shell};

/// What `bench` takes.
#[derive(clap::Args)]
pub struct Args {
    /// Which one
    #[arg(default_value = "smtp", value_parser = ["smtp", "store"])]
    name: String,
    /// What the server stands on
    #[arg(long, default_value = "embedded", value_parser = ["embedded", "postgres"])]
    on: String,
    /// Further words for the harness, `--messages 5000` for example
    #[arg(last = true)]
    words: Vec<String>,
}

/// Runs one bench and prints its figures.
pub fn run(args: &Args) -> Result<()> {
    let mut bench = harness::build()?;
    bench.args(["--on", &args.on, "bench", &args.name]).args(&args.words);
    if args.on == "postgres" {
        // A bench pays for its syncs.
        let postgres = Postgres::start_durable()?;
        return shell::run(bench.env("SEALPOST_TEST_POSTGRES", postgres.connection()));
    }
    shell::run(&mut bench)
}
