//! The database server: whether what it acknowledges is on its disk.

use anyhow::Result;

use super::{Findings, Scene};
use crate::instance::Opened;

pub(super) async fn check(_scene: &Scene<'_>, opened: &Opened, found: &mut Findings) -> Result<()> {
    let Some(risks) = opened.store.database_risks().await? else { return Ok(()) };
    for setting in &risks {
        found.warn(
            "database",
            format!("PostgreSQL runs with {setting} = off, so that a power cut may lose or damage what was acknowledged"),
            format!("set {setting} = on in postgresql.conf"),
        );
    }
    if risks.is_empty() {
        found.ok("database", "PostgreSQL keeps what it acknowledges");
    }
    Ok(())
}
