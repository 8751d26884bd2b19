//! What changes about a person: password, access, roles, alerts, all sessions at once. Each under the row's version, with
//! its entry, and told to the person where somebody else did it.

use sealpost_audit::{Caller, Draft, Object, Verb};
use sealpost_model::{PersonId, Secret};
use sealpost_policy::{Role, Roles};
use sealpost_store::keys::TenantKeys;
use sealpost_store::{Topic, params};

use super::{Columns, Person};
use crate::{Change, Error, Identity, schema};

impl Identity {
    /// Sets a person's password (S40, S43): ends their web sessions, and whatever knew the old one. Whether `by` may do
    /// that for somebody else is `policy::decide::command`'s to say; who resets another person's credential goes through
    /// [`Identity::reset_password`].
    ///
    /// # Errors
    /// [`Error::NoSuchPerson`], [`Error::Password`]; the store's.
    pub async fn set_password(
        &self,
        person: PersonId,
        password: &Secret<String>,
        by: &Caller,
    ) -> Result<(), Error> {
        let phc = self.hash_for(person, password).await?;
        self.apply(self.password_change(person, phc, by).await?).await
    }

    /// Sets the password of a person as they were read, with this entry: of two that do it at once, the second finds
    /// another version of the person.
    pub(crate) async fn replace_password(
        &self,
        old: Person,
        password: &Secret<String>,
        draft: Draft,
    ) -> Result<(), Error> {
        let phc = self.hash_for(old.id, password).await?;
        self.apply(self.new_password(old, phc, draft).await?).await
    }

    /// Checks a password for a person (S40) and hashes it.
    pub(crate) async fn hash_for(
        &self,
        person: PersonId,
        password: &Secret<String>,
    ) -> Result<Secret<String>, Error> {
        let old = self.fresh(person).await?.ok_or(Error::NoSuchPerson)?;
        let called = old.row.name(&*self.tenant_keys(old.tenant).await?)?;
        self.check_password(old.tenant, &old.address, &called, password).await?;
        Ok(Secret::new(self.inner.hashing.hash(&self.inner.random, password).await?))
    }

    /// A new password as rows; tells the person if somebody else sets it.
    pub(crate) async fn password_change(
        &self,
        person: PersonId,
        phc: Secret<String>,
        by: &Caller,
    ) -> Result<Change, Error> {
        let old = self.fresh(person).await?.ok_or(Error::NoSuchPerson)?;
        let draft = self.person_draft(&old, by, Verb::PasswordSet);
        let change = self.new_password(old, phc, draft).await?;
        self.tell_if_other(change, person, by, "The password was set anew").await
    }

    async fn new_password(&self, old: Person, phc: Secret<String>, draft: Draft) -> Result<Change, Error> {
        self.prepare_change(old, draft, true, move |row, keys| {
            row.credential += 1;
            row.seal_password(keys, phc.expose());
        })
        .await
    }

    /// Ends a person's access: no login works, sessions end. Their mailbox goes on taking mail.
    ///
    /// # Errors
    /// [`Error::NoSuchPerson`]; the store's.
    pub async fn disable(&self, person: PersonId, by: &Caller) -> Result<(), Error> {
        let old = self.fresh(person).await?.ok_or(Error::NoSuchPerson)?;
        let draft = self.person_draft(&old, by, Verb::PersonDisable);
        self.apply(self.prepare_change(old, draft, true, |row, _| row.disabled = true).await?).await
    }

    /// Gives a person's access back.
    ///
    /// # Errors
    /// [`Error::NoSuchPerson`]; the store's.
    pub async fn enable(&self, person: PersonId, by: &Caller) -> Result<(), Error> {
        let old = self.fresh(person).await?.ok_or(Error::NoSuchPerson)?;
        let draft = self.person_draft(&old, by, Verb::PersonEnable);
        self.apply(self.prepare_change(old, draft, false, |row, _| row.disabled = false).await?).await
    }

