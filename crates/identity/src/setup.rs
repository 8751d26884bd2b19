//! Setting up: who answers for security, with a contact that works while this server doesn't (S108), and the one-time
//! link by which a new person sets their first password themselves.
//!
//! A link holds a 128-bit token of which the table has a keyed hash. It is good for an hour and for one use, and ends
//! with any other change of the person's credential. Looking at it changes nothing.

use std::time::Duration;

use sealpost_audit::{Caller, Verb};
use sealpost_crypto::Token;
use sealpost_model::{Actor, Address, Client, CredentialId, Id, PersonId, Secret, TenantId, Time};
use sealpost_policy::{Role, Roles};
use sealpost_store::keys::{Keys, TenantKeys};
use sealpost_store::{Row, Store, params};

use crate::person::{self, Whole};
use crate::service::{aad, name, open, seal};
use crate::tenant::FIRST;
use crate::{Error, Identity, schema};

/// How long a link is good.
pub const LINK_LIFE: Duration = Duration::from_secs(3600);

/// What a good link is for.
#[derive(Clone, Debug)]
pub struct SetupLink {
    /// Whose password it sets.
    pub person: PersonId,
    /// Their address.
    pub address: Address,
    /// Their organisation's name.
    pub organisation: String,
    /// The least number of characters of a password.
    pub least: usize,
    /// Until when it is good.
    pub ends: Time,
}

/// Somebody who answers for security.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Official {
    /// Who.
    pub person: PersonId,
    /// 1: the security official; 2: who acts when they can't.
    pub rank: i64,
    /// How to reach them while this server is down: a telephone number, or a mail address elsewhere.
    pub contact: String,
    /// Whether they can still sign in and still have the role.
    pub active: bool,
}

/// A row of `setup_link`.
pub(crate) struct LinkRow {
    pub id: CredentialId,
    pub tenant: TenantId,
    pub person: PersonId,
    blind: [u8; 16],
    ends: Time,
    mac: [u8; 16],
}

impl LinkRow {
    pub(crate) fn read(r: &Row<'_>) -> Result<Self, sealpost_store::Error> {
        Ok(Self {
            id: r.id(0)?,
            tenant: r.id(1)?,
            person: r.id(2)?,
            blind: r.array(3)?,
            ends: r.time(4)?,
            mac: r.array(5)?,
        })
    }

    fn covered<T>(&self, with: impl FnOnce(&[&[u8]]) -> T) -> T {
        let numbers = [self.tenant.raw(), self.person.raw(), self.ends.millis()].map(i64::to_be_bytes);
        with(&[&numbers[0], &numbers[1], &numbers[2], &self.blind])
    }

    pub(crate) fn check(&self, keys: &TenantKeys) -> Result<(), Error> {
        self.covered(|parts| keys.verify_mac("setup_link", self.id.raw(), FIRST, parts, &self.mac))
            .map_err(|_| Error::Tampered { table: "setup_link", id: self.id.raw() })
    }
}

/// A row of `official`.
pub(crate) struct OfficialRow {
    pub id: PersonId,
    pub tenant: TenantId,
    rank: i64,
    contact: Vec<u8>,
    version: i64,
    mac: [u8; 16],
}

impl OfficialRow {
    pub(crate) fn read(r: &Row<'_>) -> Result<Self, sealpost_store::Error> {
        Ok(Self {
            id: r.id(0)?,
            tenant: r.id(1)?,
            rank: r.int(2)?,
            contact: r.bytes(3)?,
            version: r.int(4)?,
            mac: r.array(5)?,
        })
    }

    /// The contact; checks the row on the way.
    pub(crate) fn contact(&self, keys: &TenantKeys) -> Result<String, Error> {
        let numbers = [self.tenant.raw(), self.rank].map(i64::to_be_bytes);
        keys.verify_mac("official", self.id.raw(), self.version, &[&numbers[0], &numbers[1]], &self.mac)
            .map_err(|_| Error::Tampered { table: "official", id: self.id.raw() })?;
        let aad = aad(self.tenant, "official", self.id, "contact");
        open(keys, &aad, &self.contact, ("official", self.id.raw()))
    }
}

