//! Which key seals what: one door to the keys of the instance and of each tenant (DESIGN section 4).
//!
//! ```text
//! master key (a file) ──┬─ ring key ── life keys: blobs and the sealed columns of items
//!                       ├─ instance key: look-ups before a tenant is known, rows of no tenant
//!                       └─ tenant roots: content, records ──┬─ data keys: columns that belong to no item
//!                                                           └─ blind indexes, row MACs, opaque ids
//! ```
//!
//! * A **tenant root** is wrapped twice, by the master key and by a life key of its own, so that a tenant's keys can
//!   be destroyed for good like a message's. *Records* (log, ledger) outlive *content*.
//! * A **data key** belongs to one process: new at each start and each month. So its nonces are counted and no
//!   counter is shared. A value sealed with it names it: format 2 (1), data key id (8, big endian), nonce (12),
//!   ciphertext, tag (16).
//! * Wrapped keys name what wraps them (`wrapper` is the master key's fingerprint), so rotation is a rewrap.
//! * Blind indexes and MACs hang on the roots and not on data keys, since they must stay the same; they are those of
//!   epoch 1 of the root.
//!
//! Tenant 0 is the instance's own: its log, and what happens before a tenant is known.

pub mod destroy;
mod facts;
mod inspect;
mod labelled;
mod master;
pub mod recovery;
pub mod rotate;
mod tenant;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sealpost_crypto::{Aad, Cipher, Key, MacKey, Random, Tampered};
use sealpost_model::{Fault, Id, LifeKeyId, TenantId};

use crate::ring::{self, Ring};
use crate::{ReadTx, Schema, Scope, Store, Tx, params, sql};

pub use facts::KeyFacts;
pub use inspect::inspect;
use labelled::Blinds;
pub use master::{Fingerprint, Keeper, Master, NewMaster, Passphrase, Purpose, SHORTEST, Unopened};
pub use tenant::{Root, TenantKeys};

/// The tenant that stands for the instance itself: number 0.
pub fn instance_tenant() -> TenantId {
    TenantId::from_raw(0)
}

/// How long a data key is used.
const DATA_KEY_AGE: Duration = Duration::from_secs(30 * 86_400);
/// How many values a data key seals before the next caller makes a new one; well below 2^31, since callers may hold
/// on to a tenant's keys meanwhile.
const DATA_KEY_USES: u64 = 1 << 30;

/// What a call to the keys answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there is no key, or why it did not open. Texts hold ids and paths only.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] crate::Error),
    /// The ring failed.
    #[error(transparent)]
    Ring(#[from] ring::Error),
    /// The file of the master key can't be used.
    #[error("the master key {} can't be used: {why}", path.display())]
    MasterFile {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
    /// The master key is not the one that this data was made with.
    #[error("the master key does not open this data: give the one that belongs to it in `[keys] master`")]
    WrongMaster,
    /// The master key can't be had from whoever keeps it.
    #[error("the master key can't be used: {0}")]
    Master(String),
    /// A rotation of the master key is under way, or was cut short.
    #[error(
        "a rotation is under way: wait for its end (`sealpost key status`); one that was cut short goes on at the next start"
    )]
    Rotating,
    /// Mail is there whose retention has not ended.
    #[error(
        "organisation {tenant} has mail whose retention ends on {days} days to come: wait, or have the act say that it is destroyed all the same"
    )]
    Retention {
        /// The organisation.
        tenant: TenantId,
        /// On how many days retention ends.
        days: usize,
    },
    /// The recovery kit can't do it.
    #[error("{0}")]
    Kit(String),
    /// Shares that bring nothing back.
    #[error(transparent)]
    Shares(#[from] sealpost_crypto::JoinError),
    /// The store was never given keys.
    #[error("this data has no keys yet: run `sealpost init` first")]
    NoKeys,
    /// The store has keys already.
    #[error("this data has keys already, and they are never replaced")]
    Exists,
    /// There is no such tenant.
    #[error("tenant {0} has no keys")]
    UnknownTenant(TenantId),
    /// The life key was destroyed, and with it what hung on it.
    #[error("life key {0} was destroyed")]
    Gone(LifeKeyId),
    /// Stored bytes are not what was sealed for this place.
    #[error("{what} {id} is damaged: it is not what was written there; restore it from a backup")]
    Damaged {
        /// `data key`, `tenant root of tenant`, `sealed column under data key`.
        what: &'static str,
        /// Which one.
        id: i64,
    },
}

