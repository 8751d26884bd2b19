//! Offline proofs: of the log, and of the archive.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use sealpost_archive::Archive;
use serde_json::json;

use crate::instance::{Mode, Opened};
use crate::{Which, proof};

/// `sealpost audit ...`
#[derive(Subcommand)]
pub enum AuditCommand {
    /// Recomputes every log's tree from its rows and holds it against signatures and anchor, then opens every sealed
    /// column and body of every table. Needs no server.
    Verify {
        #[command(flatten)]
        which: Which,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

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

pub async fn audit(command: AuditCommand) -> Result<ExitCode> {
    let AuditCommand::Verify { which, json } = command;
    let config = which.load()?;
    let opened = Opened::open(&config, Mode::Look).await?;
    let proof = proof::everything(&config, &opened).await?;
    let (log, tables) = (&proof.log, &proof.tables);
    if json {
        crate::print(&format!(
            "{}\n",
            json!({
                "sound": proof.is_sound(),
                "verdict": log.verdict(),
                "report": log.to_string(),
                "rows": tables.rows,
                "faults": tables.faults,
                "more": tables.more,
            })
        ))?;
    } else {
        let rows: u64 = tables.rows.values().sum();
        let verdict = if tables.faults.is_empty() {
            "all as they were written"
        } else {
            "NOT all as they were written"
        };
        crate::print(&format!(
            "{}{log}{rows} rows of {} tables, {} bytes in the journal: {verdict}\n",
            proof::lines(&tables.faults, tables.more),
            tables.rows.len(),
            proof.journal.bytes
        ))?;
    }
    Ok(if proof.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
    Ok(if report.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
