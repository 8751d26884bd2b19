//! Makes sets when they are due, keeps the right number of them, and knows what there is.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sealpost_audit::{Audit, Completion, Outcome, Verb};
use sealpost_crypto::{Key, Random};
use sealpost_model::{Actor, BackupId, Client, LifeKeyId, SharedClock, Time};
use sealpost_store::blob::Hold;
use sealpost_store::keys::Keys;
use sealpost_store::{Schema, Scope, Store};

use crate::make::{self, Job, Known};
use crate::place::{self, Place};
use crate::progress::{Progress, Watcher};
use crate::schema::{self, SetRow};
use crate::set::{self, Header, Kind, Manifest};
use crate::{Error, Schedule, proof, restore};

/// What a backup stands on.
pub struct Ground {
    /// Rows and blobs.
    pub store: Store,
    /// Every crate's tables.
    pub schemas: &'static [&'static Schema],
    /// Keys.
    pub keys: Keys,
    /// The log.
    pub audit: Audit,
    /// The time.
    pub clock: SharedClock,
    /// Chance.
    pub random: Random,
}

/// What the configuration says (`[backup]`).
#[derive(Clone, Debug)]
pub struct Options {
    /// The server's name, for whoever holds a set in their hands.
    pub host: String,
    /// Where daily sets go.
    pub daily: Option<String>,
    /// Where weekly sets go.
    pub weekly: Option<String>,
    /// The folder of the key ring's backups, which are never at the same place as the sets.
    pub ring: Option<PathBuf>,
    /// When.
    pub schedule: Schedule,
    /// Bytes a second to a place at most.
    pub max_rate: Option<u64>,
    /// Small files that go with a set: name in the set, and where they lie.
    pub files: Vec<(String, PathBuf)>,
}

/// The service. Clones share it.
#[derive(Clone)]
pub struct Backup {
    inner: Arc<Inner>,
}

struct Inner {
    ground: Ground,
    options: Options,
    running: Mutex<Option<(Kind, Arc<Watcher>)>>,
    /// When a kind failed last, and why: the next try waits a while.
    failed: Mutex<HashMap<Kind, (Time, String)>>,
}

/// How backups of one kind stand, in facts.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Daily or weekly.
    pub kind: Kind,
    /// Where they go; `None` when this kind is not configured.
    pub place: Option<String>,
    /// Sets that can be restored, newest first.
    pub sets: Vec<SetRow>,
    /// When the newest that was made was whole, kept or not.
    pub last: Option<Time>,
    /// When one was last brought back and proved.
    pub verified: Option<Time>,
    /// When the next one is due.
    pub next: Option<Time>,
    /// How far one is that is being made now.
    pub running: Option<Progress>,
}

/// Sets older than this end, whatever else there is (S73).
pub const LIFE: Duration = Duration::from_secs(28 * 86_400);
/// After a failure the next try waits so long.
const PAUSE: Duration = Duration::from_secs(15 * 60);
/// An unfinished set is gone on with for so long; then its snapshot is too old to be worth it.
const UNFINISHED: Duration = Duration::from_secs(24 * 3_600);
/// For so long at most nothing that a set names is deleted, should its maker die.
const HOLD: Duration = Duration::from_secs(60 * 60);
/// How often the schedule is looked at.
const LOOK: Duration = Duration::from_secs(10);

