//! Rotation: keys get new keys around them, or new ones in their place, while the server works. Rows are never sealed
//! anew: wrapped keys name what wraps them, so a rotation is a rewrap.
//!
//! | what | does |
//! |---|---|
//! | `master` | another master key takes the old one's place: it wraps the ring key, the instance key and all roots |
//! | `ring` | the ring gets a new ring key, and each of its pages a new page key |
//! | `roots` | each tenant's roots get new life keys around them; the old ones die, and with them older copies of the rows |
//! | `data` | each tenant that is in memory seals with new data keys from now on |
//!
//! The roots themselves stay: look-ups and MACs hang on them, so a new root would be a reseal of every row.
//!
//! # A new master key, in the order that survives a crash
//!
//! 1. The new key is durable where it will live (a file, or the paper `master.next`).
//! 2. The paper `rotation` holds each of both keys wrapped by the other. From here on either of them is enough.
//! 3. The kit gets both; the ring, the roots and the weekly keys are rewrapped; `master.next` becomes `master`.
//! 4. The kit gets the new one alone, and the paper is overwritten and removed. From here on the old one opens nothing.
//!
//! Whatever moment it stops at, the next start goes on with step 3.

#[cfg(test)]
mod tests;

use std::sync::PoisonError;

use sealpost_crypto::{Aad, Key, base32};
use sealpost_model::{Id, LifeKeyId};

use super::master::{Fingerprint, NewMaster, One, kept};
use super::{Error, Keys, Master, NEXT_ROOT, Purpose, REWRAP_ROOT, Result, StoredRoot, recovery};
use crate::ring::{Paper, Places};
use crate::{ReadTx, Scope, params};

const NAME: &str = "rotation";
const FORMAT: &str = "sealpost-rotation-1";
/// Life keys of roots that will die, should this process not live to do it.
const OLD_LIVES: &str = "rotation-roots";
const OLD_LIVES_FORMAT: &str = "sealpost-old-lives-1";
/// Roots rewrapped in one transaction.
const CHUNK: usize = 100;

/// How far a rotation is.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Progress {
    /// `master`, `roots`, `ring`, `data`.
    pub what: &'static str,
    /// What is being done, in words.
    pub step: &'static str,
    /// Keys rewrapped or made so far.
    pub done: u64,
}

/// Where a rotation of the master key may stop, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    NewKept,
    PaperWritten,
    KitSealed,
    RingRewrapped,
    RootsRewrapped,
    Promoted,
    KitResealed,
}

/// Nothing in the product; in tests, what happens at each stop.
#[derive(Default)]
pub(super) struct Stops {
    #[cfg(test)]
    pub hook: std::sync::Mutex<Option<StopHook>>,
}

#[cfg(test)]
pub(super) type StopHook = Box<dyn Fn(Stop) -> Result<()> + Send>;

impl Stops {
    fn pass(&self, stop: Stop) -> Result<()> {
        #[cfg(test)]
        if let Some(hook) = &*self.hook.lock().unwrap_or_else(PoisonError::into_inner) {
            return hook(stop);
        }
        let _ = stop;
        Ok(())
    }
}

impl Keys {
    /// Puts another master key in the place of today's. Everything goes on meanwhile; answers how many keys were
    /// rewrapped.
    ///
    /// # Errors
    /// [`Error::Rotating`] when one is under way. After any other error [`Keys::resume`] goes on where it stopped.
    pub async fn rotate_master(&self, new: NewMaster) -> Result<u64> {
        let _turn = self.inner.rotating.try_lock().map_err(|_| Error::Rotating)?;
        let places = self.ring().places();
        if places.read_paper(NAME)?.is_some() {
            return Err(Error::Rotating);
        }
        let master = self.master();
        if master.knows(&new.one.fingerprint) {
            return Err(Error::Master("this is today's master key: give another one".to_owned()));
        }
        if let Some(paper) = &new.paper {
            places.write_paper(kept::NEXT, &paper.text(kept::FORMAT))?;
        }
        self.inner.stops.pass(Stop::NewKept)?;
        write_rotation(places, master, &new, self.inner.store.random())?;
        self.inner.stops.pass(Stop::PaperWritten)?;
        master.begin(new.one);
        self.finish().await
    }

