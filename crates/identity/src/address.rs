//! Addresses and what they lead to.

use sealpost_audit::{Caller, Verb};
use sealpost_model::{AccountId, Address, AddressId, DomainId, Id, PersonId, TenantId};
use sealpost_store::keys::TenantKeys;
use sealpost_store::{Row, Tx, params};

use crate::service::{aad, open, seal};
use crate::tenant::FIRST;
use crate::{Error, Identity, schema};

/// The kinds of target that the stored format knows. This version makes mailboxes and aliases.
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

    fn tampered(&self) -> Error {
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

    fn sealed(
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

/// Where a new address goes.
pub(crate) struct Place {
    pub tenant: TenantId,
    pub domain: DomainId,
    pub blind: [u8; 16],
}

impl Identity {
    /// Gives a mailbox a further address.
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
        let goal = self
            .row_of(leads_to)
            .await?
            .filter(|g| g.tenant == tenant && g.kind == TargetKind::Mailbox as i64);
        let goal = goal.ok_or(Error::AliasTarget)?;
        let keys = self.tenant_keys(tenant).await?;
        goal.check(&keys)?;
        let id: AddressId = self.inner.store.id();
        let row = AddressRow::sealed(&keys, &place, id, address, TargetKind::Alias, (0, 0, goal.id.raw()));
        let entry = self.entry(tenant, by, Verb::AddressAdd, id).await?;
        self.commit(tenant, entry, move |tx| row.insert(tx)).await?;
        Ok(id)
    }

    /// Gives an account that is nobody's own an address: a shared mailbox.
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
        let place = self.place(tenant, address).await?;
        let keys = self.tenant_keys(tenant).await?;
        let id: AddressId = self.inner.store.id();
        let row = AddressRow::mailbox(&keys, &place, id, address, Some(account), None);
        let entry = self.entry(tenant, by, Verb::AddressAdd, id).await?;
        self.commit(tenant, entry, move |tx| row.insert(tx)).await?;
        Ok(id)
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
