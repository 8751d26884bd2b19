//! `sealpost role`: what people are, and the review of who may do what (S38).

use std::fmt::Write as _;

use anyhow::{Result, anyhow};
use clap::Subcommand;
use sealpost_policy::{Command, Role, Roles, decide};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Peer, Reply, done, person, tenant, waits};
use crate::instance::Instance;

/// What is asked.
#[derive(Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Gives somebody a role.
    Give {
        /// Their address.
        address: String,
        /// The role: delegate, auditor, domain-admin, tenant-admin, security-official.
        #[arg(value_parser = super::client::role)]
        role: Role,
    },
    /// Takes a role from somebody.
    Take {
        /// Their address.
        address: String,
        /// The role.
        #[arg(value_parser = super::client::role)]
        role: Role,
    },
    /// Names who answers for security, or who does when they can't, with a contact that works while this server is down.
    Official {
        /// Their address; they are a security official already.
        address: String,
        /// 1: the security official; 2: the second.
        #[arg(long, value_parser = clap::value_parser!(i64).range(1..=2))]
        rank: i64,
        /// A telephone number, or a mail address elsewhere.
        #[arg(long)]
        contact: String,
    },
    /// What each person may do: roles, mailboxes, groups, passwords of mail programs.
    Review {
        /// Prints a table for a spreadsheet.
        #[arg(long)]
        csv: bool,
    },
}

impl Act {
    pub(super) const fn command(&self) -> Command {
        match self {
            Self::Review { .. } => Command::RoleReview,
            Self::Give { .. } | Self::Take { .. } | Self::Official { .. } => Command::RoleChange,
        }
    }

    pub(super) async fn answer(self, instance: &Instance, peer: &Peer) -> Result<Reply> {
        match self {
            Self::Give { address, role } => change(instance, peer, &address, role, true).await,
            Self::Take { address, role } => change(instance, peer, &address, role, false).await,
            Self::Official { address, rank, contact } => {
                let person = person(instance, peer, &address).await?;
                if !sealpost_identity::may_stand(instance.identity.roles_of(person).await?, rank) {
                    return Err(anyhow!(
                        "{address} is no security official; `sealpost role give {address} security-official` first"
                    ));
                }
                instance.identity.name_official(person, rank, &contact, &peer.caller).await?;
                let row = json!({"address": address, "rank": rank});
                Ok(done(row, format!("{address} is named, with the contact {contact}.\n")))
            }
            Self::Review { csv } => review(instance, peer, csv).await,
        }
    }
}

async fn change(instance: &Instance, peer: &Peer, address: &str, role: Role, give: bool) -> Result<Reply> {
    decide::give_role(peer.roles, role)?;
    if role == Role::User && !give {
        return Err(anyhow!(
            "everybody with a mailbox is a user; end their access with `sealpost user disable`"
        ));
    }
    let person = person(instance, peer, address).await?;
    let old = instance.identity.roles_of(person).await?;
    let new: Roles = if give { old.with(role) } else { old.iter().filter(|r| *r != role).collect() };
    let changed = instance.identity.change_roles(person, new, &peer.caller).await?;
    let words: Vec<&str> = new.iter().map(Role::word).collect();
    let row = json!({"address": address, "roles": words});
    match changed.waits() {
        Some(id) => Ok(waits(id, row, "")),
        None => Ok(done(row, format!("{address} is now: {}.\n", words.join(", ")))),
    }
}

async fn review(instance: &Instance, peer: &Peer, csv: bool) -> Result<Reply> {
    let (mut rows, mut text) = (Vec::new(), String::new());
    if csv {
        text.push_str("address,name,state,kind,what,on,since,until\r\n");
    }
    for line in instance.identity.access_review(tenant(instance, peer).await?).await? {
        let state = if line.disabled { "disabled" } else { "active" };
        let since = line.since.map(|t| t.rfc3339()).unwrap_or_default();
        let until = line.until.map(|t| t.rfc3339()).unwrap_or_default();
        let cells = [&line.address, &line.name, state, line.kind, &line.what, &line.on, &since, &until];
        if csv {
            let cells: Vec<String> = cells.iter().map(|cell| quote(cell)).collect();
            write!(text, "{}\r\n", cells.join(","))?;
        } else {
            writeln!(
                text,
                "{:36} {state:8} {:12} {:24} {} {until}",
                line.address, line.kind, line.what, line.on
            )?;
        }
        rows.push(json!({
            "address": line.address, "name": line.name, "state": state, "kind": line.kind, "what": line.what,
            "on": line.on, "since": since, "until": until,
        }));
    }
    Ok(Reply::Done { rows, text })
}

/// RFC 4180, and nothing that a spreadsheet would run as a formula.
fn quote(cell: &str) -> String {
    let guard = if cell.starts_with(['=', '+', '-', '@', '\t']) { "'" } else { "" };
    format!("\"{guard}{}\"", cell.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_never_a_formula() {
        assert_eq!(quote("=1+1"), "\"'=1+1\"");
        assert_eq!(quote("Ann \"A\""), "\"Ann \"\"A\"\"\"");
    }
}
