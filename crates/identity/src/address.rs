//! Addresses and what they lead to.

use sealpost_audit::{Caller, Entry, Verb};
use sealpost_model::{AccountId, Address, AddressId, DomainId, Id, PersonId, TenantId};
use sealpost_store::keys::TenantKeys;
use sealpost_store::{Row, Topic, Tx, params};

use crate::service::{aad, open, seal};
use crate::tenant::FIRST;
use crate::{Change, Error, Identity, schema};

/// The kinds of target that the stored format knows. This version makes mailboxes, aliases, groups and refusals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum TargetKind {
    /// An account, and the person whose it is.
    Mailbox = 1,
    /// The address of a mailbox.
    Alias = 2,
    /// Members, and who may post.
    Group = 3,
    /// The next hop.
    Relay = 4,
    /// A fax number.
    Fax = 5,
    /// Takes no mail, with a reason.
    Refusal = 6,
}

impl TargetKind {
    /// Its word in lists.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Mailbox => "mailbox",
            Self::Alias => "alias",
            Self::Group => "group",
            Self::Relay => "relay",
            Self::Fax => "fax",
            Self::Refusal => "refusal",
        }
    }

    const ALL: [Self; 6] = [Self::Mailbox, Self::Alias, Self::Group, Self::Relay, Self::Fax, Self::Refusal];
}

/// A mailbox that an address leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MailboxTarget {
    /// Whose organisation.
    pub tenant: TenantId,
    /// The domain of the address that was asked for.
    pub domain: DomainId,
    /// The address that was asked for; an alias keeps its own id.
    pub address: AddressId,
    /// The mailbox.
    pub account: AccountId,
    /// Whose it is; `None` for a shared one.
    pub person: Option<PersonId>,
}

/// What an address leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// A mailbox here, directly or by an alias.
    Mailbox(MailboxTarget),
    /// Members, each of whom gets it; [`Identity::unfold`] says who they are.
    Group {
        /// Whose organisation.
        tenant: TenantId,
        /// Which.
        group: AddressId,
        /// Whether people outside may write to it.
        anyone: bool,
    },
    /// Something that a later version made.
    Unsupported {
        /// Whose organisation.
        tenant: TenantId,
        /// What it is.
        kind: TargetKind,
    },
    /// The address is there and takes no mail.
    Refused {
        /// Whose organisation.
        tenant: TenantId,
    },
    /// The domain is ours, the address is not there.
    UnknownUser {
        /// Whose organisation.
        tenant: TenantId,
    },
    /// The domain is not ours.
    ForeignDomain,
}

impl Target {
    /// The mailbox, if it is one.
    pub const fn mailbox(&self) -> Option<&MailboxTarget> {
        match self {
            Self::Mailbox(mailbox) => Some(mailbox),
            _ => None,
        }
    }
}

/// An address as a list shows it. It is a name: not for logs.
#[derive(Clone, Debug)]
pub struct AddressSummary {
    /// Its id.
    pub id: AddressId,
    /// The address.
    pub address: Address,
    /// What it leads to.
    pub kind: TargetKind,
    /// The mailbox, for a mailbox.
    pub account: Option<AccountId>,
    /// Whose, for a mailbox.
    pub person: Option<PersonId>,
    /// The mailbox's address, for an alias.
    pub points_to: Option<AddressId>,
}

/// A row of the table. 0 is nobody.
#[derive(Clone)]
pub(crate) struct AddressRow {
    pub id: AddressId,
    pub tenant: TenantId,
    pub domain: DomainId,
    pub blind: [u8; 16],
    pub name: Vec<u8>,
    pub kind: i64,
    pub account: i64,
    pub person: i64,
    pub points_to: i64,
    /// Sealed: members, next hop, number, words of a refusal. Empty for mailbox and alias.
    pub target: Vec<u8>,
    pub version: i64,
    pub mac: [u8; 16],
}

impl AddressRow {
    pub(crate) fn read(r: &Row<'_>) -> Result<Self, sealpost_store::Error> {
        Ok(Self {
            id: r.id(0)?,
            tenant: r.id(1)?,
            domain: r.id(2)?,
            blind: r.array(3)?,
            name: r.bytes(4)?,
            kind: r.int(5)?,
            account: r.int(6)?,
            person: r.int(7)?,
            points_to: r.int(8)?,
            target: r.bytes(9)?,
            version: r.int(10)?,
            mac: r.array(11)?,
        })
    }

    fn mac(&self, keys: &TenantKeys) -> [u8; 16] {
        self.covered(|parts| keys.mac("address", self.id.raw(), self.version, parts))
    }

