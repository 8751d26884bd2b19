//! The journal's rows: made before the transaction, written in it, never touched again.

use sealpost_crypto::{Aad, Key, Random};
use sealpost_model::{BlobId, Id, JournalId, LifeKeyId, SubmissionId, TenantId, Time};
use sealpost_store::keys::{Keys, TenantKeys};
use sealpost_store::{ReadTx, Row, Store, Tx, params};

use crate::{Error, schema};

/// Which way a message went, seen from its tenant (S59).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Direction {
    /// From outside.
    Inbound = 1,
    /// To somebody outside, perhaps also to people here.
    Outbound = 2,
    /// Between people of the tenant.
    Internal = 3,
}

/// What only a reader with the row's life key sees.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Envelope {
    /// The reverse-path; empty for a bounce.
    pub from: String,
    /// Every recipient, hidden ones too.
    pub to: Vec<String>,
    /// SHA-256 of the body as it is stored (S22).
    pub sha256: [u8; 32],
    /// Bytes of the body.
    pub size: u64,
}

/// A row, sealed and ready.
#[derive(Clone)]
pub struct JournalRow {
    /// Its id.
    pub id: JournalId,
    /// Whose.
    pub tenant: TenantId,
    /// The message's one way in.
    pub submission: SubmissionId,
    /// The body.
    pub blob: BlobId,
    /// When it was accepted.
    pub received: Time,
    /// The last UTC day, counted from 1970-01-01, on which it must still be there.
    pub expires: i32,
    /// Which way it went.
    pub direction: i64,
    /// The life key it hangs on.
    pub life: LifeKeyId,
    wrapped: Vec<u8>,
    envelope: Vec<u8>,
    mac: [u8; 16],
}

/// What a message's row is made from.
pub struct NewJournal<'a> {
    /// Whose.
    pub tenant: TenantId,
    /// The message's one way in.
    pub submission: SubmissionId,
    /// The body.
    pub blob: BlobId,
    /// The body's key.
    pub key: &'a Key,
    /// When it is accepted.
    pub received: Time,
    /// Which way it goes.
    pub direction: Direction,
    /// Who to whom.
    pub envelope: &'a Envelope,
}

/// How long a HIPAA domain keeps mail by default: six years (S62), counted with their leap days.
pub const DEFAULT_RETENTION_DAYS: i32 = 6 * 365 + 2;

/// Makes and reads journal rows.
#[derive(Clone)]
pub struct Archive {
    store: Store,
    keys: Keys,
    random: Random,
}

impl Archive {
    /// The archive over this store.
    pub const fn new(store: Store, keys: Keys, random: Random) -> Self {
        Self { store, keys, random }
    }

    /// A tenant's keys.
    pub(crate) async fn tenant(&self, tenant: TenantId) -> Result<std::sync::Arc<TenantKeys>, Error> {
        self.keys.tenant(tenant).await.map_err(|e| Error::Keys(e.to_string()))
    }

    /// Seals a row. The first one of a tenant for a day of expiry makes that day's life key, durably.
    ///
    /// # Errors
    /// When the keys can't be had.
    pub async fn seal(&self, new: NewJournal<'_>) -> Result<JournalRow, Error> {
        let tenant = self.tenant(new.tenant).await?;
        let expires = new.received.day() + DEFAULT_RETENTION_DAYS;
        let (life, key) = tenant.journal_key(expires).await.map_err(|e| Error::Keys(e.to_string()))?;
        let id: JournalId = self.store.id();
        let plain = postcard::to_allocvec(new.envelope).map_err(|e| Error::Keys(e.to_string()))?;
        let mut row = JournalRow {
            id,
            tenant: new.tenant,
            submission: new.submission,
            blob: new.blob,
            received: new.received,
            expires,
            direction: new.direction as i64,
            life,
            wrapped: key.wrap(&self.random, &aad(new.tenant, id, "wrapped"), new.key),
            envelope: key.seal(&self.random, &aad(new.tenant, id, "envelope"), &plain),
            mac: [0; 16],
        };
        row.mac = tenant.mac("journal", id.raw(), 1, &row.covered().each_ref().map(|p| p.as_slice()));
        Ok(row)
    }

