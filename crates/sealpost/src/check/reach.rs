//! The way to others and back: our name in DNS, the name of our address, name servers that pass signatures on, port 25 on
//! the way out, the clock.
//!
//! A demonstration on loopback has none of these, and is not asked.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use sealpost_crypto::Random;
use sealpost_model::Protocol;
use sealpost_net::dns::{self, Addresses, Mx, Resolver as _, Signatures};
use sealpost_smtp::client::Route;

use super::{Findings, Scene};

pub(super) async fn check(scene: &Scene<'_>, found: &mut Findings) {
    clock(found);
    let config = scene.config;
    let local = config.listen.all().iter().all(|(_, list)| list.iter().all(|a| a.ip().is_loopback()));
    let servers =
        if config.dns.servers.is_empty() { dns::system_servers() } else { config.dns.servers.clone() };
    let Ok(resolver) = dns::Hickory::new(&servers) else { return };
    if !local {
        own_name(&config.server.hostname, &resolver, found).await;
        for server in &servers {
            signed(*server, found).await;
        }
    }
    for (domain, host) in &config.outbound.routes {
        if let Ok(route) = Route::parse(host) {
            let what = format!("{host}, the route for {domain}");
            reach(&what, &route.host, route.port, scene, &resolver, found).await;
        }
    }
    if let Some(domain) = scene.reach {
        match resolver.mx(domain).await {
            Ok(Mx::Hosts(hosts)) => {
                if let Some(first) = hosts.first() {
                    let what = format!("{}, a mail server of {domain}", first.host);
                    reach(&what, &first.host, config.outbound.port, scene, &resolver, found).await;
                }
            }
            Ok(_) => found.warn(
                "outbound",
                format!("{domain} names no mail server"),
                "give --reach another domain",
            ),
            Err(error) => found.fail("outbound", format!("{domain}: {error}"), "look at [dns] servers"),
        }
    }
}

/// Others hold our address against our name, and refuse mail when they don't fit (RFC 5321 section 4.1.4, common practice).
async fn own_name(host: &str, resolver: &dns::Hickory, found: &mut Findings) {
    let addresses = match resolver.addresses(host).await {
        Ok(Addresses::Found(addresses)) => addresses,
        Ok(Addresses::None | Addresses::NoDomain) => {
            let what = format!("{host} has no address in DNS");
            return found.warn("hostname", what, "add an A record, and AAAA if this server has IPv6");
        }
        Err(error) => {
            return found.warn(
                "hostname",
                format!("{host} could not be looked up: {error}"),
                "look at [dns] servers",
            );
        }
    };
    for ip in addresses {
        match resolver.names_of(ip).await {
            Ok(names) if names.iter().any(|n| n.eq_ignore_ascii_case(host)) => {
                found.ok("hostname", format!("{host} is {ip}, and {ip} is {host}"));
            }
            Ok(names) => {
                let is = if names.is_empty() {
                    "has no name".to_owned()
                } else {
                    format!("is {}", names.join(", "))
                };
                found.warn(
                    "hostname",
                    format!("{host} is {ip}, but {ip} {is}"),
                    format!("ask whoever gave you the address to set its reverse DNS (PTR) to {host}: many servers refuse mail without"),
                );
            }
            Err(error) => {
                found.warn(
                    "hostname",
                    format!("the name of {ip} could not be looked up: {error}"),
                    "look at [dns] servers",
                );
            }
        }
    }
}

async fn signed(server: SocketAddr, found: &mut Findings) {
    let id = u16::from_be_bytes(Random::system().bytes());
    match dns::signatures(server, id, PATIENCE).await {
        Ok(Signatures::Validates) => found.ok("dns", format!("the name server {server} checks DNSSEC signatures")),
        Ok(Signatures::Passes) => found.ok("dns", format!("the name server {server} passes DNSSEC signatures on")),
        Ok(Signatures::Strips) => found.warn(
            "dns",
            format!("the name server {server} keeps DNSSEC signatures to itself"),
            "name a resolver in [dns] servers that validates, best one on this machine (unbound): without signatures no other server's DANE record counts",
        ),
        Err(error) => found.warn(
            "dns",
            format!("the name server {server} does not answer a question about DNSSEC ({error})"),
            "look whether it is there, and name another in [dns] servers if not",
        ),
    }
}

/// Whether a mail server can be connected to. Nothing is said there.
async fn reach(
    what: &str,
    host: &str,
    port: u16,
    scene: &Scene<'_>,
    resolver: &dns::Hickory,
    found: &mut Findings,
) {
    let addresses = match host.parse() {
        Ok(ip) => vec![SocketAddr::new(ip, port)],
        Err(_) if host == "localhost" => vec![([127, 0, 0, 1], port).into()],
        Err(_) => match resolver.addresses(host).await {
            Ok(Addresses::Found(list)) => list.into_iter().map(|ip| SocketAddr::new(ip, port)).collect(),
            Ok(Addresses::None | Addresses::NoDomain) => {
                return found.fail("outbound", format!("{what}, has no address"), "look at its name");
            }
            Err(error) => return found.fail("outbound", format!("{what}: {error}"), "look at [dns] servers"),
        },
    };
    let bind = &scene.config.outbound.bind.0;
    match sealpost_net::connect_any(&addresses, bind, Protocol::System, PATIENCE).await {
        Ok(stream) => {
            found.ok("outbound", format!("{what}, can be reached"));
            stream.close().await;
        }
        Err(sealpost_net::Error::Connect { source, .. }) if source.kind() == std::io::ErrorKind::TimedOut => found.fail(
            "outbound",
            format!("{what}, does not answer on port {port}"),
            format!("a firewall, or whoever gave you the network, blocks connections to port {port} on the way out: have that opened, or send through a relay ([outbound.routes])"),
        ),
        Err(error) => found.fail("outbound", format!("{what}: {error}"), "look whether the host and its port are right"),
    }
}

/// Codes, retention, certificates and the log live by the clock.
fn clock(found: &mut Findings) {
    let asked = Command::new("timedatectl").args(["show", "--property=NTPSynchronized", "--value"]).output();
    match asked.ok().filter(|o| o.status.success()).map(|o| o.stdout) {
        Some(answer) if answer.starts_with(b"yes") => found.ok("clock", "the clock is kept in time"),
        Some(answer) if answer.starts_with(b"no") => found.warn(
            "clock",
            "the clock is not kept in time",
            "run a time service (systemd-timesyncd, chrony): the log, codes and certificates depend on it",
        ),
        _ => found.warn(
            "clock",
            "it can't be told here whether the clock is kept in time",
            "see that the host runs a time service (chrony, systemd-timesyncd)",
        ),
    }
}

const PATIENCE: Duration = Duration::from_secs(8);
