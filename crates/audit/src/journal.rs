//! The node's ordered read journal: what makes a read quick and yet never unrecorded (S53).
//!
//! `DATA/read-journal/0000000042.log` is a run of frames, one an entry, each written with one `write()` before the
//! content leaves. A thread syncs what is dirty within 50 ms. Twice a second the sequencer takes the file away
//! ([`Journal::rotate`]) and ingests it into the table. Frames are sealed with the file's and the frame's number, so
//! that one taken out of the middle, or swapped, is seen.
//!
//! When a write fails, the file is left as it is and reading stops until a new one can be begun. A reserve of disk
//! is kept beside it and given up when the disk is full, so that whoever must read in order to clean up can.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::Error;

/// The journal of this process.
pub(crate) struct Journal {
    shared: Arc<Shared>,
}

struct Shared {
    folder: PathBuf,
    state: Mutex<State>,
    /// Woken when something is dirty, or at the end.
    dirty: Condvar,
    /// How many frames are on the disk for sure.
    synced: watch::Sender<u64>,
}

struct State {
    segment: Option<Segment>,
    /// Files that were ended and are not yet synced.
    ending: Vec<Arc<File>>,
    next: u64,
    /// Frames written by this process.
    written: u64,
    stop: bool,
}

struct Segment {
    number: u64,
    file: Arc<File>,
    frames: u32,
    /// A write or a sync failed: nothing more goes here.
    broken: bool,
}

/// Where a frame stands; it is part of what it is sealed with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Spot {
    pub segment: u64,
    pub frame: u32,
}

/// A frame as it was read back.
pub(crate) struct Frame {
    pub spot: Spot,
    pub tenant: i64,
    pub id: i64,
    pub sealed: Vec<u8>,
}

/// What a file held.
pub(crate) struct Contents {
    pub frames: Vec<Frame>,
    /// Bytes behind the last whole frame: a power cut, or damage.
    pub torn: usize,
}

