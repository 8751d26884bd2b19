//! `sealpost group`: addresses with members.

use std::fmt::Write as _;

use anyhow::{Result, anyhow};
use clap::Subcommand;
use sealpost_identity::{GroupEdit, GroupSummary, TargetKind};
use sealpost_model::Address;
use sealpost_policy::Command;
use sealpost_policy::decide::Posting;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Peer, Reply, done, tenant};
use crate::instance::Instance;

/// What is asked.
#[derive(Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// The groups of the organisation.
    List,
    /// A group's members, and who may write to it.
    Members {
        /// The group's address.
        group: String,
    },
    /// Makes a group.
    Add {
        /// Its address.
        group: String,
        /// Who may write to it: anyone, organisation, members, listed.
        #[arg(long, default_value = "organisation")]
        posting: String,
        /// A member; give it again for more.
        #[arg(long, value_name = "ADDRESS")]
        member: Vec<String>,
    },
    /// Changes a group's members, or who may write to it.
    Change {
        /// The group's address.
        group: String,
        /// A new member; give it again for more.
        #[arg(long, value_name = "ADDRESS")]
        add: Vec<String>,
        /// A member that goes.
        #[arg(long, value_name = "ADDRESS")]
        remove: Vec<String>,
        /// Who may write to it from now on: anyone, organisation, members, listed.
        #[arg(long)]
        posting: Option<String>,
        /// Somebody who may write to it, with `--posting listed`.
        #[arg(long, value_name = "ADDRESS")]
        allow: Vec<String>,
        /// Somebody who may no longer.
        #[arg(long, value_name = "ADDRESS")]
        disallow: Vec<String>,
    },
    /// Removes a group; its members stay.
    Remove {
        /// The group's address.
        group: String,
    },
}

impl Act {
    pub(super) const fn command(&self) -> Command {
        match self {
            Self::List | Self::Members { .. } => Command::GroupList,
            Self::Add { .. } | Self::Change { .. } | Self::Remove { .. } => Command::GroupChange,
        }
    }

    pub(super) async fn answer(self, instance: &Instance, peer: &Peer) -> Result<Reply> {
        let tenant = tenant(instance, peer).await?;
        let identity = &instance.identity;
        match self {
            Self::List => {
                let (mut rows, mut text, mut after) = (Vec::new(), String::new(), None);
                loop {
                    let page = identity.addresses(tenant, after).await?;
                    let Some(last) = page.last() else { break };
                    after = Some(last.id);
                    for a in page.iter().filter(|a| a.kind == TargetKind::Group) {
                        let group = identity.group(tenant, &a.address).await?;
                        let (posting, count) = (group.posting.word(), group.members.len());
                        writeln!(text, "{:40} {count} member(s), open to {posting}", group.address)?;
                        rows.push(row(&group));
                    }
                }
                Ok(Reply::Done { rows, text })
            }
            Self::Members { group } => Ok(show(&identity.group(tenant, &Address::parse(&group)?).await?)),
            Self::Add { group, posting, member } => {
                let (address, add) = (Address::parse(&group)?, parse(&member)?);
                identity.add_group(tenant, &address, rule(&posting)?, &peer.caller).await?;
                let edit = GroupEdit { add, ..GroupEdit::default() };
                Ok(show(&identity.change_group(tenant, &address, edit, &peer.caller).await?))
            }
            Self::Change { group, add, remove, posting, allow, disallow } => {
                let edit = GroupEdit {
                    add: parse(&add)?,
                    remove: parse(&remove)?,
                    posting: posting.as_deref().map(rule).transpose()?,
                    allow: parse(&allow)?,
                    disallow: parse(&disallow)?,
                };
                let address = Address::parse(&group)?;
                Ok(show(&identity.change_group(tenant, &address, edit, &peer.caller).await?))
            }
            Self::Remove { group } => {
                let address = Address::parse(&group)?;
                identity.group(tenant, &address).await?;
                identity.remove_address(tenant, &address, &peer.caller).await?;
                Ok(done(json!({"address": group}), format!("{group} is gone.\n")))
            }
        }
    }
}

fn parse(list: &[String]) -> Result<Vec<Address>> {
    Ok(list.iter().map(|text| Address::parse(text)).collect::<Result<_, _>>()?)
}

fn rule(word: &str) -> Result<Posting> {
    Posting::parse(word)
        .ok_or_else(|| anyhow!("who may write is one of anyone, organisation, members, listed; not {word}"))
}

fn row(group: &GroupSummary) -> Value {
    let words = |list: &[Address]| list.iter().map(Address::to_string).collect::<Vec<_>>();
    json!({
        "address": group.address.to_string(),
        "posting": group.posting.word(),
        "members": words(&group.members),
        "listed": words(&group.listed),
    })
}

fn show(group: &GroupSummary) -> Reply {
    let mut text = format!("{}, open to {}\n", group.address, group.posting.word());
    for (title, list) in [("members", &group.members), ("may write", &group.listed)] {
        if !list.is_empty() {
            text.push_str(&format!("  {title}:\n"));
        }
        for address in list {
            text.push_str(&format!("    {address}\n"));
        }
    }
    done(row(group), text)
}
