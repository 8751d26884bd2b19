//! What a snapshot reads and a loader writes are the same rows, whatever happens between.

use std::sync::Arc;

use sealpost_crypto::Random;
use sealpost_model::{BlobId, Id, Secret, SystemClock, TenantId};
use sealpost_testkit::Database;
use tempfile::TempDir;

use super::*;
use crate::{Engine, Error, Options, SCHEMAS, Scope, Store, Value, blob};

fn options(dir: &TempDir) -> Options {
    Options::embedded(dir.path(), Arc::new(SystemClock), Random::system())
}

fn on_postgres(dir: &TempDir, database: &Database) -> Options {
    let engine = Engine::Postgres { url: Secret::new(database.url().unwrap()) };
    Options { engine, ..options(dir) }
}

fn add(store: &Store, words: &str) -> BlobId {
    let (tenant, id) = (TenantId::from_raw(1), store.id());
    let key = store.random().key();
    let blob = store.blobs().put_blocking(tenant, id, &key, words.as_bytes()).unwrap();
    store.write_blocking(Scope::instance(), move |tx| blob::insert(tx, &blob)).unwrap();
    id
}

/// All rows, in words.
fn rows(snapshot: &Snapshot, tables: &[Table]) -> Vec<String> {
    let mut out = Vec::new();
    for table in tables {
        let name = &table.name;
        let print = |v: &Value<'_>| match v {
            Value::Null => "null".to_owned(),
            Value::Int(n) => n.to_string(),
            Value::Bytes(b) => format!("{b:?}"),
            Value::Text(t) => (*t).to_owned(),
        };
        snapshot
            .walk::<Error>(table, |row| {
                out.push(format!("{name}: {:?}", row.iter().map(print).collect::<Vec<_>>()));
                Ok(())
            })
            .unwrap();
    }
    out
}

type Owned = Vec<Option<Result<i64, Vec<u8>>>>;

/// Loads all of a table as pieces of two rows.
fn load(loader: &mut Loader, snapshot: &Snapshot, table: &Table) {
    let mut all: Vec<Owned> = Vec::new();
    snapshot
        .walk::<Error>(table, |row| {
            let own = |v: &Value<'_>| match v {
                Value::Null => None,
                Value::Int(n) => Some(Ok(*n)),
                Value::Bytes(b) => Some(Err(b.to_vec())),
                Value::Text(_) => unreachable!("these tables have none"),
            };
            all.push(row.iter().map(own).collect());
            Ok(())
        })
        .unwrap();
    for (piece, rows) in (0..).zip(all.chunks(2)) {
        if loader.has(&table.name, piece).unwrap() {
            continue;
        }
        loader
            .load::<Error>(&table.name, piece, |add| {
                for row in rows {
                    let row: Vec<Value<'_>> = row
                        .iter()
                        .map(|v| match v {
                            None => Value::Null,
                            Some(Ok(n)) => Value::Int(*n),
                            Some(Err(b)) => Value::Bytes(b),
                        })
                        .collect();
                    add(&row)?;
                }
                Ok(())
            })
            .unwrap();
    }
}

#[test]
fn a_snapshot_stands_still_and_a_loader_brings_it_back() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    there_and_back(&options(&from), &options(&to));
}

#[test]
fn rows_cross_engines() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (one, other) = (Database::create().unwrap(), Database::create().unwrap());
    there_and_back(&options(&from), &on_postgres(&to, &one));
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    there_and_back(&on_postgres(&from, &other), &options(&to));
}

fn there_and_back(from: &Options, to: &Options) {
    let store = Store::open(from.clone(), &[]).unwrap();
    for n in 0..5 {
        add(&store, &format!("words {n}"));
    }
    let snapshot = store.snapshot().unwrap();
    let formats = snapshot.formats().unwrap();
    let tables = tables(SCHEMAS, &formats).unwrap();
    assert!(tables.iter().any(|t| t.name == "data_key" && t.key == [0, 1]), "{tables:?}");
    let before = rows(&snapshot, &tables);
    let late = add(&store, "later");
    assert_eq!(rows(&snapshot, &tables), before);

    // Killed in the middle, it goes on; nobody opens it before its end, and nothing goes over it after.
    let mut loader = Loader::open(to, &[], &formats).unwrap();
    let (first, rest): (Vec<_>, Vec<_>) = tables.iter().partition(|t| t.name == "blob");
    first.iter().for_each(|table| load(&mut loader, &snapshot, table));
    let broken: Result<(), Error> = loader.load("blob", 9, |add| {
        add(&[
            Value::Int(77),
            Value::Int(1),
            Value::Int(1),
            Value::Int(1),
            Value::Null,
            Value::Null,
            Value::Null,
        ])?;
        Err(Error::Closed)
    });
    assert!(broken.is_err());
    drop(loader);
    assert!(matches!(Store::open(to.clone(), &[]), Err(Error::Unfinished)));
    assert!(matches!(Store::open_read_only(to.clone(), &[]), Err(Error::Unfinished)));
    let mut loader = Loader::open(to, &[], &formats).unwrap();
    assert!(loader.has(&first[0].name, 0).unwrap());
    rest.iter().for_each(|table| load(&mut loader, &snapshot, table));
    loader.finish(1_000_000).unwrap();
    assert!(matches!(Loader::open(to, &[], &formats), Err(Error::NotEmpty { .. })));

    let back = Store::open(to.clone(), &[]).unwrap();
    let after = rows(&back.snapshot().unwrap(), &tables);
    let plain = |rows: &[String]| -> Vec<String> {
        rows.iter().filter(|r| !r.starts_with("id_block")).cloned().collect()
    };
    assert_eq!(plain(&after), plain(&before));
    assert!(before.len() > 5, "{before:?}");
    assert!(back.id::<BlobId>().raw() > late.raw() + 900_000);
}

#[test]
fn formats_of_a_newer_version_are_refused() {
    let to = TempDir::new().unwrap();
    let formats = vec![("store".to_owned(), 99)];
    assert!(matches!(Loader::open(&options(&to), &[], &formats), Err(Error::Newer { found: 99, .. })));
    let formats = vec![("unheard-of".to_owned(), 1)];
    assert!(matches!(tables(SCHEMAS, &formats), Err(Error::Newer { .. })));
}
