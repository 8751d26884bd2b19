//! The tables that only a cluster needs, and bringing a PostgreSQL database up to date.

use super::Session;
use crate::sql::Dialect;
use crate::{Error, Result, Row, Schema, Sql, Value, sql};

/// `lease`: who does a task, by the database's time in ms; `epoch` grows with each taking. `feed`: what a commit group
/// changed, for other nodes; `change` = its transaction's number. Rows live for a minute. Neither holds what anybody's
/// security rests on: who could write here could write anywhere.
pub(crate) const CLUSTER: Schema =
    Schema { name: "cluster", steps: &[STEP_1], statements: STATEMENTS, blobs: &[] };

const STEP_1: &str = "
CREATE TABLE lease (
    name {text} PRIMARY KEY,
    epoch {int} NOT NULL,
    node {int} NOT NULL,
    until {int} NOT NULL
) {strict};
CREATE TABLE feed (
    change {int} PRIMARY KEY,
    node {int} NOT NULL,
    made {int} NOT NULL,
    topics {bytes} NOT NULL
) {strict};
";

sql! {
    /// The database's own time in ms: the only clock that all nodes share.
    pub(crate) NOW = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)";
    pub(crate) LEASE = "SELECT epoch, until FROM lease WHERE name = ?1";
    pub(crate) TAKE_LEASE = "INSERT INTO lease (name, epoch, node, until) VALUES (?1, 1, ?2, ?4)
        ON CONFLICT (name) DO UPDATE SET epoch = lease.epoch + 1, node = excluded.node, until = excluded.until
        WHERE lease.until <= ?3 RETURNING epoch";
    pub(crate) RENEW_LEASE = "UPDATE lease SET until = ?3 WHERE name = ?1 AND epoch = ?2";
    pub(crate) END_LEASE = "UPDATE lease SET until = 0 WHERE name = ?1 AND epoch = ?2";
    /// A node says that it lives; what it says is true for a while.
    pub(crate) KEEP_NODE = "INSERT INTO lease (name, epoch, node, until)
        VALUES (?1, 1, ?2, CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) + ?3)
        ON CONFLICT (name) DO UPDATE SET until = excluded.until";
    pub(crate) FORGET_NODES = "DELETE FROM lease WHERE name LIKE 'node/%'
        AND until < CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) - 86400000";
    pub(crate) LOCK_NAME = "SELECT pg_advisory_xact_lock(742, hashtext(?1))";
    pub(crate) SHARE_NAME = "SELECT pg_advisory_xact_lock_shared(742, hashtext(?1))";
    pub(crate) TELL = "INSERT INTO feed (change, node, made, topics)
        VALUES (CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT), ?1,
                CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT), ?2)";
    /// Each row carries the oldest transaction that still ran: what is older is all here.
    pub(crate) HEAR = "SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT), f.change, f.topics
        FROM (SELECT 1) AS one LEFT JOIN feed f ON f.change >= ?1 AND f.node <> ?2";
    pub(crate) FORGET = "DELETE FROM feed
        WHERE made < CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) - ?1";
    /// Without these a power cut may lose what was acknowledged.
    pub(crate) RISKS = "SELECT name FROM pg_catalog.pg_settings
        WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off' ORDER BY name";
    pub(crate) HAS_META = "SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = current_schema() AND tablename = 'meta'";
}

static VERSION: Sql = Sql::new("version", "SELECT CAST(current_setting('server_version_num') AS BIGINT)");
static ENCODING: Sql = Sql::new("encoding", "SELECT current_setting('server_encoding')");
pub(crate) static FORMATS: Sql = Sql::new("meta", "SELECT name, format FROM meta");
static SET_FORMAT: Sql = Sql::new(
    "meta",
    "INSERT INTO meta (name, format) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET format = excluded.format",
);

pub(crate) const META: &str =
    "CREATE TABLE IF NOT EXISTS meta (name TEXT COLLATE \"C\" PRIMARY KEY, format BIGINT NOT NULL)";

/// One node migrates at a time; the number is ours alone.
const LOCK: &str = "SELECT pg_advisory_lock(7421, 1)";
const UNLOCK: &str = "SELECT pg_advisory_unlock(7421, 1)";

/// Whether this is a server that we can work with.
pub(crate) fn usable(session: &Session) -> Result<()> {
    let one =
        |sql: &Sql| session.query(sql, &[])?.into_iter().next().ok_or_else(|| Error::Bug(sql.name().into()));
    let version = Row::postgres(&one(&VERSION)?, &VERSION).int(0)?;
    if version < 150_000 {
        let why = format!("it is PostgreSQL {}, and Sealpost needs 15 or later", version / 10_000);
        return Err(Error::Database { why });
    }
    let encoding = Row::postgres(&one(&ENCODING)?, &ENCODING).text(0)?;
    if encoding != "UTF8" {
        let why = format!("its encoding is {encoding}; make it with `CREATE DATABASE .. ENCODING 'UTF8'`");
        return Err(Error::Database { why });
    }
    Ok(())
}

/// Whether there are tables of ours.
pub(crate) fn is_taken(session: &Session) -> Result<bool> {
    usable(session)?;
    Ok(!session.query(&HAS_META, &[])?.is_empty())
}

/// Compares the formats in the database with those of this program, and changes nothing.
pub(crate) fn check(session: &Session, schemas: &[&Schema]) -> Result<Vec<i64>> {
    usable(session)?;
    let mut found = Vec::new();
    if !session.query(&HAS_META, &[])?.is_empty() {
        for row in session.query(&FORMATS, &[])? {
            let row = Row::postgres(&row, &FORMATS);
            found.push((row.text(0)?, row.int(1)?));
        }
    }
    crate::schema::compare(&found, schemas)
}

/// Runs the steps that the database lacks, each in a transaction of its own together with its number.
pub(crate) fn migrate(session: &Session, schemas: &[&Schema]) -> Result<()> {
    usable(session)?;
    // A node that migrates may take its time.
    session.batch("SET statement_timeout = 0; SET lock_timeout = 0", "migrate")?;
    session.batch(LOCK, "migrate")?;
    let migrated = steps(session, schemas);
    let _ = session.batch("ROLLBACK", "migrate");
    session.batch(UNLOCK, "migrate")?;
    migrated
}

fn steps(session: &Session, schemas: &[&Schema]) -> Result<()> {
    let found = check(session, schemas)?;
    session.batch(META, "meta")?;
    for (schema, found) in schemas.iter().zip(found) {
        for (step, format) in schema.steps.iter().zip(1_i64..) {
            if format > found {
                session.batch(&format!("BEGIN; {}", Dialect::Postgres.translate(step)), schema.name)?;
                session.execute(&SET_FORMAT, &[Value::Text(schema.name), Value::Int(format)])?;
                session.batch("COMMIT", schema.name)?;
            }
        }
    }
    Ok(())
}

/// Prepares every statement, so that a wrong one stops the start and not a delivery at night.
pub(crate) fn prepare(session: &Session, schemas: &[&Schema]) -> Result<()> {
    for sql in schemas.iter().flat_map(|schema| schema.statements) {
        session.prepared(sql)?;
    }
    Ok(())
}
