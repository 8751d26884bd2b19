//! Pickup's tables and statements.

use sealpost_audit::Coverage;
use sealpost_store::{Schema, sql};

/// Tables and statements of pickup.
pub const SCHEMA: Schema =
    Schema { name: "pickup", steps: STEPS, statements: STATEMENTS, blobs: &[&RECIPIENT_NAMES] };

/// What holds each table against changes from outside.
pub const COVERAGE: &[Coverage] = &[
    Coverage {
        table: "pickup",
        by: "its plain columns are bound into the sealed detail; a removed row is named by its recipients",
    },
    Coverage {
        table: "pickup_recipient",
        by: "row MAC with a version, whether notice and receipt were sent excepted; address, key and facts are sealed \
             for their row; an older whole row is not seen, nor a removed one: its link is then unknown",
    },
    Coverage {
        table: "pickup_session",
        by: "nothing: tokens are blind, so a forged row needs the instance key; times are not covered",
    },
    Coverage {
        table: "pickup_device",
        by: "nothing: tokens are blind, so a forged row needs the instance key; times are not covered",
    },
    Coverage {
        table: "pickup_budget",
        by: "nothing: counts of tries; each recipient's own tries are under a MAC",
    },
];

const STEPS: &[&str] = &[
    // A message that waits, for one or more recipients. `detail`: organisation and sender, sealed with the records.
    "CREATE TABLE pickup (
        id {int} PRIMARY KEY,
        tenant {int} NOT NULL,
        submission {int} NOT NULL UNIQUE,
        account {int} NOT NULL,
        message_index {bytes} NOT NULL,
        created {int} NOT NULL,
        detail {bytes} NOT NULL
    )",
    "CREATE INDEX pickup_account ON pickup (account, id)",
    "CREATE INDEX pickup_tenant ON pickup (tenant, id)",
    "CREATE INDEX pickup_message ON pickup (tenant, message_index)",
    // One recipient. `wrapped` and `facts` hang on the life key `life`; all three go when it is destroyed.
    // `told`: 1 = the notice was submitted, 2 = the receipt, 4 = the notice came back. `dead`: 0 = kept, 1 = ended, its life key doomed.
    "CREATE TABLE pickup_recipient (
        id {int} PRIMARY KEY,
        pickup {int} NOT NULL,
        tenant {int} NOT NULL,
        queue {int} NOT NULL UNIQUE,
        token {bytes} NOT NULL UNIQUE,
        address_index {bytes} NOT NULL,
        address {bytes} NOT NULL,
        reason {int} NOT NULL,
        told {int} NOT NULL,
        blob {int} NOT NULL,
        life {int} NOT NULL,
        wrapped {bytes},
        facts {bytes},
        state {int} NOT NULL,
        ask {int} NOT NULL,
        code {bytes} NOT NULL,
        tries {int} NOT NULL,
        issues {int} NOT NULL,
        created {int} NOT NULL,
        expires {int} NOT NULL,
        opened {int},
        opened_from {bytes},
        replied {int},
        ended {int},
        ended_by {int},
        ended_why {bytes},
        dead {int} NOT NULL,
        version {int} NOT NULL,
        mac {bytes} NOT NULL
    )",
    "CREATE INDEX pickup_recipient_pickup ON pickup_recipient (pickup, id)",
    "CREATE INDEX pickup_recipient_blob ON pickup_recipient (blob)",
    "CREATE INDEX pickup_recipient_due ON pickup_recipient (dead, expires)",
    // A browser that proved to be the recipient, until it idles out.
    "CREATE TABLE pickup_session (
        token {bytes} NOT NULL,
        recipient {int} NOT NULL,
        created {int} NOT NULL,
        used {int} NOT NULL,
        PRIMARY KEY (token, recipient)
    ) {clustered}",
    "CREATE INDEX pickup_session_used ON pickup_session (used)",
    // A browser that gave a code of this organisation for this recipient once.
    "CREATE TABLE pickup_device (
        token {bytes} NOT NULL,
        tenant {int} NOT NULL,
        address_index {bytes} NOT NULL,
        id {int} NOT NULL,
        created {int} NOT NULL,
        expires {int} NOT NULL,
        PRIMARY KEY (token, tenant, address_index)
    ) {clustered}",
    "CREATE INDEX pickup_device_expires ON pickup_device (expires)",
    // Tries of codes a day, by recipient, sender and network: a new code refills none of them.
    "CREATE TABLE pickup_budget (
        kind {int} NOT NULL,
        holder {bytes} NOT NULL,
        day {int} NOT NULL,
        tries {int} NOT NULL,
        PRIMARY KEY (kind, holder, day)
    ) {clustered}",
    "CREATE INDEX pickup_budget_day ON pickup_budget (day)",
];

