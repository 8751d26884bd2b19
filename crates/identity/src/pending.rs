//! Acts that need a second person: asked for by one, agreed to by another within a day, both in the log.
//!
//! What the directory itself does (a credential, roles, rights on a mailbox) happens in the transaction of the second
//! person's yes. What has an effect elsewhere (keys that die) is done by the caller who holds the [`Approved`]; until
//! [`Identity::act_done`] the same person can approve it again, so that a crash in between leaves it to be repeated.

use std::time::Duration;

use sealpost_audit::{Caller, Object, Verb};
use sealpost_crypto::Aad;
use sealpost_model::{ActId, Actor, Id, PersonId, Secret, TenantId, Time};
use sealpost_policy::{Command, Reason, Roles, decide};
use sealpost_store::keys::{Root, TenantKeys};
use sealpost_store::{Row, params};

use crate::outbox::AlertKind;
use crate::tenant::FIRST;
use crate::{Change, Error, Identity, app_password, grant, schema};

/// How long an act waits for its second person.
pub const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// What is to be done. Numbers are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ActKind {
    /// A person gets a new password from somebody else.
    PasswordSet = 1,
    /// A person gets an app password from somebody else.
    AppPasswordAdd = 2,
    /// A person gets a role that reads evidence.
    RolesChange = 3,
    /// A person gets rights on the mailbox of another.
    GrantAdd = 4,
    /// A rule that Maximal Security pins is let go.
    Unpin = 5,
    /// The content of an organisation is destroyed.
    TenantDestroy = 6,
}

impl ActKind {
    const ALL: [Self; 6] = [
        Self::PasswordSet,
        Self::AppPasswordAdd,
        Self::RolesChange,
        Self::GrantAdd,
        Self::Unpin,
        Self::TenantDestroy,
    ];

    /// Its word in lists.
    pub const fn word(self) -> &'static str {
        match self {
            Self::PasswordSet => "password-set",
            Self::AppPasswordAdd => "app-password-add",
            Self::RolesChange => "roles-change",
            Self::GrantAdd => "grant-add",
            Self::Unpin => "unpin",
            Self::TenantDestroy => "tenant-destroy",
        }
    }

    /// Whether its subject is a person, who can't agree to it themselves.
    const fn about_a_person(self) -> bool {
        matches!(self, Self::PasswordSet | Self::AppPasswordAdd | Self::RolesChange | Self::GrantAdd)
    }
}

/// How an act stands. Numbers are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ActState {
    /// It waits.
    Open = 0,
    /// A second person agreed, and it was not yet said that it is done.
    Approved = 1,
    /// A second person said no.
    Refused = 2,
    /// Nobody agreed in time.
    Expired = 3,
    /// It was done.
    Done = 4,
}

impl ActState {
    const ALL: [Self; 5] = [Self::Open, Self::Approved, Self::Refused, Self::Expired, Self::Done];

    /// Its word in lists.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "waits",
            Self::Approved => "approved",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Done => "done",
        }
    }
}

/// What somebody asks for.
pub struct Proposal {
    /// In which organisation.
    pub tenant: TenantId,
    /// What.
    pub kind: ActKind,
    /// What it is about: the person's id, or whatever the kind's owner counts by.
    pub subject: i64,
    /// The same for people who read the list; sealed.
    pub words: String,
    /// What whoever carries it out needs; sealed, and removed when it was done.
    pub payload: Vec<u8>,
}

/// An act as a list shows it. It holds names: not for logs.
#[derive(Clone, Debug)]
pub struct PendingAct {
    /// Its id.
    pub id: ActId,
    /// What.
    pub kind: ActKind,
    /// What it is about.
    pub subject: i64,
    /// In words.
    pub words: String,
    /// Who asked.
    pub proposer: PersonId,
    /// When.
    pub proposed: Time,
    /// Until when it waits.
    pub expires: Time,
    /// How it stands.
    pub state: ActState,
    /// Who decided.
    pub decider: Option<PersonId>,
}

/// The proof that two people agreed: only [`Identity::approve`] makes one.
pub struct Approved {
    /// Which act.
    pub id: ActId,
    /// In which organisation.
    pub tenant: TenantId,
    /// What.
    pub kind: ActKind,
    /// What it is about.
    pub subject: i64,
    /// What the proposer left for whoever carries it out.
    pub payload: Vec<u8>,
    /// Who asked.
    pub proposer: PersonId,
    /// Who agreed.
    pub decider: PersonId,
    /// Whether it is done already, in the same transaction.
    pub done: bool,
}

