//! Accounts: whole mailboxes, each with a life key of its own.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use sealpost_crypto::Cipher;
use sealpost_model::{AccountId, FolderId, Id, LifeKeyId, PersonId, TenantId};
use sealpost_policy::decide::MailboxFacts;
use sealpost_store::{Tx, keys::TenantKeys, params};

use crate::folder::{FolderFacts, SealedFolder};
use crate::{Entry, Error, Mailboxes, schema};

/// What never changes in an account's life; kept in memory once it was needed.
pub struct AccountFacts {
    /// Which.
    pub id: AccountId,
    /// Whose organisation.
    pub tenant: TenantId,
    /// Whose.
    pub owner: Option<PersonId>,
    /// Where mail arrives.
    pub inbox: FolderId,
    pub(crate) key: Arc<Cipher>,
    pub(crate) tenant_keys: Arc<TenantKeys>,
}

/// The facts of accounts that were used. At [`CACHE_LIMIT`] it begins anew: what is kept is cheap to load.
#[derive(Default)]
pub(crate) struct Cache(RwLock<HashMap<AccountId, Arc<AccountFacts>>>);

const CACHE_LIMIT: usize = 50_000;

/// An account that is ready to be written.
#[derive(Clone)]
pub struct NewAccount {
    /// Its id.
    pub id: AccountId,
    tenant: TenantId,
    owner: Option<PersonId>,
    life: LifeKeyId,
    inbox: FolderId,
    quota: i64,
    mac: [u8; 16],
    folders: Vec<SealedFolder>,
}

impl AccountFacts {
    /// The MAC of an entry's row: flags and times are what a reader goes by.
    pub(crate) fn entry_mac(&self, folder: FolderId, e: &Entry) -> [u8; 16] {
        let Entry { id, uid, flags, modseq, size, received } = *e;
        let numbers = [
            self.id.raw(),
            folder.raw(),
            i64::from(uid),
            flags.bits(),
            modseq,
            i64::from(size),
            received.millis(),
        ];
        let parts = numbers.map(i64::to_be_bytes);
        self.tenant_keys.mac("entry", id.raw(), 1, &parts.each_ref().map(|p| p.as_slice()))
    }

    /// The MAC of a folder's row over what is not counted.
    pub(crate) fn folder_mac(&self, folder: FolderId, facts: &FolderFacts) -> [u8; 16] {
        facts.mac(&self.tenant_keys, self.id, folder)
    }
}

impl Mailboxes {
    /// Makes the account `id` with its life key and folders; [`insert_account`] writes it. `owner` is `None` for a shared
    /// mailbox, which people use by grants alone. `quota` is in bytes.
    ///
    /// # Errors
    /// When the key ring can't be written.
    pub async fn new_account(
        &self,
        id: AccountId,
        tenant: TenantId,
        owner: impl Into<Option<PersonId>> + Send,
        quota: i64,
    ) -> Result<NewAccount, Error> {
        let owner = owner.into();
        let tenant_keys = self.inner.keys.tenant(tenant).await.map_err(|_| Error::Keys)?;
        let (life, key) = self.inner.keys.ring().create_key().await.map_err(|_| Error::Keys)?;
        let inbox = self.inner.store.id();
        let key = Arc::new(key.cipher());
        let facts = AccountFacts { id, tenant, owner, inbox, key, tenant_keys };
        let folders = self.seal_specials(&facts);
        let mac = mac(&facts.tenant_keys, id, owner, life, inbox, quota);
        Ok(NewAccount { id, tenant, owner, life, inbox, quota, mac, folders })
    }

    /// The account of a person.
    ///
    /// # Errors
    /// The store's.
    pub async fn account_of(&self, person: PersonId) -> Result<Option<AccountId>, Error> {
        Ok(self.inner.store.read(move |tx| tx.row(&schema::ACCOUNT_OF, params![person], |r| r.id(0))).await?)
    }

    /// What policy wants to know of a mailbox; grants come from the directory.
    ///
    /// # Errors
    /// The store's, and [`Error::Corrupt`].
    pub async fn policy_facts(&self, account: AccountId) -> Result<MailboxFacts, Error> {
        let facts = self.facts(account).await?;
        Ok(MailboxFacts { account, tenant: facts.tenant, owner: facts.owner, grant: None })
    }

    /// Whether one more message of `size` bytes fits.
    ///
    /// # Errors
    /// The store's.
    pub async fn has_room(&self, account: AccountId, size: u64) -> Result<bool, Error> {
        if !self.inner.store.reserve().room() {
            return Err(sealpost_store::Error::Full.into());
        }
        let (used, quota) = self
            .inner
            .store
            .read(move |tx| tx.row(&schema::USED, params![account], |r| Ok((r.int(0)?, r.int(1)?))))
            .await?
            .ok_or(Error::NoFolder)?;
        Ok(used.saturating_add(i64::try_from(size).unwrap_or(i64::MAX)) <= quota)
    }

    /// What never changes of an account.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when its row was changed, and the store's.
    pub async fn facts(&self, id: AccountId) -> Result<Arc<AccountFacts>, Error> {
        if let Some(facts) = self.inner.accounts.0.read().unwrap_or_else(|e| e.into_inner()).get(&id) {
            return Ok(Arc::clone(facts));
        }
        let (tenant, owner, life, inbox, quota, stored): (_, Option<PersonId>, LifeKeyId, _, _, Vec<u8>) =
            self.inner
                .store
                .read(move |tx| {
                    tx.row(&schema::ACCOUNT, params![id], |r| {
                        Ok((r.id(0)?, r.opt_id(1)?, r.id(2)?, r.id(3)?, r.int(4)?, r.bytes(5)?))
                    })
                })
                .await?
                .ok_or(Error::NoFolder)?;
        let corrupt = Error::Corrupt { what: "account", id: id.raw() };
        let tenant_keys = self.inner.keys.tenant(tenant).await.map_err(|_| Error::Keys)?;
        if mac(&tenant_keys, id, owner, life, inbox, quota)[..] != stored[..] {
            return Err(corrupt);
        }
        let key = self.inner.keys.ring().cipher(life).ok_or(corrupt)?;
        let facts = Arc::new(AccountFacts { id, tenant, owner, inbox, key, tenant_keys });
        let mut cache = self.inner.accounts.0.write().unwrap_or_else(|e| e.into_inner());
        if cache.len() >= CACHE_LIMIT {
            cache.clear();
        }
        cache.insert(id, Arc::clone(&facts));
        Ok(facts)
    }
}

/// Writes an account with its folders.
///
/// # Errors
/// The store's.
pub fn insert_account(tx: &mut Tx, new: &NewAccount) -> Result<(), sealpost_store::Error> {
    tx.execute(
        &schema::INSERT_ACCOUNT,
        params![new.id, new.tenant, new.owner, new.life, new.inbox, new.quota, &new.mac],
    )?;
    new.folders.iter().try_for_each(|folder| folder.insert(tx, new.id))
}

pub(crate) fn mac(
    keys: &TenantKeys,
    id: AccountId,
    owner: Option<PersonId>,
    life: LifeKeyId,
    inbox: FolderId,
    quota: i64,
) -> [u8; 16] {
    let parts = [owner.map_or(0, Id::raw), life.raw(), inbox.raw(), quota].map(i64::to_be_bytes);
    keys.mac("account", id.raw(), 1, &parts.each_ref().map(|p| p.as_slice()))
}
