//! `sealpost grant`: who may use a mailbox that is not theirs.

use std::fmt::Write as _;

use anyhow::{Context, Result, anyhow};
use clap::Subcommand;
use sealpost_model::{Address, Time};
use sealpost_policy::{Command, Rights};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Peer, Reply, done, tenant, waits};
use crate::instance::Instance;

/// What is asked.
#[derive(Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Who may use whose mailbox.
    List,
    /// Gives somebody rights on a mailbox, in place of those that they had on it.
    Add {
        /// The mailbox's address.
        mailbox: String,
        /// Who may.
        person: String,
        /// What: read, write, send-as, send-on-behalf; give it again for more.
        #[arg(long, required = true)]
        right: Vec<String>,
        /// The last day, in UTC: 2027-03-31. Without it there is no end.
        #[arg(long, value_name = "DATE")]
        until: Option<String>,
    },
    /// Ends somebody's rights on a mailbox.
    Remove {
        /// The mailbox's address.
        mailbox: String,
        /// Who may no longer.
        person: String,
    },
}

impl Act {
    pub(super) const fn command(&self) -> Command {
        match self {
            Self::List => Command::GrantList,
            Self::Add { .. } | Self::Remove { .. } => Command::GrantChange,
        }
    }

    pub(super) async fn answer(self, instance: &Instance, peer: &Peer) -> Result<Reply> {
        let tenant = tenant(instance, peer).await?;
        let identity = &instance.identity;
        match self {
            Self::List => {
                let (mut rows, mut text, mut after) = (Vec::new(), String::new(), None);
                loop {
                    let page = identity.grants(tenant, after).await?;
                    let Some(last) = page.last() else { break };
                    after = Some(last.id);
                    for g in page {
                        let mailbox = g.mailbox.as_ref().map(Address::to_string).unwrap_or_default();
                        let (person, rights) = (g.address.to_string(), g.rights.words());
                        let until = g.expires.map(Time::rfc3339);
                        let end = until.as_ref().map_or(String::new(), |u| format!("  until {u}"));
                        writeln!(text, "{mailbox:36} {person:36} {}{end}", rights.join(", "))?;
                        rows.push(json!({
                            "id": g.id, "mailbox": mailbox, "person": person, "rights": rights, "until": until,
                            "since": g.created.rfc3339(),
                        }));
                    }
                }
                Ok(Reply::Done { rows, text })
            }
            Self::Add { mailbox, person, right, until } => {
                let rights = right.iter().map(|word| {
                    Rights::parse(word).ok_or_else(|| {
                        anyhow!("a right is one of read, write, send-as, send-on-behalf; not {word}")
                    })
                });
                let rights: Rights = rights.collect::<Result<_>>()?;
                let until = until.as_deref().map(end_of_day).transpose()?;
                let (box_, who) = (Address::parse(&mailbox)?, Address::parse(&person)?);
                let made = identity.add_grant(tenant, &box_, &who, rights, until, &peer.caller).await?;
                if let Some(id) = made.waits() {
                    return Ok(waits(id, json!({"mailbox": mailbox, "person": person}), ""));
                }
                let text = format!("{person} may use {mailbox} now: {}.\n", rights.words().join(", "));
                Ok(done(json!({"mailbox": mailbox, "person": person, "rights": rights.words()}), text))
            }
            Self::Remove { mailbox, person } => {
                let (box_, who) = (Address::parse(&mailbox)?, Address::parse(&person)?);
                identity.remove_grant(tenant, &box_, &who, &peer.caller).await?;
                let text = format!("{person} may no longer use {mailbox}.\n");
                Ok(done(json!({"mailbox": mailbox, "person": person}), text))
            }
        }
    }
}

/// The end of a day in UTC.
fn end_of_day(date: &str) -> Result<Time> {
    let midnight = Time::parse_rfc3339(&format!("{date}T23:59:59Z"));
    midnight.with_context(|| format!("{date} is no date; write it as 2027-03-31"))
}
