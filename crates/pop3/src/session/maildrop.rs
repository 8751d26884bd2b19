//! The INBOX as it was at sign-in: message numbers never change during a session (RFC 1939 section 5).

use sealpost_mailbox::Entry;
use sealpost_model::{EntryId, FolderId};

/// The messages, and what is to become of them at QUIT.
pub(super) struct Maildrop {
    pub folder: FolderId,
    validity: u32,
    messages: Vec<Message>,
}

pub(super) struct Message {
    pub id: EntryId,
    pub uid: u32,
    pub size: u32,
    /// DELE marked it.
    pub deleted: bool,
    /// RETR gave it.
    pub read: bool,
}

impl Maildrop {
    pub fn new(folder: FolderId, validity: u32, entries: &[Entry]) -> Self {
        let messages = entries
            .iter()
            .map(|entry| Message {
                id: entry.id,
                uid: entry.uid,
                size: entry.size,
                deleted: false,
                read: false,
            })
            .collect();
        Self { folder, validity, messages }
    }

    /// The message of a number, if it is there and not marked.
    pub fn message(&mut self, number: u32) -> Option<&mut Message> {
        let at = usize::try_from(number.checked_sub(1)?).ok()?;
        self.messages.get_mut(at).filter(|message| !message.deleted)
    }

    /// The messages that are not marked, with their numbers.
    pub fn messages(&self) -> impl Iterator<Item = (usize, &Message)> {
        self.messages.iter().enumerate().map(|(at, m)| (at + 1, m)).filter(|(_, m)| !m.deleted)
    }

    /// How many, and how many bytes.
    pub fn stat(&self) -> (usize, u64) {
        self.messages().fold((0, 0), |(count, bytes), (_, m)| (count + 1, bytes + u64::from(m.size)))
    }

    /// Takes all marks back.
    pub fn reset(&mut self) {
        self.messages.iter_mut().for_each(|message| message.deleted = false);
    }

    /// UIDs of the messages that are marked.
    pub fn doomed(&self) -> Vec<u32> {
        self.messages.iter().filter(|m| m.deleted).map(|m| m.uid).collect()
    }

    /// UIDs of the messages that were given and stay.
    pub fn read(&self) -> Vec<u32> {
        self.messages.iter().filter(|m| m.read && !m.deleted).map(|m| m.uid).collect()
    }

    /// What UIDL says: the same in each session, for this folder's life (RFC 1939 section 7).
    pub fn unique(&self, message: &Message) -> String {
        format!("{:08x}{:08x}", self.validity, message.uid)
    }
}

#[cfg(test)]
mod tests {
    use sealpost_model::{Flags, Id, Time};

    use super::*;

    fn maildrop() -> Maildrop {
        let entry = |uid: u32, size| Entry {
            id: EntryId::from_raw(i64::from(uid)),
            uid,
            flags: Flags::NONE,
            modseq: 1,
            size,
            received: Time::from_millis(0),
        };
        Maildrop::new(FolderId::from_raw(1), 7, &[entry(3, 100), entry(9, 20), entry(10, 3)])
    }

    #[test]
    fn numbers_stay_while_messages_are_marked() {
        let mut drop = maildrop();
        drop.message(2).unwrap().deleted = true;
        drop.message(3).unwrap().read = true;
        assert!(drop.message(2).is_none() && drop.message(0).is_none() && drop.message(4).is_none());
        assert_eq!(drop.messages().map(|(n, _)| n).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(drop.stat(), (2, 103));
        assert_eq!((drop.doomed(), drop.read()), (vec![9], vec![10]));
        drop.reset();
        assert_eq!(drop.stat(), (3, 123));
        assert!(drop.doomed().is_empty());
    }

    #[test]
    fn unique_ids_are_stable_and_short() {
        let mut drop = maildrop();
        drop.message(1).unwrap().deleted = true;
        let (_, message) = drop.messages().next().unwrap();
        assert_eq!(drop.unique(message), "0000000700000009");
    }
}
