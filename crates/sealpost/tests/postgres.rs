//! Every crate's tables and statements on PostgreSQL: one SQL text serves both databases.
//! `cargo xtask test` brings the server; alone: `cargo xtask postgres -- cargo nextest run -p sealpost -E 'binary(postgres)'`.

use sealpost_testkit::postgres;

#[test]
fn every_statement_prepares() {
    let Some(url) = postgres::url() else {
        assert!(std::env::var_os("SEALPOST_TEST_ALL").is_none(), "SEALPOST_TEST_POSTGRES names no server");
        println!("left out: SEALPOST_TEST_POSTGRES names no server");
        return;
    };
    let own = [
        &sealpost_audit::SCHEMA,
        &sealpost_identity::SCHEMA,
        &sealpost_archive::SCHEMA,
        &sealpost_mailbox::SCHEMA,
        &sealpost_delivery::SCHEMA,
        &sealpost_pickup::SCHEMA,
    ];
    let all: Vec<_> = sealpost_store::SCHEMAS.iter().copied().chain(own).collect();
    let count = postgres::prepare_all(&url, &all).expect("one text for both databases");
    assert!(count > 50, "only {count} statements");
}