impl Error {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Store(e) => e.fault(),
            Self::Ring(e) => e.fault(),
            Self::MasterFile { .. }
            | Self::WrongMaster
            | Self::Master(_)
            | Self::Rotating
            | Self::Kit(_)
            | Self::Retention { .. }
            | Self::Shares(_)
            | Self::NoKeys
            | Self::Exists
            | Self::Gone(_) => Fault::Caller,
            Self::UnknownTenant(_) => Fault::Bug,
            Self::Damaged { .. } => Fault::Corrupt,
        }
    }
}

/// The tables of this module, which the store adds by itself.
pub const SCHEMA: Schema = Schema { name: "keys", steps: &[STEP_1], statements: STATEMENTS, blobs: &[] };

/// `tenant_root`: kind 0 = the instance key (tenant 0), 1 = content, 2 = records; `life` = the life key that wraps it
/// around the master key's wrapping, 0 = none. `data_key`: wrapped by its root. `journal_key`: the life key of all
/// journal entries of a tenant that expire on a day; `mac` covers the row. `destruction`: an organisation whose content was
/// destroyed; the certificate is sealed under its records root, and says the time too.
const STEP_1: &str = "
CREATE TABLE tenant_root (
    tenant {int} NOT NULL,
    kind {int} NOT NULL,
    epoch {int} NOT NULL,
    life {int} NOT NULL,
    wrapper {bytes} NOT NULL,
    wrapped {bytes} NOT NULL,
    PRIMARY KEY (tenant, kind, epoch)
) {clustered};
CREATE TABLE data_key (
    tenant {int} NOT NULL,
    id {int} NOT NULL,
    kind {int} NOT NULL,
    epoch {int} NOT NULL,
    made {int} NOT NULL,
    wrapped {bytes} NOT NULL,
    PRIMARY KEY (tenant, id)
) {clustered};
CREATE TABLE journal_key (
    tenant {int} NOT NULL,
    day {int} NOT NULL,
    life {int} NOT NULL,
    mac {bytes} NOT NULL,
    PRIMARY KEY (tenant, day)
) {clustered};
CREATE TABLE destruction (
    tenant {int} NOT NULL,
    at {int} NOT NULL,
    certificate {bytes} NOT NULL,
    PRIMARY KEY (tenant)
) {clustered};
";

