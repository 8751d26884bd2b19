//! `sealpost audit verify`: the whole data, or an export, without a server.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::instance::{Mode, Opened};
use crate::{Which, proof};

/// Everything that is stored here.
pub async fn everything(which: &Which, json: bool) -> Result<ExitCode> {
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
    crate::offline::leave(&config, &opened, "audit verify", proof.is_sound()).await?;
    Ok(if proof.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A file that `audit export` made, here or elsewhere. Needs neither data nor keys.
pub fn export(file: &Path, key: Option<&str>, json: bool) -> Result<ExitCode> {
    let input = File::open(file).with_context(|| format!("{} can't be read", file.display()))?;
    let report = sealpost_audit::export::verify(BufReader::with_capacity(1 << 16, input), key)
        .with_context(|| format!("{} can't be read to its end", file.display()))?;
    if json {
        let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        crate::print(&format!(
            "{}\n",
            json!({
                "sound": report.is_sound(),
                "log": report.origin,
                "tenant": report.tenant,
                "fingerprint": report.fingerprint,
                "from": report.from,
                "to": report.to,
                "size": report.size,
                "entries": report.entries,
                "opened": report.opened,
                "made": report.made,
                "anchors": report.anchors,
                "restored": report.restored,
                "findings": findings,
                "more": report.more,
            })
        ))?;
    } else {
        let compare = if key.is_none() && report.is_sound() {
            "No key was given: compare the fingerprint with the one that you know (`sealpost audit key` prints it).\n"
        } else {
            ""
        };
        crate::print(&format!("{report}{compare}"))?;
    }
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
