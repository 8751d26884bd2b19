//! The key ring: life keys, in a small store of its own outside the data folder, so that what is destroyed in it is
//! gone from every copy of the data (DESIGN section 4).
//!
//! A *life key* wraps the keys of blobs and sealed columns for one owner of their life: an account, a waiting message
//! and its recipient, a day of expiry in the archive. To destroy a life key is to destroy what hangs on it, wherever
//! its ciphertext may have been copied to.
//!
//! Two files, both of mode 0600:
//!
//! * `ring.sqlite`: *leaf pages* of up to 256 life keys, each sealed under a page key of its own, and the *root page*
//!   that holds the page keys, sealed under the ring key. `secure_delete` is on and each commit is synced.
//! * `ring.key`: the ring key, wrapped by a child of the master key, in one of two slots.
//!
//! Creating a key seals its leaf again under the same page key. Destroying one gives its leaf, the root page and the
//! ring a fresh key each, in this order, each step synced before the next:
//!
//! 1. the new ring key goes into the empty slot, with the next generation's number;
//! 2. one commit writes the leaf under its new page key and the root page, with that number, under the new ring key;
//! 3. the old slot is overwritten with zeros.
//!
//! So an older copy of the pages opens with no key that still exists, and neither do the remains of old pages in free
//! space or in the log. Whatever moment it stops at, the number in `ring.sqlite` says which slot counts, and opening
//! zeroes the other. What this can't do: make a disk forget a block that it has silently remapped, or reach a copy of
//! *both* files together with the master key. Hence copies of the ring live at most four weeks.
//!
//! The number of a life key is `256 * leaf + slot`, and neither is ever given twice. All keys are held in memory (32
//! bytes each); one thread writes, and creations that come while it syncs share the next sync.

mod backup;
mod disk;
mod list;
mod page;
mod shelf;
mod slots;
#[cfg(test)]
mod tests;
mod weeks;
mod writer;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, mpsc};

use rusqlite::ErrorCode;
use sealpost_crypto::{Cipher, Key, Random};
use sealpost_model::{Fault, Id, LifeKeyId};
use tokio::sync::oneshot;

use crate::keys::Master;
pub use backup::{BackupFacts, RestoreFacts};
use disk::Disk;
use page::Tree;
pub(crate) use shelf::{Paper, Shelf};
use writer::{Job, Steps, Writer};

/// Where a ring, or what belongs to it, is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// In this folder of the machine's.
    Folder(PathBuf),
}

/// A ring's place, and the second one that outlives it.
///
/// The second place holds what a ring's loss must not take along: the weekly keys of its backups, the list of what was
/// destroyed, and a copy of the recovery kit's sealed key. Without one these lie beside the ring.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Places {
    /// Where life keys live.
    pub ring: Place,
    /// The second place, best on another machine's disk.
    pub second: Option<Place>,
}

impl From<&Path> for Places {
    fn from(folder: &Path) -> Self {
        Place::Folder(folder.to_owned()).into()
    }
}

impl From<&PathBuf> for Places {
    fn from(folder: &PathBuf) -> Self {
        folder.as_path().into()
    }
}

impl From<Place> for Places {
    fn from(ring: Place) -> Self {
        Self { ring, second: None }
    }
}

impl Places {
    /// The ring's papers, and their copies.
    pub(crate) fn shelves(&self) -> Vec<Shelf> {
        [Some(&self.ring), self.second.as_ref()].into_iter().flatten().cloned().map(Shelf::new).collect()
    }

    /// The first copy of a paper that is there. A second place out of reach has none.
    pub(crate) fn read_paper(&self, name: &str) -> Result<Option<zeroize::Zeroizing<String>>> {
        let first = Shelf::new(self.ring.clone()).read(name);
        if let Ok(None) = first
            && let Some(second) = &self.second
        {
            return Ok(Shelf::new(second.clone()).read(name).unwrap_or_default());
        }
        first
    }

    /// Writes a paper at both places, the second one first.
    pub(crate) fn write_paper(&self, name: &str, text: &str) -> Result<()> {
        self.shelves().iter().rev().try_for_each(|shelf| shelf.write(name, text))
    }
}

