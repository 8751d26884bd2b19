//! People.

use std::sync::Arc;

use sealpost_audit::{Caller, Entry, Object, Verb};
use sealpost_model::{AccountId, Address, AddressId, CredentialId, Id, PersonId, Secret, TenantId, Time};
use sealpost_policy::{Role, Roles};
use sealpost_store::keys::{Root, TenantKeys};
use sealpost_store::{ReadTx, Row, Topic, Tx, params};

use crate::address::AddressRow;
use crate::app_password::AppPasswordRow;
use crate::password::{Names, check};
use crate::place::Place;
use crate::service::{aad, name, open, seal};
use crate::tenant::FIRST;
use crate::{Error, Identity, schema};

mod change;

/// Somebody to be added.
pub struct NewPerson {
    /// Their organisation.
    pub tenant: TenantId,
    /// The address that they sign in with, and where their mail comes.
    pub address: Address,
    /// Their name.
    pub name: String,
    /// Their first password.
    pub password: Secret<String>,
    /// What they are.
    pub roles: Roles,
    /// Their mailbox, which the caller makes in the same transaction; `None` for who has none.
    pub account: Option<AccountId>,
}

/// A person, checked and sealed, ready for [`insert_person`].
#[derive(Clone)]
pub struct PersonRow {
    person: Columns,
    address: AddressRow,
    entries: Arc<[Entry]>,
}

impl PersonRow {
    /// The person's id.
    pub const fn person(&self) -> PersonId {
        self.person.id
    }

    /// The address's id.
    pub const fn address(&self) -> AddressId {
        self.address.id
    }
}

/// Writes a person, their address and the entries about it. The caller has made the account, or makes it in the same
/// transaction; after the commit they call [`Identity::changed`].
///
/// # Errors
/// [`Error::AddressExists`]; the store's.
pub fn insert_person(tx: &mut Tx, row: &PersonRow) -> Result<(), Error> {
    row.address.insert(tx)?;
    tx.after_commit(Topic::Directory);
    let p = &row.person;
    tx.execute(
        &schema::PERSON_INSERT,
        params![
            p.id,
            p.tenant,
            p.account,
            p.address,
            p.name,
            p.roles,
            p.disabled,
            p.credential,
            p.epoch,
            p.quiet,
            p.password,
            p.created,
            p.version,
            p.mac
        ],
    )?;
    for entry in row.entries.iter() {
        sealpost_audit::insert(tx, entry)?;
    }
    Ok(())
}

/// A person as a list shows them. It holds names: not for logs.
#[derive(Clone, Debug)]
pub struct PersonSummary {
    /// Their id.
    pub id: PersonId,
    /// Their address.
    pub address: Address,
    /// Their name.
    pub name: String,
    /// Their mailbox.
    pub account: Option<AccountId>,
    /// What they are.
    pub roles: Roles,
    /// Whether their access was ended.
    pub disabled: bool,
    /// When they were added.
    pub created: Time,
}

/// A row of the table, as it is.
#[derive(Clone)]
pub(crate) struct Columns {
    id: PersonId,
    tenant: TenantId,
    account: i64,
    address: AddressId,
    name: Vec<u8>,
    roles: i64,
    disabled: bool,
    /// Counts the passwords: each change is another credential.
    credential: i64,
    /// Counts how often all of their sessions were ended at once.
    epoch: i64,
    /// They want no mail about their own sign-ins.
    quiet: bool,
    password: Vec<u8>,
    created: Time,
    version: i64,
    mac: [u8; 16],
}

/// A person, opened: what a login needs.
pub(crate) struct Person {
    pub id: PersonId,
    pub tenant: TenantId,
    pub account: Option<AccountId>,
    pub address: Address,
    pub address_id: AddressId,
    pub roles: Roles,
    pub disabled: bool,
    pub credential: i64,
    pub epoch: i64,
    pub quiet: bool,
    pub phc: Secret<String>,
    pub app_passwords: Vec<AppPasswordRow>,
    pub places: Vec<[u8; 16]>,
    row: Columns,
}

