//! The open folder as the client knows it: which message has which number, and what it was not yet told.
//!
//! The one rule that everything here serves: a message's number means the same to both sides at all times. Entries are
//! those that the client was told of; one that vanished stays in its place until EXPUNGE may be said (RFC 9051 section
//! 7.5.1), and a new one joins at the end together with its EXISTS.

use sealpost_mailbox::{Changes, Entry};
use sealpost_model::FolderId;

use crate::codec::{SequenceSet, Writer};
use crate::session::flags::Keywords;

pub(crate) struct Selected {
    pub folder: FolderId,
    pub read_only: bool,
    /// Lowest UID first.
    pub entries: Vec<Entry>,
    /// Up to where changes were read.
    pub modseq: i64,
    pub keywords: Keywords,
    /// UIDs in `entries` that are gone, lowest first.
    gone: Vec<u32>,
}

/// What the client has to be told after [`Selected::take`]; positions in `entries`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    pub changed: Vec<usize>,
    pub more: bool,
}

impl Selected {
    pub fn new(
        folder: FolderId,
        read_only: bool,
        entries: Vec<Entry>,
        modseq: i64,
        keywords: Keywords,
    ) -> Self {
        Self { folder, read_only, entries, modseq, keywords, gone: Vec::new() }
    }

    /// Positions of the messages in a set, in order. A message number that does not exist is an error; a UID that does
    /// not is passed over (RFC 9051 sections 6.4.9 and 9, `seq-number`).
    pub fn positions(&self, set: &SequenceSet, uid: bool) -> Result<Vec<usize>, String> {
        let count = self.entries.len();
        if uid {
            let last = self.entries.last().map_or(0, |entry| entry.uid);
            let spans = set.ranges(last).into_iter().map(|(from, to)| {
                self.entries.partition_point(|entry| entry.uid < from)
                    ..self.entries.partition_point(|entry| entry.uid <= to)
            });
            return Ok(spans.flatten().collect());
        }
        let written = set.largest_written() as usize;
        if written > count {
            return Err(format!("There is no message {written}: the folder holds {count}"));
        }
        let last = u32::try_from(count).unwrap_or(u32::MAX);
        Ok(set.ranges(last).into_iter().flat_map(|(from, to)| from as usize - 1..to as usize).collect())
    }

    /// The position of a UID.
    pub fn position(&self, uid: u32) -> Option<usize> {
        self.entries.binary_search_by_key(&uid, |entry| entry.uid).ok()
    }

    pub fn entry(&self, position: usize) -> Option<&Entry> {
        self.entries.get(position)
    }

    /// Takes an entry as it is now; says whether that is news. `modseq` counts as news too where `condstore` is on.
    pub fn update(&mut self, now: &Entry, condstore: bool) -> Option<usize> {
        let position = self.position(now.uid)?;
        let known = self.entries.get_mut(position)?;
        if now.modseq < known.modseq {
            return None;
        }
        let news = known.flags != now.flags || (condstore && known.modseq != now.modseq);
        *known = *now;
        news.then_some(position)
    }

    /// Takes what changed in the folder.
    pub fn take(&mut self, changes: &Changes, condstore: bool) -> News {
        let mut news = News::default();
        let last = self.entries.last().map_or(0, |entry| entry.uid);
        let mut fresh: Vec<Entry> = Vec::new();
        for entry in &changes.changed {
            if entry.uid > last {
                fresh.push(*entry)
            } else {
                news.changed.extend(self.update(entry, condstore))
            }
        }
        // A change may be told twice where the folder went on changing while it was read: the later one counts.
        fresh.sort_by_key(|entry| (entry.uid, std::cmp::Reverse(entry.modseq)));
        fresh.dedup_by_key(|entry| entry.uid);
        fresh.retain(|entry| changes.vanished.binary_search(&entry.uid).is_err());
        news.more = !fresh.is_empty();
        self.entries.append(&mut fresh);
        news.changed.sort_unstable();
        news.changed.dedup();
        let mut gone: Vec<u32> =
            changes.vanished.iter().copied().filter(|&uid| self.position(uid).is_some()).collect();
        self.gone.append(&mut gone);
        self.gone.sort_unstable();
        self.gone.dedup();
        self.modseq = self.modseq.max(changes.modseq);
        news
    }

    /// Says EXPUNGE for what is gone: highest number first, so that each number still means what it meant.
    pub fn expunge(&mut self, w: &mut Writer) {
        if self.gone.is_empty() {
            return;
        }
        let gone = std::mem::take(&mut self.gone);
        for position in gone.iter().rev().filter_map(|&uid| self.position(uid)) {
            w.raw("* ").number(position as u64 + 1).raw(" EXPUNGE\r\n");
        }
        self.entries.retain(|entry| gone.binary_search(&entry.uid).is_err());
    }
}