/// A row of the table.
#[derive(Clone)]
pub(crate) struct ActRow {
    pub id: ActId,
    pub tenant: TenantId,
    kind: i64,
    subject: i64,
    proposer: PersonId,
    proposed: Time,
    expires: Time,
    state: i64,
    decider: i64,
    words: Vec<u8>,
    payload: Vec<u8>,
    version: i64,
    mac: [u8; 16],
}

impl ActRow {
    pub(crate) fn read(r: &Row<'_>) -> Result<Self, sealpost_store::Error> {
        Ok(Self {
            id: r.id(0)?,
            tenant: r.id(1)?,
            kind: r.int(2)?,
            subject: r.int(3)?,
            proposer: r.id(4)?,
            proposed: r.time(5)?,
            expires: r.time(6)?,
            state: r.int(7)?,
            decider: r.int(8)?,
            words: r.bytes(9)?,
            payload: r.bytes(10)?,
            version: r.int(11)?,
            mac: r.array(12)?,
        })
    }

    fn covered<T>(&self, with: impl FnOnce(&[&[u8]]) -> T) -> T {
        let numbers = [
            self.tenant.raw(),
            self.kind,
            self.subject,
            self.proposer.raw(),
            self.proposed.millis(),
            self.expires.millis(),
            self.state,
            self.decider,
        ]
        .map(i64::to_be_bytes);
        let mut parts: Vec<&[u8]> = numbers.iter().map(<[u8; 8]>::as_slice).collect();
        parts.extend([self.words.as_slice(), &self.payload]);
        with(&parts)
    }

    pub(crate) fn check(&self, keys: &TenantKeys) -> Result<(), Error> {
        self.covered(|parts| keys.verify_mac("pending_act", self.id.raw(), self.version, parts, &self.mac))
            .map_err(|_| self.tampered())
    }

    fn sign(&mut self, keys: &TenantKeys) {
        self.mac = self.covered(|parts| keys.mac("pending_act", self.id.raw(), self.version, parts));
    }

    pub(crate) const fn version(&self) -> i64 {
        self.version
    }

    pub(crate) fn proposer(&self) -> i64 {
        self.proposer.raw()
    }

    fn tampered(&self) -> Error {
        Error::Tampered { table: "pending_act", id: self.id.raw() }
    }

    fn aad(&self, column: &'static str) -> Aad {
        Aad::new(self.tenant, "pending_act", self.id.raw(), column).with_int(self.kind).with_int(self.subject)
    }

    fn kind(&self) -> Result<ActKind, Error> {
        ActKind::ALL.into_iter().find(|k| *k as i64 == self.kind).ok_or_else(|| self.tampered())
    }

    fn state(&self, now: Time) -> Result<ActState, Error> {
        let state = ActState::ALL.into_iter().find(|s| *s as i64 == self.state);
        let state = state.ok_or_else(|| self.tampered())?;
        Ok(if state == ActState::Open && self.expires <= now { ActState::Expired } else { state })
    }

    /// As a list shows it; checks the row on the way.
    pub(crate) fn open(&self, keys: &TenantKeys, now: Time) -> Result<PendingAct, Error> {
        self.check(keys)?;
        let words = keys.open(&self.aad("words"), &self.words).map_err(|_| self.tampered())?;
        Ok(PendingAct {
            id: self.id,
            kind: self.kind()?,
            subject: self.subject,
            words: String::from_utf8(words).map_err(|_| self.tampered())?,
            proposer: self.proposer,
            proposed: self.proposed,
            expires: self.expires,
            state: self.state(now)?,
            decider: (self.decider != 0).then(|| PersonId::from_raw(self.decider)),
        })
    }

    fn payload(&self, keys: &TenantKeys) -> Result<Vec<u8>, Error> {
        keys.open(&self.aad("payload"), &self.payload).map_err(|_| self.tampered())
    }
}