impl Backup {
    /// The service over this ground.
    pub fn new(ground: Ground, options: Options) -> Self {
        let inner = Inner { ground, options, running: Mutex::default(), failed: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// Makes what is due, until `stop`; then a set that is being made stops at its next piece and goes on at the next
    /// start.
    pub async fn serve(&self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                () = self.tick() => {}
            }
            tokio::select! {
                () = &mut stop => break,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        if let Some((_, watch)) = &*self.running() {
            watch.stop();
        }
    }

    /// One look at the schedule: makes what is due, and ends what is past its time.
    pub async fn tick(&self) {
        for kind in Kind::ALL {
            match self.is_due(kind).await {
                Ok(true) => match self.run(kind).await {
                    Ok(set) => tracing::info!(set = %set.id, kind = kind.word(), "a backup set is whole"),
                    Err(Error::Busy | Error::Stopped) => {}
                    Err(error) => {
                        tracing::error!(%error, kind = kind.word(), "no backup was made; trying again later");
                    }
                },
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(%error, kind = kind.word(), "the backup schedule can't be read")
                }
            }
            if let Err(error) = self.retire(kind).await {
                tracing::error!(%error, kind = kind.word(), "old backup sets could not be ended; trying again");
            }
        }
        if let Err(error) = self.tidy().await {
            tracing::error!(%error, "proofs of backups could not be taken over; trying again");
        }
    }

    /// Whether a set of this kind is to be made now.
    ///
    /// # Errors
    /// The store's.
    pub async fn is_due(&self, kind: Kind) -> Result<bool, Error> {
        let now = self.now();
        if self.place_of(kind).is_none() {
            return Ok(false);
        }
        if self.failures().get(&kind).is_some_and(|(at, _)| now.since(*at) < PAUSE && *at <= now) {
            return Ok(false);
        }
        let slot = self.inner.options.schedule.slot(kind, now);
        let sets = self.sets().await?;
        Ok(!sets.iter().any(|s| s.kind == kind && s.finished.is_some() && s.created >= slot))
    }

    /// Makes a set now, or goes on with one that was cut short; then ends those that are one too many.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::NoPlace`], and whatever keeps it from being made.
    pub async fn run(&self, kind: Kind) -> Result<SetRow, Error> {
        let watch = Arc::new(Watcher::new(self.inner.options.max_rate));
        {
            let mut running = self.running();
            if running.is_some() {
                return Err(Error::Busy);
            }
            *running = Some((kind, Arc::clone(&watch)));
        }
        let slot = Arc::new(Slot(self.clone()));
        // When this future is dropped, the thread that works for it stops at its next piece and frees the slot then.
        let stop = StopOnDrop(Arc::clone(&watch));
        let set = self.make(kind, watch, slot).await;
        drop(stop);
        match &set {
            Ok(_) => self.failures().remove(&kind),
            Err(error) => self.failures().insert(kind, (self.now(), error.to_string())),
        };
        let set = set?;
        self.retire(kind).await?;
        Ok(set)
    }

    async fn make(&self, kind: Kind, watch: Arc<Watcher>, slot: Arc<Slot>) -> Result<SetRow, Error> {
        let place = self.place(kind)?;
        let (row, key) = self.begin(kind).await?;
        let header = self.header(&row);
        let audit = &self.inner.ground.audit;
        let draft = audit
            .draft(sealpost_audit::instance(), &Actor::System, &Client::SYSTEM, Verb::Backup)
            .reason(kind.word())
            .object(row.id);
        let open = audit.open(draft).await?;
        let earlier: Vec<(Header, Key)> = self
            .sets()
            .await?
            .iter()
            .filter(|s| s.kind == kind && s.is_there())
            .filter_map(|s| Some((self.header(s), self.key(s.life)?)))
            .collect();
        let (store, random) = (self.inner.ground.store.clone(), self.inner.ground.random.clone());
        let (schemas, host) = (self.inner.ground.schemas, self.inner.options.host.clone());
        let files = self.inner.options.files.clone();
        let spool = self.spool(row.id);
        let made = blocking(move || {
            let _slot = slot;
            claim(&*place, kind, &header.server)?;
            let there = make::there(&*place)?;
            let mut known = Known::default();
            for (earlier, key) in earlier {
                match restore::open(&*place, earlier, &key) {
                    Ok(opened) => known.learn(&opened.manifest, &there),
                    Err(error) => tracing::warn!(%error, "an earlier backup set can't be read"),
                }
            }
            let (place, key, host) = (&*place, &key, &*host);
            let (store, random, watch) = (&store, &random, &*watch);
            Job { store, schemas, random, place, spool, header, key, host, files, known, watch }.run()
        });
        let hold = sealpost_store::blob::hold(&self.inner.ground.store, HOLD).await?;
        let made = renewing(&hold, made).await;
        hold.release().await?;
        let made = match made {
            Ok(made) => made,
            Err(error) => {
                open.complete(Completion::from(Outcome::Failed).detail(error.to_string())).await?;
                return Err(error);
            }
        };
        if let Err(error) = self.keep_ring(&row).await {
            open.complete(Completion::from(Outcome::Failed).detail(error.to_string())).await?;
            return Err(error);
        }
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let (bytes, added) = (count(made.manifest.bytes()), count(made.added));
        let row = SetRow { finished: Some(self.now()), bytes, added, ..row };
        let done = Completion::from(Outcome::Done).detail(format!("{bytes} bytes, {added} of them new"));
        let entry = open.completion(done).await?;
        let (mac, written) = (row.mac(self.inner.ground.keys.instance()), row.clone());
        let write = self.inner.ground.store.write(Scope::instance(), move |tx| {
            schema::update(tx, &written, &mac)?;
            sealpost_audit::insert_completion(tx, &entry)
        });
        write.await?;
        Ok(row)
    }

    /// A backup of the key ring of the same hour as the set: an older one lacks the keys of what is new in the set.
    async fn keep_ring(&self, row: &SetRow) -> Result<(), Error> {
        let Some(path) = self.ring_file(row.id) else { return Ok(()) };
        let (ring, now) = (self.inner.ground.keys.ring().clone(), self.now());
        let keep = move || -> Result<(), Error> {
            if let Some(folder) = path.parent() {
                make::folder(folder)?;
            }
            // An earlier try may have left one, which is older than the set now.
            remove_file(&path)?;
            ring.backup(&path, now)?;
            Ok(())
        };
        blocking(keep).await
    }

    /// Where the backup of the key ring lies that belongs to a set.
    pub fn ring_file(&self, set: BackupId) -> Option<PathBuf> {
        self.inner.options.ring.as_ref().map(|folder| folder.join(format!("{set}.ring")))
    }

    /// The row of the set to make: an unfinished one that is young enough, or a new one with a life key of its own.
    async fn begin(&self, kind: Kind) -> Result<(SetRow, Key), Error> {
        let now = self.now();
        for row in self.sets().await? {
            if row.kind == kind && row.finished.is_none() && row.ended.is_none() {
                match self.key(row.life).filter(|_| now.since(row.created) < UNFINISHED && row.created <= now)
                {
                    Some(key) => return Ok((row, key)),
                    None => self.end(row, "unfinished").await?,
                }
            }
        }
        let Ground { store, keys, .. } = &self.inner.ground;
        let (life, key) = keys.ring().create_key().await?;
        let row = SetRow {
            id: store.id(),
            kind,
            life,
            created: now,
            finished: None,
            verified: None,
            ended: None,
            bytes: 0,
            added: 0,
        };
        let (mac, written) = (row.mac(keys.instance()), row.clone());
        store.write(Scope::instance(), move |tx| schema::insert(tx, &written, &mac)).await?;
        Ok((row, key))
    }

    /// After a restore from `set`: its row is as it was while the set was made, and says now that it is whole. A set
    /// that was being made besides is ended.
    ///
    /// # Errors
    /// The store's, the ring's, the log's.
    pub async fn after_restore(&self, set: BackupId) -> Result<(), Error> {
        for row in self.sets().await?.into_iter().filter(|s| s.finished.is_none() && s.ended.is_none()) {
            if row.id != set {
                self.end(row, "cut short by a restore").await?;
                continue;
            }
            let Ground { store, keys, .. } = &self.inner.ground;
            let row = SetRow { finished: Some(row.created), ..row };
            let mac = row.mac(keys.instance());
            store.write(Scope::instance(), move |tx| schema::update(tx, &row, &mac)).await?;
        }
        Ok(())
    }

    /// Ends the sets of a kind that are one too many or past four weeks, and deletes what no set names any more.
    ///
    /// # Errors
    /// The place's, the ring's, the log's. What was ended stays ended.
    pub async fn retire(&self, kind: Kind) -> Result<usize, Error> {
        let now = self.now();
        let sets = self.sets().await?;
        let whole = sets.iter().filter(|s| s.kind == kind && s.is_there());
        let over: Vec<SetRow> = whole
            .enumerate()
            .filter(|(n, s)| *n >= kind.kept() || now.since(s.created) >= LIFE)
            .map(|(_, s)| s.clone())
            .collect();
        let ended = over.len();
        for row in over {
            self.end(row, "past its time").await?;
        }
        if ended > 0 && self.place_of(kind).is_some() {
            self.sweep(kind).await?;
        }
        Ok(ended)
    }

    /// Ends a set: its key first, then its file, then the word about it.
    async fn end(&self, row: SetRow, why: &'static str) -> Result<(), Error> {
        let Ground { store, keys, audit, .. } = &self.inner.ground;
        let draft = audit
            .draft(sealpost_audit::instance(), &Actor::System, &Client::SYSTEM, Verb::BackupEnd)
            .reason(row.kind.word())
            .object(row.id)
            .object(row.life)
            .detail(why);
        let open = audit.open(draft).await?;
        keys.ring().destroy(&[row.life]).await?;
        let (file, spool) = (set::set_file(row.id), self.spool(row.id));
        let (place, ring) = (self.place(row.kind).ok(), self.ring_file(row.id));
        let removed = blocking(move || {
            let _ = std::fs::remove_dir_all(spool);
            ring.map_or(Ok(()), |ring| remove_file(&ring))?;
            place.map_or(Ok(()), |place| place.remove(&file).and_then(|()| place.settle()))
        });
        let removed = removed.await;
        let how = match &removed {
            Ok(()) => Completion::from(Outcome::Done),
            // Its key is gone, which is what counts; the file is tried again with the next sweep.
            Err(error) => Completion::from(Outcome::Done).detail(format!("its file stays for now: {error}")),
        };
        let entry = open.completion(how).await?;
        let row = SetRow { ended: Some(self.now()), ..row };
        let mac = row.mac(keys.instance());
        let write = store.write(Scope::instance(), move |tx| {
            schema::update(tx, &row, &mac)?;
            sealpost_audit::insert_completion(tx, &entry)
        });
        Ok(write.await?)
    }

    /// Deletes the files of sets that ended, and the segments that no set at the place names. When there is a set that
    /// can't be opened (one of a later time than this restored server's) no segment goes.
    async fn sweep(&self, kind: Kind) -> Result<(), Error> {
        let place = self.place(kind)?;
        let (server, now) = (self.server(), self.now());
        let rows = self.sets().await?;
        let ring = self.inner.ground.keys.ring().clone();
        let sweep = move || -> Result<(), Error> {
            let mut named = std::collections::HashSet::new();
            let mut blind = false;
            for header in sets_at(&*place)?.into_iter().filter(|h| h.server == server) {
                let row = rows.iter().find(|r| r.id == header.set);
                let over = row.map_or(now.since(header.created) >= LIFE, |r| r.ended.is_some());
                if over {
                    place.remove(&header.file())?;
                    continue;
                }
                let key = ring.key(header.life);
                match key.and_then(|key| restore::open(&*place, header, &key).ok()) {
                    Some(opened) => named.extend(opened.manifest.segments().map(|s| s.file())),
                    None => blind = true,
                }
            }
            if !blind {
                for file in make::there(&*place)? {
                    if !named.contains(&file) {
                        place.remove(&file)?;
                    }
                }
            }
            place.settle()
        };
        blocking(sweep).await
    }

    /// Takes over what `sealpost backup verify` left in the data folder, and ends the keys of ring backups that are due.
    async fn tidy(&self) -> Result<(), Error> {
        let (ring, now) = (self.inner.ground.keys.ring().clone(), self.now());
        blocking(move || Ok(ring.bury_weeks(now).map(drop)?)).await?;
        let sets = self.sets().await?;
        for (path, bytes) in proof::left(self.inner.ground.store.data())? {
            let header = Header::parse(&bytes)?;
            let row = header.and_then(|h| sets.iter().find(|s| s.id == h.set && s.is_there()));
            if let Some((header, row)) = header.zip(row)
                && let Some(at) = self.key(row.life).and_then(|key| proof::open(header, &key, &bytes))
                && self.header(row) == header
                && row.verified.is_none_or(|before| before < at)
            {
                self.verified(row.id, at).await?;
            }
            remove_file(&path)?;
        }
        Ok(())
    }

    /// Notes that a set was brought back and proved.
    ///
    /// # Errors
    /// [`Error::NoSet`], the store's and the log's.
    pub async fn verified(&self, set: BackupId, at: Time) -> Result<(), Error> {
        let Ground { store, keys, audit, .. } = &self.inner.ground;
        let row = self.sets().await?.into_iter().find(|s| s.id == set && s.is_there());
        let row = row.ok_or_else(|| Error::NoSet(set.to_string()))?;
        let draft = audit
            .draft(sealpost_audit::instance(), &Actor::System, &Client::SYSTEM, Verb::BackupVerify)
            .reason(row.kind.word())
            .object(set)
            .note("at", at.rfc3339());
        let entry = audit.seal(draft).await?;
        let row = SetRow { verified: Some(at), ..row };
        let mac = row.mac(keys.instance());
        let write = store.write(Scope::instance(), move |tx| {
            schema::update(tx, &row, &mac)?;
            sealpost_audit::insert(tx, &entry)
        });
        Ok(write.await?)
    }

    /// All sets that this server remembers, newest first. A row that was changed stops the list.
    ///
    /// # Errors
    /// The store's.
    pub async fn sets(&self) -> Result<Vec<SetRow>, Error> {
        sets(&self.inner.ground.store, &self.inner.ground.keys).await
    }

    /// What a backup page shows: where, when, what there is, when one was last proved (S75).
    ///
    /// # Errors
    /// The store's.
    pub async fn standing(&self) -> Result<Vec<Standing>, Error> {
        let (sets, now) = (self.sets().await?, self.now());
        let running = self.running().as_ref().map(|(kind, watch)| (*kind, watch.progress()));
        let of = |kind: Kind| {
            let mine = || sets.iter().filter(move |s| s.kind == kind);
            let place = self.place_of(kind);
            Standing {
                kind,
                next: place.map(|_| self.inner.options.schedule.next(kind, now)),
                place: place.map(str::to_owned),
                sets: mine().filter(|s| s.is_there()).cloned().collect(),
                last: mine().filter_map(|s| s.finished).max(),
                verified: mine().filter_map(|s| s.verified).max(),
                running: running.clone().filter(|(k, _)| *k == kind).map(|(_, progress)| progress),
            }
        };
        Ok(Kind::ALL.into_iter().map(of).collect())
    }

    /// The life key of a set, while it lives.
    pub fn key(&self, life: LifeKeyId) -> Option<Key> {
        self.inner.ground.keys.ring().key(life)
    }

    /// The place of a kind, opened.
    ///
    /// # Errors
    /// [`Error::NoPlace`].
    pub fn place(&self, kind: Kind) -> Result<Box<dyn Place>, Error> {
        place::open(self.place_of(kind).ok_or(Error::NoPlace(kind.word()))?)
    }

    /// The set's header.
    pub fn header(&self, row: &SetRow) -> Header {
        let SetRow { kind, id: set, life, created, .. } = *row;
        Header { kind, set, life, created, server: self.server() }
    }

    fn place_of(&self, kind: Kind) -> Option<&str> {
        match kind {
            Kind::Daily => self.inner.options.daily.as_deref(),
            Kind::Weekly => self.inner.options.weekly.as_deref(),
        }
    }

    fn server(&self) -> [u8; 16] {
        self.inner.ground.keys.instance().blind("backup_set.server", b"")
    }

    fn spool(&self, set: BackupId) -> PathBuf {
        self.inner.ground.store.data().join("backup-spool").join(set.to_string())
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<(Kind, Arc<Watcher>)>> {
        self.inner.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the last try of this kind failed, if it did.
    pub fn failure(&self, kind: Kind) -> Option<String> {
        self.failures().get(&kind).map(|(_, why)| why.clone())
    }

    fn failures(&self) -> std::sync::MutexGuard<'_, HashMap<Kind, (Time, String)>> {
        self.inner.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Time {
        self.inner.ground.clock.now()
    }
}

/// Waits for work, and keeps holding what it copies meanwhile.
async fn renewing<T>(hold: &Hold, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    let mut again = tokio::time::interval(HOLD / 4);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = again.tick() => {
                if let Err(error) = hold.renew(HOLD).await {
                    tracing::warn!(%error, "what a backup copies could not be held; trying again");
                }
            }
        }
    }
}

/// Runs file work on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Error::Store(sealpost_store::Error::Bug(e.to_string())))?
}

