//! `sealpost address`: what addresses lead to.

use std::fmt::Write as _;

use anyhow::Result;
use clap::Subcommand;
use sealpost_model::Address;
use sealpost_policy::Command;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Peer, Reply, done, tenant};
use crate::instance::Instance;
use crate::people;

/// What is asked.
#[derive(Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// The addresses of the organisation, and what each leads to.
    List,
    /// Adds an address: an alias of a mailbox, a shared mailbox, or one that takes no mail.
    Add {
        /// The new address.
        address: String,
        /// It is a further address of this mailbox.
        #[arg(long, value_name = "ADDRESS", required_unless_present_any = ["shared", "refuse"])]
        alias_of: Option<String>,
        /// It gets a mailbox of its own that is nobody's: people use it by `sealpost grant add`.
        #[arg(long, conflicts_with_all = ["alias_of", "refuse"])]
        shared: bool,
        /// It takes no mail.
        #[arg(long, conflicts_with = "alias_of")]
        refuse: bool,
    },
    /// Removes an alias, a group, or an address that takes no mail.
    Remove {
        /// The address.
        address: String,
    },
    /// Lets an alias lead to another mailbox.
    Move {
        /// The alias.
        address: String,
        /// The address of the mailbox that it leads to from now on.
        #[arg(long, value_name = "ADDRESS")]
        to: String,
    },
}

impl Act {
    pub(super) const fn command(&self) -> Command {
        match self {
            Self::List => Command::AddressList,
            Self::Add { .. } | Self::Remove { .. } | Self::Move { .. } => Command::AddressChange,
        }
    }

    pub(super) async fn answer(self, instance: &Instance, peer: &Peer) -> Result<Reply> {
        let tenant = tenant(instance, peer).await?;
        let identity = &instance.identity;
        match self {
            Self::List => list(instance, tenant).await,
            Self::Add { address, alias_of: Some(goal), .. } => {
                let (new, goal) = (Address::parse(&address)?, Address::parse(&goal)?);
                identity.add_alias(tenant, &new, &goal, &peer.caller).await?;
                Ok(done(json!({"address": address}), format!("Mail for {address} goes to {goal} now.\n")))
            }
            Self::Add { address, shared: true, .. } => {
                people::add_shared(instance, tenant, &Address::parse(&address)?, &peer.caller).await?;
                let text = format!(
                    "{address} is a shared mailbox now. Let people in with `sealpost grant add {address} PERSON --right write`.\n"
                );
                Ok(done(json!({"address": address}), text))
            }
            Self::Add { address, .. } => {
                identity.add_refusal(tenant, &Address::parse(&address)?, &peer.caller).await?;
                Ok(done(json!({"address": address}), format!("{address} takes no mail.\n")))
            }
            Self::Remove { address } => {
                identity.remove_address(tenant, &Address::parse(&address)?, &peer.caller).await?;
                Ok(done(json!({"address": address}), format!("{address} is gone.\n")))
            }
            Self::Move { address, to } => {
                let (alias, goal) = (Address::parse(&address)?, Address::parse(&to)?);
                identity.move_alias(tenant, &alias, &goal, &peer.caller).await?;
                Ok(done(json!({"address": address}), format!("Mail for {address} goes to {to} now.\n")))
            }
        }
    }
}

async fn list(instance: &Instance, tenant: sealpost_model::TenantId) -> Result<Reply> {
    let (mut rows, mut text, mut after) = (Vec::new(), String::new(), None);
    let mut known = std::collections::HashMap::new();
    loop {
        let page = instance.identity.addresses(tenant, after).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        for a in page {
            let address = a.address.to_string();
            known.insert(a.id, address.clone());
            let goal = a.points_to.and_then(|id| known.get(&id).cloned());
            let shared = a.account.is_some() && a.person.is_none();
            let kind = if shared { "shared mailbox" } else { a.kind.word() };
            writeln!(text, "{address:40} {kind:14} {}", goal.as_deref().unwrap_or_default())?;
            rows.push(json!({"id": a.id, "address": address, "kind": a.kind.word(), "shared": shared, "target": goal}));
        }
    }
    Ok(Reply::Done { rows, text })
}
