//! The orderly end: stop accepting, finish the command in hand, cut what is left.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// Ends what holds its [`Stop`].
#[derive(Clone, Debug)]
pub struct Stopper(Arc<watch::Sender<Phase>>);

/// Tells a task when to end. Cheap to clone; every session has one.
#[derive(Clone, Debug)]
pub struct Stop {
    phase: watch::Receiver<Phase>,
    grace: Duration,
    /// Kept so that [`Stop::never`] does not look like a stopper that was dropped.
    _stopper: Option<Stopper>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Phase {
    Running,
    Stopping,
    Now,
}

impl Stopper {
    /// A stopper, and the token that tells of it. Sessions get `grace` to finish.
    pub fn new(grace: Duration) -> (Self, Stop) {
        let (tx, phase) = watch::channel(Phase::Running);
        (Self(Arc::new(tx)), Stop { phase, grace, _stopper: None })
    }

    /// Begins the orderly end.
    pub fn stop(&self) {
        self.raise(Phase::Stopping);
    }

    /// Ends the grace too.
    pub fn now(&self) {
        self.raise(Phase::Now);
    }

    fn raise(&self, to: Phase) {
        self.0.send_if_modified(|phase| {
            let higher = *phase < to;
            if higher {
                *phase = to;
            }
            higher
        });
    }
}

impl Stop {
    /// A token that never says stop.
    pub fn never() -> Self {
        let (stopper, mut stop) = Stopper::new(Duration::MAX);
        stop._stopper = Some(stopper);
        stop
    }

    /// Whether the end has begun.
    pub fn is_stopping(&self) -> bool {
        *self.phase.borrow() >= Phase::Stopping || self.phase.has_changed().is_err()
    }

    /// Returns when the end begins; at once when it has. A stopper that was dropped counts as one that said stop.
    pub async fn stopping(&self) {
        self.reached(Phase::Stopping).await;
    }

    /// Returns when the grace is over: sessions that still run are cut.
    pub async fn deadline(&self) {
        self.stopping().await;
        tokio::select! {
            () = tokio::time::sleep(self.grace) => {}
            () = self.reached(Phase::Now) => {}
        }
    }

    async fn reached(&self, want: Phase) {
        let mut phase = self.phase.clone();
        // An error means that the stopper is gone, so nobody could say stop any more: for `Stopping` that is the end,
        // while the grace still runs.
        let gone = phase.wait_for(|p| *p >= want).await.is_err();
        if gone && want == Phase::Now {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn grace_runs_after_stop_and_ends_at_now() {
        let (stopper, stop) = Stopper::new(Duration::from_secs(30));
        assert!(!stop.is_stopping());
        stopper.stop();
        stop.stopping().await;
        let start = tokio::time::Instant::now();
        stop.deadline().await;
        assert_eq!(start.elapsed(), Duration::from_secs(30));
        let start = tokio::time::Instant::now();
        stopper.now();
        stop.deadline().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_stopper_stops_and_never_does_not() {
        let (stopper, stop) = Stopper::new(Duration::from_secs(1));
        drop(stopper);
        assert!(stop.is_stopping());
        stop.deadline().await;
        let never = Stop::never();
        assert!(!never.is_stopping());
        assert!(tokio::time::timeout(Duration::from_secs(3600), never.stopping()).await.is_err());
    }
}