/// Expanded life keys that are kept for reuse.
const CIPHERS: usize = 4096;

/// What a call to the ring answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the ring did not do it. Texts hold paths and ids only.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// There is no ring in this folder.
    #[error(
        "{} is missing: give the folder of the key ring in `[keys] ring`, or put the ring back from its backup; without it no message can be opened", path.display()
    )]
    Missing {
        /// The file that should be there.
        path: PathBuf,
    },
    /// There is a ring in this folder already.
    #[error("{} exists already: a key ring is never overwritten; choose another folder", path.display())]
    Exists {
        /// The file that is there.
        path: PathBuf,
    },
    /// Others than its owner may read or write a file that holds keys.
    #[error("{} has mode {mode:04o} and must have 0600: run `chmod 600` on it", path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file can't be read or written.
    #[error("{} can't be used ({why}): give the user that runs Sealpost the right to read and write it", path.display())]
    Unusable {
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
    /// Another process has it open.
    #[error("the key ring {} is in use by another process: stop that one first", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The master key is not the one that this ring was made with.
    #[error("the master key does not open {}: give the one that belongs to this key ring", path.display())]
    WrongMaster {
        /// The file with the wrapped ring key.
        path: PathBuf,
    },
    /// The two files are not of one time.
    #[error(
        "ring.key and ring.sqlite in {} do not belong together: put both back from the same backup", path.display()
    )]
    Mixed {
        /// The ring's folder.
        path: PathBuf,
    },
    /// The key of the backup's week is gone.
    #[error("the backup {} can't be opened any more: the key of its week died at {died}; take a younger one", path.display())]
    DeadBackup {
        /// The file.
        path: PathBuf,
        /// When.
        died: String,
    },
    /// Stored bytes are not what was written.
    #[error("{what} of the key ring is damaged: put ring.key and ring.sqlite back from the same backup")]
    Corrupt {
        /// `root page`, `leaf page 7`, `ring.key`, `ring.sqlite`.
        what: String,
    },
    /// Written by a newer version.
    #[error("the key ring has format {found}, and this version knows {known}: install the newer Sealpost")]
    Newer {
        /// The format found.
        found: i64,
        /// The newest format that this program knows.
        known: i64,
    },
    /// No space left.
    #[error("the disk under the key ring is full: free some space there")]
    Full,
    /// The system failed to read or write.
    #[error("the system failed at the key ring: {0}")]
    Io(String),
    /// A paper beside the ring is not what was written.
    #[error("{0}")]
    Papers(String),
    /// The ring is closed or closing.
    #[error("the key ring is closed")]
    Closed,
    /// We are wrong.
    #[error("a bug in the key ring: {0}")]
    Bug(String),
}

impl Error {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Missing { .. }
            | Self::Exists { .. }
            | Self::Mode { .. }
            | Self::Unusable { .. }
            | Self::Locked { .. }
            | Self::WrongMaster { .. }
            | Self::DeadBackup { .. }
            | Self::Newer { .. } => Fault::Caller,
            Self::Mixed { .. } | Self::Corrupt { .. } | Self::Papers(_) => Fault::Corrupt,
            Self::Full | Self::Io(_) | Self::Closed => Fault::Temporary,
            Self::Bug(_) => Fault::Bug,
        }
    }

    fn file(path: &Path, error: &std::io::Error) -> Self {
        use std::io::ErrorKind as K;
        match error.kind() {
            K::NotFound => Self::Missing { path: path.to_owned() },
            K::AlreadyExists => Self::Exists { path: path.to_owned() },
            K::PermissionDenied | K::ReadOnlyFilesystem | K::IsADirectory | K::NotADirectory => {
                Self::Unusable { path: path.to_owned(), why: error.to_string() }
            }
            K::StorageFull | K::QuotaExceeded => Self::Full,
            _ => Self::Io(format!("{}: {error}", path.display())),
        }
    }

    fn sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::Locked { path: path.to_owned() }
            }
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                Self::Unusable { path: path.to_owned(), why: error.to_string() }
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::TypeMismatch) => {
                Self::Corrupt { what: "ring.sqlite".to_owned() }
            }
            Some(ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory) => Self::Io(error.to_string()),
            _ => match error {
                rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::QueryReturnedNoRows => {
                    Self::Corrupt { what: "ring.sqlite".to_owned() }
                }
                // A damaged schema shows as a missing table.
                rusqlite::Error::SqlInputError { .. } => Self::Corrupt { what: "ring.sqlite".to_owned() },
                _ => Self::Bug(error.to_string()),
            },
        }
    }
}

