//! Machines that send mail: scanners, EHR systems. Each is an actor of its own (S36), with one address that it sends under,
//! networks that it may come from, and a rate.
//!
//! A machine signs in on submission with the name `device-ID` and a secret as random as an app password. One that can't
//! sign in at all may be known by its network alone; then too only over TLS.

use sealpost_audit::{Caller, Draft, Object, Verb};
use sealpost_crypto::{app_password, constant_time_eq};
use sealpost_model::{Actor, Address, Client, DeviceId, Id, Network, Secret, TenantId, Time};
use sealpost_policy::Reason;
use sealpost_store::keys::{Root, TenantKeys};
use sealpost_store::{Row, Topic, params};
use serde::{Deserialize, Serialize};

use crate::service::{aad, name};
use crate::tenant::FIRST;
use crate::{AuthError, Change, Error, Identity, schema};

/// A machine to be added.
#[derive(Clone, Debug)]
pub struct NewDevice {
    /// What people call it.
    pub name: String,
    /// The one address that it sends under.
    pub from: Address,
    /// Where it may come from; empty: from anywhere.
    pub networks: Vec<Network>,
    /// The most messages an hour.
    pub rate: u32,
    /// It sends no password: its network is enough.
    pub by_network: bool,
}

/// A machine as a list shows it. It holds names: not for logs.
#[derive(Clone, Debug)]
pub struct DeviceSummary {
    /// Its id.
    pub id: DeviceId,
    /// What it is.
    pub device: NewDevice,
    /// Whether its access was ended.
    pub disabled: bool,
    /// When it was added.
    pub created: Time,
}

/// A machine that signed in.
#[derive(Clone, Debug)]
pub struct DeviceLogin {
    /// Its organisation.
    pub tenant: TenantId,
    /// Which.
    pub device: DeviceId,
    /// The version of its row: a change ends the login.
    version: i64,
}

impl DeviceLogin {
    /// As the log calls it.
    pub const fn actor(&self) -> Actor {
        Actor::Device { tenant: self.tenant, device: self.device }
    }
}

#[derive(Serialize, Deserialize)]
struct Detail {
    name: String,
    from: String,
    networks: Vec<Network>,
    rate: u32,
}

/// A row of the table.
#[derive(Clone)]
pub(crate) struct DeviceRow {
    pub id: DeviceId,
    pub tenant: TenantId,
    detail: Vec<u8>,
    hash: [u8; 16],
    networked: bool,
    disabled: bool,
    created: Time,
    version: i64,
    mac: [u8; 16],
}

impl DeviceRow {
    pub(crate) fn read(r: &Row<'_>) -> Result<Self, sealpost_store::Error> {
        Ok(Self {
            id: r.id(0)?,
            tenant: r.id(1)?,
            detail: r.bytes(2)?,
            hash: r.array(3)?,
            networked: r.bool(4)?,
            disabled: r.bool(5)?,
            created: r.time(6)?,
            version: r.int(7)?,
            mac: r.array(8)?,
        })
    }

    fn covered<T>(&self, with: impl FnOnce(&[&[u8]]) -> T) -> T {
        let numbers = [self.tenant.raw(), self.networked.into(), self.disabled.into(), self.created.millis()]
            .map(i64::to_be_bytes);
        let mut parts: Vec<&[u8]> = numbers.iter().map(<[u8; 8]>::as_slice).collect();
        parts.extend([self.hash.as_slice(), &self.detail]);
        with(&parts)
    }

    fn sign(&mut self, keys: &TenantKeys) {
        self.mac = self.covered(|parts| keys.mac("device", self.id.raw(), self.version, parts));
    }

    pub(crate) const fn version(&self) -> i64 {
        self.version
    }

    /// What it is; checks the row on the way.
    pub(crate) fn open(&self, keys: &TenantKeys) -> Result<DeviceSummary, Error> {
        let tampered = || Error::Tampered { table: "device", id: self.id.raw() };
        self.covered(|parts| keys.verify_mac("device", self.id.raw(), self.version, parts, &self.mac))
            .map_err(|_| tampered())?;
        let plain = keys.open(&aad(self.tenant, "device", self.id, "detail"), &self.detail);
        let detail: Detail =
            plain.ok().and_then(|plain| postcard::from_bytes(&plain).ok()).ok_or_else(tampered)?;
        let device = NewDevice {
            name: detail.name,
            from: Address::parse(&detail.from).map_err(|_| tampered())?,
            networks: detail.networks,
            rate: detail.rate,
            by_network: self.networked,
        };
        Ok(DeviceSummary { id: self.id, device, disabled: self.disabled, created: self.created })
    }

    fn login(&self) -> DeviceLogin {
        DeviceLogin { tenant: self.tenant, device: self.id, version: self.version }
    }
}

