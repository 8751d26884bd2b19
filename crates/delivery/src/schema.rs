//! Delivery's tables and statements.

use sealpost_audit::Coverage;
use sealpost_store::{Schema, sql};

/// Tables and statements of delivery.
pub const SCHEMA: Schema =
    Schema { name: "delivery", steps: STEPS, statements: STATEMENTS, blobs: &[&SUBMISSION_NAMES] };

/// What covers the tables of this crate, for `audit verify`.
pub const COVERAGE: &[Coverage] = &[
    Coverage {
        table: "submission",
        by: "its plain columns are bound into the sealed detail; key and summary hang on its life key",
    },
    Coverage {
        table: "ledger",
        by: "row MAC over all plain columns; the detail is sealed; a removed row is named by its accept entry; an older \
             whole row is not seen",
    },
    Coverage {
        table: "queue",
        by: "row MAC over where the message may go, held before each attempt; when it is tried next is not covered; a \
             removed row is not seen here, its ledger row says queued for ever",
    },
    Coverage {
        table: "doomed",
        by: "row MAC: no key dies unless the server decided it; a removed row is not seen, and its key lives on",
    },
    Coverage {
        table: "handed",
        by: "row MAC: nobody else may say that an organisation here took a message; a removed row is not seen, and \
             the message may come twice",
    },
    Coverage {
        table: "instance_state",
        by: "row MAC; one that is removed lets the queue go, and the log lacks the word of who did",
    },
    Coverage { table: "held_known", by: "row MAC; held until a person releases the queue" },
];

const STEPS: &[&str] = &[
    // Only of messages with a recipient that is not written at once.
    "CREATE TABLE submission (
        id {int} PRIMARY KEY,
        tenant {int} NOT NULL,
        account {int},
        person {int},
        kind {int} NOT NULL,
        accepted {int} NOT NULL,
        blob {int} NOT NULL,
        life {int},
        wrapped {bytes} NOT NULL,
        summary {bytes} NOT NULL,
        detail {bytes} NOT NULL
    ) {strict}",
    "CREATE INDEX submission_blob ON submission (blob)",
    "CREATE TABLE ledger (
        id {int} PRIMARY KEY,
        tenant {int} NOT NULL,
        submission {int} NOT NULL,
        account {int},
        kind {int} NOT NULL,
        method {int} NOT NULL,
        state {int} NOT NULL,
        reason {text} NOT NULL,
        grade {int},
        size {int} NOT NULL,
        created {int} NOT NULL,
        updated {int} NOT NULL,
        detail {bytes} NOT NULL,
        mac {bytes} NOT NULL
    ) {strict}",
    "CREATE INDEX ledger_submission ON ledger (submission)",
    "CREATE TABLE queue (
        id {int} PRIMARY KEY,
        tenant {int} NOT NULL,
        submission {int} NOT NULL,
        ledger {int} NOT NULL,
        kind {int} NOT NULL,
        method {int} NOT NULL,
        pickup {int} NOT NULL,
        floor {int} NOT NULL,
        reason {int} NOT NULL,
        state {int} NOT NULL,
        node {int} NOT NULL,
        attempt {int} NOT NULL,
        due {int} NOT NULL,
        mac {bytes} NOT NULL
    ) {strict}",
    "CREATE INDEX queue_due ON queue (state, due)",
    "CREATE INDEX queue_submission ON queue (submission)",
    // Life keys whose end is decided and not yet carried out.
    "CREATE TABLE doomed (
        life {int} PRIMARY KEY,
        tenant {int} NOT NULL,
        since {int} NOT NULL,
        mac {bytes} NOT NULL
    ) {strict}",
    // Queue rows whose message another organisation here has taken, until they are settled.
    "CREATE TABLE handed (
        queue {int} PRIMARY KEY,
        tenant {int} NOT NULL,
        mac {bytes} NOT NULL
    ) {strict}",
    // A row while the queue of a restored instance is held; and what a newer ledger than the restored one knows.
    "CREATE TABLE instance_state (
        id {int} PRIMARY KEY,
        since {int} NOT NULL,
        backup_set {int} NOT NULL,
        mac {bytes} NOT NULL
    ) {strict}",
    "CREATE TABLE held_known (
        ledger {int} PRIMARY KEY,
        state {int} NOT NULL,
        at {int} NOT NULL,
        mac {bytes} NOT NULL
    ) {strict}",
];

