//! The courier of the methods `pickup` and `command`: what delivery's worker hands us.

use sealpost_delivery::{Batch, Courier, Future, Job, Outcome};
use sealpost_model::QueueId;
use sealpost_policy::Reason;

use crate::Pickup;

impl Courier for Pickup {
    fn carry<'a>(&'a self, batch: &'a Batch) -> Future<'a, Vec<(QueueId, Outcome)>> {
        Box::pin(async move {
            let (commands, waiting): (Vec<&Job>, Vec<&Job>) = batch.jobs.iter().partition(|j| is_command(j));
            let mut outcomes = Vec::with_capacity(batch.jobs.len());
            for job in commands {
                match self.carry_command(batch, job).await {
                    Ok(outcome) => outcomes.push((job.id, outcome)),
                    // Without an outcome the row is tried again.
                    Err(error) => tracing::warn!(queue = %job.id, %error, "a command was not carried out"),
                }
            }
            if !waiting.is_empty() {
                match self.wait(batch, &waiting).await {
                    Ok(mut done) => outcomes.append(&mut done),
                    Err(error) => {
                        tracing::warn!(submission = %batch.submission, %error, "a message could not be made to wait");
                    }
                }
            }
            outcomes
        })
    }
}

/// Only mail to `sent+ID@DOMAIN` by its owner is planned so.
fn is_command(job: &Job) -> bool {
    job.reason == Reason::Owner
}
