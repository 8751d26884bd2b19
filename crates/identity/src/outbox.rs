//! What people are told about their sign-ins and rights (S43, S49): a row in the transaction of what it is about, so
//! that no crash between the two loses it. The program turns rows into mail, and removes them once that was accepted.

use sealpost_audit::Caller;
use sealpost_crypto::Aad;
use sealpost_model::{Actor, Address, Id, PersonId, TenantId, Time};
use sealpost_policy::Role;
use sealpost_store::keys::{Root, TenantKeys};
use sealpost_store::{Row, Scope, Tx, params};

use crate::{Change, Error, Identity, schema};

/// What a notice is about. Numbers are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum AlertKind {
    /// Somebody else set one of the person's credentials, or what they may do.
    Credential = 1,
    /// Many logins of the person failed.
    Failures = 2,
    /// The person signed in from a network that was not known.
    NewPlace = 3,
    /// Somebody may use the person's mailbox, or no longer.
    Grant = 4,
    /// An act waits for a second person.
    Act = 5,
}

impl AlertKind {
    const ALL: [Self; 5] = [Self::Credential, Self::Failures, Self::NewPlace, Self::Grant, Self::Act];

    /// Whether a person may do without: of what others do to their rights everybody is told.
    const fn may_be_off(self) -> bool {
        matches!(self, Self::Failures | Self::NewPlace)
    }
}

/// A notice that waits to be sent. It holds names: not for logs.
#[derive(Clone)]
pub struct Alert {
    /// Its id, which also makes its Message-ID.
    pub id: i64,
    /// Whose organisation.
    pub tenant: TenantId,
    /// What it is about.
    pub kind: AlertKind,
    /// When that happened.
    pub at: Time,
    /// What happened, as a part of a sentence: `The password was set anew`.
    pub words: String,
    /// Whom it is about.
    pub about: Address,
    /// Who is told.
    pub to: Vec<Address>,
}

/// A row of the table.
pub(crate) struct OutboxRow {
    pub id: i64,
    pub tenant: TenantId,
    kind: i64,
    person: PersonId,
    created: Time,
    detail: Vec<u8>,
}

impl OutboxRow {
    pub(crate) fn read(r: &Row<'_>) -> Result<Self, sealpost_store::Error> {
        Ok(Self {
            id: r.int(0)?,
            tenant: r.id(1)?,
            kind: r.int(2)?,
            person: r.id(3)?,
            created: r.time(4)?,
            detail: r.bytes(5)?,
        })
    }

    pub(crate) fn insert(&self, tx: &mut Tx) -> Result<(), Error> {
        let values = params![self.id, self.tenant, self.kind, self.person, self.created, self.detail];
        tx.execute(&schema::OUTBOX_INSERT, values)?;
        Ok(())
    }

    /// The words; what is plain is bound to them.
    pub(crate) fn open(&self, keys: &TenantKeys) -> Result<String, Error> {
        let tampered = || Error::Tampered { table: "outbox", id: self.id };
        let plain = keys.open(&self.aad(), &self.detail).map_err(|_| tampered())?;
        String::from_utf8(plain).map_err(|_| tampered())
    }

    fn aad(&self) -> Aad {
        Aad::new(self.tenant, "outbox", self.id, "detail")
            .with_int(self.kind)
            .with_int(self.person.raw())
            .with_int(self.created.millis())
    }
}

impl Identity {
    /// A notice about a person, ready to be written.
    pub(crate) async fn notice(
        &self,
        tenant: TenantId,
        person: PersonId,
        kind: AlertKind,
        words: &str,
    ) -> Result<OutboxRow, Error> {
        let keys = self.tenant_keys(tenant).await?;
        let id = self.inner.store.id::<sealpost_model::AuditId>().raw();
        let mut row =
            OutboxRow { id, tenant, kind: kind as i64, person, created: self.now(), detail: Vec::new() };
        row.detail = keys.seal(Root::Records, &row.aad(), words.as_bytes());
        Ok(row)
    }

    /// Adds the notice that somebody else changed a person's credential or rights.
    pub(crate) async fn tell_if_other(
        &self,
        change: Change,
        person: PersonId,
        by: &Caller,
        words: &str,
    ) -> Result<Change, Error> {
        let Actor::Person { tenant, person: actor } = by.actor else { return Ok(change) };
        if actor == person {
            return Ok(change);
        }
        Ok(change.tell(self.notice(tenant, person, AlertKind::Credential, words).await?))
    }

    /// Waits until a notice was written by this process.
    pub async fn notice_written(&self) {
        self.inner.told.notified().await;
    }

    /// The notices that wait, oldest first, at most 100, with whom they go to.
    ///
    /// # Errors
    /// The store's; a row that is not what was written.
    pub async fn notices(&self) -> Result<Vec<Alert>, Error> {
        let rows = self.inner.store.read(|tx| tx.rows(&schema::OUTBOX, params![], OutboxRow::read)).await?;
        let mut alerts = Vec::with_capacity(rows.len());
        for row in rows {
            let tampered = Error::Tampered { table: "outbox", id: row.id };
            let words = row.open(&*self.tenant_keys(row.tenant).await?)?;
            let kind = AlertKind::ALL.into_iter().find(|k| *k as i64 == row.kind).ok_or(tampered)?;
            let Some(person) = self.person(row.person).await? else {
                self.notice_sent(row.tenant, row.id).await?;
                continue;
            };
            let mut to = self.told_of(row.tenant, kind).await?;
            let own = !(kind.may_be_off() && person.quiet && !person.administers());
            if own && kind != AlertKind::Act && !to.iter().any(|a| a.same(&person.address)) {
                to.insert(0, person.address.clone());
            }
            let about = person.address.clone();
            alerts.push(Alert { id: row.id, tenant: row.tenant, kind, at: row.created, words, about, to });
        }
        Ok(alerts)
    }

    /// Removes a notice whose mail was accepted.
    ///
    /// # Errors
    /// The store's.
    pub async fn notice_sent(&self, tenant: TenantId, id: i64) -> Result<(), Error> {
        self.inner
            .store
            .write(Scope::tenant(tenant), move |tx| tx.execute(&schema::OUTBOX_DELETE, params![id]))
            .await?;
        Ok(())
    }

    /// Whoever is told of everything: the security officials; of sign-ins and acts the administrators too.
    async fn told_of(&self, tenant: TenantId, kind: AlertKind) -> Result<Vec<Address>, Error> {
        let admins = kind != AlertKind::Credential;
        let people = self.first_people(tenant).await?;
        Ok(people
            .into_iter()
            .filter(|p| !p.disabled && p.account.is_some())
            .filter(|p| p.roles.has(Role::SecurityOfficial) || admins && p.roles.has(Role::TenantAdmin))
            .map(|p| p.address)
            .collect())
    }
}
