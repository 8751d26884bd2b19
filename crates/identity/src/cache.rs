//! What was read of the directory lately. A change anywhere in it forgets all, on every node; ten seconds forget each
//! entry, for a change that was not heard.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sealpost_model::{PersonId, Time};
use sealpost_store::{Feed, Topic, Watch};

use crate::address::Target;
use crate::domain::DomainFacts;
use crate::person::Person;

/// The shelves, and how often they were emptied.
pub(crate) struct Cache {
    feed: Feed,
    /// Hears what other processes changed.
    watch: Mutex<Watch>,
    shelves: Mutex<Shelves>,
}

#[derive(Default)]
pub(crate) struct Shelves {
    generation: u64,
    pub domains: Shelf<[u8; 16], Arc<DomainFacts>>,
    pub addresses: Shelf<[u8; 16], Target>,
    pub people: Shelf<PersonId, Arc<Person>>,
}

/// Values with the time when they were read.
pub(crate) struct Shelf<K, V>(HashMap<K, (Time, V)>);

impl<K, V> Default for Shelf<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

/// How often the cache was emptied when a read began: what was read before a change is not kept after it.
#[derive(Clone, Copy)]
pub(crate) struct Generation(u64);

impl Cache {
    pub(crate) fn new(feed: Feed) -> Self {
        let watch = Mutex::new(feed.watch(Topic::Directory));
        Self { feed, watch, shelves: Mutex::default() }
    }

    /// Looks into the shelves; take the generation in the same go, before reading from the store.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Shelves) -> Option<T>) -> (Option<T>, Generation) {
        self.listen();
        let shelves = self.lock();
        (look(&shelves), Generation(shelves.generation))
    }

    /// Keeps what was read, unless something changed meanwhile.
    pub(crate) fn keep(&self, since: Generation, put: impl FnOnce(&mut Shelves)) {
        let mut shelves = self.lock();
        if shelves.generation == since.0 {
            put(&mut shelves);
        }
    }

    pub(crate) fn forget(&self) {
        let mut shelves = self.lock();
        let generation = shelves.generation + 1;
        *shelves = Shelves { generation, ..Shelves::default() };
    }

    /// Forgets all if another process changed something. Watched anew before it is forgotten: what changes in between is
    /// heard the next time.
    fn listen(&self) {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if watch.is_due() {
            *watch = self.feed.watch(Topic::Directory);
            self.forget();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash, V: Clone> Shelf<K, V> {
    pub(crate) fn get(&self, key: &K, now: Time) -> Option<V> {
        self.0.get(key).filter(|(at, _)| now.since(*at) < LIFE && *at <= now).map(|(_, value)| value.clone())
    }

    pub(crate) fn put(&mut self, key: K, value: V, now: Time) {
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.insert(key, (now, value));
    }
}

const LIFE: Duration = Duration::from_secs(10);
const MOST: usize = 50_000;
