//! What the service manager is told: that we are ready, that we reload or stop, and, again and again, that we live.

use sd_notify::NotifyState;
use sealpost_net::Stop;
use sealpost_store::Store;

/// Every listener is bound.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The last sessions end.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says twice in each of the manager's intervals that the store still answers, until `stop`. A full disk is an answer;
/// a store that hangs is none, and then the manager starts us anew.
pub async fn watch(store: Store, stop: Stop) {
    let Some(interval) = sd_notify::watchdog_enabled() else { return };
    let mut beat = tokio::time::interval(interval / 2);
    loop {
        tokio::select! {
            () = stop.stopping() => return,
            _ = beat.tick() => {}
        }
        let asked = store.read(|_| Ok::<_, sealpost_store::Error>(()));
        tokio::select! {
            () = stop.stopping() => return,
            _ = asked => tell(&[NotifyState::Watchdog]),
        }
    }
}

/// Nobody listens where no service manager started us.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager can't be told");
    }
}
