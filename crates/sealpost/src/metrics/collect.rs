//! Where the numbers come from.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sealpost_model::{Counter, Time, Timing};
use sealpost_net::Gate;

use super::Samples;
use crate::certificates::Keeper;
use crate::certificates::shelf::Shelf;
use crate::config::Config;
use crate::instance::Instance;

/// Each listener's word with its gate.
pub type Doors = BTreeMap<&'static str, Gate>;

/// What is asked.
pub struct Sources {
    /// The services.
    pub instance: Instance,
    /// The configuration.
    pub config: Config,
    /// The certificates.
    pub keeper: Arc<Keeper>,
    /// Ordered certificates.
    pub shelf: Shelf,
    /// The listeners.
    pub doors: Doors,
    /// When the server started.
    pub started: Time,
}

impl Sources {
    /// What all families have now. What can't be known is -1, or left out.
    pub(super) async fn collect(&self) -> Samples {
        let Self { instance, config, keeper, shelf, doors, started } = self;
        let now = instance.clock.now();
        let one = |number: f64| vec![(String::new(), number)];
        let each = |of: &dyn Fn(&Gate) -> f64| {
            doors.iter().map(|(word, gate)| ((*word).to_owned(), of(gate))).collect()
        };
        let count = |c: &Counter| number(c.count());
        let seconds = |t: &Timing| t.total().as_secs_f64();
        let (queued, oldest) = match instance.delivery.queue_facts().await {
            Ok((queued, oldest)) => (number(queued), oldest.map_or(0.0, |at| now.since(at).as_secs_f64())),
            Err(_) => (-1.0, -1.0),
        };
        let failing = match config.tls.acme {
            Some(_) => shelf.failures().await.map_or(-1.0, |f| number(f.len() as u64)),
            None => 0.0,
        };
        let (messages, store) = (instance.delivery.meters(), instance.store.meters());
        let ring = instance.keys.ring();
        let places = [("data", config.server.data.as_path()), ("ring", config.keys.ring.as_path())];
        let disk = |of: fn(&rustix::fs::StatVfs) -> u64| -> Vec<(String, f64)> {
            let space = |(word, path): (&str, &Path)| {
                let disk = rustix::fs::statvfs(path).ok()?;
                Some((word.to_owned(), number(of(&disk))))
            };
            places.into_iter().filter_map(space).collect()
        };
        let anchors = instance.audit.anchors();
        let behind = anchors.iter().map(|a| a.written.map_or(-1.0, |at| now.since(at).as_secs_f64()));
        let never = anchors.is_empty() || anchors.iter().any(|a| a.written.is_none());
        let names = config.host_names();
        let days = names.iter().map(|name| {
            keeper.offered.valid_until(name).map_or(-1.0, |until| until.since(now).as_secs_f64() / 86_400.0)
        });
        vec![
            ("sealpost_info", vec![(env!("CARGO_PKG_VERSION").to_owned(), 1.0)]),
            ("sealpost_uptime_seconds", one(now.since(*started).as_secs_f64())),
            ("sealpost_resident_memory_bytes", resident().map(one).unwrap_or_default()),
            ("sealpost_open_files", open_files().map(one).unwrap_or_default()),
            ("sealpost_connections_open", each(&|g| number(g.open() as u64))),
            ("sealpost_connections_total", each(&|g| count(&g.meters().accepted))),
            ("sealpost_connections_full_total", each(&|g| count(&g.meters().full))),
            ("sealpost_connections_fast_total", each(&|g| count(&g.meters().fast))),
            ("sealpost_connections_failed_total", each(&|g| count(&g.meters().failed))),
            ("sealpost_messages_accepted_total", one(count(&messages.accepted))),
            ("sealpost_messages_refused_total", one(count(&messages.refused))),
            ("sealpost_messages_deferred_total", one(count(&messages.deferred))),
            ("sealpost_queue_length", one(queued)),
            ("sealpost_queue_oldest_seconds", one(oldest)),
            ("sealpost_store_commits_total", one(number(store.commits.count()))),
            ("sealpost_store_commit_seconds_total", one(seconds(&store.commits))),
            ("sealpost_store_syncs_total", one(number(store.syncs.count()))),
            ("sealpost_store_sync_seconds_total", one(seconds(&store.syncs))),
            ("sealpost_life_keys", one(number(ring.len() as u64))),
            ("sealpost_ring_generation", one(number(ring.generation()))),
            ("sealpost_disk_free_bytes", disk(|d| d.f_bavail.saturating_mul(d.f_frsize))),
            ("sealpost_disk_size_bytes", disk(|d| d.f_blocks.saturating_mul(d.f_frsize))),
            ("sealpost_certificate_days", one(days.fold(f64::INFINITY, f64::min).floor())),
            ("sealpost_certificate_files_bad", one(f64::from(u8::from(keeper.failing())))),
            ("sealpost_certificate_orders_failing", one(failing)),
            ("sealpost_anchor_age_seconds", one(if never { -1.0 } else { behind.fold(0.0, f64::max) })),
            (
                "sealpost_anchors_failing",
                one(number(anchors.iter().filter(|a| a.failing.is_some()).count() as u64)),
            ),
        ]
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has no other numbers")]
fn number(n: u64) -> f64 {
    n as f64
}

/// From `/proc/self/statm`: pages.
fn resident() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(number(pages * rustix::param::page_size() as u64))
}

fn open_files() -> Option<f64> {
    Some(number(std::fs::read_dir("/proc/self/fd").ok()?.count() as u64))
}