impl Identity {
    /// Writes down that somebody asks for an act; those who may agree are told.
    ///
    /// # Errors
    /// [`Error::Denied`] if the actor is no person of the organisation who decides; the store's.
    pub async fn propose(&self, act: Proposal, by: &Caller) -> Result<ActId, Error> {
        let (proposer, roles) = self.decider(act.tenant, by).await?;
        decide::command(roles, Command::ActDecide)?;
        let keys = self.tenant_keys(act.tenant).await?;
        let now = self.now();
        let mut row = ActRow {
            id: self.inner.store.id(),
            tenant: act.tenant,
            kind: act.kind as i64,
            subject: act.subject,
            proposer,
            proposed: now,
            expires: now.plus(PATIENCE),
            state: ActState::Open as i64,
            decider: 0,
            words: Vec::new(),
            payload: Vec::new(),
            version: FIRST,
            mac: [0; 16],
        };
        row.words = keys.seal(Root::Records, &row.aad("words"), act.words.as_bytes());
        row.payload = keys.seal(Root::Records, &row.aad("payload"), &act.payload);
        row.sign(&keys);
        let id = row.id;
        let draft = self
            .inner
            .audit
            .draft(act.tenant, &by.actor, &by.client, Verb::ActPropose)
            .object(id)
            .object(Object::version(FIRST))
            .reason(act.kind.word())
            .note("words", &act.words);
        let change = Change::new(act.tenant).entry(self.inner.audit.seal(draft).await?).write(move |tx| {
            let values = params![
                row.id,
                row.tenant,
                row.kind,
                row.subject,
                row.proposer,
                row.proposed,
                row.expires,
                row.state,
                row.decider,
                row.words,
                row.payload,
                row.version,
                row.mac
            ];
            tx.execute(&schema::ACT_INSERT, values)?;
            Ok(())
        });
        let change = change.tell(self.notice(act.tenant, proposer, AlertKind::Act, &act.words).await?);
        self.apply(change).await?;
        Ok(id)
    }

    /// A second person agrees. What the directory does itself is done with it; for the rest the answer is the proof that
    /// two people agreed, and [`Identity::act_done`] says that it was carried out.
    ///
    /// # Errors
    /// [`Error::NoSuchAct`], [`Error::ActOver`], [`Error::Denied`]; those of the act itself; the store's.
    pub async fn approve(&self, tenant: TenantId, id: ActId, by: &Caller) -> Result<Approved, Error> {
        let (mut row, second, keys) = self.to_decide(tenant, id, by).await?;
        let again = match row.state(self.now())? {
            ActState::Open => false,
            ActState::Approved if row.decider == second.raw() => true,
            _ => return Err(Error::ActOver),
        };
        let (kind, payload) = (row.kind()?, row.payload(&keys)?);
        let approved = Approved {
            id,
            tenant,
            kind,
            subject: row.subject,
            payload,
            proposer: row.proposer,
            decider: second,
            done: false,
        };
        if again {
            return Ok(approved);
        }
        let own = self.carry_out(&approved, by).await?;
        let state = if own.is_some() { ActState::Done } else { ActState::Approved };
        let done = own.is_some();
        row.decider = second.raw();
        let mut change = self.decided(row, state, Verb::ActApprove, by).await?;
        if let Some(own) = own {
            change = change.and(own);
        }
        self.apply(change).await?;
        Ok(Approved { done, ..approved })
    }

    /// A second person says no, or the first takes it back.
    ///
    /// # Errors
    /// [`Error::NoSuchAct`], [`Error::ActOver`], [`Error::Denied`]; the store's.
    pub async fn refuse(&self, tenant: TenantId, id: ActId, by: &Caller) -> Result<(), Error> {
        let (mut row, keys) = self.act_row(tenant, id).await?;
        row.check(&keys)?;
        let (person, roles) = self.decider(tenant, by).await?;
        decide::command(roles, Command::ActDecide)?;
        if row.state(self.now())? != ActState::Open {
            return Err(Error::ActOver);
        }
        row.decider = person.raw();
        self.apply(self.decided(row, ActState::Refused, Verb::ActRefuse, by).await?).await
    }

    /// What was agreed to was carried out.
    ///
    /// # Errors
    /// [`Error::ActOver`]; the store's.
    pub async fn act_done(&self, approved: &Approved, by: &Caller) -> Result<(), Error> {
        let (row, keys) = self.act_row(approved.tenant, approved.id).await?;
        row.check(&keys)?;
        if row.state(self.now())? != ActState::Approved {
            return Err(Error::ActOver);
        }
        self.apply(self.decided(row, ActState::Done, Verb::ActDone, by).await?).await
    }

    /// The newest 200 acts of an organisation.
    ///
    /// # Errors
    /// The store's; a row that is not what was written.
    pub async fn pending_acts(&self, tenant: TenantId) -> Result<Vec<PendingAct>, Error> {
        let rows =
            self.inner.store.read(move |tx| tx.rows(&schema::ACTS, params![tenant], ActRow::read)).await?;
        let (keys, now) = (self.tenant_keys(tenant).await?, self.now());
        rows.iter().map(|row| row.open(&keys, now)).collect()
    }