sql! {
    ROOT = "SELECT epoch, life, wrapper, wrapped FROM tenant_root
            WHERE tenant = ?1 AND kind = ?2 ORDER BY epoch DESC LIMIT 1";
    INSERT_ROOT = "INSERT INTO tenant_root (tenant, kind, epoch, life, wrapper, wrapped)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";
    REWRAP_ROOT = "UPDATE tenant_root SET life = ?4, wrapper = ?5, wrapped = ?6
                   WHERE tenant = ?1 AND kind = ?2 AND epoch = ?3 AND wrapped = ?7";
    DATA_KEYS = "SELECT id, kind, epoch, wrapped FROM data_key WHERE tenant = ?1 AND id > ?2 ORDER BY id LIMIT 1000";
    DATA_KEY = "SELECT id, kind, epoch, wrapped FROM data_key WHERE tenant = ?1 AND id = ?2";
    INSERT_DATA_KEY = "INSERT INTO data_key (tenant, id, kind, epoch, made, wrapped) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    JOURNAL_KEY = "SELECT life, mac FROM journal_key WHERE tenant = ?1 AND day = ?2";
    INSERT_JOURNAL_KEY = "INSERT INTO journal_key (tenant, day, life, mac) VALUES (?1, ?2, ?3, ?4)
                          ON CONFLICT DO NOTHING";
    NEXT_ROOT = "SELECT tenant, kind, epoch, life, wrapper, wrapped FROM tenant_root
                 WHERE tenant > ?1 OR (tenant = ?1 AND kind > ?2) OR (tenant = ?1 AND kind = ?2 AND epoch > ?3)
                 ORDER BY tenant, kind, epoch LIMIT 1000";
    NEXT_DATA_KEYS = "SELECT tenant, id, kind, epoch, wrapped FROM data_key
                      WHERE tenant > ?1 OR (tenant = ?1 AND id > ?2) ORDER BY tenant, id LIMIT 1000";
    DELETE_JOURNAL_KEY = "DELETE FROM journal_key WHERE tenant = ?1 AND day = ?2 AND life = ?3";
    DAYS_OF = "SELECT day, life FROM journal_key WHERE tenant = ?1 AND day > ?2 ORDER BY day LIMIT 1000";
    DESTRUCTION = "SELECT certificate FROM destruction WHERE tenant = ?1";
    INSERT_DESTRUCTION = "INSERT INTO destruction (tenant, at, certificate) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    COUNT_DATA_KEYS = "SELECT COUNT(*) FROM data_key WHERE tenant = ?1 AND kind = ?2 AND epoch = ?3";
    NEXT_DAYS = "SELECT tenant, day, life FROM journal_key
                 WHERE tenant > ?1 OR (tenant = ?1 AND day > ?2) ORDER BY tenant, day LIMIT 1000";
}

/// All keys. Clones share them.
#[derive(Clone)]
pub struct Keys {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    ring: Ring,
    master: Master,
    instance: InstanceKeys,
    tenants: RwLock<HashMap<TenantId, Arc<TenantKeys>>>,
    /// Held while a rotation runs.
    rotating: tokio::sync::Mutex<()>,
    progress: std::sync::Mutex<Option<rotate::Progress>>,
    stops: rotate::Stops,
    /// Held while a tenant's keys are read or renewed, so that it happens once.
    loading: tokio::sync::Mutex<()>,
}

impl Keys {
    /// Gives a new store its instance key and tenant 0, and opens it.
    ///
    /// [`Error::Exists`] when it has keys.
    pub async fn create(store: Store, ring: Ring, master: &Master) -> Result<Self> {
        let root = StoredRoot::new(store.random(), master, None, instance_tenant(), KIND_INSTANCE);
        let made = store.write(Scope::instance(), move |tx| root.insert(tx)).await?;
        if !made {
            return Err(Error::Exists);
        }
        let keys = Self::open(store, ring, master).await?;
        keys.create_tenant(instance_tenant()).await?;
        Ok(keys)
    }

