//! `sealpost ban`: networks that may not sign in for a while (S50).

use std::fmt::Write as _;

use anyhow::Result;
use clap::Subcommand;
use sealpost_model::{BanId, Id};
use sealpost_policy::Command;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Peer, Reply, done};
use crate::instance::Instance;

/// What is asked.
#[derive(Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// The networks that are shut out. People still get in from where they are known, and mail programs with passwords of
    /// their own.
    List,
    /// Lets a network in again before its time.
    Lift {
        /// The ban's id.
        id: i64,
    },
}

impl Act {
    pub(super) const fn command(&self) -> Command {
        match self {
            Self::List => Command::BanList,
            Self::Lift { .. } => Command::BanLift,
        }
    }

    pub(super) async fn answer(self, instance: &Instance, peer: &Peer) -> Result<Reply> {
        match self {
            Self::List => {
                let (mut rows, mut text) = (Vec::new(), String::new());
                for ban in instance.identity.bans().await? {
                    let (since, until) = (ban.created.rfc3339(), ban.until.rfc3339());
                    writeln!(text, "{:>12}  {:24} since {since} until {until}", ban.id, ban.network)?;
                    rows.push(json!({"id": ban.id, "network": ban.network, "since": since, "until": until}));
                }
                if rows.is_empty() {
                    text.push_str("No network is shut out.\n");
                }
                Ok(Reply::Done { rows, text })
            }
            Self::Lift { id } => {
                instance.identity.lift_ban(BanId::from_raw(id), &peer.caller).await?;
                Ok(done(json!({"id": id}), "The network may sign in again.\n".into()))
            }
        }
    }
}
