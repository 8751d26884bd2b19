//! One tenant's keys.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use sealpost_crypto::{Aad, Cipher, CountingCipher, Key, MacKey, Opaque, Tampered};
use sealpost_model::{DataKeyId, Id, LifeKeyId, TenantId, Time};

use super::labelled::{self, Blinds};
use super::{
    DATA_KEY, DATA_KEY_AGE, DATA_KEY_USES, DATA_KEYS, DELETE_JOURNAL_KEY, Error, INSERT_DATA_KEY,
    INSERT_JOURNAL_KEY, JOURNAL_KEY, Master, Result, StoredRoot,
};
use crate::ring::Ring;
use crate::{ReadTx, Row, Scope, Store, params};

/// First byte of a value that names its data key.
const FORMAT: u8 = 2;
/// Format and data key id.
const PREFIX: usize = 9;

/// The two halves of a tenant's data, each with a root of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Root {
    /// People, queue, settings: gone when the tenant's content is destroyed.
    Content,
    /// Log, ledger, agreements, certificates: outlive the content by six years.
    Records,
}

impl Root {
    pub(super) const fn kind(self) -> i64 {
        match self {
            Self::Content => 1,
            Self::Records => 2,
        }
    }

    fn of_kind(kind: i64) -> Option<Self> {
        [Self::Content, Self::Records].into_iter().find(|root| root.kind() == kind)
    }
}

/// The keys of one tenant, from [`Keys::tenant`](super::Keys::tenant). What belongs to an item (a message's columns,
/// a blob's key) is sealed under the item's life key: see [`TenantKeys::life_key`].
pub struct TenantKeys {
    tenant: TenantId,
    store: Store,
    ring: Ring,
    content: RootKeys,
    /// False once the content was destroyed.
    content_lives: bool,
    records: RootKeys,
    opaque: Opaque,
    /// This process's data keys, content and records; `None` when the store is open for reading only.
    current: RwLock<Option<[Arc<Current>; 2]>>,
    /// The data keys of other processes and earlier months.
    old: RwLock<HashMap<DataKeyId, Arc<OldKey>>>,
    journal: RwLock<HashMap<i32, LifeKeyId>>,
    /// Held while a day's key is made.
    making: tokio::sync::Mutex<()>,
}

/// What hangs on a root.
struct RootKeys {
    epoch: i64,
    derived: Key,
    data_keys: Cipher,
    blinds: Blinds,
    mac: MacKey,
}

/// A data key of this process.
struct Current {
    id: DataKeyId,
    prefix: [u8; PREFIX],
    cipher: CountingCipher,
    made: Time,
}

/// A data key that only opens; unwrapped when first used.
struct OldKey {
    id: DataKeyId,
    root: Root,
    epoch: i64,
    wrapped: Vec<u8>,
    cipher: OnceLock<Cipher>,
}

impl TenantKeys {
    pub(super) async fn load(store: &Store, ring: &Ring, master: &Master, tenant: TenantId) -> Result<Self> {
        let root = async |root: Root| -> Result<RootKeys> {
            let read = move |tx: &ReadTx| StoredRoot::read(tx, tenant, root.kind());
            let stored = store.read(read).await?.ok_or(Error::UnknownTenant(tenant))?;
            Ok(RootKeys::new(&stored.open(master, ring)?, stored.epoch))
        };
        let records = root(Root::Records).await?;
        let (content, content_lives) = match root(Root::Content).await {
            Ok(content) => (content, true),
            // Destroyed: a root that nobody knows stands in for it, under which nothing is found and nothing opens.
            Err(Error::Gone(_)) => (RootKeys::new(&store.random().key(), 0), false),
            Err(error) => return Err(error),
        };
        let keys = Self {
            tenant,
            store: store.clone(),
            ring: ring.clone(),
            opaque: Opaque::new(&content.derived.derive("opaque ids")),
            content,
            content_lives,
            records,
            current: RwLock::default(),
            old: RwLock::new(read_data_keys(store, tenant).await?),
            journal: RwLock::default(),
            making: tokio::sync::Mutex::default(),
        };
        if !store.is_read_only() {
            keys.renew().await?;
        }
        Ok(keys)
    }

    /// Whose keys they are.
    pub const fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Seals a column that belongs to no item, under this process's data key: format 2 (1), data key id (8), nonce
    /// (12), ciphertext, tag (16). About a microsecond.
    ///
    /// Panics when the store is open for reading only: there is nowhere to put a sealed value then.
    pub fn seal(&self, root: Root, aad: &Aad, plain: &[u8]) -> Vec<u8> {
        let current = self.current(root).expect("a store that is open for reading seals nothing");
        current.cipher.seal(&current.prefix, aad, plain)
    }