    /// Ends a rotation that was cut short; `None` when there is none.
    ///
    /// # Errors
    /// As [`Keys::rotate_master`].
    pub async fn resume(&self) -> Result<Option<u64>> {
        let _turn = self.inner.rotating.try_lock().map_err(|_| Error::Rotating)?;
        self.bury_old_lives().await?;
        let places = self.ring().places();
        if places.read_paper(NAME)?.is_none() {
            return Ok(None);
        }
        meet(places, self.master())?;
        self.finish().await.map(Some)
    }

    /// Whether a rotation of the master key is under way, or was cut short.
    ///
    /// # Errors
    /// [`Error::Ring`].
    pub fn is_rotating(&self) -> Result<bool> {
        Ok(self.ring().places().read_paper(NAME)?.is_some())
    }

    /// How far the rotation is that runs in this process.
    pub fn progress(&self) -> Option<Progress> {
        self.inner.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives the ring a new ring key and each page a new page key.
    ///
    /// # Errors
    /// [`Error::Ring`], [`Error::Rotating`].
    pub async fn rotate_ring(&self) -> Result<()> {
        let _turn = self.inner.rotating.try_lock().map_err(|_| Error::Rotating)?;
        let _shown = self.shown("ring", "the ring key and all pages", 0);
        Ok(self.ring().rekey(true).await?)
    }

    /// Has each tenant in memory seal with new data keys from now on. Answers how many keys were made.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn rotate_data(&self) -> Result<u64> {
        let _turn = self.inner.loading.lock().await;
        let _shown = self.shown("data", "new data keys", 0);
        let known: Vec<_> =
            self.inner.tenants.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for (at, keys) in known.iter().enumerate() {
            keys.renew().await?;
            self.show("data", "new data keys", 2 * at as u64);
        }
        Ok(2 * known.len() as u64)
    }

    /// Wraps each tenant's roots with new life keys, and destroys the old ones. Answers how many roots there were.
    ///
    /// # Errors
    /// [`Error::Rotating`], [`Error::Ring`], [`Error::Store`].
    pub async fn rotate_roots(&self) -> Result<u64> {
        let _turn = self.inner.rotating.try_lock().map_err(|_| Error::Rotating)?;
        let _shown = self.shown("roots", "new life keys around the roots", 0);
        self.bury_old_lives().await?;
        let mut done = 0;
        let mut after = (i64::MIN, 0, 0);
        loop {
            let mut chunk = self.roots_after(after).await?;
            let Some(last) = chunk.last() else { return Ok(done) };
            after = (last.tenant.raw(), last.kind, last.epoch);
            chunk.retain(|root| self.lives(root));
            let old: Vec<LifeKeyId> = chunk.iter().filter_map(|root| root.life).collect();
            let fresh = self.ring().create_keys(old.len()).await?;
            let lives: Vec<LifeKeyId> = old.iter().copied().chain(fresh.iter().map(|(id, _)| *id)).collect();
            write_old_lives(self.ring().places(), &lives)?;
            let mut fresh = fresh.iter();
            let rewrapped = chunk
                .iter()
                .map(|root| Ok((root, self.rewrapped(root, root.life.and_then(|_| fresh.next()))?)))
                .collect::<Result<Vec<_>>>()?;
            done += self.put_rewrapped(rewrapped).await?;
            self.bury_old_lives().await?;
            self.show("roots", "new life keys around the roots", done);
        }
    }

