//! Looking things up: where does mail for an address go, and whose address is it?

use sealpost_model::{AccountId, Address, Id, PersonId, TenantId};
use sealpost_policy::Role;
use sealpost_store::params;

use crate::address::{AddressRow, MailboxTarget, Target, TargetKind};
use crate::domain::DomainKind;
use crate::{Error, Identity, schema};

impl Identity {
    /// What an address leads to; aliases are followed. `postmaster@` and `abuse@` of a hosted domain, when nobody has
    /// given them a target, reach the first administrator with a mailbox (RFC 5321 section 4.5.1, RFC 2142).
    ///
    /// # Errors
    /// The store's; a row that is not what was written, so that mail waits instead of going astray.
    pub async fn resolve(&self, address: &Address) -> Result<Target, Error> {
        let (blind, now) = (self.blind_address(address), self.now());
        let (found, generation) = self.inner.cache.look(|s| s.addresses.get(&blind, now));
        if let Some(target) = found {
            return Ok(target);
        }
        let rows = self
            .inner
            .store
            .read(move |tx| {
                let row = tx.row(&schema::ADDRESS_BY_BLIND, params![blind], AddressRow::read)?;
                let goal = match &row {
                    Some(row) if row.points_to != 0 => {
                        tx.row(&schema::ADDRESS, params![row.points_to], AddressRow::read)?
                    }
                    _ => None,
                };
                Ok::<_, sealpost_store::Error>((row, goal))
            })
            .await?;
        let target = match rows {
            (Some(row), goal) => self.target(&row, goal.as_ref()).await?,
            (None, _) => return self.without_row(address).await,
        };
        self.inner.cache.keep(generation, |s| s.addresses.put(blind, target, now));
        Ok(target)
    }

    /// Whether an address leads to a mailbox that is a person's own. Who may write under it: [`Identity::may_send`].
    ///
    /// # Errors
    /// Those of [`Self::resolve`].
    pub async fn owns(&self, person: PersonId, address: &Address) -> Result<bool, Error> {
        Ok(matches!(self.resolve(address).await?, Target::Mailbox(m) if m.person == Some(person)))
    }

    /// The address of a mailbox; `None` if no address leads there.
    ///
    /// # Errors
    /// The store's; a row that is not what was written.
    pub async fn address_of(&self, account: AccountId) -> Result<Option<(TenantId, Address)>, Error> {
        let Some(row) = self.row_of_account(account).await? else { return Ok(None) };
        let keys = self.tenant_keys(row.tenant).await?;
        row.check(&keys)?;
        Ok(Some((row.tenant, row.address(&keys)?)))
    }

    pub(crate) async fn row_of_account(&self, account: AccountId) -> Result<Option<AddressRow>, Error> {
        let row = self
            .inner
            .store
            .read(move |tx| tx.row(&schema::ADDRESS_OF_ACCOUNT, params![account], AddressRow::read))
            .await?;
        Ok(row)
    }

    pub(crate) async fn target(&self, row: &AddressRow, goal: Option<&AddressRow>) -> Result<Target, Error> {
        let tenant = row.tenant;
        let keys = self.tenant_keys(tenant).await?;
        row.check(&keys)?;
        let end = match row.kind()? {
            TargetKind::Mailbox => row,
            TargetKind::Alias => {
                let Some(goal) = goal.filter(|g| g.tenant == tenant) else {
                    return Ok(Target::Refused { tenant });
                };
                goal.check(&keys)?;
                if goal.kind()? != TargetKind::Mailbox {
                    return Ok(Target::Refused { tenant });
                }
                goal
            }
            TargetKind::Refusal => return Ok(Target::Refused { tenant }),
            TargetKind::Group => {
                return Ok(Target::Group { tenant, group: row.id, anyone: Self::takes_anyone(&keys, row)? });
            }
            kind @ (TargetKind::Relay | TargetKind::Fax) => {
                return Ok(Target::Unsupported { tenant, kind });
            }
        };
        Ok(Target::Mailbox(MailboxTarget {
            tenant,
            domain: row.domain,
            address: row.id,
            account: AccountId::from_raw(end.account),
            person: (end.person != 0).then(|| PersonId::from_raw(end.person)),
        }))
    }

    /// There is no such address: is the domain ours?
    async fn without_row(&self, address: &Address) -> Result<Target, Error> {
        let Some(domain) = self.domain(address.domain()).await? else { return Ok(Target::ForeignDomain) };
        let tenant = domain.tenant;
        if domain.kind != DomainKind::Hosted {
            return Ok(Target::Unsupported { tenant, kind: TargetKind::Relay });
        }
        let local = address.local().to_ascii_lowercase();
        if (local == "postmaster" || local == "abuse")
            && let Some(person) = self.first_admin(tenant).await?
            && let Some(account) = person.account
        {
            return Ok(Target::Mailbox(MailboxTarget {
                tenant,
                domain: domain.id,
                address: person.address_id,
                account,
                person: Some(person.id),
            }));
        }
        Ok(Target::UnknownUser { tenant })
    }

    /// The administrator with a mailbox who came first; else the security official; else whoever has a mailbox.
    async fn first_admin(
        &self,
        tenant: TenantId,
    ) -> Result<Option<std::sync::Arc<crate::person::Person>>, Error> {
        let mut best = None;
        for person in self.first_people(tenant).await? {
            if person.disabled || person.account.is_none() {
                continue;
            }
            let rank = [Role::TenantAdmin, Role::SecurityOfficial]
                .iter()
                .position(|role| person.roles.has(*role))
                .unwrap_or(2);
            if best.as_ref().is_none_or(|(r, _)| rank < *r) {
                best = Some((rank, person));
            }
        }
        Ok(best.map(|(_, person)| std::sync::Arc::new(person)))
    }
}
