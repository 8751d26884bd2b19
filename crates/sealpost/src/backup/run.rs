//! `sealpost backup run`: has the server make a set, and waits for it.

use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sealpost_backup::Kind;
use serde_json::{Value, json};

use super::show::progress_line;
use crate::control::client::{How, Reply, ask};
use crate::control::{Act, backup};

/// How often the server is asked how far it is.
const LOOK: Duration = Duration::from_millis(300);

pub fn run(how: &How, kind: Kind) -> Result<ExitCode> {
    let before = last(how, kind)?;
    rows(ask(how, Act::Backup(backup::Act::Run { kind }))?)?;
    let (_silent, pause) = mpsc::channel::<()>();
    loop {
        // Nobody sends: this only waits.
        let _ = pause.recv_timeout(LOOK);
        let row = standing(how, kind)?;
        if let Some(progress) = row.get("running").filter(|p| !p.is_null()) {
            progress_line(progress);
            continue;
        }
        progress_line(&Value::Null);
        if row["last"] != before {
            let set = row["sets"][0].clone();
            let text = format!(
                "Set {} is whole: {} bytes, {} of them new at {}.\n",
                set["id"],
                set["bytes"],
                set["added"],
                row["place"].as_str().unwrap_or_default()
            );
            let out = json!({"kind": kind, "place": row["place"], "set": set});
            crate::print(&if how.json { format!("{out}\n") } else { text })?;
            return Ok(ExitCode::SUCCESS);
        }
        match row["failure"].as_str() {
            Some(why) => bail!("{why}"),
            None => bail!("the backup was stopped; it goes on at the next start"),
        }
    }
}

fn standing(how: &How, kind: Kind) -> Result<Value> {
    let rows = rows(ask(how, Act::Backup(backup::Act::Status))?)?;
    rows.into_iter().find(|row| row["kind"] == kind.word()).context("the server knows no such kind of backup")
}

fn rows(reply: Reply) -> Result<Vec<Value>> {
    match reply {
        Reply::Done { rows, .. } => Ok(rows),
        Reply::Refused(words) => bail!("{words}"),
        Reply::Follows { .. } => {
            bail!("the server answers in another way; is it another version than this program?")
        }
    }
}

fn last(how: &How, kind: Kind) -> Result<Value> {
    Ok(standing(how, kind)?["last"].clone())
}
