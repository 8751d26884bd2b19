//! An entry as it is stored and hashed.

use sealpost_crypto::Aad;
use sealpost_model::{
    AccountId, Actor, AuditId, ConnectorId, DeviceId, Id, PersonId, RecipientId, TenantId, Time,
};
use sealpost_store::{Row, Sql, Tx, params};
use serde::{Deserialize, Serialize};
use tlog_tiles::{Hash, record_hash};

use crate::{Draft, leaf, schema};

/// An entry that is ready to be written: sealed, with its id and time. It holds its numbers as columns do, so that a row
/// of any future version hashes to what it was.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "a sealed entry is not in the log"]
pub struct Entry {
    pub(crate) id: i64,
    pub(crate) tenant: i64,
    pub(crate) at: i64,
    pub(crate) verb: i64,
    pub(crate) outcome: i64,
    pub(crate) protocol: i64,
    pub(crate) actor_kind: i64,
    pub(crate) actor_tenant: i64,
    pub(crate) actor: i64,
    /// 0 is nobody, and never an id.
    pub(crate) owner: i64,
    /// The opened entry whose end this is, or 0.
    pub(crate) closes: i64,
    pub(crate) reason: String,
    pub(crate) objects: Vec<u8>,
    pub(crate) detail: Vec<u8>,
    pub(crate) commitment: Vec<u8>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Entry({})", self.id)
    }
}

/// Writes an entry in the caller's transaction: the whole cost of the log on that path.
///
/// # Errors
/// What the store says.
pub fn insert(tx: &mut Tx, entry: &Entry) -> Result<(), sealpost_store::Error> {
    entry.write(tx, &schema::INSERT)
}

/// Writes an entry that may be there already: ingestion runs again after a crash.
pub(crate) fn ingest(tx: &mut Tx, entry: &Entry) -> Result<(), sealpost_store::Error> {
    entry.write(tx, &schema::INGEST)
}

impl Entry {
    /// The plain part of an entry, its detail still missing.
    pub(crate) fn plain(draft: &Draft, id: AuditId, at: Time) -> Self {
        let (actor_kind, actor_tenant, actor) = actor_numbers(draft.actor);
        Self {
            id: id.raw(),
            tenant: draft.tenant.raw(),
            at: at.millis(),
            verb: draft.verb as i64,
            outcome: draft.outcome as i64,
            protocol: draft.client.protocol as i64,
            actor_kind,
            actor_tenant,
            actor,
            owner: draft.owner.map_or(0, Id::raw),
            closes: draft.closes.map_or(0, Id::raw),
            reason: draft.reason.clone().into_owned(),
            objects: crate::object::encode(&draft.objects),
            detail: Vec::new(),
            commitment: Vec::new(),
        }
    }

    fn write(&self, tx: &mut Tx, statement: &Sql) -> Result<(), sealpost_store::Error> {
        let row = params![
            self.id,
            self.tenant,
            self.at,
            self.verb,
            self.outcome,
            self.protocol,
            self.actor_kind,
            self.actor_tenant,
            self.actor,
            self.owner,
            self.closes,
            self.reason,
            self.objects,
            self.detail,
            self.commitment,
        ];
        tx.apply(statement, row)
    }

    /// Its id, by which ledger and dossier cite it.
    pub fn id(&self) -> AuditId {
        AuditId::from_raw(self.id)
    }

    /// Whose log it belongs to.
    pub fn tenant(&self) -> TenantId {
        TenantId::from_raw(self.tenant)
    }

    /// When it happened.
    pub fn time(&self) -> Time {
        Time::from_millis(self.at)
    }

    /// The numbers of the leaf.
    pub(crate) fn numbers(&self) -> leaf::Numbers {
        [
            self.id,
            self.tenant,
            self.at,
            self.verb,
            self.outcome,
            self.protocol,
            self.actor_kind,
            self.actor_tenant,
            self.actor,
            self.owner,
            self.closes,
        ]
    }

    fn facts(&self) -> Vec<u8> {
        leaf::facts(&self.numbers(), &self.reason, &self.objects)
    }

    /// What the detail is sealed with: the plain facts are bound to it, so that a row can't be forged or changed before
    /// the sequencer sees it either.
    pub(crate) fn aad(&self) -> Aad {
        Aad::new(self.tenant(), "audit", self.id, "detail").with(&self.facts())
    }

    /// The leaf's bytes: facts, hash of the ciphertext, commitment. RFC 6962 section 2.1 hashes them.
    pub(crate) fn leaf_data(&self) -> Vec<u8> {
        leaf::data(self.facts(), &self.detail, &self.commitment)
    }

    pub(crate) fn leaf(&self) -> Hash {
        record_hash(&self.leaf_data())
    }

    pub(crate) fn actor(&self) -> Option<Actor> {
        let tenant = TenantId::from_raw(self.actor_tenant);
        Some(match self.actor_kind {
            0 => Actor::Stranger,
            1 => Actor::Person { tenant, person: PersonId::from_raw(self.actor) },
            2 => Actor::Recipient { tenant, recipient: RecipientId::from_raw(self.actor) },
            3 => Actor::System,
            4 => Actor::Operator { uid: u32::try_from(self.actor).ok()? },
            5 => Actor::Device { tenant, device: DeviceId::from_raw(self.actor) },
            6 => Actor::Connector { tenant, connector: ConnectorId::from_raw(self.actor) },
            _ => return None,
        })
    }

    pub(crate) fn owner(&self) -> Option<AccountId> {
        (self.owner != 0).then(|| AccountId::from_raw(self.owner))
    }
}

/// A row of the table: the entry and its place in the tree, if it has one.
pub(crate) struct Placed {
    pub entry: Entry,
    pub position: Option<i64>,
}

impl Placed {
    /// A row, or its id if damage made it unreadable.
    pub(crate) fn try_read(row: &Row<'_>) -> Result<Result<Self, i64>, sealpost_store::Error> {
        let id = row.int(0)?;
        Ok(Self::read(row).map_err(|_| id))
    }

    pub(crate) fn read(row: &Row<'_>) -> Result<Self, sealpost_store::Error> {
        Ok(Self {
            entry: Entry {
                id: row.int(0)?,
                tenant: row.int(1)?,
                at: row.int(2)?,
                verb: row.int(3)?,
                outcome: row.int(4)?,
                protocol: row.int(5)?,
                actor_kind: row.int(6)?,
                actor_tenant: row.int(7)?,
                actor: row.int(8)?,
                owner: row.int(9)?,
                closes: row.int(10)?,
                reason: row.text(11)?,
                objects: row.bytes(12)?,
                detail: row.bytes(13)?,
                commitment: row.bytes(14)?,
            },
            position: row.opt_int(15)?,
        })
    }
}

fn actor_numbers(actor: Actor) -> (i64, i64, i64) {
    match actor {
        Actor::Stranger => (0, 0, 0),
        Actor::Person { tenant, person } => (1, tenant.raw(), person.raw()),
        Actor::Recipient { tenant, recipient } => (2, tenant.raw(), recipient.raw()),
        Actor::System => (3, 0, 0),
        Actor::Operator { uid } => (4, 0, i64::from(uid)),
        Actor::Device { tenant, device } => (5, tenant.raw(), device.raw()),
        Actor::Connector { tenant, connector } => (6, tenant.raw(), connector.raw()),
    }
}