    /// Opens what [`TenantKeys::seal`] made for the same place, in this process or another. Only a data key that
    /// another node made since this one started has to be read from the store, on this thread.
    ///
    /// [`Error::Damaged`] names the data key.
    pub fn open(&self, aad: &Aad, sealed: &[u8]) -> Result<Vec<u8>> {
        let damaged = |id| Error::Damaged { what: "a column sealed under data key", id };
        let Some((&[FORMAT, ref id @ ..], _)) = sealed.split_first_chunk::<PREFIX>() else {
            return Err(damaged(0));
        };
        let id = DataKeyId::from_raw(i64::from_be_bytes(*id));
        for root in [Root::Content, Root::Records] {
            if let Some(current) = self.current(root).filter(|current| current.id == id) {
                return current.cipher.open(PREFIX, aad, sealed).map_err(|Tampered| damaged(id.raw()));
            }
        }
        let old = self.old_key(id)?.ok_or_else(|| damaged(id.raw()))?;
        self.cipher_of(&old)?.open_after(PREFIX, aad, sealed).map_err(|Tampered| damaged(id.raw()))
    }

    /// The keyed hash by which `table.column` finds `value`. Under the content root: when the tenant's content is
    /// destroyed, nobody can try values any more.
    pub fn blind(&self, table_column: &'static str, value: &[u8]) -> [u8; 16] {
        self.content.blinds.blind(table_column, value)
    }

    /// The same under the records root, for tables that outlive the content.
    pub fn blind_record(&self, table_column: &'static str, value: &[u8]) -> [u8; 16] {
        self.records.blinds.blind(table_column, value)
    }

    /// The MAC of a row's plain columns (`parts`) and its version, for rows that carry security: roles, tries,
    /// retention, holds. Under the records root.
    pub fn mac(&self, table: &'static str, id: i64, version: i64, parts: &[&[u8]]) -> [u8; 16] {
        labelled::row_mac(&self.records.mac, table, id, version, parts)
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
        labelled::verify_row_mac(&self.records.mac, table, id, version, parts, mac)
    }

    /// How `id` is called outside: 26 base32 letters, the same each time, that mean nothing as another `kind` (a table)
    /// or in another `scope` (an account).
    pub fn opaque(&self, kind: &'static str, scope: i64, id: i64) -> String {
        self.opaque.encode(kind, scope, id)
    }

    /// The id that is called so; `None` for what we never said.
    pub fn from_opaque(&self, kind: &'static str, scope: i64, text: &str) -> Option<i64> {
        self.opaque.decode(kind, scope, text)
    }

    /// A key for another purpose of the tenant: signing checkpoints, hashing codes. The same each time.
    pub fn derive(&self, root: Root, label: &str) -> Key {
        self.root(root).derived.derive_for("purpose", label.as_bytes())
    }

    /// A life key (an account's, a waiting message's), for wrapping one blob key or so.
    ///
    /// [`Error::Gone`] when it was destroyed.
    pub fn life_key(&self, id: LifeKeyId) -> Result<Key> {
        self.ring.key(id).ok_or(Error::Gone(id))
    }

    /// The same in its expanded form, for the sealed columns of many items. Don't keep it.
    pub fn life_cipher(&self, id: LifeKeyId) -> Result<Arc<Cipher>> {
        self.ring.cipher(id).ok_or(Error::Gone(id))
    }

    /// An account's life key: [`TenantKeys::life_key`].
    pub fn account_key(&self, id: LifeKeyId) -> Result<Key> {
        self.life_key(id)
    }

    /// The life key of this tenant's journal entries that expire on `day` (days since 1970-01-01). The first caller
    /// has it made, durably; the others wait for that.
    ///
    /// [`Error::Gone`] when that day's entries have been destroyed.
    pub async fn journal_key(&self, day: i32) -> Result<(LifeKeyId, Key)> {
        let id = match self.known_day(day) {
            Some(id) => id,
            None => {
                let _turn = self.making.lock().await;
                match self.known_day(day) {
                    Some(id) => id,
                    None => self.find_or_make_day(day).await?,
                }
            }
        };
        Ok((id, self.life_key(id)?))
    }

