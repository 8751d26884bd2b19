//! Mail domains.

use std::sync::Arc;

use sealpost_audit::{Caller, Verb};
use sealpost_model::{Domain, DomainId, Id, TenantId};
use sealpost_policy::{DomainPolicy, Grade};
use sealpost_store::keys::TenantKeys;
use sealpost_store::{Row, params};

use crate::service::{aad, open, seal};
use crate::tenant::FIRST;
use crate::{Error, Identity, schema};

/// Where the mailboxes of a domain live.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum DomainKind {
    /// Here.
    Hosted = 1,
    /// Elsewhere: we are the gateway. Nothing makes one in this version.
    Relayed = 2,
    /// Some here, some elsewhere. Nothing makes one in this version.
    Split = 3,
}

/// What is known of a domain of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DomainFacts {
    /// Its id.
    pub id: DomainId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where its mailboxes live.
    pub kind: DomainKind,
    /// Whether it holds PHI.
    pub hipaa: bool,
    /// The floor that was set; [`DomainPolicy::effective_floor`] says what holds.
    pub floor: Grade,
}

impl DomainFacts {
    /// What it asks of mail that leaves it.
    pub const fn policy(&self) -> DomainPolicy {
        DomainPolicy { hipaa: self.hipaa, floor: self.floor }
    }
}

/// A row of the table.
#[derive(Clone)]
pub(crate) struct DomainRow {
    pub id: DomainId,
    pub tenant: TenantId,
    pub blind: [u8; 16],
    pub name: Vec<u8>,
    pub kind: i64,
    pub hipaa: bool,
    pub floor: i64,
    pub version: i64,
    pub mac: [u8; 16],
}

impl DomainRow {
    pub(crate) fn read(r: &Row<'_>) -> Result<Self, sealpost_store::Error> {
        Ok(Self {
            id: r.id(0)?,
            tenant: r.id(1)?,
            blind: r.array(2)?,
            name: r.bytes(3)?,
            kind: r.int(4)?,
            hipaa: r.bool(5)?,
            floor: r.int(6)?,
            version: r.int(7)?,
            mac: r.array(8)?,
        })
    }

    fn covered(&self) -> [Vec<u8>; 5] {
        let numbers = [self.tenant.raw(), self.kind, i64::from(self.hipaa), self.floor];
        let [tenant, kind, hipaa, floor] = numbers.map(|n| n.to_be_bytes().to_vec());
        [tenant, self.blind.to_vec(), kind, hipaa, floor]
    }

    pub(crate) fn facts(&self, keys: &TenantKeys) -> Result<DomainFacts, Error> {
        let tampered = || Error::Tampered { table: "domain", id: self.id.raw() };
        let covered = self.covered();
        let parts: Vec<&[u8]> = covered.iter().map(Vec::as_slice).collect();
        keys.verify_mac("domain", self.id.raw(), self.version, &parts, &self.mac).map_err(|_| tampered())?;
        let kind = [DomainKind::Hosted, DomainKind::Relayed, DomainKind::Split]
            .into_iter()
            .find(|k| *k as i64 == self.kind)
            .ok_or_else(tampered)?;
        let floor = Grade::from_number(self.floor).ok_or_else(tampered)?;
        Ok(DomainFacts { id: self.id, tenant: self.tenant, kind, hipaa: self.hipaa, floor })
    }
}

impl Identity {
    /// Adds a hosted domain. A HIPAA domain begins at the floor `webpki-mx`, another at `tls`.
    ///
    /// # Errors
    /// [`Error::DomainExists`]; the store's.
    pub async fn add_domain(
        &self,
        tenant: TenantId,
        domain: &Domain,
        hipaa: bool,
        by: &Caller,
    ) -> Result<DomainId, Error> {
        let keys = self.tenant_keys(tenant).await?;
        let id: DomainId = self.inner.store.id();
        let floor = if hipaa { Grade::WebpkiMx } else { Grade::Tls };
        let mut row = DomainRow {
            id,
            tenant,
            blind: self.blind_domain(domain),
            name: seal(&keys, &aad(tenant, "domain", id, "name"), domain.as_str()),
            kind: DomainKind::Hosted as i64,
            hipaa,
            floor: floor as i64,
            version: FIRST,
            mac: [0; 16],
        };
        let covered = row.covered();
        let parts: Vec<&[u8]> = covered.iter().map(Vec::as_slice).collect();
        row.mac = keys.mac("domain", id.raw(), row.version, &parts);
        let entry = self.entry(tenant, by, Verb::DomainAdd, id).await?;
        self.commit(tenant, entry, move |tx| {
            let values = params![
                row.id,
                row.tenant,
                row.blind,
                row.name,
                row.kind,
                row.hipaa,
                row.floor,
                row.version,
                row.mac
            ];
            if tx.execute(&schema::DOMAIN_INSERT, values)? == 0 {
                return Err(Error::DomainExists);
            }
            Ok(())
        })
        .await?;
        Ok(id)
    }

    /// What is known of a domain; `None` if it is not ours.
    ///
    /// # Errors
    /// The store's; a row that is not what was written.
    pub async fn domain(&self, domain: &Domain) -> Result<Option<DomainFacts>, Error> {
        let (blind, now) = (self.blind_domain(domain), self.now());
        let (found, generation) = self.inner.cache.look(|s| s.domains.get(&blind, now));
        if let Some(facts) = found {
            return Ok(Some(*facts));
        }
        let row = self
            .inner
            .store
            .read(move |tx| tx.row(&schema::DOMAIN_BY_BLIND, params![blind], DomainRow::read))
            .await?;
        let Some(row) = row else { return Ok(None) };
        let facts = row.facts(&*self.tenant_keys(row.tenant).await?)?;
        self.inner.cache.keep(generation, |s| s.domains.put(blind, Arc::new(facts), now));
        Ok(Some(facts))
    }

    /// What is known of a domain, by its id.
    pub(crate) async fn domain_by_id(&self, id: DomainId) -> Result<Option<DomainFacts>, Error> {
        let row = self
            .inner
            .store
            .read(move |tx| tx.row(&schema::DOMAIN_BY_ID, params![id], DomainRow::read))
            .await?;
        match row {
            Some(row) => row.facts(&*self.tenant_keys(row.tenant).await?).map(Some),
            None => Ok(None),
        }
    }

    /// The domains of an organisation, with their names.
    ///
    /// # Errors
    /// The store's; a row that is not what was written.
    pub async fn domains(&self, tenant: TenantId) -> Result<Vec<(Domain, DomainFacts)>, Error> {
        let rows = self
            .inner
            .store
            .read(move |tx| tx.rows(&schema::DOMAINS, params![tenant], DomainRow::read))
            .await?;
        let keys = self.tenant_keys(tenant).await?;
        rows.iter()
            .map(|row| {
                let tampered = Error::Tampered { table: "domain", id: row.id.raw() };
                let text =
                    open(&keys, &aad(tenant, "domain", row.id, "name"), &row.name, ("domain", row.id.raw()))?;
                Ok((Domain::parse(&text).map_err(|_| tampered)?, row.facts(&keys)?))
            })
            .collect()
    }

    pub(crate) fn blind_domain(&self, domain: &Domain) -> [u8; 16] {
        self.inner.keys.instance().blind("domain.name", domain.as_str().as_bytes())
    }
}