fn hash(keys: &TenantKeys, id: DeviceId, letters: &Secret<String>) -> [u8; 16] {
    keys.mac("device.hash", id.raw(), FIRST, &[letters.expose().as_bytes()])
}

impl Identity {
    /// Lets a machine send. Its secret is shown once, here.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::NoSuchAddress`] if the organisation has no such address, [`Error::Machine`]; the store's.
    pub async fn add_device(
        &self,
        tenant: TenantId,
        new: &NewDevice,
        by: &Caller,
    ) -> Result<(DeviceId, Secret<String>), Error> {
        let called = name(&new.name)?.to_owned();
        if self.row_of(&new.from).await?.is_none_or(|row| row.tenant != tenant) {
            return Err(Error::NoSuchAddress);
        }
        if new.by_network && new.networks.is_empty() {
            return Err(Error::Machine(
                "a device that sends no password needs the network that it comes from",
            ));
        }
        if new.rate == 0 {
            return Err(Error::Machine("a device sends at least one message an hour"));
        }
        let keys = self.tenant_keys(tenant).await?;
        let id: DeviceId = self.inner.store.id();
        let shown = app_password::random(&self.inner.random);
        let letters = app_password::parse(&shown).ok_or(Error::Name)?;
        let networks = new.networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let detail = Detail {
            name: called.clone(),
            from: new.from.to_string(),
            networks: new.networks.clone(),
            rate: new.rate,
        };
        let plain = postcard::to_allocvec(&detail).expect("plain data is always written");
        let mut row = DeviceRow {
            id,
            tenant,
            detail: keys.seal(Root::Content, &aad(tenant, "device", id, "detail"), &plain),
            hash: hash(&keys, id, &letters),
            networked: new.by_network,
            disabled: false,
            created: self.now(),
            version: FIRST,
            mac: [0; 16],
        };
        row.sign(&keys);
        let draft = self
            .inner
            .audit
            .draft(tenant, &by.actor, &by.client, Verb::DeviceAdd)
            .object(id)
            .object(Object::version(FIRST))
            .note("name", called)
            .note("from", new.from.to_string())
            .note("networks", networks)
            .note("rate", new.rate.to_string());
        let change = Change::new(tenant).entry(self.inner.audit.seal(draft).await?).write(move |tx| {
            let values = params![
                row.id,
                row.tenant,
                row.detail,
                row.hash,
                row.networked,
                row.disabled,
                row.created,
                row.version,
                row.mac
            ];
            tx.execute(&schema::DEVICE_INSERT, values)?;
            Ok(())
        });
        self.apply(change).await?;
        Ok((id, shown))
    }

    /// Ends a machine's access; what it has open is closed before its next message.
    ///
    /// # Errors
    /// [`Error::NoSuchDevice`]; the store's.
    pub async fn disable_device(&self, tenant: TenantId, id: DeviceId, by: &Caller) -> Result<(), Error> {
        let mut row = self.device_row(id).await?.filter(|r| r.tenant == tenant).ok_or(Error::NoSuchDevice)?;
        let keys = self.tenant_keys(tenant).await?;
        row.open(&keys)?;
        let was = row.version;
        (row.disabled, row.version) = (true, row.version + 1);
        row.sign(&keys);
        let draft = self
            .inner
            .audit
            .draft(tenant, &by.actor, &by.client, Verb::DeviceDisable)
            .object(id)
            .object(Object::version(row.version));
        let change = Change::new(tenant).entry(self.inner.audit.seal(draft).await?).write(move |tx| {
            let values = params![row.id, was, row.disabled, row.version, row.mac];
            if tx.execute(&schema::DEVICE_UPDATE, values)? != 1 {
                return Err(Error::Changed);
            }
            tx.after_commit(Topic::Sessions);
            Ok(())
        });
        self.apply(change).await
    }

    /// The machines of an organisation.
    ///
    /// # Errors
    /// The store's; a row that is not what was written.
    pub async fn devices(&self, tenant: TenantId) -> Result<Vec<DeviceSummary>, Error> {
        let rows = self
            .inner
            .store
            .read(move |tx| tx.rows(&schema::DEVICES, params![tenant], DeviceRow::read))
            .await?;
        let keys = self.tenant_keys(tenant).await?;
        rows.iter().map(|row| row.open(&keys)).collect()
    }

    /// Whether a login names a machine.
    pub fn is_device(login: &str) -> bool {
        id_of(login).is_some()
    }

