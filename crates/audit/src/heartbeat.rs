//! Signs of life in the instance's log: start, stop, and a heartbeat in between (S58).
//!
//! A log that nobody can change may still be made to stand still: the server is stopped for an hour, or its log is. So
//! one node of all writes a heartbeat every ten minutes into the log of [`crate::instance`], whether anything happens or not,
//! and each node its start and its stop. A time without a sign of life that is longer than two heartbeats and a minute,
//! without a stop before it, is named by `verify` and `check`. The tenants' own logs get none: an entry of theirs that waits is seen as
//! waiting, and what was never written leaves no trace in any log.

use std::time::Duration;

use sealpost_model::Time;

use crate::report::Silence;
use crate::{Audit, Caller, Draft, Entry, Error, HEARTBEAT, Verb};

impl Audit {
    /// Writes that this process begins to serve.
    ///
    /// # Errors
    /// It could not be written.
    pub async fn started(&self) -> Result<(), Error> {
        self.sign_of_life(Verb::Start).await
    }

    /// Writes that this process ends in order.
    ///
    /// # Errors
    /// It could not be written.
    pub async fn stopped(&self) -> Result<(), Error> {
        self.sign_of_life(Verb::Stop).await
    }

    /// Writes heartbeats, and keeps the slow anchors up to date, until it is dropped. One node of all runs it.
    pub async fn keep_watch(&self) {
        let every = self.heartbeat();
        let mut tick = tokio::time::interval(WATCH);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut next = self.now().plus(every);
        loop {
            tick.tick().await;
            self.write_anchors(false).await;
            if let Err(error) = self.ingest_offline().await {
                tracing::error!(%error, "what offline commands left could not be put into the log");
            }
            if self.now() < next {
                continue;
            }
            match self.sign_of_life(Verb::Heartbeat).await {
                Ok(()) => next = self.now().plus(every),
                Err(error) => tracing::error!(%error, "the heartbeat could not be written"),
            }
        }
    }

    fn heartbeat(&self) -> Duration {
        let every = self.inner.options.heartbeat;
        if every.is_zero() { HEARTBEAT } else { every }
    }

    pub(crate) async fn sign_of_life(&self, verb: Verb) -> Result<(), Error> {
        let Caller { actor, client } = Caller::SYSTEM;
        let mut draft = Draft::new(crate::instance(), &actor, &client, verb);
        draft.reason = format!("{EVERY}{}{SECONDS}", self.heartbeat().as_secs()).into();
        self.record(draft).await.map(drop)
    }
}

/// Follows the signs of life of a log.
#[derive(Default)]
pub(crate) struct Pulse {
    /// The last one, unless it was a stop: when, where, and how often they were to come.
    last: Option<(Time, u64, Duration)>,
    silences: Vec<Silence>,
}

impl Pulse {
    /// Looks at an entry of the log, in the order of the log.
    pub(crate) fn beat(&mut self, position: u64, entry: &Entry) {
        let verb = Verb::from_number(entry.verb);
        if !matches!(verb, Some(Verb::Start | Verb::Stop | Verb::Heartbeat)) {
            return;
        }
        let at = entry.time();
        let restarted = verb == Some(Verb::Start);
        if let Some((after, last, every)) = self.last
            && (restarted || at.since(after) > allowed(every))
            && self.silences.len() < MOST
        {
            self.silences.push(Silence { after, position: last, before: Some(at), restarted });
        }
        let every = entry.reason.strip_prefix(EVERY).and_then(|r| r.strip_suffix(SECONDS)?.parse().ok());
        let every = every.map_or(HEARTBEAT, Duration::from_secs);
        self.last = (verb != Some(Verb::Stop)).then_some((at, position, every));
    }

    /// The silences; the last one lasts until `now`, unless entries wait that nobody has looked at yet.
    pub(crate) fn end(mut self, now: Option<Time>, waiting: bool) -> Vec<Silence> {
        if let (Some((after, position, every)), Some(now), false) = (self.last, now, waiting)
            && now.since(after) > allowed(every)
        {
            self.silences.push(Silence { after, position, before: None, restarted: false });
        }
        self.silences
    }
}

fn allowed(every: Duration) -> Duration {
    every * 2 + Duration::from_secs(60)
}

const EVERY: &str = "every ";
const SECONDS: &str = " s";
const WATCH: Duration = Duration::from_secs(1);
const MOST: usize = 1000;
