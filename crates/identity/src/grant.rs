//! Who may use a mailbox that is not theirs (S36, S38): read, write, send as, send on behalf; until a day, or for good.

use sealpost_audit::{Caller, Object, Verb};
use sealpost_model::{AccountId, Actor, Address, GrantId, Id, PersonId, TenantId, Time};
use sealpost_policy::decide::{self, GrantFacts};
use sealpost_policy::{Reason, Rights};
use sealpost_store::keys::TenantKeys;
use sealpost_store::{Row, Topic, params};

use crate::address::AddressRow;
use crate::credential::Reset;
use crate::outbox::AlertKind;
use crate::pending::{ActKind, Proposal};
use crate::tenant::FIRST;
use crate::{Change, Error, Identity, schema};

/// A grant as a list shows it. It holds names: not for logs.
#[derive(Clone, Debug)]
pub struct GrantSummary {
    /// Its id.
    pub id: GrantId,
    /// The mailbox.
    pub account: AccountId,
    /// The mailbox's address.
    pub mailbox: Option<Address>,
    /// Who may.
    pub person: PersonId,
    /// Their address.
    pub address: Address,
    /// What.
    pub rights: Rights,
    /// Until when.
    pub expires: Option<Time>,
    /// Since when.
    pub created: Time,
}

/// A mailbox that somebody was granted, as a mail program lists it.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The mailbox.
    pub account: AccountId,
    /// Its address.
    pub address: Address,
    /// Whether it is a person's own, or shared by many.
    pub shared: bool,
    /// What may be done with it.
    pub rights: Rights,
}

/// What somebody asked to be granted.
#[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
pub(crate) struct Asked {
    account: AccountId,
    person: PersonId,
    rights: Rights,
    expires: i64,
}

impl Asked {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}

/// A row of the table.
#[derive(Clone)]
pub(crate) struct GrantRow {
    pub id: GrantId,
    pub tenant: TenantId,
    pub account: AccountId,
    pub person: PersonId,
    rights: i64,
    /// Milliseconds, or 0.
    expires: i64,
    created: Time,
    pub version: i64,
    mac: [u8; 16],
}

impl GrantRow {
    pub(crate) fn read(r: &Row<'_>) -> Result<Self, sealpost_store::Error> {
        Ok(Self {
            id: r.id(0)?,
            tenant: r.id(1)?,
            account: r.id(2)?,
            person: r.id(3)?,
            rights: r.int(4)?,
            expires: r.int(5)?,
            created: r.time(6)?,
            version: r.int(7)?,
            mac: r.array(8)?,
        })
    }

    fn covered<T>(&self, with: impl FnOnce(&[&[u8]]) -> T) -> T {
        let numbers = [
            self.tenant.raw(),
            self.account.raw(),
            self.person.raw(),
            self.rights,
            self.expires,
            self.created.millis(),
        ]
        .map(i64::to_be_bytes);
        let parts: Vec<&[u8]> = numbers.iter().map(<[u8; 8]>::as_slice).collect();
        with(&parts)
    }

    pub(crate) fn check(&self, keys: &TenantKeys) -> Result<(), Error> {
        self.covered(|parts| keys.verify_mac("mailbox_grant", self.id.raw(), self.version, parts, &self.mac))
            .map_err(|_| Error::Tampered { table: "mailbox_grant", id: self.id.raw() })
    }

    fn sign(&mut self, keys: &TenantKeys) {
        self.mac = self.covered(|parts| keys.mac("mailbox_grant", self.id.raw(), self.version, parts));
    }

    /// What it allows now.
    pub(crate) fn rights(&self, now: Time) -> Rights {
        if self.expires != 0 && self.expires <= now.millis() {
            return Rights::NONE;
        }
        Rights::from_bits(self.rights)
    }
}