impl Columns {
    pub(crate) fn read(r: &Row<'_>) -> Result<Self, sealpost_store::Error> {
        Ok(Self {
            id: r.id(0)?,
            tenant: r.id(1)?,
            account: r.int(2)?,
            address: r.id(3)?,
            name: r.bytes(4)?,
            roles: r.int(5)?,
            disabled: r.bool(6)?,
            credential: r.int(7)?,
            epoch: r.int(8)?,
            quiet: r.bool(9)?,
            password: r.bytes(10)?,
            created: r.time(11)?,
            version: r.int(12)?,
            mac: r.array(13)?,
        })
    }

    pub(crate) const fn tenant(&self) -> TenantId {
        self.tenant
    }

    pub(crate) const fn id(&self) -> PersonId {
        self.id
    }

    pub(crate) const fn version(&self) -> i64 {
        self.version
    }

    /// The plain columns that carry security.
    fn covered<T>(&self, with: impl FnOnce(&[&[u8]]) -> T) -> T {
        let numbers = [
            self.tenant.raw(),
            self.account,
            self.address.raw(),
            self.roles,
            i64::from(self.disabled),
            self.credential,
            self.epoch,
            i64::from(self.quiet),
        ];
        let numbers = numbers.map(i64::to_be_bytes);
        let parts: Vec<&[u8]> = numbers.iter().map(<[u8; 8]>::as_slice).collect();
        with(&parts)
    }

    fn mac(&self, keys: &TenantKeys) -> [u8; 16] {
        self.covered(|parts| keys.mac("person", self.id.raw(), self.version, parts))
    }

    fn check(&self, keys: &TenantKeys) -> Result<(), Error> {
        self.covered(|parts| keys.verify_mac("person", self.id.raw(), self.version, parts, &self.mac))
            .map_err(|_| self.tampered())
    }

    fn tampered(&self) -> Error {
        Error::Tampered { table: "person", id: self.id.raw() }
    }

    fn name(&self, keys: &TenantKeys) -> Result<String, Error> {
        open(keys, &aad(self.tenant, "person", self.id, "name"), &self.name, ("person", self.id.raw()))
    }

    /// The hash is bound to the number of the credential: an older one can't be put back alone.
    fn seal_password(&mut self, keys: &TenantKeys, phc: &str) {
        let aad = aad(self.tenant, "person", self.id, "password").with_int(self.credential);
        self.password = keys.seal(Root::Content, &aad, phc.as_bytes());
    }

    fn open_password(&self, keys: &TenantKeys) -> Result<Secret<String>, Error> {
        let aad = aad(self.tenant, "person", self.id, "password").with_int(self.credential);
        open(keys, &aad, &self.password, ("person", self.id.raw())).map(Secret::new)
    }
}

impl Identity {
    /// Checks and seals a new person: the address must be of a domain of the organisation, the password must do (S40).
    /// Nothing is written; [`insert_person`] does that.
    ///
    /// # Errors
    /// [`Error::NoSuchDomain`], [`Error::AddressExists`], [`Error::Name`], [`Error::Password`]; the store's.
    pub async fn prepare_person(&self, new: NewPerson, by: &Caller) -> Result<PersonRow, Error> {
        let NewPerson { tenant, address, name: called, password, roles, account } = new;
        let called = name(&called)?.to_owned();
        let place = self.place(tenant, &address).await?;
        if self.row_of(&address).await?.is_some() {
            return Err(Error::AddressExists);
        }
        self.check_password(tenant, &address, &called, &password).await?;
        let phc = Secret::new(self.inner.hashing.hash(&self.inner.random, &password).await?);

        let keys = self.tenant_keys(tenant).await?;
        let (id, address_id): (PersonId, AddressId) = (self.inner.store.id(), self.inner.store.id());
        let mut person = Columns {
            id,
            tenant,
            account: account.map_or(0, Id::raw),
            address: address_id,
            name: seal(&keys, &aad(tenant, "person", id, "name"), &called),
            roles: roles.bits(),
            disabled: false,
            credential: FIRST,
            epoch: FIRST,
            quiet: false,
            password: Vec::new(),
            created: self.now(),
            version: FIRST,
            mac: [0; 16],
        };
        person.seal_password(&keys, phc.expose());
        person.mac = person.mac(&keys);
        let address = AddressRow::mailbox(&keys, &place, address_id, &address, account, Some(id));
        let words = roles.iter().map(Role::word).collect::<Vec<_>>().join(" ");
        let draft = self
            .inner
            .audit
            .draft(tenant, &by.actor, &by.client, Verb::PersonAdd)
            .object(id)
            .object(Object::version(FIRST))
            .object(address_id)
            .object(Object::version(FIRST))
            .note("roles", words);
        let draft = match account {
            Some(account) => draft.owner(account),
            None => draft,
        };
        let entries =
            [self.inner.audit.seal(draft).await?, self.entry(tenant, by, Verb::PasswordSet, id).await?];
        Ok(PersonRow { person, address, entries: entries.into() })
    }

