//! Every crate's tables and statements, held against a PostgreSQL: one SQL text serves both databases.
//!
//! The server is the tester's: `$SEALPOST_TEST_POSTGRES` names it (`postgres://user@localhost/database`). Nothing in
//! it is touched but a schema of its own, which goes away at the end.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;
use postgres::{Client, NoTls};
use sealpost_store::Schema;
use sealpost_store::sql::Dialect;

/// The server that tests may use, if there is one.
pub fn url() -> Option<String> {
    std::env::var("SEALPOST_TEST_POSTGRES").ok().filter(|url| !url.is_empty())
}

/// Runs every migration and prepares every statement; answers how many statements there were. Names all that fail.
pub fn prepare_all(url: &str, schemas: &[&Schema]) -> anyhow::Result<usize> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let mut client = Client::connect(url, NoTls).context("no PostgreSQL at $SEALPOST_TEST_POSTGRES")?;
    let name = format!("sealpost_test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    client.batch_execute(&format!("CREATE SCHEMA {name}; SET search_path TO {name}"))?;
    let outcome = run(&mut client, schemas);
    client.batch_execute(&format!("DROP SCHEMA {name} CASCADE"))?;
    outcome
}

fn run(client: &mut Client, schemas: &[&Schema]) -> anyhow::Result<usize> {
    let mut failed = Vec::new();
    for schema in schemas {
        for (step, number) in schema.steps.iter().zip(1..) {
            if let Err(error) = client.batch_execute(&Dialect::Postgres.translate(step)) {
                failed.push(format!("{} step {number}: {}", schema.name, words(&error)));
            }
        }
    }
    let statements: Vec<_> = schemas.iter().flat_map(|schema| schema.statements).collect();
    for sql in &statements {
        if let Err(error) = client.prepare(&sql.postgres()) {
            failed.push(format!("{}: {}", sql.name(), words(&error)));
        }
    }
    anyhow::ensure!(failed.is_empty(), "PostgreSQL refuses:\n{}", failed.join("\n"));
    Ok(statements.len())
}

/// What the server said; `postgres` prints only "db error".
fn words(error: &postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |db| db.to_string())
}
