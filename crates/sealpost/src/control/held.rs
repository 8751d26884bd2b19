//! `sealpost queue held` and `sealpost queue release`: what a restored instance holds back until a person has looked.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use sealpost_policy::Command;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Peer, Reply, done};
use crate::instance::Instance;

/// What is asked.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// The rows, with what is known of each.
    List,
    /// Lets them go.
    Release {
        /// Drops what nothing is known of, too.
        drop: bool,
    },
}

impl Act {
    pub(super) const fn command(&self) -> Command {
        match self {
            Self::List => Command::QueueHeld,
            Self::Release { .. } => Command::QueueRelease,
        }
    }

    pub(super) async fn answer(self, instance: &Instance, peer: &Peer) -> Result<Reply> {
        let Some(held) = instance.delivery.held().await? else {
            match self {
                Self::List => {
                    return Ok(Reply::Done { rows: Vec::new(), text: "The queue is not held.\n".into() });
                }
                Self::Release { .. } => bail!("the queue is not held; nothing has to be released"),
            }
        };
        match self {
            Self::List => list(instance, held.since.rfc3339()).await,
            Self::Release { drop } => {
                let released = instance.delivery.let_go(&peer.caller, !drop).await?;
                let row = json!({"sent": released.sent, "dropped": released.dropped});
                let text = format!(
                    "The queue goes again: {} message(s) are sent, {} were dropped.\n",
                    released.sent, released.dropped
                );
                Ok(done(row, text))
            }
        }
    }
}

async fn list(instance: &Instance, since: String) -> Result<Reply> {
    let (mut rows, mut text, mut after) = (Vec::new(), String::new(), None);
    writeln!(
        text,
        "Held since {since}, when the server was restored. Nothing is sent until `sealpost queue release`."
    )?;
    loop {
        let page = instance.delivery.held_rows(after).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        for row in page {
            let (verdict, known) = match row.known {
                Some(known) if known.has_left() => ("drop", Some(known)),
                Some(known) => ("send", Some(known)),
                None => ("send", None),
            };
            let words = known.map_or("nothing newer is known of it: it may have left already".into(), |k| {
                format!("{} on {}", k.state.word(), k.at.rfc3339())
            });
            writeln!(text, "{:>12}  {verdict}  {words}", row.id)?;
            rows.push(json!({
                "id": row.id,
                "ledger": row.ledger,
                "verdict": verdict,
                "state": known.map(|k| k.state.word()),
                "at": known.map(|k| k.at.rfc3339()),
            }));
        }
    }
    if rows.is_empty() {
        text.push_str("Nothing waits.\n");
    }
    Ok(Reply::Done { rows, text })
}
