//! The mail service's tables and statements.

use sealpost_audit::Coverage;
use sealpost_store::{Schema, sql};

/// Tables and statements of the mail service.
pub const SCHEMA: Schema =
    Schema { name: "mailbox", steps: STEPS, statements: STATEMENTS, blobs: &[&CONTENT_NAMES] };

/// What covers the tables of this crate, for `audit verify`.
pub const COVERAGE: &[Coverage] = &[
    Coverage {
        table: "account",
        by: "row MAC over owner, life key, inbox and quota; room used, MODSEQ and the newest UIDVALIDITY are held against its folders",
    },
    Coverage {
        table: "folder",
        by: "row MAC over account, name index, purpose, subscription and UIDVALIDITY; the name is sealed; its counters \
             are held against its entries",
    },
    Coverage {
        table: "entry",
        by: "row MAC over all columns; each UID that was given has an entry or is in vanished",
    },
    Coverage { table: "content", by: "key and summary sealed for their row and body; paired with its entry" },
    Coverage {
        table: "vanished",
        by: "held against the UIDs that were given; in which order they went is not covered",
    },
    Coverage { table: "keyword", by: "the name is sealed for its account and bit" },
];

const STEPS: &[&str] = &[
    "CREATE TABLE account (
        id {int} PRIMARY KEY,
        tenant {int} NOT NULL,
        owner {int},
        life {int} NOT NULL,
        inbox {int} NOT NULL,
        modseq {int} NOT NULL,
        used {int} NOT NULL,
        quota {int} NOT NULL,
        uidvalidity {int} NOT NULL,
        mac {bytes} NOT NULL
    ) {strict}",
    "CREATE TABLE folder (
        id {int} PRIMARY KEY,
        account {int} NOT NULL,
        name_index {bytes} NOT NULL,
        name {bytes} NOT NULL,
        special {int} NOT NULL,
        subscribed {int} NOT NULL,
        uidvalidity {int} NOT NULL,
        uidnext {int} NOT NULL,
        modseq {int} NOT NULL,
        messages {int} NOT NULL,
        unseen {int} NOT NULL,
        mac {bytes} NOT NULL
    ) {strict}",
    "CREATE UNIQUE INDEX folder_name ON folder (account, name_index)",
    "CREATE TABLE entry (
        folder {int} NOT NULL,
        uid {int} NOT NULL,
        id {int} NOT NULL,
        modseq {int} NOT NULL,
        flags {int} NOT NULL,
        size {int} NOT NULL,
        received {int} NOT NULL,
        mac {bytes} NOT NULL,
        PRIMARY KEY (folder, uid)
    ) {clustered}",
    "CREATE INDEX entry_modseq ON entry (folder, modseq)",
    "CREATE TABLE content (
        id {int} PRIMARY KEY,
        account {int} NOT NULL,
        blob {int} NOT NULL,
        wrapped {bytes} NOT NULL,
        summary {bytes} NOT NULL
    ) {strict}",
    "CREATE INDEX content_blob ON content (blob)",
    "CREATE TABLE vanished (
        folder {int} NOT NULL,
        modseq {int} NOT NULL,
        uid {int} NOT NULL,
        PRIMARY KEY (folder, modseq, uid)
    ) {clustered}",
    "CREATE TABLE keyword (
        account {int} NOT NULL,
        bit {int} NOT NULL,
        name_index {bytes} NOT NULL,
        name {bytes} NOT NULL,
        PRIMARY KEY (account, bit)
    ) {clustered}",
    "CREATE UNIQUE INDEX keyword_name ON keyword (account, name_index)",
];

