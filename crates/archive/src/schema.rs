//! The journal's table.

use sealpost_audit::Coverage;
use sealpost_store::{Schema, sql};

/// Tables and statements of the archive.
pub const SCHEMA: Schema =
    Schema { name: "archive", steps: STEPS, statements: STATEMENTS, blobs: &[&JOURNAL_NAMES] };

/// What covers the journal, for `audit verify`.
pub const COVERAGE: &[Coverage] = &[Coverage {
    table: "journal",
    by: "row MAC over its plain columns; key and envelope sealed; a removed row is named by its accept entry",
}];

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
];

sql! {
    pub JOURNAL_NAMES = "SELECT 1 FROM journal WHERE blob = ?1 LIMIT 1";
    pub INSERT_JOURNAL = "INSERT INTO journal
        (id, tenant, submission, blob, received, expires, direction, life, wrapped, envelope, mac)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    pub PAGE_JOURNAL = "SELECT id, tenant, submission, blob, received, expires, direction, life, wrapped, envelope, mac
        FROM journal WHERE id > ?1 ORDER BY id LIMIT ?2";
    pub HAS_JOURNAL = "SELECT 1 FROM journal WHERE id = ?1";
    pub COUNT_JOURNAL = "SELECT COUNT(*) FROM journal";
}
