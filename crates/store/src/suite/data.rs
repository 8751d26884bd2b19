//! SQLite's data folder: who may open it, what is found damaged, what happens when it is full.

use std::os::unix::fs::PermissionsExt;

use super::on_sqlite::*;

#[test]
fn one_process_at_a_time() {
    let bench = Bench::new();
    let store = bench.open();
    let second = bench.try_open().map(|_| ()).unwrap_err();
    let expected = format!("in use by process {}", std::process::id());
    assert!(second.to_string().contains(&expected), "{second}");
    // To look, one needs no lock.
    drop(Store::open_read_only(bench.options(), &[&NOTES]).unwrap());
    drop(store);
    bench.open();
}

#[test]
fn several_may_look_beside_a_server() {
    let bench = Bench::new();
    let missing = Store::open_read_only(bench.options(), &[&NOTES]).map(|_| ());
    assert!(matches!(missing, Err(Error::Missing { .. })));
    bench.open().write_blocking(Scope::instance(), |tx| insert(tx, 1, b"x")).unwrap();
    let one = Store::open_read_only(bench.options(), &[&NOTES]).unwrap();
    let two = Store::open_read_only(bench.options(), &[&NOTES]).unwrap();
    assert_eq!((count(&one), count(&two)), (1, 1));
    assert!(matches!(one.write_blocking(Scope::instance(), |tx| insert(tx, 2, b"x")), Err(Error::ReadOnly)));
    bench.open().write_blocking(Scope::instance(), |tx| insert(tx, 2, b"y")).unwrap();
    assert_eq!((count(&one), count(&two)), (2, 2));
    drop((one, two));
    bench.open();
}

#[test]
fn nobody_else_may_read_the_files() {
    let bench = Bench::new();
    let store = bench.open();
    let mut checked = 0;
    let mut folders = vec![bench.data().join("data")];
    while let Some(folder) = folders.pop() {
        assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        for entry in folder.read_dir().unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                assert_eq!(
                    entry.metadata().unwrap().permissions().mode() & 0o777,
                    0o600,
                    "{:?}",
                    entry.path()
                );
                checked += 1;
            }
        }
    }
    assert!(checked >= 3);
    drop(store);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let bench = Bench::new();
    let file = bench.data().join("file");
    std::fs::write(&file, "x").unwrap();
    let options = Options { data: file.join("data"), ..bench.options() };
    let error = Store::open(options, &[]).map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::NotWritable { .. }), "{error}");
    assert!(error.to_string().contains("give the user"), "{error}");
}

#[test]
fn a_database_that_is_none_is_named() {
    let bench = Bench::new();
    drop(bench.open());
    std::fs::write(bench.data().join("data/store.db"), [7; 8192]).unwrap();
    let error = bench.try_open().map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Corrupt { what: "database", .. }), "{error}");
}

#[test]
fn a_full_disk_takes_only_those_that_do_not_fit() {
    // The schema needs about 25 pages; each large note 26 more.
    let bench = Bench::tuned(|t| t.max_pages = Some(64));
    let store = bench.open();
    let small = |id: i64| -> Closure<()> { Box::new(move |tx| insert(tx, id, b"x")) };
    let large = |id: i64| -> Closure<()> { Box::new(move |tx| insert(tx, id, &[7; 100_000])) };
    let answers = in_one_group(&store, vec![small(1), large(2), large(3), small(4), large(5), small(6)]);
    let refused: Vec<_> = answers.iter().map(|a| matches!(a, Err(Error::Full))).collect();
    assert_eq!(refused, [false, false, true, false, true, false], "{answers:?}");
    assert_eq!(ids(&store), [1, 2, 4, 6]);
    drop(store);
    // And with room again it all goes on.
    let bench = Bench { tuning: Tuning::default(), ..bench };
    let store = bench.open();
    store.write_blocking(Scope::instance(), move |tx| insert(tx, 5, &[7; 100_000])).unwrap();
    assert_eq!(ids(&store), [1, 2, 4, 5, 6]);
}