#[cfg(test)]
mod tests {
    use sealpost_model::{EntryId, Flags, Id, Time};

    use super::*;
    use crate::codec::Star;

    fn entry(uid: u32, modseq: i64, flags: Flags) -> Entry {
        let (id, received) = (EntryId::from_raw(i64::from(uid)), Time::from_millis(0));
        Entry { id, uid, flags, modseq, size: 1, received }
    }

    fn selected(uids: &[u32]) -> Selected {
        let entries = uids.iter().map(|&uid| entry(uid, 1, Flags::NONE)).collect();
        Selected::new(FolderId::from_raw(1), false, entries, 1, Keywords::default())
    }

    fn set(from: Star, to: Star) -> SequenceSet {
        SequenceSet(vec![(from, to)])
    }

    #[test]
    fn sets_become_positions() {
        let s = selected(&[3, 5, 9]);
        let all = set(Star::Number(1), Star::Last);
        assert_eq!(s.positions(&all, false), Ok(vec![0, 1, 2]));
        assert_eq!(s.positions(&all, true), Ok(vec![0, 1, 2]));
        assert_eq!(s.positions(&set(Star::Number(4), Star::Number(8)), true), Ok(vec![1]));
        assert_eq!(s.positions(&set(Star::Number(100), Star::Last), true), Ok(vec![2]));
        assert!(s.positions(&set(Star::Number(2), Star::Number(4)), false).is_err());
        assert_eq!(selected(&[]).positions(&all, true), Ok(vec![]));
        assert_eq!(selected(&[]).positions(&set(Star::Last, Star::Last), false), Ok(vec![]));
    }

    #[test]
    fn many_ranges_name_a_message_once() {
        let s = selected(&(1..=1_000).map(|n| n * 3).collect::<Vec<_>>());
        let every: Vec<usize> = (0..1_000).collect();
        let last = Star::Number(u32::MAX);
        assert_eq!(s.positions(&set(Star::Number(1), last), true), Ok(every.clone()));
        assert!(s.positions(&set(Star::Number(1), last), false).is_err());
        let many = SequenceSet(vec![(Star::Number(1), Star::Last); 30_000]);
        assert_eq!(s.positions(&many, true), Ok(every.clone()));
        assert_eq!(s.positions(&many, false), Ok(every));
    }

    #[test]
    fn numbers_stay_until_expunge_is_said() {
        let mut s = selected(&[3, 5, 9]);
        let changes = Changes {
            changed: vec![entry(9, 4, Flags::SEEN), entry(12, 3, Flags::NONE)],
            vanished: vec![2, 3, 5],
            modseq: 4,
        };
        let news = s.take(&changes, false);
        assert_eq!(news, News { changed: vec![2], more: true });
        assert_eq!(s.entries.len(), 4);
        assert_eq!(s.position(9), Some(2));
        let mut w = Writer::default();
        s.expunge(&mut w);
        assert_eq!(w.out, b"* 2 EXPUNGE\r\n* 1 EXPUNGE\r\n"[..]);
        assert_eq!(s.entries.iter().map(|e| e.uid).collect::<Vec<_>>(), [9, 12]);
        assert!(s.gone.is_empty());
        assert_eq!(s.modseq, 4);
    }

    #[test]
    fn what_came_and_went_unseen_is_not_told() {
        let mut s = selected(&[3]);
        let changes = Changes { changed: vec![entry(4, 2, Flags::NONE)], vanished: vec![4], modseq: 3 };
        assert_eq!(s.take(&changes, false), News::default());
        assert_eq!(s.entries.len(), 1);
    }

    #[test]
    fn what_is_known_is_no_news() {
        let mut s = selected(&[3]);
        assert_eq!(s.update(&entry(3, 2, Flags::SEEN), false), Some(0));
        let again = Changes { changed: vec![entry(3, 2, Flags::SEEN)], vanished: vec![], modseq: 2 };
        assert_eq!(s.take(&again, true), News::default());
        assert_eq!(s.update(&entry(3, 3, Flags::SEEN), false), None);
        assert_eq!(s.update(&entry(3, 4, Flags::SEEN), true), Some(0));
        // an older state, read before the newer one was stored
        assert_eq!(s.update(&entry(3, 3, Flags::NONE), true), None);
        assert_eq!(s.entries[0].flags, Flags::SEEN);
    }
}
