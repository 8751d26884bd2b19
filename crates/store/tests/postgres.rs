//! The store's own tables and statements on PostgreSQL. The binary's test does the same with every crate's.

use sealpost_testkit::postgres;

#[test]
fn one_text_for_both_databases() {
    let Some(url) = postgres::url() else {
        eprintln!("left out: SEALPOST_TEST_POSTGRES names no server");
        return;
    };
    let count = postgres::prepare_all(&url, sealpost_store::SCHEMAS).unwrap();
    assert!(count > 5);
}
