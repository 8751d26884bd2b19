//! `sealpost blobs`: how the sealed bodies stand, and their upkeep now.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use clap::Subcommand;
use sealpost_policy::Command;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Peer, Reply, done};
use crate::instance::Instance;

/// What is asked.
#[derive(Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// How many bodies there are and where they lie, what waits, and what is damaged.
    Status,
    /// Ends journal entries past their day and bodies that nothing names any more.
    Collect,
    /// Copies what the journal names to the archive, and frees the room of bodies that ended.
    Compact,
    /// Reads every pack and object again and checks it.
    Scrub,
}

impl Act {
    pub(super) const fn command(&self) -> Command {
        match self {
            Self::Status => Command::BlobStatus,
            Self::Collect | Self::Compact | Self::Scrub => Command::BlobCare,
        }
    }

    pub(super) async fn answer(self, instance: &Instance, peer: &Peer) -> Result<Reply> {
        let upkeep = &instance.upkeep;
        match self {
            Self::Status => status(instance).await,
            Self::Collect => {
                let expired = upkeep.expire().await?;
                let c = upkeep.collect(peer.caller).await?;
                let held = if c.held { " A backup is being made, so nothing was deleted." } else { "" };
                Ok(done(
                    json!({"expired": expired.rows, "expired_left": expired.left, "looked": c.looked, "dying": c.dying,
                        "revived": c.revived, "deleted": c.deleted, "bytes": c.bytes, "objects": c.objects, "held": c.held}),
                    format!(
                        "{} journal entries expired. {} bodies looked at: {} begin to die, {} live on, {} deleted ({} bytes).{held}\n",
                        expired.rows, c.looked, c.dying, c.revived, c.deleted, c.bytes
                    ),
                ))
            }
            Self::Compact => {
                let a = upkeep.archive().await?;
                let c = upkeep.compact(peer.caller).await?;
                Ok(done(
                    json!({"archived": a.bodies, "archived_bytes": a.bytes, "damaged": a.damaged, "copied": c.bodies,
                        "copied_bytes": c.bytes, "empty": c.dying, "removed": c.removed, "stuck": c.stuck}),
                    format!(
                        "{} bodies archived, {} copied out of packs; {} packs are empty, {} were removed, {} can't be emptied.\n",
                        a.bodies, c.bodies, c.dying, c.removed, c.stuck
                    ),
                ))
            }
            Self::Scrub => {
                let s = upkeep.scrub(peer.caller, Duration::ZERO).await?;
                let mut text = format!("{} packs read ({} bytes).\n", s.packs, s.bytes);
                for (pack, at) in &s.damaged {
                    writeln!(
                        text,
                        "pack {pack} is not what was written from byte {at} on: restore it from a backup"
                    )?;
                }
                let damaged: Vec<_> =
                    s.damaged.iter().map(|(pack, at)| json!({"pack": pack, "byte": at})).collect();
                Ok(done(json!({"packs": s.packs, "bytes": s.bytes, "damaged": damaged}), text))
            }
        }
    }
}

async fn status(instance: &Instance) -> Result<Reply> {
    let s = sealpost_store::blob::status(&instance.store).await?;
    let mut text = String::new();
    let [rows, packs, objects] = s.bodies;
    for (place, (count, bytes)) in [("rows", rows), ("packs", packs), ("objects", objects)] {
        writeln!(text, "{count:>10} bodies in {place:8} {bytes:>16} bytes")?;
    }
    for p in &s.packs {
        writeln!(
            text,
            "{:>10} packs {:11} {:>16} bytes, {} about to go",
            p.packs,
            p.shelf.word(),
            p.bytes,
            p.dying
        )?;
    }
    writeln!(text, "{} wait for the archive, {} are in their grace", s.awaiting, s.dying)?;
    if s.unreadable > 0 {
        writeln!(text, "{} bodies are damaged and could not be archived", s.unreadable)?;
    }
    for (pack, at) in &s.damaged {
        writeln!(text, "pack {pack} is not what was written from byte {at} on")?;
    }
    let shelves: Vec<_> = s
        .packs
        .iter()
        .map(|p| json!({"shelf": p.shelf.word(), "packs": p.packs, "dying": p.dying, "bytes": p.bytes}))
        .collect();
    let place = |(count, bytes)| json!({"bodies": count, "bytes": bytes});
    let row = json!({
        "rows": place(rows), "packs": place(packs), "objects": place(objects), "shelves": shelves,
        "awaiting": s.awaiting, "unreadable": s.unreadable, "dying": s.dying, "dead_objects": s.dead_objects,
        "collected": s.collected.map(|t| t.rfc3339()), "scrubbed": s.scrubbed.map(|t| t.rfc3339()),
        "damaged": s.damaged.iter().map(|(pack, at)| json!({"pack": pack, "byte": at})).collect::<Vec<_>>(),
    });
    Ok(done(row, text))
}