/// The ring's handle; clones share it. When the last one goes, the files are closed.
#[derive(Clone)]
pub struct Ring {
    inner: Arc<Inner>,
}

struct Inner {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<std::thread::JoinHandle<()>>,
    shared: Arc<Shared>,
    /// Where to look again, for who looks beside a process that writes.
    looking: Option<(PathBuf, Master)>,
    places: Places,
    master: Master,
    random: Random,
}

/// What readers and the writer share. The tree changes only after what it shows is durable.
#[derive(Default)]
struct Shared {
    tree: RwLock<Tree>,
    ciphers: Mutex<HashMap<LifeKeyId, Arc<Cipher>>>,
}

impl Ring {
    /// Makes a ring at `place` (a folder is made too, of mode 0700, if it is missing) and opens it.
    ///
    /// [`Error::Exists`] when there is one.
    pub fn create(places: impl Into<Places>, master: &Master, random: &Random) -> Result<Self> {
        let places = places.into();
        let Place::Folder(folder) = &places.ring;
        disk::create(folder, master, random)?;
        list::List::create(&places)?;
        Self::open_with(places, master, random, Steps::default())
    }

    /// Opens the ring at `place`: reads all of it, and finishes a destruction that was cut short.
    pub fn open(places: impl Into<Places>, master: &Master, random: &Random) -> Result<Self> {
        Self::open_with(places, master, random, Steps::default())
    }

    /// Reads the ring at `place` beside a process that has it open: keys can be had, none made or destroyed.
    pub fn look(places: impl Into<Places>, master: &Master) -> Result<Self> {
        let places = places.into();
        meet(&places, master)?;
        let Place::Folder(folder) = &places.ring;
        let shared = Arc::<Shared>::default();
        *shared.tree.write().unwrap_or_else(PoisonError::into_inner) = Disk::look(folder, master)?;
        let looking = Some((folder.clone(), master.clone()));
        Ok(Self {
            inner: Arc::new(Inner {
                jobs: None,
                thread: None,
                shared,
                looking,
                places,
                master: master.clone(),
                random: Random::system(),
            }),
        })
    }