    async fn finish(&self) -> Result<u64> {
        let _shown = self.shown("master", "the recovery kit", 0);
        let inner = &self.inner;
        let (places, master, random) = (self.ring().places().clone(), &inner.master, inner.store.random());
        recovery::reseal(&places, master, random)?;
        inner.stops.pass(Stop::KitSealed)?;
        self.show("master", "the ring key", 0);
        self.ring().rekey(false).await?;
        self.ring().rewrap_weeks()?;
        inner.stops.pass(Stop::RingRewrapped)?;
        let mut done = 1;
        // Until a whole round finds nothing: another node may have made a tenant meanwhile.
        loop {
            let before = done;
            let mut after = (i64::MIN, 0, 0);
            loop {
                let chunk = self.roots_after(after).await?;
                let Some(last) = chunk.last() else { break };
                after = (last.tenant.raw(), last.kind, last.epoch);
                let rewrapped = chunk
                    .iter()
                    .filter(|root| root.wrapper != master.fingerprint() && self.lives(root))
                    .map(|root| {
                        let life = root.life.and_then(|id| Some((id, self.ring().key(id)?)));
                        Ok((root, self.rewrapped(root, life.as_ref())?))
                    })
                    .collect::<Result<Vec<_>>>()?;
                done += self.put_rewrapped(rewrapped).await?;
                self.show("master", "the instance key and the roots", done);
            }
            if done == before {
                break;
            }
        }
        inner.stops.pass(Stop::RootsRewrapped)?;
        promote(&places)?;
        inner.stops.pass(Stop::Promoted)?;
        master.settle();
        recovery::reseal(&places, master, random)?;
        inner.stops.pass(Stop::KitResealed)?;
        for shelf in places.shelves() {
            shelf.remove(NAME)?;
        }
        Ok(done)
    }

    /// Up to [`CHUNK`] roots behind this one, in order.
    pub(super) async fn roots_after(
        &self,
        (tenant, kind, epoch): (i64, i64, i64),
    ) -> Result<Vec<StoredRoot>> {
        let read = move |tx: &ReadTx| -> Result<Vec<StoredRoot>> {
            let mut rows = tx.rows(&NEXT_ROOT, params![tenant, kind, epoch], |r| {
                let life = Some(r.id(3)?).filter(|id: &LifeKeyId| id.raw() != 0);
                Ok(StoredRoot {
                    tenant: r.id(0)?,
                    kind: r.int(1)?,
                    epoch: r.int(2)?,
                    life,
                    wrapper: r.bytes(4)?,
                    wrapped: r.bytes(5)?,
                })
            })?;
            rows.truncate(CHUNK);
            Ok(rows)
        };
        self.inner.store.read(read).await
    }

    /// Whether its life key was not destroyed.
    fn lives(&self, root: &StoredRoot) -> bool {
        root.life.is_none_or(|id| self.ring().key(id).is_some())
    }

    /// The same root under today's master key and `life`.
    fn rewrapped(&self, root: &StoredRoot, life: Option<&(LifeKeyId, Key)>) -> Result<StoredRoot> {
        let inner = &self.inner;
        let key = root.open(&inner.master, &inner.ring)?;
        Ok(StoredRoot::wrap(
            inner.store.random(),
            &inner.master,
            life,
            root.tenant,
            root.kind,
            root.epoch,
            &key,
        ))
    }

    /// Writes them in the place of those that are as they were read.
    async fn put_rewrapped(&self, roots: Vec<(&StoredRoot, StoredRoot)>) -> Result<u64> {
        if roots.is_empty() {
            return Ok(0);
        }
        let rows: Vec<(Vec<u8>, StoredRoot)> =
            roots.into_iter().map(|(old, new)| (old.wrapped.clone(), new)).collect();
        let write = move |tx: &mut crate::Tx| -> Result<u64> {
            let mut done = 0;
            for (old, new) in &rows {
                let life = new.life.map_or(0, Id::raw);
                let row = params![new.tenant, new.kind, new.epoch, life, new.wrapper, new.wrapped, old];
                done += tx.execute(&REWRAP_ROOT, row)? as u64;
            }
            Ok(done)
        };
        self.inner.store.write(Scope::instance(), write).await
    }

    /// Destroys the life keys in the paper that wrap no root (any more).
    async fn bury_old_lives(&self) -> Result<()> {
        let places = self.ring().places().clone();
        let Some(text) = places.read_paper(OLD_LIVES)? else { return Ok(()) };
        let paper = Paper::parse(OLD_LIVES_FORMAT, &text).unwrap_or_default();
        let mut old: Vec<i64> = paper.all("life").filter_map(|id| id.parse().ok()).collect();
        let mut after = (i64::MIN, 0, 0);
        loop {
            let chunk = self.roots_after(after).await?;
            let Some(last) = chunk.last() else { break };
            after = (last.tenant.raw(), last.kind, last.epoch);
            old.retain(|id| chunk.iter().all(|root| root.life.map_or(0, Id::raw) != *id));
        }
        let old: Vec<LifeKeyId> = old.into_iter().map(LifeKeyId::from_raw).collect();
        self.ring().destroy(&old).await?;
        for shelf in places.shelves() {
            shelf.remove(OLD_LIVES)?;
        }
        Ok(())
    }

