//! How many failed logins are borne (S50): counters that all protocols and all nodes share.
//!
//! Each counter is a bucket that leaks, kept as the time at which it will be empty. A try is charged when it begins, so
//! that a thousand in parallel don't slip through before the first has failed, and given back when it succeeds. Counters
//! live in memory; what was charged since is added to the table every two seconds, all in one commit, and what other
//! nodes added is read back. A killed process forgets two seconds of failures, no more.
//!
//! **Nobody is locked out by what others do.** A try from a network where the person has signed in before counts
//! against that network and login alone; strangers share the budgets of their network, of the login there, and of the
//! login anywhere. An app password that fits is not counted at all.

use std::collections::HashMap;
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
    /// Failures of one login from all networks that its person does not know, before those must wait.
    pub account_burst: u32,
    /// Then one more try of that login from any of them each.
    pub account_interval: Duration,
    /// Tries of a network within [`Self::ban_window`], failed or refused, before it is banned.
    pub ban_after: u32,
    /// See [`Self::ban_after`].
    pub ban_window: Duration,
    /// How long a ban lasts.
    pub ban_for: Duration,
    /// Failures of one login within an hour before its person and the administrators are told.
    pub alert_after: u32,
    /// The longest that the answer to a failure is held back.
    pub tarpit: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            network_burst: 120,
            network_interval: Duration::from_secs(2),
            login_burst: 30,
            login_interval: Duration::from_secs(60),
            account_burst: 100,
            account_interval: Duration::from_secs(60),
            ban_after: 400,
            ban_window: Duration::from_secs(3600),
            ban_for: Duration::from_secs(3600),
            alert_after: 20,
            tarpit: Duration::from_secs(2),
        }
    }
}

/// What a counter counts. Numbers are stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A network's failures.
    Network = 1,
    /// A login's failures from one network.
    Login = 2,
    /// A login's failures from all networks that are not known.
    Account = 3,
    /// A login's failures from one network that is known.
    Known = 4,
    /// A network's failed and refused tries, on the way to a ban.
    Strikes = 5,
    /// A login's failures from anywhere, on the way to an alert.
    Alert = 6,
    /// What a machine has sent.
    Sent = 7,
}

/// A counter's name in memory and in the table: a keyed hash, so that neither holds addresses.
pub(crate) type Key = (i64, [u8; 16]);

/// The counters of this process.
#[derive(Clone)]
pub(crate) struct Throttle {
    limits: Limits,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// When each counter will be empty.
    until: HashMap<Key, Time>,
    /// Milliseconds charged and not yet in the table.
    unsaved: HashMap<Key, i64>,
    /// Networks that are shut out, until when.
    banned: HashMap<[u8; 16], Time>,
    /// When the table was last read.
    learned: Option<Time>,
}

/// Who tries, as keyed hashes.
#[derive(Clone, Copy)]
pub(crate) struct Who {
    /// The network.
    pub network: [u8; 16],
    /// The login at that network.
    pub login: [u8; 16],
    /// The login anywhere.
    pub account: [u8; 16],
    /// The person has signed in from there before.
    pub known: bool,
}

/// Why a try is not made now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Wait {
    /// For how long.
    pub retry: Duration,
    /// Whether the whole network is shut out.
    pub banned: bool,
}

/// A try under way. Dropped, it counts as a failure.
#[must_use]
pub(crate) struct Try {
    throttle: Throttle,
    charged: Vec<(Key, Duration)>,
}

/// What a failure leads to.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Consequence {
    /// The network is to be banned.
    pub ban: bool,
    /// The person and the administrators are to be told.
    pub alert: bool,
    /// How long the answer is held back.
    pub tarpit: Duration,
}

