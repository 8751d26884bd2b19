//! Where mail for a domain goes: a route, or its MX set.

use std::net::{IpAddr, SocketAddr};

use sealpost_crypto::Random;
use sealpost_model::Domain;
use sealpost_net::dns::{Addresses, Mx, MxHost};

use super::courier::Settings;

/// Where an administrator sends a domain's mail (`[outbound.routes]`): `host:port`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    /// A host name, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Route {
    /// Reads `host:port`, `1.2.3.4:25` or `[::1]:25`.
    ///
    /// # Errors
    /// What is wrong, for the reader of the configuration.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("a route looks like mail.example.com:25, not {text:?}");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|p| *p != 0).ok_or_else(wrong)?;
        let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(six) => six.parse::<IpAddr>().map_err(|_| wrong())?.to_string(),
            None => Domain::parse(host).map_err(|_| wrong())?.to_string(),
        };
        Ok(Self { host, port })
    }
}

/// A host to try.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) port: u16,
    /// What its certificate may name, the host itself first.
    pub(crate) names: Vec<String>,
    /// An administrator said so.
    pub(crate) pinned: bool,
}

/// What is known of a domain's hosts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Hosts {
    /// In the order in which to try them.
    Try(Vec<Host>),
    /// The domain takes no mail, and says so.
    Nobody(&'static str),
    /// It can't be known now.
    Later(String),
}

/// Looks up who takes mail for `domain` (RFC 5321 section 5.1).
pub(crate) async fn hosts(settings: &Settings, domain: &Domain) -> Hosts {
    let domain = domain.as_str();
    if let Some((_, route)) = settings.routes.iter().find(|(d, _)| d.as_str() == domain) {
        let mut names = vec![route.host.clone(), domain.to_owned()];
        if route.host.parse::<IpAddr>().is_ok() {
            names.reverse();
        }
        let host = Host { name: route.host.clone(), port: route.port, names, pinned: true };
        return Hosts::Try(vec![host]);
    }
    let host = |name: String| Host { names: vec![name.clone()], name, port: settings.port, pinned: false };
    match settings.resolver.mx(domain).await {
        Ok(Mx::Hosts(set)) => {
            let set = shuffled(set, &settings.random);
            Hosts::Try(set.into_iter().take(MAX_HOSTS).map(|mx| host(mx.host)).collect())
        }
        Ok(Mx::Null) => Hosts::Nobody("the domain takes no mail (null MX)"),
        Ok(Mx::NoDomain) => Hosts::Nobody("the domain does not exist"),
        // Its own address counts. If it has none, it can't have mail.
        Ok(Mx::Implicit) => match settings.resolver.addresses(domain).await {
            Ok(Addresses::Found(_)) => Hosts::Try(vec![host(domain.to_owned())]),
            Ok(Addresses::None | Addresses::NoDomain) => {
                Hosts::Nobody("the domain has neither a mail server nor an address")
            }
            Err(error) => Hosts::Later(error.to_string()),
        },
        Err(error) => Hosts::Later(error.to_string()),
    }
}

/// The addresses of a host.
pub(crate) async fn addresses(settings: &Settings, host: &Host) -> Result<Vec<SocketAddr>, String> {
    if let Ok(ip) = host.name.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, host.port)]);
    }
    match settings.resolver.addresses(&host.name).await {
        Ok(Addresses::Found(found)) => {
            Ok(found.into_iter().take(MAX_ADDRESSES).map(|ip| SocketAddr::new(ip, host.port)).collect())
        }
        Ok(Addresses::None | Addresses::NoDomain) => Err("the mail server's name has no address".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// Hosts of the same preference in an order by chance, so that load spreads (RFC 5321 section 5.1).
fn shuffled(mut set: Vec<MxHost>, random: &Random) -> Vec<MxHost> {
    for group in set.chunk_by_mut(|a, b| a.preference == b.preference) {
        for n in (1..group.len()).rev() {
            let other = usize::try_from(random.below(n as u64 + 1)).unwrap_or(n);
            group.swap(n, other);
        }
    }
    set
}

const MAX_HOSTS: usize = 10;
const MAX_ADDRESSES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_routes() {
        for (text, host, port) in [
            ("mx.example:2525", "mx.example", 2525),
            ("127.0.0.1:25", "127.0.0.1", 25),
            ("[::1]:25", "::1", 25),
        ] {
            assert_eq!(Route::parse(text), Ok(Route { host: host.into(), port }));
        }
        for text in
            ["", "mx.example", "mx.example:", "mx.example:0", ":25", "::1:25", "mx example:25", "[x]:25"]
        {
            assert!(Route::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shuffles_within_a_preference_only() {
        let set: Vec<_> = [(10, "a"), (10, "b"), (10, "c"), (20, "d")]
            .map(|(preference, h)| MxHost { preference, host: h.into() })
            .into();
        let random = Random::danger_predictable(1);
        let mut first = std::collections::BTreeSet::new();
        for _ in 0..50 {
            let got = shuffled(set.clone(), &random);
            assert_eq!(got[3].host, "d");
            first.insert(got[0].host.clone());
        }
        assert_eq!(first.len(), 3);
    }
}