    /// Adds a person whose account exists, or who has none.
    ///
    /// # Errors
    /// Those of [`Self::prepare_person`].
    pub async fn add_person(&self, new: NewPerson, by: &Caller) -> Result<PersonId, Error> {
        let row = self.prepare_person(new, by).await?;
        let (id, scope) = (row.person(), sealpost_store::Scope::tenant(row.person.tenant));
        let result = self.inner.store.write(scope, move |tx| insert_person(tx, &row)).await;
        self.changed();
        result.map(|()| id)
    }

    /// The people of an organisation behind `after`, at most 1,000.
    ///
    /// # Errors
    /// The store's; a row that is not what was written.
    pub async fn people(
        &self,
        tenant: TenantId,
        after: Option<PersonId>,
    ) -> Result<Vec<PersonSummary>, Error> {
        let keys = self.tenant_keys(tenant).await?;
        self.people_after(tenant, after)
            .await?
            .into_iter()
            .map(|p| {
                Ok(PersonSummary {
                    id: p.id,
                    name: p.row.name(&keys)?,
                    address: p.address,
                    account: p.account,
                    roles: p.roles,
                    disabled: p.disabled,
                    created: p.row.created,
                })
            })
            .collect()
    }

    /// A person's display name; `None` if there is no such person.
    ///
    /// # Errors
    /// The store's; a row that is not what was written.
    pub async fn person_name(&self, person: PersonId) -> Result<Option<String>, Error> {
        let Some(person) = self.person(person).await? else { return Ok(None) };
        person.row.name(&*self.tenant_keys(person.tenant).await?).map(Some)
    }

    /// The person who signs in with an address, an alias followed; `None` if nobody does.
    ///
    /// # Errors
    /// The store's; a row that is not what was written.
    pub async fn person_at(&self, address: &Address) -> Result<Option<(TenantId, PersonId)>, Error> {
        Ok(self.login_person(address).await?.map(|p| (p.tenant, p.id)))
    }

    /// A person, from the cache or read.
    pub(crate) async fn person(&self, id: PersonId) -> Result<Option<Arc<Person>>, Error> {
        let now = self.now();
        let (found, generation) = self.inner.cache.look(|s| s.people.get(&id, now));
        if found.is_some() {
            return Ok(found);
        }
        let person = self.fresh(id).await?.map(Arc::new);
        if let Some(person) = &person {
            self.inner.cache.keep(generation, |s| s.people.put(id, Arc::clone(person), now));
        }
        Ok(person)
    }

    /// The first thousand people of a tenant.
    pub(crate) async fn first_people(&self, tenant: TenantId) -> Result<Vec<Person>, Error> {
        self.people_after(tenant, None).await
    }

    async fn people_after(&self, tenant: TenantId, after: Option<PersonId>) -> Result<Vec<Person>, Error> {
        let after = after.map_or(0, Id::raw);
        let rows = self
            .inner
            .store
            .read(move |tx| {
                let rows = tx.rows(&schema::PEOPLE, params![tenant, after], Columns::read)?;
                rows.into_iter().map(|row| Whole::around(tx, row)).collect::<Result<Vec<_>, _>>()
            })
            .await?;
        let keys = self.tenant_keys(tenant).await?;
        rows.into_iter().map(|whole| whole.open(&keys)).collect()
    }

