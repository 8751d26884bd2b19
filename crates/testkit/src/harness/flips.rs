//! Is anything changed unseen? Bytes of what is stored are flipped, swapped and removed, one change at a time.
//!
//! After each change the judges (`audit verify`, `archive verify`, `check`) are asked. A change in what they vouch for
//! (blobs, journal, audit log) must be named. Any other change must be noticed by a judge or a reader, or make no
//! difference that a reader can see (S22, S60).

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use rusqlite::{Connection, OpenFlags, types::Value};

mod databases;

use databases::Databases;

use crate::{
    Dice, Ground, Server,
    harness::code::{notices, until},
    smtp::Smtp,
};

/// Runs it with so many changes.
pub fn run(program: &Path, ground: &Ground, changes: u32, mut dice: Dice) -> Result<String> {
    let seed = dice.seed();
    let mut server = Server::start_on(program, ground)?;
    fill(&server, &mut dice)?;
    let before = read_all(&server)?;
    ensure!(server.stop()?.success(), "the clean stop failed");
    let clean = judge(&server)?;
    ensure!(clean.is_empty(), "before any change a judge complains:\n{}", clean.join("\n"));

    let copy = tempfile::Builder::new().prefix("sealpost-flips-").tempdir()?;
    copy_folder(server.folder(), copy.path())?;
    let databases = Databases::copy(ground)?;
    let files = Files::below(&server.data())?;
    let mut counts = BTreeMap::<(String, &'static str), u32>::new();
    let (mut unseen, mut harmless) = (Vec::new(), Vec::new());
    for _ in 0..changes {
        // Where rows lie elsewhere, most changes are made there.
        let change = match databases.pick(&mut dice) {
            Some(client) => databases::change(client?, &mut dice)?,
            None => Change::roll(&files, &mut dice)?,
        };
        let Some(change) = change else { continue };
        let words = judge(&server)?;
        let verdict = if words.iter().any(|words| words.contains(change.name.as_str())) {
            "named"
        } else if !words.is_empty() {
            "noticed"
        } else {
            match compare(&mut server, &before) {
                Ok(true) if !change.vouched => {
                    harmless.push(change.text.clone());
                    "no difference"
                }
                Ok(true) => {
                    unseen.push(format!("{} passed the judges, and readers see no difference", change.text));
                    "UNSEEN"
                }
                Err(_) => "noticed by a reader",
                Ok(false) => {
                    unseen
                        .push(format!("{}: a reader sees something else and nothing complains", change.text));
                    "UNSEEN"
                }
            }
        };
        *counts.entry((change.name, verdict)).or_default() += 1;
        restore(copy.path(), server.folder())?;
        databases.restore()?;
    }
    let mut report = format!("flips: {changes} changes, seed {seed}\n");
    for ((name, verdict), count) in &counts {
        writeln!(report, "  {name}: {count} {verdict}")?;
    }
    harmless.sort();
    harmless.dedup();
    for text in &harmless {
        writeln!(report, "  no difference: {text}")?;
    }
    ensure!(unseen.is_empty(), "{report}{}", unseen.join("\n"));
    Ok(report.trim_end().to_owned())
}

/// One change, already made.
struct Change {
    /// The table or file that a judge should name.
    name: String,
    /// Whether the judges vouch for it.
    vouched: bool,
    /// For people.
    text: String,
}

/// What can be changed.
struct Files {
    /// Each table with its database.
    tables: Vec<(PathBuf, String)>,
    others: Vec<PathBuf>,
}

/// The tables that the judges vouch for, row by row and column by column.
const VOUCHED: [&str; 5] = ["audit", "audit_tile", "blob", "content", "journal"];

impl Files {
    fn below(folder: &Path) -> Result<Files> {
        let mut files = Files { tables: Vec::new(), others: Vec::new() };
        let mut folders = vec![folder.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let (kind, path) = (entry.file_type()?, entry.path());
                if kind.is_dir() {
                    folders.push(path);
                    continue;
                }
                // Looking into a database may take its empty WAL away.
                let Some(bytes) = kind.is_file().then(|| fs::read(&path).ok()).flatten() else { continue };
                if bytes.starts_with(b"SQLite format 3\0") {
                    files.tables.extend(tables(&path)?.into_iter().map(|table| (path.clone(), table)));
                } else if !bytes.is_empty() {
                    files.others.push(path);
                }
            }
        }
        files.others.sort();
        files.tables.sort();
        Ok(files)
    }
}

impl Change {
    /// Makes one change somewhere. None when the dice fell on something empty.
    fn roll(files: &Files, dice: &mut Dice) -> Result<Option<Change>> {
        let Some((path, table)) = dice.pick(&files.tables).cloned() else {
            return Change::file(dice.pick(&files.others), dice);
        };
        match dice.below(10) {
            0 => Change::file(dice.pick(&files.others), dice),
            1 => Change::file(Some(&path), dice),
            way => Change::row(&path, &table, way, dice),
        }
    }

