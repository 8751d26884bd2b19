//! Who may try a password now (S50): in memory, driven by the clock, before anything is hashed.
//!
//! Two buckets that leak: one for a network, over all protocols and logins; one for a network and a login. A try is
//! charged when it begins, so that a thousand in parallel don't slip through before the first has failed, and given
//! back when it succeeds. Both buckets name the network: whoever fails in one place never locks a person out of
//! another.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sealpost_model::Time;

/// How many failures are borne.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Failures from one network before it must wait.
    pub network_burst: u32,
    /// Then one more try of that network each.
    pub network_interval: Duration,
    /// Failures of one login from one network before it must wait.
    pub login_burst: u32,
    /// Then one more try of that login from there each.
    pub login_interval: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            network_burst: 120,
            network_interval: Duration::from_secs(2),
            login_burst: 30,
            login_interval: Duration::from_secs(60),
        }
    }
}

/// The counters.
#[derive(Clone)]
pub(crate) struct Admission {
    limits: Limits,
    buckets: Arc<Mutex<Buckets>>,
}

#[derive(Default)]
struct Buckets {
    networks: HashMap<Network, Time>,
    logins: HashMap<(Network, Login), Time>,
}

/// A keyed hash of a login: the counters hold no addresses.
pub(crate) type Login = [u8; 16];

/// A /24 of IPv4 or a /64 of IPv6.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Network(u64, bool);

/// A try under way. Dropped, it counts as a failure.
#[must_use]
pub(crate) struct Try {
    admission: Admission,
    network: Network,
    login: Login,
}

impl Admission {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, buckets: Arc::default() }
    }

    /// Charges a try.
    ///
    /// # Errors
    /// How long to wait.
    pub(crate) fn begin(&self, ip: IpAddr, login: Login, now: Time) -> Result<Try, Duration> {
        let network = network(ip);
        let limits = &self.limits;
        let mut buckets = self.lock();
        // Neither is charged unless both allow it: refused tries don't lengthen the wait.
        let wait = wait(buckets.networks.get(&network), limits.network_burst, limits.network_interval, now)
            .max(wait(buckets.logins.get(&(network, login)), limits.login_burst, limits.login_interval, now));
        if !wait.is_zero() {
            return Err(wait);
        }
        buckets.prune(now);
        charge(&mut buckets.networks, network, limits.network_interval, now);
        charge(&mut buckets.logins, (network, login), limits.login_interval, now);
        Ok(Try { admission: self.clone(), network, login })
    }

    fn lock(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Try {
    /// It succeeded: nothing is counted.
    pub(crate) fn succeeded(self) {
        let limits = &self.admission.limits;
        let mut buckets = self.admission.lock();
        give_back(&mut buckets.networks, &self.network, limits.network_interval);
        give_back(&mut buckets.logins, &(self.network, self.login), limits.login_interval);
    }
}

impl Buckets {
    /// Keeps the maps bounded: what has leaked empty goes; if that is not enough, all logins do, and the networks go
    /// on counting.
    fn prune(&mut self, now: Time) {
        if self.logins.len() >= MOST {
            self.logins.retain(|_, until| *until > now);
            if self.logins.len() >= MOST {
                self.logins.clear();
            }
        }
        if self.networks.len() >= MOST {
            self.networks.retain(|_, until| *until > now);
            if self.networks.len() >= MOST {
                self.networks.clear();
            }
        }
    }
}

/// A bucket is the time at which it will be empty; each charge moves that by one interval.
fn wait(until: Option<&Time>, burst: u32, interval: Duration, now: Time) -> Duration {
    let Some(until) = until else { return Duration::ZERO };
    let full = interval * burst.saturating_sub(1);
    until.since(now).saturating_sub(full)
}

fn charge<K: Eq + Hash>(map: &mut HashMap<K, Time>, key: K, interval: Duration, now: Time) {
    let until = map.entry(key).or_insert(now);
    *until = (*until).max(now).plus(interval);
}

fn give_back<K: Eq + Hash>(map: &mut HashMap<K, Time>, key: &K, interval: Duration) {
    if let Some(until) = map.get_mut(key) {
        *until = until.minus(interval);
    }
}

fn network(ip: IpAddr) -> Network {
    match ip.to_canonical() {
        IpAddr::V4(ip) => Network(u64::from(ip.to_bits() >> 8), false),
        IpAddr::V6(ip) => Network((ip.to_bits() >> 64) as u64, true),
    }
}

const MOST: usize = 200_000;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_seconds(1_000_000);
    const ALICE: Login = [1; 16];

    fn limits() -> Limits {
        Limits {
            network_burst: 5,
            network_interval: Duration::from_secs(10),
            login_burst: 3,
            login_interval: Duration::from_secs(60),
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_login_waits_after_its_burst_in_that_network_alone() {
        let admission = Admission::new(limits());
        for _ in 0..3 {
            drop(admission.begin(ip("192.0.2.1"), ALICE, NOW).expect("within the burst"));
        }
        let wait = admission.begin(ip("192.0.2.200"), ALICE, NOW).err().expect("same /24");
        assert_eq!(wait, Duration::from_secs(60));
        assert!(admission.begin(ip("192.0.3.1"), ALICE, NOW).is_ok(), "another network");
        assert!(admission.begin(ip("192.0.2.1"), [2; 16], NOW).is_ok(), "another login");
        let early = NOW.plus(Duration::from_millis(59_999));
        assert!(admission.begin(ip("192.0.2.1"), ALICE, early).is_err());
        let later = NOW.plus(Duration::from_secs(60));
        drop(admission.begin(ip("192.0.2.1"), ALICE, later).expect("one more a minute"));
        assert!(admission.begin(ip("192.0.2.1"), ALICE, later).is_err());
    }

    #[test]
    fn a_spray_over_logins_shares_the_networks_counter() {
        let admission = Admission::new(limits());
        for login in 0..5_u8 {
            drop(admission.begin(ip("2001:db8:0:1::9"), [login; 16], NOW).expect("within the burst"));
        }
        let wait = admission.begin(ip("2001:db8:0:1:ffff::1"), [9; 16], NOW).err().expect("same /64");
        assert_eq!(wait, Duration::from_secs(10));
        assert!(admission.begin(ip("2001:db8:0:2::9"), [9; 16], NOW).is_ok());
    }

    #[test]
    fn successes_cost_nothing_and_tries_under_way_count() {
        let admission = Admission::new(limits());
        for _ in 0..100 {
            admission.begin(ip("192.0.2.1"), ALICE, NOW).expect("admitted").succeeded();
        }
        let under_way: Vec<_> =
            (0..3).map(|_| admission.begin(ip("192.0.2.1"), ALICE, NOW).expect("admitted")).collect();
        assert!(admission.begin(ip("192.0.2.1"), ALICE, NOW).is_err());
        under_way.into_iter().for_each(Try::succeeded);
        assert!(admission.begin(ip("192.0.2.1"), ALICE, NOW).is_ok());
    }

    #[test]
    fn a_mapped_address_is_the_same_network() {
        assert_eq!(network(ip("::ffff:192.0.2.7")), network(ip("192.0.2.9")));
    }
}