sql! {
    pub RECIPIENT_NAMES = "SELECT 1 FROM pickup_recipient WHERE blob = ?1 AND dead = 0 LIMIT 1";
    pub INSERT_PICKUP = "INSERT INTO pickup (id, tenant, submission, account, message_index, created, detail)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (submission) DO NOTHING";
    pub PICKUP_OF = "SELECT id, tenant, submission, account, created, detail, message_index FROM pickup WHERE submission = ?1";
    pub PICKUP = "SELECT id, tenant, submission, account, created, detail, message_index FROM pickup WHERE id = ?1";
    pub PICKUPS = "SELECT id, tenant, submission, account, created, detail, message_index FROM pickup
        WHERE account = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3";
    pub BY_MESSAGE = "SELECT id, tenant, submission, account, created, detail, message_index FROM pickup
        WHERE tenant = ?1 AND message_index = ?2 ORDER BY id DESC LIMIT 1";

    pub ALL_PICKUPS = "SELECT id, tenant, submission, account, created, detail, message_index FROM pickup
        WHERE id > ?1 ORDER BY id LIMIT 1000";
    pub HAS_PICKUP = "SELECT 1 FROM pickup WHERE id = ?1";
    pub HAS_RECIPIENT = "SELECT 1 FROM pickup_recipient WHERE id = ?1";
    pub ALL_RECIPIENTS = "SELECT id, pickup, tenant, queue, token, address_index, address, reason, told, blob, life, wrapped,
        facts, state, ask, code, tries, issues, created, expires, opened, opened_from, replied, ended, ended_by,
        ended_why, dead, version, mac FROM pickup_recipient WHERE id > ?1 ORDER BY id LIMIT 1000";
    pub SESSION_RECIPIENTS = "SELECT DISTINCT recipient FROM pickup_session WHERE recipient > ?1
        ORDER BY recipient LIMIT 1000";
    pub BUDGET_WRONG = "SELECT count(*) FROM pickup_budget WHERE tries < 0 OR kind < 1 OR kind > 3";
    pub OF_TENANT = "SELECT id, tenant, submission, account, created, detail, message_index FROM pickup
        WHERE tenant = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3";

    pub INSERT_RECIPIENT = "INSERT INTO pickup_recipient
        (id, pickup, tenant, queue, token, address_index, address, reason, told, blob, life, wrapped, facts,
         state, ask, code, tries, issues, created, expires, dead, version, mac)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9, ?10, ?11, ?12, 0, ?13, ?14, 0, 0, ?15, ?16, 0, 1, ?17)
        ON CONFLICT (queue) DO NOTHING";
    pub BY_TOKEN = "SELECT id, pickup, tenant, queue, token, address_index, address, reason, told, blob, life, wrapped,
        facts, state, ask, code, tries, issues, created, expires, opened, opened_from, replied, ended, ended_by,
        ended_why, dead, version, mac FROM pickup_recipient WHERE token = ?1";
    pub BY_QUEUE = "SELECT id, pickup, tenant, queue, token, address_index, address, reason, told, blob, life, wrapped,
        facts, state, ask, code, tries, issues, created, expires, opened, opened_from, replied, ended, ended_by,
        ended_why, dead, version, mac FROM pickup_recipient WHERE queue = ?1";
    pub BY_ID = "SELECT id, pickup, tenant, queue, token, address_index, address, reason, told, blob, life, wrapped,
        facts, state, ask, code, tries, issues, created, expires, opened, opened_from, replied, ended, ended_by,
        ended_why, dead, version, mac FROM pickup_recipient WHERE id = ?1";
    pub OF_PICKUP = "SELECT id, pickup, tenant, queue, token, address_index, address, reason, told, blob, life, wrapped,
        facts, state, ask, code, tries, issues, created, expires, opened, opened_from, replied, ended, ended_by,
        ended_why, dead, version, mac FROM pickup_recipient WHERE pickup = ?1 ORDER BY id LIMIT 1000";
    pub OVER = "SELECT id, pickup, tenant, queue, token, address_index, address, reason, told, blob, life, wrapped,
        facts, state, ask, code, tries, issues, created, expires, opened, opened_from, replied, ended, ended_by,
        ended_why, dead, version, mac FROM pickup_recipient WHERE dead = 0 AND expires <= ?1 ORDER BY expires LIMIT ?2";
    pub BURY = "UPDATE pickup_recipient SET wrapped = NULL, facts = NULL WHERE id = ?1 AND dead = 1";
    pub TOLD = "UPDATE pickup_recipient SET told = ?2 WHERE id = ?1";
    pub CHANGE = "UPDATE pickup_recipient SET state = ?3, code = ?4, tries = ?5, issues = ?6, expires = ?7, opened = ?8,
        opened_from = ?9, replied = ?10, ended = ?11, ended_by = ?12, ended_why = ?13, dead = ?14, version = ?15,
        mac = ?16 WHERE id = ?1 AND version = ?2";

    pub SESSION = "SELECT created, used FROM pickup_session WHERE token = ?1 AND recipient = ?2";
    pub INSERT_SESSION = "INSERT INTO pickup_session (token, recipient, created, used) VALUES (?1, ?2, ?3, ?3)
        ON CONFLICT (token, recipient) DO UPDATE SET created = ?3, used = ?3";
    pub TOUCH_SESSION = "UPDATE pickup_session SET used = ?3 WHERE token = ?1 AND recipient = ?2 AND used < ?3";
    pub MOVE_SESSION = "UPDATE pickup_session SET token = ?2 WHERE token = ?1";
    pub END_SESSION = "DELETE FROM pickup_session WHERE token = ?1";
    pub NO_SESSIONS = "DELETE FROM pickup_session";
    pub NO_DEVICES = "DELETE FROM pickup_device";
    pub OLD_SESSIONS = "DELETE FROM pickup_session WHERE used < ?1";

    pub DEVICE = "SELECT id, expires FROM pickup_device WHERE token = ?1 AND tenant = ?2 AND address_index = ?3";
    pub INSERT_DEVICE = "INSERT INTO pickup_device (token, tenant, address_index, id, created, expires)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        ON CONFLICT (token, tenant, address_index) DO UPDATE SET expires = ?6";
    pub REPLACE_DEVICE = "DELETE FROM pickup_device WHERE token = ?1 AND tenant = ?2 AND address_index = ?3";
    pub END_DEVICE = "DELETE FROM pickup_device WHERE token = ?1";
    pub OLD_DEVICES = "DELETE FROM pickup_device WHERE expires < ?1";

    pub BUDGET = "SELECT tries FROM pickup_budget WHERE kind = ?1 AND holder = ?2 AND day = ?3";
    pub CHARGE = "INSERT INTO pickup_budget (kind, holder, day, tries) VALUES (?1, ?2, ?3, 1)
        ON CONFLICT (kind, holder, day) DO UPDATE SET tries = pickup_budget.tries + 1";
    pub REFUND = "UPDATE pickup_budget SET tries = tries - 1 WHERE kind = ?1 AND holder = ?2 AND day = ?3 AND tries > 0";
    pub OLD_BUDGETS = "DELETE FROM pickup_budget WHERE day < ?1";
}
