//! The table of sets.

use sealpost_audit::Coverage;
use sealpost_model::{BackupId, Id, LifeKeyId, Time};
use sealpost_store::keys::InstanceKeys;
use sealpost_store::{Param as _, ReadTx, Row, Schema, Tx, Value, params, sql};

use crate::set::Kind;

/// The tables of this crate.
pub const SCHEMA: Schema = Schema { name: "backup", steps: &[STEP_1], statements: STATEMENTS, blobs: &[] };

/// What covers the tables of this crate, for `audit verify`.
pub const COVERAGE: &[Coverage] = &[Coverage {
    table: "backup_set",
    by: "row MAC over all columns; a removed row is not seen here, the log says that the set was made",
}];

/// `finished`: when the set was whole; `verified`: when it last was brought back and proved; `ended`: when its life key
/// was destroyed. `bytes` counts plain bytes, `added` sealed ones that were new at the place.
const STEP_1: &str = "
CREATE TABLE backup_set (
    id {int} PRIMARY KEY,
    kind {int} NOT NULL,
    life {int} NOT NULL,
    created {int} NOT NULL,
    finished {int},
    verified {int},
    ended {int},
    bytes {int} NOT NULL,
    added {int} NOT NULL,
    mac {bytes} NOT NULL
) {strict};
";

sql! {
    INSERT = "INSERT INTO backup_set (id, kind, life, created, finished, verified, ended, bytes, added, mac)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    UPDATE = "UPDATE backup_set SET finished = ?2, verified = ?3, ended = ?4, bytes = ?5, added = ?6, mac = ?7
        WHERE id = ?1";
    // Sets are few: two dailies and four weeklies live, and those that ended are not shown for longer than they count.
    NEWEST = "SELECT id, kind, life, created, finished, verified, ended, bytes, added, mac FROM backup_set
        ORDER BY id DESC LIMIT 1000";
    ALL = "SELECT id, kind, life, created, finished, verified, ended, bytes, added, mac FROM backup_set
        WHERE id > ?1 ORDER BY id LIMIT 1000";
}

pub(crate) static INSPECT: &sealpost_store::Sql = &ALL;

/// A set as this server knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetRow {
    /// Its id.
    pub id: BackupId,
    /// Daily or weekly.
    pub kind: Kind,
    /// The life key that opens it.
    pub life: LifeKeyId,
    /// When its snapshot was taken.
    pub created: Time,
    /// When it was whole; `None` while it is made.
    pub finished: Option<Time>,
    /// When it last was brought back and proved.
    pub verified: Option<Time>,
    /// When its key was destroyed.
    pub ended: Option<Time>,
    /// Plain bytes.
    pub bytes: i64,
    /// Sealed bytes that were new at the place.
    pub added: i64,
}

impl SetRow {
    /// Reads a row, and its MAC.
    pub(crate) fn read(r: &Row<'_>) -> Result<(Self, Vec<u8>), sealpost_store::Error> {
        let corrupt = || sealpost_store::Error::Corrupt { what: "backup_set", id: r.int(0).unwrap_or(0) };
        let row = Self {
            id: r.id(0)?,
            kind: Kind::from_number(r.int(1)?).ok_or_else(corrupt)?,
            life: r.id(2)?,
            created: r.time(3)?,
            finished: r.opt_time(4)?,
            verified: r.opt_time(5)?,
            ended: r.opt_time(6)?,
            bytes: r.int(7)?,
            added: r.int(8)?,
        };
        Ok((row, r.bytes(9)?))
    }

    pub(crate) fn mac(&self, keys: &InstanceKeys) -> [u8; 16] {
        let time = |t: Option<Time>| t.map_or(i64::MIN, Time::millis);
        let numbers = [
            self.kind as i64,
            self.life.raw(),
            self.created.millis(),
            time(self.finished),
            time(self.verified),
            time(self.ended),
            self.bytes,
            self.added,
        ]
        .map(i64::to_be_bytes);
        keys.mac("backup_set", self.id.raw(), 1, &numbers.each_ref().map(<[u8; 8]>::as_slice))
    }

    /// Whether it is whole and its key lives.
    pub const fn is_there(&self) -> bool {
        self.finished.is_some() && self.ended.is_none()
    }
}

pub(crate) fn insert(tx: &mut Tx, row: &SetRow, mac: &[u8; 16]) -> Result<(), sealpost_store::Error> {
    let SetRow { id, kind, life, created, finished, verified, ended, bytes, added } = row;
    let kind = Value::Int(*kind as i64);
    let p = [
        id.value(),
        kind,
        life.value(),
        created.value(),
        finished.value(),
        verified.value(),
        ended.value(),
        bytes.value(),
        added.value(),
        mac.value(),
    ];
    tx.execute(&INSERT, &p).map(drop)
}

pub(crate) fn update(tx: &mut Tx, row: &SetRow, mac: &[u8; 16]) -> Result<(), sealpost_store::Error> {
    let SetRow { id, finished, verified, ended, bytes, added, .. } = row;
    tx.execute(&UPDATE, params![*id, *finished, *verified, *ended, *bytes, *added, *mac]).map(drop)
}

pub(crate) fn newest(tx: &ReadTx) -> Result<Vec<(SetRow, Vec<u8>)>, sealpost_store::Error> {
    tx.rows(&NEWEST, params![], SetRow::read)
}
