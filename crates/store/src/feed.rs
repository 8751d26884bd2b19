//! The change feed: who watches a topic hears, after the commit, that there is something new.
//!
//! Nothing is handed over but "look again", and many changes may be one call: the watcher reads what changed since
//! its own MODSEQ. So nothing is ever lost by a slow watcher, and a watcher costs nothing while nothing happens.
//! Watch first, then read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sealpost_model::{AccountId, Id, PickupId, TenantId};
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
    /// Something about people, addresses or domains changed.
    Directory,
}

impl Topic {
    /// As other nodes read it: a letter and a number.
    pub(crate) fn print(self, out: &mut Vec<u8>) {
        let (letter, id) = match self {
            Self::Account(id) => (b'a', id.raw()),
            Self::Queue => (b'q', 0),
            Self::Audit(id) => (b'l', id.raw()),
            Self::Pickup(id) => (b'p', id.raw()),
            Self::Sessions => (b's', 0),
            Self::Directory => (b'd', 0),
        };
        out.push(letter);
        out.extend_from_slice(&id.to_be_bytes());
    }

    /// Reads what [`print`](Self::print) wrote; what a newer node knows and this one doesn't is passed over.
    pub(crate) fn parse_all(bytes: &[u8], out: &mut Vec<Self>) {
        for topic in bytes.as_chunks::<9>().0 {
            let [letter, id @ ..] = *topic;
            let id = i64::from_be_bytes(id);
            out.extend(match letter {
                b'a' => Some(Self::Account(AccountId::from_raw(id))),
                b'q' => Some(Self::Queue),
                b'l' => Some(Self::Audit(TenantId::from_raw(id))),
                b'p' => Some(Self::Pickup(PickupId::from_raw(id))),
                b's' => Some(Self::Sessions),
                b'd' => Some(Self::Directory),
                _ => None,
            });
        }
    }
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

impl Feed {
    /// Tells every watcher: nobody knows what was missed.
    pub(crate) fn publish_all(&self) {
        for sender in self.topics.lock().unwrap_or_else(PoisonError::into_inner).values() {
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
