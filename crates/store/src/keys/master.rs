//! The master key in memory: it wraps and unwraps, and does nothing else.
//!
//! Whatever it wrapped names it by its fingerprint, so a process may hold two of them: while one master key takes the
//! place of another, the new one wraps and both unwrap ([`rotate`](super::rotate)). Clones share what they hold, so that
//! the keys, the ring and their tasks turn to the new one at the same moment.
//!
//! Each purpose has a child of its own (ring key, tenant roots, weekly keys), so that what was wrapped for one place
//! opens in no other.

mod file;
pub(super) mod kept;

use std::sync::{Arc, PoisonError, RwLock};

use sealpost_crypto::{Aad, Key, Random, Tampered, sha256};

pub use kept::{Keeper, NewMaster, Passphrase, SHORTEST};

/// Eight bytes that name a master key and tell nothing about it.
pub type Fingerprint = [u8; 8];

/// What wraps the ring key, the instance key and the tenant roots.
#[derive(Clone)]
pub struct Master {
    held: Arc<RwLock<Held>>,
}

struct Held {
    /// What wraps.
    current: One,
    /// What also unwraps, while one takes the other's place.
    other: Option<One>,
}

/// A master key with its name.
#[derive(Clone)]
pub(crate) struct One {
    pub key: Key,
    pub fingerprint: Fingerprint,
}

/// What a master key wraps; each has a child of the key for itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// The ring key.
    Ring,
    /// The instance key and the tenants' roots.
    Roots,
    /// The weekly keys of ring backups.
    Weeks,
    /// Another master key, while it takes this one's place or is taken over by it.
    Rotation,
    /// The MACs of papers beside the ring.
    Papers,
}

impl Purpose {
    const fn label(self) -> &'static str {
        match self {
            Self::Ring => "ring key",
            Self::Roots => "roots",
            Self::Weeks => "weekly keys",
            Self::Rotation => "rotation",
            Self::Papers => "papers",
        }
    }
}

/// Why a master key did not open what it should.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unopened {
    /// Another master key wrapped it.
    Other,
    /// It is not what was wrapped.
    Tampered,
}

impl From<Tampered> for Unopened {
    fn from(_: Tampered) -> Self {
        Self::Tampered
    }
}

impl One {
    pub fn new(key: Key) -> Self {
        let mut fingerprint = [0; 8];
        fingerprint.copy_from_slice(&sha256(key.derive("fingerprint").expose())[..8]);
        Self { key, fingerprint }
    }
}

impl Master {
    /// The master key with these bytes, from wherever they are kept.
    pub fn new(key: Key) -> Self {
        One::new(key).into()
    }

    /// A name for it that tells nothing about it.
    pub fn fingerprint(&self) -> Fingerprint {
        self.with(|held| held.current.fingerprint)
    }

    /// Wraps a key for a purpose and a place; answers the master key's name with it.
    pub fn wrap(&self, purpose: Purpose, random: &Random, aad: &Aad, key: &Key) -> (Fingerprint, Vec<u8>) {
        self.with(|held| {
            let One { key: master, fingerprint } = &held.current;
            (*fingerprint, master.derive(purpose.label()).wrap(random, aad, key))
        })
    }

    /// Opens what the master key of this name wrapped.
    ///
    /// # Errors
    /// [`Unopened::Other`] when it is not held, [`Unopened::Tampered`] when it was changed.
    pub fn unwrap(
        &self,
        purpose: Purpose,
        wrapper: &[u8],
        aad: &Aad,
        wrapped: &[u8],
    ) -> Result<Key, Unopened> {
        self.with(|held| {
            let one = held.named(wrapper).ok_or(Unopened::Other)?;
            Ok(one.key.derive(purpose.label()).unwrap(aad, wrapped)?)
        })
    }

    /// Whether it opens what this name wrapped.
    pub fn knows(&self, wrapper: &[u8]) -> bool {
        self.with(|held| held.named(wrapper).is_some())
    }

    /// The MAC of `parts` under the child for a purpose, with the master key's name.
    pub fn mac(&self, purpose: Purpose, parts: &[&[u8]]) -> (Fingerprint, [u8; 16]) {
        self.with(|held| {
            let One { key, fingerprint } = &held.current;
            (*fingerprint, key.derive(purpose.label()).mac(parts))
        })
    }

    /// Whether `mac` is that of `parts` under the master key of this name.
    ///
    /// # Errors
    /// [`Unopened`].
    pub fn verify_mac(
        &self,
        purpose: Purpose,
        wrapper: &[u8],
        parts: &[&[u8]],
        mac: &[u8],
    ) -> Result<(), Unopened> {
        self.with(|held| {
            let one = held.named(wrapper).ok_or(Unopened::Other)?;
            Ok(one.key.derive(purpose.label()).verify_mac(parts, mac)?)
        })
    }

    /// The one that wraps.
    pub(super) fn current(&self) -> One {
        self.with(|held| held.current.clone())
    }

    /// From now on `new` wraps, and both unwrap.
    pub(super) fn begin(&self, new: One) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut held.current, new);
        held.other = Some(old);
    }

    /// From now on `new` wraps, and `old` unwraps too.
    pub(super) fn hold(&self, new: One, old: One) {
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Held { current: new, other: Some(old) };
    }

    /// The old one is forgotten.
    pub(super) fn settle(&self) {
        self.held.write().unwrap_or_else(PoisonError::into_inner).other = None;
    }

    /// The master keys that are held: the current one first.
    pub(super) fn held(&self) -> Vec<One> {
        self.with(|held| [Some(&held.current), held.other.as_ref()].into_iter().flatten().cloned().collect())
    }

    fn with<T>(&self, look: impl FnOnce(&Held) -> T) -> T {
        look(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Held {
    fn named(&self, wrapper: &[u8]) -> Option<&One> {
        [Some(&self.current), self.other.as_ref()]
            .into_iter()
            .flatten()
            .find(|one| one.fingerprint == *wrapper)
    }
}

impl From<One> for Master {
    fn from(one: One) -> Self {
        Self { held: Arc::new(RwLock::new(Held { current: one, other: None })) }
    }
}

impl std::fmt::Debug for Master {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[key]")
    }
}
