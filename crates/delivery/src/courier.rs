//! Whoever carries a message away.

use std::pin::Pin;

use sealpost_mailbox::MessageReader;
use sealpost_model::{
    AccountId, Address, LedgerId, PersonId, QueueId, ReversePath, SubmissionId, TenantId, Time,
};
use sealpost_policy::{Grade, Method, Reason};

use crate::{Facts, Kind};

/// A future of a courier.
pub type Future<'a, T> = Pin<Box<dyn std::future::Future<Output = T> + Send + 'a>>;

/// Carries messages by one method. `smtp`, `pickup` and the like implement it; only the binary plugs one in.
pub trait Courier: Send + Sync {
    /// Carries one message to some of its recipients, and says for each row what became of it. A row without an
    /// outcome counts as [`Outcome::Retry`].
    fn carry<'a>(&'a self, batch: &'a Batch) -> Future<'a, Vec<(QueueId, Outcome)>>;
}

/// Which courier carries which method.
#[derive(Clone, Default)]
pub struct Couriers {
    list: Vec<(Method, std::sync::Arc<dyn Courier>)>,
}

impl Couriers {
    /// With `courier` for `method`.
    #[must_use]
    pub fn with(mut self, method: Method, courier: std::sync::Arc<dyn Courier>) -> Self {
        self.list.retain(|(m, _)| *m != method);
        self.list.push((method, courier));
        self
    }

    pub(crate) fn of(&self, method: Method) -> Option<&std::sync::Arc<dyn Courier>> {
        self.list.iter().find(|(m, _)| *m == method).map(|(_, c)| c)
    }
}

/// One message and those of its recipients that are due by one method.
pub struct Batch {
    /// The sender's organisation.
    pub tenant: TenantId,
    /// The message's one way in.
    pub submission: SubmissionId,
    /// The sender's mailbox, if it has one here: receipts go there.
    pub sender: Option<AccountId>,
    /// Who had signed in to send it.
    pub person: Option<PersonId>,
    /// What it is.
    pub kind: Kind,
    /// The reverse-path.
    pub from: ReversePath,
    /// What its header says.
    pub facts: Facts,
    /// Its bytes.
    pub message: MessageReader,
    /// When it was accepted.
    pub accepted: Time,
    /// The recipients.
    pub jobs: Vec<Job>,
}

impl Batch {
    /// The same message for some of its recipients.
    #[must_use]
    pub fn with_jobs(&self, jobs: Vec<Job>) -> Self {
        Self {
            from: self.from.clone(),
            facts: self.facts.clone(),
            message: self.message.clone(),
            jobs,
            ..*self
        }
    }
}

/// One recipient of a batch.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its queue row.
    pub id: QueueId,
    /// Its ledger row.
    pub ledger: LedgerId,
    /// Who.
    pub recipient: Address,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// The least grade at which the message may leave.
    pub floor: Grade,
    /// Why this method is tried.
    pub reason: Reason,
}

/// What became of a recipient's message. Evidence goes into the ledger, sealed.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The next server took it.
    Delivered {
        /// How well that server was verified.
        grade: Grade,
        /// Host, TLS facts, its reply.
        evidence: Evidence,
    },
    /// It waits here to be picked up.
    Waiting,
    /// It was done here: a command was carried out.
    Done,
    /// The next server can't be trusted or can't take it: the plan's next method is tried at once.
    Unfit {
        /// Why.
        reason: Reason,
        /// What was seen.
        evidence: Evidence,
    },
    /// Not now.
    Retry {
        /// Why.
        reason: Reason,
        /// What was seen.
        evidence: Evidence,
    },
    /// Never: the sender is told.
    Rejected {
        /// Why.
        reason: Reason,
        /// What was seen.
        evidence: Evidence,
    },
}

/// What a courier saw, for the ledger.
#[derive(Clone, Default, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Evidence {
    /// The host that was spoken to.
    pub host: String,
    /// `TLSv1.3`, empty without TLS.
    pub tls: String,
    /// The cipher suite.
    pub cipher: String,
    /// How its certificate was verified, or why it was not.
    pub verified: String,
    /// Its last reply: code and text.
    pub reply: String,
}
