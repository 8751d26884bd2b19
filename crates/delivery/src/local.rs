//! Hands a message to another tenant of this server, as mail from outside with that tenant's journal, keys and policy.

use sealpost_audit::Caller;
use sealpost_model::{Actor, Client, QueueId};
use sealpost_policy::{Grade, Reason};

use crate::courier::Future;
use crate::{
    Arrival, Batch, Courier, Delivery, Evidence, Job, Kind, Origin, Outcome, Rcpt, Refused, Submission,
};

/// The courier of [`sealpost_policy::Method::Local`].
pub struct LocalCourier {
    delivery: Delivery,
}

impl LocalCourier {
    /// A courier into this server's own `accept`.
    pub const fn new(delivery: Delivery) -> Self {
        Self { delivery }
    }

    async fn hand_over(&self, batch: &Batch, job: &Job) -> Result<Outcome, Refused> {
        const PIECE: u64 = 256 << 10;
        let rcpt = self.delivery.check_recipient(None, &job.recipient).await?;
        let (Rcpt::Here { tenant, .. } | Rcpt::Group { tenant, .. }) = rcpt else {
            return Err(Reason::NoSuchAddress.into());
        };
        let origin = Origin::Inbound { tenant };
        let mut body = self.delivery.begin(Arrival {
            origin,
            trace: String::new(),
            return_path: batch.from.to_string(),
        });
        let mut at = 0;
        while at < batch.message.len() {
            body.write(&batch.message.read(at..at + PIECE).await?).await?;
            at += PIECE;
        }
        self.delivery
            .accept_once(
                job.id,
                Submission {
                    caller: Caller { actor: Actor::System, client: Client::SYSTEM },
                    origin,
                    kind: Kind::Message,
                    from: batch.from.clone(),
                    to: vec![job.recipient.clone()],
                    body,
                    twin: None,
                },
            )
            .await?;
        let evidence = Evidence { host: "this server".into(), ..Evidence::default() };
        Ok(Outcome::Delivered { grade: Grade::Pinned, evidence })
    }
}

impl Courier for LocalCourier {
    fn carry<'a>(&'a self, batch: &'a Batch) -> Future<'a, Vec<(QueueId, Outcome)>> {
        Box::pin(async move {
            let mut outcomes = Vec::with_capacity(batch.jobs.len());
            for job in &batch.jobs {
                let outcome = self.hand_over(batch, job).await.unwrap_or_else(|refused| {
                    let evidence = Evidence { reply: refused.to_string(), ..Evidence::default() };
                    match refused.reason() {
                        Some(Reason::MailboxFull) | None => {
                            Outcome::Retry { reason: Reason::TransportUnreachable, evidence }
                        }
                        Some(reason) => Outcome::Rejected { reason, evidence },
                    }
                });
                outcomes.push((job.id, outcome));
            }
            outcomes
        })
    }
}
