//! Formats, statements and values.

use super::*;

#[test]
fn a_newer_format_stops_the_start_and_changes_nothing() {
    let bench = Bench::new();
    drop(bench.open());
    let newer = Schema {
        name: "notes",
        steps: &["", "ALTER TABLE note ADD COLUMN extra {int}"],
        statements: &[],
        blobs: &[],
    };
    drop(Store::open(bench.options(), &[&newer]).unwrap());
    let error = bench.try_open().map(|_| ()).unwrap_err();
    assert!(matches!(&error, Error::Newer { schema, found: 2, known: 1 } if schema == "notes"));
    assert!(error.to_string().contains("install that version"));
    drop(Store::open(bench.options(), &[&newer]).unwrap());
}

#[test]
fn a_step_that_fails_leaves_the_format_as_it_was() {
    let bench = Bench::new();
    bench.open().write_blocking(Scope::instance(), |tx| insert(tx, 1, b"x")).unwrap();
    let broken = Schema {
        name: "notes",
        steps: &["", "DELETE FROM note; CREATE TABLE note (id {int} PRIMARY KEY)"],
        statements: &[],
        blobs: &[],
    };
    assert!(matches!(Store::open(bench.options(), &[&broken]).map(|_| ()), Err(Error::Bug(_))));
    assert_eq!(count(&bench.open()), 1);
}

#[test]
fn a_wrong_statement_stops_the_start() {
    let bench = Bench::new();
    static WRONG: crate::Sql = crate::Sql::new("test::WRONG", "SELECT nothing FROM nowhere");
    const ALL: &[&crate::Sql] = &[&WRONG];
    let schema = Schema { name: "wrong", steps: &[], statements: ALL, blobs: &[] };
    let error = Store::open(bench.options(), &[&schema]).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("test::WRONG"), "{error}");
}

#[test]
fn values_come_back_as_they_went() {
    use sealpost_model::{AccountId, Flags, Id};
    let bench = Bench::new();
    let schema = Schema {
        name: "kinds",
        steps: &["CREATE TABLE kind (id {int} PRIMARY KEY, a {int}, b {bytes}, c {text}) {strict}"],
        statements: &[],
        blobs: &[],
    };
    static PUT: crate::Sql = crate::Sql::new("PUT", "INSERT INTO kind (id, a, b, c) VALUES (?1, ?2, ?3, ?4)");
    static ALL: crate::Sql = crate::Sql::new("ALL", "SELECT id, a, b, c FROM kind ORDER BY id");
    let store = Store::open(bench.options(), &[&schema]).unwrap();
    let time = Time::from_millis(-5);
    store
        .write_blocking(Scope::instance(), move |tx| {
            tx.execute(&PUT, params![AccountId::from_raw(1), time, [1_u8, 2], "é"])?;
            tx.execute(&PUT, params![2_u32, Some(Flags::SEEN), vec![0_u8; 0], String::new()])?;
            tx.execute(&PUT, params![3_i64, None::<i64>, None::<&[u8]>, None::<&str>])
        })
        .unwrap();
    let rows = store.read_blocking(|tx| {
        tx.rows(&ALL, &[], |r| Ok((r.int(0)?, r.opt_int(1)?, r.opt_bytes(2)?, r.opt_text(3)?)))
    });
    assert_eq!(
        rows.unwrap(),
        [
            (1, Some(-5), Some(vec![1, 2]), Some("é".to_owned())),
            (2, Some(1), Some(vec![]), Some(String::new())),
            (3, None, None, None),
        ]
    );
    let wrong = store.read_blocking(|tx| tx.row(&ALL, &[], |r| r.text(1)));
    assert!(matches!(wrong, Err(Error::Corrupt { what: "ALL", .. })));
    let counted = store.read_blocking(|tx| tx.row(&ALL, params![1], |r| r.int(0)));
    assert!(matches!(counted, Err(Error::Bug(_))));
}

#[tokio::test]
async fn one_task_may_block_as_often_as_it_likes() {
    let bench = Bench::new();
    let store = bench.open();
    // More often than the budget of a tokio task allows without a yield.
    for n in 0..300 {
        store.write_blocking(Scope::instance(), move |tx| insert(tx, n, b"x")).unwrap();
        store.read_blocking(|_| Ok::<_, Error>(())).unwrap();
    }
    assert_eq!(count(&store), 300);
}
