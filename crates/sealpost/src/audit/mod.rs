//! `sealpost audit`: proofs of the log, and the log as files that prove themselves.

mod export;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use crate::Which;
use crate::control::audit::{Act, Ask};
use crate::control::client::{self, How};

/// `sealpost audit ...`
#[derive(Subcommand)]
pub enum AuditCommand {
    /// Recomputes every log's tree from its rows and holds it against signatures and anchors, then opens every sealed
    /// column and body of every table. With --export it verifies such a file instead, without data and keys. Needs no
    /// server.
    Verify {
        #[command(flatten)]
        which: Which,
        /// A file that `audit export` made.
        #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "data"])]
        export: Option<PathBuf>,
        /// What is known of the log's key from elsewhere: its fingerprint, or the key itself.
        #[arg(long, value_name = "KEY", requires = "export")]
        key: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Writes a part of the log into a file that proves itself: `audit verify --export`, the page of `audit page`, and
    /// others' tools check it without us.
    Export {
        #[command(flatten)]
        ask: Ask,
        /// The file. It gets its name when it is whole and verifies.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Replace a file of that name.
        #[arg(long)]
        overwrite: bool,
        #[command(flatten)]
        how: How,
    },
    /// Prints the proof that an entry is in the log (a C2SP tlog-proof), or that the log only grew.
    Prove {
        /// The entry's id, as `sealpost log --json` shows it.
        #[arg(required_unless_present = "since")]
        id: Option<i64>,
        /// Instead: that the log of this many entries is the beginning of today's.
        #[arg(long, value_name = "ENTRIES", conflicts_with = "id")]
        since: Option<u64>,
        /// Of the server's own log.
        #[arg(long)]
        server: bool,
        #[command(flatten)]
        how: How,
    },
    /// Prints the log's key and its fingerprint: give them to whoever will check exports, by another way than the files.
    Key {
        /// Of the server's own log.
        #[arg(long)]
        server: bool,
        #[command(flatten)]
        how: How,
    },
    /// Prints the page that verifies exports in a browser, without us and without a network. Needs no server.
    Page,
}

pub async fn run(command: AuditCommand) -> Result<ExitCode> {
    match command {
        AuditCommand::Verify { export: Some(file), key, json, .. } => {
            verify::export(&file, key.as_deref(), json)
        }
        AuditCommand::Verify { which, json, .. } => verify::everything(&which, json).await,
        AuditCommand::Export { ask, out, overwrite, how } => export::run(ask, &out, overwrite, &how),
        AuditCommand::Prove { id, since, server, how } => {
            client::show(&how, client::ask(&how, Act::Prove { id, since, server }.into())?)
        }
        AuditCommand::Key { server, how } => {
            client::show(&how, client::ask(&how, Act::Key { server }.into())?)
        }
        AuditCommand::Page => {
            crate::print(&sealpost_audit::export::page())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
