//! The ring's two files together: making them, reading them whole, writing a change in the order that survives a crash.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use sealpost_crypto::{Key, Random};
use zeroize::Zeroizing;

use super::page::{Identity, Leaf, Tree, root_aad};
use super::slots::{Slot, Slots};
use super::writer::{Step, Steps};
use super::{Error, Result};
use crate::keys::Master;

/// `SPRg`
const APPLICATION: i64 = 0x5350_5267;
const FORMAT: i64 = 1;
const TABLES: &str = "
    CREATE TABLE ring (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        identity BLOB NOT NULL,
        generation INTEGER NOT NULL,
        root BLOB NOT NULL
    ) STRICT;
    CREATE TABLE leaf (id INTEGER PRIMARY KEY, page BLOB NOT NULL) STRICT;
";

/// The open files.
pub(super) struct Disk {
    folder: PathBuf,
    conn: Connection,
    slots: Slots,
    identity: Identity,
    ring_key: Key,
    generation: u64,
    /// The slot that counts.
    slot: usize,
}

/// What a group of jobs changes.
#[derive(Default)]
pub(super) struct Change {
    /// Leaves to write; `None` removes one.
    pub leaves: BTreeMap<i64, Option<Leaf>>,
    /// Whether leaves came, went or got another page key.
    pub root: bool,
    /// Whether something was destroyed.
    pub rekey: bool,
    pub next_leaf: i64,
}

fn key_file(folder: &Path) -> PathBuf {
    folder.join("ring.key")
}

fn page_file(folder: &Path) -> PathBuf {
    folder.join("ring.sqlite")
}

/// Makes an empty ring.
pub(super) fn create(folder: &Path, master: &Master, random: &Random) -> Result<()> {
    let empty = Tree { identity: random.bytes(), generation: 1, history: random.key(), ..Tree::default() };
    create_with(folder, master, random, &empty)
}

/// Makes a ring of what is in `tree`, whose leaves get fresh page keys. Each file is made whole under another name
/// first; without both there is no ring.
pub(super) fn create_with(folder: &Path, master: &Master, random: &Random, tree: &Tree) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|e| Error::file(folder, &e))?;
    let (key_path, page_path) = (key_file(folder), page_file(folder));
    for path in [&key_path, &page_path] {
        if path.symlink_metadata().is_ok() {
            return Err(Error::Exists { path: path.clone() });
        }
    }
    let (new_key, new_page) = (folder.join("ring.key.new"), folder.join("ring.sqlite.new"));
    for path in [&new_key, &new_page] {
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::file(path, &e)),
            _ => {}
        }
    }
    let ring_key = random.key();
    Slots::create(&new_key, master.clone(), tree, &ring_key, random)?;
    create_pages(&new_page, tree, &ring_key, random)?;
    for (from, to) in [(&new_page, &page_path), (&new_key, &key_path)] {
        std::fs::rename(from, to).map_err(|e| Error::file(to, &e))?;
    }
    File::open(folder).and_then(|dir| dir.sync_all()).map_err(|e| Error::file(folder, &e))
}

fn create_pages(path: &Path, tree: &Tree, ring_key: &Key, random: &Random) -> Result<()> {
    // SQLite would make the file with the umask's mode; so it finds an empty one.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    drop(file.map_err(|e| Error::file(path, &e))?);
    let mut all = Change { next_leaf: tree.next_leaf, ..Change::default() };
    for (id, leaf) in &tree.leaves {
        let mut leaf = leaf.draft();
        leaf.page_key = random.key();
        all.leaves.insert(*id, Some(leaf));
    }
    let Tree { identity, generation, .. } = tree;
    let root = ring_key.seal(random, &root_aad(identity, *generation), &root_bytes(tree, &all));
    let generation = i64::try_from(*generation).unwrap_or(i64::MAX);
    let make = || -> rusqlite::Result<()> {
        let mut conn = connect(path)?;
        let tx = conn.transaction()?;
        tx.execute_batch(TABLES)?;
        tx.pragma_update(None, "application_id", APPLICATION)?;
        tx.pragma_update(None, "user_version", FORMAT)?;
        tx.execute(
            "INSERT INTO ring (id, identity, generation, root) VALUES (1, ?1, ?2, ?3)",
            params![identity, generation, root],
        )?;
        for (id, leaf) in &all.leaves {
            if let Some(leaf) = leaf {
                tx.prepare_cached("INSERT INTO leaf (id, page) VALUES (?1, ?2)")?
                    .execute(params![id, leaf.seal(identity, *id, random)])?;
            }
        }
        tx.commit()?;
        // The last connection writes the log back and removes it.
        conn.close().map_err(|(_, e)| e)
    };
    make().map_err(|e| Error::sqlite(path, &e))?;
    File::open(path).and_then(|file| file.sync_all()).map_err(|e| Error::file(path, &e))
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(Duration::ZERO)?;
    // A second process that writes is refused by the lock on the key file; one that looks may be there.
    conn.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.query_row("PRAGMA secure_delete = ON", [], |_| Ok(()))?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update(None, "trusted_schema", "OFF")?;
    conn.pragma_update(None, "cell_size_check", "ON")?;
    conn.query_row("PRAGMA journal_size_limit = 4194304", [], |_| Ok(()))?;
    Ok(conn)
}

