//! `sealpost backup verify`: a set counts once it was brought back (S75, 45 CFR 164.308(a)(7)(ii)(D)).
//!
//! It is restored into a scratch folder with the living key ring beside it, every row is held against the set's hashes,
//! and then the same proofs run there as on the living data: each folder, flag and message of each mailbox, each message
//! of the journal with its hash, people, keys, and the tree of each log. The queue and what waits to be picked up are not
//! opened: their keys may have died since the set was made, as they should.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use sealpost_archive::Archive;
use sealpost_backup::{open_with, proof};
use sealpost_crypto::Random;
use sealpost_store::keys::Keys;
use sealpost_store::ring::Ring;
use sealpost_store::{Inspection, Options, Store};
use serde_json::json;

use super::{Found, WhichSet, find, scratch};
use crate::control::client::How;
use crate::instance::{Owner, SCHEMAS, system_clock};

pub async fn run(how: &How, which: &WhichSet, folder: Option<PathBuf>) -> Result<ExitCode> {
    let config = how.load()?;
    let (clock, random) = (system_clock(), Random::system());
    let master = crate::master::open(&config)?;
    let ring = Ring::look(crate::master::places(&config), &master)?;
    let Found { place, header } = find(&config, which, |header| ring.key(header.life).is_some())?;
    let folder =
        folder.unwrap_or_else(|| config.server.data.with_extension(format!("scratch-{}", header.set)));
    if folder.exists() {
        bail!("{} is there already; give another folder with --scratch, or remove it", folder.display());
    }
    let scratch = Scratch(folder);
    let started = clock.now();
    let options = Options::embedded(scratch.0.clone(), clock.clone(), random.clone());
    let (there, keys) = (options.clone(), ring.clone());
    scratch::watched(move |watch| {
        let opened = open_with(&*place, header, |life| keys.key(life))?;
        Ok(opened.restore(&there, SCHEMAS, watch)?)
    })
    .await?;
    let store = Store::open(options, SCHEMAS)?;
    let keys = Keys::open(store.clone(), ring.clone(), &master).await?;
    let mut look = Inspection::new(&store, &keys);
    sealpost_store::keys::inspect(&mut look).await?;
    for damage in sealpost_identity::verify(&store, &keys).await? {
        look.fault(damage.table, damage.id, "", damage.why);
    }
    sealpost_mailbox::inspect(&mut look).await?;
    let archive = Archive::new(store.clone(), keys.clone(), random.clone());
    let journal = sealpost_archive::verify::run(&store, &archive, |_| {}).await?;
    for fault in &journal.faults {
        look.fault(fault.table, fault.journal, "", fault.what.to_string());
    }
    let log = crate::proof::log_alone(&store, &keys).await?;
    let tables = look.finish(0);
    store.close();
    drop(scratch);
    let sound = tables.faults.is_empty() && log.is_sound();
    let at = clock.now();
    if sound && let Some(key) = ring.key(header.life) {
        let path = proof::leave(&config.server.data, header, &key, &random, at)?;
        if let (Some(owner), Some(folder)) = (Owner::of(&config.server.data), path.parent()) {
            owner.take(folder)?;
        }
    }
    let rows: u64 = tables.rows.values().sum();
    let seconds = at.since(started).as_secs_f64();
    let (messages, bytes) = (journal.rows, journal.bytes);
    let report = json!({
        "set": header.set,
        "created": header.created.rfc3339(),
        "sound": sound,
        "verdict": log.verdict(),
        "rows": rows,
        "journal": messages,
        "bytes": bytes,
        "faults": tables.faults,
        "seconds": seconds,
    });
    let verdict = if sound { "all of it is what was written" } else { "NOT all of it is what was written" };
    let text = format!(
        "{}Set {} of {}: {rows} rows, {messages} messages of the journal, {bytes} bytes, in {seconds:.1} s: {verdict}.\n",
        crate::proof::lines(&tables.faults, tables.more),
        header.set,
        header.created.rfc3339(),
    );
    crate::print(&if how.json { format!("{report}\n") } else { text })?;
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A folder that goes away again, however this ends.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "the scratch folder stays");
        }
    }
}
