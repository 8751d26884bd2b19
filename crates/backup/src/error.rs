//! What can go wrong with a backup, in sentences that say what to do.

use sealpost_model::{Fault, Id};

/// An error of making, keeping or bringing back a set. Texts hold ids and paths only.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store's.
    #[error(transparent)]
    Store(#[from] sealpost_store::Error),
    /// The log's.
    #[error(transparent)]
    Audit(#[from] sealpost_audit::Error),
    /// The keys'.
    #[error(transparent)]
    Keys(#[from] sealpost_store::keys::Error),
    /// The key ring's.
    #[error(transparent)]
    Ring(#[from] sealpost_store::ring::Error),
    /// The place can't be read or written.
    #[error(
        "the backup place {place} can't be used ({why}): see that the disk is there and that the user that runs Sealpost may write to it"
    )]
    Place {
        /// Which.
        place: String,
        /// The system's words.
        why: String,
    },
    /// The place is full.
    #[error("the backup place {0} is full: free some space there; the older sets are untouched")]
    Full(String),
    /// The place holds another server's sets, or those of the other kind.
    #[error(
        "the backup place {place} belongs to {owner}: give each server, and daily and weekly sets, a folder of their own"
    )]
    Foreign {
        /// Which.
        place: String,
        /// Whose it is.
        owner: String,
    },
    /// No such set there.
    #[error("there is no backup set {0} at that place; `sealpost backup list` shows what there is")]
    NoSet(String),
    /// There is no place for sets of this kind.
    #[error("no place for {0} backups is configured: set `[backup] {0}` in the configuration")]
    NoPlace(&'static str),
    /// The set's key is not in the key ring.
    #[error(
        "backup set {set} can't be opened: its key {life} is not in the key ring. Sets past their time can't be opened any more, and that is meant so; a newer set needs the ring's backup of its day"
    )]
    Dead {
        /// The set.
        set: i64,
        /// The life key that would open it.
        life: i64,
    },
    /// Stored bytes are not what was written.
    #[error(
        "{what} of backup set {set} is damaged or missing: use another set, and check the disk under the backup place"
    )]
    Damaged {
        /// The set.
        set: i64,
        /// Which part.
        what: String,
    },
    /// Written by a newer version.
    #[error("the set has format {found}, and this version knows {known}: restore it with the newer Sealpost")]
    Newer {
        /// The format found.
        found: u16,
        /// The newest that this program knows.
        known: u16,
    },
    /// A set is being made already.
    #[error("a backup is being made just now; `sealpost backup status` shows how far it is")]
    Busy,
    /// It was told to stop.
    #[error("the backup was stopped and goes on at the next start")]
    Stopped,
    /// A file here can't be read or written.
    #[error("{path} can't be used: {why}")]
    File {
        /// The file.
        path: String,
        /// The system's words.
        why: String,
    },
    /// The schedule in the configuration.
    #[error("[backup] {0}")]
    Schedule(String),
}

impl Error {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Store(e) => e.fault(),
            Self::Keys(e) => e.fault(),
            Self::Ring(e) => e.fault(),
            Self::Audit(_) | Self::Place { .. } | Self::Full(_) | Self::Busy | Self::Stopped => {
                Fault::Temporary
            }
            Self::Foreign { .. }
            | Self::NoSet(_)
            | Self::NoPlace(_)
            | Self::Dead { .. }
            | Self::Newer { .. }
            | Self::File { .. }
            | Self::Schedule(_) => Fault::Caller,
            Self::Damaged { .. } => Fault::Corrupt,
        }
    }

    pub(crate) fn damaged(set: impl Id, what: impl Into<String>) -> Self {
        Self::Damaged { set: set.raw(), what: what.into() }
    }

    pub(crate) fn file(path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::File { path: path.display().to_string(), why: error.to_string() }
    }
}
