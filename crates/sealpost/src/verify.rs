//! The offline proof of the archive.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use sealpost_archive::Archive;
use serde_json::json;

use crate::Which;
use crate::instance::{Mode, Opened};

/// `sealpost archive ...`
#[derive(Subcommand)]
pub enum ArchiveCommand {
    /// Opens every message of the journal and holds it against its hash. Shows no content and needs no server.
    Verify {
        #[command(flatten)]
        which: Which,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub async fn archive(command: ArchiveCommand) -> Result<ExitCode> {
    let ArchiveCommand::Verify { which, json } = command;
    let config = which.load()?;
    let opened = Opened::open(&config, Mode::Look).await?;
    let archive = Archive::new(opened.store.clone(), opened.keys.clone(), opened.random.clone());
    let report = sealpost_archive::verify::run(&opened.store, &archive, |_| {}).await?;
    if json {
        let faults = serde_json::to_value(&report.faults)?;
        crate::print(&format!(
            "{}\n",
            json!({"journal": report.rows, "bytes": report.bytes, "faults": faults})
        ))?;
    } else {
        for fault in &report.faults {
            crate::print(&format!(
                "{} is wrong: journal {}, blob {}: {}\n",
                fault.table, fault.journal, fault.blob, fault.what
            ))?;
        }
        let verdict = if report.faults.is_empty() { "all whole" } else { "NOT whole" };
        crate::print(&format!(
            "{} messages, {} bytes in the journal: {verdict}\n",
            report.rows, report.bytes
        ))?;
    }
    crate::offline::leave(&config, &opened, "archive verify", report.faults.is_empty()).await?;
    Ok(if report.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
