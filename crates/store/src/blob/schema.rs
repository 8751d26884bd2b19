//! The tables of bodies.

use crate::{Schema, sql};

/// Tables and statements of bodies, which the store adds by itself.
pub const SCHEMA: Schema = Schema { name: "blob", steps: &[STEP_1], statements: STATEMENTS, blobs: &[] };

/// `pack`: each pack file, its row made before the file. `shelf` 0 = working, else the quarter of expiry (see
/// [`Shelf`](super::Shelf)); `state` 0 open, 1 closed, 2 dying, 3 gone; `since` = when that state began; `length` = where
/// its last valid frame ends; `scrubbed` = when it was last read whole; `damage` = the first byte that is not what was
/// written. The row of a pack that is gone stays, so that no number is used twice.
///
/// `blob`: where sealed bodies lie: in `body`, at byte `at` of `pack`, or in an object, whose index frame is at `at`.
/// `size` counts plain bytes, `stored` sealed ones. `state` 0 live, 1 dying. `awaits` = the shelf that a copy of it must
/// reach; below 0 when it could not be read there. `blob_span`: packs besides `blob.pack` that hold some of its chunks, and how many bytes of them.
///
/// `dying`: the collector's intents: bodies that no row named at `since`. `dead_object`: objects that nothing names. `bucket`: what stands in
/// the bucket to say whose it is.
/// `hold`: until then nothing is deleted. `walk`: how far a slow walk is, and when it last came to its end.
const STEP_1: &str = "
CREATE TABLE pack (
    id {int} PRIMARY KEY,
    shelf {int} NOT NULL,
    created {int} NOT NULL,
    state {int} NOT NULL,
    since {int} NOT NULL,
    length {int} NOT NULL,
    scrubbed {int} NOT NULL,
    damage {int}
) {strict};
CREATE TABLE blob (
    id {int} PRIMARY KEY,
    tenant {int} NOT NULL,
    size {int} NOT NULL,
    stored {int} NOT NULL,
    state {int} NOT NULL,
    pack {int},
    at {int},
    object {bytes},
    awaits {int},
    body {bytes}
) {strict};
CREATE INDEX blob_pack ON blob (pack, id, stored) WHERE pack IS NOT NULL;
CREATE INDEX blob_awaits ON blob (awaits, id) WHERE awaits IS NOT NULL;
CREATE UNIQUE INDEX blob_object ON blob (object) WHERE object IS NOT NULL;
CREATE TABLE blob_span (
    pack {int} NOT NULL,
    blob {int} NOT NULL,
    bytes {int} NOT NULL,
    PRIMARY KEY (pack, blob)
) {clustered};
CREATE INDEX blob_span_blob ON blob_span (blob);
CREATE TABLE dying (
    blob {int} PRIMARY KEY,
    since {int} NOT NULL
) {strict};
CREATE TABLE dead_object (
    name {bytes} PRIMARY KEY,
    since {int} NOT NULL,
    due {int} NOT NULL
) {clustered};
CREATE TABLE bucket (
    id {int} PRIMARY KEY,
    name {text} NOT NULL
) {strict};
CREATE TABLE hold (
    id {int} PRIMARY KEY,
    until {int} NOT NULL
) {strict};
CREATE TABLE walk (
    name {text} PRIMARY KEY,
    at {int} NOT NULL,
    ended {int} NOT NULL
) {clustered};
";

