//! The service: what the rest of Sealpost calls.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sealpost_audit::{Audit, Entry, Object, Verb};
use sealpost_crypto::{Aad, Random};
use sealpost_model::{Actor, Id, SessionId, SharedClock, TenantId, Time};
use sealpost_policy::{Role, Roles};
use sealpost_store::keys::{Keys, Root, TenantKeys};
use sealpost_store::{Scope, Store, Topic, Tx, Watch};
use tokio::sync::Semaphore;

use crate::cache::Cache;
use crate::hashing::{Hashing, Verified};
use crate::leaked::Leaked;
use crate::throttle::Throttle;
use crate::{Error, Limits};

/// What can be set.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many failed logins are borne.
    pub limits: Limits,
    /// How long a web session lives without use: 20 minutes (S46).
    pub idle: Duration,
    /// How long a web session lives at most: 12 hours.
    pub life: Duration,
    /// A file of SHA-1 hashes of leaked passwords, ordered by hash, beside the list that is built in (S42).
    pub leaked: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            idle: Duration::from_secs(20 * 60),
            life: Duration::from_secs(12 * 3600),
            leaked: None,
        }
    }
}

/// The directory of this process. Clones share it.
#[derive(Clone)]
pub struct Identity {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub store: Store,
    pub keys: Keys,
    pub audit: Audit,
    pub clock: SharedClock,
    pub random: Random,
    pub options: Options,
    pub cache: Cache,
    pub throttle: Throttle,
    pub leaked: Leaked,
    /// Answers that are held back at once.
    pub tarpit: Semaphore,
    pub hashing: Hashing,
    pub verified: Verified,
    /// Rings when a notice was written.
    pub told: tokio::sync::Notify,
    /// When sessions were last used; the table is up to half a minute behind.
    pub seen: Mutex<HashMap<SessionId, Time>>,
}

impl Identity {
    /// The directory over a store.
    pub fn new(
        store: Store,
        keys: Keys,
        audit: Audit,
        clock: SharedClock,
        random: Random,
        options: Options,
    ) -> Self {
        let cache = Cache::new(store.feed().clone());
        let inner = Inner {
            store,
            keys,
            audit,
            clock,
            cache,
            throttle: Throttle::new(options.limits),
            leaked: Leaked::new(options.leaked.clone()),
            tarpit: Semaphore::new(TARPIT),
            options,
            hashing: Hashing::new(),
            verified: Verified::new(&random),
            random,
            told: tokio::sync::Notify::new(),
            seen: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Forgets what was read of the directory. Whoever commits [`crate::insert_person`] in a transaction of their own
    /// calls this after the commit; everything else here does it by itself.
    pub fn changed(&self) {
        self.inner.cache.forget();
    }

    /// Hears when logins or sessions end: a password was set, access ended, an app password was revoked, a session
    /// closed. Connections that live long then ask [`Identity::still_valid`].
    pub fn watch_sessions(&self) -> Watch {
        self.inner.store.feed().watch(Topic::Sessions)
    }

    /// The roles of whoever acts, for `policy::decide::command`: a person's own, `operator` for who runs the host,
    /// none for anybody else.
    ///
    /// # Errors
    /// The store's; a row that is not what was written.
    pub async fn roles(&self, actor: &Actor) -> Result<Roles, Error> {
        Ok(match actor {
            Actor::Person { tenant, person } => match self.person(*person).await? {
                Some(person) if !person.disabled && person.tenant == *tenant => person.roles,
                _ => Roles::NONE,
            },
            Actor::Operator { .. } => Roles::NONE.with(Role::Operator),
            Actor::System
            | Actor::Recipient { .. }
            | Actor::Device { .. }
            | Actor::Connector { .. }
            | Actor::Stranger => Roles::NONE,
        })
    }

    pub(crate) async fn tenant_keys(&self, tenant: TenantId) -> Result<Arc<TenantKeys>, Error> {
        Ok(self.inner.keys.tenant(tenant).await?)
    }

    pub(crate) fn now(&self) -> Time {
        self.inner.clock.now()
    }

    /// An entry about one thing, sealed.
    pub(crate) async fn entry(
        &self,
        tenant: TenantId,
        by: &sealpost_audit::Caller,
        verb: Verb,
        object: impl Into<Object>,
    ) -> Result<Entry, Error> {
        let draft = self.inner.audit.draft(tenant, &by.actor, &by.client, verb).object(object);
        Ok(self.inner.audit.seal(draft).await?)
    }

    /// Writes rows and their entry in one transaction; afterwards the cache forgets.
    pub(crate) async fn commit(
        &self,
        tenant: TenantId,
        entry: Entry,
        rows: impl Fn(&mut Tx) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        let result = self
            .inner
            .store
            .write(Scope::tenant(tenant), move |tx| {
                rows(tx)?;
                tx.after_commit(Topic::Directory);
                Ok::<_, Error>(sealpost_audit::insert(tx, &entry)?)
            })
            .await;
        self.changed();
        result
    }
}

/// More than so many failures at once are answered without delay: a flood must not pile up here.
const TARPIT: usize = 1_000;

/// The AAD of a sealed column of this crate.
pub(crate) fn aad(tenant: TenantId, table: &'static str, id: impl Id, column: &'static str) -> Aad {
    Aad::new(tenant, table, id.raw(), column)
}

/// Seals a name, a device, an address.
pub(crate) fn seal(keys: &TenantKeys, aad: &Aad, text: &str) -> Vec<u8> {
    keys.seal(Root::Content, aad, text.as_bytes())
}

/// Opens what [`seal`] sealed.
pub(crate) fn open(
    keys: &TenantKeys,
    aad: &Aad,
    sealed: &[u8],
    what: (&'static str, i64),
) -> Result<String, Error> {
    let tampered = Error::Tampered { table: what.0, id: what.1 };
    let Ok(plain) = keys.open(aad, sealed) else { return Err(tampered) };
    String::from_utf8(plain).map_err(|_| tampered)
}

/// 1 to 200 characters, none of them a control character.
pub(crate) fn name(text: &str) -> Result<&str, Error> {
    let text = text.trim();
    let count = text.chars().count();
    if count == 0 || count > 200 || text.chars().any(char::is_control) { Err(Error::Name) } else { Ok(text) }
}
