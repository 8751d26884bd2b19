//! The change feed: who watches a topic hears, after the commit, that there is something new.
//!
//! Nothing is handed over but "look again", and many changes may be one call: the watcher reads what changed since
//! its own MODSEQ. So nothing is ever lost by a slow watcher, and a watcher costs nothing while nothing happens.
//! Watch first, then read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sealpost_model::{AccountId, PickupId, TenantId};
use tokio::sync::watch;

/// What can be watched.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Topic {
    /// A mailbox's folders and entries.
    Account(AccountId),
    /// Something may be due for a courier.
    Queue,
    /// A tenant's log has entries that are not yet in its tree.
    Audit(TenantId),
    /// A message that waits to be picked up.
    Pickup(PickupId),
    /// Sessions were closed.
    Sessions,
}

/// Where to [`watch`](Self::watch). Clones share it.
#[derive(Clone, Default)]
pub struct Feed {
    topics: Arc<Mutex<HashMap<Topic, watch::Sender<()>>>>,
}

impl Feed {
    /// Hears of commits from now on.
    pub fn watch(&self, topic: Topic) -> Watch {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = topics.entry(topic).or_insert_with(|| watch::Sender::new(()));
        Watch { changed: sender.subscribe(), topic, feed: self.clone() }
    }

    /// Tells the watchers; each topic once.
    pub(crate) fn publish(&self, events: &mut Vec<Topic>) {
        if events.is_empty() {
            return;
        }
        events.sort_unstable();
        events.dedup();
        let topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        for sender in events.drain(..).filter_map(|topic| topics.get(&topic)) {
            sender.send_modify(|()| ());
        }
    }
}

#[cfg(test)]
impl Feed {
    pub(crate) fn len(&self) -> usize {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// One watcher of one topic.
pub struct Watch {
    changed: watch::Receiver<()>,
    topic: Topic,
    feed: Feed,
}

impl Watch {
    /// Waits until something was committed since the watch began or since the last call returned. May be dropped and
    /// called again: nothing is lost.
    pub async fn changed(&mut self) {
        // The sender lives as long as its watchers: the map lets it go in their `drop` only.
        if self.changed.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether [`changed`](Self::changed) would return at once; does not forget it.
    pub fn is_due(&self) -> bool {
        self.changed.has_changed().unwrap_or(false)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut topics = self.feed.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if topics.get(&self.topic).is_some_and(|sender| sender.receiver_count() <= 1) {
            topics.remove(&self.topic);
        }
    }
}
