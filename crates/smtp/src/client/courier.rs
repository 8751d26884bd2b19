//! The courier that delivery calls.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use sealpost_crypto::Random;
use sealpost_delivery::{Batch, Courier, Future, MessageReader, Outcome};
use sealpost_model::{Domain, QueueId};
use sealpost_net::TlsClient;
use sealpost_net::dns::Resolver;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::letter::{Content, Letter};
use super::target::Route;
use super::transfer::{Group, transfer};

/// How mail leaves (`[outbound]`).
pub struct Settings {
    /// Looks names up.
    pub resolver: Arc<dyn Resolver>,
    /// Whom we believe.
    pub tls: TlsClient,
    /// Our name in EHLO.
    pub helo: String,
    /// The port of others' servers: 25.
    pub port: u16,
    /// The address to connect from.
    pub bind: Vec<IpAddr>,
    /// Domains whose mail goes to a host that an administrator named.
    pub routes: Vec<(Domain, Route)>,
    /// For the order of equal hosts.
    pub random: Random,
}

/// Carries messages to others' servers by SMTP. Cheap to clone.
#[derive(Clone)]
pub struct SmtpCourier {
    settings: Arc<Settings>,
    /// Bounds connections over all batches.
    places: Arc<Semaphore>,
}

impl SmtpCourier {
    /// A courier with at most `connections` at once.
    pub fn new(settings: Settings, connections: usize) -> Self {
        Self { settings: Arc::new(settings), places: Arc::new(Semaphore::new(connections.max(1))) }
    }

    async fn carry_all(&self, batch: &Batch) -> Vec<(QueueId, Outcome)> {
        let letter = Letter::new(batch.from.clone(), batch.message.clone());
        let mut running = JoinSet::new();
        for group in groups(batch) {
            let (courier, letter) = (self.clone(), letter.clone());
            running.spawn(async move {
                let _place = courier.places.acquire().await;
                transfer(&courier.settings, &letter, group).await
            });
        }
        let mut outcomes = Vec::with_capacity(batch.jobs.len());
        while let Some(done) = running.join_next().await {
            match done {
                Ok(some) => outcomes.extend(some),
                // Its rows stay without an outcome, which is a retry.
                Err(error) => tracing::error!(%error, submission = ?batch.submission, "a transfer panicked"),
            }
        }
        outcomes
    }
}

impl Courier for SmtpCourier {
    fn carry<'a>(&'a self, batch: &'a Batch) -> Future<'a, Vec<(QueueId, Outcome)>> {
        Box::pin(self.carry_all(batch))
    }
}

/// The batch by domain and floor, in the batch's order.
fn groups(batch: &Batch) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for job in &batch.jobs {
        let to = (job.id, job.recipient.clone());
        let domain = job.recipient.domain();
        match groups.iter_mut().find(|g| g.domain == *domain && g.floor == job.floor) {
            Some(group) => group.to.push(to),
            None => groups.push(Group { domain: domain.clone(), floor: job.floor, to: vec![to] }),
        }
    }
    groups
}

impl Content for MessageReader {
    fn len(&self) -> u64 {
        Self::len(self)
    }

    async fn read(&self, range: Range<u64>) -> Option<Vec<u8>> {
        match Self::read(self, range).await {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                tracing::error!(%error, "a message that waits to be sent can't be read");
                None
            }
        }
    }
}
