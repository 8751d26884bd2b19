//! Sizes that are right for every installation, and smaller ones for tests.

use std::time::Duration;

#[derive(Clone, Debug)]
pub(crate) struct Tuning {
    /// Closures in one commit at most: on SQLite, on PostgreSQL.
    pub(crate) group: usize,
    pub(crate) shared_group: usize,
    /// Connections that write to PostgreSQL.
    pub(crate) writers: usize,
    /// How long a statement may read on PostgreSQL.
    pub(crate) statement: Duration,
    /// Reader threads.
    pub(crate) readers: usize,
    /// Threads that read and open blobs.
    pub(crate) openers: usize,
    /// Ids leased at once.
    pub(crate) block: i64,
    /// Pages of 4 KiB by which the log grows before it is written back.
    pub(crate) wal_soft: i64,
    /// Pages past which the log is begun anew, whoever reads.
    pub(crate) wal_hard: i64,
    /// How long a reader may take when the log waits for it.
    pub(crate) patience: Duration,
    /// Bytes at which a pack is full.
    pub(crate) pack: u64,
    /// How long one request to a bucket may take, and all tries of it together.
    pub(crate) patience_bucket: (Duration, Duration),
    /// Sealed bytes that may lie in the blob's row.
    pub(crate) inline: usize,
    /// What is kept back of the disk; shared by all that write.
    pub(crate) reserve: std::sync::Arc<crate::reserve::Reserve>,
    /// The database's size, for a full disk in tests.
    pub(crate) max_pages: Option<u32>,
    /// Where commits and syncs are counted.
    pub(crate) meters: std::sync::Arc<crate::Meters>,
    /// Nodes may share a database though their packs lie in folders: they have none.
    #[cfg(test)]
    pub(crate) shared_packs: bool,
    #[cfg(test)]
    pub(crate) faults: std::sync::Arc<Faults>,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            group: 256,
            shared_group: 32,
            writers: 6,
            statement: Duration::from_secs(5),
            readers: 3,
            openers: 2,
            block: 1 << 20,
            wal_soft: 4096,
            wal_hard: 16384,
            patience: Duration::from_secs(1),
            pack: 256 << 20,
            patience_bucket: (Duration::from_secs(20), Duration::from_secs(45)),
            inline: 8 << 10,
            reserve: std::sync::Arc::new(crate::reserve::Reserve::off()),
            max_pages: None,
            meters: std::sync::Arc::default(),
            #[cfg(test)]
            shared_packs: false,
            #[cfg(test)]
            faults: std::sync::Arc::default(),
        }
    }
}

/// Failures of the disk that can't be had otherwise.
#[cfg(test)]
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// So many commits fail after they were done.
    pub(crate) commits: std::sync::atomic::AtomicU32,
    /// So many syncs of packs fail.
    pub(crate) syncs: std::sync::atomic::AtomicU32,
}

#[cfg(test)]
impl Faults {
    pub(crate) fn commit(&self) -> crate::Result<()> {
        Self::take(&self.commits)
    }

    pub(crate) fn sync(&self) -> crate::Result<()> {
        Self::take(&self.syncs)
    }

    fn take(left: &std::sync::atomic::AtomicU32) -> crate::Result<()> {
        use std::sync::atomic::Ordering::SeqCst;
        match left.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1)) {
            Ok(_) => Err(crate::Error::Io("a failure made for a test".into())),
            Err(_) => Ok(()),
        }
    }
}
