//! Adds people: a person, their address, their mailbox with its folders, in one transaction.

use anyhow::Result;
use sealpost_audit::Caller;
use sealpost_delivery::{Arrival, Kind, Origin, Submission};
use sealpost_identity::{NewPerson, insert_person};
use sealpost_mailbox::insert_account;
use sealpost_message::compose::{self, Head, Person};
use sealpost_model::{AccountId, Address, PersonId, ReversePath, Secret, TenantId};
use sealpost_policy::{Role, Roles};
use sealpost_store::Scope;

use crate::instance::Instance;

/// The most bytes of a new mailbox.
const QUOTA: i64 = 50 << 30;

/// Somebody to be added.
pub struct NewUser {
    /// Their organisation.
    pub tenant: TenantId,
    /// The address that they sign in with.
    pub address: Address,
    /// Their name.
    pub name: String,
    /// Their first password.
    pub password: Secret<String>,
    /// What they are.
    pub roles: Roles,
}

/// Adds a person with a mailbox.
pub async fn add(instance: &Instance, new: NewUser, by: &Caller) -> Result<PersonId> {
    let account: AccountId = instance.store.id();
    let tenant = new.tenant;
    let row = instance
        .identity
        .prepare_person(
            NewPerson {
                tenant,
                address: new.address,
                name: new.name,
                password: new.password,
                roles: new.roles,
                account: Some(account),
            },
            by,
        )
        .await?;
    let person = row.person();
    let mailbox = instance.mailboxes.new_account(account, tenant, person, QUOTA).await?;
    instance
        .store
        .write(Scope::account(account), move |tx| {
            insert_account(tx, &mailbox)?;
            insert_person(tx, &row)
        })
        .await?;
    instance.identity.changed();
    Ok(person)
}

/// Tells a person, and every security official of their organisation, that one of the person's credentials was set by
/// somebody else (S43). The mail holds no more than that.
pub async fn tell_of_credential(
    instance: &Instance,
    tenant: TenantId,
    whose: &str,
    what: &str,
) -> Result<()> {
    let mut to = vec![Address::parse(whose)?];
    let mut after = None;
    loop {
        let page = instance.identity.people(tenant, after).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        let officials = page.iter().filter(|p| p.roles.has(Role::SecurityOfficial) && !p.disabled);
        to.extend(
            officials.filter(|p| !p.address.same(&to[0])).map(|p| p.address.clone()).collect::<Vec<_>>(),
        );
    }
    let postmaster = Address::parse(&format!("postmaster@{}", to[0].domain()))?;
    let text = format!(
        "{what} for {whose} by an administrator, on {}.\n\nIf you did not ask for it, speak to your security official now.",
        instance.clock.now().rfc5322()
    );
    let people: Vec<Person<'_>> = to.iter().map(|address| Person { name: None, address }).collect();
    let message_id = instance.delivery.message_id();
    let bytes = compose::mail(&compose::Mail {
        head: Head {
            from: Person { name: Some("Sealpost"), address: &postmaster },
            to: &people,
            cc: &[],
            reply_to: None,
            subject: "A password was changed",
            date: instance.clock.now(),
            message_id: &message_id,
            in_reply_to: None,
            references: &[],
            boundary: "alert",
        },
        text: &text,
        html: None,
        attachments: &[],
    })?;
    let origin = Origin::System { tenant };
    let mut body =
        instance.delivery.begin(Arrival { origin, trace: String::new(), return_path: String::new() });
    body.write(&bytes).await?;
    instance
        .delivery
        .accept(Submission {
            caller: Caller::SYSTEM,
            origin,
            kind: Kind::Message,
            from: ReversePath::Null,
            to,
            body,
            twin: None,
        })
        .await?;
    Ok(())
}
