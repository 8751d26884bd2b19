//! Networks: an address with how many of its bits count.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A network in CIDR form (RFC 4632, RFC 4291 section 2.3): `192.0.2.0/24`, `2001:db8::/32`. An address alone is the
/// network of that address. Bits behind the prefix are zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

/// Why a text is no network.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NetworkError {
    /// Neither an address nor an address with a prefix.
    #[error(
        "{0:?} is no network: write an address (192.0.2.7, ::1) or an address and a prefix (192.0.2.0/24)"
    )]
    Syntax(String),
    /// The prefix is longer than the address.
    #[error("{0:?} is no network: the prefix is at most 32 for IPv4 and 128 for IPv6")]
    Prefix(String),
    /// Bits are set behind the prefix, so that it is not clear what was meant.
    #[error("{0} has bits behind its prefix; was {1} meant?")]
    HostBits(String, Network),
}

impl Network {
    /// The network of `ip` with this prefix; one that is too long is the address itself. IPv4 inside IPv6 is IPv4.
    pub fn of(ip: IpAddr, prefix: u8) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(v4) => {
                let prefix = prefix.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                Self { base: Ipv4Addr::from_bits(v4.to_bits() & mask).into(), prefix }
            }
            IpAddr::V6(v6) => {
                let prefix = prefix.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                Self { base: Ipv6Addr::from_bits(v6.to_bits() & mask).into(), prefix }
            }
        }
    }

    /// What one customer has: an IPv4 address, an IPv6 /64.
    pub fn customer(ip: IpAddr) -> Self {
        Self::of(ip, if ip.to_canonical().is_ipv4() { 32 } else { 64 })
    }

    /// Whether it holds this address. IPv4 inside IPv6 is IPv4.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        ip.is_ipv4() == self.base.is_ipv4() && Self::of(ip, self.prefix) == *self
    }

    /// Its first address.
    pub const fn base(&self) -> IpAddr {
        self.base
    }

    /// How many bits count.
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let syntax = || NetworkError::Syntax(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let ip: IpAddr = address.parse().map_err(|_| syntax())?;
        let most = if ip.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => most,
            Some(digits)
                if !digits.is_empty() && digits.len() <= 3 && digits.bytes().all(|b| b.is_ascii_digit()) =>
            {
                let prefix: u16 = digits.parse().map_err(|_| syntax())?;
                u8::try_from(prefix)
                    .ok()
                    .filter(|p| *p <= most)
                    .ok_or_else(|| NetworkError::Prefix(text.to_owned()))?
            }
            Some(_) => return Err(syntax()),
        };
        if ip != ip.to_canonical() {
            // Half of ::ffff:0:0/96 would be two kinds of address at once.
            return Err(syntax());
        }
        let network = Self::of(ip, prefix);
        if network.base == ip { Ok(network) } else { Err(NetworkError::HostBits(text.to_owned(), network)) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Network {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn holds_what_shares_its_prefix() {
        for (network, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("10.0.0.0/8", "::ffff:10.9.9.9", "11.0.0.0"),
            ("::1", "::1", "::2"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::"),
            ("::/0", "2001:db8::", "192.0.2.1"),
            ("0.0.0.0/0", "255.1.1.1", "::1"),
        ] {
            let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
            assert!(net(network).contains(ip(inside)), "{network} {inside}");
            assert!(!net(network).contains(ip(outside)), "{network} {outside}");
        }
    }

    #[test]
    fn prints_what_it_reads() {
        for text in ["192.0.2.0/24", "0.0.0.0/0", "2001:db8::/32", "::1/128"] {
            assert_eq!(net(text).to_string(), text);
        }
        assert_eq!(net("192.0.2.7").to_string(), "192.0.2.7/32");
    }

    #[test]
    fn refuses_what_is_not_clear() {
        for text in [
            "",
            "x",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "10.0/8",
            "[::1]/128",
            "::ffff:10.0.0.0/104",
        ] {
            assert!(matches!(text.parse::<Network>(), Err(NetworkError::Syntax(_))), "{text}");
        }
        for text in ["10.0.0.0/33", "::/129", "10.0.0.0/999"] {
            assert!(matches!(text.parse::<Network>(), Err(NetworkError::Prefix(_))), "{text}");
        }
        let error = "10.0.0.1/8".parse::<Network>().expect_err("bits");
        assert!(error.to_string().contains("10.0.0.0/8"), "{error}");
    }
}
