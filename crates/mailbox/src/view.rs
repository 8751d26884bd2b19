//! What a folder looks like, and what changed since.

use sealpost_model::{Actor, EntryId, Flags, FolderId, Time};
use sealpost_store::{Row, params};

use crate::change::CHUNK;
use crate::folder::narrow;
use crate::{Caller, Error, Folder, Mailboxes, schema};

/// The hot facts of a message in a folder: 48 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its id; it stays when the message moves.
    pub id: EntryId,
    /// Its UID in this folder.
    pub uid: u32,
    /// Its flags and keywords.
    pub flags: Flags,
    /// When it last changed, in the account's count.
    pub modseq: i64,
    /// Bytes, as IMAP counts them (RFC822.SIZE).
    pub size: u32,
    /// INTERNALDATE.
    pub received: Time,
}

/// A folder with all its entries, lowest UID first.
#[derive(Clone, Debug)]
pub struct View {
    /// The folder.
    pub folder: Folder,
    /// Its entries.
    pub entries: Vec<Entry>,
}

/// What changed in a folder after some MODSEQ.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Entries that are new or have other flags, lowest MODSEQ first.
    pub changed: Vec<Entry>,
    /// UIDs that are gone, lowest first.
    pub vanished: Vec<u32>,
    /// Up to where this goes: ask again from here.
    pub modseq: i64,
}

/// Rows a read closure returns at most: the write-ahead log must not wait for a reader.
const PAGE: i64 = 1_000;

/// As many of changed and of vanished rows. A change touches at most [`CHUNK`] rows under one MODSEQ, so that a full
/// page always holds a whole MODSEQ and gets on.
const CHANGES: i64 = CHUNK as i64 + 1;

impl Mailboxes {
    /// Whether somebody else looks into a person's mailbox. Receipts, which hold codes, are the owner's alone (S27); a
    /// mailbox that is nobody's own has none to keep them from.
    async fn delegated(&self, caller: &Caller) -> Result<bool, Error> {
        let owner = self.facts(caller.access.target()).await?.owner;
        let actor = match caller.access.actor() {
            Actor::Person { person, .. } => Some(person),
            _ => None,
        };
        Ok(owner.is_some() && owner != actor)
    }

    /// The folder with all its entries. Nothing sealed is opened but the folder's name.
    ///
    /// # Errors
    /// [`Error::NoFolder`] and the store's.
    pub async fn open(&self, caller: &Caller, folder: FolderId) -> Result<View, Error> {
        let state = self.folder(caller, folder).await?;
        let mut entries = Vec::with_capacity(state.messages as usize);
        loop {
            let after = entries.last().map_or(0, |e: &Entry| e.uid);
            let page = self
                .inner
                .store
                .read(move |tx| tx.rows(&schema::VIEW, params![folder, i64::from(after), PAGE], entry))
                .await?;
            let full = page.len() == PAGE as usize;
            entries.extend(page);
            if !full {
                if self.delegated(caller).await? {
                    entries.retain(|e| !e.flags.contains(Flags::RECEIPT));
                }
                // Pages are read one after the other: what came in or changed meanwhile is told by `changes`
                // from the folder's MODSEQ on, which was read first.
                return Ok(View { folder: state, entries });
            }
        }
    }

    /// What changed in a folder after `since`.
    ///
    /// # Errors
    /// [`Error::NoFolder`] and the store's.
    pub async fn changes(&self, caller: &Caller, folder: FolderId, since: i64) -> Result<Changes, Error> {
        let account = caller.access.target();
        let mut changes = Changes { modseq: since, ..Changes::default() };
        loop {
            let from = changes.modseq;
            let (modseq, changed, vanished) = self
                .inner
                .store
                .read(move |tx| {
                    let Some(modseq) = tx.row(&schema::FOLDER, params![account, folder], |r| r.int(6))?
                    else {
                        return Err(Error::NoFolder);
                    };
                    if modseq <= from {
                        return Ok((from, Vec::new(), Vec::new()));
                    }
                    let changed = tx.rows(&schema::CHANGED, params![folder, from, CHANGES], entry)?;
                    let vanished = tx.rows(&schema::VANISHED, params![folder, from, CHANGES], |r| {
                        Ok((narrow(r.int(0)?), r.int(1)?))
                    })?;
                    Ok((modseq, changed, vanished))
                })
                .await?;
            // All rows of one MODSEQ belong together: a full page may have cut its last one.
            let whole = |rows: usize, last: Option<i64>| match last {
                Some(last) if rows == CHANGES as usize => last - 1,
                _ => modseq,
            };
            let upto = whole(changed.len(), changed.last().map(|e| e.modseq))
                .min(whole(vanished.len(), vanished.last().map(|(_, modseq)| *modseq)));
            changes.changed.extend(changed.into_iter().filter(|e| e.modseq <= upto));
            changes.vanished.extend(vanished.into_iter().filter(|(_, m)| *m <= upto).map(|(uid, _)| uid));
            changes.modseq = upto;
            if upto == modseq {
                if self.delegated(caller).await? {
                    changes.changed.retain(|e| !e.flags.contains(Flags::RECEIPT));
                }
                changes.vanished.sort_unstable();
                return Ok(changes);
            }
        }
    }
}

pub(crate) fn entry(r: &Row<'_>) -> Result<Entry, sealpost_store::Error> {
    Ok(Entry {
        uid: narrow(r.int(0)?),
        id: r.id(1)?,
        modseq: r.int(2)?,
        flags: Flags::from_bits(r.int(3)?),
        size: narrow(r.int(4)?),
        received: Time::from_millis(r.int(5)?),
    })
}
