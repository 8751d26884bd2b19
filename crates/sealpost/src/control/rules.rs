//! `sealpost policy`: what the organisation has decided about its people.

use anyhow::{Result, bail};
use clap::Subcommand;
use sealpost_identity::{PasswordProfile, Rules};
use sealpost_policy::Command;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Peer, Reply, done, tenant};
use crate::instance::Instance;

/// What is asked.
#[derive(Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// The rules as they are.
    List,
    /// Changes one.
    Set {
        /// `passwords` (length: 15 characters or more; composition: 8 or more, letters with digits or symbols) or
        /// `outside-members` (on, off: whether groups may have members elsewhere).
        rule: String,
        /// What it is from now on.
        value: String,
    },
}

impl Act {
    pub(super) const fn command(&self) -> Command {
        match self {
            Self::List => Command::PolicyList,
            Self::Set { .. } => Command::PolicyChange,
        }
    }

    pub(super) async fn answer(self, instance: &Instance, peer: &Peer) -> Result<Reply> {
        let tenant = tenant(instance, peer).await?;
        let mut rules = instance.identity.rules(tenant).await?;
        if let Self::Set { rule, value } = self {
            match (rule.as_str(), value.as_str()) {
                ("passwords", word) => match PasswordProfile::parse(word) {
                    Some(profile) => rules.passwords = profile,
                    None => bail!("passwords are checked by length or by composition, not by {word}"),
                },
                ("outside-members", "on") => rules.outside_members = true,
                ("outside-members", "off") => rules.outside_members = false,
                ("outside-members", word) => bail!("outside-members is on or off, not {word}"),
                _ => bail!("there is no rule {rule}; see `sealpost policy list`"),
            }
            instance.identity.set_rules(tenant, rules, &peer.caller).await?;
        }
        Ok(show(rules))
    }
}

fn show(rules: Rules) -> Reply {
    let (passwords, outside) = (rules.passwords.word(), if rules.outside_members { "on" } else { "off" });
    done(
        json!({"passwords": passwords, "outside-members": outside}),
        format!("passwords        {passwords}\noutside-members  {outside}\n"),
    )
}