impl Identity {
    /// Gives a person rights on a mailbox, or other ones. On the mailbox of another person, or for oneself, in an
    /// organisation that holds health information, a second person has to agree: who may set nobody's password alone
    /// shall not read their mail alone either.
    ///
    /// # Errors
    /// [`Error::NoMailbox`], [`Error::NoSuchPerson`], [`Error::OwnMailbox`], [`Error::NoRights`], [`Error::Denied`] (a
    /// person outside HIPAA domains, S7; another organisation); the store's.
    pub async fn add_grant(
        &self,
        tenant: TenantId,
        mailbox: &Address,
        person: &Address,
        rights: Rights,
        expires: Option<Time>,
        by: &Caller,
    ) -> Result<Reset<()>, Error> {
        let (account, owner) = self.mailbox_at(tenant, mailbox).await?;
        let (theirs, grantee) = self.person_at(person).await?.ok_or(Error::NoSuchPerson)?;
        if theirs != tenant {
            return Err(Error::NoSuchPerson);
        }
        let asked = Asked { account, person: grantee, rights, expires: expires.map_or(0, Time::millis) };
        // What policy refuses is refused now, not to the second person.
        let ready = self.grant_change(tenant, asked, by).await?;
        let alone = match by.actor {
            Actor::Person { person: actor, .. } => {
                owner == Some(actor)
                    || (owner.is_none() && actor != grantee)
                    || !self.needs_two(tenant).await?
            }
            _ => true,
        };
        if alone {
            return self.apply(ready).await.map(Reset::Done);
        }
        let words = format!("{} on the mailbox {mailbox} for {person}", rights.words().join(" and "));
        let payload = postcard::to_allocvec(&asked).expect("plain data is always written");
        let act = Proposal { tenant, kind: ActKind::GrantAdd, subject: grantee.raw(), words, payload };
        Ok(Reset::Waits(self.propose(act, by).await?, ()))
    }

    /// Ends a person's rights on a mailbox; what they have open of it is closed within seconds.
    ///
    /// # Errors
    /// [`Error::NoSuchGrant`]; the store's.
    pub async fn remove_grant(
        &self,
        tenant: TenantId,
        mailbox: &Address,
        person: &Address,
        by: &Caller,
    ) -> Result<(), Error> {
        let (account, owner) = self.mailbox_at(tenant, mailbox).await?;
        let (_, grantee) = self.person_at(person).await?.ok_or(Error::NoSuchPerson)?;
        let row = self.grant_row(account, grantee).await?.ok_or(Error::NoSuchGrant)?;
        let keys = self.tenant_keys(tenant).await?;
        row.check(&keys)?;
        let draft = self
            .inner
            .audit
            .draft(tenant, &by.actor, &by.client, Verb::GrantRemove)
            .owner(account)
            .object(row.id)
            .object(grantee)
            .note("old", Rights::from_bits(row.rights).words().join(" "));
        let mut change = Change::new(tenant).entry(self.inner.audit.seal(draft).await?).write(move |tx| {
            if tx.execute(&schema::GRANT_DELETE, params![row.id, row.version])? != 1 {
                return Err(Error::Changed);
            }
            tx.after_commit(Topic::Sessions);
            Ok(())
        });
        if let Some(owner) = owner {
            let words = format!("{person} may no longer use the mailbox {mailbox}");
            change = change.tell(self.notice(tenant, owner, AlertKind::Grant, &words).await?);
        }
        self.apply(change).await
    }

    /// The grants of an organisation behind `after`, at most 1,000; those that have expired too.
    ///
    /// # Errors
    /// The store's; a row that is not what was written.
    pub async fn grants(&self, tenant: TenantId, after: Option<GrantId>) -> Result<Vec<GrantSummary>, Error> {
        let after = after.map_or(0, Id::raw);
        let rows = self
            .inner
            .store
            .read(move |tx| tx.rows(&schema::GRANTS, params![tenant, after], GrantRow::read))
            .await?;
        let keys = self.tenant_keys(tenant).await?;
        let mut list = Vec::with_capacity(rows.len());
        for row in rows {
            row.check(&keys)?;
            let person = self.person(row.person).await?.ok_or(Error::NoSuchPerson)?;
            list.push(GrantSummary {
                id: row.id,
                account: row.account,
                mailbox: self.address_of(row.account).await?.map(|(_, address)| address),
                person: row.person,
                address: person.address.clone(),
                rights: Rights::from_bits(row.rights),
                expires: (row.expires != 0).then(|| Time::from_millis(row.expires)),
                created: row.created,
            });
        }
        Ok(list)
    }

