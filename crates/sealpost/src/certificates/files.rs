//! Certificates in files (`[tls] certificate` and `key`): which belong together, and whether they changed.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sealpost_net::ServerCertificate;

use crate::config::Tls;

/// A chain and its key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Pair {
    /// The chain.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// What tells that a file is another one: time of change, size, inode.
pub type Stamp = Vec<(PathBuf, Option<(i64, i64, u64, u64)>)>;

/// The files that `[tls]` names. A folder holds `NAME.pem` or `NAME.crt` with `NAME.key`, and folders with `fullchain.pem`
/// and `privkey.pem`.
pub fn pairs(tls: &Tls) -> Result<Vec<Pair>> {
    let mut keys = tls.key.0.iter();
    let mut pairs = Vec::new();
    for path in &tls.certificate.0 {
        if path.is_dir() {
            folder(path, &mut pairs)?;
            continue;
        }
        let key = keys.next().with_context(|| format!("[tls] names no key for {}", path.display()))?;
        pairs.push(Pair { certificate: path.clone(), key: key.clone() });
    }
    if let Some(key) = keys.next() {
        bail!(
            "[tls] names the key {} and no certificate for it; a folder brings its keys along",
            key.display()
        );
    }
    Ok(pairs)
}

fn folder(path: &Path, pairs: &mut Vec<Pair>) -> Result<()> {
    let read =
        || -> std::io::Result<Vec<PathBuf>> { path.read_dir()?.map(|entry| Ok(entry?.path())).collect() };
    let mut inside = read().with_context(|| format!("the folder {} can't be read", path.display()))?;
    inside.sort();
    let before = pairs.len();
    for entry in inside {
        let (certificate, key) = match entry.extension().and_then(|e| e.to_str()) {
            _ if entry.is_dir() => (entry.join("fullchain.pem"), entry.join("privkey.pem")),
            Some("pem" | "crt") => (entry.clone(), entry.with_extension("key")),
            _ => continue,
        };
        if entry.is_dir() && !certificate.exists() {
            continue;
        }
        pairs.push(Pair { certificate, key });
    }
    if pairs.len() == before {
        bail!(
            "{} holds no certificates: put NAME.pem and NAME.key there, or folders with fullchain.pem and privkey.pem",
            path.display()
        );
    }
    Ok(())
}

/// Loads all of them, or says what is wrong with the first that can't be used.
pub fn load(tls: &Tls) -> Result<Vec<ServerCertificate>> {
    pairs(tls)?.iter().map(|p| Ok(ServerCertificate::load(&p.certificate, &p.key)?)).collect()
}

/// What the files are now; a missing one too.
pub fn stamp(tls: &Tls) -> Stamp {
    let mut paths: Vec<PathBuf> = tls.certificate.0.clone();
    for pair in pairs(tls).unwrap_or_default() {
        paths.extend([pair.certificate, pair.key]);
    }
    let facts = |path: &Path| {
        let meta = path.metadata().ok()?;
        Some((meta.mtime(), meta.mtime_nsec(), meta.size(), meta.ino()))
    };
    paths.into_iter().map(|path| (path.clone(), facts(&path))).collect()
}