impl Journal {
    /// Opens the journal in `folder`, which is made if it is missing. Files that are there stay for
    /// [`Journal::closed`].
    pub(crate) fn open(folder: PathBuf) -> Result<Self, Error> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|e| Error::Journal(e.to_string()))?;
        let next = segments(&folder)?.last().map_or(1, |(number, _)| number + 1);
        keep_reserve(&folder);
        let shared = Arc::new(Shared {
            folder,
            state: Mutex::new(State { segment: None, ending: Vec::new(), next, written: 0, stop: false }),
            dirty: Condvar::new(),
            synced: watch::Sender::new(0),
        });
        let thread = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("read-journal".into())
            .spawn(move || thread.sync_in_groups())
            .map_err(|e| Error::Journal(e.to_string()))?;
        Ok(Self { shared })
    }

    /// Appends the frame that `seal` makes for its spot; returns when the kernel has it, with its number for
    /// [`Journal::durable`].
    pub(crate) fn append(
        &self,
        tenant: i64,
        id: i64,
        seal: impl FnOnce(Spot) -> Vec<u8>,
    ) -> Result<u64, Error> {
        let shared = &*self.shared;
        let mut state = shared.lock();
        let segment = match state.segment.take() {
            Some(segment) if segment.broken => {
                // It keeps what it has; the next rotation takes it.
                drop(segment);
                shared.begin(&mut state)?
            }
            Some(segment) => segment,
            None => shared.begin(&mut state)?,
        };
        let mut segment = segment;
        let sealed = seal(Spot { segment: segment.number, frame: segment.frames });
        let frame = encode(tenant, id, &sealed);
        let mut written = (&*segment.file).write(&frame);
        if matches!(&written, Err(e) if e.kind() == std::io::ErrorKind::StorageFull)
            && give_up_reserve(&shared.folder)
        {
            written = (&*segment.file).write(&frame);
        }
        let result = match written {
            Ok(n) if n == frame.len() => {
                segment.frames += 1;
                state.written += 1;
                Ok(state.written)
            }
            Ok(_) => {
                segment.broken = true;
                Err(Error::Journal("the disk is full".into()))
            }
            Err(e) => {
                segment.broken = true;
                Err(Error::Journal(e.to_string()))
            }
        };
        state.segment = Some(segment);
        drop(state);
        shared.dirty.notify_one();
        result
    }

    /// Waits until frame `number` is on the disk.
    pub(crate) async fn durable(&self, number: u64) -> Result<(), Error> {
        let mut synced = self.shared.synced.subscribe();
        synced.wait_for(|s| *s >= number).await.map(drop).map_err(|_| Error::Bug)
    }

    /// Ends the open file, synced, so that it can be ingested; the next append begins another. Blocks.
    pub(crate) fn rotate(&self) -> Result<(), Error> {
        let shared = &*self.shared;
        let mut state = shared.lock();
        let Some(segment) = state.segment.take() else { return Ok(()) };
        state.ending.push(Arc::clone(&segment.file));
        drop(state);
        let result = segment.file.sync_data();
        shared.lock().ending.retain(|file| !Arc::ptr_eq(file, &segment.file));
        if !shared.folder.join(RESERVE).exists() {
            keep_reserve(&shared.folder);
        }
        // What could not be synced is in the kernel still, and goes into the table, which syncs again.
        result.map_err(|e| Error::Journal(e.to_string()))
    }

    /// The files that are ended, oldest first.
    pub(crate) fn closed(&self) -> Result<Vec<(u64, PathBuf)>, Error> {
        let open = self.shared.lock().segment.as_ref().map(|s| s.number);
        let mut found = segments(&self.shared.folder)?;
        found.retain(|(number, _)| Some(*number) != open);
        Ok(found)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.dirty.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, state: &mut State) -> Result<Segment, Error> {
        let number = state.next;
        let path = self.folder.join(format!("{number:010}.log"));
        let open = || OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path);
        let file = match open() {
            Err(e) if e.kind() == std::io::ErrorKind::StorageFull && give_up_reserve(&self.folder) => open(),
            other => other,
        };
        let file = file.map_err(|e| Error::Journal(e.to_string()))?;
        state.next += 1;
        Ok(Segment { number, file: Arc::new(file), frames: 0, broken: false })
    }

    /// The thread: waits for the first dirty frame, a little longer for company, and syncs.
    fn sync_in_groups(&self) {
        let mut folder_synced = 0;
        let mut state = self.lock();
        loop {
            while !state.stop && state.written == *self.synced.borrow() {
                state = self.dirty.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.stop {
                return;
            }
            state = self
                .dirty
                .wait_timeout_while(state, GROUP, |s| !s.stop)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            let open = state.segment.as_ref().map(|s| s.number);
            let files: Vec<_> =
                state.ending.iter().chain(state.segment.as_ref().map(|s| &s.file)).map(Arc::clone).collect();
            let written = state.written;
            drop(state);
            let mut result = files.iter().try_for_each(|file| file.sync_data());
            if let Some(number) = open.filter(|n| folder_synced < *n) {
                result = result.and_then(|()| File::open(&self.folder)?.sync_all());
                folder_synced = number;
            }
            state = self.lock();
            if let Err(error) = result {
                tracing::error!(%error, "the read journal cannot be synced; another file is begun");
                if let Some(segment) = state.segment.as_mut().filter(|s| Some(s.number) == open) {
                    segment.broken = true;
                }
            }
            // After a failure, too: those who wait have it in the kernel, and the next append says what is wrong.
            self.synced.send_modify(|s| *s = written.max(*s));
        }
    }
}

/// Reads a file back.
pub(crate) fn read(number: u64, path: &Path) -> std::io::Result<Contents> {
    let bytes = fs::read(path)?;
    let mut rest = bytes.as_slice();
    let mut frames = Vec::new();
    while let Some((frame, after)) = decode(rest, Spot { segment: number, frame: frames.len() as u32 }) {
        frames.push(frame);
        rest = after;
    }
    Ok(Contents { frames, torn: rest.len() })
}

