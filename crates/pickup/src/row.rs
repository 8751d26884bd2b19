//! The rows, their MAC, and the one way to change them.

use std::sync::Arc;

use sealpost_crypto::{Aad, Key};
use sealpost_model::{
    AccountId, Address, BlobId, Id, LifeKeyId, PickupId, QueueId, RecipientId, TenantId, Time,
};
use sealpost_policy::Reason;
use sealpost_store::keys::{Root, TenantKeys};
use sealpost_store::{ReadTx, Row as StoreRow, Tx, params};

use crate::facts::{Bound, Detail, Facts, facts_aad, wrapped_aad};
use crate::state::EndedBy;
use crate::{DAY, Error, Pickup, State, TRIES, schema};

/// A message that waits, as its table holds it.
#[derive(Clone)]
pub(crate) struct Message {
    pub id: PickupId,
    pub tenant: TenantId,
    pub account: AccountId,
    pub created: Time,
    bound: Bound,
    sealed: Vec<u8>,
}

impl Message {
    pub fn read(r: &StoreRow<'_>) -> Result<Self, sealpost_store::Error> {
        let bound = Bound {
            id: r.id(0)?,
            tenant: r.id(1)?,
            submission: r.id(2)?,
            account: r.id(3)?,
            created: r.time(4)?,
            message_index: r.array(6)?,
        };
        let Bound { id, tenant, account, created, .. } = bound;
        Ok(Self { id, tenant, account, created, bound, sealed: r.bytes(5)? })
    }

    pub fn detail(&self, keys: &TenantKeys) -> Result<Detail, Error> {
        Detail::open(keys, &self.bound, &self.sealed)
    }
}

/// One recipient, as its table holds it.
#[derive(Clone)]
pub(crate) struct Row {
    pub id: RecipientId,
    pub pickup: PickupId,
    pub tenant: TenantId,
    pub queue: QueueId,
    pub token: [u8; 16],
    pub address_index: [u8; 16],
    pub reason: Reason,
    pub told: i64,
    pub dead: bool,
    pub blob: BlobId,
    pub life: LifeKeyId,
    pub now: Standing,
    pub version: i64,
    address: Vec<u8>,
    wrapped: Option<Vec<u8>>,
    facts: Option<Vec<u8>>,
    mac: Vec<u8>,
}

/// What changes of it, all of it under the MAC.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub state: State,
    /// Whether the code is asked for every time.
    pub ask: bool,
    pub code: [u8; 16],
    pub tries: u32,
    pub issues: u32,
    pub created: Time,
    pub expires: Time,
    pub opened: Option<Time>,
    pub opened_from: Option<Vec<u8>>,
    pub replied: Option<Time>,
    pub ended: Option<Time>,
    pub ended_by: Option<EndedBy>,
    pub ended_why: Option<Vec<u8>>,
}

impl Standing {
    /// What it goes back to when a lock ends.
    pub const fn unlocked(&self) -> State {
        match (self.replied, self.opened) {
            (Some(_), _) => State::Replied,
            (None, Some(_)) => State::Opened,
            (None, None) => State::Waiting,
        }
    }

    /// A moment of the last day that is promised to people. "Until December 20" is read as all of that day, wherever the
    /// reader is; it ends last at UTC-12. One that is kept for a day or two names no day before it was sent.
    pub fn last_day(&self) -> Time {
        self.expires.minus(DAY + DAY / 2).max(self.created)
    }

    pub const fn tries_left(&self) -> u32 {
        TRIES.saturating_sub(self.tries)
    }

    /// Time ends it the moment it is over, however late the sweep is.
    pub fn state_at(&self, now: Time) -> State {
        if self.state.is_kept() && now >= self.expires { State::Expired } else { self.state }
    }
}

impl Row {
    pub fn read(r: &StoreRow<'_>) -> Result<Self, sealpost_store::Error> {
        let corrupt =
            || sealpost_store::Error::Corrupt { what: "pickup_recipient", id: r.int(0).unwrap_or(0) };
        Ok(Self {
            id: r.id(0)?,
            pickup: r.id(1)?,
            tenant: r.id(2)?,
            queue: r.id(3)?,
            token: r.array(4)?,
            address_index: r.array(5)?,
            address: r.bytes(6)?,
            reason: Reason::from_number(r.int(7)?).ok_or_else(corrupt)?,
            told: r.int(8)?,
            blob: r.id(9)?,
            life: r.id(10)?,
            wrapped: r.opt_bytes(11)?,
            facts: r.opt_bytes(12)?,
            now: Standing {
                state: State::from_number(r.int(13)?).ok_or_else(corrupt)?,
                ask: r.bool(14)?,
                code: r.array(15)?,
                tries: r.small(16)?,
                issues: r.small(17)?,
                created: r.time(18)?,
                expires: r.time(19)?,
                opened: r.opt_time(20)?,
                opened_from: r.opt_bytes(21)?,
                replied: r.opt_time(22)?,
                ended: r.opt_time(23)?,
                ended_by: match r.opt_int(24)? {
                    Some(n) => Some(EndedBy::from_number(n).ok_or_else(corrupt)?),
                    None => None,
                },
                ended_why: r.opt_bytes(25)?,
            },
            dead: r.bool(26)?,
            version: r.int(27)?,
            mac: r.bytes(28)?,
        })
    }

