//! Reads a message's bytes as it is shown.

use std::ops::Range;
use std::sync::Arc;

use sealpost_audit::Verb;
use sealpost_crypto::Key;
use sealpost_message::Span;
use sealpost_model::{BlobId, EntryId};
use sealpost_store::{BlobRow, Store};

use crate::content::{open_key, open_summary};
use crate::{Caller, Error, Mailboxes, Summary};

/// One message, open for reading: ranges are those of the message as it is shown, without what is hidden.
#[derive(Clone)]
pub struct MessageReader {
    store: Store,
    row: Arc<BlobRow>,
    key: Key,
    summary: Arc<Summary>,
}

impl Mailboxes {
    /// Opens a message. One audit entry covers all ranges that are then read (S53).
    ///
    /// # Errors
    /// [`Error::NoEntry`], [`Error::Corrupt`], and the store's and the log's.
    pub async fn reader(&self, caller: &Caller, id: EntryId) -> Result<MessageReader, Error> {
        let facts = self.facts(caller.access.target()).await?;
        let (_, row) = self.sealed(&facts, &[id]).await?.pop().ok_or(Error::NoEntry)?;
        self.log_read(caller, Verb::ReadMessage, [id].into_iter()).await?;
        let summary = Arc::new(open_summary(&facts, id, &row)?);
        MessageReader::open(self.inner.store.clone(), row.blob, open_key(&facts, id, &row)?, summary).await
    }

    /// A whole message or a range of it, as it is shown.
    ///
    /// # Errors
    /// As [`Mailboxes::reader`].
    pub async fn read(
        &self,
        caller: &Caller,
        id: EntryId,
        range: Option<Range<u64>>,
    ) -> Result<Vec<u8>, Error> {
        let reader = self.reader(caller, id).await?;
        let range = range.unwrap_or(0..reader.len());
        reader.read(range).await
    }
}

impl MessageReader {
    /// Opens a body whose key is at hand: for couriers and portal, which have their own proof and log entry.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when its row is missing, and the store's.
    pub async fn open(store: Store, blob: BlobId, key: Key, summary: Arc<Summary>) -> Result<Self, Error> {
        let row = store
            .read(move |tx| sealpost_store::blob::locate(tx, blob))
            .await?
            .ok_or(Error::Corrupt { what: "blob", id: sealpost_model::Id::raw(blob) })?;
        Ok(Self { store, row: Arc::new(row), key, summary })
    }

    /// Bytes of the message as it is shown.
    pub fn len(&self) -> u64 {
        self.summary.structure.size
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its structure, envelope and preview.
    pub fn summary(&self) -> &Arc<Summary> {
        &self.summary
    }

    /// The body that it reads.
    pub fn blob(&self) -> BlobId {
        self.row.id
    }

    /// The body's key, to wrap it for one more owner of its life.
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// A range of the message as it is shown, cut to its length.
    ///
    /// # Errors
    /// [`Error::Corrupt`] through the store, when a byte was changed.
    pub async fn read(&self, range: Range<u64>) -> Result<Vec<u8>, Error> {
        let end = range.end.min(self.len());
        let start = range.start.min(end);
        let mut out = Vec::with_capacity(usize::try_from(end - start).unwrap_or(0));
        for stored in stored_ranges(&self.summary.hidden, start, end) {
            out.extend(self.store.blobs().read((*self.row).clone(), &self.key, stored).await?);
        }
        Ok(out)
    }
}

/// The stored ranges that show bytes `start..end` of the message, in order.
fn stored_ranges(hidden: &[Span], start: u64, end: u64) -> Vec<Range<u64>> {
    let mut out = Vec::with_capacity(1);
    // `shift` hidden bytes lie before the piece that is looked at; it shows bytes `seen..seen + length`.
    let (mut seen, mut at) = (0u64, 0u64);
    let tail = Span::new(u64::MAX, u64::MAX);
    for gap in hidden.iter().chain([&tail]) {
        let length = gap.start - at;
        let from = start.max(seen);
        let to = end.min(seen.saturating_add(length));
        if from < to {
            out.push(at + (from - seen)..at + (to - seen));
        }
        seen = seen.saturating_add(length);
        if seen >= end {
            break;
        }
        at = gap.end;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_bytes_are_jumped_over() {
        let stored = b"AAhhBBBhCC";
        let hidden = [Span::new(2, 4), Span::new(7, 8)];
        let shown = b"AABBBCC";
        for start in 0..=shown.len() {
            for end in start..=shown.len() {
                let got: Vec<u8> = stored_ranges(&hidden, start as u64, end as u64)
                    .into_iter()
                    .flat_map(|r| stored[r.start as usize..r.end as usize].to_vec())
                    .collect();
                assert_eq!(got, shown[start..end], "{start}..{end}");
            }
        }
        assert_eq!(stored_ranges(&[], 3, 9), std::slice::from_ref(&(3..9)));
        assert_eq!(stored_ranges(&[Span::new(0, 5)], 0, 2), std::slice::from_ref(&(5..7)));
    }
}