    /// A person as the table has them now.
    pub(crate) async fn fresh(&self, id: PersonId) -> Result<Option<Person>, Error> {
        let whole = self
            .inner
            .store
            .read(move |tx| {
                let row = tx.row(&schema::PERSON, params![id], Columns::read)?;
                row.map(|row| Whole::around(tx, row)).transpose()
            })
            .await?;
        let Some(whole) = whole else { return Ok(None) };
        let keys = self.tenant_keys(whole.row.tenant).await?;
        whole.open(&keys).map(Some)
    }

    pub(crate) async fn check_password(
        &self,
        tenant: TenantId,
        address: &Address,
        called: &str,
        password: &Secret<String>,
    ) -> Result<(), Error> {
        let (organisation, rules) = self.tenant_facts(tenant).await?.unwrap_or_default();
        let names = Names::new([called, &organisation, address.local(), address.domain().as_str()]);
        check(password, rules.passwords, &names)?;
        let (leaked, password) = (self.inner.leaked.clone(), password.clone());
        let known = tokio::task::spawn_blocking(move || leaked.has(password.expose())).await;
        match known.map_err(|_| Error::Busy)? {
            Ok(false) => Ok(()),
            Ok(true) => Err(crate::PasswordError::Leaked.into()),
            Err(why) => Err(Error::Leaked(why)),
        }
    }
}

/// The rows that make a person.
pub(crate) struct Whole {
    row: Columns,
    address: Option<AddressRow>,
    app_passwords: Vec<AppPasswordRow>,
    places: Vec<Place>,
}

impl Whole {
    pub(crate) fn around(tx: &ReadTx, row: Columns) -> Result<Self, sealpost_store::Error> {
        let address = tx.row(&schema::ADDRESS, params![row.address], AddressRow::read)?;
        let app_passwords = tx.rows(&schema::APP_PASSWORDS, params![row.id], AppPasswordRow::read)?;
        let places = tx.rows(&schema::PLACES, params![row.id], Place::read)?;
        Ok(Self { row, address, app_passwords, places })
    }

    /// Whether each of them is what was written.
    pub(crate) fn verify(self, keys: &TenantKeys) -> Result<(), Error> {
        self.row.name(keys)?;
        self.open(keys).map(drop)
    }

    pub(crate) fn open(self, keys: &TenantKeys) -> Result<Person, Error> {
        let Self { row, address, app_passwords, places } = self;
        row.check(keys)?;
        let address = address.filter(|a| a.tenant == row.tenant).ok_or_else(|| row.tampered())?;
        address.check(keys)?;
        for app_password in &app_passwords {
            app_password.check(keys)?;
        }
        for place in &places {
            place.check(keys)?;
        }
        Ok(Person {
            id: row.id,
            tenant: row.tenant,
            account: (row.account != 0).then(|| AccountId::from_raw(row.account)),
            address: address.address(keys)?,
            address_id: address.id,
            roles: Roles::from_bits(row.roles),
            disabled: row.disabled,
            credential: row.credential,
            epoch: row.epoch,
            quiet: row.quiet,
            places: places.iter().map(|p| p.place).collect(),
            phc: row.open_password(keys)?,
            app_passwords: app_passwords
                .into_iter()
                .filter(|a| a.person == row.id && !a.is_revoked())
                .collect(),
            row,
        })
    }
}

impl Person {
    /// Whether they have a role that changes what others may do.
    pub(crate) const fn administers(&self) -> bool {
        self.roles.has(Role::TenantAdmin)
            || self.roles.has(Role::SecurityOfficial)
            || self.roles.has(Role::DomainAdmin)
    }

    /// Whether an app password is good still.
    pub(crate) fn has(&self, app_password: CredentialId) -> bool {
        self.app_passwords.iter().any(|a| a.id == app_password)
    }
}