/// Who answers for security in each organisation, read without a server.
///
/// # Errors
/// The store's; a row that is not what was written.
pub async fn officials(store: &Store, keys: &Keys) -> Result<Vec<(TenantId, Vec<Official>)>, Error> {
    let tenants: Vec<TenantId> = store.read(|tx| tx.rows(&schema::TENANTS, params![], |r| r.id(0))).await?;
    let mut all = Vec::new();
    for tenant in tenants {
        all.push((tenant, officials_of(store, keys, tenant).await?));
    }
    Ok(all)
}

/// Who may be named: the first is a security official, the second may also be an administrator.
pub fn may_stand(roles: Roles, rank: i64) -> bool {
    roles.has(Role::SecurityOfficial) || rank > 1 && roles.has(Role::TenantAdmin)
}

async fn officials_of(store: &Store, keys: &Keys, tenant: TenantId) -> Result<Vec<Official>, Error> {
    let rows = store
        .read(move |tx| {
            let rows = tx.rows(&schema::OFFICIALS, params![tenant], OfficialRow::read)?;
            rows.into_iter()
                .map(|row| {
                    let person = tx.row(&schema::PERSON, params![row.id], person::Columns::read)?;
                    let whole = person.map(|person| Whole::around(tx, person)).transpose()?;
                    Ok((row, whole))
                })
                .collect::<Result<Vec<_>, sealpost_store::Error>>()
        })
        .await?;
    let keys = keys.tenant(tenant).await?;
    rows.into_iter()
        .map(|(row, whole)| {
            let person = whole.map(|whole| whole.open(&keys)).transpose()?;
            let active = person.is_some_and(|p| !p.disabled && may_stand(p.roles, row.rank));
            Ok(Official { person: row.id, rank: row.rank, contact: row.contact(&keys)?, active })
        })
        .collect()
}

impl Identity {
    /// Makes a link by which a person sets their password themselves, in the place of any older one. It is shown once,
    /// here. Whether `by` may do that is `policy::decide::command`'s to say.
    ///
    /// # Errors
    /// [`Error::NoSuchPerson`], also for somebody whose access has ended; the store's.
    pub async fn new_setup_link(&self, person: PersonId, by: &Caller) -> Result<Secret<String>, Error> {
        let whose = self.fresh(person).await?.filter(|p| !p.disabled).ok_or(Error::NoSuchPerson)?;
        let keys = self.tenant_keys(whose.tenant).await?;
        let token = Token::random(&self.inner.random);
        let mut row = LinkRow {
            id: self.inner.store.id(),
            tenant: whose.tenant,
            person,
            blind: self.blind_setup(&token),
            ends: self.now().plus(LINK_LIFE),
            mac: [0; 16],
        };
        row.mac = row.covered(|parts| keys.mac("setup_link", row.id.raw(), FIRST, parts));
        let entry = self.entry(whose.tenant, by, Verb::SetupLink, person).await?;
        self.commit(whose.tenant, entry, move |tx| {
            tx.execute(&schema::SETUP_LINKS_DELETE, params![row.person])?;
            let values = params![row.id, row.tenant, row.person, row.blind, row.ends, row.mac];
            Ok(tx.execute(&schema::SETUP_LINK_INSERT, values).map(drop)?)
        })
        .await?;
        Ok(token.expose())
    }

    /// What a link is for, if it is good. Changes nothing.
    ///
    /// # Errors
    /// The store's; a row that is not what was written.
    pub async fn setup_link(&self, token: &Secret<String>) -> Result<Option<SetupLink>, Error> {
        let Some(token) = Token::parse(token.expose()) else { return Ok(None) };
        let blind = self.blind_setup(&token);
        let row = self
            .inner
            .store
            .read(move |tx| tx.row(&schema::SETUP_LINK_BY_BLIND, params![blind], LinkRow::read))
            .await?;
        let Some(row) = row else { return Ok(None) };
        row.check(&*self.tenant_keys(row.tenant).await?)?;
        let whose = self.fresh(row.person).await?.filter(|p| !p.disabled && p.tenant == row.tenant);
        let (Some(whose), true) = (whose, self.now() < row.ends) else { return Ok(None) };
        let (organisation, profile) = self.tenant_facts(row.tenant).await?.ok_or(Error::NoSuchTenant)?;
        Ok(Some(SetupLink {
            person: row.person,
            address: whose.address,
            organisation,
            least: profile.passwords.least(),
            ends: row.ends,
        }))
    }

