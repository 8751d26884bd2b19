//! Backups: are there any, how old are they, and was one ever brought back (45 CFR 164.308(a)(7)).

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use sealpost_backup::{Kind, SetRow, place, sets, sets_at};
use sealpost_model::Time;

use super::{Findings, Scene};
use crate::instance::Opened;

const DAY: Duration = Duration::from_secs(86_400);
/// A proof that is older counts no more.
const PROVED: u32 = 35;

/// What is known of sets, held against the schedule.
pub(super) async fn check(scene: &Scene<'_>, opened: &Opened, found: &mut Findings) -> Result<()> {
    let own = &scene.config.backup;
    let rows = sets(&opened.store, &opened.keys).await?;
    let now = opened.clock.now();
    for (kind, place) in [(Kind::Daily, &own.daily), (Kind::Weekly, &own.weekly)] {
        match place {
            None => found.warn(
                "backup",
                format!("no place for {} backups is configured", kind.word()),
                format!("name one in `[backup] {}`; docs/backup.md says how", kind.word()),
            ),
            Some(name) => of_kind(kind, name, &rows, now, scene.running, found),
        }
    }
    if own.daily.is_none() && own.weekly.is_none() {
        return Ok(());
    }
    if own.ring.is_none() {
        found.warn(
            "backup",
            "the key ring is not backed up: without it no set can be opened",
            "name a folder of another disk in `[backup] ring`",
        );
    }
    proof(&rows, now, found);
    Ok(())
}

fn of_kind(kind: Kind, name: &str, rows: &[SetRow], now: Time, running: bool, found: &mut Findings) {
    let word = kind.word();
    let here = match place::open(name).and_then(|place| sets_at(&*place)) {
        Ok(here) => here,
        Err(error) => return found.broken("backup", &anyhow::Error::new(error)),
    };
    let mine = || rows.iter().filter(|s| s.kind == kind && s.is_there());
    let Some(newest) = mine().max_by_key(|s| s.created) else {
        let todo = if running {
            "`sealpost backup run` says why, if it is not being made just now"
        } else {
            "start the server, which makes it"
        };
        return found.fail("backup", format!("there is no {word} backup"), todo);
    };
    let most = match kind {
        Kind::Daily => DAY * 2,
        Kind::Weekly => DAY * 9,
    };
    let made = newest.created.rfc3339();
    let missing = mine().filter(|s| !here.iter().any(|h| h.set == s.id)).count();
    if missing > 0 {
        let mounted = if Path::new(name).exists() { "" } else { " (the folder is not there)" };
        found.fail(
            "backup",
            format!("{missing} {word} set(s) are not at {name}{mounted}"),
            "connect the disk that holds them, or make new ones with `sealpost backup run`",
        );
    } else if now.since(newest.created) > most {
        found.fail(
            "backup",
            format!("the newest {word} backup is of {made}, which is too old"),
            "`sealpost backup status` says why the last try failed",
        );
    } else {
        found.ok("backup", format!("the newest {word} backup is of {made}, at {name}"));
    }
}

fn proof(rows: &[SetRow], now: Time, found: &mut Findings) {
    match rows.iter().filter_map(|s| s.verified).max() {
        Some(at) if now.since(at) < DAY * PROVED => {
            found.ok("backup", format!("a backup was brought back and proved on {}", at.rfc3339()));
        }
        Some(at) => found.warn(
            "backup",
            format!("the last proof of a backup was on {}", at.rfc3339()),
            "prove one with `sealpost backup verify`",
        ),
        None => found.warn(
            "backup",
            "no backup was ever proved by a restore",
            "prove one with `sealpost backup verify`; it disturbs nobody",
        ),
    }
}
