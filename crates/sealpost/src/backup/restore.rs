//! `sealpost backup restore`: the way back after a disaster (DESIGN section 8).
//!
//! In this order, so that nobody serves what is half there: a marker; the key ring, with the destructions since its backup
//! replayed; the bodies; the rows; then what makes a restored instance one: the queue is held, folders get a new UIDVALIDITY,
//! waiting messages end, nobody is signed in, and the log goes on with the word of the break. The marker goes last.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use sealpost_audit::{Caller, Restored};
use sealpost_backup::open_with;
use sealpost_crypto::Random;
use sealpost_delivery::Held;
use sealpost_model::{Actor, BackupId, Client, Id as _, Protocol};
use sealpost_store::keys::Master;
use sealpost_store::ring::Ring;
use serde_json::{Value, json};

use super::{Found, WhichSet, find, scratch};
use crate::config::Config;
use crate::control::client::How;
use crate::instance::{Instance, Mode, Opened, Owner, SCHEMAS, make_folder, system_clock};

/// Says that a restore has begun and not ended; holds the id of the set.
pub fn marker(config: &Config) -> PathBuf {
    config.server.data.join("restoring")
}

pub async fn run(how: &How, which: &WhichSet, ring_file: Option<PathBuf>) -> Result<ExitCode> {
    let config = how.load()?;
    let (clock, random) = (system_clock(), Random::system());
    let master = crate::master::open(&config)?;
    let begun = began(&config)?;
    let destroyed = bring_ring(&config, &master, &random, ring_file.as_deref())?;
    let ring = Ring::look(crate::master::places(&config), &master)?;
    let which = WhichSet { set: which.set.or(begun), from: which.from.clone() };
    let Found { place, header } = find(&config, &which, |header| ring.key(header.life).is_some())?;
    if let Some(other) = begun.filter(|set| *set != header.set.raw()) {
        bail!(
            "a restore of set {other} has begun here; go on with that one, or empty {} first",
            config.server.data.display()
        );
    }
    let own = sealpost_store::Options::embedded(config.server.data.clone(), clock.clone(), random.clone());
    let options = sealpost_store::Options { engine: config.engine()?, ..own };
    make_folder(&config.server.data)?;
    mark(&config, &options, header.set.raw())?;
    let started = clock.now();
    let (rows, bytes) = scratch::watched(move |watch| {
        let opened = open_with(&*place, header, |life| ring.key(life))?;
        match opened.restore(&options, SCHEMAS, watch) {
            // An earlier try had all of it, and was cut off behind that.
            Err(sealpost_backup::Error::Store(sealpost_store::Error::NotEmpty { .. })) if begun.is_some() => {
            }
            done => done?,
        }
        Ok((opened.manifest.rows(), opened.manifest.bytes()))
    })
    .await?;
    let mut report = settle(&config, header.set.raw(), header.created.rfc3339()).await?;
    std::fs::remove_file(marker(&config))?;
    if let Some(owner) = Owner::of(&config.server.data) {
        owner.take(&config.server.data)?;
    }
    let seconds = clock.now().since(started).as_secs_f64();
    if let Some(report) = report.as_object_mut() {
        report.extend([
            ("set".into(), json!(header.set)),
            ("created".into(), json!(header.created.rfc3339())),
            ("rows".into(), json!(rows)),
            ("bytes".into(), json!(bytes)),
            ("seconds".into(), json!(seconds)),
            ("keys_destroyed_again".into(), json!(destroyed)),
        ]);
    }
    crate::print(&if how.json { format!("{report}\n") } else { words(&report) })?;
    Ok(ExitCode::SUCCESS)
}

/// The set whose restore has begun here.
fn began(config: &Config) -> Result<Option<i64>> {
    match std::fs::read_to_string(marker(config)) {
        Ok(text) => text
            .trim()
            .parse()
            .map(Some)
            .with_context(|| format!("{} is no mark of ours", marker(config).display())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).with_context(|| format!("{} can't be read", marker(config).display())),
    }
}

