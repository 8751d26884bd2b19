//! The journal's table.

use sealpost_audit::Coverage;
use sealpost_store::{Schema, sql};

/// Tables and statements of the archive.
pub const SCHEMA: Schema =
    Schema { name: "archive", steps: STEPS, statements: STATEMENTS, blobs: &[&JOURNAL_NAMES] };

/// What covers the journal, for `audit verify`.
pub const COVERAGE: &[Coverage] = &[
    Coverage {
        table: "journal",
        by: "row MAC over its plain columns; key and envelope sealed; a removed row is named by its accept entry",
    },
    Coverage { table: "journal_gone", by: "row MAC; a removed row is named by its accept entry" },
];

const STEPS: &[&str] = &[
    "CREATE TABLE journal (
    id {int} PRIMARY KEY,
    tenant {int} NOT NULL,
    submission {int} NOT NULL,
    blob {int} NOT NULL,
    received {int} NOT NULL,
    expires {int} NOT NULL,
    direction {int} NOT NULL,
    life {int} NOT NULL,
    wrapped {bytes} NOT NULL,
    envelope {bytes} NOT NULL,
    mac {bytes} NOT NULL
) {strict}",
    "CREATE INDEX journal_blob ON journal (blob)",
    "CREATE INDEX journal_expires ON journal (expires, tenant, id)",
    // What is left of a row whose day has passed.
    "CREATE TABLE journal_gone (
    id {int} PRIMARY KEY,
    tenant {int} NOT NULL,
    day {int} NOT NULL,
    mac {bytes} NOT NULL
) {strict}",
];

sql! {
    pub JOURNAL_NAMES = "SELECT 1 FROM journal WHERE blob = ?1 LIMIT 1";
    pub INSERT_JOURNAL = "INSERT INTO journal
        (id, tenant, submission, blob, received, expires, direction, life, wrapped, envelope, mac)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    pub PAGE_JOURNAL = "SELECT id, tenant, submission, blob, received, expires, direction, life, wrapped, envelope, mac
        FROM journal WHERE id > ?1 ORDER BY id LIMIT ?2";
    pub PAGE_OF_DAY = "SELECT id, tenant, submission, blob, received, expires, direction, life, wrapped, envelope, mac
        FROM journal WHERE expires = ?1 AND tenant = ?2 AND id > ?3 ORDER BY id LIMIT ?4";
    pub NEXT_EXPIRED = "SELECT expires, tenant FROM journal
        WHERE expires < ?1 AND (expires > ?2 OR (expires = ?2 AND tenant > ?3)) ORDER BY expires, tenant LIMIT 1";
    pub EXPIRE = "DELETE FROM journal WHERE id = ?1 AND tenant = ?2 AND expires = ?3";
    pub INSERT_GONE = "INSERT INTO journal_gone (id, tenant, day, mac) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
    pub PAGE_GONE = "SELECT id, tenant, day, mac FROM journal_gone WHERE id > ?1 ORDER BY id LIMIT ?2";
    pub HAS_JOURNAL = "SELECT 1 FROM journal WHERE id = ?1 UNION ALL SELECT 1 FROM journal_gone WHERE id = ?1";
    pub COUNT_JOURNAL = "SELECT COUNT(*) FROM journal";
}
