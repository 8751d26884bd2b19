//! `sealpost act`: what waits for a second person.

use std::fmt::Write as _;

use anyhow::Result;
use clap::Subcommand;
use sealpost_model::{ActId, Id};
use sealpost_policy::Command;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Peer, Reply, done, tenant};
use crate::instance::Instance;

/// What is asked.
#[derive(Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// What waits, and what became of the last ones.
    List,
    /// Agrees to what somebody else asked for.
    Approve {
        /// Its id.
        id: i64,
    },
    /// Says no to it, or takes back what one asked for.
    Refuse {
        /// Its id.
        id: i64,
    },
}

impl Act {
    pub(super) const fn command(&self) -> Command {
        match self {
            Self::List => Command::ActList,
            Self::Approve { .. } | Self::Refuse { .. } => Command::ActDecide,
        }
    }

    pub(super) async fn answer(self, instance: &Instance, peer: &Peer) -> Result<Reply> {
        let tenant = tenant(instance, peer).await?;
        let identity = &instance.identity;
        match self {
            Self::List => {
                let (mut rows, mut text) = (Vec::new(), String::new());
                for act in identity.pending_acts(tenant).await? {
                    let (state, kind) = (act.state.word(), act.kind.word());
                    let until = act.expires.rfc3339();
                    let by = identity.address_of_person(act.proposer).await?;
                    writeln!(text, "{:>12}  {state:8} until {until}  {by} asks for {}", act.id, act.words)?;
                    rows.push(json!({
                        "id": act.id, "kind": kind, "state": state, "words": act.words, "proposer": by,
                        "proposed": act.proposed.rfc3339(), "expires": until,
                    }));
                }
                if rows.is_empty() {
                    text.push_str("Nothing waits for a second person.\n");
                }
                Ok(Reply::Done { rows, text })
            }
            Self::Approve { id } => {
                let act = identity.approve(tenant, ActId::from_raw(id), &peer.caller).await?;
                let text = if act.done {
                    "It is done.\n"
                } else {
                    "It is agreed to; whoever asked can carry it out now.\n"
                };
                Ok(done(json!({"id": id, "kind": act.kind.word(), "done": act.done}), text.into()))
            }
            Self::Refuse { id } => {
                identity.refuse(tenant, ActId::from_raw(id), &peer.caller).await?;
                Ok(done(json!({"id": id}), "It will not be done.\n".into()))
            }
        }
    }
}
