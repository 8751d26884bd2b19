//! App passwords: one a device, random, for mail programs alone.
//!
//! They hold 140 random bits, so a keyed hash under the tenant's key is enough, and a program that polls costs no
//! argon2. The hash covers the person and the row, so that a hash can't be moved to somebody else.

use sealpost_audit::{Caller, Object, Verb};
use sealpost_crypto::{app_password, constant_time_eq};
use sealpost_model::{CredentialId, Id, PersonId, Secret, TenantId, Time};
use sealpost_store::keys::TenantKeys;
use sealpost_store::{Row, Topic, params};

use crate::service::{aad, name, open, seal};
use crate::tenant::FIRST;
use crate::{Change, Error, Identity, schema};

/// An app password as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppPassword {
    /// Its id.
    pub id: CredentialId,
    /// The device that it was made for.
    pub device: String,
    /// When it was made.
    pub created: Time,
    /// When it was revoked.
    pub revoked: Option<Time>,
}

/// What is stored of an app password that was shown to somebody.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Made {
    id: i64,
    device: String,
    hash: [u8; 16],
}

impl Made {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }

    pub(crate) fn print(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("plain data is always written")
    }
}

/// A row of the table.
#[derive(Clone)]
pub(crate) struct AppPasswordRow {
    pub id: CredentialId,
    pub tenant: TenantId,
    pub person: PersonId,
    device: Vec<u8>,
    hash: [u8; 16],
    created: Time,
    /// Milliseconds, or 0.
    revoked: i64,
    version: i64,
    mac: [u8; 16],
}

impl AppPasswordRow {
    pub(crate) fn read(r: &Row<'_>) -> Result<Self, sealpost_store::Error> {
        Ok(Self {
            id: r.id(0)?,
            tenant: r.id(1)?,
            person: r.id(2)?,
            device: r.bytes(3)?,
            hash: r.array(4)?,
            created: r.time(5)?,
            revoked: r.int(6)?,
            version: r.int(7)?,
            mac: r.array(8)?,
        })
    }

    pub(crate) const fn version(&self) -> i64 {
        self.version
    }

    pub(crate) const fn is_revoked(&self) -> bool {
        self.revoked != 0
    }

    fn covered<T>(&self, with: impl FnOnce(&[&[u8]]) -> T) -> T {
        let numbers = [self.tenant.raw(), self.person.raw(), self.revoked].map(i64::to_be_bytes);
        with(&[&numbers[0], &numbers[1], &numbers[2], &self.hash])
    }

    fn mac(&self, keys: &TenantKeys) -> [u8; 16] {
        self.covered(|parts| keys.mac("app_password", self.id.raw(), self.version, parts))
    }

    pub(crate) fn check(&self, keys: &TenantKeys) -> Result<(), Error> {
        self.covered(|parts| keys.verify_mac("app_password", self.id.raw(), self.version, parts, &self.mac))
            .map_err(|_| Error::Tampered { table: "app_password", id: self.id.raw() })
    }

    /// The name of the device; checks the row on the way.
    pub(crate) fn device(&self, keys: &TenantKeys) -> Result<String, Error> {
        self.check(keys)?;
        open(
            keys,
            &aad(self.tenant, "app_password", self.id, "device"),
            &self.device,
            ("app_password", self.id.raw()),
        )
    }

    /// Whether the letters are this app password's, in constant time.
    pub(crate) fn matches(&self, keys: &TenantKeys, letters: &Secret<String>) -> bool {
        constant_time_eq(&hash(keys, self.id, self.person, letters), &self.hash)
    }
}

/// What is stored instead of the letters.
pub(crate) fn hash(
    keys: &TenantKeys,
    id: CredentialId,
    person: PersonId,
    letters: &Secret<String>,
) -> [u8; 16] {
    let parts = [person.raw().to_be_bytes().as_slice(), letters.expose().as_bytes()].map(<[u8]>::to_vec);
    keys.mac("app_password.hash", id.raw(), FIRST, &[&parts[0], &parts[1]])
}

impl Identity {
    /// Makes an app password for a device. It is shown once, here. Who makes one for another person goes through
    /// [`Identity::reset_app_password`].
    ///
    /// # Errors
    /// [`Error::NoSuchPerson`], [`Error::Name`]; the store's.
    pub async fn add_app_password(
        &self,
        person: PersonId,
        device: &str,
        by: &Caller,
    ) -> Result<Secret<String>, Error> {
        let (shown, made) = self.make_app_password(person, device).await?;
        self.apply(self.app_password_change(person, made, by).await?).await?;
        Ok(shown)
    }

