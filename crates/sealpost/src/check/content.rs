//! What is stored: the log, and every row and body against what was written.

use anyhow::Result;

use super::{Findings, Scene};
use crate::instance::Opened;
use crate::proof;

/// Bodies up to which everything is opened without being asked to.
const SMALL: u64 = 20_000;

pub(super) async fn check(scene: &Scene<'_>, opened: &Opened, found: &mut Findings) -> Result<()> {
    let config = scene.config;
    let bodies = sealpost_store::inspect::bodies(&opened.store, SMALL).await?;
    if bodies >= SMALL && !scene.deep {
        found.warn(
            "content",
            format!("there are {SMALL} bodies or more, so that they were not opened"),
            "run `sealpost check --deep`, which takes a while",
        );
        return Ok(());
    }
    match proof::everything(config, opened).await {
        Ok(proof) => report(scene, &proof, bodies, found),
        Err(error) => found.broken("content", &error),
    }
    Ok(())
}

fn report(scene: &Scene<'_>, proof: &proof::Proof, bodies: u64, found: &mut Findings) {
    let log = &proof.log;
    for tenant in &log.tenants {
        let evidence = "keep this data as evidence and compare it with a backup";
        for finding in &tenant.findings {
            found.fail("log", format!("log of tenant {}: {finding}", tenant.tenant), evidence);
        }
        if tenant.more > 0 {
            found.fail("log", format!("log of tenant {}: {} more", tenant.tenant, tenant.more), evidence);
        }
    }
    if log.is_sound() {
        found.ok("log", log.verdict());
    }
    super::anchor::log(scene, log, found);
    for fault in &proof.tables.faults {
        found.fail("content", fault.to_string(), "restore it from a backup");
    }
    if proof.tables.more > 0 {
        found.fail("content", format!("and {} more", proof.tables.more), "restore them from a backup");
    }
    if proof.tables.faults.is_empty() {
        let rows: u64 = proof.tables.rows.values().sum();
        found.ok(
            "content",
            format!(
                "{rows} rows of {} tables and {bodies} bodies are what was written",
                proof.tables.rows.len()
            ),
        );
    }
    if proof.tables.unowned > 0 {
        found.ok(
            "content",
            format!(
                "{} bodies belong to nothing any more and can't be opened by anybody",
                proof.tables.unowned
            ),
        );
    }
}
