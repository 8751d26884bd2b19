//! The anchor: the newest checkpoint of each log, in a file outside the data folder.
//!
//! Whoever puts yesterday's copy of the data back, or cuts the end of the log off, can't make the anchor forget. So
//! the file never goes backwards: a log that is shorter than its anchor, or has another history, keeps the anchor's
//! note as it is, and `verify` names the gap. The file is text: for each log a line with its tenant and verifier key,
//! then the signed note.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use sealpost_model::{Id, TenantId};

use crate::Error;
use crate::checkpoint::{self, Signed};

/// What an anchor file knows of one log.
#[derive(Clone, Debug)]
pub(crate) struct Anchored {
    pub verifier: String,
    pub signed: Signed,
}

/// All of a file.
pub(crate) type Known = BTreeMap<i64, Anchored>;

/// The file, and what is in it.
pub(crate) struct Anchor {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    known: Known,
    /// Logs that don't contain what is anchored: their notes are evidence and stay.
    frozen: BTreeSet<i64>,
}

impl Anchor {
    /// Reads the file, if it is there.
    pub(crate) fn load(path: PathBuf) -> Result<Self, Error> {
        let known = read(&path)?.unwrap_or_default();
        Ok(Self { path, state: Mutex::new(State { known, frozen: BTreeSet::new() }) })
    }

    pub(crate) fn known(&self, tenant: TenantId) -> Option<Anchored> {
        self.lock().known.get(&tenant.raw()).cloned()
    }

    pub(crate) fn tenants(&self) -> Vec<TenantId> {
        self.lock().known.keys().map(|t| TenantId::from_raw(*t)).collect()
    }

    /// The note of this log stays as it is, whatever comes.
    pub(crate) fn freeze(&self, tenant: TenantId) {
        self.lock().frozen.insert(tenant.raw());
    }

    /// Takes newer checkpoints and writes the file: a new file, synced, put in the old one's place, the folder synced.
    /// What is not newer is left as it is. Blocks.
    pub(crate) fn advance(&self, newer: &[(TenantId, Anchored)]) -> Result<(), Error> {
        let mut state = self.lock();
        let mut next = state.known.clone();
        for (tenant, anchored) in newer {
            let old = next.get(&tenant.raw());
            if !state.frozen.contains(&tenant.raw())
                && old.is_none_or(|o| o.signed.size < anchored.signed.size)
            {
                next.insert(tenant.raw(), anchored.clone());
            }
        }
        write(&self.path, &next).map_err(|e| failed(&self.path, &e))?;
        state.known = next;
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Reads an anchor file; `None` if there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Known>, Error> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(path, &e)),
    };
    match parse(&text) {
        Some(known) => Ok(Some(known)),
        None => Err(Error::Anchor {
            path: path.display().to_string(),
            why: "it is not an anchor file or was changed; keep it, as evidence, and give another path"
                .into(),
        }),
    }
}

fn parse(text: &str) -> Option<Known> {
    let mut known = Known::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (head, after) = rest.split_once('\n')?;
        let (tenant, verifier) = head.strip_prefix(HEAD)?.split_once(' ')?;
        let public = checkpoint::parse_verifier(verifier)?;
        let end = after
            .find("\n\n")
            .and_then(|blank| Some(blank + 2 + after.get(blank + 2..)?.find("\n\n")? + 1))?;
        let signed = checkpoint::verify(&public, after.get(..end)?)?;
        let anchored = Anchored { verifier: verifier.into(), signed };
        if known.insert(tenant.parse().ok()?, anchored).is_some() {
            return None;
        }
        rest = after.get(end + 1..)?;
    }
    Some(known)
}

fn print(known: &Known) -> String {
    known.iter().map(|(tenant, a)| format!("{HEAD}{tenant} {}\n{}\n", a.verifier, a.signed.note)).collect()
}

fn write(path: &Path, known: &Known) -> std::io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let fresh = folder.join(name);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(print(known).as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    File::open(folder)?.sync_all()
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::Anchor { path: path.display().to_string(), why: error.to_string() }
}

const HEAD: &str = "sealpost-anchor-1 ";

#[cfg(test)]
mod tests {
    use sealpost_crypto::{Random, SigningKey};
    use tlog_tiles::record_hash;

    use super::*;

    fn anchored(seed: u64, size: u64) -> Anchored {
        let key = SigningKey::from_seed(&Random::danger_predictable(seed).key());
        let origin = checkpoint::origin("a.test", &key.public());
        Anchored {
            verifier: checkpoint::verifier(&origin, &key.public()),
            signed: checkpoint::sign(&key, &origin, size, record_hash(&size.to_be_bytes())),
        }
    }

    #[test]
    fn print_and_parse() {
        let known = Known::from([(0, anchored(1, 5)), (7, anchored(2, 900))]);
        let text = print(&known);
        let again = parse(&text).expect("valid");
        assert_eq!(print(&again), text);
        assert_eq!(again[&7].signed, known[&7].signed);
        assert!(parse("").expect("an empty file knows nothing").is_empty());
    }

    #[test]
    fn a_changed_file_is_refused() {
        let text = print(&Known::from([(0, anchored(1, 5)), (7, anchored(2, 900))]));
        let cut = text.len() - 1;
        assert!(parse(&text[..cut]).is_none());
        assert!(parse(&text.replace("\n900\n", "\n901\n")).is_none());
        assert!(parse(&format!("{text}{text}")).is_none(), "a log stands in it once");
    }
}
