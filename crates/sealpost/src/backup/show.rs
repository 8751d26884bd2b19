//! `sealpost backup status` and `list`, and the line that shows how far something is.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::{Result, ensure};
use sealpost_backup::{place, sets_at};
use serde_json::{Value, json};

use crate::control::client::{How, ask, show};
use crate::control::{Act, backup};

pub fn status(how: &How) -> Result<ExitCode> {
    show(how, ask(how, Act::Backup(backup::Act::Status))?)
}

/// What lies at the places. Nothing is opened, so no key is needed.
pub fn list(how: &How, from: Option<&str>) -> Result<ExitCode> {
    let places: Vec<String> = match from {
        Some(place) => vec![place.to_owned()],
        None => {
            let config = how.load()?;
            [config.backup.daily, config.backup.weekly].into_iter().flatten().collect()
        }
    };
    ensure!(!places.is_empty(), "no place of backups is configured; name one with --from");
    let (mut text, mut rows) = (String::new(), String::new());
    for name in places {
        let sets = sets_at(&*place::open(&name)?)?;
        writeln!(text, "{name}: {} set(s)", sets.len())?;
        for set in sets {
            let (kind, created) = (set.kind.word(), set.created.rfc3339());
            writeln!(text, "{:>12}  {kind:6}  {created}", set.set)?;
            let row =
                json!({"place": name, "id": set.set, "kind": kind, "created": created, "life": set.life});
            writeln!(rows, "{row}")?;
        }
    }
    crate::print(if how.json { &rows } else { &text })?;
    Ok(ExitCode::SUCCESS)
}

/// Shows how far something is, on standard error: over itself where a person looks, and else not at all. `null` ends it.
pub fn progress_line(progress: &Value) {
    let mut out = std::io::stderr().lock();
    if !out.is_terminal() {
        return;
    }
    let shown = if progress.is_null() {
        write!(out, "\r\x1b[K")
    } else {
        let number = |key: &str| progress[key].as_u64().unwrap_or(0);
        let (done, total) = (number("done"), number("total"));
        let percent = (done.min(total) * 100).checked_div(total).unwrap_or(0);
        let left = progress["left"].as_u64().map_or(String::new(), |left| format!(", {left} s left"));
        let (phase, rate) = (progress["phase"].as_str().unwrap_or(""), number("rate") >> 20);
        write!(
            out,
            "\r\x1b[K{percent:>3} %  {phase}, {} of {} MiB, {rate} MiB/s{left}",
            done >> 20,
            total >> 20
        )
    };
    // Whoever closed it has seen enough.
    drop(shown.and_then(|()| out.flush()));
}
