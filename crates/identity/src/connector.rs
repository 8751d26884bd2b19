//! Trusted servers that hand over mail for one organisation: known by the certificate that they show, or by their network
//! and a secret. What they say then counts as that organisation's own; this version keeps them and decides about them,
//! and no port asks yet.

use sealpost_audit::{Caller, Object, Verb};
use sealpost_crypto::{app_password, constant_time_eq};
use sealpost_model::{Actor, ConnectorId, Id, Network, Secret, TenantId, Time};
use sealpost_store::keys::{Root, TenantKeys};
use sealpost_store::{Row, params};
use serde::{Deserialize, Serialize};

use crate::service::{aad, name};
use crate::tenant::FIRST;
use crate::{Change, Error, Identity, schema};

/// How a server is known.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ConnectorProof {
    /// SHA-256 of the certificate that it shows in the TLS handshake, as DER.
    Certificate([u8; 32]),
    /// It comes from one of these networks, over TLS, and says a secret that is kept as a keyed hash.
    Network {
        /// Where from.
        networks: Vec<Network>,
        /// The secret's hash.
        hash: [u8; 16],
    },
}

/// A server as a list shows it. It holds names: not for logs.
#[derive(Clone, Debug)]
pub struct ConnectorSummary {
    /// Its id.
    pub id: ConnectorId,
    /// What people call it.
    pub name: String,
    /// How it is known.
    pub proof: ConnectorProof,
    /// Whether it is trusted no more.
    pub disabled: bool,
    /// Since when it was.
    pub created: Time,
}

/// What a server shows.
pub struct Shown<'a> {
    /// Where it comes from.
    pub ip: std::net::IpAddr,
    /// SHA-256 of its certificate, where the handshake asked for one and verified that it holds the key.
    pub certificate: Option<[u8; 32]>,
    /// The secret that it said.
    pub secret: Option<&'a Secret<String>>,
}

#[derive(Serialize, Deserialize)]
struct Detail {
    name: String,
    proof: ConnectorProof,
}

/// A row of the table.
#[derive(Clone)]
pub(crate) struct ConnectorRow {
    pub id: ConnectorId,
    pub tenant: TenantId,
    detail: Vec<u8>,
    disabled: bool,
    created: Time,
    version: i64,
    mac: [u8; 16],
}

impl ConnectorRow {
    pub(crate) fn read(r: &Row<'_>) -> Result<Self, sealpost_store::Error> {
        Ok(Self {
            id: r.id(0)?,
            tenant: r.id(1)?,
            detail: r.bytes(2)?,
            disabled: r.bool(3)?,
            created: r.time(4)?,
            version: r.int(5)?,
            mac: r.array(6)?,
        })
    }

    fn covered<T>(&self, with: impl FnOnce(&[&[u8]]) -> T) -> T {
        let numbers = [self.tenant.raw(), self.disabled.into(), self.created.millis()].map(i64::to_be_bytes);
        with(&[&numbers[0], &numbers[1], &numbers[2], &self.detail])
    }

    fn sign(&mut self, keys: &TenantKeys) {
        self.mac = self.covered(|parts| keys.mac("connector", self.id.raw(), self.version, parts));
    }

    pub(crate) const fn version(&self) -> i64 {
        self.version
    }

    /// What it is; checks the row on the way.
    pub(crate) fn open(&self, keys: &TenantKeys) -> Result<ConnectorSummary, Error> {
        let tampered = || Error::Tampered { table: "connector", id: self.id.raw() };
        self.covered(|parts| keys.verify_mac("connector", self.id.raw(), self.version, parts, &self.mac))
            .map_err(|_| tampered())?;
        let plain = keys.open(&aad(self.tenant, "connector", self.id, "detail"), &self.detail);
        let detail: Detail =
            plain.ok().and_then(|plain| postcard::from_bytes(&plain).ok()).ok_or_else(tampered)?;
        let (name, proof) = (detail.name, detail.proof);
        Ok(ConnectorSummary { id: self.id, name, proof, disabled: self.disabled, created: self.created })
    }
}

impl Identity {
    /// Trusts a server that shows a certificate.
    ///
    /// # Errors
    /// [`Error::Name`]; the store's.
    pub async fn add_connector_by_certificate(
        &self,
        tenant: TenantId,
        called: &str,
        sha256: [u8; 32],
        by: &Caller,
    ) -> Result<ConnectorId, Error> {
        let id: ConnectorId = self.inner.store.id();
        self.add_connector(tenant, id, called, ConnectorProof::Certificate(sha256), by).await?;
        Ok(id)
    }

    /// Trusts a server by its networks and a secret, which is shown once, here.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Machine`]; the store's.
    pub async fn add_connector_by_network(
        &self,
        tenant: TenantId,
        called: &str,
        networks: Vec<Network>,
        by: &Caller,
    ) -> Result<(ConnectorId, Secret<String>), Error> {
        if networks.is_empty() {
            return Err(Error::Machine(
                "a server without a certificate needs the network that it comes from",
            ));
        }
        let id: ConnectorId = self.inner.store.id();
        let shown = app_password::random(&self.inner.random);
        let letters = app_password::parse(&shown).ok_or(Error::Name)?;
        let hash = hash(&*self.tenant_keys(tenant).await?, id, &letters);
        self.add_connector(tenant, id, called, ConnectorProof::Network { networks, hash }, by).await?;
        Ok((id, shown))
    }

