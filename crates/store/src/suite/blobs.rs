//! Bodies come back as they went, survive a crash once durable, and no changed byte goes unseen.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;

use sealpost_crypto::{CHUNK, Key};
use sealpost_model::{BlobId, Id, TenantId};

use super::*;
use crate::blob::{self, BlobRow};

const TENANT: i64 = 7;

pub(super) fn tenant() -> TenantId {
    TenantId::from_raw(TENANT)
}

pub(super) fn key(id: BlobId) -> Key {
    let mut bytes = [9; 32];
    bytes[..8].copy_from_slice(&id.raw().to_be_bytes());
    Key::from_bytes(bytes)
}

/// Bytes that don't compress.
pub(super) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

/// Puts a body and its row.
fn put(store: &Store, plain: &[u8]) -> Result<BlobId> {
    let id: BlobId = store.id();
    let durable = store.blobs().put_blocking(tenant(), id, &key(id), plain)?;
    store.write_blocking(Scope::instance(), move |tx| blob::insert(tx, &durable))?;
    Ok(id)
}

pub(super) fn locate(store: &Store, id: BlobId) -> Result<BlobRow> {
    store.read_blocking(move |tx| blob::locate(tx, id)).map(Option::unwrap)
}

pub(super) fn get(store: &Store, id: BlobId) -> Result<Vec<u8>> {
    store.blobs().reader(locate(store, id)?, &key(id)).read_all()
}

pub(super) fn packs(bench: &Bench) -> Vec<std::path::PathBuf> {
    let folder = bench.data().join("data/packs");
    let mut packs: Vec<_> = folder.read_dir().unwrap().map(|e| e.unwrap().path()).collect();
    packs.sort();
    packs
}

#[test]
fn bodies_of_every_size_come_back_whole_and_in_ranges() {
    let bench = Bench::new();
    let store = bench.open();
    let sizes = [0, 1, 5_000, 8_000, 8_192, 20_000, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 5 * CHUNK + 77];
    let mut put_ids = BTreeMap::new();
    for size in sizes {
        let plain = noise(size, size as u64);
        put_ids.insert(put(&store, &plain).unwrap(), plain);
    }
    // Zeros shrink: many chunks in the row.
    let zeros = vec![0; 4 * CHUNK + 3];
    let small = put(&store, &zeros).unwrap();
    assert!(locate(&store, small).unwrap().is_inline());
    put_ids.insert(small, zeros);
    drop(store);
    let store = bench.open();
    for (id, plain) in &put_ids {
        let row = locate(&store, *id).unwrap();
        assert_eq!(row.size, plain.len() as u64);
        assert_eq!(row.is_inline(), row.stored <= 8192);
        assert_eq!(&get(&store, *id).unwrap(), plain);
        let mut reader = store.blobs().reader(row, &key(*id));
        reader.verify().unwrap();
        for (at, length) in
            [(0, 10), (CHUNK as u64 - 3, 6), (plain.len() as u64, 1), (u64::MAX, 5), (1, usize::MAX)]
        {
            let from = usize::try_from(at).unwrap_or(usize::MAX).min(plain.len());
            let to = from.saturating_add(length).min(plain.len());
            assert_eq!(reader.read_at(at, length).unwrap(), plain[from..to]);
        }
    }
    let listed = store.read_blocking(|tx| blob::list(tx, None, 100)).unwrap();
    assert_eq!(listed, put_ids.keys().copied().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_large_body_streams_in_bounded_memory() {
    let bench = Bench::tuned(|t| t.pack = 1 << 20);
    let store = bench.open();
    let id: BlobId = store.id();
    let plain = noise(5 << 20, 5);
    let mut writer = store.blobs().create(tenant(), id, &key(id));
    for piece in plain.chunks(10_007) {
        writer.write(piece).await.unwrap();
        assert!(writer.held() <= 3 * CHUNK);
    }
    assert_eq!(writer.len(), plain.len() as u64);
    let durable = store.blobs().put(writer.finish()).await.unwrap();
    assert!(packs(&bench).len() >= 5);
    let row = (*durable).clone();
    store.write(Scope::tenant(tenant()), move |tx| blob::insert(tx, &durable)).await.unwrap();
    let read = store.blobs().read(row, &key(id), 1_000_000..1_000_100).await.unwrap();
    assert_eq!(read, plain[1_000_000..1_000_100]);
    drop(store);
    assert_eq!(get(&bench.open(), id).unwrap(), plain);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once() {
    let bench = Bench::tuned(|t| t.pack = 1 << 20);
    let store = bench.open();
    let tasks: Vec<_> = (0..40)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let plain = noise(n * 20_011, n as u64);
                let id: BlobId = store.id();
                let durable = store.blobs().put_bytes(tenant(), id, &key(id), &plain).await?;
                store.write(Scope::instance(), move |tx| blob::insert(tx, &durable)).await?;
                Ok::<_, Error>((id, plain))
            })
        })
        .collect();
    for task in tasks {
        let (id, plain) = task.await.unwrap().unwrap();
        let row = store.read(move |tx| blob::locate(tx, id)).await.unwrap().unwrap();
        assert_eq!(store.blobs().read(row, &key(id), 0..u64::MAX).await.unwrap(), plain);
    }
}