    /// One bit of a file.
    fn file(path: Option<&PathBuf>, dice: &mut Dice) -> Result<Option<Change>> {
        let Some(path) = path else { return Ok(None) };
        let file = fs::OpenOptions::new().read(true).write(true).open(path)?;
        let at = dice.below(file.metadata()?.len());
        let mut byte = [0];
        file.read_exact_at(&mut byte, at)?;
        let [old] = byte;
        file.write_all_at(&[old ^ (1 << dice.below(8))], at)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // A flipped page of the database can be a free one, a working pack has bytes that nothing names any more.
        let text = format!("one bit of {name} at {at}");
        Ok(Some(Change { text, name, vouched: false }))
    }

    /// One column flipped, one column of two rows swapped, or one row removed.
    fn row(path: &Path, table: &str, way: u64, dice: &mut Dice) -> Result<Option<Change>> {
        let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let columns = columns(&database, table)?;
        let keys: Vec<&str> =
            columns.iter().filter(|column| column.key).map(|column| column.name.as_str()).collect();
        let plain: Vec<&Column> = columns.iter().filter(|column| !column.key).collect();
        let rows = rows(&database, table, &keys)?;
        let (Some(key), Some(column)) = (dice.pick(&rows).cloned(), dice.pick(&plain)) else {
            return Ok(None);
        };
        let change = |what: String| {
            let vouched = VOUCHED.contains(&table);
            Some(Change { text: format!("{table} {key:?}: {what}"), name: table.to_owned(), vouched })
        };
        let filter = keys.iter().enumerate().map(|(at, key)| format!("\"{key}\" = ?{}", at + 1));
        let filter = filter.collect::<Vec<_>>().join(" AND ");
        if way == 9 {
            database.execute(
                &format!("DELETE FROM \"{table}\" WHERE {filter}"),
                rusqlite::params_from_iter(&key),
            )?;
            return Ok(change("removed".into()));
        }
        let name = &column.name;
        let read = |key: &[Value]| -> Result<Value> {
            let sql = format!("SELECT \"{name}\" FROM \"{table}\" WHERE {filter}");
            Ok(database.query_row(&sql, rusqlite::params_from_iter(key), |row| row.get(0))?)
        };
        let write = |key: &[Value], value: Value| -> Result<bool> {
            let sql = format!("UPDATE \"{table}\" SET \"{name}\" = ?{} WHERE {filter}", keys.len() + 1);
            let params = key.iter().cloned().chain([value]);
            // What a constraint refuses can't be in a database.
            Ok(database.execute(&sql, rusqlite::params_from_iter(params)).is_ok())
        };
        let old = read(&key)?;
        if way == 8 {
            let Some(other) = dice.pick(&rows).filter(|other| **other != key).cloned() else {
                return Ok(None);
            };
            let new = read(&other)?;
            if new == old || !write(&key, new)? || !write(&other, old)? {
                return Ok(None);
            }
            return Ok(change(format!("{name} swapped with {other:?}")));
        }
        let new = match old {
            Value::Integer(number) => Some(Value::Integer(number ^ (1 << dice.below(16)))),
            Value::Blob(bytes) => flip_bytes(bytes, dice).map(Value::Blob),
            Value::Text(text) => flip_text(text, dice).map(Value::Text),
            Value::Null | Value::Real(_) => None,
        };
        let Some(new) = new else { return Ok(None) };
        Ok(if write(&key, new)? { change(format!("{name} flipped")) } else { None })
    }
}

fn flip_bytes(mut bytes: Vec<u8>, dice: &mut Dice) -> Option<Vec<u8>> {
    let at = dice.below(bytes.len() as u64) as usize;
    *bytes.get_mut(at)? ^= 1 << dice.below(8);
    Some(bytes)
}

/// One of the lower bits of a letter: text stays text.
fn flip_text(text: String, dice: &mut Dice) -> Option<String> {
    let mut bytes = text.into_bytes();
    let at = dice.below(bytes.len() as u64) as usize;
    *bytes.get_mut(at).filter(|byte| byte.is_ascii())? ^= 1 << dice.below(5);
    String::from_utf8(bytes).ok()
}

struct Column {
    name: String,
    key: bool,
}

fn tables(path: &Path) -> Result<Vec<String>> {
    let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mut names = database.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY 1",
    )?;
    let names = names.query_map([], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

fn columns(database: &Connection, table: &str) -> Result<Vec<Column>> {
    let mut all = database.prepare(&format!("PRAGMA table_info(\"{table}\")"))?;
    let all = all.query_map([], |row| Ok(Column { name: row.get(1)?, key: row.get::<_, i64>(5)? > 0 }))?;
    Ok(all.collect::<Result<_, _>>()?)
}

/// The keys of all rows. A table without a declared key has none.
fn rows(database: &Connection, table: &str, keys: &[&str]) -> Result<Vec<Vec<Value>>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let list = keys.iter().map(|key| format!("\"{key}\"")).collect::<Vec<_>>().join(", ");
    let mut all = database.prepare(&format!("SELECT {list} FROM \"{table}\" ORDER BY {list} LIMIT 5000"))?;
    let all = all.query_map([], |row| (0..keys.len()).map(|at| row.get(at)).collect())?;
    Ok(all.collect::<Result<_, _>>()?)
}