    /// Opens the keys of a store. A store that is open for reading only opens values and seals none.
    ///
    /// [`Error::WrongMaster`], [`Error::NoKeys`].
    pub async fn open(store: Store, ring: Ring, master: &Master) -> Result<Self> {
        let root = store
            .read(|tx| StoredRoot::read(tx, instance_tenant(), KIND_INSTANCE))
            .await?
            .ok_or(Error::NoKeys)?;
        let instance = InstanceKeys::new(&root.open(master, &ring)?, store.random());
        let inner = Inner {
            store,
            ring,
            master: master.clone(),
            instance,
            tenants: RwLock::default(),
            rotating: tokio::sync::Mutex::default(),
            progress: std::sync::Mutex::default(),
            stops: rotate::Stops::default(),
            loading: tokio::sync::Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What is needed before a tenant is known.
    pub fn instance(&self) -> &InstanceKeys {
        &self.inner.instance
    }

    /// The life keys.
    pub fn ring(&self) -> &Ring {
        &self.inner.ring
    }

    /// The name of today's master key.
    pub fn master_name(&self) -> Fingerprint {
        self.inner.master.fingerprint()
    }

    /// The master key.
    pub(crate) fn master(&self) -> &Master {
        &self.inner.master
    }

    /// Makes the roots of a tenant; nothing happens if it has them.
    pub async fn create_tenant(&self, tenant: TenantId) -> Result<()> {
        let (store, ring) = (&self.inner.store, &self.inner.ring);
        let exists = move |tx: &ReadTx| -> Result<bool> {
            Ok(StoredRoot::read(tx, tenant, Root::Content.kind())?.is_some())
        };
        if store.read(exists).await? {
            return Ok(());
        }
        let lives = ring.create_keys(2).await?;
        let root =
            |root: Root, life| StoredRoot::new(store.random(), &self.inner.master, life, tenant, root.kind());
        let roots = [root(Root::Content, lives.first()), root(Root::Records, lives.get(1))];
        let made = store
            .write(Scope::tenant(tenant), move |tx| -> Result<bool> {
                Ok(roots[0].insert(tx)? && roots[1].insert(tx)?)
            })
            .await?;
        if !made {
            // Somebody else was faster.
            ring.destroy(&lives.iter().map(|(id, _)| *id).collect::<Vec<_>>()).await?;
        }
        Ok(())
    }

    /// A tenant's keys: from memory, but for the first time in this process (which writes two data keys) and once a
    /// month (when they are renewed). Cheap enough to ask for at each command; don't keep them for longer.
    ///
    /// [`Error::UnknownTenant`] when it was never created.
    pub async fn tenant(&self, tenant: TenantId) -> Result<Arc<TenantKeys>> {
        let now = self.inner.store.clock().now();
        if let Some(keys) = self.known(tenant).filter(|keys| !keys.is_worn(now)) {
            return Ok(keys);
        }
        let _turn = self.inner.loading.lock().await;
        if let Some(keys) = self.known(tenant) {
            if keys.is_worn(now) {
                keys.renew().await?;
            }
            return Ok(keys);
        }
        let keys = TenantKeys::load(&self.inner.store, &self.inner.ring, &self.inner.master, tenant).await?;
        let keys = Arc::new(keys);
        let mut tenants = self.inner.tenants.write().unwrap_or_else(PoisonError::into_inner);
        tenants.insert(tenant, Arc::clone(&keys));
        Ok(keys)
    }

    /// Has a tenant's keys loaded anew when they are asked for next.
    fn forget(&self, tenant: TenantId) {
        self.inner.tenants.write().unwrap_or_else(PoisonError::into_inner).remove(&tenant);
    }

    fn known(&self, tenant: TenantId) -> Option<Arc<TenantKeys>> {
        self.inner.tenants.read().unwrap_or_else(PoisonError::into_inner).get(&tenant).cloned()
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[keys]")
    }
}

/// The instance's own keys.
pub struct InstanceKeys {
    key: Key,
    random: Random,
    cipher: Cipher,
    blinds: Blinds,
    mac: MacKey,
}

impl InstanceKeys {
    fn new(root: &Key, random: &Random) -> Self {
        Self {
            key: root.derive("derived"),
            random: random.clone(),
            cipher: root.derive("seal").cipher(),
            blinds: Blinds::new(root),
            mac: root.mac_key(),
        }
    }

    /// Seals a column of a row that belongs to no tenant (few and short: 2^31 of them). Format 1 of
    /// [`Cipher::seal`].
    pub fn seal(&self, aad: &Aad, plain: &[u8]) -> Vec<u8> {
        self.cipher.seal(&self.random, aad, plain)
    }

    /// Opens what [`InstanceKeys::seal`] made.
    pub fn open(&self, aad: &Aad, sealed: &[u8]) -> Result<Vec<u8>, Tampered> {
        self.cipher.open(aad, sealed)
    }

    /// The keyed hash by which `table.column` finds `value` before a tenant is known: a domain, a login, a token.
    pub fn blind(&self, table_column: &'static str, value: &[u8]) -> [u8; 16] {
        self.blinds.blind(table_column, value)
    }

    /// The MAC of a row's plain columns and its version.
    pub fn mac(&self, table: &'static str, id: i64, version: i64, parts: &[&[u8]]) -> [u8; 16] {
        labelled::row_mac(&self.mac, table, id, version, parts)
    }

    /// Whether `mac` is that of the row, in constant time.
    pub fn verify_mac(
        &self,
        table: &'static str,
        id: i64,
        version: i64,
        parts: &[&[u8]],
        mac: &[u8],
    ) -> Result<(), Tampered> {
        labelled::verify_row_mac(&self.mac, table, id, version, parts, mac)
    }

    /// A key for another purpose of the instance.
    pub fn derive(&self, label: &str) -> Key {
        self.key.derive(label)
    }
}

impl std::fmt::Debug for InstanceKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[keys]")
    }
}