#[test]
fn an_unfinished_pack_is_closed_where_it_was_last_whole_and_nothing_is_cut() {
    for garbage in [&b""[..], &b"SPfr"[..], &[0; 5000][..], &[255; 100][..]] {
        let bench = Bench::new();
        let store = bench.open();
        let first = put(&store, &noise(50_000, 1)).unwrap();
        let second = put(&store, &noise(60_000, 2)).unwrap();
        drop(store);
        // As if the process had died: the row is open, and the tail torn.
        bench.change("UPDATE pack SET state = 0, length = 0");
        let pack = packs(&bench).pop().unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(&pack).unwrap();
        let length = file.metadata().unwrap().len() - 28;
        file.set_len(length).unwrap();
        file.write_all_at(garbage, length).unwrap();
        let store = bench.open();
        assert_eq!(get(&store, first).unwrap(), noise(50_000, 1));
        let third = put(&store, &noise(70_000, 3)).unwrap();
        assert_eq!(packs(&bench).len(), 2);
        assert_eq!(pack.metadata().unwrap().len(), length + garbage.len() as u64);
        assert_eq!(get(&store, second).unwrap(), noise(60_000, 2));
        drop(store);
        let store = bench.open();
        let rows = store
            .read_blocking(|tx| tx.rows(&blob::schema::PACKS, &[], |row| Ok((row.int(1)?, row.int(2)?))));
        assert_eq!(rows.unwrap()[0], (1, i64::try_from(length).unwrap()));
        assert_eq!(get(&store, third).unwrap(), noise(70_000, 3));
    }
}

#[test]
fn a_lost_tail_is_noticed_by_whoever_reads_it() {
    let bench = Bench::new();
    let store = bench.open();
    let first = put(&store, &noise(50_000, 1)).unwrap();
    let second = put(&store, &noise(60_000, 2)).unwrap();
    drop(store);
    let pack = packs(&bench).pop().unwrap();
    std::fs::OpenOptions::new().write(true).open(&pack).unwrap().set_len(70_000).unwrap();
    let store = bench.open();
    assert!(get(&store, first).is_ok());
    assert!(matches!(get(&store, second), Err(Error::Corrupt { what: "blob", id }) if id == second.raw()));
    drop(store);
    std::fs::remove_file(&pack).unwrap();
    assert!(matches!(get(&bench.open(), first), Err(Error::Corrupt { what: "pack", id: 1 })));
}

#[test]
fn packs_newer_than_the_database_stop_the_start() {
    let bench = Bench::new();
    put(&bench.open(), &noise(50_000, 1)).unwrap();
    std::fs::write(bench.data().join("data/packs/0000000002.pack"), "x").unwrap();
    let error = bench.try_open().map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::PacksNewer { pack: 2, known: 1, .. }));
    assert!(error.to_string().contains("restore database and packs from the same backup"), "{error}");
}

#[test]
fn no_flipped_byte_of_a_pack_is_served() {
    let bench = Bench::tuned(|t| t.pack = 1 << 20);
    let store = bench.open();
    let bodies: Vec<_> =
        [30_000, CHUNK + 5_000].iter().map(|n| (noise(*n, 3), put(&store, &noise(*n, 3)).unwrap())).collect();
    drop(store);
    let store = bench.open();
    let pack = packs(&bench).remove(0);
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&pack).unwrap();
    let length = file.metadata().unwrap().len();
    let mut seen = [0; 2];
    for at in (0..length).step_by(1_009).chain(0..64) {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 4], at).unwrap();
        for (n, (plain, id)) in bodies.iter().enumerate() {
            match get(&store, *id) {
                Ok(read) => assert_eq!(&read, plain),
                Err(Error::Corrupt { what: "blob", .. }) => seen[n] += 1,
                Err(other) => panic!("{other}"),
            }
        }
        file.write_all_at(&byte, at).unwrap();
    }
    assert!(seen.iter().all(|n| *n > 20), "{seen:?}");
}

