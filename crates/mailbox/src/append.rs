//! Messages that come into a mailbox, from a client's APPEND or from delivery.

use std::sync::Arc;

use sealpost_audit::{Entry as AuditEntry, Object, Verb};
use sealpost_crypto::{Key, Sha256};
use sealpost_message::{Scanner, Span};
use sealpost_model::{AccountId, BlobId, EntryId, Flags, FolderId, TenantId, Time};
use sealpost_store::{BlobRef, BlobWriter, Durable, Scope, Topic, Tx, params};

use crate::account::AccountFacts;
use crate::content::{self, Sealed, Summary};
use crate::folder::{may_write, narrow};
use crate::{Caller, Entry, Error, Mailboxes, schema};

/// A message while it arrives: each piece is scanned and sealed at once, so that memory stays bounded and no plain
/// copy ever lies on disk. Dropping it forgets the key, and with it the message.
pub struct Upload {
    blob: BlobId,
    key: Key,
    writer: BlobWriter,
    scanner: Scanner,
    hash: Sha256,
    stored: u64,
    hidden: Vec<Span>,
    limit: u64,
}

/// A message that has arrived whole and is durable, but that no row names yet.
pub struct Uploaded {
    /// The body, as the store keeps it.
    pub blob: Durable<BlobRef>,
    /// The body's id.
    pub id: BlobId,
    /// The body's key.
    pub key: Key,
    /// SHA-256 of the stored bytes.
    pub sha256: [u8; 32],
    /// Stored bytes, hidden ones too.
    pub stored: u64,
    /// The message as it is shown.
    pub summary: Arc<Summary>,
    /// The top header as it is shown.
    pub header: Vec<u8>,
    encoded: Vec<u8>,
}

impl Upload {
    /// The next bytes of the message.
    ///
    /// # Errors
    /// [`Error::TooLarge`] and the store's.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.scanner.feed(bytes);
        self.store(bytes).await
    }

    /// The next bytes, which are kept but not part of the message as it is shown.
    ///
    /// # Errors
    /// [`Error::TooLarge`] and the store's.
    pub async fn write_hidden(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let (start, end) = (self.stored, self.stored + bytes.len() as u64);
        match self.hidden.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => self.hidden.push(Span::new(start, end)),
        }
        self.store(bytes).await
    }

    async fn store(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.stored += bytes.len() as u64;
        if self.stored > self.limit {
            return Err(Error::TooLarge(self.limit));
        }
        self.hash.update(bytes);
        Ok(self.writer.write(bytes).await?)
    }

    /// Bytes so far.
    pub const fn len(&self) -> u64 {
        self.stored
    }

    /// Whether nothing came yet.
    pub const fn is_empty(&self) -> bool {
        self.stored == 0
    }
}

/// An entry that is ready to be written: sealed for one account.
#[derive(Clone)]
pub struct Delivery {
    /// Its id.
    pub id: EntryId,
    /// Whose mailbox.
    pub account: AccountId,
    /// Which folder.
    pub folder: FolderId,
    flags: Flags,
    received: Time,
    size: u64,
    content: Sealed,
    facts: Arc<AccountFacts>,
}

impl Mailboxes {
    /// Begins to take a message of at most `limit` bytes for a tenant.
    pub fn upload(&self, tenant: TenantId, limit: u64) -> Upload {
        let (blob, key) = (self.inner.store.id(), self.inner.random.key());
        let writer = self.inner.store.blobs().create(tenant, blob, &key);
        Upload {
            blob,
            key,
            writer,
            scanner: Scanner::new(),
            hash: Sha256::new(),
            stored: 0,
            hidden: Vec::new(),
            limit,
        }
    }

    /// Makes an upload durable.
    ///
    /// # Errors
    /// [`Error::Message`] when its structure goes beyond the limits, and the store's.
    pub async fn finish(&self, upload: Upload) -> Result<Uploaded, Error> {
        let scanned = upload.scanner.finish();
        if scanned.faults.over_limit() {
            return Err(Error::Message(
                "it has too many parts, too deep a nesting or too long a header".into(),
            ));
        }
        let summary = Summary {
            envelope: scanned.envelope,
            structure: scanned.structure,
            preview: scanned.preview,
            hidden: upload.hidden,
        };
        let encoded = summary.encode()?;
        let blob = self.inner.store.blobs().put(upload.writer.finish()).await?;
        Ok(Uploaded {
            blob,
            id: upload.blob,
            key: upload.key,
            sha256: upload.hash.finish(),
            stored: upload.stored,
            summary: Arc::new(summary),
            header: scanned.header,
            encoded,
        })
    }