    pub(crate) fn sign(&mut self, keys: &TenantKeys) {
        self.mac = self.mac(keys);
    }

    pub(crate) fn check(&self, keys: &TenantKeys) -> Result<(), Error> {
        self.covered(|parts| keys.verify_mac("address", self.id.raw(), self.version, parts, &self.mac))
            .map_err(|_| self.tampered())
    }

    /// The plain columns that carry security: who gets mail for whom.
    fn covered<T>(&self, with: impl FnOnce(&[&[u8]]) -> T) -> T {
        let numbers =
            [self.tenant.raw(), self.domain.raw(), self.kind, self.account, self.person, self.points_to];
        let numbers = numbers.map(i64::to_be_bytes);
        let mut parts: Vec<&[u8]> = numbers.iter().map(<[u8; 8]>::as_slice).collect();
        parts.extend([self.blind.as_slice(), &self.target]);
        with(&parts)
    }

    pub(crate) fn address(&self, keys: &TenantKeys) -> Result<Address, Error> {
        let aad = aad(self.tenant, "address", self.id, "name");
        let text = open(keys, &aad, &self.name, ("address", self.id.raw()))?;
        Address::parse(&text).map_err(|_| self.tampered())
    }

    pub(crate) fn kind(&self) -> Result<TargetKind, Error> {
        TargetKind::ALL.into_iter().find(|k| *k as i64 == self.kind).ok_or_else(|| self.tampered())
    }

    pub(crate) const fn account(&self) -> Option<i64> {
        if self.account == 0 { None } else { Some(self.account) }
    }

    pub(crate) fn tampered(&self) -> Error {
        Error::Tampered { table: "address", id: self.id.raw() }
    }

    /// A mailbox's address.
    pub(crate) fn mailbox(
        keys: &TenantKeys,
        place: &Place,
        id: AddressId,
        address: &Address,
        account: Option<AccountId>,
        person: Option<PersonId>,
    ) -> Self {
        // A person without a mailbox has an address to sign in with, which takes no mail.
        let kind = if account.is_some() { TargetKind::Mailbox } else { TargetKind::Refusal };
        let numbers = (account.map_or(0, Id::raw), person.map_or(0, Id::raw), 0);
        Self::sealed(keys, place, id, address, kind, numbers)
    }

    pub(crate) fn sealed(
        keys: &TenantKeys,
        place: &Place,
        id: AddressId,
        address: &Address,
        kind: TargetKind,
        (account, person, points_to): (i64, i64, i64),
    ) -> Self {
        let mut row = Self {
            id,
            tenant: place.tenant,
            domain: place.domain,
            blind: place.blind,
            name: seal(keys, &aad(place.tenant, "address", id, "name"), &address.to_string()),
            kind: kind as i64,
            account,
            person,
            points_to,
            target: Vec::new(),
            version: FIRST,
            mac: [0; 16],
        };
        row.mac = row.mac(keys);
        row
    }

    /// Writes what may change, if nobody else has.
    pub(crate) fn update(&self, tx: &mut Tx, was: i64) -> Result<(), Error> {
        let values = params![
            self.id,
            was,
            self.kind,
            self.account,
            self.person,
            self.points_to,
            self.target,
            self.version,
            self.mac
        ];
        if tx.execute(&schema::ADDRESS_UPDATE, values)? != 1 {
            return Err(Error::Changed);
        }
        Ok(())
    }

    pub(crate) fn insert(&self, tx: &mut Tx) -> Result<(), Error> {
        let values = params![
            self.id,
            self.tenant,
            self.domain,
            self.blind,
            self.name,
            self.kind,
            self.account,
            self.person,
            self.points_to,
            self.target,
            self.version,
            self.mac,
        ];
        if tx.execute(&schema::ADDRESS_INSERT, values)? == 0 {
            return Err(Error::AddressExists);
        }
        Ok(())
    }
}

/// A shared mailbox's address, ready for [`insert_shared`].
#[derive(Clone)]
pub struct SharedRow {
    row: AddressRow,
    entry: Entry,
}

/// Writes a shared mailbox's address with its entry; afterwards the caller calls [`Identity::changed`].
///
/// # Errors
/// [`Error::AddressExists`]; the store's.
pub fn insert_shared(tx: &mut Tx, shared: &SharedRow) -> Result<(), Error> {
    shared.row.insert(tx)?;
    tx.after_commit(Topic::Directory);
    Ok(sealpost_audit::insert(tx, &shared.entry)?)
}

/// Where a new address goes.
pub(crate) struct Place {
    pub tenant: TenantId,
    pub domain: DomainId,
    pub blind: [u8; 16],
}

