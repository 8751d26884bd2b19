//! How many may come at once, and how fast (S50).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use sealpost_model::{Counter, Network};

use crate::Rate;

/// How many connections are served at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// In all.
    pub total: usize,
    /// From one customer: an IPv4 address, or an IPv6 /64. An IPv6 /48, which somebody can get with little effort, has
    /// four times as many.
    pub per_peer: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { total: 4096, per_peer: 64 }
    }
}

/// Counts connections against [`Limits`] and a [`Rate`]. Listeners that share a gate share its limits.
#[derive(Clone, Debug)]
pub struct Gate(Arc<State>);

#[derive(Debug)]
struct State {
    limits: Limits,
    rate: Rate,
    open: Mutex<Open>,
    meters: Meters,
}

/// What became of those who came.
#[derive(Default, Debug)]
pub struct Meters {
    /// Let in, their handshake done.
    pub accepted: Counter,
    /// Turned away: too many at once.
    pub full: Counter,
    /// Turned away: too many a minute.
    pub fast: Counter,
    /// Gone before the session began: no TLS handshake, or no PROXY header.
    pub failed: Counter,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    peers: HashMap<Network, usize>,
}

/// A place among the connections; gives it back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    gate: Gate,
    /// A proxy's own connection counts among all, and for nobody.
    peer: Option<IpAddr>,
}

impl Gate {
    /// A gate with these limits, as fast as they come.
    pub fn new(limits: Limits) -> Self {
        Self::paced(limits, Rate::unlimited())
    }

    /// A gate with these limits that lets in so many a minute.
    pub fn paced(limits: Limits, rate: Rate) -> Self {
        Self(Arc::new(State { limits, rate, open: Mutex::default(), meters: Meters::default() }))
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.lock().total
    }

    /// What became of those who came.
    pub fn meters(&self) -> &Meters {
        &self.0.meters
    }

    /// A place for a client, or none.
    pub(crate) fn enter(&self, ip: IpAddr) -> Option<Place> {
        let mut place = self.enter_proxy()?;
        place.becomes(ip).then_some(place)
    }

    /// A place for a connection that a trusted proxy made, until it says for whom.
    pub(crate) fn enter_proxy(&self) -> Option<Place> {
        let mut open = self.lock();
        if open.total >= self.0.limits.total {
            drop(open);
            self.0.meters.full.one();
            return None;
        }
        open.total += 1;
        drop(open);
        Some(Place { gate: self.clone(), peer: None })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// It is this client's. False when there is no place for them: then the connection must end.
    pub(crate) fn becomes(&mut self, ip: IpAddr) -> bool {
        let State { limits, rate, meters, .. } = &*self.gate.0;
        let mut open = self.gate.lock();
        if let Some(before) = self.peer.take() {
            open.leave(before);
        }
        let most = [limits.per_peer, limits.per_peer.saturating_mul(4)];
        let full = networks(ip)
            .into_iter()
            .flatten()
            .zip(most)
            .any(|(network, most)| open.peers.get(&network).copied().unwrap_or(0) >= most);
        if full {
            drop(open);
            meters.full.one();
            return false;
        }
        for network in networks(ip).into_iter().flatten() {
            *open.peers.entry(network).or_default() += 1;
        }
        self.peer = Some(ip);
        drop(open);
        let fast = rate.take(ip).is_err();
        if fast {
            meters.fast.one();
        }
        !fast
    }

    /// The session begins.
    pub(crate) fn began(&self) {
        self.gate.0.meters.accepted.one();
    }

    /// The session never began.
    pub(crate) fn failed(&self) {
        self.gate.0.meters.failed.one();
    }
}

impl Open {
    fn leave(&mut self, ip: IpAddr) {
        for network in networks(ip).into_iter().flatten() {
            if let Some(n) = self.peers.get_mut(&network) {
                *n -= 1;
                if *n == 0 {
                    self.peers.remove(&network);
                }
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.gate.lock();
        open.total = open.total.saturating_sub(1);
        if let Some(peer) = self.peer {
            open.leave(peer);
        }
    }
}

/// What a client is counted under: the customer, and for IPv6 the site.
fn networks(ip: IpAddr) -> [Option<Network>; 2] {
    let site = (!ip.to_canonical().is_ipv4()).then(|| Network::of(ip, 48));
    [Some(Network::customer(ip)), site]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_site_of_many_networks_has_four_shares() {
        let gate = Gate::new(Limits { total: 100, per_peer: 2 });
        let held: Vec<_> = (0..8).map(|n| gate.enter(ip(&format!("2001:db8:1:{}::1", n / 2)))).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(gate.enter(ip("2001:db8:1:0::2")).is_none(), "the /64 is full");
        assert!(gate.enter(ip("2001:db8:1:9::2")).is_none(), "the /48 is full");
        assert!(gate.enter(ip("2001:db8:2:9::2")).is_some());
        drop(held);
        assert_eq!(gate.open(), 0);
        assert!(gate.lock().peers.is_empty(), "nothing is remembered of who left");
        assert_eq!(gate.meters().full.count(), 2);
    }

    #[test]
    fn a_proxied_connection_counts_for_its_client() {
        let gate = Gate::new(Limits { total: 3, per_peer: 1 });
        let mut first = gate.enter_proxy().expect("room");
        let mut second = gate.enter_proxy().expect("room");
        let _third = gate.enter_proxy().expect("room");
        assert!(gate.enter_proxy().is_none(), "the total holds for proxies too");
        assert!(first.becomes(ip("192.0.2.1")));
        assert!(!second.becomes(ip("192.0.2.1")), "one each");
        assert!(second.becomes(ip("192.0.2.2")));
        assert!(
            first.becomes(ip("192.0.2.3")) && second.becomes(ip("192.0.2.1")),
            "who moved gave their place back"
        );
        drop((first, second));
        assert!(gate.lock().peers.is_empty());
    }
}