    /// Signs a machine in by name and secret; the entry is written, whatever comes of it.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub async fn authenticate_device(
        &self,
        login: &str,
        secret: &Secret<String>,
        client: &Client,
    ) -> Result<DeviceLogin, AuthError> {
        let row = match id_of(login) {
            Some(id) => self.device_row(id).await.map_err(|e| crate::authenticate::trouble(&e))?,
            None => None,
        };
        let tenant = row.as_ref().map_or_else(sealpost_audit::instance, |row| row.tenant);
        let matched = self.device_matches(row.as_ref(), tenant, secret, client).await;
        let matched = matched.map_err(|e| crate::authenticate::trouble(&e))?;
        let login_note: String = login.chars().take(200).collect();
        if let (Some(row), true) = (&row, matched) {
            let found = row.login();
            let draft = Draft::new(row.tenant, &found.actor(), client, Verb::Login)
                .reason("device")
                .object(row.id)
                .note("login", login_note);
            self.inner.audit.record(draft).await.map_err(|e| crate::authenticate::trouble(&e.into()))?;
            return Ok(found);
        }
        // What does not fit is counted like any wrong password of that network.
        let counted = self.counted(login, client, false);
        let error = match self.inner.throttle.begin(&counted, self.now()) {
            Ok(attempt) => {
                drop(attempt);
                AuthError::Wrong
            }
            Err(wait) => AuthError::Throttled { retry: wait.retry },
        };
        self.inner.throttle.failed(&counted, matches!(error, AuthError::Throttled { .. }), self.now());
        let draft = Draft::new(tenant, &Actor::Stranger, client, Verb::Login)
            .refused()
            .reason("wrong-credentials")
            .note("login", login_note);
        self.inner.audit.record(draft).await.map_err(|e| crate::authenticate::trouble(&e.into()))?;
        Err(error)
    }

    /// The machine that is known by its network alone, over TLS; with its entry.
    ///
    /// # Errors
    /// The store's; a row that is not what was written.
    pub async fn device_by_network(&self, client: &Client) -> Result<Option<DeviceLogin>, Error> {
        if client.tls.is_none() {
            return Ok(None);
        }
        let rows = self
            .inner
            .store
            .read(|tx| tx.rows(&schema::DEVICES_BY_NETWORK, params![], DeviceRow::read))
            .await?;
        for row in rows {
            let device = row.open(&*self.tenant_keys(row.tenant).await?)?.device;
            if device.networks.iter().any(|network| network.contains(client.ip)) {
                let found = row.login();
                let draft = Draft::new(row.tenant, &found.actor(), client, Verb::Login)
                    .reason("network")
                    .object(row.id);
                self.inner.audit.record(draft).await?;
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Whether a machine's login is good still.
    ///
    /// # Errors
    /// The store's.
    pub async fn device_valid(&self, login: &DeviceLogin) -> Result<bool, Error> {
        Ok(self.device_row(login.device).await?.is_some_and(|r| !r.disabled && r.version == login.version))
    }

    /// May a machine send a message with these addresses as authors and sender now? Each must be its own; and it has sent
    /// less than its rate within the hour, over all nodes.
    ///
    /// # Errors
    /// [`Error::Denied`] with [`Reason::DeviceFrom`] or [`Reason::DeviceRate`]; the store's.
    pub async fn device_may_send(&self, id: DeviceId, addresses: &[&Address]) -> Result<(), Error> {
        let row = self.device_row(id).await?.filter(|r| !r.disabled).ok_or(Error::NoSuchDevice)?;
        let device = row.open(&*self.tenant_keys(row.tenant).await?)?.device;
        if addresses.iter().any(|address| !address.same(&device.from)) {
            return Err(Error::Denied(Reason::DeviceFrom.into()));
        }
        let blind = self.inner.keys.instance().blind("throttle.device", &id.raw().to_be_bytes());
        if self.inner.throttle.spend(blind, device.rate, self.now()) {
            Ok(())
        } else {
            Err(Error::Denied(Reason::DeviceRate.into()))
        }
    }

    async fn device_matches(
        &self,
        row: Option<&DeviceRow>,
        tenant: TenantId,
        secret: &Secret<String>,
        client: &Client,
    ) -> Result<bool, Error> {
        let keys = self.tenant_keys(tenant).await?;
        let letters = app_password::parse(secret).unwrap_or_else(|| Secret::new(String::new()));
        let Some(row) = row else {
            // The same work for one that nobody has.
            let _ = constant_time_eq(&hash(&keys, DeviceId::from_raw(0), &letters), &[0; 16]);
            return Ok(false);
        };
        let device = row.open(&keys)?.device;
        let near = device.networks.is_empty() || device.networks.iter().any(|n| n.contains(client.ip));
        Ok(constant_time_eq(&hash(&keys, row.id, &letters), &row.hash) && near && !row.disabled)
    }

    async fn device_row(&self, id: DeviceId) -> Result<Option<DeviceRow>, Error> {
        let row =
            self.inner.store.read(move |tx| tx.row(&schema::DEVICE, params![id], DeviceRow::read)).await?;
        Ok(row)
    }
}

/// `device-4711`
fn id_of(login: &str) -> Option<DeviceId> {
    login.trim().strip_prefix("device-")?.parse().ok().map(DeviceId::from_raw)
}