    /// Ends acts that nobody agreed to in time, each with its entry; answers how many.
    ///
    /// # Errors
    /// The store's.
    pub async fn expire_acts(&self) -> Result<usize, Error> {
        let now = self.now();
        let rows =
            self.inner.store.read(move |tx| tx.rows(&schema::ACTS_OVER, params![now], ActRow::read)).await?;
        let count = rows.len();
        for row in rows {
            row.check(&*self.tenant_keys(row.tenant).await?)?;
            let change = self.decided(row, ActState::Expired, Verb::ActExpire, &Caller::SYSTEM).await?;
            match self.apply(change).await {
                // Another node was quicker.
                Ok(()) | Err(Error::Changed) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    /// Whether acts on people's credentials need a second person: one of the organisation's domains holds health
    /// information.
    ///
    /// # Errors
    /// The store's; a row that is not what was written.
    pub async fn needs_two(&self, tenant: TenantId) -> Result<bool, Error> {
        Ok(self.domains(tenant).await?.iter().any(|(_, facts)| facts.hipaa))
    }

    /// What the directory does itself once two people agreed.
    async fn carry_out(&self, act: &Approved, by: &Caller) -> Result<Option<Change>, Error> {
        let person = PersonId::from_raw(act.subject);
        let broken = || Error::Tampered { table: "pending_act", id: act.id.raw() };
        Ok(Some(match act.kind {
            ActKind::PasswordSet => {
                let phc = String::from_utf8(act.payload.clone()).map_err(|_| broken())?;
                self.password_change(person, Secret::new(phc), by).await?
            }
            ActKind::AppPasswordAdd => {
                let made = app_password::Made::parse(&act.payload).ok_or_else(broken)?;
                self.app_password_change(person, made, by).await?
            }
            ActKind::RolesChange => {
                let bits = act.payload.as_slice().try_into().map(i64::from_be_bytes).map_err(|_| broken())?;
                self.roles_change(person, Roles::from_bits(bits), by).await?
            }
            ActKind::GrantAdd => {
                let asked = grant::Asked::parse(&act.payload).ok_or_else(broken)?;
                self.grant_change(act.tenant, asked, by).await?
            }
            ActKind::Unpin | ActKind::TenantDestroy => return Ok(None),
        }))
    }

    /// The row in its next state, with its entry. Once it is over what was left for the deed is removed.
    async fn decided(
        &self,
        mut row: ActRow,
        state: ActState,
        verb: Verb,
        by: &Caller,
    ) -> Result<Change, Error> {
        let keys = self.tenant_keys(row.tenant).await?;
        let was = row.version;
        row.version += 1;
        row.state = state as i64;
        if state != ActState::Approved {
            row.payload = keys.seal(Root::Records, &row.aad("payload"), &[]);
        }
        row.sign(&keys);
        let draft = self
            .inner
            .audit
            .draft(row.tenant, &by.actor, &by.client, verb)
            .object(row.id)
            .object(Object::version(row.version))
            .object(row.proposer)
            .reason(row.kind()?.word());
        let entry = self.inner.audit.seal(draft).await?;
        Ok(Change::new(row.tenant).entry(entry).write(move |tx| {
            let values = params![row.id, was, row.state, row.decider, row.payload, row.version, row.mac];
            if tx.execute(&schema::ACT_UPDATE, values)? != 1 {
                return Err(Error::Changed);
            }
            Ok(())
        }))
    }

    async fn to_decide(
        &self,
        tenant: TenantId,
        id: ActId,
        by: &Caller,
    ) -> Result<(ActRow, PersonId, std::sync::Arc<TenantKeys>), Error> {
        let (row, keys) = self.act_row(tenant, id).await?;
        row.check(&keys)?;
        let (second, roles) = self.decider(tenant, by).await?;
        let subject = row.kind()?.about_a_person().then(|| PersonId::from_raw(row.subject));
        if let Err(denied) = decide::second_person(row.proposer, subject, second, roles) {
            let draft = self
                .inner
                .audit
                .draft(tenant, &by.actor, &by.client, Verb::ActApprove)
                .refused()
                .object(id)
                .reason(denied.reason.name());
            self.inner.audit.refusal(draft).await?;
            return Err(denied.into());
        }
        Ok((row, second, keys))
    }

    async fn act_row(
        &self,
        tenant: TenantId,
        id: ActId,
    ) -> Result<(ActRow, std::sync::Arc<TenantKeys>), Error> {
        let row = self.inner.store.read(move |tx| tx.row(&schema::ACT, params![id], ActRow::read)).await?;
        let row = row.filter(|r| r.tenant == tenant).ok_or(Error::NoSuchAct)?;
        Ok((row, self.tenant_keys(tenant).await?))
    }

    /// Who it is, if it is a person of the organisation.
    async fn decider(&self, tenant: TenantId, by: &Caller) -> Result<(PersonId, Roles), Error> {
        match by.actor {
            Actor::Person { tenant: theirs, person } if theirs == tenant => {
                Ok((person, self.roles(&by.actor).await?))
            }
            _ => Err(Error::Denied(Reason::RoleMissing.into())),
        }
    }
}
