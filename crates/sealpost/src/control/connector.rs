//! `sealpost connector`: servers that are trusted to hand over mail for the organisation. They are kept and decided about;
//! no port of this version asks for them yet.

use std::fmt::Write as _;

use anyhow::{Result, anyhow};
use clap::Subcommand;
use sealpost_identity::ConnectorProof;
use sealpost_model::{ConnectorId, Id, Network};
use sealpost_policy::Command;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Peer, Reply, done, tenant};
use crate::instance::Instance;

/// What is asked.
#[derive(Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// The servers that are trusted, and those that were.
    List,
    /// Trusts a server by its certificate, or by its network and a secret that is printed.
    Add {
        /// What people call it.
        name: String,
        /// SHA-256 of its certificate (DER), in hexadecimal: `openssl x509 -outform DER | sha256sum`.
        #[arg(long, value_name = "HEX", required_unless_present = "network", conflicts_with = "network")]
        certificate: Option<String>,
        /// Where it comes from; give it again for more.
        #[arg(long, value_name = "CIDR")]
        network: Vec<Network>,
    },
    /// Trusts a server no more.
    Disable {
        /// Its id.
        id: i64,
    },
}

impl Act {
    pub(super) const fn command(&self) -> Command {
        match self {
            Self::List => Command::ConnectorList,
            Self::Add { .. } | Self::Disable { .. } => Command::ConnectorChange,
        }
    }

    pub(super) async fn answer(self, instance: &Instance, peer: &Peer) -> Result<Reply> {
        let tenant = tenant(instance, peer).await?;
        let identity = &instance.identity;
        match self {
            Self::List => {
                let (mut rows, mut text) = (Vec::new(), String::new());
                for c in identity.connectors(tenant).await? {
                    let how = match &c.proof {
                        ConnectorProof::Certificate(sha256) => format!("certificate {}", hex(sha256)),
                        ConnectorProof::Network { networks, .. } => {
                            let list: Vec<String> = networks.iter().map(ToString::to_string).collect();
                            format!("network {}", list.join(" "))
                        }
                    };
                    let state = if c.disabled { "  (disabled)" } else { "" };
                    writeln!(text, "{:>12}  {:24} {how}{state}", c.id, c.name)?;
                    rows.push(json!({
                        "id": c.id, "name": c.name, "proof": how, "disabled": c.disabled, "since": c.created.rfc3339(),
                    }));
                }
                Ok(Reply::Done { rows, text })
            }
            Self::Add { name, certificate: Some(text), .. } => {
                let sha256 = unhex(&text).ok_or_else(|| {
                    anyhow!(
                        "the certificate's SHA-256 has 64 hexadecimal digits; colons may stand between them"
                    )
                })?;
                let id = identity.add_connector_by_certificate(tenant, &name, sha256, &peer.caller).await?;
                Ok(done(json!({"id": id}), format!("{name} is trusted by its certificate.\n")))
            }
            Self::Add { name, network, .. } => {
                let (id, secret) =
                    identity.add_connector_by_network(tenant, &name, network, &peer.caller).await?;
                let secret = secret.expose();
                Ok(done(json!({"id": id, "secret": secret}), format!("{secret}\n")))
            }
            Self::Disable { id } => {
                identity.disable_connector(tenant, ConnectorId::from_raw(id), &peer.caller).await?;
                Ok(done(json!({"id": id}), "It is trusted no more.\n".into()))
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> =
        text.chars().filter(|c| *c != ':').map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
    let bytes: Vec<u8> =
        digits.chunks(2).filter(|pair| pair.len() == 2).map(|pair| pair[0] << 4 | pair[1]).collect();
    if digits.len() == 64 { bytes.try_into().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_64_digits() {
        let text = hex(&[0xab; 32]);
        assert_eq!(unhex(&text), Some([0xab; 32]));
        assert_eq!(
            unhex(
                &text
                    .as_bytes()
                    .chunks(2)
                    .map(|c| String::from_utf8_lossy(c).to_string())
                    .collect::<Vec<_>>()
                    .join(":")
            ),
            Some([0xab; 32])
        );
        for bad in ["", "ab", &text[1..], &format!("{text}0"), &text.replace('a', "g")] {
            assert_eq!(unhex(bad), None, "{bad}");
        }
    }
}
