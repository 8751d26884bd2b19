//! `sealpost session`: what a person is signed in with, and its end on every protocol (S48).

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use sealpost_model::{CredentialId, Id, SessionId};
use sealpost_policy::Command;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Peer, Reply, done, person};
use crate::instance::Instance;

/// What is asked.
#[derive(Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// A person's web sessions and passwords of mail programs.
    List {
        /// Their address.
        address: String,
    },
    /// Ends one of them, or all: connections of mail programs too, within seconds.
    End {
        /// Their address.
        address: String,
        /// A web session.
        #[arg(long, value_name = "ID", required_unless_present_any = ["app_password", "all"])]
        session: Option<i64>,
        /// A mail program's password, which is revoked.
        #[arg(long, value_name = "ID", conflicts_with = "session")]
        app_password: Option<i64>,
        /// All sessions and connections. Passwords stay; who knows one can sign in again.
        #[arg(long, conflicts_with_all = ["session", "app_password"])]
        all: bool,
    },
    /// Whether a person gets mail about their own failed and new sign-ins. Administrators always do.
    Alerts {
        /// Their address.
        address: String,
        /// `on` or `off`.
        state: String,
    },
    /// Signs in for further commands: prints a token for `$SEALPOST_TOKEN`, good for 20 minutes after each use.
    Open,
}

impl Act {
    pub(super) const fn command(&self) -> Command {
        match self {
            Self::List { .. } => Command::SessionList,
            Self::End { .. } => Command::SessionEnd,
            Self::Alerts { .. } => Command::AlertsChange,
            Self::Open => Command::SessionOpen,
        }
    }

    pub(super) async fn answer(self, instance: &Instance, peer: &Peer) -> Result<Reply> {
        let identity = &instance.identity;
        match self {
            Self::List { address } => {
                let person = person(instance, peer, &address).await?;
                let (mut rows, mut text) = (Vec::new(), String::new());
                for s in identity.sessions(person).await? {
                    let (opened, until) = (s.opened.rfc3339(), s.idle_until.rfc3339());
                    writeln!(text, "{:>12}  web session, since {opened}, ends {until} unless used", s.id)?;
                    rows.push(json!({"id": s.id, "kind": "web", "since": opened, "until": until}));
                }
                for p in identity.app_passwords(person).await?.into_iter().filter(|p| p.revoked.is_none()) {
                    let made = p.created.rfc3339();
                    writeln!(text, "{:>12}  mail program `{}`, since {made}", p.id, p.device)?;
                    rows.push(json!({"id": p.id, "kind": "app-password", "device": p.device, "since": made}));
                }
                if rows.is_empty() {
                    text.push_str("There is neither a web session nor a password for a mail program.\n");
                }
                Ok(Reply::Done { rows, text })
            }
            Self::End { address, session, app_password, all } => {
                let person = person(instance, peer, &address).await?;
                match (session, app_password) {
                    (Some(id), _) => {
                        let id = SessionId::from_raw(id);
                        identity.end_session(person, id, &peer.caller).await?;
                    }
                    (None, Some(id)) => {
                        let id = CredentialId::from_raw(id);
                        identity.revoke_app_password(person, id, &peer.caller).await?;
                    }
                    (None, None) if all => identity.end_all_sessions(person, &peer.caller).await?,
                    (None, None) => bail!("say what ends: --session ID, --app-password ID or --all"),
                }
                Ok(done(json!({"address": address}), "It has ended.\n".into()))
            }
            Self::Alerts { address, state } => {
                let on = match state.as_str() {
                    "on" => true,
                    "off" => false,
                    _ => bail!("alerts are on or off, not {state}"),
                };
                let person = person(instance, peer, &address).await?;
                identity.set_alerts(person, on, &peer.caller).await?;
                Ok(done(json!({"address": address, "alerts": state}), format!("Alerts are {state}.\n")))
            }
            Self::Open => {
                let login = peer.login.as_ref().context("say who you are with --as ADDRESS")?;
                let token = identity.open_session(login).await?;
                let token = token.expose();
                Ok(done(json!({"token": token}), format!("{token}\n")))
            }
        }
    }
}
