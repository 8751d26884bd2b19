//! A login becomes an actor, or is refused: always at the same cost, always with an entry (S50, S52).

use std::sync::Arc;
use std::time::Duration;

use sealpost_audit::{Caller, Draft, Verb};
use sealpost_crypto::{app_password, constant_time_eq};
use sealpost_model::{
    AccountId, Actor, Address, Client, CredentialId, Fault, Id, PersonId, Protocol, Secret, TenantId,
};
use sealpost_policy::Roles;

use crate::app_password::hash;
use crate::person::Person;
use crate::place::{Place, network};
use crate::{AlertKind, Change, Error, Identity, Target};

/// A login and a password, as somebody typed them.
pub struct Attempt<'a> {
    /// The address.
    pub login: String,
    /// The password, or an app password.
    pub password: Secret<String>,
    /// From where, and through which door.
    pub client: &'a Client,
}

/// Somebody who signed in.
#[derive(Clone, Debug)]
pub struct Login {
    /// As the log calls them.
    pub actor: Actor,
    /// Their organisation.
    pub tenant: TenantId,
    /// Who.
    pub person: PersonId,
    /// Their mailbox.
    pub account: Option<AccountId>,
    /// Their address.
    pub address: Address,
    /// What they are.
    pub roles: Roles,
    /// Counts how often all of their sessions were ended at once.
    pub(crate) epoch: i64,
    /// How they signed in.
    pub method: Method,
    /// From where.
    pub client: Client,
}

impl Login {
    /// As services want it.
    pub const fn caller(&self) -> Caller {
        Caller { actor: self.actor, client: self.client }
    }
}

/// How somebody signed in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// With their own password; the number counts their passwords.
    Password {
        /// Which of their passwords.
        credential: i64,
    },
    /// With an app password.
    AppPassword {
        /// Which.
        id: CredentialId,
    },
}

impl Method {
    const fn word(self) -> &'static str {
        match self {
            Self::Password { .. } => "password",
            Self::AppPassword { .. } => "app-password",
        }
    }
}

/// Why somebody did not get in. The texts are for them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AuthError {
    /// No such login, or another password: nobody learns which.
    #[error("the address or the password is wrong")]
    Wrong,
    /// Too many failures from this network.
    #[error("too many failed logins from your network; wait {} seconds and try again", .retry.as_secs() + 1)]
    Throttled {
        /// How long to wait.
        retry: Duration,
    },
    /// The password is right and good for the web alone. Not yet: no second factor exists in this version.
    #[error("use an app password here; make one in the settings of the web mail")]
    AppPasswordNeeded,
    /// The password is right, and the person's access was ended.
    #[error("this login has been disabled; ask an administrator of your organisation")]
    Disabled,
    /// It can't be said now: the log can't be written, or too many logins wait.
    #[error("logins cannot be checked right now; try again in a moment")]
    Temporary,
}

impl AuthError {
    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Wrong | Self::AppPasswordNeeded | Self::Disabled => Fault::Policy,
            Self::Throttled { .. } | Self::Temporary => Fault::Temporary,
        }
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::Wrong => "wrong-credentials",
            Self::Throttled { .. } => "throttled",
            Self::AppPasswordNeeded => "app-password-needed",
            Self::Disabled => "disabled",
            Self::Temporary => "overloaded",
        }
    }
}