    /// The life key of the journal entries that expire on `day`, if there are any: none is made.
    ///
    /// [`Error::Damaged`] when its row was changed.
    pub async fn journal_day(&self, day: i32) -> Result<Option<LifeKeyId>> {
        self.stored_day(day).await
    }

    /// Ends the life key of the journal entries that expired on `day`, once none of them is left: destroys it, then
    /// forgets the day. Done again, it finishes what a crash cut short.
    pub async fn end_journal_day(&self, day: i32, life: LifeKeyId) -> Result<()> {
        self.ring.destroy(&[life]).await?;
        let tenant = self.tenant;
        let forget = move |tx: &mut crate::Tx| -> Result<()> {
            tx.execute(&DELETE_JOURNAL_KEY, params![tenant, day, life])?;
            Ok(())
        };
        self.store.write(Scope::tenant(tenant), forget).await?;
        self.journal.write().unwrap_or_else(PoisonError::into_inner).remove(&day);
        Ok(())
    }

    /// False once the tenant's content was destroyed.
    pub const fn content_lives(&self) -> bool {
        self.content_lives
    }

    /// Whether a data key's row opens under its root.
    pub(super) fn opens_data_key(&self, id: DataKeyId, kind: i64, epoch: i64, wrapped: &[u8]) -> bool {
        let Some(root) = Root::of_kind(kind) else { return false };
        let aad = data_key_aad(self.tenant, id, root, epoch);
        epoch == self.root(root).epoch && self.root(root).data_keys.unwrap(&aad, wrapped).is_ok()
    }

    /// Whether the data keys are due for new ones.
    pub(super) fn is_worn(&self, now: Time) -> bool {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let worn = |c: &Arc<Current>| c.cipher.uses() >= DATA_KEY_USES || now.since(c.made) >= DATA_KEY_AGE;
        current.as_ref().is_some_and(|both| both.iter().any(worn))
    }

    /// Makes new data keys, durably, and seals with them from now on.
    pub(super) async fn renew(&self) -> Result<()> {
        let made = self.store.clock().now();
        let fresh = |root: Root| {
            let id: DataKeyId = self.store.id();
            let (cipher, key) = CountingCipher::generate(self.store.random());
            let epoch = self.root(root).epoch;
            let wrapped = self.root(root).data_keys.wrap(
                self.store.random(),
                &data_key_aad(self.tenant, id, root, epoch),
                &key,
            );
            let mut prefix = [FORMAT; PREFIX];
            prefix[1..].copy_from_slice(&id.raw().to_be_bytes());
            let old = OldKey { id, root, epoch, wrapped, cipher: OnceLock::new() };
            (Arc::new(Current { id, prefix, cipher, made }), Arc::new(old))
        };
        let (content, content_row) = fresh(Root::Content);
        let (records, records_row) = fresh(Root::Records);
        let tenant = self.tenant;
        // A data key of content that was destroyed is kept nowhere.
        let mut rows = vec![records_row];
        rows.extend(Some(content_row).filter(|_| self.content_lives));
        // What is sealed with a key that is known here only must not meet a crash.
        let inserted = rows.clone();
        let insert = move |tx: &mut crate::Tx| -> Result<()> {
            for row in &inserted {
                tx.execute(
                    &INSERT_DATA_KEY,
                    params![tenant, row.id, row.root.kind(), row.epoch, made, row.wrapped],
                )?;
            }
            Ok(())
        };
        self.store.write(Scope::tenant(tenant), insert).await?;
        // Its later use as an old one is prepared before it is used, so that no value is ever without its key.
        let mut old = self.old.write().unwrap_or_else(PoisonError::into_inner);
        old.extend(rows.into_iter().map(|row| (row.id, row)));
        drop(old);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some([content, records]);
        Ok(())
    }

    fn root(&self, root: Root) -> &RootKeys {
        match root {
            Root::Content => &self.content,
            Root::Records => &self.records,
        }
    }