    fn open_with(places: impl Into<Places>, master: &Master, random: &Random, steps: Steps) -> Result<Self> {
        let places = places.into();
        meet(&places, master)?;
        let shared = Arc::<Shared>::default();
        let writer = Writer::open(&places, master, random, steps, Arc::clone(&shared))?;
        let (jobs, inbox) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("ring".to_owned())
            .spawn(move || writer.run(&inbox))
            .map_err(|e| Error::Io(e.to_string()))?;
        let inner = Inner {
            jobs: Some(jobs),
            thread: Some(thread),
            shared,
            looking: None,
            places,
            master: master.clone(),
            random: random.clone(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Makes `count` life keys; they are durable when this returns. Calls that run at the same time share a sync.
    /// A caller that goes away leaves keys that wrap nothing.
    pub async fn create_keys(&self, count: usize) -> Result<Vec<(LifeKeyId, Key)>> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Create { count, reply })?;
        answer.await.unwrap_or(Err(Error::Closed))
    }

    /// The same, for threads. Panics inside an async task.
    pub fn create_keys_blocking(&self, count: usize) -> Result<Vec<(LifeKeyId, Key)>> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Create { count, reply })?;
        answer.blocking_recv().unwrap_or(Err(Error::Closed))
    }

    /// One life key: see [`Ring::create_keys`].
    pub async fn create_key(&self) -> Result<(LifeKeyId, Key)> {
        let mut keys = self.create_keys(1).await?;
        keys.pop().ok_or_else(|| Error::Bug("no key was made".to_owned()))
    }

    /// Destroys life keys for good: when this returns, neither these files nor an older copy of `ring.sqlite` yield
    /// them. Ids that are unknown or destroyed already are passed over, so a list may be replayed. Give many at once:
    /// each call writes the root page and syncs three times.
    pub async fn destroy(&self, ids: &[LifeKeyId]) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Destroy { ids: ids.to_vec(), reply })?;
        answer.await.unwrap_or(Err(Error::Closed))
    }

    /// The same, for threads. Panics inside an async task.
    pub fn destroy_blocking(&self, ids: &[LifeKeyId]) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Destroy { ids: ids.to_vec(), reply })?;
        answer.blocking_recv().unwrap_or(Err(Error::Closed))
    }

    /// Gives the ring a new ring key under today's master key, and with `pages` each page a new page key. Durable when
    /// it returns; life keys stay as they are.
    pub async fn rekey(&self, pages: bool) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Rekey { pages, reply })?;
        answer.await.unwrap_or(Err(Error::Closed))
    }

    /// The life key, from memory; `None` when it was destroyed or never was.
    pub fn key(&self, id: LifeKeyId) -> Option<Key> {
        self.look_again(id);
        self.tree(|tree| tree.key(id).cloned())
    }

    /// Who looks beside a process that writes meets rows that are younger than what was read of the ring: a key that is
    /// not there is looked for once more.
    fn look_again(&self, id: LifeKeyId) {
        let Some((folder, master)) = &self.inner.looking else { return };
        if self.tree(|tree| tree.key(id).is_some()) {
            return;
        }
        // When it can't be read now, the key stays missing, and whoever asks says so.
        if let Ok(tree) = Disk::look(folder, master) {
            *self.inner.shared.tree.write().unwrap_or_else(PoisonError::into_inner) = tree;
        }
    }

    /// The life key in its expanded form, for loops over what hangs on it; a few thousand are kept ready. Don't hold
    /// on to it past the operation: it survives the key's destruction.
    pub fn cipher(&self, id: LifeKeyId) -> Option<Arc<Cipher>> {
        self.look_again(id);
        // Under the tree's lock, so that a destruction can't slip between the look-up and the cache.
        self.tree(|tree| {
            let key = tree.key(id)?;
            let mut ciphers = self.inner.shared.ciphers.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(cipher) = ciphers.get(&id) {
                return Some(Arc::clone(cipher));
            }
            if ciphers.len() >= CIPHERS {
                ciphers.clear();
            }
            let cipher = Arc::new(key.cipher());
            ciphers.insert(id, Arc::clone(&cipher));
            Some(cipher)
        })
    }

    /// Wraps the keys of ring backups with today's master key.
    pub(crate) fn rewrap_weeks(&self) -> Result<()> {
        weeks::rewrap(&self.inner.places, &self.inner.master, &self.inner.random)
    }

    /// Every life key's id, for whoever looks for keys that nothing hangs on any more.
    pub fn ids(&self) -> Vec<LifeKeyId> {
        self.tree(Tree::ids)
    }

    /// How many life keys there are.
    pub fn len(&self) -> usize {
        self.tree(Tree::len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How often the ring key has changed; a backup's place in history.
    pub fn generation(&self) -> u64 {
        self.tree(|tree| tree.generation)
    }

    /// Where it is.
    pub fn places(&self) -> &Places {
        &self.inner.places
    }

    fn tree<T>(&self, read: impl FnOnce(&Tree) -> T) -> T {
        read(&self.inner.shared.tree.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn send(&self, job: Job) -> Result<()> {
        let jobs = self.inner.jobs.as_ref().ok_or(Error::Closed)?;
        jobs.send(job).map_err(|_| Error::Closed)
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ring {{ {} keys, generation {} }}", self.len(), self.generation())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was answered to its callers as `Closed`.
            let _ = thread.join();
        }
    }
}

/// While one master key takes another's place, either is enough.
fn meet(places: &Places, master: &Master) -> Result<()> {
    crate::keys::rotate::meet(places, master).map_err(|error| match error {
        crate::keys::Error::Ring(error) => error,
        error => Error::Papers(error.to_string()),
    })
}

fn raw_parts(id: LifeKeyId) -> (i64, usize) {
    let raw = id.raw();
    (raw.div_euclid(page::LEAF as i64), usize::try_from(raw.rem_euclid(page::LEAF as i64)).unwrap_or(0))
}
