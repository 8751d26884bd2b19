//! Tells a sender what could not be delivered (RFC 3464), without a byte of the content.

use sealpost_audit::{Caller, Verb};
use sealpost_message::{compose::Person, dsn};
use sealpost_model::{Actor, Address, Client, Id, ReversePath};
use sealpost_policy::Reason;

use crate::{Arrival, Batch, Delivery, Error, Kind, Origin, Refused, Submission};

impl Delivery {
    /// Sends a DSN to the sender of a batch. A message without a sender gets none (RFC 5321 section 6.1). When it can't
    /// be made, the ledger still says what failed.
    pub(crate) async fn bounce(&self, batch: &Batch, failed: &[(Address, Reason)]) {
        let ReversePath::From(sender) = &batch.from else { return };
        if let Err(error) = self.try_bounce(batch, sender, failed).await {
            tracing::error!(submission = %batch.submission, %error, "a delivery failure could not be reported");
        }
    }

    async fn try_bounce(
        &self,
        batch: &Batch,
        sender: &Address,
        failed: &[(Address, Reason)],
    ) -> Result<(), Refused> {
        let origin = Origin::System { tenant: batch.tenant };
        let now = self.inner.clock.now();
        let boundary = format!("dsn{:032x}", u128::from_be_bytes(self.inner.random.bytes()));
        let postmaster = Address::parse(&format!("postmaster@{}", sender.domain()))
            .map_err(|_| Error::Corrupt { what: "submission", id: batch.submission.raw() })?;
        let recipients: Vec<dsn::Recipient<'_>> = failed
            .iter()
            .map(|(address, reason)| dsn::Recipient {
                address,
                action: dsn::Action::Failed,
                status: status(*reason),
                remote: None,
                tried: Some(now),
            })
            .collect();
        let bytes = dsn::report(&dsn::Report {
            host: self.hostname(),
            from: Person { name: Some("Mail delivery"), address: &postmaster },
            to: sender,
            arrived: Some(batch.accepted),
            original_id: Some(&batch.facts.message_id),
            recipients: &recipients,
            date: now,
            message_id: &self.message_id(),
            boundary: &boundary,
        })
        .map_err(|e| Error::Mailbox(sealpost_mailbox::Error::Message(e.to_string())))?;
        let mut body = self.begin(Arrival { origin, trace: String::new(), return_path: String::new() });
        body.write(&bytes).await?;
        let accepted = self
            .accept(Submission {
                caller: Caller { actor: Actor::System, client: Client::SYSTEM },
                origin,
                kind: Kind::Dsn,
                from: ReversePath::Null,
                to: vec![sender.clone()],
                body,
                twin: None,
            })
            .await?;
        let draft = self
            .inner
            .audit
            .draft(batch.tenant, &Actor::System, &Client::SYSTEM, Verb::Bounce)
            .object(batch.submission)
            .object(accepted.submission);
        self.inner.audit.refusal(draft).await?;
        Ok(())
    }
}

/// The status code of RFC 3463.
const fn status(reason: Reason) -> dsn::Status {
    let (subject, detail) = match reason {
        Reason::DomainTakesNoMail => (1, 2),
        Reason::RecipientRejected | Reason::NoSuchAddress => (1, 1),
        Reason::TransportBelowFloor => (7, 5),
        Reason::TransportLacksExtension => (6, 3),
        Reason::TransportUnreachable => (4, 7),
        _ => (0, 0),
    };
    dsn::Status::new(5, subject, detail)
}