    fn current(&self, root: Root) -> Option<Arc<Current>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let [content, records] = current.as_ref()?;
        Some(Arc::clone(match root {
            Root::Content => content,
            Root::Records => records,
        }))
    }

    fn old_key(&self, id: DataKeyId) -> Result<Option<Arc<OldKey>>> {
        if let Some(old) = self.old.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
            return Ok(Some(Arc::clone(old)));
        }
        let tenant = self.tenant;
        let read =
            move |tx: &ReadTx| -> Result<_> { Ok(tx.row(&DATA_KEY, params![tenant, id], OldKey::of_row)?) };
        let found = self.store.read_blocking(read)?.and_then(|(_, key)| key).map(Arc::new);
        if let Some(old) = &found {
            self.old.write().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::clone(old));
        }
        Ok(found)
    }

    fn cipher_of<'a>(&self, old: &'a OldKey) -> Result<&'a Cipher> {
        if let Some(cipher) = old.cipher.get() {
            return Ok(cipher);
        }
        let aad = data_key_aad(self.tenant, old.id, old.root, old.epoch);
        let key = self.root(old.root).data_keys.unwrap(&aad, &old.wrapped);
        let key = key.map_err(|Tampered| Error::Damaged { what: "data key", id: old.id.raw() })?;
        Ok(old.cipher.get_or_init(|| key.cipher()))
    }

    fn known_day(&self, day: i32) -> Option<LifeKeyId> {
        self.journal.read().unwrap_or_else(PoisonError::into_inner).get(&day).copied()
    }

    async fn find_or_make_day(&self, day: i32) -> Result<LifeKeyId> {
        let id = match self.stored_day(day).await? {
            Some(id) => id,
            None => {
                let (fresh, _) = self.ring.create_key().await?;
                let (tenant, mac) = (self.tenant, self.day_mac(day, fresh));
                let insert = move |tx: &mut crate::Tx| -> Result<usize> {
                    Ok(tx.execute(&INSERT_JOURNAL_KEY, params![tenant, day, fresh, mac])?)
                };
                if self.store.write(Scope::tenant(tenant), insert).await? == 1 {
                    fresh
                } else {
                    // Another node was faster.
                    self.ring.destroy(&[fresh]).await?;
                    self.stored_day(day).await?.ok_or(Error::Gone(fresh))?
                }
            }
        };
        self.journal.write().unwrap_or_else(PoisonError::into_inner).insert(day, id);
        Ok(id)
    }

    async fn stored_day(&self, day: i32) -> Result<Option<LifeKeyId>> {
        let tenant = self.tenant;
        let read = move |tx: &ReadTx| -> Result<_> {
            Ok(tx.row(&JOURNAL_KEY, params![tenant, day], |r| Ok((r.id::<LifeKeyId>(0)?, r.bytes(1)?)))?)
        };
        let Some((id, mac)) = self.store.read(read).await? else { return Ok(None) };
        // A row that names another day's key would make this day's mail die with that one.
        if sealpost_crypto::constant_time_eq(&self.day_mac(day, id), &mac) {
            Ok(Some(id))
        } else {
            Err(Error::Damaged { what: "journal key of day", id: day.into() })
        }
    }

    fn day_mac(&self, day: i32, id: LifeKeyId) -> [u8; 16] {
        self.mac("journal_key", day.into(), 1, &[&id.raw().to_be_bytes()])
    }
}

impl std::fmt::Debug for TenantKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[keys of tenant {}]", self.tenant)
    }
}

impl RootKeys {
    fn new(root: &Key, epoch: i64) -> Self {
        Self {
            epoch,
            derived: root.derive("derived"),
            data_keys: root.derive("data keys").cipher(),
            blinds: Blinds::new(root),
            mac: root.mac_key(),
        }
    }
}

impl OldKey {
    /// No key for a kind that only a newer version knows.
    fn of_row(row: &Row<'_>) -> crate::Result<(DataKeyId, Option<Self>)> {
        let (id, epoch, wrapped) = (row.id(0)?, row.int(2)?, row.bytes(3)?);
        let root = Root::of_kind(row.int(1)?);
        Ok((id, root.map(|root| Self { id, root, epoch, wrapped, cipher: OnceLock::new() })))
    }
}

async fn read_data_keys(store: &Store, tenant: TenantId) -> Result<HashMap<DataKeyId, Arc<OldKey>>> {
    let mut all = HashMap::new();
    let mut after = DataKeyId::from_raw(0);
    loop {
        let read = move |tx: &ReadTx| -> Result<_> {
            Ok(tx.rows(&DATA_KEYS, params![tenant, after], OldKey::of_row)?)
        };
        let some = store.read(read).await?;
        let Some((last, _)) = some.last() else { return Ok(all) };
        after = *last;
        all.extend(some.into_iter().filter_map(|(id, key)| Some((id, Arc::new(key?)))));
    }
}

fn data_key_aad(tenant: TenantId, id: DataKeyId, root: Root, epoch: i64) -> Aad {
    Aad::new(tenant, "data_key", id.raw(), "wrapped").with_int(root.kind()).with_int(epoch)
}
