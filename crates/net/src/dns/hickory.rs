//! The resolver for real: a stub that asks the configured servers.
//!
//! It does not validate DNSSEC, so no answer of it counts as signed; grades that need that (`dane`, `webpki`) are not
//! given on its word.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ServerOrderingStrategy,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Resolver as Stub, TokioResolver};

use super::{Addresses, Error, Mx, MxHost, Resolver, mx_set};
use crate::BoxFuture;

/// Asks DNS servers over UDP and TCP, with a cache that keeps to the records' TTL.
#[derive(Clone, Debug)]
pub struct Hickory(TokioResolver);

impl Hickory {
    /// Asks `servers` (`[dns] servers`), in their order.
    ///
    /// # Errors
    /// [`Error::Temporary`] when there is no server to ask.
    pub fn new(servers: &[SocketAddr]) -> Result<Self, Error> {
        if servers.is_empty() {
            return Err(Error::Temporary("no DNS server is configured; set [dns] servers".into()));
        }
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.iter().map(server).collect());
        let mut builder = Stub::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.timeout = TIMEOUT;
        options.attempts = 2;
        options.use_hosts_file = ResolveHosts::Never;
        options.try_tcp_on_error = true;
        options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
        options.negative_max_ttl = Some(NEGATIVE_TTL);
        let stub = builder.build().map_err(|e| Error::Temporary(e.to_string()))?;
        Ok(Self(stub))
    }

    async fn ask(&self, name: &Name, kind: RecordType) -> Result<Answer, Error> {
        match self.0.lookup(name.clone(), kind).await {
            Ok(lookup) => Ok(Answer::Records(lookup)),
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => match none.response_code {
                ResponseCode::NXDomain => Ok(Answer::NoName),
                ResponseCode::NoError => Ok(Answer::Empty),
                code => Err(Error::Temporary(code.to_string())),
            },
            Err(error) => Err(Error::Temporary(error.to_string())),
        }
    }

    /// The names of an address (PTR); none when it has none.
    ///
    /// # Errors
    /// No answer.
    pub async fn names_of(&self, ip: IpAddr) -> Result<Vec<String>, Error> {
        match self.ask(&Name::from(ip), RecordType::PTR).await? {
            Answer::Records(lookup) => {
                let name = |record: &hickory_resolver::proto::rr::Record| match &record.data {
                    RData::PTR(name) => Some(print(name)),
                    _ => None,
                };
                Ok(lookup.answers().iter().filter_map(name).collect())
            }
            Answer::Empty | Answer::NoName => Ok(Vec::new()),
        }
    }

    async fn ask_mx(&self, domain: &str) -> Result<Mx, Error> {
        let name = parse(domain)?;
        let lookup = match self.ask(&name, RecordType::MX).await? {
            Answer::NoName => return Ok(Mx::NoDomain),
            Answer::Empty => return Ok(Mx::Implicit),
            Answer::Records(lookup) => lookup,
        };
        let hosts: Vec<_> = lookup
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::MX(mx) => Some(MxHost { preference: mx.preference, host: print(&mx.exchange) }),
                _ => None,
            })
            .collect();
        // An alias that leads nowhere is answered with the alias and NXDOMAIN (RFC 6604).
        if hosts.is_empty() && lookup.message().response_code == ResponseCode::NXDomain {
            return Ok(Mx::NoDomain);
        }
        Ok(mx_set(hosts))
    }

    async fn ask_addresses(&self, host: &str) -> Result<Addresses, Error> {
        let name = parse(host)?;
        let (six, four) = tokio::join!(self.ask(&name, RecordType::AAAA), self.ask(&name, RecordType::A));
        let mut found: Vec<IpAddr> = Vec::new();
        let mut absent = 0;
        let mut failed = None;
        for answer in [six, four] {
            match answer {
                Ok(Answer::Records(lookup)) => {
                    found.extend(lookup.answers().iter().filter_map(|r| match &r.data {
                        RData::A(a) => Some(IpAddr::V4(a.0)),
                        RData::AAAA(a) => Some(IpAddr::V6(a.0)),
                        _ => None,
                    }))
                }
                Ok(Answer::NoName) => absent += 1,
                Ok(Answer::Empty) => {}
                Err(error) => failed = Some(error),
            }
        }
        found.retain(|ip| !ip.is_unspecified() && !ip.is_multicast());
        match (found.is_empty(), failed) {
            (false, _) => Ok(Addresses::Found(found)),
            (true, Some(error)) => Err(error),
            (true, None) if absent > 0 => Ok(Addresses::NoDomain),
            (true, None) => Ok(Addresses::None),
        }
    }
}

impl Resolver for Hickory {
    fn mx<'a>(&'a self, domain: &'a str) -> BoxFuture<'a, Result<Mx, Error>> {
        Box::pin(self.ask_mx(domain))
    }

    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Addresses, Error>> {
        Box::pin(self.ask_addresses(host))
    }
}

/// The servers that the machine itself uses, from `/etc/resolv.conf`; none when it can't be read.
pub fn system_servers() -> Vec<SocketAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse::<IpAddr>().ok())
        .map(|ip| SocketAddr::new(ip, 53))
        .collect()
}

enum Answer {
    Records(Lookup),
    Empty,
    NoName,
}

fn server(addr: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].into_iter().map(|mut c| {
        c.port = addr.port();
        c
    });
    NameServerConfig::new(addr.ip(), true, connections.collect())
}

/// Names are taken as they are, never completed by a search list.
fn parse(name: &str) -> Result<Name, Error> {
    let mut name = Name::from_ascii(name).map_err(|_| Error::Name)?;
    name.set_fqdn(true);
    Ok(name)
}

fn print(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}

const TIMEOUT: Duration = Duration::from_secs(5);
/// A domain that was just set up should not be called missing for hours.
const NEGATIVE_TTL: Duration = Duration::from_secs(300);
