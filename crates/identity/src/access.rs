//! May this login use that mailbox?

use sealpost_audit::Verb;
use sealpost_model::{AccountId, Id, PersonId};
use sealpost_policy::decide::{self, MailboxFacts};
use sealpost_policy::{Access, Right};

use crate::{Error, Identity, Login};

impl Identity {
    /// Loads what is known of a mailbox and asks policy (S36, S38). A refusal is an entry.
    ///
    /// # Errors
    /// [`Error::Denied`] with the reason, for a mailbox that does not exist too; the store's.
    pub async fn mailbox(
        &self,
        login: &Login,
        account: AccountId,
        right: Right,
    ) -> Result<Access<AccountId>, Error> {
        let facts = match self.row_of_account(account).await? {
            Some(row) => {
                row.check(&*self.tenant_keys(row.tenant).await?)?;
                let owner = (row.person != 0).then(|| PersonId::from_raw(row.person));
                let mine = owner == Some(login.person);
                let grant = if mine { None } else { self.rights_on(login.person, account).await?.right() };
                MailboxFacts { account, tenant: row.tenant, owner, grant }
            }
            // No address, no owner: nobody may.
            None => MailboxFacts { account, tenant: login.tenant, owner: None, grant: None },
        };
        match decide::mailbox(login.actor, &facts, right) {
            Ok(access) => Ok(access),
            Err(denied) => {
                let draft = self
                    .inner
                    .audit
                    .draft(login.tenant, &login.actor, &login.client, Verb::MailboxOpen)
                    .refused()
                    .object(account)
                    .reason(denied.reason.name());
                self.inner.audit.refusal(draft).await?;
                Err(denied.into())
            }
        }
    }
}