impl Identity {
    /// Gives a mailbox a further address; its people may write under it too.
    ///
    /// # Errors
    /// [`Error::NoSuchDomain`], [`Error::AddressExists`], [`Error::AliasTarget`]; the store's.
    pub async fn add_alias(
        &self,
        tenant: TenantId,
        address: &Address,
        leads_to: &Address,
        by: &Caller,
    ) -> Result<AddressId, Error> {
        let place = self.place(tenant, address).await?;
        let goal = self.alias_goal(tenant, leads_to).await?;
        let keys = self.tenant_keys(tenant).await?;
        let id: AddressId = self.inner.store.id();
        let row = AddressRow::sealed(&keys, &place, id, address, TargetKind::Alias, (0, 0, goal.id.raw()));
        let draft = self
            .address_draft(&row, Verb::AddressAdd, by)
            .object(goal.id)
            .note("address", address.to_string())
            .note("target", leads_to.to_string());
        let change = Change::new(tenant).entry(self.inner.audit.seal(draft).await?);
        self.apply(change.write(move |tx| row.insert(tx))).await?;
        Ok(id)
    }

    /// Lets an alias lead to another mailbox.
    ///
    /// # Errors
    /// [`Error::NoSuchAddress`], [`Error::AddressNeeded`] if it is no alias, [`Error::AliasTarget`]; the store's.
    pub async fn move_alias(
        &self,
        tenant: TenantId,
        address: &Address,
        leads_to: &Address,
        by: &Caller,
    ) -> Result<(), Error> {
        let (mut row, keys) = self.own_row(tenant, address).await?;
        if row.kind()? != TargetKind::Alias {
            return Err(Error::AddressNeeded("only an alias can lead somewhere else"));
        }
        let goal = self.alias_goal(tenant, leads_to).await?;
        let old = match self.row_by_id(row.points_to).await? {
            Some(old) => old.address(&keys)?.to_string(),
            None => String::new(),
        };
        let was = row.version;
        (row.points_to, row.version) = (goal.id.raw(), row.version + 1);
        row.sign(&keys);
        let draft = self
            .address_draft(&row, Verb::AddressChange, by)
            .object(goal.id)
            .note("address", address.to_string())
            .note("old", old)
            .note("new", leads_to.to_string());
        let change = Change::new(tenant).entry(self.inner.audit.seal(draft).await?);
        self.apply(change.write(move |tx| row.update(tx, was))).await
    }

    /// An address that takes no mail.
    ///
    /// # Errors
    /// [`Error::NoSuchDomain`], [`Error::AddressExists`]; the store's.
    pub async fn add_refusal(
        &self,
        tenant: TenantId,
        address: &Address,
        by: &Caller,
    ) -> Result<AddressId, Error> {
        let place = self.place(tenant, address).await?;
        let keys = self.tenant_keys(tenant).await?;
        let id: AddressId = self.inner.store.id();
        let row = AddressRow::sealed(&keys, &place, id, address, TargetKind::Refusal, (0, 0, 0));
        let draft = self.address_draft(&row, Verb::AddressAdd, by).note("address", address.to_string());
        let change = Change::new(tenant).entry(self.inner.audit.seal(draft).await?);
        self.apply(change.write(move |tx| row.insert(tx))).await?;
        Ok(id)
    }

    /// Removes an alias, a group, or an address that takes no mail. A mailbox keeps its own.
    ///
    /// # Errors
    /// [`Error::NoSuchAddress`], [`Error::AddressNeeded`]; the store's.
    pub async fn remove_address(
        &self,
        tenant: TenantId,
        address: &Address,
        by: &Caller,
    ) -> Result<(), Error> {
        let (row, _) = self.own_row(tenant, address).await?;
        if row.person != 0 {
            return Err(Error::AddressNeeded(
                "a person signs in with it; end their access with `user disable`",
            ));
        }
        if row.kind()? == TargetKind::Mailbox {
            return Err(Error::AddressNeeded("a mailbox has it for its own"));
        }
        let draft = self.address_draft(&row, Verb::AddressRemove, by).note("old", address.to_string());
        let change = Change::new(tenant).entry(self.inner.audit.seal(draft).await?).write(move |tx| {
            if tx.execute(&schema::ADDRESS_DELETE, params![row.id, row.version])? != 1 {
                return Err(Error::Changed);
            }
            Ok(())
        });
        self.apply(change).await
    }

