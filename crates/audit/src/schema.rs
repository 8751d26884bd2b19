//! The tables of the log.

use sealpost_store::{Schema, sql};

use crate::Coverage;

/// `audit` holds the entries; nothing but `position` ever changes, and that once. `audit_pending` is small and hot: it
/// holds what the sequencer has not seen, about a second of entries. `audit_tile` holds the tree's hashes in tiles of
/// 256 (C2SP tlog-tiles, height 8), not one row a hash; a tile of level 0 also lists the ids of its entries, so that a
/// removed row is named. `audit_open` lists acts that began and have not ended. `audit_anchor` says how each anchor
/// does, for `check`; it proves nothing.
pub const SCHEMA: Schema = Schema {
    name: "audit",
    steps: &["
        CREATE TABLE audit (
            id {int} PRIMARY KEY,
            tenant {int} NOT NULL,
            at {int} NOT NULL,
            verb {int} NOT NULL,
            outcome {int} NOT NULL,
            protocol {int} NOT NULL,
            actor_kind {int} NOT NULL,
            actor_tenant {int} NOT NULL,
            actor {int} NOT NULL,
            owner {int} NOT NULL,
            closes {int} NOT NULL,
            reason {text} NOT NULL,
            objects {bytes} NOT NULL,
            detail {bytes} NOT NULL,
            commitment {bytes} NOT NULL,
            position {int}
        ) {strict};
        CREATE INDEX audit_pending ON audit (tenant, id) WHERE position IS NULL;
        CREATE TABLE audit_open (
            id {int} PRIMARY KEY,
            node {int} NOT NULL
        ) {strict};
        CREATE TABLE audit_tree (
            tenant {int} PRIMARY KEY,
            origin {text} NOT NULL,
            size {int} NOT NULL,
            note {text} NOT NULL
        ) {strict};
        CREATE TABLE audit_tile (
            tenant {int} NOT NULL,
            level {int} NOT NULL,
            number {int} NOT NULL,
            hashes {bytes} NOT NULL,
            ids {bytes} NOT NULL,
            PRIMARY KEY (tenant, level, number)
        ) {strict};
        CREATE TABLE audit_anchor (
            name {text} PRIMARY KEY,
            written {int},
            failing {int},
            why {text} NOT NULL
        ) {strict};
        CREATE TABLE audit_offline (
            mark {bytes} PRIMARY KEY
        ) {strict};
    "],
    statements: STATEMENTS,
    blobs: &[],
};

/// What covers the tables of this crate, for `verify`.
pub const COVERAGE: &[Coverage] = &[
    Coverage { table: "audit", by: "Merkle tree: each row is a leaf; the newest second is not yet in it" },
    Coverage { table: "audit_tile", by: "Merkle tree: recomputed from the rows" },
    Coverage { table: "audit_tree", by: "signature (Ed25519); its rollback is seen by the anchor alone" },
    Coverage {
        table: "audit_anchor",
        by: "nothing: it says how the anchors do; `verify` asks the anchors themselves",
    },
    Coverage {
        table: "audit_offline",
        by: "nothing: it keeps one file of offline commands from being taken in twice",
    },
    Coverage { table: "audit_open", by: "Merkle tree: each opened entry needs its completion" },
];

sql! {
    pub INSERT = "
        INSERT INTO audit (id, tenant, at, verb, outcome, protocol, actor_kind, actor_tenant, actor, owner, closes,
            reason, objects, detail, commitment)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
    pub INGEST = "
        INSERT INTO audit (id, tenant, at, verb, outcome, protocol, actor_kind, actor_tenant, actor, owner, closes,
            reason, objects, detail, commitment)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
        ON CONFLICT (id) DO NOTHING";
    pub CITED = "
        SELECT id, objects FROM audit WHERE id > ?1 AND outcome = ?2 ORDER BY id LIMIT 1000";
    pub BY_ID = "
        SELECT id, tenant, at, verb, outcome, protocol, actor_kind, actor_tenant, actor, owner, closes,
            reason, objects, detail, commitment, position
        FROM audit WHERE id = ?1";
    pub PENDING_TENANTS = "SELECT DISTINCT tenant FROM audit WHERE position IS NULL ORDER BY tenant LIMIT 1000";
    pub PENDING = "
        SELECT id, tenant, at, verb, outcome, protocol, actor_kind, actor_tenant, actor, owner, closes,
            reason, objects, detail, commitment, position
        FROM audit WHERE tenant = ?1 AND position IS NULL ORDER BY id LIMIT ?2";
    pub PENDING_COUNT = "SELECT count(*) FROM audit WHERE tenant = ?1 AND position IS NULL";
    pub PLACE = "UPDATE audit SET position = ?2 WHERE id = ?1 AND position IS NULL";
    pub PLACED_COUNT = "SELECT count(*) FROM audit WHERE tenant = ?1 AND position IS NOT NULL";
    pub PLACED = "
        SELECT id, position FROM audit
        WHERE tenant = ?1 AND id > ?2 AND position IS NOT NULL ORDER BY id LIMIT 1000";
    pub TENANTS = "SELECT DISTINCT tenant FROM audit WHERE tenant > ?1 ORDER BY tenant LIMIT 1000";
    pub TREES = "SELECT tenant FROM audit_tree WHERE tenant > ?1 ORDER BY tenant LIMIT 1000";
    pub TREE = "SELECT origin, size, note FROM audit_tree WHERE tenant = ?1";
    pub NOTES = "SELECT tenant, note FROM audit_tree WHERE tenant > ?1 ORDER BY tenant LIMIT 1000";
    pub OF_VERB = "
        SELECT id, tenant, at, verb, outcome, protocol, actor_kind, actor_tenant, actor, owner, closes,
            reason, objects, detail, commitment, position
        FROM audit WHERE tenant = ?1 AND verb = ?2 AND position IS NOT NULL ORDER BY id DESC LIMIT 1000";
    pub ANCHOR_TELL = "
        INSERT INTO audit_anchor (name, written, failing, why) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (name) DO UPDATE SET written = COALESCE(excluded.written, audit_anchor.written),
            failing = excluded.failing, why = excluded.why";
    pub ANCHORS = "SELECT name, written, failing, why FROM audit_anchor ORDER BY name LIMIT 1000";
    pub OFFLINE_KNOWN = "SELECT 1 FROM audit_offline WHERE mark = ?1";
    pub OFFLINE_FORGET = "DELETE FROM audit_offline";
    pub OFFLINE_MARK = "INSERT INTO audit_offline (mark) VALUES (?1)";
    pub PLANT = "
        INSERT INTO audit_tree (tenant, origin, size, note) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (tenant) DO NOTHING";
    pub GROW = "UPDATE audit_tree SET size = ?3, note = ?4 WHERE tenant = ?1 AND size = ?2";
    pub TILE = "SELECT hashes, ids FROM audit_tile WHERE tenant = ?1 AND level = ?2 AND number = ?3";
    pub PUT_TILE = "
        INSERT INTO audit_tile (tenant, level, number, hashes, ids) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (tenant, level, number) DO UPDATE SET hashes = excluded.hashes, ids = excluded.ids";
    pub TILES_BEYOND = "SELECT count(*) FROM audit_tile WHERE tenant = ?1 AND level = ?2 AND number >= ?3";
    pub OPEN = "INSERT INTO audit_open (id, node) VALUES (?1, ?2)";
    pub CLOSE = "DELETE FROM audit_open WHERE id = ?1";
    pub OPENED = "SELECT id, node FROM audit_open WHERE id > ?1 ORDER BY id LIMIT 1000";
    pub IS_OPEN = "SELECT id FROM audit_open WHERE id = ?1";
}
