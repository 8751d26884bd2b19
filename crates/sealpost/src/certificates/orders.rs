//! Certificates that are ordered from an ACME server: one node of all orders, each node shows what is on the shelf.
//!
//! A certificate is renewed when two thirds of its life are over, somewhat earlier by a share that differs from one to the
//! next, so that a thousand hosts don't come at once. Each name has a certificate of its own: a name that can't be proved
//! keeps no other from being renewed. Tries that fail are spaced further and further, since ACME servers count them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use sealpost_audit::{Audit, Draft, Verb};
use sealpost_crypto::{Random, sha256};
use sealpost_model::{Actor, Client, SharedClock, Time};
use sealpost_net::acme::{Account, Challenge, Responder, Way};
use sealpost_net::{BoxFuture, HttpsClient, ServerCertificate, Stop};
use sealpost_store::keys::Keys;
use sealpost_store::{Lease, Store};

use super::Keeper;
use super::shelf::{Failure, Shelf, Stored};
use crate::config::Acme;

/// Orders what is missing and keeps the listeners up to date.
pub struct Orders {
    /// Where certificates come from.
    pub acme: Acme,
    /// How the ACME server may look whether a name is ours, the preferred first.
    pub ways: Vec<Way>,
    /// To ask the ACME server.
    pub http: HttpsClient,
    /// What listeners offer.
    pub keeper: Arc<Keeper>,
    /// What is remembered.
    pub shelf: Shelf,
    /// The log.
    pub audit: Audit,
    /// The time.
    pub clock: SharedClock,
    /// Chance.
    pub random: Random,
}

impl Orders {
    /// Where ordered certificates are remembered.
    pub fn shelf(store: &Store, keys: &Keys) -> Shelf {
        Shelf::new(store.clone(), keys.clone())
    }

    /// Orders until `stop`: this process if no other does.
    pub async fn run(self: Arc<Self>, store: Store, stop: Stop) {
        let stopping = stop.clone();
        let ordering = store.single("certificates", async move { stopping.stopping().await }, |lease| {
            let orders = Arc::clone(&self);
            async move {
                loop {
                    orders.turn(&lease).await;
                    tokio::time::sleep(TURN).await;
                }
            }
        });
        let showing = async {
            let mut minute = tokio::time::interval(TURN);
            let mut known = BTreeMap::new();
            loop {
                tokio::select! {
                    () = stop.stopping() => break,
                    _ = minute.tick() => {}
                }
                if let Err(error) = self.show(&mut known).await {
                    tracing::error!("ordered certificates can't be read: {error:#}");
                }
            }
        };
        tokio::join!(ordering, showing);
    }

    /// Offers what is on the shelf, if it is something else than `known`.
    async fn show(&self, known: &mut BTreeMap<String, [u8; 32]>) -> Result<()> {
        let stored = self.shelf.certificates().await?;
        let now: BTreeMap<_, _> =
            stored.iter().map(|s| (s.name.clone(), sha256(s.chain.as_bytes()))).collect();
        if now == *known {
            return Ok(());
        }
        // One that can't be used is left out: the others are good.
        let load = |s: &Stored| {
            s.certificate().inspect_err(|e| tracing::error!("an ordered certificate can't be used: {e}")).ok()
        };
        self.keeper.ordered(stored.iter().filter_map(load).collect())?;
        *known = now;
        tracing::info!(certificates = known.len(), "ordered certificates are offered");
        Ok(())
    }

    /// Looks at every name once.
    async fn turn(&self, lease: &Lease) {
        let looked = async {
            let stored = self.shelf.certificates().await?;
            let failures = self.shelf.failures().await?;
            self.shelf.forget(self.clock.now().minus(CHALLENGE_LIFE)).await?;
            anyhow::Ok((stored, failures))
        };
        let (stored, failures) = match looked.await {
            Ok(found) => found,
            Err(error) => return tracing::error!("certificates can't be ordered: {error:#}"),
        };
        let now = self.clock.now();
        for name in self.keeper.wanted() {
            let have = stored.iter().find(|s| s.name == name).and_then(|s| s.certificate().ok());
            let failed = failures.iter().find(|f| f.name == name);
            let renew_at = have.as_ref().and_then(renewal);
            if renew_at.is_some_and(|at| now < at) || failed.is_some_and(|f| now.seconds() < f.next) {
                continue;
            }
            let ended = self.order(&name, failed, lease).await;
            if let Err(error) = ended {
                tracing::error!("what became of an order can't be kept: {error:#}");
            }
        }
        let mut known = BTreeMap::new();
        if let Err(error) = self.show(&mut known).await {
            tracing::error!("ordered certificates can't be read: {error:#}");
        }
    }

