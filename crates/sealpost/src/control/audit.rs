//! `sealpost audit export`, `prove`, `key`: the log for those who check it elsewhere.

use anyhow::{Context as _, Result, bail};
use sealpost_audit::export::{Export, Part};
use sealpost_model::{AuditId, Id, TenantId, Time};
use sealpost_policy::Command;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::log::when;
use super::{Peer, Reply, done, tenant};
use crate::instance::Instance;

/// What is asked.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// A part of the log.
    Export(Ask),
    /// A proof of an entry, or of growth.
    Prove {
        /// The entry.
        id: Option<i64>,
        /// The size that was known.
        since: Option<u64>,
        /// Of the server's own log.
        server: bool,
    },
    /// The log's key.
    Key {
        /// Of the server's own log.
        server: bool,
    },
}

/// Which part of the log.
#[derive(clap::Args, Serialize, Deserialize)]
pub struct Ask {
    /// From this position, or this day or time (2026-01-31, 2026-01-31T08:00:00Z); the beginning by default.
    #[arg(long, value_name = "POSITION|TIME")]
    from: Option<String>,
    /// To before this position or time; the newest entry by default.
    #[arg(long, value_name = "POSITION|TIME")]
    to: Option<String>,
    /// The server's own log instead.
    #[arg(long)]
    server: bool,
    /// With opened details (addresses, remarks); needs --as with the role for it.
    #[arg(long)]
    opened: bool,
}

impl From<Act> for super::Act {
    fn from(act: Act) -> Self {
        Self::Audit(act)
    }
}

impl Act {
    pub(super) const fn command(&self) -> Command {
        match self {
            Self::Export(Ask { opened: true, .. }) => Command::AuditExportOpened,
            _ => Command::AuditExport,
        }
    }

    pub(super) async fn answer(self, instance: &Instance, peer: &Peer) -> Result<Reply> {
        match self {
            // It is answered by `export`, since lines follow.
            Self::Export(_) => bail!("an export has lines that follow"),
            Self::Prove { id: Some(id), server, .. } => {
                let log = log(instance, peer, server).await?;
                let proof = instance.audit.prove(log, AuditId::from_raw(id)).await?.with_context(|| {
                    format!("there is no entry {id} in this log, or it is younger than a second")
                })?;
                let text = proof.to_text();
                Ok(done(json!({"position": proof.position, "proof": text}), text))
            }
            Self::Prove { since, server, .. } => {
                let log = log(instance, peer, server).await?;
                let since = since.context("say which entry, or --since")?;
                let proof = instance
                    .audit
                    .consistency(log, since, None)
                    .await?
                    .with_context(|| format!("the log does not have {since} entries"))?;
                let text = proof.to_text();
                Ok(done(json!({"since": since, "proof": text}), text))
            }
            Self::Key { server } => {
                let log = log(instance, peer, server).await?;
                let key = instance.audit.verifier(log).await?.context("the log has no entry yet")?;
                let fingerprint = sealpost_audit::fingerprint(&key).context("the key is not one")?;
                let text = format!("{key}\nfingerprint {fingerprint}\n");
                Ok(done(json!({"key": key, "fingerprint": fingerprint}), text))
            }
        }
    }
}

/// Begins an export. The lines follow the reply, by [`send`].
pub(super) async fn export(instance: &Instance, peer: &Peer, ask: Ask) -> Result<(Reply, Option<Export>)> {
    let mut part = Part { opened: ask.opened, ..Part::default() };
    (part.from, part.since) = bound(ask.from.as_deref())?;
    (part.to, part.until) = bound(ask.to.as_deref())?;
    let log = log(instance, peer, ask.server).await?;
    match instance.audit.export(&peer.caller, peer.roles, log, &part).await? {
        Some(export) => Ok((Reply::Follows { lines: export.len() }, Some(export))),
        None => bail!("there is no entry in this part of the log"),
    }
}

/// Sends an export's lines. Whoever hangs up has given up.
pub(super) async fn send(mut export: Export, to: &mut (impl AsyncWrite + Unpin)) -> Result<()> {
    loop {
        match export.next().await {
            Ok(Some(lines)) => {
                if let Err(error) = to.write_all(&lines).await {
                    export.give_up("hung-up").await?;
                    return Err(error.into());
                }
            }
            Ok(None) => return Ok(()),
            Err(error) => {
                tracing::error!(%error, "an export of the audit log could not be finished");
                export.give_up("damaged").await?;
                return Err(error.into());
            }
        }
    }
}

/// A position, or a time.
fn bound(text: Option<&str>) -> Result<(Option<u64>, Option<Time>)> {
    let Some(text) = text else { return Ok((None, None)) };
    if let Ok(position) = text.parse() {
        return Ok((Some(position), None));
    }
    let time = when(text).map_err(anyhow::Error::msg)?;
    Ok((None, Some(Time::from_millis(time))))
}

/// The log that a request is about.
pub(super) async fn log(instance: &Instance, peer: &Peer, server: bool) -> Result<TenantId> {
    match (server, peer.tenant) {
        (true, Some(_)) => {
            bail!("the server's own log belongs to whoever runs the host; leave --as and $SEALPOST_TOKEN out")
        }
        (true, None) => Ok(sealpost_audit::instance()),
        (false, _) => tenant(instance, peer).await,
    }
}
