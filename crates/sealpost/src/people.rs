//! Adds people: a person, their address, their mailbox with its folders, in one transaction.

use anyhow::Result;
use sealpost_audit::Caller;
use sealpost_identity::{NewPerson, insert_person, insert_shared};
use sealpost_mailbox::insert_account;
use sealpost_model::{AccountId, Address, PersonId, Secret, TenantId};
use sealpost_policy::Roles;
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

/// Makes a mailbox that is nobody's own, with its address.
pub async fn add_shared(
    instance: &Instance,
    tenant: TenantId,
    address: &Address,
    by: &Caller,
) -> Result<AccountId> {
    let account: AccountId = instance.store.id();
    let shared = instance.identity.prepare_shared(tenant, address, account, by).await?;
    let mailbox = instance.mailboxes.new_account(account, tenant, None, QUOTA).await?;
    instance
        .store
        .write(Scope::account(account), move |tx| {
            insert_account(tx, &mailbox)?;
            insert_shared(tx, &shared)
        })
        .await?;
    instance.identity.changed();
    Ok(account)
}