    /// Seals an entry of an account for an uploaded message. Nothing is written yet.
    ///
    /// # Errors
    /// The store's, when the account is not known.
    pub async fn seal_entry(
        &self,
        uploaded: &Uploaded,
        account: AccountId,
        folder: Option<FolderId>,
        flags: Flags,
        received: Time,
    ) -> Result<Delivery, Error> {
        let facts = self.facts(account).await?;
        let id = self.inner.store.id();
        Ok(Delivery {
            id,
            account,
            folder: folder.unwrap_or(facts.inbox),
            flags,
            received,
            size: uploaded.summary.structure.size,
            content: content::seal(self, &facts, id, uploaded.id, &uploaded.key, &uploaded.encoded),
            facts,
        })
    }

    /// Puts a message into a folder, as IMAP's APPEND does. Returns UIDVALIDITY and UID.
    ///
    /// # Errors
    /// [`Error::OverQuota`], [`Error::NoFolder`], and the store's and the log's.
    pub async fn append(
        &self,
        caller: &Caller,
        folder: FolderId,
        upload: Upload,
        flags: Flags,
        received: Option<Time>,
    ) -> Result<(u32, u32), Error> {
        may_write(caller)?;
        let account = caller.access.target();
        let received = received.unwrap_or_else(|| self.inner.clock.now());
        let uploaded = self.finish(upload).await?;
        let flags = flags.without(Flags::FACTS);
        let entry = self.seal_entry(&uploaded, account, Some(folder), flags, received).await?;
        let audit = self.audit_entry(caller, Verb::Append, [entry.id]).await?;
        let blob = uploaded.blob;
        self.inner
            .store
            .write(Scope::account(account), move |tx| {
                sealpost_store::blob::insert(tx, &blob)?;
                let placed = insert_entry(tx, &entry)?;
                sealpost_audit::insert(tx, &audit)?;
                Ok(placed)
            })
            .await
    }

    /// An audit entry of a change to messages or folders, sealed before its transaction.
    pub(crate) async fn audit_entry<O: Into<Object>>(
        &self,
        caller: &Caller,
        verb: Verb,
        objects: impl IntoIterator<Item = O>,
    ) -> Result<AuditEntry, Error> {
        let account = caller.access.target();
        let facts: Arc<AccountFacts> = self.facts(account).await?;
        let draft = self
            .inner
            .audit
            .draft(facts.tenant, &caller.access.actor(), &caller.client, verb)
            .owner(account)
            .objects(objects);
        Ok(self.inner.audit.seal(draft).await?)
    }
}

/// Writes an entry: takes a UID and a MODSEQ, counts it against the quota. Returns UIDVALIDITY and UID. The row of its
/// body is written by the caller, once for all entries.
///
/// # Errors
/// [`Error::NoFolder`], [`Error::OverQuota`], and the store's.
pub fn insert_entry(tx: &mut Tx, new: &Delivery) -> Result<(u32, u32), Error> {
    let size = i64::try_from(new.size).unwrap_or(i64::MAX);
    let (modseq, used, quota) = tx
        .row(&schema::NEXT_MODSEQ_GROW, params![new.account, size], |r| {
            Ok((r.int(0)?, r.int(1)?, r.int(2)?))
        })?
        .ok_or(Error::NoFolder)?;
    if used > quota {
        return Err(Error::OverQuota);
    }
    let unseen = i64::from(!new.flags.contains(Flags::SEEN));
    let (next, validity) = tx
        .row(&schema::TAKE_UIDS, params![new.account, new.folder, 1i64, modseq, unseen], |r| {
            Ok((r.int(0)?, r.int(1)?))
        })?
        .ok_or(Error::NoFolder)?;
    let Delivery { id, flags, received, .. } = *new;
    let uid = narrow(next - 1);
    let entry = Entry { id, uid, flags, modseq, size: narrow(size), received };
    place_entry(tx, &new.facts, new.folder, &entry)?;
    insert_content(tx, new.id, new.account, &new.content)?;
    tx.after_commit(Topic::Account(new.account));
    Ok((narrow(validity), uid))
}

/// Writes an entry's row.
pub(crate) fn place_entry(
    tx: &mut Tx,
    facts: &AccountFacts,
    folder: FolderId,
    entry: &Entry,
) -> Result<(), sealpost_store::Error> {
    let Entry { id, uid, flags, modseq, size, received } = *entry;
    let mac = facts.entry_mac(folder, entry);
    let (uid, size) = (i64::from(uid), i64::from(size));
    tx.apply(&schema::INSERT_ENTRY, params![folder, uid, id, modseq, flags, size, received, mac])
}

pub(crate) fn insert_content(
    tx: &mut Tx,
    id: EntryId,
    account: AccountId,
    row: &Sealed,
) -> Result<(), sealpost_store::Error> {
    tx.apply(&schema::INSERT_CONTENT, params![id, account, row.blob, &row.wrapped, &row.summary])
}