    /// The mailboxes that a person may use beside their own, now.
    ///
    /// # Errors
    /// The store's; a row that is not what was written.
    pub async fn granted_to(&self, person: PersonId) -> Result<Vec<Granted>, Error> {
        let rows = self
            .inner
            .store
            .read(move |tx| tx.rows(&schema::GRANTS_OF_PERSON, params![person], GrantRow::read))
            .await?;
        let mut list = Vec::with_capacity(rows.len());
        for row in rows {
            let rights = self.usable(&row).await?;
            if rights == Rights::NONE {
                continue;
            }
            let Some(address) = self.row_of_account(row.account).await? else { continue };
            let keys = self.tenant_keys(row.tenant).await?;
            address.check(&keys)?;
            list.push(Granted {
                account: row.account,
                address: address.address(&keys)?,
                shared: address.person == 0,
                rights,
            });
        }
        list.sort_by_cached_key(|g| g.address.key().to_owned());
        Ok(list)
    }

    /// What a person was granted on a mailbox, as it holds now: not expired, and allowed by policy still.
    ///
    /// # Errors
    /// The store's; a row that is not what was written.
    pub async fn rights_on(&self, person: PersonId, account: AccountId) -> Result<Rights, Error> {
        match self.grant_row(account, person).await? {
            Some(row) => self.usable(&row).await,
            None => Ok(Rights::NONE),
        }
    }

    async fn usable(&self, row: &GrantRow) -> Result<Rights, Error> {
        let keys = self.tenant_keys(row.tenant).await?;
        row.check(&keys)?;
        let rights = row.rights(self.now());
        if rights == Rights::NONE {
            return Ok(rights);
        }
        // A mailbox may have come to a HIPAA domain since.
        match self.grant_facts(row.tenant, row.account, row.person).await? {
            Some(facts) if decide::grant(&facts).is_ok() => Ok(rights),
            _ => Ok(Rights::NONE),
        }
    }

    /// A grant as rows.
    pub(crate) async fn grant_change(
        &self,
        tenant: TenantId,
        asked: Asked,
        by: &Caller,
    ) -> Result<Change, Error> {
        let Asked { account, person, rights, expires } = asked;
        if rights == Rights::NONE {
            return Err(Error::NoRights);
        }
        let mailbox = self.row_of_account(account).await?.filter(|r| r.tenant == tenant);
        let mailbox = mailbox.ok_or(Error::NoMailbox)?;
        let keys = self.tenant_keys(tenant).await?;
        mailbox.check(&keys)?;
        if mailbox.person == person.raw() {
            return Err(Error::OwnMailbox);
        }
        let facts = self.grant_facts(tenant, account, person).await?.ok_or(Error::NoSuchPerson)?;
        let draft = self.inner.audit.draft(tenant, &by.actor, &by.client, Verb::GrantAdd).owner(account);
        if let Err(denied) = decide::grant(&facts) {
            let draft = draft.refused().object(person).reason(denied.reason.name());
            self.inner.audit.refusal(draft).await?;
            return Err(denied.into());
        }
        let old = self.grant_row(account, person).await?;
        let was = old.as_ref().map(|row| row.version);
        let mut row = match old {
            Some(row) => {
                row.check(&keys)?;
                row
            }
            None => GrantRow {
                id: self.inner.store.id(),
                tenant,
                account,
                person,
                rights: 0,
                expires: 0,
                created: self.now(),
                version: FIRST - 1,
                mac: [0; 16],
            },
        };
        let before = Rights::from_bits(row.rights).words().join(" ");
        (row.rights, row.expires, row.version) = (rights.bits(), expires, row.version + 1);
        row.sign(&keys);
        let until = if expires == 0 { "no end".to_owned() } else { Time::from_millis(expires).rfc3339() };
        let draft = draft
            .object(row.id)
            .object(Object::version(row.version))
            .object(person)
            .note("old", before)
            .note("new", rights.words().join(" "))
            .note("until", until);
        let who = self.person(person).await?.ok_or(Error::NoSuchPerson)?;
        let (shown, owner) = (mailbox.address(&keys)?, mailbox.person);
        let change = Change::new(tenant).entry(self.inner.audit.seal(draft).await?).write(move |tx| {
            let done = match was {
                Some(was) => {
                    let values = params![row.id, was, row.rights, row.expires, row.version, row.mac];
                    tx.execute(&schema::GRANT_UPDATE, values)?
                }
                None => {
                    let values = params![
                        row.id,
                        row.tenant,
                        row.account,
                        row.person,
                        row.rights,
                        row.expires,
                        row.created,
                        row.version,
                        row.mac
                    ];
                    tx.execute(&schema::GRANT_INSERT, values)?
                }
            };
            if done != 1 {
                return Err(Error::Changed);
            }
            tx.after_commit(Topic::Sessions);
            Ok(())
        });
        if owner == 0 {
            return Ok(change);
        }
        let words = format!("{} may use the mailbox {shown}: {}", who.address, rights.words().join(", "));
        Ok(change.tell(self.notice(tenant, PersonId::from_raw(owner), AlertKind::Grant, &words).await?))
    }