    /// Orders one, and notes what came of it: on the shelf and in the log.
    async fn order(&self, name: &str, failed: Option<&Failure>, lease: &Lease) -> Result<()> {
        let draft =
            Draft::new(sealpost_audit::instance(), &Actor::System, &Client::SYSTEM, Verb::Certificate)
                .note("name", name);
        match self.issue(name, lease).await {
            Ok(stored) => {
                self.shelf.set_certificate(&stored, self.audit.seal(draft).await?, lease).await?;
                self.shelf.set_failure(name, None, None, lease).await?;
                tracing::info!(name, "a certificate was issued");
            }
            Err(error) => {
                let tries = failed.map_or(0, |f| f.tries).saturating_add(1);
                let wait = backoff(tries, self.random.bytes::<1>()[0]);
                let next = self.clock.now().plus(wait).seconds();
                let why = format!("{error:#}");
                tracing::error!(name, tries, again_in = wait.as_secs(), "no certificate: {why}");
                let failure = Failure { name: name.to_owned(), tries, why: why.clone(), next };
                let entry = self.audit.seal(draft.failed().note("why", why)).await?;
                self.shelf.set_failure(name, Some(&failure), Some(entry), lease).await?;
            }
        }
        Ok(())
    }

    async fn issue(&self, name: &str, lease: &Lease) -> Result<Stored> {
        let directory = &self.acme.directory;
        let account = match self.shelf.account(directory).await? {
            Some(text) => Account::open(&self.http, &text).await?,
            None => {
                let (account, text) =
                    Account::create(&self.http, directory, self.acme.contact.as_deref()).await?;
                self.shelf.set_account(directory, &text, lease).await.context("the account can't be kept")?;
                account
            }
        };
        Ok(Stored::new(name, &account.order(name, &self.ways, self).await?))
    }
}

impl Responder for Orders {
    fn show<'a>(&'a self, challenge: &'a Challenge) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            if let Some(certificate) = &challenge.certificate {
                self.keeper.offered.challenge(&challenge.name, certificate);
                return Ok(());
            }
            self.shelf.show(&challenge.token, &challenge.answer).await.map_err(|e| format!("{e:#}"))
        })
    }

    fn hide<'a>(&'a self, challenge: &'a Challenge) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.keeper.offered.forget(&challenge.name);
            if challenge.certificate.is_none()
                && let Err(error) = self.shelf.hide(&challenge.token).await
            {
                tracing::warn!("a challenge stays open for an hour: {error:#}");
            }
        })
    }
}

/// When a certificate is renewed: at two thirds of its life, less up to a twentieth that is its own.
pub fn renewal(certificate: &ServerCertificate) -> Option<Time> {
    let (from, until) = certificate.validity()?;
    let life = until.since(from);
    let [first, second, ..] = sha256(certificate.chain().first()?);
    let own = u32::from(u16::from_be_bytes([first, second]));
    Some(from.plus(life * 2 / 3).minus(life / 20 * own / 65_536))
}

/// A minute, then four times as long each, up to six hours; somewhat more or less by chance.
fn backoff(tries: u32, chance: u8) -> Duration {
    let usual = Duration::from_secs(60) * 4_u32.saturating_pow(tries.saturating_sub(1)).min(360);
    usual * (230 + u32::from(chance) / 5) / 256
}

/// How often names are looked at.
const TURN: Duration = Duration::from_secs(60);
/// Challenges that a crash left open are forgotten after it.
const CHALLENGE_LIFE: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use sealpost_net::LocalCa;

    use super::*;

    #[test]
    fn renewal_comes_at_two_thirds_and_not_for_all_at_once() {
        let now = Time::from_seconds(1_795_300_822);
        let day = Duration::from_secs(86_400);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..8 {
            // Valid from a day before for 825 days.
            let made = LocalCa::create(&["a.test"], now).expect("made").server().expect("loads");
            let at = renewal(&made).expect("it has a time");
            let two_thirds = now.minus(day).plus(day * 550);
            assert!(at <= two_thirds && at > two_thirds.minus(day * 42), "{}", at.rfc3339());
            seen.insert(at.seconds());
        }
        assert!(seen.len() > 4, "{seen:?}");
    }

    #[test]
    fn tries_are_spaced_further_and_further() {
        let spaced: Vec<u64> = (1..8).map(|n| backoff(n, 128).as_secs()).collect();
        assert_eq!(spaced, [59, 239, 956, 3_825, 15_300, 21_515, 21_515]);
        assert!(backoff(1, 0) < backoff(1, 255) && backoff(u32::MAX, 255) < Duration::from_secs(8 * 3600));
    }
}