    /// Changes what a person is. Whether `by` may give these roles is `policy::decide::give_role`'s to say.
    ///
    /// # Errors
    /// [`Error::NoSuchPerson`]; the store's.
    pub async fn set_roles(&self, person: PersonId, roles: Roles, by: &Caller) -> Result<(), Error> {
        self.apply(self.roles_change(person, roles, by).await?).await
    }

    /// Other roles as rows, with old and new in the entry (S54).
    pub(crate) async fn roles_change(
        &self,
        person: PersonId,
        roles: Roles,
        by: &Caller,
    ) -> Result<Change, Error> {
        let old = self.fresh(person).await?.ok_or(Error::NoSuchPerson)?;
        let words = |roles: Roles| roles.iter().map(Role::word).collect::<Vec<_>>().join(" ");
        let draft = self
            .person_draft(&old, by, Verb::RolesChange)
            .note("old", words(old.roles))
            .note("new", words(roles));
        let change = self.prepare_change(old, draft, false, move |row, _| row.roles = roles.bits()).await?;
        self.tell_if_other(change, person, by, "The roles were changed").await
    }

    /// Whether a person gets mail about their own failed and new sign-ins. Who administers can't do without (S49).
    ///
    /// # Errors
    /// [`Error::NoSuchPerson`], [`Error::AlertsStay`]; the store's.
    pub async fn set_alerts(&self, person: PersonId, on: bool, by: &Caller) -> Result<(), Error> {
        let old = self.fresh(person).await?.ok_or(Error::NoSuchPerson)?;
        if !on && old.administers() {
            return Err(Error::AlertsStay);
        }
        let word = |on| if on { "on" } else { "off" };
        let draft = self
            .person_draft(&old, by, Verb::AlertsChange)
            .note("old", word(!old.quiet))
            .note("new", word(on));
        self.apply(self.prepare_change(old, draft, false, move |row, _| row.quiet = !on).await?).await
    }

    /// Ends all of a person's sessions at once, on every protocol and node (S48): web sessions are removed, and each
    /// connection that lives asks [`Identity::still_valid`]. Passwords stay as they are.
    ///
    /// # Errors
    /// [`Error::NoSuchPerson`]; the store's.
    pub async fn end_all_sessions(&self, person: PersonId, by: &Caller) -> Result<(), Error> {
        let old = self.fresh(person).await?.ok_or(Error::NoSuchPerson)?;
        let draft = self.person_draft(&old, by, Verb::SessionsEnd);
        self.apply(self.prepare_change(old, draft, true, |row, _| row.epoch += 1).await?).await
    }

    fn person_draft(&self, old: &Person, by: &Caller, verb: Verb) -> Draft {
        self.inner.audit.draft(old.tenant, &by.actor, &by.client, verb)
    }

    /// A changed row of a person under its version, with its entry, ready to be written; `ends` their sessions.
    async fn prepare_change(
        &self,
        old: Person,
        draft: Draft,
        ends: bool,
        edit: impl FnOnce(&mut Columns, &TenantKeys) + Send,
    ) -> Result<Change, Error> {
        let keys = self.tenant_keys(old.tenant).await?;
        let mut row = old.row;
        let was = row.version;
        row.version += 1;
        edit(&mut row, &keys);
        row.mac = row.mac(&keys);
        let entry = self.inner.audit.seal(draft.object(row.id).object(Object::version(row.version))).await?;
        Ok(Change::new(row.tenant).entry(entry).write(move |tx| {
            let values = params![
                row.id,
                was,
                row.roles,
                row.disabled,
                row.credential,
                row.epoch,
                row.quiet,
                row.password,
                row.version,
                row.mac
            ];
            if tx.execute(&schema::PERSON_UPDATE, values)? != 1 {
                return Err(Error::Changed);
            }
            if ends {
                tx.execute(&schema::SESSIONS_DELETE, params![row.id])?;
                tx.execute(&schema::SETUP_LINKS_DELETE, params![row.id])?;
                tx.after_commit(Topic::Sessions);
            }
            Ok(())
        }))
    }
}
