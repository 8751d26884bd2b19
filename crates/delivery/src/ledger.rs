//! The sent ledger: what became of each message for each recipient, apart from its content (S56).

use sealpost_crypto::Aad;
use sealpost_model::{AccountId, Id, LedgerId, SubmissionId, TenantId, Time};
use sealpost_policy::{Grade, Method};
use sealpost_store::{ReadTx, Row, keys::Root, keys::TenantKeys, params};

use crate::marks::Marks;
use crate::{Delivery, Error, Evidence, schema};

/// Where a recipient's message stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum State {
    /// On its way.
    Queued = 1,
    /// In the mailbox here, or taken by the next server.
    Delivered = 2,
    /// Waits here to be picked up.
    Waiting = 3,
    /// Not delivered; the sender was told.
    Failed = 4,
    /// The server stopped in the middle of an attempt: it may have arrived, and is tried again.
    MaybeSent = 5,
}

impl State {
    /// Its word in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Delivered => "delivered",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
            Self::MaybeSent => "maybe-sent",
        }
    }

    pub(crate) fn from_number(number: i64) -> Option<Self> {
        [Self::Queued, Self::Delivered, Self::Waiting, Self::Failed, Self::MaybeSent]
            .into_iter()
            .find(|s| *s as i64 == number)
    }
}

/// What is sealed of a row.
#[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Detail {
    pub(crate) recipient: String,
    pub(crate) sender: String,
    pub(crate) message_id: String,
    pub(crate) evidence: Evidence,
}

impl Detail {
    pub(crate) fn seal(&self, keys: &TenantKeys, tenant: TenantId, id: LedgerId) -> Vec<u8> {
        let plain = postcard::to_allocvec(self).expect("strings are always written");
        keys.seal(Root::Records, &aad(tenant, id), &plain)
    }

    pub(crate) fn open(
        keys: &TenantKeys,
        tenant: TenantId,
        id: LedgerId,
        sealed: &[u8],
    ) -> Result<Self, Error> {
        let plain = keys.open(&aad(tenant, id), sealed)?;
        postcard::from_bytes(&plain).map_err(|_| Error::Corrupt { what: "ledger", id: id.raw() })
    }
}

/// One recipient's row, opened.
#[derive(Clone)]
pub struct LedgerRow {
    /// Its id.
    pub id: LedgerId,
    /// Whose.
    pub tenant: TenantId,
    /// The message's one way in.
    pub submission: SubmissionId,
    /// The sender's mailbox here.
    pub account: Option<AccountId>,
    /// How it goes, or went.
    pub method: Method,
    /// Where it stands.
    pub state: State,
    /// The name of the reason.
    pub reason: String,
    /// How well the next server was verified.
    pub grade: Option<Grade>,
    /// Bytes of the message.
    pub size: i64,
    /// When it was accepted.
    pub created: Time,
    /// When this last changed.
    pub updated: Time,
    /// Who it is for.
    pub recipient: String,
    /// The reverse-path.
    pub sender: String,
    /// The message's Message-ID.
    pub message_id: String,
    /// What the courier saw.
    pub evidence: Evidence,
}

pub(crate) struct RawRow {
    row: LedgerRow,
    sealed: Vec<u8>,
    marks: Marks,
    mac: Vec<u8>,
}

pub(crate) fn raw(r: &Row<'_>) -> Result<RawRow, sealpost_store::Error> {
    let corrupt = || sealpost_store::Error::Corrupt { what: "ledger", id: r.int(0).unwrap_or(0) };
    Ok(RawRow {
        row: LedgerRow {
            id: r.id(0)?,
            tenant: r.id(1)?,
            submission: r.id(2)?,
            account: r.opt_id(3)?,
            method: Method::from_number(r.int(5)?).ok_or_else(corrupt)?,
            state: State::from_number(r.int(6)?).ok_or_else(corrupt)?,
            reason: r.text(7)?,
            grade: r.opt_int(8)?.and_then(Grade::from_number),
            size: r.int(9)?,
            created: r.time(10)?,
            updated: r.time(11)?,
            recipient: String::new(),
            sender: String::new(),
            message_id: String::new(),
            evidence: Evidence::default(),
        },
        sealed: r.bytes(12)?,
        marks: Marks::read(r)?,
        mac: r.bytes(13)?,
    })
}

/// The rows of one message.
pub(crate) fn of_submission(
    tx: &ReadTx,
    submission: SubmissionId,
) -> Result<Vec<RawRow>, sealpost_store::Error> {
    tx.rows(&schema::LEDGER_OF, params![submission], raw)
}

impl Delivery {
    pub(crate) async fn open_ledger(&self, raw: RawRow) -> Result<LedgerRow, Error> {
        let RawRow { row, sealed, marks, mac } = raw;
        let keys = self.inner.keys.tenant(row.tenant).await?;
        if marks.mac(&keys)[..] != mac[..] {
            return Err(Error::Corrupt { what: "ledger", id: row.id.raw() });
        }
        let Detail { recipient, sender, message_id, evidence } =
            Detail::open(&keys, row.tenant, row.id, &sealed)?;
        Ok(LedgerRow { recipient, sender, message_id, evidence, ..row })
    }

    /// Up to `limit` rows of a tenant before `before`, newest first.
    ///
    /// # Errors
    /// The store's, and [`Error::Corrupt`].
    pub async fn ledger(
        &self,
        tenant: TenantId,
        before: Option<LedgerId>,
        limit: u32,
    ) -> Result<Vec<LedgerRow>, Error> {
        let before = before.map_or(i64::MAX, Id::raw);
        let limit = i64::from(limit.min(1_000));
        let rows: Vec<RawRow> = self
            .inner
            .store
            .read(move |tx| tx.rows(&schema::LEDGER_PAGE, params![tenant, before, limit], raw))
            .await?;
        let mut out = Vec::with_capacity(rows.len());
        for row in rows {
            out.push(self.open_ledger(row).await?);
        }
        Ok(out)
    }
}

fn aad(tenant: TenantId, id: LedgerId) -> Aad {
    Aad::new(tenant, "ledger", id.raw(), "detail")
}