    /// Opens a row: its MAC, the body's key and the envelope.
    ///
    /// # Errors
    /// [`Error::Corrupt`] names the part that was changed.
    pub async fn open(&self, row: &JournalRow) -> Result<(Key, Envelope), Error> {
        let id = row.id.raw();
        let tenant = self.tenant(row.tenant).await?;
        if !row.is_as_written(&tenant) {
            return Err(Error::Corrupt { id, what: "its plain columns" });
        }
        let life =
            self.keys.ring().key(row.life).ok_or(Error::Corrupt { id, what: "its life key is gone" })?;
        let corrupt = |what| move |_| Error::Corrupt { id, what };
        let key =
            life.unwrap(&aad(row.tenant, row.id, "wrapped"), &row.wrapped).map_err(corrupt("wrapped"))?;
        let plain =
            life.open(&aad(row.tenant, row.id, "envelope"), &row.envelope).map_err(corrupt("envelope"))?;
        let envelope =
            postcard::from_bytes(&plain).map_err(|_| Error::Corrupt { id, what: "the envelope's format" })?;
        Ok((key, envelope))
    }
}

impl Archive {
    /// Whether the row's day of expiry has a key, and it is this row's: else destroying that day would miss it.
    pub(crate) async fn hangs_on_its_day(&self, row: &JournalRow) -> Result<bool, Error> {
        let tenant = self.tenant(row.tenant).await?;
        match tenant.journal_day(row.expires).await {
            Ok(day) => Ok(day == Some(row.life)),
            Err(sealpost_store::keys::Error::Damaged { .. }) => Ok(false),
            Err(e) => Err(Error::Keys(e.to_string())),
        }
    }
}

impl JournalRow {
    /// Whether the plain columns, its day among them, are those that were written.
    pub(crate) fn is_as_written(&self, keys: &TenantKeys) -> bool {
        let covered = self.covered();
        keys.verify_mac("journal", self.id.raw(), 1, &covered.each_ref().map(|p| p.as_slice()), &self.mac)
            .is_ok()
    }

    /// The plain columns under the MAC.
    fn covered(&self) -> [Vec<u8>; 7] {
        [
            self.tenant.raw(),
            self.submission.raw(),
            self.blob.raw(),
            self.received.millis(),
            i64::from(self.expires),
            self.direction,
            self.life.raw(),
        ]
        .map(|n| n.to_be_bytes().to_vec())
    }
}

/// Writes a row, in the transaction that also delivers, and asks the archiver for a copy of its body.
///
/// # Errors
/// The store's.
pub fn insert(tx: &mut Tx, row: &JournalRow) -> Result<(), sealpost_store::Error> {
    tx.apply(
        &schema::INSERT_JOURNAL,
        params![
            row.id,
            row.tenant,
            row.submission,
            row.blob,
            row.received,
            i64::from(row.expires),
            row.direction,
            row.life,
            &row.wrapped,
            &row.envelope,
            &row.mac
        ],
    )?;
    sealpost_store::blob::keep_until(tx, row.blob, row.expires)
}

/// Up to `limit` rows behind `after`, in order.
///
/// # Errors
/// The store's.
pub fn page(tx: &ReadTx, after: JournalId, limit: i64) -> Result<Vec<JournalRow>, sealpost_store::Error> {
    tx.rows(&schema::PAGE_JOURNAL, params![after, limit], read)
}

/// Up to `limit` rows behind `after` that expire on `day`, in order.
pub(crate) fn page_of_day(
    tx: &ReadTx,
    tenant: TenantId,
    day: i32,
    after: JournalId,
    limit: i64,
) -> Result<Vec<JournalRow>, sealpost_store::Error> {
    tx.rows(&schema::PAGE_OF_DAY, params![day, tenant, after, limit], read)
}

fn read(r: &Row<'_>) -> Result<JournalRow, sealpost_store::Error> {
    Ok(JournalRow {
        id: r.id(0)?,
        tenant: r.id(1)?,
        submission: r.id(2)?,
        blob: r.id(3)?,
        received: r.time(4)?,
        // What can't have been written fails the MAC: a damaged row is named, and the others are read.
        expires: i32::try_from(r.int(5)?).unwrap_or(i32::MIN),
        direction: r.int(6)?,
        life: r.id(7)?,
        wrapped: r.bytes(8)?,
        envelope: r.bytes(9)?,
        mac: r.slice(10)?.try_into().unwrap_or_default(),
    })
}

/// Whether there is a row with this id, or what is left of one whose day has passed.
///
/// # Errors
/// The store's.
pub fn exists(tx: &ReadTx, id: JournalId) -> Result<bool, sealpost_store::Error> {
    Ok(tx.row(&schema::HAS_JOURNAL, params![id], |_| Ok(()))?.is_some())
}

fn aad(tenant: TenantId, id: JournalId, column: &'static str) -> Aad {
    Aad::new(tenant, "journal", id.raw(), column)
}
