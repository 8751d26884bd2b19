//! `sealpost backup run` and `sealpost backup status`: what the running server does about backups.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use sealpost_backup::{Kind, SetRow, Standing};
use sealpost_model::Time;
use sealpost_policy::Command;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Peer, Reply, done};
use crate::instance::Instance;

/// What is asked.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Begins a set.
    Run {
        /// Of which kind.
        kind: Kind,
    },
    /// How backups stand.
    Status,
}

impl Act {
    pub(super) const fn command(&self) -> Command {
        match self {
            Self::Run { .. } => Command::BackupRun,
            Self::Status => Command::BackupList,
        }
    }

    pub(super) async fn answer(self, instance: &Instance, _: &Peer) -> Result<Reply> {
        match self {
            Self::Run { kind } => run(instance, kind).await,
            Self::Status => status(instance).await,
        }
    }
}

/// Begins in the background; whoever asked looks at the status until it is done.
async fn run(instance: &Instance, kind: Kind) -> Result<Reply> {
    let standing = instance.backup.standing().await?;
    if standing.iter().any(|s| s.running.is_some()) {
        bail!("a backup is being made just now; `sealpost backup status` shows how far it is");
    }
    drop(instance.backup.place(kind)?);
    let backup = instance.backup.clone();
    tokio::spawn(async move {
        match backup.run(kind).await {
            Ok(set) => tracing::info!(set = %set.id, kind = kind.word(), "a backup set is whole"),
            Err(error) => tracing::error!(%error, kind = kind.word(), "no backup was made"),
        }
    });
    Ok(done(json!({"kind": kind, "begun": true}), format!("A {} set is being made.\n", kind.word())))
}

async fn status(instance: &Instance) -> Result<Reply> {
    let (mut rows, mut text) = (Vec::new(), String::new());
    for standing in instance.backup.standing().await? {
        let failure = instance.backup.failure(standing.kind);
        words(&standing, failure.as_deref(), &mut text)?;
        rows.push(row(&standing, failure));
    }
    text.push_str(
        "Each set holds every message with its folder, flags and dates, the log, people and settings. It never holds \
         the keys that open it.\n",
    );
    Ok(Reply::Done { rows, text })
}

/// What, when, where, last success, last proof (S75).
fn words(s: &Standing, failure: Option<&str>, text: &mut String) -> Result<()> {
    let kind = s.kind.word();
    let Some(place) = &s.place else {
        writeln!(text, "{kind}: not set up. Name a place in `[backup] {kind}`.")?;
        return Ok(());
    };
    writeln!(text, "{kind}: to {place}, the newest {} are kept", s.kind.kept())?;
    if let Some(p) = &s.running {
        let left = p.left.map_or(String::new(), |left| format!(", about {left} s left"));
        writeln!(text, "    now: {}, {} %{left}", p.phase, p.percent())?;
    }
    let time = |t: Option<Time>| t.map_or("never".into(), Time::rfc3339);
    writeln!(text, "    last success: {}", time(s.last))?;
    writeln!(text, "    last proved by a restore: {}", time(s.verified))?;
    writeln!(text, "    next: {}", time(s.next))?;
    if let Some(why) = failure {
        writeln!(text, "    the last try failed: {why}")?;
    }
    for set in &s.sets {
        let proved = set.verified.map_or("not proved yet".into(), |t| format!("proved {}", t.rfc3339()));
        writeln!(text, "    {:>12}  {}  {} bytes, {proved}", set.id, set.created.rfc3339(), set.bytes)?;
    }
    Ok(())
}

fn row(s: &Standing, failure: Option<String>) -> Value {
    let time = |t: Option<Time>| t.map(Time::rfc3339);
    let set = |set: &SetRow| {
        json!({
            "id": set.id,
            "created": set.created.rfc3339(),
            "bytes": set.bytes,
            "added": set.added,
            "verified": time(set.verified),
        })
    };
    json!({
        "kind": s.kind,
        "place": s.place,
        "kept": s.kind.kept(),
        "last": time(s.last),
        "verified": time(s.verified),
        "next": time(s.next),
        "running": s.running,
        "failure": failure,
        "sets": s.sets.iter().map(set).collect::<Vec<_>>(),
    })
}