/// Marks the folder, unless there is data in it that is nobody's to go over.
fn mark(config: &Config, options: &sealpost_store::Options, set: i64) -> Result<()> {
    let path = marker(config);
    if path.exists() {
        return Ok(());
    }
    if options.engine.is_taken()? || options.data.join("store.db").exists() {
        bail!(
            "{} holds data already, and nothing is ever restored over data: choose an empty folder, or move this one away",
            options.data.display()
        );
    }
    crate::instance::write_new(&path, format!("{set}\n").as_bytes())
}

/// Brings the key ring back, if it was asked for. Answers how many keys died again. One that is there and opens with
/// this master stays: an earlier try may have brought it and been cut off, and a living ring knows more than its backup.
fn bring_ring(
    config: &Config,
    master: &Master,
    random: &Random,
    from: Option<&Path>,
) -> Result<Option<usize>> {
    let Some(from) = from else { return Ok(None) };
    if Ring::look(crate::master::places(config), master).is_ok() {
        return Ok(None);
    }
    let now = system_clock().now();
    let facts = Ring::restore(crate::master::places(config), from, master, random, now)
        .with_context(|| format!("the key ring can't be restored from {}", from.display()))?;
    Ok(Some(facts.destroyed_again))
}

/// What makes a restored instance one.
async fn settle(config: &Config, set: i64, created: String) -> Result<Value> {
    let opened = Opened::open(config, Mode::Restored).await?;
    let instance = Instance::start_restored(config, opened).await?;
    // First of all: whatever happens behind this, nothing leaves.
    instance.delivery.hold(Held { since: instance.clock.now(), set }, Vec::new()).await?;
    let folders = instance.mailboxes.after_restore().await?;
    let pickups = instance.pickup.after_restore().await?;
    let sessions = instance.identity.after_restore().await?;
    instance.backup.after_restore(BackupId::from_raw(set)).await?;
    let uid = rustix::process::getuid().as_raw();
    let by = Caller { actor: Actor::Operator { uid }, client: Client::local(Protocol::Control) };
    let backup = format!("set {set} of {created}");
    let gaps = instance.audit.restored(&by, &Restored { backup, ..Restored::default() }).await?;
    let held = held_rows(&instance).await?;
    instance.store.close();
    let gaps: Vec<Value> = gaps
        .iter()
        .map(|g| json!({"log": g.tenant, "from": g.from, "newest": g.newest, "entry": g.entry}))
        .collect();
    Ok(
        json!({"folders": folders, "pickups_ended": pickups, "sessions_ended": sessions, "held": held, "gaps": gaps}),
    )
}

async fn held_rows(instance: &Instance) -> Result<usize> {
    let (mut after, mut held) = (None, 0);
    loop {
        let page = instance.delivery.held_rows(after).await?;
        let Some(last) = page.last() else { return Ok(held) };
        after = Some(last.id);
        held += page.len();
    }
}

fn words(r: &Value) -> String {
    let lost: Vec<String> = r["gaps"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|gap| !gap["newest"].is_null())
        .map(|gap| format!("    log {}: entries {} to {} are lost\n", gap["log"], gap["from"], gap["newest"]))
        .collect();
    format!(
        "Set {} of {} is back: {} rows, {} bytes, in {:.1} s.\n{}\
         {} folders have a new UIDVALIDITY, so mail programs fetch them anew.\n\
         {} waiting messages ended, {} web sessions ended.\n\
         The queue is held with {} message(s). Start the server, look at `sealpost queue held`, then \
         `sealpost queue release --as ADDRESS`.\n",
        r["set"],
        r["created"].as_str().unwrap_or_default(),
        r["rows"],
        r["bytes"],
        r["seconds"].as_f64().unwrap_or_default(),
        lost.concat(),
        r["folders"],
        r["pickups_ended"],
        r["sessions_ended"],
        r["held"],
    )
}
