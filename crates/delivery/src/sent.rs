//! What a sender sees of a message that went out.

use sealpost_model::{AccountId, Id, SubmissionId, TenantId, Time};
use sealpost_store::params;

use crate::accept::SubmissionDetail;
use crate::marks::Bound;
use crate::{Delivery, Error, Facts, LedgerRow, ledger, schema};

/// A message that was sent.
#[derive(Clone)]
pub struct Sent {
    /// Its id.
    pub id: SubmissionId,
    /// The sender's organisation.
    pub tenant: TenantId,
    /// The sender's mailbox.
    pub account: Option<AccountId>,
    /// When it was accepted.
    pub accepted: Time,
    /// The reverse-path.
    pub from: String,
    /// What its header says.
    pub facts: Facts,
    /// Its recipients.
    pub recipients: Vec<SentRecipient>,
}

/// One recipient of a message that was sent.
pub type SentRecipient = LedgerRow;

impl Delivery {
    /// A message that went out, with what became of it. `None` when there is none, or when all its recipients had a
    /// mailbox here. The caller proves that the reader may see it: `account` is the mailbox that sent it.
    ///
    /// # Errors
    /// The store's, and [`Error::Corrupt`].
    pub async fn sent(&self, id: SubmissionId) -> Result<Option<Sent>, Error> {
        let Some((tenant, bound, sealed, rows)) = self
            .inner
            .store
            .read(move |tx| {
                let Some(found) = tx.row(&schema::SUBMISSION, params![id], |r| {
                    Ok((r.id::<TenantId>(0)?, Bound::read(r)?, r.bytes(8)?))
                })?
                else {
                    return Ok::<_, Error>(None);
                };
                let rows = ledger::of_submission(tx, id)?;
                Ok(Some((found.0, found.1, found.2, rows)))
            })
            .await?
        else {
            return Ok(None);
        };
        let keys = self.inner.keys.tenant(tenant).await?;
        let detail = SubmissionDetail::open(&keys.open(&bound.aad(tenant, id), &sealed)?)
            .ok_or(Error::Corrupt { what: "submission", id: id.raw() })?;
        let Bound { account, accepted, .. } = bound;
        let mut recipients = Vec::with_capacity(rows.len());
        for row in rows {
            recipients.push(self.open_ledger(row).await?);
        }
        Ok(Some(Sent { id, tenant, account, accepted, from: detail.from, facts: detail.facts, recipients }))
    }
}