    fn show(&self, what: &'static str, step: &'static str, done: u64) {
        *self.inner.progress.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Progress { what, step, done });
    }

    /// Shows how far it is, until the answer is dropped.
    fn shown(&self, what: &'static str, step: &'static str, done: u64) -> Shown<'_> {
        self.show(what, step, done);
        Shown(self)
    }
}

struct Shown<'a>(&'a Keys);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        *self.0.inner.progress.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Where a rotation is under way: has whoever holds one of both master keys hold the other too.
///
/// # Errors
/// [`Error::Master`] when the paper was changed.
pub(crate) fn meet(places: &Places, master: &Master) -> Result<()> {
    let Some(text) = places.read_paper(NAME)? else { return Ok(()) };
    let damaged = || {
        Error::Master(
            "the file `rotation` beside the key ring is damaged: put it back from a backup".to_owned(),
        )
    };
    let paper = Paper::parse(FORMAT, &text).ok_or_else(damaged)?;
    let (from, to) = (paper.array("from").ok_or_else(damaged)?, paper.array("to").ok_or_else(damaged)?);
    let open = |by: &Fingerprint, line: &str| -> Result<One> {
        let wrapped = paper.bytes(line).ok_or_else(damaged)?;
        let key = master.unwrap(Purpose::Rotation, by, &rotation_aad(&from, &to), &wrapped);
        Ok(One::new(key.map_err(|_| damaged())?))
    };
    let (new, old) = match (master.knows(&from), master.knows(&to)) {
        (true, true) => return Ok(()),
        (true, false) => (open(&from, "new-by-old")?, master.current()),
        (false, true) => (master.current(), open(&to, "old-by-new")?),
        (false, false) => return Ok(()),
    };
    master.hold(new, old);
    Ok(())
}

fn write_rotation(
    places: &Places,
    master: &Master,
    new: &NewMaster,
    random: &sealpost_crypto::Random,
) -> Result<()> {
    let old = master.current();
    let aad = rotation_aad(&old.fingerprint, &new.one.fingerprint);
    let (_, new_by_old) = master.wrap(Purpose::Rotation, random, &aad, &new.one.key);
    let (_, old_by_new) = Master::from(new.one.clone()).wrap(Purpose::Rotation, random, &aad, &old.key);
    let paper = Paper::default()
        .with_bytes("from", &old.fingerprint)
        .with_bytes("to", &new.one.fingerprint)
        .with("kept", if new.paper.is_some() { "beside" } else { "elsewhere" })
        .with_bytes("new-by-old", &new_by_old)
        .with_bytes("old-by-new", &old_by_new);
    Ok(places.write_paper(NAME, &paper.text(FORMAT))?)
}

/// `master.next` becomes `master`; a master key that is kept elsewhere from now on leaves none.
fn promote(places: &Places) -> Result<()> {
    let kept_beside = places
        .read_paper(NAME)?
        .and_then(|text| Paper::parse(FORMAT, &text)?.get("kept").map(|kept| kept == "beside"))
        .unwrap_or(false);
    if kept_beside {
        // Promoted before, and stopped there, when it is not there any more.
        if let Some(text) = places.read_paper(kept::NEXT)? {
            places.write_paper(kept::NAME, &text)?;
        }
    } else {
        places.shelves().iter().try_for_each(|shelf| shelf.remove(kept::NAME))?;
    }
    Ok(places.shelves().iter().try_for_each(|shelf| shelf.remove(kept::NEXT))?)
}

fn write_old_lives(places: &Places, old: &[LifeKeyId]) -> Result<()> {
    let paper = old.iter().fold(Paper::default(), |paper, id| paper.with("life", id.raw()));
    Ok(places.write_paper(OLD_LIVES, &paper.text(OLD_LIVES_FORMAT))?)
}

fn rotation_aad(from: &Fingerprint, to: &Fingerprint) -> Aad {
    Aad::instance("rotation", 1, "master").with(from).with(to)
}

/// A fingerprint as people see it: eight letters are enough to tell two apart.
pub fn short(fingerprint: &Fingerprint) -> String {
    base32::encode(&fingerprint[..5])
}
