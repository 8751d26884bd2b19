//! What can go wrong in the store, sorted by what can be done about it.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use sealpost_model::Fault;

/// What a storage call answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the store did not do it. Texts hold ids, paths and column names, never a stored value.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No space left. Nothing of the refused change remains.
    #[error("the disk under the data folder is full: free some space there; what was acknowledged is safe")]
    Full,
    /// Another process works on this data folder.
    #[error("{} is in use by {holder}: stop that process first, or choose another data folder", data.display())]
    Locked {
        /// The data folder.
        data: PathBuf,
        /// `process 123`, or `another process` when it did not say.
        holder: String,
    },
    /// The folder or file can't be made, read or written by this user.
    #[error("{} can't be used ({why}): give the user that runs Sealpost the right to read and write it", path.display())]
    NotWritable {
        /// The folder or file.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
    /// There is no store in this folder.
    #[error("there is no Sealpost data in {}: give the right data folder, or make one with `sealpost init`", data.display())]
    Missing {
        /// The data folder.
        data: PathBuf,
    },
    /// A restore or a move filled this data and did not come to its end.
    #[error(
        "this data is only half there: a restore or a move into it was cut short; run that command again, and it goes on"
    )]
    Unfinished,
    /// There is data already where a restore or a move should put some.
    #[error("{} holds data already, and nothing is ever written over data: choose an empty folder, or move this one away", data.display())]
    NotEmpty {
        /// The data folder.
        data: PathBuf,
    },
    /// The data was written by a newer version.
    #[error(
        "the data was written by a newer Sealpost (`{schema}` has format {found}, this version knows {known}): install that version or a later one"
    )]
    Newer {
        /// Whose tables.
        schema: String,
        /// The format found.
        found: i64,
        /// The newest format that this program knows.
        known: i64,
    },
    /// There are packs that the database does not know: it was put back from an older copy.
    #[error(
        "pack {pack} in {} is newer than the database, which was put back from an older copy: restore database and packs from the same backup, or move the packs above {known} to another folder and start again", folder.display()
    )]
    PacksNewer {
        /// The folder of packs.
        folder: PathBuf,
        /// The pack that nobody knows.
        pack: i64,
        /// The newest pack that the database knows.
        known: i64,
    },
    /// Stored bytes are not what was written.
    #[error("{what} {id} is damaged: it is not what was written; restore it from a backup")]
    Corrupt {
        /// The kind of thing: a table, `pack`, `blob`.
        what: &'static str,
        /// Which one; 0 when that can't be said.
        id: i64,
    },
    /// The PostgreSQL database can't be reached or used.
    #[error("the PostgreSQL database can't be used ({why}): see `[store] url`")]
    Database {
        /// The server's or the system's words.
        why: String,
    },
    /// Several changes stood in each other's way until none of them went on.
    #[error("the database is busy with changes to the same rows: try again")]
    Busy,
    /// A UNIQUE or other constraint refused the row. A closure that expects this says `ON CONFLICT`.
    #[error("a constraint refused the change: {0}")]
    Conflict(String),
    /// The system failed to read or write. What had not been acknowledged may or may not have been kept.
    #[error("the system failed at the data folder: {0}")]
    Io(String),
    /// A read took too long and was stopped so that the log could be written back.
    #[error("the read took too long and was stopped: try again")]
    Slow,
    /// The store was opened for reading only.
    #[error("the store was opened for reading only")]
    ReadOnly,
    /// The lease under which the work was begun has passed to another node, which does that work now. Nothing of the
    /// refused change remains.
    #[error("another node has taken this work over")]
    Fenced,
    /// The closure panicked; nothing of it remains.
    #[error("a bug stopped the change; nothing of it remains")]
    Panicked,
    /// The store is closed or closing.
    #[error("the store is closed")]
    Closed,
    /// The bucket did not take or give what was asked for. Nothing that was acknowledged is lost by it.
    #[error("{why}")]
    Bucket {
        /// In words: what is wrong and what to do.
        why: String,
        /// Whether it stays so until somebody does something.
        lasting: bool,
    },
    /// We are wrong.
    #[error("a bug in the store: {0}")]
    Bug(String),
}

impl Error {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Full
            | Self::Io(_)
            | Self::Bucket { .. }
            | Self::Slow
            | Self::Busy
            | Self::Fenced
            | Self::Closed => Fault::Temporary,
            Self::Locked { .. }
            | Self::NotWritable { .. }
            | Self::Missing { .. }
            | Self::Unfinished
            | Self::NotEmpty { .. }
            | Self::Newer { .. }
            | Self::PacksNewer { .. }
            | Self::Database { .. }
            | Self::ReadOnly => Fault::Caller,
            Self::Corrupt { .. } => Fault::Corrupt,
            Self::Conflict(_) | Self::Panicked | Self::Bug(_) => Fault::Bug,
        }
    }

    /// What the system said about a file.
    pub(crate) fn file(path: &Path, error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full,
            std::io::ErrorKind::PermissionDenied
            | std::io::ErrorKind::ReadOnlyFilesystem
            | std::io::ErrorKind::NotFound
            | std::io::ErrorKind::NotADirectory
            | std::io::ErrorKind::IsADirectory => {
                Self::NotWritable { path: path.to_owned(), why: error.to_string() }
            }
            _ => Self::Io(format!("{}: {error}", path.display())),
        }
    }

    /// What SQLite said, about `statement`.
    pub(crate) fn sqlite(error: rusqlite::Error, statement: &str) -> Self {
        match &error {
            rusqlite::Error::SqliteFailure(e, message) => {
                let message = message.as_deref().unwrap_or("");
                match e.code {
                    ErrorCode::DiskFull => Self::Full,
                    ErrorCode::ConstraintViolation => Self::Conflict(format!("{statement}: {message}")),
                    ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
                        Self::Corrupt { what: "database", id: 0 }
                    }
                    ErrorCode::OperationInterrupted => Self::Slow,
                    ErrorCode::SystemIoFailure
                    | ErrorCode::CannotOpen
                    | ErrorCode::ReadOnly
                    | ErrorCode::PermissionDenied
                    | ErrorCode::OutOfMemory
                    | ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::FileLockingProtocolFailed => {
                        Self::Io(format!("{statement}: {message} ({})", e.extended_code))
                    }
                    _ => Self::Bug(format!("{statement}: {message} ({})", e.extended_code)),
                }
            }
            _ => Self::Bug(format!("{statement}: {error}")),
        }
    }

    /// Whether what SQLite holds in memory can't be trusted any more, so that it must close and open again.
    pub(crate) fn wants_reopen(&self) -> bool {
        matches!(self, Self::Io(_) | Self::Corrupt { what: "database", .. })
    }
}