fn remove_file(path: &std::path::Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::file(path, &e)),
        _ => Ok(()),
    }
}

/// That a set is being made: one at a time. It is free when whoever works on it is done.
struct Slot(Backup);

impl Drop for Slot {
    fn drop(&mut self) {
        *self.0.running() = None;
    }
}

struct StopOnDrop(Arc<Watcher>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// The rows of sets in a store, newest first, each held against its MAC.
///
/// # Errors
/// The store's; `Corrupt` for a row that was changed.
pub async fn sets(store: &Store, keys: &Keys) -> Result<Vec<SetRow>, Error> {
    let rows = store.read(schema::newest).await?;
    rows.into_iter()
        .map(|(row, mac)| {
            if sealpost_crypto::constant_time_eq(&row.mac(keys.instance()), &mac) {
                Ok(row)
            } else {
                let id = sealpost_model::Id::raw(row.id);
                Err(sealpost_store::Error::Corrupt { what: "backup_set", id }.into())
            }
        })
        .collect()
}

/// What sets lie at a place, newest first; nothing is opened.
///
/// # Errors
/// The place's, and [`Error::Newer`].
pub fn sets_at(place: &dyn Place) -> Result<Vec<Header>, Error> {
    let mut out = Vec::new();
    for name in place.list(set::SETS)? {
        if name.ends_with(".set") {
            let bytes = place.get(&name)?.unwrap_or_default();
            out.extend(Header::parse(&bytes)?.filter(|header| header.file() == name));
        }
    }
    out.sort_by_key(|header| std::cmp::Reverse((header.created, header.set)));
    Ok(out)
}

/// Takes a place for this server and kind; refuses one that is another's.
fn claim(place: &dyn Place, kind: Kind, server: &[u8; 16]) -> Result<(), Error> {
    let ours = set::owner(kind, server);
    match place.get(set::OWNER)? {
        Some(found) if found == ours => Ok(()),
        Some(found) => {
            let other = set::owner(kind, &[0; 16]);
            let same_kind = found.get(..12) == other.get(..12);
            let owner = if same_kind { "another server" } else { "sets of the other kind" };
            Err(Error::Foreign { place: place.name(), owner: owner.into() })
        }
        None => place.put(set::OWNER, &ours),
    }
}

/// Opens a set with whatever gives life keys.
///
/// # Errors
/// [`Error::Dead`] when its key is not there any more.
pub fn open_with<'a>(
    place: &'a dyn Place,
    header: Header,
    key: impl FnOnce(LifeKeyId) -> Option<Key>,
) -> Result<restore::Opened<'a>, Error> {
    use sealpost_model::Id as _;
    let key = key(header.life).ok_or(Error::Dead { set: header.set.raw(), life: header.life.raw() })?;
    restore::open(place, header, &key)
}

/// What a manifest says, for people.
pub fn summary(manifest: &Manifest) -> String {
    format!(
        "{} rows of {} tables, {} packs, {} bytes",
        manifest.rows(),
        manifest.tables.len(),
        manifest.packs.len(),
        manifest.bytes()
    )
}