const KIND_INSTANCE: i64 = 0;
const FIRST_EPOCH: i64 = 1;

/// A row of `tenant_root`.
struct StoredRoot {
    tenant: TenantId,
    kind: i64,
    epoch: i64,
    life: Option<LifeKeyId>,
    wrapper: Vec<u8>,
    wrapped: Vec<u8>,
}

impl StoredRoot {
    /// A fresh root, wrapped by the master key, and around that by `life`.
    fn new(
        random: &Random,
        master: &Master,
        life: Option<&(LifeKeyId, Key)>,
        tenant: TenantId,
        kind: i64,
    ) -> Self {
        Self::wrap(random, master, life, tenant, kind, FIRST_EPOCH, &random.key())
    }

    /// This root, wrapped by the master key, and around that by `life`.
    fn wrap(
        random: &Random,
        master: &Master,
        life: Option<&(LifeKeyId, Key)>,
        tenant: TenantId,
        kind: i64,
        epoch: i64,
        root: &Key,
    ) -> Self {
        let id = life.map(|(id, _)| *id);
        let aad = root_aad(tenant, kind, epoch, id);
        let (wrapper, mut wrapped) = master.wrap(Purpose::Roots, random, &aad, root);
        if let Some((_, life)) = life {
            wrapped = life.seal(random, &aad, &wrapped);
        }
        Self { tenant, kind, epoch, life: id, wrapper: wrapper.to_vec(), wrapped }
    }

    /// False when there is one of this tenant, kind and epoch already.
    fn insert(&self, tx: &mut Tx) -> Result<bool> {
        let life = self.life.map_or(0, Id::raw);
        let row = params![self.tenant, self.kind, self.epoch, life, self.wrapper, self.wrapped];
        Ok(tx.execute(&INSERT_ROOT, row)? == 1)
    }

    /// The newest of its kind.
    fn read(tx: &ReadTx, tenant: TenantId, kind: i64) -> Result<Option<Self>> {
        Ok(tx.row(&ROOT, params![tenant, kind], |r| {
            let life = Some(r.id(1)?).filter(|id: &LifeKeyId| id.raw() != 0);
            Ok(Self { tenant, kind, epoch: r.int(0)?, life, wrapper: r.bytes(2)?, wrapped: r.bytes(3)? })
        })?)
    }

    fn open(&self, master: &Master, ring: &Ring) -> Result<Key> {
        let damaged = || Error::Damaged { what: "tenant root of tenant", id: self.tenant.raw() };
        let aad = root_aad(self.tenant, self.kind, self.epoch, self.life);
        let opened;
        let wrapped = match self.life {
            None => &self.wrapped,
            Some(id) => {
                // Before anything is said of the master key: what is gone stays gone under every one.
                let life = ring.key(id).ok_or(Error::Gone(id))?;
                if !master.knows(&self.wrapper) {
                    return Err(Error::WrongMaster);
                }
                opened = life.open(&aad, &self.wrapped).map_err(|_| damaged())?;
                &opened
            }
        };
        master.unwrap(Purpose::Roots, &self.wrapper, &aad, wrapped).map_err(|e| match e {
            Unopened::Other => Error::WrongMaster,
            Unopened::Tampered => damaged(),
        })
    }
}

fn root_aad(tenant: TenantId, kind: i64, epoch: i64, life: Option<LifeKeyId>) -> Aad {
    Aad::new(tenant, "tenant_root", epoch, "wrapped").with_int(kind).with_int(life.map_or(0, Id::raw))
}
