//! An anchor that is a person: a witness who gets a mail with the newest checkpoints, at most one a day.
//!
//! The mail is a notice: it holds checkpoints and fixed words, nothing that a person wrote, so that it may go where a
//! message must not. It can't be read back: `audit verify` takes a saved one as an export's auditor would, by eye, and the
//! witness is asked when there is a doubt.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result};
use sealpost_audit::{Answer, Caller, Witness};
use sealpost_delivery::{Arrival, Kind, Origin, Submission};
use sealpost_message::compose::{self, Head, Person};
use sealpost_model::{Address, ReversePath};

use crate::instance::Instance;

/// How mail is sent, once the services are there: the log is older than they are.
#[derive(Clone, Default)]
pub struct Post(Arc<OnceLock<Instance>>);

impl Post {
    /// From now on mail can be sent.
    pub fn is_open(&self, instance: &Instance) {
        let _ = self.0.set(instance.clone());
    }
}

/// A witness.
pub struct MailWitness {
    to: Address,
    post: Post,
}

impl MailWitness {
    /// The witness at this address.
    pub const fn new(to: Address, post: Post) -> Self {
        Self { to, post }
    }

    async fn send(&self, text: &str) -> Result<()> {
        let instance = self.post.0.get().context("the server does not send mail yet")?;
        let tenants = instance.identity.tenants().await?;
        let tenant = *tenants.first().context("there is no organisation that the mail could come from")?;
        let domains = instance.identity.domains(tenant).await?;
        let (domain, _) = domains.first().context("there is no domain that the mail could come from")?;
        let from = Address::parse(&format!("postmaster@{}", domain.as_str()))?;
        let text = format!(
            "These are the newest checkpoints of the audit logs of this server. Please keep this mail.\n\
             Should somebody doubt later that a log is whole, it must contain what stands here.\n\n{text}"
        );
        let message_id = instance.delivery.message_id();
        let bytes = compose::mail(&compose::Mail {
            head: Head {
                from: Person { name: Some("Sealpost"), address: &from },
                to: &[Person { name: None, address: &self.to }],
                cc: &[],
                reply_to: None,
                subject: "Checkpoints of the audit log",
                date: instance.clock.now(),
                message_id: &message_id,
                in_reply_to: None,
                references: &[],
                boundary: "checkpoint",
            },
            text: &text,
            html: None,
            attachments: &[],
        })?;
        let origin = Origin::System { tenant };
        let mut body =
            instance.delivery.begin(Arrival { origin, trace: String::new(), return_path: String::new() });
        body.write(&bytes).await?;
        let submission = Submission {
            caller: Caller::SYSTEM,
            origin,
            kind: Kind::Notice,
            from: ReversePath::Null,
            to: vec![self.to.clone()],
            body,
            twin: None,
        };
        instance.delivery.accept(submission).await?;
        Ok(())
    }
}

impl Witness for MailWitness {
    fn name(&self) -> String {
        // Who the witness is, is nobody's business in a log: the domain tells anchors apart.
        format!("mail to {}", self.to.domain())
    }

    fn read(&self) -> Answer<'_, Option<String>> {
        Box::pin(async { Err("a mail can't be read back".into()) })
    }

    fn write<'a>(&'a self, text: &'a str) -> Answer<'a, ()> {
        Box::pin(async { self.send(text).await.map_err(|e| format!("{e:#}")) })
    }

    fn can_be_read(&self) -> bool {
        false
    }

    fn rest(&self) -> Duration {
        Duration::from_secs(24 * 3600)
    }
}