impl Identity {
    /// Checks a login. Success and failure are entries of the log, and nobody gets in without one.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub async fn authenticate(&self, attempt: Attempt<'_>) -> Result<Login, AuthError> {
        let Attempt { login, password, client } = attempt;
        let (known, verdict) = match self.who(&login).await {
            Ok(known) => {
                let verdict = self.admit(&known, &login, &password, client).await;
                (known, verdict)
            }
            // A row that is not what was written: the try is an entry nevertheless.
            Err(error) => {
                (Who { tenant: sealpost_audit::instance(), person: None }, Err(trouble(&error).into()))
            }
        };
        let draft = login_draft(&known, &login, client);
        let draft = match &verdict {
            Ok((person, method)) => {
                let actor = Actor::Person { tenant: person.tenant, person: person.id };
                let draft = Draft::new(person.tenant, &actor, client, Verb::Login)
                    .reason(method.word())
                    .object(person.id)
                    .note("login", clip(&login));
                match method {
                    Method::AppPassword { id } => draft.object(*id),
                    Method::Password { .. } => draft,
                }
            }
            Err(No { error: AuthError::Temporary, .. }) => {
                draft.failed().reason(AuthError::Temporary.reason())
            }
            Err(no) => draft.refused().reason(if no.banned { "banned" } else { no.error.reason() }),
        };
        match verdict {
            Ok((person, method)) => {
                let written = if self.is_new(&person, client) {
                    self.welcome(&person, draft, client).await
                } else {
                    self.inner.audit.record(draft).await.map(drop).map_err(Error::from)
                };
                written.map_err(|e| trouble(&e))?;
                Ok(login_of(&person, method, client))
            }
            Err(no) => Err(self.failure(&known, &login, draft, no, client).await),
        }
    }

    /// Writes a failure down with what follows from it, and holds its answer back. Who has to wait anyway is told so even
    /// if the log can't be written: they get nothing by it, and a full disk shall not make guessing faster.
    async fn failure(&self, who: &Who, login: &str, draft: Draft, no: No, client: &Client) -> AuthError {
        let error = no.error;
        let refused = matches!(error, AuthError::Throttled { .. });
        let counts = refused || matches!(error, AuthError::Wrong);
        if !counts {
            return match self.inner.audit.record(draft).await {
                Ok(_) => error,
                Err(e) => trouble(&e.into()),
            };
        }
        let counted = self.counted(login, client, self.knows(who, client));
        let after = self.inner.throttle.failed(&counted, refused, self.now());
        let written = match (&who.person, after.alert) {
            (Some(person), true) => self.warn(person, draft, client).await,
            _ => self.inner.audit.record(draft).await.map(drop).map_err(Error::from),
        };
        // This machine is no network: shutting it out would shut out its own programs.
        if after.ban
            && !client.ip.to_canonical().is_loopback()
            && let Err(error) = self.ban(client.ip, counted.network).await
        {
            tracing::error!(%error, "a ban holds here and could not be written");
        }
        if !after.tarpit.is_zero()
            && let Ok(_place) = self.inner.tarpit.try_acquire()
        {
            tokio::time::sleep(after.tarpit).await;
        }
        match written {
            Ok(()) => error,
            Err(e) if refused => {
                tracing::error!(error = %e, "a refused login could not be logged");
                error
            }
            Err(e) => trouble(&e),
        }
    }

    /// A failure after which the person and the administrators are told, in one transaction (S49).
    async fn warn(&self, person: &Person, draft: Draft, client: &Client) -> Result<(), Error> {
        let words = format!("many wrong passwords within an hour, the last from {}", network(client.ip));
        let change = Change::new(person.tenant)
            .entry(self.inner.audit.seal(draft).await?)
            .tell(self.notice(person.tenant, person.id, AlertKind::Failures, &words).await?);
        self.apply(change).await
    }

    /// Ends a login: the entry says why (`signed-out`, `idle`, `connection-lost`; S46).
    ///
    /// # Errors
    /// The entry could not be written.
    pub async fn logout(&self, login: &Login, client: &Client, reason: &'static str) -> Result<(), Error> {
        let draft = self
            .inner
            .audit
            .draft(login.tenant, &login.actor, client, Verb::Logout)
            .object(login.person)
            .reason(reason);
        self.inner.audit.record(draft).await?;
        Ok(())
    }

    /// Whether a login is good still: the person has access, the password or app password is the same. Connections
    /// that live long ask when `Topic::Sessions` fires.
    ///
    /// # Errors
    /// The store's; a row that is not what was written.
    pub async fn still_valid(&self, login: &Login) -> Result<bool, Error> {
        // Not from the cache: the feed tells of the commit before the cache has forgotten.
        let Some(person) = self.fresh(login.person).await? else { return Ok(false) };
        Ok(!person.disabled
            && person.epoch == login.epoch
            && match login.method {
                Method::Password { credential } => person.credential == credential,
                Method::AppPassword { id } => person.has(id),
            })
    }

    /// Who signs in with an address; `None` if nobody does.
    pub(crate) async fn login_person(&self, address: &Address) -> Result<Option<Arc<Person>>, Error> {
        let person = match self.resolve(address).await? {
            Target::Mailbox(mailbox) => mailbox.person,
            // Somebody without a mailbox.
            Target::Refused { .. } => match self.row_of(address).await? {
                Some(row) => (row.person != 0).then(|| PersonId::from_raw(row.person)),
                None => None,
            },
            Target::Group { .. }
            | Target::Unsupported { .. }
            | Target::UnknownUser { .. }
            | Target::ForeignDomain => None,
        };
        match person {
            Some(person) => self.person(person).await,
            None => Ok(None),
        }
    }

    /// Whom a login names, and whose log a try at it belongs to.
    async fn who(&self, login: &str) -> Result<Who, Error> {
        let Ok(address) = Address::parse(login.trim()) else {
            return Ok(Who { tenant: sealpost_audit::instance(), person: None });
        };
        if let Some(person) = self.login_person(&address).await? {
            return Ok(Who { tenant: person.tenant, person: Some(person) });
        }
        let domain = self.domain(address.domain()).await?;
        Ok(Who { tenant: domain.map_or_else(sealpost_audit::instance, |d| d.tenant), person: None })
    }

    /// App passwords, then the throttle, then the password.
    async fn admit(
        &self,
        who: &Who,
        login: &str,
        password: &Secret<String>,
        client: &Client,
    ) -> Result<(Arc<Person>, Method), No> {
        let allowed = |person: &Arc<Person>, method| {
            if person.disabled { Err(AuthError::Disabled.into()) } else { Ok((Arc::clone(person), method)) }
        };
        // 140 random bits are not guessed: who has them is let in, whatever others do to the login or the network.
        let device = self.app_password(who, password, client.protocol).await.map_err(|e| trouble(&e))?;
        if let (Some(person), Some(id)) = (&who.person, device) {
            return allowed(person, Method::AppPassword { id });
        }
        let counted = self.counted(login, client, self.knows(who, client));
        let attempt = self
            .inner
            .throttle
            .begin(&counted, self.now())
            .map_err(|wait| No { error: AuthError::Throttled { retry: wait.retry }, banned: wait.banned })?;
        let matched = self.credentials(who, password).await.map_err(|e| trouble(&e))?;
        match (&who.person, matched) {
            (Some(person), Some(method)) => {
                if !person.disabled {
                    attempt.succeeded();
                }
                allowed(person, method)
            }
            _ => Err(AuthError::Wrong.into()),
        }
    }

    /// Whether the person has signed in from this network before.
    fn knows(&self, who: &Who, client: &Client) -> bool {
        let place = self.blind_network(client.ip);
        who.person.as_ref().is_some_and(|person| person.places.contains(&place))
    }

    /// Which of the person's app passwords it is. They are for mail programs, and never for the web.
    async fn app_password(
        &self,
        who: &Who,
        password: &Secret<String>,
        protocol: Protocol,
    ) -> Result<Option<CredentialId>, Error> {
        if !matches!(protocol, Protocol::Imap | Protocol::Pop3 | Protocol::Submission) {
            return Ok(None);
        }
        let Some(letters) = app_password::parse(password) else { return Ok(None) };
        let keys = self.tenant_keys(who.tenant).await?;
        let devices = who.person.as_deref().map_or(&[][..], |p| &p.app_passwords);
        let found = devices.iter().find(|d| d.matches(&keys, &letters)).map(|d| d.id);
        if devices.is_empty() {
            // The same work for who has none.
            let hash = hash(&keys, CredentialId::from_raw(0), PersonId::from_raw(0), &letters);
            let _ = constant_time_eq(&hash, &[0; 16]);
        }
        Ok(found)
    }

    /// Compares the password with what the person has; with what nobody has if there is no person.
    async fn credentials(&self, who: &Who, password: &Secret<String>) -> Result<Option<Method>, Error> {
        let person = who.person.as_deref();
        let Some(person) = person else {
            self.inner.hashing.verify(password, None).await?;
            return Ok(None);
        };
        let (now, credential) = (self.now(), person.credential);
        let method = Method::Password { credential };
        if self.inner.verified.knows(person.id, credential, password, now) {
            return Ok(Some(method));
        }
        if self.inner.hashing.verify(password, Some(person.phc.clone())).await? {
            self.inner.verified.remember(person.id, credential, password, now);
            return Ok(Some(method));
        }
        Ok(None)
    }
}

