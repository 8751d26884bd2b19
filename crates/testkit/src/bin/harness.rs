//! `cargo xtask soak` and `cargo xtask bench` call this: one harness on the server that `$SEALPOST_BIN` names.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use sealpost_testkit::{
    Dice, Ground, Server,
    harness::{backup, bench, code, death, flips, kill, markers, mbsync, peers, people, yesterday},
};

/// Runs one harness and prints its report. `SEALPOST_SEED` repeats a run.
#[derive(Parser)]
struct Cli {
    /// What the server stands on
    #[arg(long, global = true, default_value = "embedded", value_parser = ["embedded", "postgres"])]
    on: String,
    #[command(subcommand)]
    harness: Harness,
}

#[derive(Subcommand)]
enum Harness {
    /// Is anything lost when the server is killed?
    Kill {
        /// At the soak's size
        #[arg(long)]
        full: bool,
    },
    /// Is anything shown below the data folder?
    Markers {
        /// At the soak's size
        #[arg(long)]
        full: bool,
    },
    /// Is anything changed unseen?
    Flips {
        /// At the soak's size
        #[arg(long)]
        full: bool,
        /// So many changes
        #[arg(long, default_value_t = 60)]
        changes: u32,
    },
    /// Is an older state noticed?
    Yesterday {
        /// At the soak's size, which is the same
        #[arg(long)]
        full: bool,
    },
    /// Is everything there after a disaster?
    Backup {
        /// At the soak's size
        #[arg(long)]
        full: bool,
    },
    /// Do keys die for good?
    Death {
        /// At the soak's size, which is the same
        #[arg(long)]
        full: bool,
    },
    /// Does mbsync get back what it put in?
    Mbsync {
        /// At the soak's size
        #[arg(long)]
        full: bool,
    },
    /// Is the code a gate?
    Code {
        /// At the soak's size
        #[arg(long)]
        full: bool,
    },
    /// Does it leave encrypted or not at all?
    Peers {
        /// At the soak's size, which is the same
        #[arg(long)]
        full: bool,
    },
    /// Does an IMAP library get along?
    Library {
        /// tests/python/imap_client.py
        script: PathBuf,
    },
    /// Does a newcomer see the whole loop?
    Loop {
        /// tests/e2e/loop.mjs
        script: PathBuf,
        /// Where screenshots go
        shots: PathBuf,
    },
    /// How fast?
    Bench {
        #[command(subcommand)]
        bench: Bench,
    },
}

#[derive(Subcommand)]
enum Bench {
    /// Small messages, accepted and visible
    Smtp {
        /// Messages on all connections together
        #[arg(long, default_value_t = 20_000)]
        messages: u32,
        /// Messages on one connection
        #[arg(long, default_value_t = 3_000)]
        single: u32,
        /// Connections at once
        #[arg(long, default_value_t = 20)]
        connections: u32,
        /// Bytes of body
        #[arg(long, default_value_t = 1_000)]
        body: usize,
        /// Through port 25 from outside instead of submission
        #[arg(long)]
        inbound: bool,
    },
    /// What lies below the protocols: deliveries, reads, lists, the log
    #[cfg(feature = "ground")]
    Store {
        /// Deliveries on 64 writers
        #[arg(long, default_value_t = 20_000)]
        messages: u32,
        /// Messages in the mailbox that is listed
        #[arg(long, default_value_t = 100_000)]
        listed: u32,
        /// Messages in the store that is opened after a kill
        #[arg(long, default_value_t = 500_000)]
        opened: u32,
    },
}

fn main() -> ExitCode {
    let Cli { on, harness } = Cli::parse();
    let run = || run(&Server::program()?, &ground(&on)?, &harness, Dice::from_env());
    match run() {
        Ok(report) => ExitCode::from(u8::from(writeln!(std::io::stdout(), "{report}").is_err())),
        // Standard output too: it is what the soak page keeps.
        Err(error) => ExitCode::from(1 + u8::from(writeln!(std::io::stdout(), "{error:#}").is_err())),
    }
}

fn ground(on: &str) -> anyhow::Result<Ground> {
    match on {
        "postgres" => Ground::postgres(),
        "embedded" => Ok(Ground::embedded()),
        _ => anyhow::bail!("this harness was built without {on}"),
    }
}

fn run(program: &Path, ground: &Ground, harness: &Harness, dice: Dice) -> anyhow::Result<String> {
    match harness {
        Harness::Kill { full } => {
            kill::run(program, ground, if *full { kill::Size::FULL } else { kill::Size::SMALL }, dice)
        }
        Harness::Markers { full } => markers::run(program, ground, if *full { 300 } else { 2 }, dice),
        Harness::Flips { full, changes } => {
            flips::run(program, ground, if *full { 3_000 } else { *changes }, dice)
        }
        Harness::Mbsync { full } => mbsync::run(program, if *full { 10_000 } else { 1_000 }, dice),
        Harness::Yesterday { .. } => yesterday::run(program, dice),
        Harness::Backup { full } => {
            backup::run(program, if *full { backup::Size::FULL } else { backup::Size::SMALL }, dice)
        }
        Harness::Death { .. } => death::run(program, dice),
        Harness::Code { full } => code::run(program, if *full { 5_000 } else { 200 }, dice),
        Harness::Peers { .. } => peers::run(program, dice),
        Harness::Library { script } => people::imap_library(program, script),
        Harness::Loop { script, shots } => people::newcomers_loop(program, script, shots),
        Harness::Bench { bench: Bench::Smtp { messages, single, connections, body, inbound } } => {
            let (body, inbound) = (*body, *inbound);
            let size =
                bench::Size { single: *single, many: *messages, connections: *connections, body, inbound };
            bench::smtp(program, size)
        }
        #[cfg(feature = "ground")]
        Harness::Bench { bench: Bench::Store { messages, listed, opened } } => {
            use sealpost_testkit::harness::store;
            let size = store::Size { messages: *messages, listed: *listed, opened: *opened };
            store::run(ground, size, dice)
        }
    }
}
