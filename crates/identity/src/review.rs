//! The review of access (S38): who is what, who may use which mailbox, who is in which group, in one list.

use sealpost_model::{PersonId, TenantId, Time};
use sealpost_policy::Roles;

use crate::{Error, Identity, TargetKind};

/// One thing that a person has or may. It holds names: not for logs.
#[derive(Clone, Debug)]
pub struct ReviewLine {
    /// Their address.
    pub address: String,
    /// Their name.
    pub name: String,
    /// Whether their access was ended.
    pub disabled: bool,
    /// `role`, `mailbox`, `alias`, `grant`, `group` or `app-password`.
    pub kind: &'static str,
    /// Which role, rights, or device.
    pub what: String,
    /// On which mailbox or group.
    pub on: String,
    /// Since when, where that is kept.
    pub since: Option<Time>,
    /// Until when, where there is an end.
    pub until: Option<Time>,
}

impl Identity {
    /// Everything that each person of an organisation has or may, person by person.
    ///
    /// # Errors
    /// The store's; a row that is not what was written.
    pub async fn access_review(&self, tenant: TenantId) -> Result<Vec<ReviewLine>, Error> {
        let mut people = Vec::new();
        while let page = self.people(tenant, people.last().map(|p: &crate::PersonSummary| p.id)).await?
            && !page.is_empty()
        {
            people.extend(page);
        }
        let mut grants: Vec<crate::GrantSummary> = Vec::new();
        while let page = self.grants(tenant, grants.last().map(|g| g.id)).await?
            && !page.is_empty()
        {
            grants.extend(page);
        }
        let mut addresses: Vec<crate::AddressSummary> = Vec::new();
        while let page = self.addresses(tenant, addresses.last().map(|a| a.id)).await?
            && !page.is_empty()
        {
            addresses.extend(page);
        }
        let mut groups = Vec::new();
        for group in addresses.iter().filter(|a| a.kind == TargetKind::Group) {
            groups.push(self.group(tenant, &group.address).await?);
        }
        let mut lines = Vec::new();
        for person in &people {
            let line = |kind, what: String, on: String, since, until| ReviewLine {
                address: person.address.to_string(),
                name: person.name.clone(),
                disabled: person.disabled,
                kind,
                what,
                on,
                since,
                until,
            };
            for role in person.roles.iter() {
                lines.push(line("role", sealpost_policy::Role::word(role).into(), String::new(), None, None));
            }
            let own: Vec<_> = addresses
                .iter()
                .filter(|a| a.person == Some(person.id) && a.kind == TargetKind::Mailbox)
                .collect();
            for a in &own {
                let since = Some(person.created);
                lines.push(line("mailbox", "owner".into(), a.address.to_string(), since, None));
            }
            for a in addresses.iter().filter(|a| own.iter().any(|o| a.points_to == Some(o.id))) {
                lines.push(line("alias", "owner".into(), a.address.to_string(), None, None));
            }
            for grant in grants.iter().filter(|g| g.person == person.id) {
                let on = grant.mailbox.as_ref().map(ToString::to_string).unwrap_or_default();
                let what = grant.rights.words().join(" ");
                lines.push(line("grant", what, on, Some(grant.created), grant.expires));
            }
            for group in &groups {
                if group.members.iter().any(|m| m.same(&person.address)) {
                    lines.push(line("group", "member".into(), group.address.to_string(), None, None));
                }
                if group.listed.iter().any(|m| m.same(&person.address)) {
                    lines.push(line("group", "may write".into(), group.address.to_string(), None, None));
                }
            }
            for app in self.app_passwords(person.id).await?.into_iter().filter(|a| a.revoked.is_none()) {
                lines.push(line("app-password", app.device, String::new(), Some(app.created), None));
            }
        }
        Ok(lines)
    }

    /// What a person is.
    ///
    /// # Errors
    /// [`Error::NoSuchPerson`]; the store's; a row that is not what was written.
    pub async fn roles_of(&self, person: PersonId) -> Result<Roles, Error> {
        Ok(self.person(person).await?.ok_or(Error::NoSuchPerson)?.roles)
    }

    /// A person's address.
    ///
    /// # Errors
    /// [`Error::NoSuchPerson`]; the store's; a row that is not what was written.
    pub async fn address_of_person(&self, person: PersonId) -> Result<String, Error> {
        Ok(self.person(person).await?.ok_or(Error::NoSuchPerson)?.address.to_string())
    }
}
