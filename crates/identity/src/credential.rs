//! Setting another person's credential: it goes into the log, the person is told, and in an organisation that holds
//! health information a second person has to agree (S43, DESIGN "Roles").

use sealpost_audit::Caller;
use sealpost_model::{ActId, Actor, Id, PersonId, Secret};
use sealpost_policy::{Role, Roles};

use crate::{ActKind, Error, Identity, Proposal};

/// What became of it.
pub enum Reset<T> {
    /// It holds.
    Done(T),
    /// It holds once a second person agrees.
    Waits(ActId, T),
}

impl<T> Reset<T> {
    /// The act that waits, if one does.
    pub const fn waits(&self) -> Option<ActId> {
        match self {
            Self::Done(_) => None,
            Self::Waits(id, _) => Some(*id),
        }
    }

    /// What was made.
    pub fn into_inner(self) -> T {
        match self {
            Self::Done(made) | Self::Waits(_, made) => made,
        }
    }
}

impl Identity {
    /// Sets a person's password, or asks a second person to agree to it. A person's own is set at once.
    ///
    /// # Errors
    /// Those of [`Identity::set_password`] and [`Identity::propose`].
    pub async fn reset_password(
        &self,
        person: PersonId,
        password: &Secret<String>,
        by: &Caller,
    ) -> Result<Reset<()>, Error> {
        if !self.second_needed(person, by).await? {
            return self.set_password(person, password, by).await.map(Reset::Done);
        }
        let phc = self.hash_for(person, password).await?;
        let payload = phc.expose().as_bytes().to_vec();
        let id = self.ask(person, ActKind::PasswordSet, "a new password for", payload, by).await?;
        Ok(Reset::Waits(id, ()))
    }

    /// Makes an app password for a person. If a second person has to agree, what is shown works from then on.
    ///
    /// # Errors
    /// Those of [`Identity::add_app_password`] and [`Identity::propose`].
    pub async fn reset_app_password(
        &self,
        person: PersonId,
        device: &str,
        by: &Caller,
    ) -> Result<Reset<Secret<String>>, Error> {
        if !self.second_needed(person, by).await? {
            return self.add_app_password(person, device, by).await.map(Reset::Done);
        }
        let (shown, made) = self.make_app_password(person, device).await?;
        let id = self
            .ask(person, ActKind::AppPasswordAdd, "a mail program's password for", made.print(), by)
            .await?;
        Ok(Reset::Waits(id, shown))
    }

    /// Changes what a person is. A role that reads evidence, given to somebody in an organisation that holds health
    /// information, waits for a second person.
    ///
    /// # Errors
    /// Those of [`Identity::set_roles`] and [`Identity::propose`].
    pub async fn change_roles(
        &self,
        person: PersonId,
        roles: Roles,
        by: &Caller,
    ) -> Result<Reset<()>, Error> {
        let old = self.person(person).await?.ok_or(Error::NoSuchPerson)?;
        let reading = roles.iter().any(|role: Role| role.reads_evidence() && !old.roles.has(role));
        let human = matches!(by.actor, Actor::Person { .. });
        if !(reading && human && self.needs_two(old.tenant).await?) {
            return self.set_roles(person, roles, by).await.map(Reset::Done);
        }
        let payload = roles.bits().to_be_bytes().to_vec();
        let id =
            self.ask(person, ActKind::RolesChange, "a role that reads evidence for", payload, by).await?;
        Ok(Reset::Waits(id, ()))
    }

    async fn ask(
        &self,
        person: PersonId,
        kind: ActKind,
        what: &str,
        payload: Vec<u8>,
        by: &Caller,
    ) -> Result<ActId, Error> {
        let subject = self.person(person).await?.ok_or(Error::NoSuchPerson)?;
        let words = format!("{what} {}", subject.address);
        self.propose(Proposal { tenant: subject.tenant, kind, subject: person.raw(), words, payload }, by)
            .await
    }

    /// Somebody else's credential, in an organisation that holds health information. The server itself sets first ones.
    async fn second_needed(&self, person: PersonId, by: &Caller) -> Result<bool, Error> {
        let owner = self.person(person).await?.ok_or(Error::NoSuchPerson)?;
        let other = matches!(by.actor, Actor::Person { person: actor, .. } if actor != person);
        Ok(other && self.needs_two(owner.tenant).await?)
    }
}