    const fn fixed(&self) -> Fixed<'_> {
        Fixed {
            queue: self.queue,
            blob: self.blob,
            life: self.life,
            reason: self.reason,
            token: &self.token,
            address_index: &self.address_index,
        }
    }

    /// Holds the row against its MAC: whoever changes a try, a state or a time in the table is noticed.
    pub fn check(self, keys: &TenantKeys) -> Result<Self, Error> {
        let parts = parts(self.pickup, &self.fixed(), &self.now);
        match keys.verify_mac("pickup_recipient", self.id.raw(), self.version, &[&parts], &self.mac) {
            Ok(()) => Ok(self),
            Err(_) => Err(Error::Corrupt { what: "pickup_recipient", id: self.id.raw() }),
        }
    }

    pub fn address(&self, keys: &TenantKeys) -> Result<Address, Error> {
        let corrupt = || Error::Corrupt { what: "pickup_recipient.address", id: self.id.raw() };
        let plain = keys.open(&address_aad(self.tenant, self.id), &self.address)?;
        let text = String::from_utf8(plain).map_err(|_| corrupt())?;
        Address::parse(&text).map_err(|_| corrupt())
    }

    pub fn note(&self, keys: &TenantKeys, column: &'static str, sealed: &[u8]) -> Result<String, Error> {
        let plain = keys.open(&Aad::new(self.tenant, "pickup_recipient", self.id.raw(), column), sealed)?;
        String::from_utf8(plain).map_err(|_| Error::Corrupt { what: column, id: self.id.raw() })
    }

    pub fn seal_note(&self, keys: &TenantKeys, column: &'static str, text: &str) -> Vec<u8> {
        let aad = Aad::new(self.tenant, "pickup_recipient", self.id.raw(), column);
        keys.seal(Root::Records, &aad, text.as_bytes())
    }

    /// The life key; [`Error::Ended`] when it was destroyed.
    pub fn life_key(&self, pickup: &Pickup) -> Result<Key, Error> {
        pickup.inner.keys.ring().key(self.life).ok_or(Error::Ended)
    }

    pub fn facts(&self, life: &Key) -> Result<Facts, Error> {
        let sealed = self.facts.as_deref().ok_or(Error::Ended)?;
        Facts::open(life, &facts_aad(self.tenant, self.id), sealed, self.id)
    }

    pub fn blob_key(&self, life: &Key) -> Result<Key, Error> {
        let wrapped = self.wrapped.as_deref().ok_or(Error::Ended)?;
        life.unwrap(&wrapped_aad(self.tenant, self.id, self.blob), wrapped)
            .map_err(|_| Error::Corrupt { what: "pickup_recipient.wrapped", id: self.id.raw() })
    }

    /// Writes a new standing over the version that was read; [`Error::Busy`] when that is gone already.
    pub fn change(&self, tx: &mut Tx, keys: &TenantKeys, to: &Standing) -> Result<(), Error> {
        let version = self.version + 1;
        let parts = parts(self.pickup, &self.fixed(), to);
        let mac = keys.mac("pickup_recipient", self.id.raw(), version, &[&parts]);
        let dead = i64::from(!to.state.is_kept());
        let changed = tx.execute(
            &schema::CHANGE,
            params![
                self.id,
                self.version,
                to.state as i64,
                to.code,
                to.tries,
                to.issues,
                to.expires,
                to.opened,
                to.opened_from,
                to.replied,
                to.ended,
                to.ended_by.map(|e| e as i64),
                to.ended_why,
                dead,
                version,
                mac
            ],
        )?;
        if changed == 1 { Ok(()) } else { Err(Error::Busy) }
    }
}

