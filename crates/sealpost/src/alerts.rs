//! Turns notices about sign-ins and rights into mail (S43, S49). A notice is removed once its mail was accepted: a crash
//! in between sends it again under the same Message-ID, and never loses it.

use std::time::Duration;

use anyhow::Result;
use sealpost_audit::Caller;
use sealpost_delivery::{Arrival, Kind, Origin, Submission};
use sealpost_identity::{Alert, AlertKind, Identity};
use sealpost_message::compose::{self, Head, Person};
use sealpost_model::{Address, ReversePath};
use sealpost_net::Stop;

use crate::instance::Instance;

/// How often it is looked for notices that another node wrote, or that could not be sent.
const LOOK: Duration = Duration::from_secs(5);

/// How often counters are shared.
const SHARE: Duration = Duration::from_secs(2);

/// Sends notices until `stop`; of several nodes one does.
pub async fn run(instance: Instance, stop: Stop) {
    let store = instance.store.clone();
    let task = |_| {
        let instance = instance.clone();
        async move {
            loop {
                if let Err(error) = send_waiting(&instance).await {
                    tracing::error!(
                        "a notice about a sign-in could not be sent and is tried again: {error:#}"
                    );
                }
                tokio::select! {
                    () = instance.identity.notice_written() => {}
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        }
    };
    store.single("notices", async move { stop.stopping().await }, task).await;
}

/// Shares the counters of failed sign-ins with the store until `stop`: at once, so that a restart forgets none, and then
/// every two seconds.
pub async fn share(identity: Identity, stop: Stop) {
    let mut pace = tokio::time::interval(SHARE);
    loop {
        tokio::select! {
            () = stop.stopping() => break,
            _ = pace.tick() => {}
        }
        if let Err(error) = identity.share_throttles().await {
            tracing::warn!(%error, "failed sign-ins are counted here alone until the store can be written");
        }
    }
    if let Err(error) = identity.share_throttles().await {
        tracing::warn!(%error, "the last failed sign-ins are not counted after the next start");
    }
}

/// Sends all notices that wait.
pub(crate) async fn send_waiting(instance: &Instance) -> Result<()> {
    loop {
        let waiting = instance.identity.notices().await?;
        if waiting.is_empty() {
            return Ok(());
        }
        for alert in waiting {
            send(instance, &alert).await?;
            instance.identity.notice_sent(alert.tenant, alert.id).await?;
        }
    }
}

/// One mail for everybody who is told. It holds names of the organisation's people, a time and a network: nothing that
/// a patient's record holds.
async fn send(instance: &Instance, alert: &Alert) -> Result<()> {
    if alert.to.is_empty() {
        return Ok(());
    }
    let postmaster = Address::parse(&format!("postmaster@{}", alert.about.domain()))?;
    let (at, about) = (alert.at.rfc5322(), &alert.about);
    let (subject, text) = match alert.kind {
        AlertKind::Credential => (
            "A sign-in was changed",
            format!(
                "{} for {about} by an administrator, on {at}.\n\nIf you did not ask for it, speak to your security official now.",
                alert.words
            ),
        ),
        AlertKind::Failures => (
            "Many failed sign-ins",
            format!(
                "Somebody tries to sign in as {about}: {}, on {at}.\n\nNobody got in by that. If it was not {about}, nothing has to be done; if it goes on, tell your security official.",
                alert.words
            ),
        ),
        AlertKind::NewPlace => (
            "A sign-in from a new network",
            format!(
                "{about} signed in from a network that was not known before: {}, on {at}.\n\nIf that was not {about}, change the password now and speak to your security official.",
                alert.words
            ),
        ),
        AlertKind::Grant => (
            "Access to a mailbox was changed",
            format!(
                "{}, since {at}.\n\nIf you did not expect it, speak to your security official now.",
                alert.words
            ),
        ),
        AlertKind::Act => (
            "A second person is needed",
            format!(
                "{about} asks for this, since {at}: {}.\n\nIt waits for a day. Look at it with `sealpost act list`, and agree with `sealpost act approve` only if you know why it is asked for.",
                alert.words
            ),
        ),
    };
    let people: Vec<Person<'_>> = alert.to.iter().map(|address| Person { name: None, address }).collect();
    let message_id = format!("<notice.{}@{}>", alert.id, alert.about.domain());
    let bytes = compose::mail(&compose::Mail {
        head: Head {
            from: Person { name: Some("Sealpost"), address: &postmaster },
            to: &people,
            cc: &[],
            reply_to: None,
            subject,
            date: instance.clock.now(),
            message_id: &message_id,
            in_reply_to: None,
            references: &[],
            boundary: "alert",
        },
        text: &text,
        html: None,
        attachments: &[],
    })?;
    let origin = Origin::System { tenant: alert.tenant };
    let mut body =
        instance.delivery.begin(Arrival { origin, trace: String::new(), return_path: String::new() });
    body.write(&bytes).await?;
    instance
        .delivery
        .accept(Submission {
            caller: Caller::SYSTEM,
            origin,
            kind: Kind::Message,
            from: ReversePath::Null,
            to: alert.to.clone(),
            body,
            twin: None,
        })
        .await?;
    Ok(())
}
