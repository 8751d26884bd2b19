//! The mail service's tables and statements.

use sealpost_store::{Schema, sql};

/// Tables and statements of the mail service.
pub const SCHEMA: Schema = Schema { name: "mailbox", steps: STEPS, statements: STATEMENTS };

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
        unseen {int} NOT NULL
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
    pub INSERT_ACCOUNT = "INSERT INTO account (id, tenant, owner, life, inbox, modseq, used, quota, mac)
        VALUES (?1, ?2, ?3, ?4, ?5, 1, 0, ?6, ?7)";
    pub ACCOUNT = "SELECT tenant, owner, life, inbox, quota, mac FROM account WHERE id = ?1";
    pub ACCOUNT_OF = "SELECT id FROM account WHERE owner = ?1 ORDER BY id LIMIT 1";
    pub USED = "SELECT used, quota FROM account WHERE id = ?1";
    pub NEXT_MODSEQ = "UPDATE account SET modseq = modseq + 1 WHERE id = ?1 RETURNING modseq";
    pub NEXT_MODSEQ_GROW = "UPDATE account SET modseq = modseq + 1, used = used + ?2 WHERE id = ?1
        RETURNING modseq, used, quota";
    pub GROW = "UPDATE account SET used = used + ?2 WHERE id = ?1";

    pub INSERT_FOLDER = "INSERT INTO folder
        (id, account, name_index, name, special, subscribed, uidvalidity, uidnext, modseq, messages, unseen)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, 1, 0, 0)";
    pub FOLDERS = "SELECT id, name, special, subscribed, uidvalidity, uidnext, modseq, messages, unseen
        FROM folder WHERE account = ?1 ORDER BY id";
    pub FOLDER = "SELECT id, name, special, subscribed, uidvalidity, uidnext, modseq, messages, unseen
        FROM folder WHERE account = ?1 AND id = ?2";
    pub FOLDER_ID = "SELECT id FROM folder WHERE account = ?1 AND name_index = ?2";
    pub RENAME_FOLDER = "UPDATE folder SET name_index = ?3, name = ?4 WHERE account = ?1 AND id = ?2";
    pub SUBSCRIBE_FOLDER = "UPDATE folder SET subscribed = ?3 WHERE account = ?1 AND id = ?2";
    pub DELETE_FOLDER = "DELETE FROM folder WHERE account = ?1 AND id = ?2";
    pub TAKE_UIDS = "UPDATE folder SET uidnext = uidnext + ?3, modseq = ?4, messages = messages + ?3, unseen = unseen + ?5
        WHERE account = ?1 AND id = ?2 RETURNING uidnext, uidvalidity";
    pub TOUCH_FOLDER = "UPDATE folder SET modseq = ?3, messages = messages + ?4, unseen = unseen + ?5
        WHERE account = ?1 AND id = ?2";

    pub INSERT_ENTRY = "INSERT INTO entry (folder, uid, id, modseq, flags, size, received)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    pub INSERT_CONTENT = "INSERT INTO content (id, account, blob, wrapped, summary) VALUES (?1, ?2, ?3, ?4, ?5)";
    pub VIEW = "SELECT uid, id, modseq, flags, size, received FROM entry
        WHERE folder = ?1 AND uid > ?2 ORDER BY uid LIMIT ?3";
    pub CHANGED = "SELECT uid, id, modseq, flags, size, received FROM entry
        WHERE folder = ?1 AND modseq > ?2 ORDER BY modseq LIMIT ?3";
    pub VANISHED = "SELECT uid FROM vanished WHERE folder = ?1 AND modseq > ?2 ORDER BY uid";
    pub ENTRY = "SELECT uid, id, modseq, flags, size, received FROM entry WHERE folder = ?1 AND uid = ?2";
    pub SET_FLAGS = "UPDATE entry SET flags = ?3, modseq = ?4 WHERE folder = ?1 AND uid = ?2";
    pub DELETE_ENTRY = "DELETE FROM entry WHERE folder = ?1 AND uid = ?2";
    pub DELETE_CONTENT = "DELETE FROM content WHERE id = ?1 AND account = ?2";
    pub INSERT_VANISHED = "INSERT INTO vanished (folder, modseq, uid) VALUES (?1, ?2, ?3)";
    pub DELETE_VANISHED = "DELETE FROM vanished WHERE folder = ?1";
    pub CONTENT = "SELECT blob, wrapped, summary FROM content WHERE id = ?1 AND account = ?2";

    pub KEYWORDS = "SELECT bit, name FROM keyword WHERE account = ?1 ORDER BY bit";
    pub KEYWORD = "SELECT bit FROM keyword WHERE account = ?1 AND name_index = ?2";
    pub KEYWORD_LAST = "SELECT MAX(bit) FROM keyword WHERE account = ?1";
    pub INSERT_KEYWORD = "INSERT INTO keyword (account, bit, name_index, name) VALUES (?1, ?2, ?3, ?4)";
}