impl Identity {
    /// Whether a person signs in from a network for the first time. This machine is no network.
    fn is_new(&self, person: &Person, client: &Client) -> bool {
        !client.ip.to_canonical().is_loopback()
            && client.protocol != Protocol::Control
            && !person.places.contains(&self.blind_network(client.ip))
    }

    /// Writes a login from a new network: its entry, the network, and the notice to the person and the administrators,
    /// in one transaction (S49). The first network of all is told to nobody.
    async fn welcome(&self, person: &Person, draft: Draft, client: &Client) -> Result<(), Error> {
        let tenant = person.tenant;
        let keys = self.tenant_keys(tenant).await?;
        let place = Place::new(&keys, tenant, person.id, self.blind_network(client.ip), self.now());
        let mut change = Change::new(tenant)
            .entry(self.inner.audit.seal(draft).await?)
            .write(move |tx| Ok(place.insert(tx)?));
        if !person.places.is_empty() {
            let words = format!("{} by {}", network(client.ip), client.protocol.word());
            change = change.tell(self.notice(tenant, person.id, AlertKind::NewPlace, &words).await?);
        }
        self.apply(change).await
    }
}

/// Why somebody does not get in, with what only the log says.
struct No {
    error: AuthError,
    banned: bool,
}

impl From<AuthError> for No {
    fn from(error: AuthError) -> Self {
        Self { error, banned: false }
    }
}

/// What a login names.
struct Who {
    tenant: TenantId,
    person: Option<Arc<Person>>,
}

fn login_draft(who: &Who, login: &str, client: &Client) -> Draft {
    let draft = Draft::new(who.tenant, &Actor::Stranger, client, Verb::Login).note("login", clip(login));
    match &who.person {
        Some(person) => draft.object(person.id),
        None => draft,
    }
}

pub(crate) fn login_of(person: &Person, method: Method, client: &Client) -> Login {
    Login {
        actor: Actor::Person { tenant: person.tenant, person: person.id },
        tenant: person.tenant,
        person: person.id,
        account: person.account,
        address: person.address.clone(),
        roles: person.roles,
        epoch: person.epoch,
        method,
        client: *client,
    }
}

/// What was typed as a login, sealed in the entry; people type passwords there, too, and long nonsense.
fn clip(login: &str) -> String {
    login.chars().take(200).collect()
}

pub(crate) fn trouble(error: &Error) -> AuthError {
    tracing::error!(%error, "a login could not be checked");
    AuthError::Temporary
}
