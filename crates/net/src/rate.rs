//! How often a network may do something (S50): a bucket of tokens each, in bounded memory.
//!
//! A bucket is the moment at which it will be full again; taking a token moves that by one interval. Networks that were
//! quiet for long are forgotten without being looked for: there are two generations, and when the young one is full the
//! old one goes. Whoever floods from ever new networks makes others' buckets fuller, never emptier.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sealpost_model::Network;
use tokio::time::Instant;

/// So many at once, and so many a minute from then on, for each network: an IPv4 address, or an IPv6 /64, which is what
/// one customer has. Clones share the buckets.
#[derive(Clone, Debug)]
pub struct Rate(Option<Arc<Buckets>>);

#[derive(Debug)]
struct Buckets {
    burst: Duration,
    interval: Duration,
    generations: Mutex<[HashMap<Network, Instant>; 2]>,
}

impl Rate {
    /// `per_minute` of them; 0 is no limit.
    pub fn per_minute(per_minute: u32) -> Self {
        let buckets = (per_minute > 0).then(|| {
            let interval = MINUTE / per_minute;
            Arc::new(Buckets { burst: MINUTE - interval, interval, generations: Mutex::default() })
        });
        Self(buckets)
    }

    /// No limit.
    pub const fn unlimited() -> Self {
        Self(None)
    }

    /// Takes a token of this address's network. This machine itself always has one.
    ///
    /// # Errors
    /// How long until there is one. Asking in vain costs nothing.
    pub fn take(&self, ip: IpAddr) -> Result<(), Duration> {
        let Some(buckets) = &self.0 else { return Ok(()) };
        if ip.to_canonical().is_loopback() {
            return Ok(());
        }
        buckets.take(Network::customer(ip), Instant::now())
    }
}

impl Buckets {
    fn take(&self, network: Network, now: Instant) -> Result<(), Duration> {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let [young, old] = &mut *generations;
        let full = young.get(&network).or_else(|| old.get(&network)).copied().unwrap_or(now).max(now);
        let wait = full.duration_since(now).saturating_sub(self.burst);
        if !wait.is_zero() {
            return Err(wait);
        }
        if young.len() >= MOST && !young.contains_key(&network) {
            // A map's memory goes with it.
            *old = std::mem::take(young);
        }
        young.insert(network, full + self.interval);
        Ok(())
    }
}

const MINUTE: Duration = Duration::from_secs(60);
/// Networks a generation: some 3 MiB each.
const MOST: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[tokio::test(start_paused = true)]
    async fn a_minutes_worth_at_once_then_one_by_one() {
        let rate = Rate::per_minute(6);
        for n in 0..6 {
            assert_eq!(rate.take(ip("2001:db8::1")), Ok(()), "{n}");
        }
        assert_eq!(rate.take(ip("2001:db8::ffff:1")), Err(Duration::from_secs(10)), "the same /64");
        assert_eq!(rate.take(ip("2001:db8:0:1::1")), Ok(()), "another /64");
        assert_eq!(rate.take(ip("192.0.2.1")), Ok(()));
        tokio::time::advance(Duration::from_millis(9_999)).await;
        assert_eq!(rate.take(ip("2001:db8::1")), Err(Duration::from_millis(1)));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(rate.take(ip("2001:db8::1")), Ok(()));
        assert!(rate.take(ip("2001:db8::1")).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn this_machine_and_no_limit() {
        let rate = Rate::per_minute(1);
        for _ in 0..100 {
            assert_eq!(rate.take(ip("::1")), Ok(()));
            assert_eq!(rate.take(ip("::ffff:127.0.0.9")), Ok(()));
            assert_eq!(Rate::per_minute(0).take(ip("192.0.2.1")), Ok(()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_the_flooder_is_not_forgotten() {
        let rate = Rate::per_minute(1);
        let flood = ip("192.0.2.1");
        assert_eq!(rate.take(flood), Ok(()));
        for n in 0..MOST + 10 {
            let ip = std::net::Ipv6Addr::from_bits((0x2001_0db8_u128 << 96) | ((n as u128) << 64));
            assert_eq!(rate.take(ip.into()), Ok(()));
        }
        assert!(rate.take(flood).is_err(), "still known in the old generation");
        let buckets = rate.0.as_ref().expect("limited");
        let generations = buckets.generations.lock().expect("alone");
        assert!(generations.iter().all(|g| g.len() <= MOST));
    }
}