sql! {
    pub HELD = "SELECT 1 FROM instance_state WHERE id = 1";
    pub HELD_STATE = "SELECT since, backup_set, mac FROM instance_state WHERE id = 1";
    pub HOLD = "INSERT INTO instance_state (id, since, backup_set, mac) VALUES (1, ?1, ?2, ?3)
        ON CONFLICT (id) DO UPDATE SET since = ?1, backup_set = ?2, mac = ?3";
    pub UNHOLD = "DELETE FROM instance_state WHERE id = 1";
    pub HOLD_KNOWN = "INSERT INTO held_known (ledger, state, at, mac) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (ledger) DO UPDATE SET state = ?2, at = ?3, mac = ?4";
    pub HELD_KNOWN = "SELECT state, at, mac FROM held_known WHERE ledger = ?1";
    pub ALL_HELD_KNOWN = "SELECT ledger, state, at, mac FROM held_known WHERE ledger > ?1 ORDER BY ledger LIMIT 1000";
    pub UNHOLD_KNOWN = "DELETE FROM held_known";
    pub HELD_ROWS = "SELECT id, tenant, ledger FROM queue WHERE id > ?1 ORDER BY id LIMIT 500";
    pub LEDGER_DROPPED = "UPDATE ledger SET state = ?2, reason = ?3, updated = ?4, mac = ?5 WHERE id = ?1";
    pub LEDGER_STANDS = "SELECT state, updated FROM ledger WHERE id = ?1";

    pub SUBMISSION_NAMES = "SELECT 1 FROM submission WHERE blob = ?1 AND life IS NOT NULL LIMIT 1";
    pub INSERT_SUBMISSION = "INSERT INTO submission
        (id, tenant, account, person, kind, accepted, blob, life, wrapped, summary, detail)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    pub SUBMISSION = "SELECT tenant, account, person, accepted, blob, life, wrapped, summary, detail, kind
        FROM submission WHERE id = ?1";
    pub SUBMISSION_QUEUED = "SELECT 1 FROM queue WHERE submission = ?1 LIMIT 1";
    pub SUBMISSION_LIFE = "SELECT life FROM submission WHERE id = ?1";
    pub SUBMISSION_ENDS = "UPDATE submission SET life = NULL, wrapped = ?2, summary = ?2 WHERE id = ?1";
    pub DOOM = "INSERT INTO doomed (life, tenant, since, mac) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
    pub DOOMED = "SELECT life, tenant, since, mac FROM doomed ORDER BY tenant, life LIMIT 1000";
    pub INSERT_HANDED = "INSERT INTO handed (queue, tenant, mac) VALUES (?1, ?2, ?3)";
    pub HANDED = "SELECT mac FROM handed WHERE queue = ?1";
    pub FORGET_HANDED = "DELETE FROM handed WHERE queue = ?1";
    pub ALL_HANDED = "SELECT queue, tenant, mac FROM handed WHERE queue > ?1 ORDER BY queue LIMIT 1000";
    pub DESTROYED = "DELETE FROM doomed WHERE life = ?1";

    pub INSERT_LEDGER = "INSERT INTO ledger
        (id, tenant, submission, account, kind, method, state, reason, size, created, updated, detail, mac)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10, ?11, ?12)";
    pub LEDGER_OF = "SELECT id, tenant, submission, account, kind, method, state, reason, grade, size, created, updated, detail, mac
        FROM ledger WHERE submission = ?1 ORDER BY id LIMIT 1000";
    pub LEDGER_PAGE = "SELECT id, tenant, submission, account, kind, method, state, reason, grade, size, created, updated, detail, mac
        FROM ledger WHERE tenant = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3";
    pub UPDATE_LEDGER = "UPDATE ledger SET method = ?2, state = ?3, reason = ?4, grade = ?5, updated = ?6, detail = ?7, mac = ?8
        WHERE id = ?1";
    pub LEDGER_MAYBE_SENT = "UPDATE ledger SET state = ?2, updated = ?3, mac = ?4 WHERE id = ?1";
    pub LEDGER_MARKS = "SELECT id, tenant, submission, account, kind, method, state, reason, grade, size, created, updated, mac
        FROM ledger WHERE id = ?1";
    pub HAS_LEDGER = "SELECT 1 FROM ledger WHERE id = ?1";
    pub HAS_QUEUE = "SELECT 1 FROM queue WHERE id = ?1";
    pub HAS_SUBMISSION = "SELECT 1 FROM submission WHERE id = ?1";
    pub ALL_SUBMISSIONS = "SELECT id, account, person, accepted, blob, life, wrapped, summary, detail, kind, tenant
        FROM submission WHERE id > ?1 ORDER BY id LIMIT 1000";
    pub ALL_LEDGER = "SELECT id, tenant, submission, account, kind, method, state, reason, grade, size, created, updated,
        mac, detail FROM ledger WHERE id > ?1 ORDER BY id LIMIT 1000";
    pub ALL_QUEUE = "SELECT id, tenant, submission, ledger, kind, method, pickup, floor, reason, attempt, mac, state
        FROM queue WHERE id > ?1 ORDER BY id LIMIT 1000";
    pub ALL_DOOMED = "SELECT life, tenant, since, mac FROM doomed WHERE life > ?1 ORDER BY life LIMIT 1000";
    pub LEDGER_DETAIL = "SELECT detail FROM ledger WHERE id = ?1";

    pub INSERT_QUEUE = "INSERT INTO queue
        (id, tenant, submission, ledger, kind, method, pickup, floor, reason, state, node, attempt, due, mac)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, 0, 0, ?10, ?11)";
    pub DUE = "SELECT id, tenant, submission, ledger, kind, method, pickup, floor, reason, attempt, mac
        FROM queue WHERE state = 0 AND due <= ?1 ORDER BY due LIMIT ?2";
    pub QUEUE_FACTS = "SELECT COUNT(*), MIN(s.accepted) FROM queue q JOIN submission s ON s.id = q.submission";
    pub NEXT_DUE = "SELECT MIN(due) FROM queue WHERE state = 0";
    pub CLAIM = "UPDATE queue SET state = 1, node = ?2, attempt = attempt + 1 WHERE id = ?1 AND state = 0";
    // Who completes an attempt must still have it: a node that was thought dead finds its rows taken over.
    pub DONE = "DELETE FROM queue WHERE id = ?1 AND state = 1 AND node = ?2 AND attempt = ?3";
    pub AGAIN = "UPDATE queue SET state = 0, node = 0, due = ?4
        WHERE id = ?1 AND state = 1 AND node = ?2 AND attempt = ?3";
    pub SWITCH = "UPDATE queue SET state = 0, node = 0, attempt = 0, due = ?4, method = ?5, reason = ?6, mac = ?7
        WHERE id = ?1 AND state = 1 AND node = ?2 AND attempt = ?3";
    pub SENDING = "SELECT DISTINCT node FROM queue WHERE state = 1 ORDER BY node LIMIT 1000";
    pub STRANDED = "SELECT id, ledger, method, tenant, attempt FROM queue WHERE state = 1 AND node = ?1 ORDER BY id LIMIT 1000";
    pub RELEASE = "UPDATE queue SET state = 0, node = 0, due = ?4
        WHERE id = ?1 AND state = 1 AND node = ?2 AND attempt = ?3";
    pub QUEUE_LIST = "SELECT q.id, q.submission, q.ledger, q.method, q.state, q.attempt, q.due, l.detail
        FROM queue q JOIN ledger l ON l.id = q.ledger WHERE q.tenant = ?1 AND q.id > ?2 ORDER BY q.id LIMIT ?3";
    pub QUEUE_NOW = "UPDATE queue SET due = ?3 WHERE id = ?1 AND tenant = ?2 AND state = 0";
}