    async fn add_connector(
        &self,
        tenant: TenantId,
        id: ConnectorId,
        called: &str,
        proof: ConnectorProof,
        by: &Caller,
    ) -> Result<(), Error> {
        let called = name(called)?.to_owned();
        let keys = self.tenant_keys(tenant).await?;
        let detail = Detail { name: called.clone(), proof };
        let plain = postcard::to_allocvec(&detail).expect("plain data is always written");
        let mut row = ConnectorRow {
            id,
            tenant,
            detail: keys.seal(Root::Content, &aad(tenant, "connector", id, "detail"), &plain),
            disabled: false,
            created: self.now(),
            version: FIRST,
            mac: [0; 16],
        };
        row.sign(&keys);
        let draft = self
            .inner
            .audit
            .draft(tenant, &by.actor, &by.client, Verb::ConnectorAdd)
            .object(id)
            .object(Object::version(FIRST))
            .note("name", called);
        let change = Change::new(tenant).entry(self.inner.audit.seal(draft).await?).write(move |tx| {
            let values =
                params![row.id, row.tenant, row.detail, row.disabled, row.created, row.version, row.mac];
            tx.execute(&schema::CONNECTOR_INSERT, values)?;
            Ok(())
        });
        self.apply(change).await
    }

    /// Trusts a server no more.
    ///
    /// # Errors
    /// [`Error::NoSuchDevice`]; the store's.
    pub async fn disable_connector(
        &self,
        tenant: TenantId,
        id: ConnectorId,
        by: &Caller,
    ) -> Result<(), Error> {
        let row = self
            .inner
            .store
            .read(move |tx| tx.row(&schema::CONNECTOR, params![id], ConnectorRow::read))
            .await?;
        let mut row = row.filter(|r| r.tenant == tenant).ok_or(Error::NoSuchDevice)?;
        let keys = self.tenant_keys(tenant).await?;
        row.open(&keys)?;
        let was = row.version;
        (row.disabled, row.version) = (true, row.version + 1);
        row.sign(&keys);
        let draft = self
            .inner
            .audit
            .draft(tenant, &by.actor, &by.client, Verb::ConnectorDisable)
            .object(id)
            .object(Object::version(row.version));
        let change = Change::new(tenant).entry(self.inner.audit.seal(draft).await?).write(move |tx| {
            let values = params![row.id, was, row.disabled, row.version, row.mac];
            if tx.execute(&schema::CONNECTOR_UPDATE, values)? != 1 {
                return Err(Error::Changed);
            }
            Ok(())
        });
        self.apply(change).await
    }

    /// The servers that an organisation trusts, or has trusted.
    ///
    /// # Errors
    /// The store's; a row that is not what was written.
    pub async fn connectors(&self, tenant: TenantId) -> Result<Vec<ConnectorSummary>, Error> {
        let rows = self
            .inner
            .store
            .read(move |tx| tx.rows(&schema::CONNECTORS, params![tenant], ConnectorRow::read))
            .await?;
        let keys = self.tenant_keys(tenant).await?;
        rows.iter().map(|row| row.open(&keys)).collect()
    }

    /// The one server that this is, if an organisation trusts it. Two that fit are none: mail must not go to the wrong
    /// organisation.
    ///
    /// # Errors
    /// The store's; a row that is not what was written.
    pub async fn connector_of(&self, shown: &Shown<'_>) -> Result<Option<Actor>, Error> {
        let rows = self
            .inner
            .store
            .read(|tx| tx.rows(&schema::ALL_CONNECTORS, params![0_i64], ConnectorRow::read))
            .await?;
        let mut found = None;
        for row in rows.iter().filter(|row| !row.disabled) {
            let keys = self.tenant_keys(row.tenant).await?;
            let fits = match row.open(&keys)?.proof {
                ConnectorProof::Certificate(sha256) => {
                    shown.certificate.is_some_and(|given| constant_time_eq(&given, &sha256))
                }
                ConnectorProof::Network { networks, hash: kept } => {
                    let said = shown.secret.and_then(app_password::parse);
                    networks.iter().any(|network| network.contains(shown.ip))
                        && said.is_some_and(|said| constant_time_eq(&hash(&keys, row.id, &said), &kept))
                }
            };
            if fits && found.replace(Actor::Connector { tenant: row.tenant, connector: row.id }).is_some() {
                return Ok(None);
            }
        }
        Ok(found)
    }
}

fn hash(keys: &TenantKeys, id: ConnectorId, letters: &Secret<String>) -> [u8; 16] {
    keys.mac("connector.hash", id.raw(), FIRST, &[letters.expose().as_bytes()])
}
