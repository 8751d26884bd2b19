//! The log's anchors, and whether the log stands still.

use anyhow::Result;
use sealpost_audit::{AnchorState, Report};

use super::{Findings, Scene};
use crate::config::AnchorAt;
use crate::instance::Opened;

/// What the server wrote down of its anchors.
pub(super) async fn check(scene: &Scene<'_>, opened: &Opened, found: &mut Findings) -> Result<()> {
    let anchors = scene.config.anchors()?;
    if anchors.is_empty() {
        found.warn(
            "anchor",
            "no [audit] anchor is configured, so that a log that was cut or put back can't be told",
            "name a file, best on another host's disk",
        );
    }
    for at in &anchors {
        if let AnchorAt::File(path) = at
            && !path.exists()
        {
            found.warn(
                "anchor",
                format!(
                    "{} is not there yet; the server writes it within a second of its first entry",
                    path.display()
                ),
                "if it was there before, somebody removed it: find out who",
            );
        }
    }
    let names: Vec<String> = crate::anchor::witnesses(scene.config, &crate::anchor::Post::default())?
        .iter()
        .map(|w| w.name())
        .collect();
    for status in sealpost_audit::anchor_statuses(&opened.store).await? {
        if !names.contains(&status.name) {
            continue;
        }
        if let Some((since, why)) = status.failing {
            found.fail(
                "anchor",
                format!("{} takes no checkpoints since {}: {why}", status.name, since.rfc3339()),
                "mend it or name another place; the log goes on meanwhile, but nobody elsewhere knows of it",
            );
        } else if let Some(written) = status.written {
            found.ok(
                "anchor",
                format!("{} took checkpoints, last told on {}", status.name, written.rfc3339()),
            );
        }
    }
    Ok(())
}

/// What the proof of the log says of anchors and of standing still.
pub(super) fn log(scene: &Scene<'_>, log: &Report, found: &mut Findings) {
    for anchor in &log.anchors {
        match &anchor.held {
            Err(why) if anchor.damaged => {
                found.fail("anchor", format!("{}: {why}", anchor.name), "find out who changed it")
            }
            Err(why) => found.warn(
                "anchor",
                format!("{} can't be asked: {why}", anchor.name),
                "mend it, and check again",
            ),
            Ok(_) => {}
        }
    }
    if log.is_sound() && log.anchor == AnchorState::Agrees {
        found.ok("anchor", "the anchor agrees: what it knows is in the log");
    }
    for tenant in &log.tenants {
        for lost in &tenant.lost {
            found.ok("log", format!("log of tenant {}: {lost}", tenant.tenant));
        }
        if let (Some(since), true) = (tenant.waiting, scene.running) {
            found.fail(
                "log",
                format!("log of tenant {}: entries wait since {}", tenant.tenant, since.rfc3339()),
                "read the server's log: its sequencer stands still",
            );
        }
        for silence in &tenant.silences {
            match silence.before {
                None if scene.running => found.fail(
                    "log",
                    silence.to_string(),
                    "the server runs and its log stands still: read its log, and restart it",
                ),
                // A server that was killed and not started again.
                None => {}
                Some(_) if silence.restarted => found.ok("log", silence.to_string()),
                Some(_) => found.warn(
                    "log",
                    silence.to_string(),
                    "find out what happened then: the machine slept, or somebody stopped the process",
                ),
            }
        }
    }
}