/// For a process that looks, beside the one that writes.
fn connect_to_look(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.pragma_update(None, "trusted_schema", "OFF")?;
    conn.pragma_update(None, "cell_size_check", "ON")?;
    Ok(conn)
}

fn check_mode(path: &Path) -> Result<()> {
    let meta = path.metadata().map_err(|e| Error::file(path, &e))?;
    match meta.permissions().mode() & 0o7777 {
        0o600 => Ok(()),
        mode => Err(Error::Mode { path: path.to_owned(), mode }),
    }
}

impl Disk {
    /// Reads all, and zeroes the slot that does not count.
    pub fn open(folder: &Path, master: &Master) -> Result<(Self, Tree)> {
        let (key_path, page_path) = (key_file(folder), page_file(folder));
        check_mode(&key_path)?;
        check_mode(&page_path)?;
        let slots = Slots::open(&key_path, master.clone())?;
        let conn = connect(&page_path).map_err(|e| Error::sqlite(&page_path, &e))?;
        let disk = Self::read(folder, slots, conn)?;
        // A destruction that was cut short before its commit leaves the new key, one cut short after it the old one.
        disk.0.slots.zero(1 - disk.0.slot)?;
        Ok(disk)
    }

    /// Reads all and changes nothing, beside a process that writes.
    pub fn look(folder: &Path, master: &Master) -> Result<Tree> {
        const TRIES: usize = 5;
        let (key_path, page_path) = (key_file(folder), page_file(folder));
        check_mode(&key_path)?;
        check_mode(&page_path)?;
        let mut tries = 0;
        loop {
            let slots = Slots::look(&key_path, master.clone())?;
            let conn = connect_to_look(&page_path).map_err(|e| Error::sqlite(&page_path, &e))?;
            tries += 1;
            match Self::read(folder, slots, conn) {
                // A destruction came between pages and key: look again.
                Err(Error::Mixed { .. }) if tries < TRIES => {}
                read => return read.map(|(_, tree)| tree),
            }
        }
    }

    fn read(folder: &Path, slots: Slots, conn: Connection) -> Result<(Self, Tree)> {
        let page_path = page_file(folder);
        let sql = |e: rusqlite::Error| Error::sqlite(&page_path, &e);
        // One snapshot for root and leaves.
        conn.execute_batch("BEGIN").map_err(sql)?;
        match (pragma(&conn, "application_id").map_err(sql)?, pragma(&conn, "user_version").map_err(sql)?) {
            (APPLICATION, FORMAT) => {}
            (APPLICATION, found) if found > FORMAT => return Err(Error::Newer { found, known: FORMAT }),
            _ => return Err(Error::Corrupt { what: "ring.sqlite".to_owned() }),
        }
        let (identity, generation, root) = conn
            .query_row("SELECT identity, generation, root FROM ring WHERE id = 1", [], |r| {
                Ok((r.get::<_, Vec<u8>>(0)?, r.get::<_, i64>(1)?, r.get::<_, Vec<u8>>(2)?))
            })
            .optional()
            .map_err(sql)?
            .ok_or_else(|| Error::Corrupt { what: "root page".to_owned() })?;
        let damaged_root = || Error::Corrupt { what: "root page".to_owned() };
        let identity: Identity = identity.try_into().map_err(|_| damaged_root())?;
        let generation = u64::try_from(generation).map_err(|_| damaged_root())?;
        let (slot, ring_key) = slot_of(&slots, folder, &identity, generation)?;

        let plain = ring_key.open(&root_aad(&identity, generation), &root).map_err(|_| damaged_root())?;
        let (next_leaf, history, page_keys) =
            Tree::parse_root(&Zeroizing::new(plain)).ok_or_else(damaged_root)?;
        let leaves = read_leaves(&conn, &page_path, &identity, page_keys)?;
        conn.execute_batch("COMMIT").map_err(sql)?;
        let tree = Tree { identity, generation, next_leaf, history, leaves };
        Ok((Self { folder: folder.to_owned(), conn, slots, identity, ring_key, generation, slot }, tree))
    }