    /// Gives an account that is nobody's own an address: a shared mailbox. The caller has made the account.
    ///
    /// # Errors
    /// [`Error::NoSuchDomain`], [`Error::AddressExists`]; the store's.
    pub async fn add_shared(
        &self,
        tenant: TenantId,
        address: &Address,
        account: AccountId,
        by: &Caller,
    ) -> Result<AddressId, Error> {
        let shared = self.prepare_shared(tenant, address, account, by).await?;
        let id = shared.row.id;
        self.apply(Change::new(tenant).write(move |tx| insert_shared(tx, &shared))).await?;
        Ok(id)
    }

    /// The address of a shared mailbox with its entry, for [`insert_shared`] in the transaction that makes the mailbox.
    ///
    /// # Errors
    /// [`Error::NoSuchDomain`], [`Error::AddressExists`]; the store's.
    pub async fn prepare_shared(
        &self,
        tenant: TenantId,
        address: &Address,
        account: AccountId,
        by: &Caller,
    ) -> Result<SharedRow, Error> {
        let place = self.place(tenant, address).await?;
        if self.row_of(address).await?.is_some() {
            return Err(Error::AddressExists);
        }
        let keys = self.tenant_keys(tenant).await?;
        let id: AddressId = self.inner.store.id();
        let row = AddressRow::mailbox(&keys, &place, id, address, Some(account), None);
        let draft = self
            .address_draft(&row, Verb::AddressAdd, by)
            .owner(account)
            .note("address", address.to_string());
        let entry = self.inner.audit.seal(draft).await?;
        Ok(SharedRow { row, entry })
    }

    /// The addresses of an organisation behind `after`, at most 1,000.
    ///
    /// # Errors
    /// The store's; a row that is not what was written.
    pub async fn addresses(
        &self,
        tenant: TenantId,
        after: Option<AddressId>,
    ) -> Result<Vec<AddressSummary>, Error> {
        let after = after.map_or(0, Id::raw);
        let rows = self
            .inner
            .store
            .read(move |tx| tx.rows(&schema::ADDRESSES, params![tenant, after], AddressRow::read))
            .await?;
        let keys = self.tenant_keys(tenant).await?;
        rows.iter()
            .map(|row| {
                row.check(&keys)?;
                Ok(AddressSummary {
                    id: row.id,
                    address: row.address(&keys)?,
                    kind: row.kind()?,
                    account: row.account().map(AccountId::from_raw),
                    person: (row.person != 0).then(|| PersonId::from_raw(row.person)),
                    points_to: (row.points_to != 0).then(|| AddressId::from_raw(row.points_to)),
                })
            })
            .collect()
    }

    /// The domain of a new address, which must be the organisation's.
    pub(crate) async fn place(&self, tenant: TenantId, address: &Address) -> Result<Place, Error> {
        match self.domain(address.domain()).await? {
            Some(domain) if domain.tenant == tenant => {
                Ok(Place { tenant, domain: domain.id, blind: self.blind_address(address) })
            }
            _ => Err(Error::NoSuchDomain),
        }
    }

    async fn alias_goal(&self, tenant: TenantId, leads_to: &Address) -> Result<AddressRow, Error> {
        let goal = self
            .row_of(leads_to)
            .await?
            .filter(|g| g.tenant == tenant && g.kind == TargetKind::Mailbox as i64)
            .ok_or(Error::AliasTarget)?;
        goal.check(&*self.tenant_keys(tenant).await?)?;
        Ok(goal)
    }

    async fn own_row(
        &self,
        tenant: TenantId,
        address: &Address,
    ) -> Result<(AddressRow, std::sync::Arc<TenantKeys>), Error> {
        let row = self.row_of(address).await?.filter(|r| r.tenant == tenant).ok_or(Error::NoSuchAddress)?;
        let keys = self.tenant_keys(tenant).await?;
        row.check(&keys)?;
        Ok((row, keys))
    }

    async fn row_by_id(&self, id: i64) -> Result<Option<AddressRow>, Error> {
        let row =
            self.inner.store.read(move |tx| tx.row(&schema::ADDRESS, params![id], AddressRow::read)).await?;
        Ok(row)
    }

    /// An address's own row, an alias not followed. Its MAC is not checked yet.
    pub(crate) async fn row_of(&self, address: &Address) -> Result<Option<AddressRow>, Error> {
        let blind = self.blind_address(address);
        let row = self
            .inner
            .store
            .read(move |tx| tx.row(&schema::ADDRESS_BY_BLIND, params![blind], AddressRow::read))
            .await?;
        Ok(row)
    }

    pub(crate) fn blind_address(&self, address: &Address) -> [u8; 16] {
        self.inner.keys.instance().blind("address.key", address.key().as_bytes())
    }
}
