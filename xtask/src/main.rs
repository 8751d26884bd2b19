//! The project's own commands: `cargo xtask test | soak | bench | fuzz | package`.
//!
//! `test` is all that judges a change, and CI is `test` and nothing else. The programs and modules that the
//! tests need are listed in `tests/`, and installed when they are missing.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod fixture;
mod fuzz;
mod harness;
mod licences;
mod notices;
mod package;
mod packages;
mod postgres;
mod shell;
mod soak;
mod test;

/// Builds, tests and measures Sealpost.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Installs what the tests need, then runs all that judges a change
    Test(test::Args),
    /// Installs what the tests need (Debian packages, npm and PyPI modules) and stops
    Setup,
    /// Looks at the dependencies' licences and sources
    Licences,
    /// Runs a command beside a throw-away PostgreSQL: `cargo xtask postgres -- cargo nextest run -p sealpost-store`
    Postgres {
        /// The command and its words
        #[arg(last = true, required = true)]
        words: Vec<String>,
    },
    /// Runs the harnesses at full size and writes docs/soak.md
    Soak(soak::Args),
    /// Measures, each figure next to the machine's own limit
    Bench(bench::Args),
    /// Makes the data that later versions must read; only before the first release, or for a new format
    Fixture,
    /// Packs the release build for Debian
    Package(package::Args),
    /// Fuzzes one target, or each in turn
    Fuzz(fuzz::Args),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    std::env::set_current_dir(shell::root())?;
    match command {
        Command::Test(args) => test::run(&args),
        Command::Setup => packages::ensure(),
        Command::Licences => licences::check(),
        Command::Postgres { words } => postgres::beside(&words),
        Command::Soak(args) => soak::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Fixture => fixture::make(),
        Command::Package(args) => package::run_it(&args),
        Command::Fuzz(args) => fuzz::run(&args),
    }
}