impl Throttle {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, state: Arc::default() }
    }

    /// Charges a try.
    ///
    /// # Errors
    /// How long to wait.
    pub(crate) fn begin(&self, who: &Who, now: Time) -> Result<Try, Wait> {
        let l = &self.limits;
        let mut state = self.lock();
        let network = (key(Kind::Network, who.network), l.network_burst, l.network_interval);
        let buckets = if who.known {
            vec![(key(Kind::Known, who.login), l.login_burst, l.login_interval)]
        } else {
            if let Some(until) = state.banned.get(&who.network).filter(|until| **until > now) {
                return Err(Wait { retry: until.since(now), banned: true });
            }
            vec![
                network,
                (key(Kind::Login, who.login), l.login_burst, l.login_interval),
                (key(Kind::Account, who.account), l.account_burst, l.account_interval),
            ]
        };
        // None is charged unless all allow it: refused tries don't lengthen the wait.
        let retry =
            buckets.iter().map(|(key, burst, interval)| state.wait(key, *burst, *interval, now)).max();
        let retry = retry.unwrap_or_default();
        if !retry.is_zero() {
            return Err(Wait { retry, banned: false });
        }
        state.prune(now);
        let mut charged: Vec<_> = buckets.iter().map(|(key, _, interval)| (*key, *interval)).collect();
        if who.known {
            // It is not held up by its network's failures, and adds to them all the same.
            charged.push((network.0, network.2));
        }
        for (key, interval) in &charged {
            state.charge(*key, *interval, now);
        }
        Ok(Try { throttle: self.clone(), charged })
    }

    /// Counts a try that failed or was refused, and says what follows from it.
    pub(crate) fn failed(&self, who: &Who, refused: bool, now: Time) -> Consequence {
        let l = &self.limits;
        let mut state = self.lock();
        let full = |interval: Duration, most: u32| interval * most.saturating_sub(1);
        let strike = l.ban_window / l.ban_after.max(1);
        let strikes = key(Kind::Strikes, who.network);
        state.charge(strikes, strike, now);
        let ban = state.level(&strikes, now) > full(strike, l.ban_after) && !who.known;
        if ban {
            state.empty(strikes, now);
        }
        let mut alert = false;
        if !refused {
            let (step, alerts) = (HOUR / l.alert_after.max(1), key(Kind::Alert, who.account));
            state.charge(alerts, step, now);
            alert = state.level(&alerts, now) > full(step, l.alert_after);
            if alert {
                state.empty(alerts, now);
            }
        }
        let failures = state.level(&strikes, now).as_millis() / strike.as_millis().max(1);
        Consequence { ban, alert, tarpit: tarpit(failures, l.tarpit) }
    }

    /// Counts a message of a machine that may send `rate` an hour; whether it may be sent.
    pub(crate) fn spend(&self, device: [u8; 16], rate: u32, now: Time) -> bool {
        let (key, step) = (key(Kind::Sent, device), HOUR / rate.max(1));
        let mut state = self.lock();
        if !state.wait(&key, rate, step, now).is_zero() {
            return false;
        }
        state.charge(key, step, now);
        true
    }

    /// Shuts a network out.
    pub(crate) fn ban(&self, network: [u8; 16], until: Time) {
        self.lock().banned.insert(network, until);
    }

    /// The networks that are shut out, as the table has them.
    pub(crate) fn set_bans(&self, banned: HashMap<[u8; 16], Time>) {
        self.lock().banned = banned;
    }

    /// What was charged since the last time.
    pub(crate) fn take_unsaved(&self) -> HashMap<Key, i64> {
        let mut state = self.lock();
        let mut unsaved = std::mem::take(&mut state.unsaved);
        unsaved.retain(|_, delta| *delta != 0);
        unsaved
    }

    /// It could not be saved: it is tried again.
    pub(crate) fn put_back(&self, unsaved: HashMap<Key, i64>) {
        let mut state = self.lock();
        for (key, delta) in unsaved {
            *state.unsaved.entry(key).or_default() += delta;
        }
    }

    /// Since when the table is to be read: with some overlap, since nodes' clocks differ a little.
    pub(crate) fn learned(&self, now: Time) -> Time {
        let last = self.lock().learned.replace(now);
        last.map_or(Time::from_millis(0), |last| last.minus(OVERLAP))
    }

    /// What the table has now, with what was charged here since.
    pub(crate) fn learn(&self, rows: Vec<(Key, Time)>) {
        let mut state = self.lock();
        for (key, until) in rows {
            let since = state.unsaved.get(&key).copied().unwrap_or_default();
            state.until.insert(key, Time::from_millis(until.millis().saturating_add(since)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Try {
    /// It succeeded: nothing is counted.
    pub(crate) fn succeeded(self) {
        let mut state = self.throttle.lock();
        for (key, interval) in &self.charged {
            state.give_back(*key, *interval);
        }
    }
}

impl State {
    /// How long until a bucket takes one more.
    fn wait(&self, key: &Key, burst: u32, interval: Duration, now: Time) -> Duration {
        self.level(key, now).saturating_sub(interval * burst.saturating_sub(1))
    }

    fn level(&self, key: &Key, now: Time) -> Duration {
        self.until.get(key).map_or(Duration::ZERO, |until| until.since(now))
    }

    fn charge(&mut self, key: Key, interval: Duration, now: Time) {
        let until = self.until.entry(key).or_insert(now);
        *until = (*until).max(now).plus(interval);
        *self.unsaved.entry(key).or_default() += millis(interval);
    }

    fn give_back(&mut self, key: Key, interval: Duration) {
        if let Some(until) = self.until.get_mut(&key) {
            *until = until.minus(interval);
            *self.unsaved.entry(key).or_default() -= millis(interval);
        }
    }

    fn empty(&mut self, key: Key, now: Time) {
        let level = self.level(&key, now);
        self.give_back(key, level);
    }

    /// Keeps the maps bounded: what has leaked empty goes; if that is not enough, all but the networks do, and those go
    /// on counting.
    fn prune(&mut self, now: Time) {
        if self.until.len() < MOST {
            return;
        }
        self.until.retain(|_, until| *until > now);
        if self.until.len() >= MOST {
            self.until.retain(|(kind, _), _| *kind == Kind::Network as i64 || *kind == Kind::Strikes as i64);
        }
        if self.until.len() >= MOST {
            self.until.clear();
        }
    }
}

/// How long an answer is held back after so many failures of its network: not at all for the first few, then longer.
fn tarpit(failures: u128, most: Duration) -> Duration {
    let over = u32::try_from(failures.saturating_sub(FREE)).unwrap_or(u32::MAX);
    (most / 20).saturating_mul(over).min(most)
}

pub(crate) const fn key(kind: Kind, subject: [u8; 16]) -> Key {
    (kind as i64, subject)
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// Where a connection counts: its network, or this machine's own socket.
pub(crate) fn network(ip: IpAddr, control: bool) -> String {
    if control { "control".to_owned() } else { crate::place::network(ip) }
}

const MOST: usize = 200_000;
const OVERLAP: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3600);
/// Failures of a network that are answered at once.
const FREE: u128 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_seconds(1_000_000);

    fn limits() -> Limits {
        Limits {
            network_burst: 5,
            network_interval: Duration::from_secs(10),
            login_burst: 3,
            login_interval: Duration::from_secs(60),
            account_burst: 4,
            account_interval: Duration::from_secs(60),
            ban_after: 8,
            ban_window: Duration::from_secs(80),
            alert_after: 4,
            tarpit: Duration::from_secs(2),
            ..Limits::default()
        }
    }

    fn who(network: u8, login: u8, known: bool) -> Who {
        let mut at = [login; 16];
        at[0] = network;
        Who { network: [network; 16], login: at, account: [login; 16], known }
    }

    fn fail(throttle: &Throttle, who: Who) {
        drop(throttle.begin(&who, NOW).expect("within the burst"));
    }

    #[test]
    fn a_login_waits_after_its_burst_in_that_network_alone() {
        let throttle = Throttle::new(limits());
        for _ in 0..3 {
            fail(&throttle, who(1, 1, false));
        }
        let wait = throttle.begin(&who(1, 1, false), NOW).err().expect("waits");
        assert_eq!(wait, Wait { retry: Duration::from_secs(60), banned: false });
        assert!(throttle.begin(&who(2, 1, false), NOW).is_ok(), "another network");
        assert!(throttle.begin(&who(1, 2, false), NOW).is_ok(), "another login");
        let early = NOW.plus(Duration::from_millis(59_999));
        assert!(throttle.begin(&who(1, 1, false), early).is_err());
        let later = NOW.plus(Duration::from_secs(60));
        drop(throttle.begin(&who(1, 1, false), later).expect("one more a minute"));
        assert!(throttle.begin(&who(1, 1, false), later).is_err());
    }

    #[test]
    fn a_spray_over_networks_meets_the_logins_counter_and_never_its_person() {
        let throttle = Throttle::new(limits());
        for network in 1..=4 {
            fail(&throttle, who(network, 1, false));
        }
        assert!(throttle.begin(&who(9, 1, false), NOW).is_err(), "strangers wait everywhere");
        assert!(throttle.begin(&who(9, 2, false), NOW).is_ok(), "other logins don't");
        throttle.begin(&who(9, 1, true), NOW).expect("where the person is known they get in").succeeded();
        for login in 10..14 {
            fail(&throttle, who(7, login, false));
        }
        fail(&throttle, who(7, 14, false));
        assert!(throttle.begin(&who(7, 15, false), NOW).is_err(), "the network waits");
        throttle.begin(&who(7, 1, true), NOW).expect("the person doesn't").succeeded();
        for _ in 0..3 {
            fail(&throttle, who(7, 1, true));
        }
        assert!(throttle.begin(&who(7, 1, true), NOW).is_err(), "their own budget ends too");
    }

    #[test]
    fn successes_cost_nothing_and_tries_under_way_count() {
        let throttle = Throttle::new(limits());
        for _ in 0..100 {
            throttle.begin(&who(1, 1, false), NOW).expect("admitted").succeeded();
        }
        let under_way: Vec<_> =
            (0..3).map(|_| throttle.begin(&who(1, 1, false), NOW).expect("admitted")).collect();
        assert!(throttle.begin(&who(1, 1, false), NOW).is_err());
        under_way.into_iter().for_each(Try::succeeded);
        assert!(throttle.begin(&who(1, 1, false), NOW).is_ok());
    }

    #[test]
    fn a_stubborn_network_is_banned_once_and_its_known_people_are_not() {
        let throttle = Throttle::new(limits());
        let bans = (0..8).filter(|_| throttle.failed(&who(1, 1, false), true, NOW).ban).count();
        assert_eq!(bans, 1, "the eighth within the window");
        throttle.ban([1; 16], NOW.plus(Duration::from_secs(3600)));
        let wait = throttle.begin(&who(1, 9, false), NOW).err().expect("shut out");
        assert_eq!(wait, Wait { retry: Duration::from_secs(3600), banned: true });
        assert!(throttle.begin(&who(1, 9, true), NOW).is_ok());
        assert!(throttle.begin(&who(1, 9, false), NOW.plus(Duration::from_secs(3600))).is_ok());
        let slow = (0..100)
            .any(|n| throttle.failed(&who(2, 1, false), true, NOW.plus(Duration::from_secs(n * 11))).ban);
        assert!(!slow, "one failure each now and then is no attack");
    }

    #[test]
    fn many_failures_are_told_once_and_refused_tries_tell_nothing() {
        let throttle = Throttle::new(limits());
        let told = (0..4).filter(|_| throttle.failed(&who(1, 1, false), false, NOW).alert).count();
        assert_eq!(told, 1);
        assert!(!(0..20).any(|_| throttle.failed(&who(1, 2, false), true, NOW).alert));
    }

    #[test]
    fn an_answer_is_held_back_longer_and_longer_but_not_for_ever() {
        let most = Duration::from_secs(2);
        assert_eq!(tarpit(10, most), Duration::ZERO);
        assert_eq!(tarpit(11, most), Duration::from_millis(100));
        assert_eq!(tarpit(u128::MAX, most), most);
        assert_eq!(tarpit(50, Duration::ZERO), Duration::ZERO);
    }
}