    /// Writes a change; it is durable when this returns, and what was destroyed is gone. Puts it into `tree` by
    /// `apply`, once nothing can fail any more.
    pub fn commit(&mut self, tree: &Tree, change: &Change, random: &Random, steps: &Steps) -> Result<u64> {
        let new_key = change.rekey.then(|| random.key());
        let generation = self.generation + u64::from(change.rekey);
        if let Some(key) = &new_key {
            self.slots.write(1 - self.slot, generation, &self.identity, key, random)?;
            steps.pass(Step::NewSlotWritten)?;
        }
        let root = (change.root || change.rekey).then(|| {
            let key = new_key.as_ref().unwrap_or(&self.ring_key);
            key.seal(random, &root_aad(&self.identity, generation), &root_bytes(tree, change))
        });
        let (identity, path) = (self.identity, page_file(&self.folder));
        let mut write = || -> rusqlite::Result<()> {
            let tx = self.conn.transaction()?;
            for (id, leaf) in &change.leaves {
                match leaf {
                    Some(leaf) => tx
                        .prepare_cached(
                            "INSERT INTO leaf (id, page) VALUES (?1, ?2)
                             ON CONFLICT (id) DO UPDATE SET page = excluded.page",
                        )?
                        .execute(params![id, leaf.seal(&identity, *id, random)])?,
                    None => tx.prepare_cached("DELETE FROM leaf WHERE id = ?1")?.execute([id])?,
                };
            }
            if let Some(root) = &root {
                let generation = i64::try_from(generation).unwrap_or(i64::MAX);
                tx.prepare_cached("UPDATE ring SET generation = ?1, root = ?2 WHERE id = 1")?
                    .execute(params![generation, root])?;
            }
            tx.commit()
        };
        write().map_err(|e| Error::sqlite(&path, &e))?;
        steps.pass(Step::PagesCommitted)?;
        if let Some(key) = new_key {
            self.slots.zero(self.slot)?;
            self.slot = 1 - self.slot;
            self.ring_key = key;
            self.generation = generation;
            steps.pass(Step::OldSlotZeroed)?;
        }
        Ok(generation)
    }

    /// For tests: whether today's ring key opens this root page.
    #[cfg(test)]
    pub fn opens_root(&self, generation: u64, root: &[u8]) -> bool {
        self.ring_key.open(&root_aad(&self.identity, generation), root).is_ok()
    }

    /// For tests: a leaf page from elsewhere under this page key.
    #[cfg(test)]
    pub fn open_leaf(&self, page_key: &Key, leaf: i64, page: &[u8]) -> Option<Leaf> {
        Leaf::open(page_key.clone(), &self.identity, leaf, page).ok()
    }
}

/// The slot whose generation is that of the pages, and its key.
fn slot_of(slots: &Slots, folder: &Path, identity: &Identity, generation: u64) -> Result<(usize, Key)> {
    let both = slots.read()?;
    for (number, slot) in both.iter().enumerate() {
        if let Slot::Full { generation: g, identity: i, .. } = slot
            && (*g, i) == (generation, identity)
        {
            return Ok((number, slots.unwrap(slot)?));
        }
    }
    match both.iter().find(|slot| matches!(slot, Slot::Full { .. })) {
        None => Err(Error::Corrupt { what: "ring.key".to_owned() }),
        // Another master key's ring is that before it is anything else.
        Some(slot) => slots.unwrap(slot).and(Err(Error::Mixed { path: folder.to_owned() })),
    }
}

fn read_leaves(
    conn: &Connection,
    path: &Path,
    identity: &Identity,
    mut page_keys: BTreeMap<i64, Key>,
) -> Result<BTreeMap<i64, Leaf>> {
    let sql = |e: rusqlite::Error| Error::sqlite(path, &e);
    let mut statement = conn.prepare("SELECT id, page FROM leaf ORDER BY id").map_err(sql)?;
    let mut rows = statement.query([]).map_err(sql)?;
    let mut leaves = BTreeMap::new();
    while let Some(row) = rows.next().map_err(sql)? {
        let id: i64 = row.get(0).map_err(sql)?;
        let page = row.get_ref(1).map_err(sql)?;
        let damaged = || Error::Corrupt { what: format!("leaf page {id}") };
        let page = page.as_blob().map_err(|_| damaged())?;
        let key = page_keys.remove(&id).ok_or_else(damaged)?;
        leaves.insert(id, Leaf::open(key, identity, id, page)?);
    }
    match page_keys.keys().next() {
        Some(id) => Err(Error::Corrupt { what: format!("leaf page {id}") }),
        None => Ok(leaves),
    }
}

/// The root page as it will be.
fn root_bytes(tree: &Tree, change: &Change) -> Zeroizing<Vec<u8>> {
    let untouched = tree.leaves.iter().filter(|(id, _)| !change.leaves.contains_key(id));
    let written = change.leaves.iter().filter_map(|(id, leaf)| leaf.as_ref().map(|leaf| (id, leaf)));
    let mut out = Zeroizing::new(Vec::with_capacity(40 + (tree.leaves.len() + change.leaves.len()) * 40));
    out.extend_from_slice(&change.next_leaf.to_be_bytes());
    out.extend_from_slice(tree.history.expose());
    for (id, leaf) in untouched.chain(written) {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(leaf.page_key.expose());
    }
    out
}

fn pragma(conn: &Connection, name: &str) -> rusqlite::Result<i64> {
    conn.pragma_query_value(None, name, |r| r.get(0))
}
