//! Password hashing in a bounded pool, and the credentials that were verified lately.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sealpost_crypto::{MacKey, Random, constant_time_eq, password};
use sealpost_model::{Id, PersonId, Secret, Time};
use tokio::sync::Semaphore;

use crate::Error;

/// As many hashes at a time as there are cores: each takes 19 MiB and some 20 ms.
#[derive(Clone)]
pub(crate) struct Hashing {
    permits: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

impl Hashing {
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self { permits: Arc::new(Semaphore::new(cores)), waiting: Arc::default() }
    }

    /// Hashes a password that is to be stored.
    pub(crate) async fn hash(&self, random: &Random, password: &Secret<String>) -> Result<String, Error> {
        let (random, password) = (random.clone(), password.clone());
        self.run(move || password::hash(&random, &password)).await
    }

    /// Compares a password with a stored hash, or with nobody's at the same cost.
    pub(crate) async fn verify(
        &self,
        password: &Secret<String>,
        phc: Option<Secret<String>>,
    ) -> Result<bool, Error> {
        let password = password.clone();
        self.run(move || match phc {
            Some(phc) => password::verify(&password, phc.expose()),
            None => password::verify_nobody(&password),
        })
        .await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        let queue = Waiting::join(&self.waiting)?;
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Error::Busy)?;
        drop(queue);
        tokio::task::spawn_blocking(move || {
            let done = work();
            drop(permit);
            done
        })
        .await
        .map_err(|_| Error::Busy)
    }
}

/// A place in the queue; given up when the caller goes away.
struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn join(count: &Arc<AtomicUsize>) -> Result<Self, Error> {
        if count.fetch_add(1, Ordering::Relaxed) >= QUEUE {
            count.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::Busy);
        }
        Ok(Self(Arc::clone(count)))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Passwords that were verified: a keyed hash each, under a key that lives as long as the process. An entry counts for
/// one version of the person's credential, so that a new password ends it.
#[derive(Clone)]
pub(crate) struct Verified {
    key: MacKey,
    entries: Arc<Mutex<HashMap<PersonId, Entry>>>,
}

struct Entry {
    credential: i64,
    hash: [u8; 32],
    at: Time,
}

impl Verified {
    pub(crate) fn new(random: &Random) -> Self {
        Self { key: MacKey::new(&random.key()), entries: Arc::default() }
    }

    /// Whether this password was verified for this version of the credential within the last hour.
    pub(crate) fn knows(
        &self,
        person: PersonId,
        credential: i64,
        password: &Secret<String>,
        now: Time,
    ) -> bool {
        let hash = self.hash(person, credential, password);
        self.lock().get(&person).is_some_and(|e| {
            e.credential == credential && now.since(e.at) < LIFE && constant_time_eq(&e.hash, &hash)
        })
    }

    pub(crate) fn remember(&self, person: PersonId, credential: i64, password: &Secret<String>, now: Time) {
        let hash = self.hash(person, credential, password);
        let mut entries = self.lock();
        if entries.len() >= MOST {
            entries.retain(|_, e| now.since(e.at) < LIFE);
            if entries.len() >= MOST {
                entries.clear();
            }
        }
        entries.insert(person, Entry { credential, hash, at: now });
    }

    fn hash(&self, person: PersonId, credential: i64, password: &Secret<String>) -> [u8; 32] {
        let (person, credential) = (person.raw().to_be_bytes(), credential.to_be_bytes());
        self.key.mac_whole(&[b"password", &person, &credential, password.expose().as_bytes()])
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<PersonId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const QUEUE: usize = 512;
const LIFE: Duration = Duration::from_secs(3600);
const MOST: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn an_entry_is_of_one_person_one_version_one_password_and_one_hour() {
        let verified = Verified::new(&Random::danger_predictable(1));
        let (alice, bob) = (PersonId::from_raw(1), PersonId::from_raw(2));
        let now = Time::from_seconds(1000);
        verified.remember(alice, 1, &secret("a"), now);
        assert!(verified.knows(alice, 1, &secret("a"), now.plus(Duration::from_secs(3599))));
        assert!(!verified.knows(alice, 1, &secret("a"), now.plus(Duration::from_secs(3600))));
        assert!(!verified.knows(alice, 2, &secret("a"), now));
        assert!(!verified.knows(alice, 1, &secret("b"), now));
        assert!(!verified.knows(bob, 1, &secret("a"), now));
    }
}
