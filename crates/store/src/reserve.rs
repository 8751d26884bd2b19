//! A reserve of disk, so that a full one locks nobody out.
//!
//! Signing in, reading, expunging, ending what waits: each needs its entry in the log, and so a little disk. A file in
//! the data folder holds that place. New mail is refused early, with a temporary answer, once less than the reserve's
//! size is free beside it; bodies never take the last half of that. When a commit fails for want of space all the same
//! (another program may have filled the disk), the file is given up, the commit runs again, and only new mail has to
//! wait. The file is made again, by itself, when there is room for three of it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use sealpost_model::Counter;

/// How the reserve stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// None is wanted, or this store keeps its data elsewhere.
    Off = 0,
    /// It is there.
    Kept = 1,
    /// It was given up, or there was no room for it: new mail waits.
    Spent = 2,
}

/// What is known about the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts {
    /// How the reserve stands.
    pub standing: Standing,
    /// Its size in bytes.
    pub size: u64,
    /// Bytes free beside it.
    pub free: u64,
    /// Whether new mail is taken.
    pub room: bool,
    /// How often it was given up since the start.
    pub spent: u64,
}

/// The reserve of a data folder.
#[derive(Debug)]
pub struct Reserve {
    file: PathBuf,
    size: u64,
    standing: AtomicU8,
    /// Whether it was said that new mail is refused.
    tight: AtomicBool,
    spent: Counter,
}

/// Its name in the data folder.
const NAME: &str = "reserve";

impl Reserve {
    /// None.
    pub(crate) fn off() -> Self {
        Self::new(PathBuf::new(), 0, Standing::Off)
    }

    /// Makes it, if there is room for it; 0 bytes remove it.
    pub(crate) fn keep(data: &Path, size: u64) -> Self {
        let file = data.join(NAME);
        if size == 0 {
            let _ = std::fs::remove_file(&file);
            return Self::off();
        }
        let size = fitting(data, size);
        let there = file.metadata().is_ok_and(|m| m.len() == size && m.blocks().saturating_mul(512) >= size);
        let reserve = Self::new(file, size, if there { Standing::Kept } else { Standing::Spent });
        reserve.mend();
        if reserve.standing() == Standing::Spent {
            tracing::error!(
                bytes = size,
                "there is no room for the disk's reserve: new mail waits until there is; free some space"
            );
        }
        reserve
    }

    fn new(file: PathBuf, size: u64, standing: Standing) -> Self {
        let standing = AtomicU8::new(standing as u8);
        Self { file, size, standing, tight: AtomicBool::new(false), spent: Counter::new() }
    }

    /// Whether new mail can be taken. Costs one question to the file system.
    pub fn room(&self) -> bool {
        let standing = self.standing();
        if standing == Standing::Off {
            return true;
        }
        self.mend();
        let room = self.standing() == Standing::Kept && self.free() >= self.size;
        if self.tight.swap(!room, Ordering::Relaxed) == room {
            if room {
                tracing::info!("there is disk again: new mail is taken");
            } else {
                tracing::error!(
                    free = self.free(),
                    "the disk is nearly full: new mail is asked to come later"
                );
            }
        }
        room
    }

    /// Whether a body may be written: it never takes what rows may need.
    pub(crate) fn spares(&self) -> bool {
        match self.standing() {
            Standing::Off => true,
            Standing::Spent => false,
            Standing::Kept => self.free() >= self.size / 2,
        }
    }

    /// Gives it up, after a commit failed for want of space. True if that made room: the commit may run again.
    pub(crate) fn release(&self) -> bool {
        let kept = Standing::Kept as u8;
        let spent = Standing::Spent as u8;
        if self.standing.compare_exchange(kept, spent, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return false;
        }
        self.spent.one();
        let gone = remove(&self.file);
        tracing::error!(
            bytes = self.size,
            "the disk is full: its reserve is in use, new mail waits; free some space now"
        );
        gone.is_ok()
    }

    /// Makes it again if it was given up and there is room for three of it.
    pub(crate) fn mend(&self) {
        if self.standing() != Standing::Spent || self.free() < self.size.saturating_mul(3) {
            return;
        }
        match make(&self.file, self.size) {
            Ok(()) => {
                self.standing.store(Standing::Kept as u8, Ordering::Release);
                tracing::info!(bytes = self.size, "the disk's reserve is there");
            }
            Err(error) => {
                let _ = remove(&self.file);
                tracing::warn!(%error, "the disk's reserve can't be made");
            }
        }
    }

    /// How it stands now.
    pub fn facts(&self) -> Facts {
        let room = self.room();
        let free = if self.size == 0 { 0 } else { self.free() };
        Facts { standing: self.standing(), size: self.size, free, room, spent: self.spent.count() }
    }

    fn standing(&self) -> Standing {
        match self.standing.load(Ordering::Acquire) {
            0 => Standing::Off,
            1 => Standing::Kept,
            _ => Standing::Spent,
        }
    }

    /// Bytes that this user may still write; none when the file system does not say.
    fn free(&self) -> u64 {
        let folder = self.file.parent().unwrap_or(Path::new("."));
        rustix::fs::statvfs(folder).map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}

/// What is kept back where `size` is wanted: on a small disk a tenth of it at most.
pub fn fitting(data: &Path, size: u64) -> u64 {
    rustix::fs::statvfs(data).map_or(size, |disk| size.min(disk.f_blocks.saturating_mul(disk.f_frsize) / 10))
}

/// Takes the blocks for good: a file with holes would hold no place.
fn make(path: &Path, size: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
    let taken = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, size);
    if taken.is_err() {
        let block = [0xA5; 64 << 10];
        let mut left = size;
        while left > 0 {
            let part = usize::try_from(left).map_or(block.len(), |left| left.min(block.len()));
            file.write_all(&block[..part])?;
            left -= part as u64;
        }
    }
    file.sync_all()
}

/// Gives the blocks back at once: some file systems do so only with their next commit.
fn remove(path: &Path) -> io::Result<()> {
    if let Ok(file) = OpenOptions::new().write(true).open(path) {
        file.set_len(0)?;
        file.sync_all()?;
    }
    std::fs::remove_file(path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_given_up_once_and_made_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let reserve = Reserve::keep(folder.path(), 1 << 20);
        let file = folder.path().join(NAME);
        let blocks = || file.metadata().map_or(0, |m| m.blocks() * 512);
        assert_eq!((reserve.facts().standing, reserve.facts().room), (Standing::Kept, true));
        assert!(blocks() >= 1 << 20 && reserve.spares());
        assert!(reserve.release() && !file.exists());
        assert!(!reserve.spares(), "no body while it is given up");
        assert!(!reserve.release(), "there is nothing more to give");
        assert_eq!(reserve.facts().spent, 1);
        // Asking whether there is room makes it again.
        assert!(reserve.room() && blocks() >= 1 << 20);
        // What was there is kept over a start; another size or none replaces it.
        assert_eq!(Reserve::keep(folder.path(), 1 << 20).facts().standing, Standing::Kept);
        assert_eq!(Reserve::keep(folder.path(), 2 << 20).facts().size, 2 << 20);
        assert!(blocks() >= 2 << 20);
        let off = Reserve::keep(folder.path(), 0);
        assert!(off.room() && off.spares() && !off.release() && !file.exists());
    }

    #[test]
    fn it_never_takes_more_than_a_tenth_of_the_disk() {
        let folder = tempfile::tempdir().expect("a folder");
        let all = fitting(folder.path(), u64::MAX);
        assert!(all < u64::MAX / 10 && fitting(folder.path(), all - 1) == all - 1);
    }
}