    /// Sets the password that the holder of a link chose, and ends the link. Answers the address to sign in with; `None`
    /// if the link is no good (any more). A password that does not do leaves the link as it is.
    ///
    /// # Errors
    /// [`Error::Password`]; the store's.
    pub async fn use_setup_link(
        &self,
        token: &Secret<String>,
        password: &Secret<String>,
        client: &Client,
    ) -> Result<Option<Address>, Error> {
        let Some(known) = self.setup_link(token).await? else { return Ok(None) };
        // The person first, the link again after: of two that use it at once, the second finds either no link or
        // another version of the person.
        let old = self.fresh(known.person).await?.ok_or(Error::NoSuchPerson)?;
        let Some(link) = self.setup_link(token).await? else { return Ok(None) };
        let actor = Actor::Person { tenant: old.tenant, person: old.id };
        let draft = self.inner.audit.draft(old.tenant, &actor, client, Verb::PasswordSet);
        match self.replace_password(old, password, draft.reason("setup-link")).await {
            Ok(()) => Ok(Some(link.address)),
            Err(Error::Changed) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether somebody has a link that was never used; it may have ended. Whoever set this server up may then make
    /// another: nobody has signed in with the first.
    ///
    /// # Errors
    /// The store's.
    pub async fn has_unused_setup_link(&self, person: PersonId) -> Result<bool, Error> {
        let read =
            move |tx: &sealpost_store::ReadTx| tx.row(&schema::SETUP_LINK_OF, params![person], |r| r.int(0));
        Ok(self.inner.store.read(read).await?.is_some())
    }

    /// Names somebody who answers for security, with a contact outside of this server (S108). A rank has one person.
    ///
    /// # Errors
    /// [`Error::NoSuchPerson`], [`Error::Name`] for a contact that is empty or too long; the store's.
    pub async fn name_official(
        &self,
        person: PersonId,
        rank: i64,
        contact: &str,
        by: &Caller,
    ) -> Result<(), Error> {
        let contact = name(contact)?;
        let tenant = self.fresh(person).await?.ok_or(Error::NoSuchPerson)?.tenant;
        let keys = self.tenant_keys(tenant).await?;
        let sealed = seal(&keys, &aad(tenant, "official", person, "contact"), contact);
        let numbers = [tenant.raw(), rank].map(i64::to_be_bytes);
        let mac = keys.mac("official", person.raw(), FIRST, &[&numbers[0], &numbers[1]]);
        let draft = self.inner.audit.draft(tenant, &by.actor, &by.client, Verb::OfficialName).object(person);
        let entry = self.inner.audit.seal(draft.note("rank", rank.to_string())).await?;
        self.commit(tenant, entry, move |tx| {
            tx.execute(&schema::OFFICIAL_DELETE, params![tenant, rank, person])?;
            let values = params![person, tenant, rank, sealed, FIRST, mac];
            Ok(tx.execute(&schema::OFFICIAL_INSERT, values).map(drop)?)
        })
        .await
    }

    /// Who answers for security in an organisation, by rank.
    ///
    /// # Errors
    /// The store's; a row that is not what was written.
    pub async fn officials(&self, tenant: TenantId) -> Result<Vec<Official>, Error> {
        officials_of(&self.inner.store, &self.inner.keys, tenant).await
    }

    fn blind_setup(&self, token: &Token) -> [u8; 16] {
        self.inner.keys.instance().blind("setup_link.token", &token.digest("setup link"))
    }
}