sql! {
    pub(crate) INSERT_PACK =
        "INSERT INTO pack (id, shelf, created, state, since, length, scrubbed) VALUES (?1, ?2, ?3, 0, ?3, 0, ?3)";
    pub(crate) CLOSE_PACK = "UPDATE pack SET state = 1, length = ?2, since = ?3 WHERE id = ?1 AND state = 0";
    pub(crate) PACKS = "SELECT id, state, length FROM pack ORDER BY id";
    pub(crate) PACK_TAKES = "SELECT 1 FROM pack WHERE id = ?1 AND state <= 1";
    pub(crate) INSERT_BLOB = "INSERT INTO blob (id, tenant, size, stored, state, pack, at, object, body)
        VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?8)";
    pub(crate) INSERT_SPAN = "INSERT INTO blob_span (pack, blob, bytes) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    pub(crate) DELETE_SPANS = "DELETE FROM blob_span WHERE blob = ?1";
    pub(crate) LOCATE_BLOB = "SELECT tenant, size, stored, pack, at, object, body FROM blob WHERE id = ?1";
    pub(crate) BLOBS_AFTER = "SELECT id FROM blob WHERE id > ?1 ORDER BY id LIMIT ?2";
    pub(crate) BLOB_IDS = "SELECT id FROM blob WHERE id > ?1 ORDER BY id LIMIT 1000";

    // The archiver and compaction.
    pub(crate) AWAIT_SHELF = "UPDATE blob SET awaits = ?2 WHERE id = ?1 AND (awaits IS NULL OR awaits < ?2)";
    pub(crate) AWAITING = "SELECT b.id, b.awaits, COALESCE(p.shelf, 0) FROM blob b LEFT JOIN pack p ON p.id = b.pack
        WHERE b.awaits > 0 ORDER BY b.awaits, b.id LIMIT ?1";
    pub(crate) SHELVED = "UPDATE blob SET awaits = NULL WHERE id = ?1 AND awaits = ?2";
    pub(crate) UNSHELVED = "UPDATE blob SET awaits = -awaits WHERE id = ?1 AND awaits = ?2";
    pub(crate) MOVE_FROM_ROW = "UPDATE blob SET pack = ?2, at = ?3, object = ?4, body = NULL WHERE id = ?1 AND body IS NOT NULL";
    pub(crate) MOVE_FROM_PACK = "UPDATE blob SET pack = ?2, at = ?3, object = ?4 WHERE id = ?1 AND pack = ?5 AND at = ?6";
    pub(crate) CLOSED_PACKS = "SELECT p.id, p.shelf, p.length, p.since,
        CAST((SELECT COALESCE(SUM(b.stored), 0) FROM blob b WHERE b.pack = p.id)
           + (SELECT COALESCE(SUM(s.bytes), 0) FROM blob_span s WHERE s.pack = p.id) AS BIGINT)
        FROM pack p WHERE p.state = 1 AND p.id > ?1 ORDER BY p.id LIMIT 20";
    pub(crate) BLOBS_IN_PACK = "SELECT id FROM blob WHERE pack = ?1 AND id > ?2 ORDER BY id LIMIT 200";
    pub(crate) SPANS_OF_PACK = "SELECT blob FROM blob_span WHERE pack = ?1 AND blob > ?2 ORDER BY blob LIMIT 200";
    pub(crate) PACK_DIES = "UPDATE pack SET state = 2, since = ?2 WHERE id = ?1 AND state = 1";
    pub(crate) DYING_PACKS = "SELECT id FROM pack WHERE state = 2 AND since <= ?1 ORDER BY id LIMIT 100";
    pub(crate) PACK_GONE = "UPDATE pack SET state = 3, since = ?2, damage = NULL WHERE id = ?1 AND state = 2";

    // The collector.
    pub(crate) LIVE_AFTER = "SELECT id FROM blob WHERE id > ?1 AND state = 0 ORDER BY id LIMIT 500";
    pub(crate) MARK_DYING = "UPDATE blob SET state = 1 WHERE id = ?1 AND state = 0";
    pub(crate) INSERT_DYING = "INSERT INTO dying (blob, since) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    pub(crate) DUE_DYING = "SELECT blob FROM dying WHERE since <= ?1 ORDER BY since, blob LIMIT 200";
    pub(crate) DELETE_DYING = "DELETE FROM dying WHERE blob = ?1";
    pub(crate) REVIVE = "UPDATE blob SET state = 0 WHERE id = ?1 AND state = 1";
    pub(crate) DELETE_BLOB = "DELETE FROM blob WHERE id = ?1 AND state = 1 RETURNING stored, object";
    pub(crate) INSERT_DEAD_OBJECT = "INSERT INTO dead_object (name, since, due) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    pub(crate) DUE_OBJECTS = "SELECT name FROM dead_object WHERE due <= ?1 ORDER BY due, name LIMIT 200";
    pub(crate) OBJECT_LATER = "UPDATE dead_object SET due = ?2 WHERE name = ?1";
    pub(crate) DELETE_DEAD_OBJECT = "DELETE FROM dead_object WHERE name = ?1";
    pub(crate) OBJECT_NAMED = "SELECT 1 FROM blob WHERE object = ?1";
    pub(crate) DEAD_OBJECT_KNOWN = "SELECT 1 FROM dead_object WHERE name = ?1";
    pub(crate) BUCKET = "SELECT name FROM bucket WHERE id = 1";
    pub(crate) INSERT_BUCKET = "INSERT INTO bucket (id, name) VALUES (1, ?1) ON CONFLICT DO NOTHING";
    pub(crate) INSERT_HOLD = "INSERT INTO hold (id, until) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET until = ?2";
    pub(crate) DELETE_HOLD = "DELETE FROM hold WHERE id = ?1";
    pub(crate) HELD = "SELECT 1 FROM hold WHERE until > ?1 LIMIT 1";
    pub(crate) OLD_HOLDS = "DELETE FROM hold WHERE until <= ?1";

    // Walks.
    pub(crate) WALK = "SELECT at, ended FROM walk WHERE name = ?1";
    pub(crate) SET_WALK = "INSERT INTO walk (name, at, ended) VALUES (?1, ?2, ?3)
        ON CONFLICT (name) DO UPDATE SET at = ?2, ended = ?3";
    pub(crate) SCRUB_NEXT = "SELECT id, length FROM pack WHERE state = 1 AND scrubbed <= ?1 ORDER BY scrubbed, id LIMIT 1";
    pub(crate) SCRUBBED = "UPDATE pack SET scrubbed = ?2, damage = ?3 WHERE id = ?1";
    pub(crate) OBJECTS_AFTER = "SELECT id FROM blob WHERE object IS NOT NULL AND id > ?1 ORDER BY id LIMIT ?2";

    // Status.
    pub(crate) COUNT_PACKS = "SELECT shelf, state, count(*), CAST(COALESCE(SUM(length), 0) AS BIGINT),
        COALESCE(MIN(scrubbed), 0), count(damage) FROM pack GROUP BY shelf, state ORDER BY shelf, state LIMIT 1000";
    pub(crate) COUNT_BLOBS = "SELECT CASE WHEN object IS NOT NULL THEN 2 WHEN pack IS NOT NULL THEN 1 ELSE 0 END AS place,
        count(*), CAST(COALESCE(SUM(stored), 0) AS BIGINT) FROM blob GROUP BY 1 ORDER BY 1";
    pub(crate) COUNT_AWAITING = "SELECT CAST(COALESCE(SUM(CASE WHEN awaits > 0 THEN 1 ELSE 0 END), 0) AS BIGINT),
        CAST(COALESCE(SUM(CASE WHEN awaits < 0 THEN 1 ELSE 0 END), 0) AS BIGINT) FROM blob WHERE awaits IS NOT NULL";
    pub(crate) COUNT_DYING = "SELECT count(*) FROM dying";
    pub(crate) COUNT_DEAD_OBJECTS = "SELECT count(*) FROM dead_object";
    pub(crate) DAMAGED_PACKS = "SELECT id, damage FROM pack WHERE damage IS NOT NULL ORDER BY id LIMIT 100";
}
