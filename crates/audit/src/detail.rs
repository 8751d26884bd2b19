//! The part of an entry that is sealed: where somebody came from, and what can't be said in ids.

use std::net::IpAddr;

use sealpost_crypto::{Random, sha256};
use sealpost_model::Client;
use serde::{Deserialize, Serialize};

/// What is sealed with an entry. It may hold PHI: addresses, remote texts, a reason that somebody typed.
#[derive(Serialize, Deserialize)]
pub(crate) struct Detail {
    pub client: Option<ClientFacts>,
    /// Name and text; an empty name is the act's own remark.
    pub notes: Vec<(String, String)>,
}

/// Where somebody came from, as the log keeps it (S52). A person's IP address is PHI (45 CFR 164.514(b)(2)(i)(O)).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientFacts {
    /// Their address.
    pub ip: IpAddr,
    /// Their port.
    pub port: u16,
    /// `TLSv1.3`; empty without TLS.
    pub tls: String,
    /// The cipher suite by its IANA name; empty without TLS.
    pub cipher: String,
}

impl std::fmt::Debug for ClientFacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientFacts(..)")
    }
}

impl From<&Client> for ClientFacts {
    fn from(client: &Client) -> Self {
        let (tls, cipher) = client.tls.map_or(("", ""), |t| (t.version.word(), t.cipher));
        Self { ip: client.ip, port: client.port, tls: tls.into(), cipher: cipher.into() }
    }
}

impl Detail {
    /// The plain bytes that are sealed, and the commitment to them. The salt in front makes the commitment say nothing
    /// to who can guess the rest; whoever is shown the plain bytes can check them without any key.
    pub(crate) fn plain(&self, random: &Random) -> (Vec<u8>, [u8; 32]) {
        let mut plain = random.bytes::<SALT>().to_vec();
        plain = postcard::to_extend(self, plain).expect("a Vec takes all bytes");
        let commitment = commitment(&plain);
        (plain, commitment)
    }

    /// The detail in plain bytes.
    pub(crate) fn parse(plain: &[u8]) -> Option<Self> {
        postcard::from_bytes(plain.get(SALT..)?).ok()
    }
}

/// `SHA-256(label || salt || detail)`.
pub(crate) fn commitment(plain: &[u8]) -> [u8; 32] {
    let mut bytes = Vec::with_capacity(LABEL.len() + plain.len());
    bytes.extend_from_slice(LABEL);
    bytes.extend_from_slice(plain);
    sha256(&bytes)
}

const SALT: usize = 16;
const LABEL: &[u8] = b"sealpost audit detail 1\0";