sql! {
    pub CONTENT_NAMES = "SELECT 1 FROM content WHERE blob = ?1 LIMIT 1";
    pub INSERT_ACCOUNT = "INSERT INTO account (id, tenant, owner, life, inbox, modseq, used, quota, uidvalidity, mac)
        VALUES (?1, ?2, ?3, ?4, ?5, 1, 0, ?6, 0, ?7)";
    pub ACCOUNT = "SELECT tenant, owner, life, inbox, quota, mac FROM account WHERE id = ?1";
    pub ACCOUNT_OF = "SELECT id FROM account WHERE owner = ?1 ORDER BY id LIMIT 1";
    pub USED = "SELECT used, quota FROM account WHERE id = ?1";
    pub NEXT_MODSEQ = "UPDATE account SET modseq = modseq + 1 WHERE id = ?1 RETURNING modseq";
    pub NEXT_MODSEQ_GROW = "UPDATE account SET modseq = modseq + 1, used = used + ?2 WHERE id = ?1
        RETURNING modseq, used, quota";
    pub NEXT_UIDVALIDITY = "UPDATE account
        SET uidvalidity = CASE WHEN uidvalidity < ?2 THEN ?2 ELSE uidvalidity + 1 END
        WHERE id = ?1 RETURNING uidvalidity";
    pub GROW = "UPDATE account SET used = used + ?2 WHERE id = ?1";

    pub INSERT_FOLDER = "INSERT INTO folder
        (id, account, name_index, name, special, subscribed, uidvalidity, uidnext, modseq, messages, unseen, mac)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, 1, 0, 0, ?8)";
    pub FOLDERS = "SELECT id, name, special, subscribed, uidvalidity, uidnext, modseq, messages, unseen
        FROM folder WHERE account = ?1 ORDER BY id";
    pub FOLDER = "SELECT id, name, special, subscribed, uidvalidity, uidnext, modseq, messages, unseen
        FROM folder WHERE account = ?1 AND id = ?2";
    pub FOLDER_ID = "SELECT id FROM folder WHERE account = ?1 AND name_index = ?2";
    pub FOLDER_FACTS = "SELECT name_index, special, subscribed, uidvalidity FROM folder WHERE account = ?1 AND id = ?2";
    pub RENAME_FOLDER = "UPDATE folder SET name_index = ?3, name = ?4, mac = ?5 WHERE account = ?1 AND id = ?2";
    pub SUBSCRIBE_FOLDER = "UPDATE folder SET subscribed = ?3, mac = ?4 WHERE account = ?1 AND id = ?2";
    pub SET_UIDVALIDITY = "UPDATE folder SET uidvalidity = ?3, mac = ?4 WHERE account = ?1 AND id = ?2";
    pub DELETE_FOLDER = "DELETE FROM folder WHERE account = ?1 AND id = ?2";
    pub TAKE_UIDS = "UPDATE folder SET uidnext = uidnext + ?3, modseq = ?4, messages = messages + ?3, unseen = unseen + ?5
        WHERE account = ?1 AND id = ?2 RETURNING uidnext, uidvalidity";
    pub TOUCH_FOLDER = "UPDATE folder SET modseq = ?3, messages = messages + ?4, unseen = unseen + ?5
        WHERE account = ?1 AND id = ?2";

    pub INSERT_ENTRY = "INSERT INTO entry (folder, uid, id, modseq, flags, size, received, mac)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    pub INSERT_CONTENT = "INSERT INTO content (id, account, blob, wrapped, summary) VALUES (?1, ?2, ?3, ?4, ?5)";
    pub VIEW = "SELECT uid, id, modseq, flags, size, received FROM entry
        WHERE folder = ?1 AND uid > ?2 ORDER BY uid LIMIT ?3";
    pub CHANGED = "SELECT uid, id, modseq, flags, size, received FROM entry
        WHERE folder = ?1 AND modseq > ?2 ORDER BY modseq LIMIT ?3";
    pub VANISHED = "SELECT uid, modseq FROM vanished
        WHERE folder = ?1 AND modseq > ?2 ORDER BY modseq, uid LIMIT ?3";
    pub ENTRY = "SELECT uid, id, modseq, flags, size, received FROM entry WHERE folder = ?1 AND uid = ?2";
    pub SET_FLAGS = "UPDATE entry SET flags = ?3, modseq = ?4, mac = ?5 WHERE folder = ?1 AND uid = ?2";
    pub DELETE_ENTRY = "DELETE FROM entry WHERE folder = ?1 AND uid = ?2";
    pub DELETE_CONTENT = "DELETE FROM content WHERE id = ?1 AND account = ?2";
    pub INSERT_VANISHED = "INSERT INTO vanished (folder, modseq, uid) VALUES (?1, ?2, ?3)";
    pub DELETE_VANISHED = "DELETE FROM vanished WHERE folder = ?1";
    pub CONTENT = "SELECT blob, wrapped, summary FROM content WHERE id = ?1 AND account = ?2";

    pub KEYWORDS = "SELECT bit, name FROM keyword WHERE account = ?1 ORDER BY bit";
    pub KEYWORD = "SELECT bit FROM keyword WHERE account = ?1 AND name_index = ?2";
    pub KEYWORD_LAST = "SELECT MAX(bit) FROM keyword WHERE account = ?1";

    pub ALL_ACCOUNTS = "SELECT id, tenant, owner, life, inbox, quota, mac FROM account WHERE id > ?1 ORDER BY id LIMIT 1000";
    pub ALL_FOLDERS = "SELECT id, account, name_index, name, special, subscribed, uidvalidity, mac FROM folder
        WHERE id > ?1 ORDER BY id LIMIT 1000";
    pub ALL_CONTENT = "SELECT id, account FROM content WHERE id > ?1 ORDER BY id LIMIT 1000";
    pub ENTRY_FOLDERS = "SELECT folder FROM entry WHERE folder > ?1 ORDER BY folder LIMIT 1";
    pub ENTRY_OF = "SELECT folder FROM entry WHERE id = ?1 LIMIT 1";
    pub COUNTERS = "SELECT uidnext, modseq, messages, unseen FROM folder WHERE id = ?1";
    pub ENTRY_COUNTS = "SELECT count(*), CAST(COALESCE(SUM(CASE WHEN (flags & 1) = 0 THEN 1 ELSE 0 END), 0) AS BIGINT),
        COALESCE(MAX(uid), 0), COALESCE(MAX(modseq), 0) FROM entry WHERE folder = ?1";
    pub VANISHED_COUNTS = "SELECT count(*), COALESCE(MAX(uid), 0), COALESCE(MAX(modseq), 0)
        FROM vanished WHERE folder = ?1";
    pub ACCOUNT_COUNTERS = "SELECT modseq, used, uidvalidity FROM account WHERE id = ?1";
    pub ACCOUNT_SUMS = "SELECT CAST(COALESCE(SUM(e.size), 0) AS BIGINT), COALESCE(MAX(f.modseq), 0),
        COALESCE(MAX(f.uidvalidity), 0) FROM folder f LEFT JOIN entry e ON e.folder = f.id WHERE f.account = ?1";
    pub INSPECT_ENTRIES = "SELECT e.uid, e.id, e.modseq, e.flags, e.size, e.received, e.mac, c.blob, c.wrapped, c.summary
        FROM entry e LEFT JOIN content c ON c.id = e.id AND c.account = ?2
        WHERE e.folder = ?1 AND e.uid > ?3 ORDER BY e.uid LIMIT 200";
    pub INSPECT_KEYWORDS = "SELECT bit, name_index, name FROM keyword WHERE account = ?1 ORDER BY bit";
    pub KEYWORD_ACCOUNTS = "SELECT account FROM keyword WHERE account > ?1 ORDER BY account LIMIT 1";

    pub INSERT_KEYWORD = "INSERT INTO keyword (account, bit, name_index, name) VALUES (?1, ?2, ?3, ?4)";
}