    /// The letters, and what is stored of them.
    pub(crate) async fn make_app_password(
        &self,
        person: PersonId,
        device: &str,
    ) -> Result<(Secret<String>, Made), Error> {
        let device = name(device)?.to_owned();
        let owner = self.person(person).await?.ok_or(Error::NoSuchPerson)?;
        let keys = self.tenant_keys(owner.tenant).await?;
        let shown = app_password::random(&self.inner.random);
        let letters = app_password::parse(&shown).ok_or(Error::Name)?;
        let id: CredentialId = self.inner.store.id();
        Ok((shown, Made { id: id.raw(), device, hash: hash(&keys, id, person, &letters) }))
    }

    /// An app password as rows; tells the person if somebody else makes it.
    pub(crate) async fn app_password_change(
        &self,
        person: PersonId,
        made: Made,
        by: &Caller,
    ) -> Result<Change, Error> {
        let owner = self.person(person).await?.ok_or(Error::NoSuchPerson)?;
        let tenant = owner.tenant;
        let keys = self.tenant_keys(tenant).await?;
        let id = CredentialId::from_raw(made.id);
        let mut row = AppPasswordRow {
            id,
            tenant,
            person,
            device: seal(&keys, &aad(tenant, "app_password", id, "device"), &made.device),
            hash: made.hash,
            created: self.now(),
            revoked: 0,
            version: FIRST,
            mac: [0; 16],
        };
        row.mac = row.mac(&keys);
        let draft = self
            .inner
            .audit
            .draft(tenant, &by.actor, &by.client, Verb::AppPasswordAdd)
            .object(person)
            .object(id)
            .object(Object::version(FIRST))
            .note("device", &made.device);
        let change = Change::new(tenant).entry(self.inner.audit.seal(draft).await?).write(move |tx| {
            let values = params![
                row.id,
                row.tenant,
                row.person,
                row.device,
                row.hash,
                row.created,
                row.revoked,
                row.version,
                row.mac
            ];
            tx.execute(&schema::APP_PASSWORD_INSERT, values)?;
            Ok(())
        });
        self.tell_if_other(change, person, by, "A password for a mail program was made").await
    }

    /// Revokes one; connections that used it are told through `Topic::Sessions`. Whether `by` may do that for somebody
    /// else is `policy::decide::command`'s to say.
    ///
    /// # Errors
    /// [`Error::NoSuchPerson`] if it is not theirs; the store's.
    pub async fn revoke_app_password(
        &self,
        person: PersonId,
        id: CredentialId,
        by: &Caller,
    ) -> Result<(), Error> {
        let rows = self.app_password_rows(person).await?;
        let mut row = rows.into_iter().find(|r| r.id == id).ok_or(Error::NoSuchPerson)?;
        let keys = self.tenant_keys(row.tenant).await?;
        row.check(&keys)?;
        if row.is_revoked() {
            return Ok(());
        }
        let was = row.version;
        row.version += 1;
        row.revoked = self.now().millis();
        row.mac = row.mac(&keys);
        let draft = self
            .inner
            .audit
            .draft(row.tenant, &by.actor, &by.client, Verb::AppPasswordRevoke)
            .object(person)
            .object(id)
            .object(Object::version(row.version));
        let entry = self.inner.audit.seal(draft).await?;
        self.commit(row.tenant, entry, move |tx| {
            let values = params![row.id, was, row.revoked, row.version, row.mac];
            if tx.execute(&schema::APP_PASSWORD_UPDATE, values)? != 1 {
                return Err(Error::Changed);
            }
            tx.after_commit(Topic::Sessions);
            Ok(())
        })
        .await
    }

    /// A person's app passwords, revoked ones too.
    ///
    /// # Errors
    /// The store's; a row that is not what was written.
    pub async fn app_passwords(&self, person: PersonId) -> Result<Vec<AppPassword>, Error> {
        let mut list = Vec::new();
        for row in self.app_password_rows(person).await? {
            let keys = self.tenant_keys(row.tenant).await?;
            list.push(AppPassword {
                id: row.id,
                device: row.device(&keys)?,
                created: row.created,
                revoked: row.is_revoked().then(|| Time::from_millis(row.revoked)),
            });
        }
        Ok(list)
    }

    async fn app_password_rows(&self, person: PersonId) -> Result<Vec<AppPasswordRow>, Error> {
        let rows = self
            .inner
            .store
            .read(move |tx| tx.rows(&schema::APP_PASSWORDS, params![person], AppPasswordRow::read))
            .await?;
        Ok(rows)
    }
}
