//! What offline commands leave for the log: `DATA/offline.log`, put into it by the server (S55).
//!
//! A command that runs beside the server, or without one, can't write rows. It appends a line to this file: sealed under a key
//! of the instance's records, bound to its number and to the line before it, so that a line can't be changed, taken out of
//! the middle or moved. Who removes the file, or its end, before the next start removes what was not in the log yet: that
//! is root of this machine, and `docs/audit.md` says so. A running server takes the file within seconds.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sealpost_crypto::{Aad, Key, Random, sha256};
use sealpost_model::{Actor, Client, Protocol, Time};
use sealpost_store::keys::{Keys, Root};
use sealpost_store::{Scope, params};
use serde::{Deserialize, Serialize};

use crate::{Audit, Caller, Draft, Error, Outcome, Verb, insert, schema};

/// What an offline command did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Act {
    /// When.
    pub at: i64,
    /// The command's words: `audit verify`.
    pub command: String,
    /// The user who ran it.
    pub uid: u32,
    /// Whether it was done.
    pub done: bool,
    /// What there is to say of it. It is sealed.
    pub note: String,
}

impl Act {
    /// `uid` ran `command` at `at`.
    pub fn new(at: Time, uid: u32, command: impl Into<String>) -> Self {
        Self { at: at.millis(), command: command.into(), uid, done: true, note: String::new() }
    }

    /// It was not done, or found something wrong.
    #[must_use]
    pub fn failed(mut self) -> Self {
        self.done = false;
        self
    }

    /// What there is to say of it.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }
}

/// Leaves an entry in the data folder, synced; a new file belongs to whom the folder belongs.
///
/// # Errors
/// The keys', and [`Error::Journal`] when the file can't be written, or is not what was written: a command that can't be put
/// down is not to be run, unless the data is a copy that nothing can be written to.
pub async fn leave(data: &Path, keys: &Keys, random: &Random, act: &Act) -> Result<(), Error> {
    let key = key(keys).await?;
    let path = data.join(FILE);
    let mut file = lock(&path).map_err(failed)?;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    let count = text.lines().count() as i64;
    let before = text.lines().last().map_or([0; 32], |line| sha256(line.as_bytes()));
    let plain = postcard::to_allocvec(act).expect("plain data");
    let sealed = key.seal(random, &aad(count, &before), &plain);
    file.seek(std::io::SeekFrom::End(0)).map_err(failed)?;
    file.write_all(format!("{}\n", BASE64_STANDARD.encode(sealed)).as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)
}

impl Audit {
    /// Puts into the log what offline commands have left.
    pub(crate) async fn ingest_offline(&self) -> Result<(), Error> {
        let path = self.inner.store.data().join(FILE);
        if !path.exists() {
            return Ok(());
        }
        let key = key(&self.inner.keys).await?;
        let mut file = lock(&path).map_err(failed)?;
        let mut text = String::new();
        let read = file.read_to_string(&mut text);
        let (mut acts, mut before, mut damaged) = (Vec::new(), [0; 32], read.is_err());
        for (number, line) in text.lines().enumerate() {
            let act = BASE64_STANDARD
                .decode(line)
                .ok()
                .and_then(|sealed| key.open(&aad(number as i64, &before), &sealed).ok())
                .and_then(|plain| postcard::from_bytes::<Act>(&plain).ok());
            match act {
                Some(act) => acts.push(act),
                None => damaged = true,
            }
            before = sha256(line.as_bytes());
        }
        let keys = self.inner.keys.tenant(crate::instance()).await?;
        let mut entries: Vec<_> = acts.iter().map(|act| self.seal_with(&keys, &draft(act))).collect();
        if damaged {
            tracing::error!("what offline commands left for the log is not what was written");
            let Caller { actor, client } = Caller::SYSTEM;
            let told = Draft::new(crate::instance(), &actor, &client, Verb::JournalDamaged)
                .failed()
                .reason("offline-log-changed");
            entries.push(self.seal_with(&keys, &told));
        }
        // If the file comes back after a crash, it is known by its end.
        let mark = before.to_vec();
        self.inner
            .store
            .write(Scope::instance(), move |tx| {
                if tx.exists(&schema::OFFLINE_KNOWN, params![mark])? {
                    return Ok(());
                }
                tx.execute(&schema::OFFLINE_FORGET, params![])?;
                tx.execute(&schema::OFFLINE_MARK, params![mark])?;
                entries.iter().try_for_each(|entry| insert(tx, entry))
            })
            .await?;
        let gone = if damaged {
            std::fs::rename(&path, path.with_extension("damaged"))
        } else {
            std::fs::remove_file(&path)
        };
        drop(file);
        gone.map_err(failed)
    }
}

fn draft(act: &Act) -> Draft {
    let (actor, client) = (Actor::Operator { uid: act.uid }, Client::local(Protocol::Cli));
    let draft = Draft::new(crate::instance(), &actor, &client, Verb::Command)
        .detail(act.command.clone())
        .note("at", Time::from_millis(act.at).rfc3339())
        .reason("offline");
    let draft = if act.note.is_empty() { draft } else { draft.note("said", act.note.clone()) };
    if act.done { draft } else { draft.ended(Outcome::Failed) }
}

async fn key(keys: &Keys) -> Result<Key, Error> {
    Ok(keys.tenant(crate::instance()).await?.derive(Root::Records, "offline commands"))
}

fn aad(number: i64, before: &[u8; 32]) -> Aad {
    Aad::new(crate::instance(), "offline", number, "act").with(before)
}

/// Opens the file, for this process alone. One that was taken away meanwhile is opened anew.
fn lock(path: &PathBuf) -> std::io::Result<File> {
    loop {
        let fresh = !path.exists();
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        file.lock()?;
        let (mine, folder) = (file.metadata()?, path.parent().unwrap_or(Path::new(".")).metadata()?);
        if fresh && mine.uid() != folder.uid() {
            std::os::unix::fs::fchown(&file, Some(folder.uid()), Some(folder.gid()))?;
        }
        if path.metadata().is_ok_and(|there| there.ino() == mine.ino()) {
            return Ok(file);
        }
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::Journal(format!("{FILE}: {error}"))
}

/// The file's name in the data folder.
pub const FILE: &str = "offline.log";
