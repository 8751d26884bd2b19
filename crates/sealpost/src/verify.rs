//! Offline proofs: of the log, and of the archive.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use sealpost_archive::Archive;
use sealpost_audit::{Coverage, Object, ObjectKind, Standing, Verify};
use sealpost_model::{BlobId, Id, JournalId};
use serde_json::json;

use crate::Which;
use crate::instance::{Mode, Opened};

/// `sealpost audit ...`
#[derive(Subcommand)]
pub enum AuditCommand {
    /// Recomputes every log's tree from its rows and holds it against signatures and anchor. Needs no server.
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

/// What covers the tables of crates that have no word of their own for it.
const COVERAGE: &[Coverage] = &[
    Coverage { table: "journal", by: "cited by accept entries; MAC over its plain columns; sealed columns" },
    Coverage { table: "blob", by: "cited through the journal; each chunk sealed; SHA-256 in the journal's envelope" },
];

pub async fn audit(command: AuditCommand) -> Result<ExitCode> {
    let AuditCommand::Verify { which, json } = command;
    let config = which.load()?;
    let opened = Opened::open(&config, Mode::Look).await?;
    let store = opened.store.clone();
    let mut cited = |_, objects: &[Object]| {
        let objects = objects.to_vec();
        store.read_blocking(move |tx| {
            objects
                .iter()
                .map(|o| match o.kind {
                    ObjectKind::Journal => {
                        let there = sealpost_archive::journal::exists(tx, JournalId::from_raw(o.id))?;
                        Ok(if there { Standing::Good } else { Standing::Missing })
                    }
                    ObjectKind::Blob => {
                        let there = sealpost_store::blob::locate(tx, BlobId::from_raw(o.id))?.is_some();
                        Ok(if there { Standing::Good } else { Standing::Missing })
                    }
                    // What people may remove (entries), and what has MACs of its own (submissions, the ledger).
                    _ => Ok(Standing::Good),
                })
                .collect()
        })
    };
    let report = sealpost_audit::verify(Verify {
        store: &opened.store,
        keys: &opened.keys,
        anchor: config.audit.anchor.as_deref(),
        cited: Some(&mut cited),
        coverage: COVERAGE,
    })
    .await?;
    if json {
        crate::print(&format!("{}\n", json!({"sound": report.is_sound(), "verdict": report.verdict(), "report": report.to_string()})))?;
    } else {
        crate::print(&report.to_string())?;
    }
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
            crate::print(&format!("journal {}, blob {}: {}\n", fault.journal, fault.blob, fault.what))?;
        }
        let verdict = if report.faults.is_empty() { "all whole" } else { "NOT whole" };
        crate::print(&format!(
            "{} messages, {} bytes in the journal: {verdict}\n",
            report.rows, report.bytes
        ))?;
    }
    Ok(if report.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