/// A row that is about to be made.
pub(crate) struct NewRow {
    pub id: RecipientId,
    pub tenant: TenantId,
    pub queue: QueueId,
    pub token: [u8; 16],
    pub address_index: [u8; 16],
    pub address: Vec<u8>,
    pub reason: Reason,
    pub blob: BlobId,
    pub life: LifeKeyId,
    pub wrapped: Vec<u8>,
    pub facts: Vec<u8>,
    pub now: Standing,
}

impl NewRow {
    const fn fixed(&self) -> Fixed<'_> {
        Fixed {
            queue: self.queue,
            blob: self.blob,
            life: self.life,
            reason: self.reason,
            token: &self.token,
            address_index: &self.address_index,
        }
    }

    pub fn insert(&self, tx: &mut Tx, keys: &TenantKeys, pickup: PickupId) -> Result<(), Error> {
        let parts = parts(pickup, &self.fixed(), &self.now);
        let mac = keys.mac("pickup_recipient", self.id.raw(), 1, &[&parts]);
        tx.execute(
            &schema::INSERT_RECIPIENT,
            params![
                self.id,
                pickup,
                self.tenant,
                self.queue,
                self.token,
                self.address_index,
                self.address,
                self.reason as i64,
                self.blob,
                self.life,
                self.wrapped,
                self.facts,
                self.now.ask,
                self.now.code,
                self.now.created,
                self.now.expires,
                mac
            ],
        )?;
        Ok(())
    }
}

pub(crate) fn address_aad(tenant: TenantId, id: RecipientId) -> Aad {
    Aad::new(tenant, "pickup_recipient", id.raw(), "address")
}

/// What never changes of it.
struct Fixed<'a> {
    queue: QueueId,
    blob: BlobId,
    life: LifeKeyId,
    reason: Reason,
    token: &'a [u8; 16],
    address_index: &'a [u8; 16],
}

/// What the MAC is over; each part has a fixed length or its length in front.
fn parts(pickup: PickupId, fixed: &Fixed<'_>, now: &Standing) -> Vec<u8> {
    let Fixed { queue, blob, life, reason, token, address_index } = *fixed;
    let mut out = Vec::with_capacity(256);
    let time = |t: Option<Time>| t.map_or(i64::MIN, Time::millis);
    let numbers = [
        pickup.raw(),
        queue.raw(),
        reason as i64,
        blob.raw(),
        life.raw(),
        now.state as i64,
        i64::from(now.ask),
        i64::from(now.tries),
        i64::from(now.issues),
        now.created.millis(),
        now.expires.millis(),
        time(now.opened),
        time(now.replied),
        time(now.ended),
        now.ended_by.map_or(0, |e| e as i64),
    ];
    for number in numbers {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out.extend_from_slice(token);
    out.extend_from_slice(address_index);
    out.extend_from_slice(&now.code);
    for sealed in [&now.opened_from, &now.ended_why] {
        let bytes = sealed.as_deref().unwrap_or_default();
        out.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        out.extend_from_slice(bytes);
    }
    out
}

/// A recipient with its message and the tenant's keys: what most acts begin with.
#[derive(Clone)]
pub(crate) struct Found {
    pub row: Row,
    pub message: Message,
    pub keys: Arc<TenantKeys>,
}

impl Pickup {
    /// The recipient whose link this is, held against its MAC.
    pub(crate) async fn by_link(&self, link: &crate::Link) -> Result<Option<Found>, Error> {
        let token = crate::link::index(&self.inner.keys, "pickup_recipient.token", link.token());
        let found = self
            .inner
            .store
            .read(move |tx| {
                let Some(row) = tx.row(&schema::BY_TOKEN, params![token], Row::read)? else {
                    return Ok(None);
                };
                let message = message(tx, row.pickup)?;
                Ok::<_, Error>(Some((row, message)))
            })
            .await?;
        let Some((row, message)) = found else { return Ok(None) };
        let keys = self.inner.keys.tenant(row.tenant).await?;
        let row = row.check(&keys)?;
        Ok(Some(Found { row, message, keys }))
    }
}

/// The message of a recipient.
pub(crate) fn message(tx: &ReadTx, id: PickupId) -> Result<Message, Error> {
    tx.row(&schema::PICKUP, params![id], Message::read)?
        .ok_or(Error::Corrupt { what: "pickup", id: id.raw() })
}

/// The row as it stands now, inside a transaction that will change it.
pub(crate) fn fresh(tx: &ReadTx, keys: &TenantKeys, id: RecipientId) -> Result<Row, Error> {
    tx.row(&schema::BY_ID, params![id], Row::read)?.ok_or(Error::NotFound)?.check(keys)
}