/// Mail of each kind: between people, from outside, waiting for pickup, small and of several chunks.
fn fill(server: &Server, dice: &mut Dice) -> Result<()> {
    let mut alice = server.submit_as("alice")?;
    let from = "alice@clinic.test";
    let had = server.imap_as("alice")?.count("INBOX")?;
    let mut waiting = 0;
    for number in 0..12 {
        let to = ["bob@clinic.test", "carol@clinic.test", "pat@outside.example"];
        let to = dice.pick(&to).copied().context("three")?;
        waiting += u32::from(to.starts_with("pat@"));
        let lines = if number == 0 { 12_000 } else { dice.below(200) };
        alice.send(from, &[to], &letter(from, to, lines, dice))?.expect(250)?;
    }
    let mut stranger = Smtp::starttls(server.listener("smtp")?, server.trust())?;
    let (from, to) = ("stranger@outside.example", "bob@clinic.test");
    stranger.send(from, &[to], &letter(from, to, 40, dice))?.expect(250)?;
    let mut bob = server.imap_as("bob")?;
    bob.command("CREATE Shelf")?.ok()?;
    bob.append("Shelf", "\\Flagged", &letter(from, to, 10, dice))?.ok()?;
    bob.select("INBOX")?;
    bob.command("UID STORE 1:* +FLAGS (seen-by-bob)")?.ok()?;
    // What follows from a message must be over too: its notice outside, its receipt with alice.
    until(|| {
        let notices = u32::try_from(notices(server, "pat@outside.example")?.len())?;
        let receipts = server.imap_as("alice")?.count("INBOX")? - had;
        Ok((notices == waiting && receipts == waiting).then_some(()))
    })
    .context("notices and receipts")
}

fn letter(from: &str, to: &str, lines: u64, dice: &mut Dice) -> Vec<u8> {
    let mut text = format!(
        "From: <{from}>\r\nTo: <{to}>\r\nSubject: {}\r\nMessage-ID: <{}@flips.example>\r\n\
         Date: Mon, 02 Mar 2026 09:00:00 +0000\r\n\r\n",
        dice.word(12),
        dice.word(12)
    );
    for _ in 0..lines {
        text.push_str(&dice.word(70));
        text.push_str("\r\n");
    }
    text.into_bytes()
}

/// All that readers see: each person's folders, flags, headers and bodies.
fn read_all(server: &Server) -> Result<Vec<String>> {
    let mut seen = Vec::new();
    for name in ["alice", "bob", "carol"] {
        let mut imap = server.imap_as(name)?;
        let list = imap.command("LIST \"\" *")?.ok()?;
        for line in list.lines.iter().filter(|line| line.text.starts_with("LIST ")) {
            seen.push(format!("{name}: {}", line.text));
            let folder = line.text.rsplit_once(' ').map_or("", |(_, folder)| folder).trim_matches('"');
            if imap.select(folder)? == 0 {
                continue;
            }
            let all = imap.command(
                "UID FETCH 1:* (FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY.PEEK[])",
            )?;
            seen.extend(all.ok()?.lines.into_iter().map(|line| format!("{name}: {line:?}")));
        }
    }
    Ok(seen)
}

/// Starts the server on the changed data and reads all. An error is a complaint.
fn compare(server: &mut Server, before: &[String]) -> Result<bool> {
    let seen = server.start_again().and_then(|()| read_all(server));
    if server.pid().is_ok() {
        server.kill()?;
    }
    Ok(seen? == before)
}

/// What the judges complain about.
fn judge(server: &Server) -> Result<Vec<String>> {
    let mut words = Vec::new();
    for judge in [["audit", "verify"].as_slice(), &["archive", "verify"], &["check"]] {
        let out = server.run(judge, "")?;
        if !out.status.success() {
            words.push(format!("{}: {}{}", judge.join(" "), out.text(), out.stderr));
        }
    }
    Ok(words)
}

/// Copies a folder with its modes; sockets are left out.
pub fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, there) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_folder(&entry.path(), &there)?;
        } else if kind.is_file() {
            // Copies the mode too, which keys insist on.
            fs::copy(entry.path(), there)?;
        }
    }
    let mode = fs::metadata(from)?.permissions();
    Ok(fs::set_permissions(to, mode)?)
}

/// Puts everything back as the copy has it, and removes what the copy has not.
fn restore(copy: &Path, folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
    }
    copy_folder(copy, folder)
}
