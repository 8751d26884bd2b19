//! `sealpost device`: scanners and other machines that send mail.

use std::fmt::Write as _;

use anyhow::Result;
use clap::Subcommand;
use sealpost_identity::NewDevice;
use sealpost_model::{Address, DeviceId, Id, Network};
use sealpost_policy::Command;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Peer, Reply, done, tenant};
use crate::instance::Instance;

/// What is asked.
#[derive(Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// The machines that may send, and those that might.
    List,
    /// Lets a machine send; prints the name and the password that it signs in with on submission.
    Add {
        /// What people call it.
        name: String,
        /// The one address that it sends under, which must be one of the organisation's.
        #[arg(long, value_name = "ADDRESS")]
        from: String,
        /// Where it may come from; give it again for more. Without it: from anywhere.
        #[arg(long, value_name = "CIDR")]
        network: Vec<Network>,
        /// The most messages an hour.
        #[arg(long, default_value_t = 120)]
        rate: u32,
        /// It can't sign in: its network is enough, over TLS still.
        #[arg(long, requires = "network")]
        by_network: bool,
    },
    /// Ends a machine's access.
    Disable {
        /// Its id.
        id: i64,
    },
}

impl Act {
    pub(super) const fn command(&self) -> Command {
        match self {
            Self::List => Command::DeviceList,
            Self::Add { .. } | Self::Disable { .. } => Command::DeviceChange,
        }
    }

    pub(super) async fn answer(self, instance: &Instance, peer: &Peer) -> Result<Reply> {
        let tenant = tenant(instance, peer).await?;
        let identity = &instance.identity;
        match self {
            Self::List => {
                let (mut rows, mut text) = (Vec::new(), String::new());
                for d in identity.devices(tenant).await? {
                    let (name, from) = (&d.device.name, d.device.from.to_string());
                    let networks: Vec<String> = d.device.networks.iter().map(ToString::to_string).collect();
                    let state = if d.disabled { "  (disabled)" } else { "" };
                    let near = if networks.is_empty() { "anywhere".to_owned() } else { networks.join(" ") };
                    writeln!(
                        text,
                        "{:>12}  {name:24} {from:32} {}/h from {near}{state}",
                        d.id, d.device.rate
                    )?;
                    rows.push(json!({
                        "id": d.id, "login": format!("device-{}", d.id), "name": name, "from": from,
                        "networks": networks, "rate": d.device.rate, "by_network": d.device.by_network,
                        "disabled": d.disabled, "since": d.created.rfc3339(),
                    }));
                }
                Ok(Reply::Done { rows, text })
            }
            Self::Add { name, from, network, rate, by_network } => {
                let new =
                    NewDevice { name, from: Address::parse(&from)?, networks: network, rate, by_network };
                let (id, secret) = identity.add_device(tenant, &new, &peer.caller).await?;
                let (login, secret) = (format!("device-{id}"), secret.expose());
                let text = if by_network {
                    format!("{login} may send from its network, over TLS, without signing in.\n")
                } else {
                    format!("name      {login}\npassword  {secret}\n")
                };
                Ok(done(json!({"id": id, "login": login, "password": secret}), text))
            }
            Self::Disable { id } => {
                identity.disable_device(tenant, DeviceId::from_raw(id), &peer.caller).await?;
                Ok(done(json!({"id": id}), "It may no longer send.\n".into()))
            }
        }
    }
}
