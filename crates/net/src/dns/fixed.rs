//! A resolver whose answers were written down: for tests, and for a demonstration without an outside world.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;

use super::{Addresses, Error, Mx, MxHost, Resolver, mx_set};
use crate::BoxFuture;

/// Answers what it was told; any other name doesn't exist.
#[derive(Debug, Default)]
pub struct Fixed(Mutex<Zone>);

#[derive(Debug, Default)]
struct Zone {
    mx: HashMap<String, Mx>,
    addresses: HashMap<String, Vec<IpAddr>>,
    failing: Vec<String>,
}

impl Fixed {
    /// Knows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// `domain` has these MX hosts. The host `""` alone is a null MX; none at all is a domain without.
    #[must_use]
    pub fn with_mx(self, domain: &str, hosts: &[(u16, &str)]) -> Self {
        let hosts =
            hosts.iter().map(|(preference, host)| MxHost { preference: *preference, host: lower(host) });
        let set = mx_set(hosts.collect());
        self.change(|zone| {
            zone.mx.insert(lower(domain), set);
        })
    }

    /// `host` has these addresses.
    #[must_use]
    pub fn with_host(self, host: &str, addresses: &[IpAddr]) -> Self {
        self.change(|zone| {
            zone.addresses.insert(lower(host), addresses.to_vec());
        })
    }

    /// Looking `name` up fails.
    #[must_use]
    pub fn with_failure(self, name: &str) -> Self {
        self.change(|zone| zone.failing.push(lower(name)))
    }

    fn change(self, change: impl FnOnce(&mut Zone)) -> Self {
        self.with(change);
        self
    }

    fn with<T>(&self, f: impl FnOnce(&mut Zone) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn ask<T>(&self, name: &str, answer: impl FnOnce(&Zone, &str) -> T) -> Result<T, Error> {
        let name = lower(name);
        self.with(|zone| {
            if zone.failing.contains(&name) {
                return Err(Error::Temporary("no answer".into()));
            }
            Ok(answer(zone, &name))
        })
    }
}

impl Resolver for Fixed {
    fn mx<'a>(&'a self, domain: &'a str) -> BoxFuture<'a, Result<Mx, Error>> {
        let answer = self.ask(domain, |zone, name| match zone.mx.get(name) {
            Some(mx) => mx.clone(),
            None if zone.addresses.contains_key(name) => Mx::Implicit,
            None => Mx::NoDomain,
        });
        Box::pin(async move { answer })
    }

    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Addresses, Error>> {
        let answer = self.ask(host, |zone, name| match zone.addresses.get(name) {
            Some(found) if found.is_empty() => Addresses::None,
            Some(found) => Addresses::Found(found.clone()),
            None if zone.mx.contains_key(name) => Addresses::None,
            None => Addresses::NoDomain,
        });
        Box::pin(async move { answer })
    }
}

fn lower(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}