/// The files of a folder, oldest first.
pub(crate) fn segments(folder: &Path) -> Result<Vec<(u64, PathBuf)>, Error> {
    let list = match fs::read_dir(folder) {
        Ok(list) => list,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::Journal(e.to_string())),
    };
    let mut found = Vec::new();
    for file in list {
        let path = file.map_err(|e| Error::Journal(e.to_string()))?.path();
        let number =
            path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_suffix(".log")?.parse().ok());
        if let Some(number) = number {
            found.push((number, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// `mark, length of what follows, tenant, id, sealed entry`
fn encode(tenant: i64, id: i64, sealed: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEAD + sealed.len());
    frame.extend_from_slice(MARK);
    frame.extend_from_slice(&((16 + sealed.len()) as u32).to_be_bytes());
    frame.extend_from_slice(&tenant.to_be_bytes());
    frame.extend_from_slice(&id.to_be_bytes());
    frame.extend_from_slice(sealed);
    frame
}

fn decode(bytes: &[u8], spot: Spot) -> Option<(Frame, &[u8])> {
    let rest = bytes.strip_prefix(MARK)?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let (body, after) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
    let (tenant, body) = body.split_first_chunk::<8>()?;
    let (id, sealed) = body.split_first_chunk::<8>()?;
    let (tenant, id) = (i64::from_be_bytes(*tenant), i64::from_be_bytes(*id));
    Some((Frame { spot, tenant, id, sealed: sealed.to_vec() }, after))
}

/// Keeps some disk aside. Its absence is no reason to stop anything.
fn keep_reserve(folder: &Path) {
    let path = folder.join(RESERVE);
    if path.exists() {
        return;
    }
    let make = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        for _ in 0..RESERVE_BLOCKS {
            file.write_all(&[0; 64 * 1024])?;
        }
        file.sync_all()
    };
    if let Err(error) = make() {
        tracing::warn!(%error, "no disk can be kept in reserve for the read journal");
        let _ = fs::remove_file(&path);
    }
}

fn give_up_reserve(folder: &Path) -> bool {
    let gone = fs::remove_file(folder.join(RESERVE)).is_ok();
    if gone {
        tracing::error!("the disk is full: the read journal's reserve is in use");
    }
    gone
}

const MARK: &[u8] = b"SRJ1";
const HEAD: usize = 4 + 4 + 16;
const GROUP: Duration = Duration::from_millis(20);
const RESERVE: &str = "reserve";
const RESERVE_BLOCKS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn journal() -> (tempfile::TempDir, Journal) {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = Journal::open(folder.path().to_owned()).expect("opens");
        (folder, journal)
    }

    #[test]
    fn a_full_disk_stops_reading_and_spends_the_reserve() {
        let (folder, journal) = journal();
        let full = Arc::new(OpenOptions::new().write(true).open("/dev/full").expect("opens"));
        let segment = Segment { number: 99, file: full, frames: 0, broken: false };
        journal.shared.lock().segment = Some(segment);
        assert!(folder.path().join(RESERVE).exists());
        let error = journal.append(1, 2, |_| vec![3; 40]).expect_err("nothing is shown");
        assert!(matches!(error, Error::Journal(_)), "{error}");
        assert!(!folder.path().join(RESERVE).exists());
        let mut spot = None;
        journal
            .append(1, 2, |s| {
                spot = Some(s);
                vec![3; 40]
            })
            .expect("a new file is begun");
        assert_eq!(spot, Some(Spot { segment: 1, frame: 0 }));
        journal.rotate().expect("ends");
        assert!(folder.path().join(RESERVE).exists(), "there is disk again");
    }

    #[test]
    fn frames_come_back_in_order_and_a_torn_end_is_told() {
        let (_folder, journal) = journal();
        for n in 0..5_u8 {
            journal.append(7, i64::from(n), |_| vec![n; usize::from(n)]).expect("is written");
        }
        assert!(journal.closed().expect("lists").is_empty(), "the open file is left alone");
        journal.rotate().expect("ends");
        let (number, path) = journal.closed().expect("lists").pop().expect("one file");
        let whole = read(number, &path).expect("reads");
        let ids: Vec<_> =
            whole.frames.iter().map(|f| (f.tenant, f.id, f.sealed.len(), f.spot.frame)).collect();
        assert_eq!(ids, [(7, 0, 0, 0), (7, 1, 1, 1), (7, 2, 2, 2), (7, 3, 3, 3), (7, 4, 4, 4)]);
        assert_eq!(whole.torn, 0);
        let bytes = fs::read(&path).expect("reads");
        fs::write(&path, &bytes[..bytes.len() - 1]).expect("writes");
        let torn = read(number, &path).expect("reads");
        assert_eq!((torn.frames.len(), torn.torn), (4, HEAD + 3));
    }

    #[test]
    fn numbers_go_on_after_a_restart() {
        let (folder, journal) = journal();
        journal.append(1, 1, |_| Vec::new()).expect("is written");
        drop(journal);
        let again = Journal::open(folder.path().to_owned()).expect("opens");
        let mut spot = None;
        again
            .append(1, 2, |s| {
                spot = Some(s);
                Vec::new()
            })
            .expect("is written");
        assert_eq!(spot, Some(Spot { segment: 2, frame: 0 }));
    }
}