#[test]
fn rows_that_were_changed_or_swapped_are_noticed() {
    let bench = Bench::new();
    let store = bench.open();
    let small = [put(&store, b"one").unwrap(), put(&store, b"two").unwrap()];
    let large = [put(&store, &noise(50_000, 1)).unwrap(), put(&store, &noise(50_000, 2)).unwrap()];
    drop(store);
    let check = |change: &str, ids: [BlobId; 2]| {
        bench.change("CREATE TABLE saved AS SELECT * FROM blob");
        let change = change.replace("{a}", &ids[0].to_string()).replace("{b}", &ids[1].to_string());
        bench.change(&change);
        let read = get(&bench.open(), ids[0]);
        bench.change("DELETE FROM blob; INSERT INTO blob SELECT * FROM saved; DROP TABLE saved");
        assert!(matches!(read, Err(Error::Corrupt { .. })), "{change}: {:?}", read.map(|r| r.len()));
    };
    for ids in [small, large] {
        for column in ["tenant", "size"] {
            for by in ["+ 1", "- 1", "+ 4294967296"] {
                check(&format!("UPDATE blob SET {column} = {column} {by} WHERE id = {{a}}"), ids);
            }
        }
        check("UPDATE blob SET size = -1 WHERE id = {a}", ids);
        check(
            "UPDATE blob SET (pack, at, body) = (SELECT pack, at, body FROM blob WHERE id = {b}) WHERE id = {a}",
            ids,
        );
    }
    check("UPDATE blob SET body = NULL WHERE id = {a}", small);
    check("UPDATE blob SET pack = 9 WHERE id = {a}", large);
    check("UPDATE blob SET at = at + 1 WHERE id = {a}", large);
    check("UPDATE blob SET at = -1 WHERE id = {a}", large);
    check("UPDATE blob SET stored = stored + 1 WHERE id = {a}", large);
    let store = bench.open();
    assert_eq!(get(&store, small[0]).unwrap(), b"one");
    let row = locate(&store, small[0]).unwrap();
    assert!(store.blobs().reader(row, &key(small[1])).read_all().is_err());
}

#[test]
fn after_a_failed_sync_the_pack_is_given_up() {
    let bench = Bench::new();
    let store = bench.open();
    let first = put(&store, &noise(50_000, 1)).unwrap();
    bench.tuning.faults.syncs.store(1, Ordering::SeqCst);
    assert!(matches!(put(&store, &noise(50_000, 2)), Err(Error::Io(_))));
    let third = put(&store, &noise(50_000, 3)).unwrap();
    assert_eq!(packs(&bench).len(), 2);
    assert_eq!(get(&store, first).unwrap(), noise(50_000, 1));
    assert_eq!(get(&store, third).unwrap(), noise(50_000, 3));
}

#[tokio::test]
async fn a_body_whose_beginning_was_lost_is_refused() {
    let bench = Bench::new();
    let store = bench.open();
    let id: BlobId = store.id();
    let mut writer = store.blobs().create(tenant(), id, &key(id));
    writer.write(&noise(3 * CHUNK, 1)).await.unwrap();
    bench.tuning.faults.syncs.store(1, Ordering::SeqCst);
    let other: BlobId = store.id();
    let failed = store.blobs().put_bytes(tenant(), other, &key(other), &noise(50_000, 2)).await;
    assert!(failed.is_err());
    // It hears of it now, or at the end at the latest.
    let refused = match writer.write(&noise(CHUNK, 3)).await {
        Ok(()) => store.blobs().put(writer.finish()).await.map(|_| ()),
        refused => refused,
    };
    assert!(matches!(refused, Err(Error::Io(_))));
}

#[test]
fn nothing_plain_lies_on_the_disk() {
    let bench = Bench::new();
    let store = bench.open();
    let marker = b"MARKER-4f1c-a-word-that-nobody-writes";
    let plain = |length: usize| marker.repeat(length);
    let ids = [put(&store, &plain(1)).unwrap(), put(&store, &plain(20_000)).unwrap()];
    let mut large = noise(2 * CHUNK, 1);
    large[CHUNK..CHUNK + marker.len()].copy_from_slice(marker);
    put(&store, &large).unwrap();
    let mut files = packs(&bench);
    if bench.database.is_none() {
        files.extend(["store.db", "store.db-wal"].map(|name| bench.data().join("data").join(name)));
    }
    for path in files {
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(12).any(|w| w == &marker[..12]), "{path:?}");
    }
    assert_eq!(get(&store, ids[1]).unwrap(), plain(20_000));
}