    pub(crate) async fn grant_row(
        &self,
        account: AccountId,
        person: PersonId,
    ) -> Result<Option<GrantRow>, Error> {
        let row = self
            .inner
            .store
            .read(move |tx| tx.row(&schema::GRANT_OF, params![account, person], GrantRow::read))
            .await?;
        Ok(row)
    }

    /// The mailbox of an address of the organisation, and whose it is.
    pub(crate) async fn mailbox_at(
        &self,
        tenant: TenantId,
        address: &Address,
    ) -> Result<(AccountId, Option<PersonId>), Error> {
        match self.resolve(address).await? {
            crate::Target::Mailbox(m) if m.tenant == tenant => Ok((m.account, m.person)),
            _ => Err(Error::NoMailbox),
        }
    }

    /// What policy wants to know (S7); `None` if there is no such person.
    async fn grant_facts(
        &self,
        tenant: TenantId,
        account: AccountId,
        person: PersonId,
    ) -> Result<Option<GrantFacts>, Error> {
        let Some(person) = self.person(person).await? else { return Ok(None) };
        let rows = self
            .inner
            .store
            .read(move |tx| tx.rows(&schema::ADDRESSES_OF_ACCOUNT, params![account], AddressRow::read))
            .await?;
        let keys = self.tenant_keys(tenant).await?;
        let mut mailbox_hipaa = rows.is_empty();
        for row in &rows {
            row.check(&keys)?;
            // What is not known to be without health information counts as holding some.
            mailbox_hipaa |= self.domain_by_id(row.domain).await?.is_none_or(|d| d.hipaa);
        }
        let person_hipaa = self.domain(person.address.domain()).await?.is_some_and(|d| d.hipaa);
        Ok(Some(GrantFacts {
            mailbox_tenant: tenant,
            person_tenant: person.tenant,
            mailbox_hipaa,
            person_hipaa,
        }))
    }

    /// May a person write as an address, and how (S51)?
    ///
    /// # Errors
    /// Those of [`Identity::resolve`].
    pub async fn may_send(&self, person: PersonId, address: &Address) -> Result<SendAs, Error> {
        let crate::Target::Mailbox(mailbox) = self.resolve(address).await? else { return Ok(SendAs::No) };
        if mailbox.person == Some(person) {
            return Ok(SendAs::Own);
        }
        let rights = self.rights_on(person, mailbox.account).await?;
        Ok(if rights.has(Rights::SEND_AS) {
            SendAs::Granted
        } else if rights.has(Rights::SEND_ON_BEHALF) {
            SendAs::OnBehalf
        } else {
            SendAs::No
        })
    }
}

/// How a person may use an address as author.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SendAs {
    /// It is theirs.
    Own,
    /// They were granted it.
    Granted,
    /// On behalf: the message names them as Sender (RFC 5322 section 3.6.2).
    OnBehalf,
    /// Not at all.
    No,
}

impl SendAs {
    /// Why a message with this author is refused, if it is. `named` says that the Sender field holds the person's own
    /// address.
    pub const fn refusal(self, named: bool) -> Option<Reason> {
        match self {
            Self::Own | Self::Granted => None,
            Self::OnBehalf if named => None,
            Self::OnBehalf => Some(Reason::OnBehalfNeedsSender),
            Self::No => Some(Reason::SenderNotOwned),
        }
    }
}
