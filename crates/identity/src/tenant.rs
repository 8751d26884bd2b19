//! Organisations.

use sealpost_audit::{Caller, Object, Verb};
use sealpost_model::{Id, TenantId};
use sealpost_store::keys::TenantKeys;
use sealpost_store::{Row, params};

use crate::service::{aad, name, open, seal};
use crate::{Change, Error, Identity, PasswordProfile, schema};

impl Identity {
    /// Makes an organisation, with keys of its own.
    ///
    /// # Errors
    /// [`Error::Name`]; the store's.
    pub async fn create_tenant(&self, called: &str, by: &Caller) -> Result<TenantId, Error> {
        let called = name(called)?;
        let tenant: TenantId = self.inner.store.id();
        self.inner.keys.create_tenant(tenant).await?;
        let keys = self.tenant_keys(tenant).await?;
        let sealed = seal(&keys, &aad(tenant, "tenant", tenant, "name"), called);
        let profile = PasswordProfile::default() as i64;
        let outside = false;
        let mac = keys.mac(
            "tenant",
            tenant.raw(),
            FIRST,
            &covered(profile, outside).each_ref().map(<[u8; 8]>::as_slice),
        );
        let now = self.now();
        let entry = self.entry(tenant, by, Verb::TenantAdd, tenant).await?;
        self.commit(tenant, entry, move |tx| {
            tx.execute(&schema::TENANT_INSERT, params![tenant, sealed, profile, outside, now, FIRST, mac])?;
            Ok(())
        })
        .await?;
        Ok(tenant)
    }

    /// All organisations of this instance.
    ///
    /// # Errors
    /// The store's.
    pub async fn tenants(&self) -> Result<Vec<TenantId>, Error> {
        Ok(self.inner.store.read(|tx| tx.rows(&schema::TENANTS, params![], |r| r.id(0))).await?)
    }

    /// An organisation's display name.
    ///
    /// # Errors
    /// [`Error::NoSuchTenant`]; the store's; a row that is not what was written.
    pub async fn tenant_name(&self, tenant: TenantId) -> Result<String, Error> {
        self.tenant_facts(tenant).await?.map(|(called, _)| called).ok_or(Error::NoSuchTenant)
    }

    /// An organisation's rules.
    ///
    /// # Errors
    /// [`Error::NoSuchTenant`]; the store's; a row that is not what was written.
    pub async fn rules(&self, tenant: TenantId) -> Result<Rules, Error> {
        self.tenant_facts(tenant).await?.map(|(_, rules)| rules).ok_or(Error::NoSuchTenant)
    }

    /// Sets an organisation's rules, with what was and what is in the log (S54).
    ///
    /// # Errors
    /// [`Error::NoSuchTenant`]; the store's.
    pub async fn set_rules(&self, tenant: TenantId, rules: Rules, by: &Caller) -> Result<(), Error> {
        let row =
            self.inner.store.read(move |tx| tx.row(&schema::TENANT, params![tenant], Columns::read)).await?;
        let row = row.ok_or(Error::NoSuchTenant)?;
        let keys = self.tenant_keys(tenant).await?;
        let (_, old) = row.open(&keys)?;
        let (was, version) = (row.version, row.version + 1);
        let (profile, outside) = (rules.passwords as i64, rules.outside_members);
        let mac = keys.mac(
            "tenant",
            tenant.raw(),
            version,
            &covered(profile, outside).each_ref().map(<[u8; 8]>::as_slice),
        );
        let draft = self
            .inner
            .audit
            .draft(tenant, &by.actor, &by.client, Verb::PolicyChange)
            .object(tenant)
            .object(Object::version(version))
            .note("old", old.words())
            .note("new", rules.words());
        let change = Change::new(tenant).entry(self.inner.audit.seal(draft).await?).write(move |tx| {
            if tx.execute(&schema::TENANT_UPDATE, params![tenant, was, profile, outside, version, mac])? != 1
            {
                return Err(Error::Changed);
            }
            Ok(())
        });
        self.apply(change).await
    }

    pub(crate) async fn tenant_facts(&self, tenant: TenantId) -> Result<Option<(String, Rules)>, Error> {
        let row =
            self.inner.store.read(move |tx| tx.row(&schema::TENANT, params![tenant], Columns::read)).await?;
        let Some(row) = row else { return Ok(None) };
        row.open(&*self.tenant_keys(tenant).await?).map(Some)
    }
}

/// What an organisation has decided about its people.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Rules {
    /// What a password must be.
    pub passwords: PasswordProfile,
    /// Whether groups may have members outside the organisation.
    pub outside_members: bool,
}

impl Rules {
    fn words(self) -> String {
        let outside = if self.outside_members { "on" } else { "off" };
        format!("passwords={} outside-members={outside}", self.passwords.word())
    }
}

fn covered(profile: i64, outside: bool) -> [[u8; 8]; 2] {
    [profile.to_be_bytes(), i64::from(outside).to_be_bytes()]
}

/// A row of the table.
pub(crate) struct Columns {
    pub id: TenantId,
    name: Vec<u8>,
    profile: i64,
    outside: bool,
    pub(crate) version: i64,
    mac: [u8; 16],
}

impl Columns {
    pub(crate) fn read(r: &Row<'_>) -> Result<Self, sealpost_store::Error> {
        Ok(Self {
            id: r.id(0)?,
            name: r.bytes(1)?,
            profile: r.int(2)?,
            outside: r.bool(3)?,
            version: r.int(5)?,
            mac: r.array(6)?,
        })
    }

    /// Name and rules.
    pub(crate) fn open(&self, keys: &TenantKeys) -> Result<(String, Rules), Error> {
        let tampered = || Error::Tampered { table: "tenant", id: self.id.raw() };
        let parts = covered(self.profile, self.outside);
        keys.verify_mac(
            "tenant",
            self.id.raw(),
            self.version,
            &parts.each_ref().map(<[u8; 8]>::as_slice),
            &self.mac,
        )
        .map_err(|_| tampered())?;
        let called =
            open(keys, &aad(self.id, "tenant", self.id, "name"), &self.name, ("tenant", self.id.raw()))?;
        let passwords = PasswordProfile::from_number(self.profile).ok_or_else(tampered)?;
        Ok((called, Rules { passwords, outside_members: self.outside }))
    }
}

/// The version of a new row.
pub(crate) const FIRST: i64 = 1;
