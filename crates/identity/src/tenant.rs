//! Organisations.

use sealpost_audit::{Caller, Verb};
use sealpost_model::{Id, TenantId};
use sealpost_store::keys::TenantKeys;
use sealpost_store::{Row, params};

use crate::service::{aad, name, open, seal};
use crate::{Error, Identity, PasswordProfile, schema};

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
        let mac = keys.mac("tenant", tenant.raw(), FIRST, &[&profile.to_be_bytes()]);
        let now = self.now();
        let entry = self.entry(tenant, by, Verb::TenantAdd, tenant).await?;
        self.commit(tenant, entry, move |tx| {
            tx.execute(&schema::TENANT_INSERT, params![tenant, sealed, profile, now, FIRST, mac])?;
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

    pub(crate) async fn tenant_facts(
        &self,
        tenant: TenantId,
    ) -> Result<Option<(String, PasswordProfile)>, Error> {
        let row =
            self.inner.store.read(move |tx| tx.row(&schema::TENANT, params![tenant], Columns::read)).await?;
        let Some(row) = row else { return Ok(None) };
        row.open(&*self.tenant_keys(tenant).await?).map(Some)
    }
}

/// A row of the table.
pub(crate) struct Columns {
    pub id: TenantId,
    name: Vec<u8>,
    profile: i64,
    version: i64,
    mac: [u8; 16],
}

impl Columns {
    pub(crate) fn read(r: &Row<'_>) -> Result<Self, sealpost_store::Error> {
        Ok(Self { id: r.id(0)?, name: r.bytes(1)?, profile: r.int(2)?, version: r.int(4)?, mac: r.array(5)? })
    }

    /// Name and rule for passwords.
    pub(crate) fn open(&self, keys: &TenantKeys) -> Result<(String, PasswordProfile), Error> {
        let tampered = || Error::Tampered { table: "tenant", id: self.id.raw() };
        keys.verify_mac("tenant", self.id.raw(), self.version, &[&self.profile.to_be_bytes()], &self.mac)
            .map_err(|_| tampered())?;
        let called =
            open(keys, &aad(self.id, "tenant", self.id, "name"), &self.name, ("tenant", self.id.raw()))?;
        Ok((called, PasswordProfile::from_number(self.profile).ok_or_else(tampered)?))
    }
}

/// The version of a new row.
pub(crate) const FIRST: i64 = 1;
