//! Whether the sealed bodies are looked after: nothing damaged, nothing left waiting, everything read again in time.

use std::time::Duration;

use anyhow::Result;

use super::{Findings, Scene};
use crate::instance::Opened;

const AREA: &str = "bodies";

pub(super) async fn check(_scene: &Scene<'_>, opened: &Opened, found: &mut Findings) -> Result<()> {
    let rules = sealpost_archive::Rules::default();
    let status = sealpost_store::blob::status(&opened.store).await?;
    let now = opened.clock.now();
    for (pack, at) in &status.damaged {
        found.fail(
            AREA,
            format!("pack {pack} is not what was written from byte {at} on"),
            "restore it from a backup: `sealpost backup restore` says how",
        );
    }
    if status.unreadable > 0 {
        found.fail(
            AREA,
            format!("{} bodies are damaged and could not be archived", status.unreadable),
            "`sealpost archive verify` names them; restore them from a backup",
        );
    }
    let late = rules.scrub.saturating_add(Duration::from_secs(7 * 86_400));
    if status.scrubbed.is_some_and(|oldest| now.since(oldest) > late) {
        found.warn(
            AREA,
            "some packs were not read again for longer than they should be",
            "let the server run, or run `sealpost blobs scrub`",
        );
    }
    if status.damaged.is_empty() && status.unreadable == 0 {
        let bodies: u64 = status.bodies.iter().map(|(count, _)| count).sum();
        found.ok(
            AREA,
            format!("{bodies} bodies, none known to be damaged; {} wait for the archive", status.awaiting),
        );
    }
    Ok(())
}
