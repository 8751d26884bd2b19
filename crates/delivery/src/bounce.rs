//! Tells a sender what could not be delivered (RFC 3464), without a byte of the content.

use sealpost_audit::{Caller, Entry, Verb};
use sealpost_message::{compose::Person, dsn};
use sealpost_model::{Actor, Address, Client, Id, ReversePath, SubmissionId, TenantId, Time};
use sealpost_policy::Reason;
use sealpost_store::{Scope, Tx};

use crate::ready::Ready;
use crate::{Arrival, Delivery, Error, Kind, Origin, Refused, Submission};

/// What a DSN tells of.
pub(crate) struct Told {
    pub(crate) tenant: TenantId,
    pub(crate) submission: SubmissionId,
    pub(crate) from: ReversePath,
    pub(crate) message_id: String,
    pub(crate) accepted: Time,
}

/// A DSN that is ready to be written with what it tells of.
pub(crate) struct Bounce {
    message: Ready,
    entry: Entry,
}

impl Bounce {
    /// The mailboxes that it goes into.
    pub(crate) fn scope(&self) -> Scope {
        self.message.scope()
    }

    /// Writes it. May run again.
    ///
    /// # Errors
    /// As [`Ready::insert`].
    pub(crate) fn insert(&self, tx: &mut Tx) -> Result<(), Refused> {
        self.message.insert(tx)?;
        Ok(sealpost_audit::insert(tx, &self.entry)?)
    }
}

impl Delivery {
    /// Makes a DSN for the sender of a message. A message without a sender gets none (RFC 5321 section 6.1).
    ///
    /// # Errors
    /// [`Refused::Policy`] when its sender can't be told, and what failed here.
    pub(crate) async fn prepare_bounce(
        &self,
        of: &Told,
        failed: &[(Address, Reason)],
    ) -> Result<Option<Bounce>, Refused> {
        let ReversePath::From(sender) = &of.from else { return Ok(None) };
        let origin = Origin::System { tenant: of.tenant };
        let now = self.inner.clock.now();
        let boundary = format!("dsn{:032x}", u128::from_be_bytes(self.inner.random.bytes()));
        let postmaster = Address::parse(&format!("postmaster@{}", sender.domain()))
            .map_err(|_| Error::Corrupt { what: "submission", id: of.submission.raw() })?;
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
            arrived: Some(of.accepted),
            original_id: Some(&of.message_id),
            recipients: &recipients,
            date: now,
            message_id: &self.message_id(),
            boundary: &boundary,
        })
        .map_err(|e| Error::Mailbox(sealpost_mailbox::Error::Message(e.to_string())))?;
        let mut body = self.begin(Arrival { origin, trace: String::new(), return_path: String::new() });
        body.write(&bytes).await?;
        let message = self
            .prepare(Submission {
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
            .draft(of.tenant, &Actor::System, &Client::SYSTEM, Verb::Bounce)
            .object(of.submission)
            .object(message.id);
        let entry = self.inner.audit.seal(draft).await?;
        Ok(Some(Bounce { message, entry }))
    }

    /// Puts into the log that a sender could not be told.
    pub(crate) async fn untold(&self, of: &Told, reason: Reason) {
        let draft = self
            .inner
            .audit
            .draft(of.tenant, &Actor::System, &Client::SYSTEM, Verb::Bounce)
            .object(of.submission)
            .refused()
            .reason(reason.name());
        if let Err(error) = self.inner.audit.refusal(draft).await {
            tracing::error!(submission = %of.submission, %error, "nor could it be logged that a sender was not told");
        }
        tracing::warn!(submission = %of.submission, reason = reason.name(), "a sender can't be told of a failure");
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
        Reason::MessageDamaged => (6, 0),
        _ => (0, 0),
    };
    dsn::Status::new(5, subject, detail)
}
