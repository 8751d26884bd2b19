//! What `init` has made so far, so that it can be removed again: by itself when a step fails, by the next run when this
//! one is killed. The list lies beside the configuration and is gone before the configuration gets its name, so that
//! nothing of a server that ever ran can stand in it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::ask;
use crate::instance::make_folder;

/// A place that was taken.
#[derive(Serialize, Deserialize)]
struct Place {
    path: PathBuf,
    /// The folder was there before, empty: only what is in it goes.
    was_there: bool,
}

/// What was made so far.
pub(super) struct Made {
    list: PathBuf,
    places: Vec<Place>,
}

impl Made {
    /// Nothing yet.
    pub(super) fn begin(file: &Path) -> Result<Self> {
        let mut made = Self { list: list_beside(file), places: Vec::new() };
        let folder = file.parent().unwrap_or(Path::new("."));
        if !folder.exists() {
            made.note(folder)?;
            make_folder(folder)?;
        }
        made.write()?;
        Ok(made)
    }

    /// Notes, durably, what will be made at `path`.
    pub(super) fn will(&mut self, path: &Path) -> Result<()> {
        self.note(path)?;
        self.write()
    }

    /// The topmost part of it that is not there yet; a folder that is there stays.
    fn note(&mut self, path: &Path) -> Result<()> {
        let new = path.ancestors().take_while(|p| !p.exists()).last();
        self.places.push(Place { path: new.unwrap_or(path).to_owned(), was_there: new.is_none() });
        Ok(())
    }

    fn write(&self) -> Result<()> {
        let name = self.list.display();
        let new = self.list.with_extension("writing");
        let write = || {
            let mut file = std::fs::File::create(&new)?;
            serde_json::to_writer(&mut file, &self.places)?;
            file.sync_all()?;
            std::fs::rename(&new, &self.list)?;
            std::fs::File::open(self.list.parent().unwrap_or(Path::new(".")))?.sync_all()
        };
        write().with_context(|| format!("{name} can't be written"))
    }

    /// All of it stays.
    pub(super) fn finish(&self) -> Result<()> {
        std::fs::remove_file(&self.list).with_context(|| format!("{} can't be removed", self.list.display()))
    }

    /// Removes it; else answers what is left.
    pub(super) fn remove(&self) -> Result<(), String> {
        let left: Vec<String> = self
            .places
            .iter()
            .rev()
            .filter(|place| !place.clear())
            .map(|place| place.path.display().to_string())
            .collect();
        if !left.is_empty() {
            return Err(left.join(", "));
        }
        let _ = std::fs::remove_file(&self.list);
        Ok(())
    }
}

impl Place {
    /// Whether nothing of ours is there afterwards.
    fn clear(&self) -> bool {
        let gone = |path: &Path| {
            let folder = path.symlink_metadata().is_ok_and(|m| m.is_dir());
            let gone = if folder { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
            gone.is_ok() || path.symlink_metadata().is_err()
        };
        match (self.was_there, self.path.read_dir()) {
            (true, Ok(entries)) => entries.flatten().all(|entry| gone(&entry.path())),
            _ => gone(&self.path),
        }
    }
}

/// Removes what an `init` for this configuration left that was killed half-way.
///
/// # Errors
/// When somebody at the terminal wants to keep it, or it can't be removed.
pub(super) fn clear_cut_off(file: &Path, ask: bool) -> Result<()> {
    let list = list_beside(file);
    let Ok(text) = std::fs::read_to_string(&list) else { return Ok(()) };
    let places = serde_json::from_str(&text)
        .with_context(|| format!("{} is not what init writes; look at it, then remove it", list.display()))?;
    let made = Made { list, places };
    let what: Vec<String> = made.places.iter().map(|place| place.path.display().to_string()).collect();
    let said = format!(
        "an earlier init for {} was cut off. What it had made is of no use: {}",
        file.display(),
        what.join(", ")
    );
    if ask && !ask::yes(&format!("{said}. Remove it and begin anew?"))? {
        bail!("{said}; nothing was changed");
    }
    if let Err(left) = made.remove() {
        bail!("{said}; it can't all be removed, so remove {left} and run init again");
    }
    ask::say(&format!("{said}; it was removed\n"))
}

/// `sealpost.toml.init` beside `sealpost.toml`.
fn list_beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".init");
    name.into()
}
