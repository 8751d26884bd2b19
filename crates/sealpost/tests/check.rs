//! `sealpost check` and the sentences of a start that fails, through the built program on a real instance.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rusqlite::Connection;
use sealpost_testkit::Server;
use sealpost_testkit::program::{self, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_sealpost");

fn server() -> Result<Server> {
    let server = Server::start(PROGRAM)?;
    let mut alice = server.submit_as("alice")?;
    let letter = "From: <alice@clinic.test>\r\nSubject: x\r\n\r\nwords\r\n";
    alice
        .send("alice@clinic.test", &["bob@clinic.test", "pat@outside.example"], letter.as_bytes())?
        .expect(250)?;
    Ok(server)
}

fn run(words: &[&str]) -> Result<Output> {
    program::run(Command::new(PROGRAM).args(words), b"", Duration::from_secs(120))
}

fn serve(server: &Server) -> Result<Output> {
    let config = server.ready().config.to_string_lossy().into_owned();
    run(&["serve", "--config", &config])
}

/// One sentence on standard error that holds all of these.
fn says(out: &Output, words: &[&str]) -> Result<()> {
    ensure!(!out.status.success(), "it went well: {}", out.text());
    for word in words {
        ensure!(out.stderr.contains(word), "{word:?} in {}", out.stderr);
    }
    Ok(())
}

/// The lines of check that fail.
fn wrong(server: &Server) -> Result<String> {
    let out = server.run(&["check"], "")?;
    let text = out.text();
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("FAIL")).collect();
    ensure!(out.status.success() == lines.is_empty(), "{text}");
    Ok(lines.join("\n"))
}

fn nothing_wrong(server: &Server) -> Result<()> {
    let lines = wrong(server)?;
    ensure!(lines.is_empty(), "{lines}");
    Ok(())
}

#[test]
fn all_is_well_beside_a_server_and_after_it() -> Result<()> {
    let mut server = server()?;
    let running = server.run(&["check"], "")?.ok()?.text();
    for word in
        ["a server answers", "in use, and our server runs", "are what was written", "the anchor agrees"]
    {
        ensure!(running.contains(word), "{word:?} in {running}");
    }
    ensure!(server.stop()?.success());
    nothing_wrong(&server)?;
    server.run(&["audit", "verify"], "")?.ok()?;
    let json = server.run(&["check", "--json", "--deep"], "")?.ok()?;
    let json: serde_json::Value = serde_json::from_slice(&json.stdout)?;
    ensure!(json["ok"] == true, "{json}");
    Ok(())
}

#[test]
fn a_start_that_fails_says_what_to_do() -> Result<()> {
    let mut server = server()?;
    let config = server.ready().config.clone();
    // A second process on the same data.
    says(&serve(&server)?, &["in use by process", "stop that process first"])?;
    ensure!(server.stop()?.success());

    // A port in use.
    let taken = TcpListener::bind(server.listener("imaps")?)?;
    let port = server.listener("imaps")?.to_string();
    says(&serve(&server)?, &[&format!("can't listen on {port}")])?;
    ensure!(wrong(&server)?.contains(&format!("{port} (imaps) is in use by another program")));
    drop(taken);

    // An unreadable key, of TLS and the master's.
    let folder = config.parent().context("a folder")?;
    for (file, word) in [("tls/key.pem", "key.pem"), ("keys/master.key", "master.key")] {
        let path = folder.join(file);
        let own = fs::metadata(&path)?.permissions();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
        says(&serve(&server)?, &[word, "chmod"])?;
        ensure!(wrong(&server)?.contains("chmod 600"), "{}", wrong(&server)?);
        fs::set_permissions(&path, own)?;
    }
    let other = folder.join("other.key");
    fs::rename(folder.join("keys/master.key"), &other)?;
    says(&serve(&server)?, &["master.key", "no such file"])?;
    fs::rename(&other, folder.join("keys/master.key"))?;

    // A setting that is wrong, and one that nobody knows.
    let own = fs::read_to_string(&config)?;
    fs::write(&config, own.replace("https://", "http://"))?;
    says(&serve(&server)?, &["public_url must begin with https://"])?;
    ensure!(wrong(&server)?.contains("public_url"));
    fs::write(&config, own.replace("[tls]", "[tls]\nkeey = 1"))?;
    says(&serve(&server)?, &["keey", "line"])?;
    fs::write(&config, own.replace("127.0.0.1", "0.0.0.0"))?;
    says(&serve(&server)?, &["demonstration", "sealpost init"])?;
    fs::write(&config, own)?;
    ensure!(wrong(&server)?.is_empty());
    says(
        &run(&["serve", "--config", "/nowhere/sealpost.toml"])?,
        &["/nowhere/sealpost.toml", "sealpost init"],
    )
}

#[test]
fn each_change_of_a_row_names_its_place() -> Result<()> {
    let mut server = server()?;
    let mut bob = server.imap_as("bob")?;
    bob.select("INBOX")?;
    bob.command("UID STORE 1 +FLAGS (\\Flagged seen-by-bob)")?.ok()?;
    bob.command("UID STORE 2 +FLAGS (\\Deleted)")?.ok()?;
    bob.command("EXPUNGE")?.ok()?;
    ensure!(server.stop()?.success());
    nothing_wrong(&server)?;
    let path = server.data().join("data/store.db");
    let keep = tempfile::NamedTempFile::new()?;
    fs::copy(&path, keep.path())?;
    for (change, place) in [
        ("UPDATE entry SET flags = flags | 1", "entry "),
        ("UPDATE entry SET received = received + 1", "entry "),
        ("DELETE FROM entry WHERE uid = 1", "entry "),
        ("DELETE FROM vanished", "vanished"),
        ("UPDATE folder SET uidvalidity = uidvalidity + 1", "folder "),
        ("UPDATE folder SET messages = messages + 1", "column messages"),
        ("UPDATE folder SET uidnext = uidnext + 1", "column uidnext"),
        ("UPDATE account SET quota = quota + 1", "account "),
        ("UPDATE account SET used = used + 1", "column used"),
        ("UPDATE content SET blob = (SELECT max(id) FROM blob)", "content "),
        ("UPDATE content SET summary = zeroblob(40)", "column summary"),
        ("DELETE FROM folder WHERE messages = 0 AND uidnext = 1", "folder "),
        ("DELETE FROM content", "content "),
        ("UPDATE keyword SET name = zeroblob(40)", "keyword "),
        ("DELETE FROM keyword", "keyword "),
        ("UPDATE blob SET stored = stored + 1", "blob "),
        ("UPDATE blob SET body = zeroblob(length(body)) WHERE body IS NOT NULL", "blob "),
        ("DELETE FROM blob", "blob "),
        ("UPDATE journal SET received = received + 1", "journal "),
        ("DELETE FROM journal", "journal "),
        ("DELETE FROM journal_key", "journal_key "),
        ("UPDATE ledger SET state = 2 WHERE state <> 2", "ledger "),
        ("UPDATE ledger SET grade = 3", "ledger "),
        ("DELETE FROM ledger", "ledger "),
        ("UPDATE submission SET account = account + 1", "submission "),
        ("UPDATE pickup SET account = account + 1", "pickup "),
        ("DELETE FROM pickup", "pickup "),
        ("UPDATE pickup_recipient SET tries = tries + 1", "pickup_recipient "),
        ("UPDATE pickup_recipient SET expires = expires + 1", "pickup_recipient "),
        ("UPDATE person SET roles = 255", "person "),
        ("DELETE FROM person WHERE id = (SELECT max(id) FROM person)", "person "),
        ("UPDATE id_block SET next = 1024", "id_block "),
        (
            "UPDATE tenant_root SET wrapped = zeroblob(length(wrapped)) WHERE kind = 1 AND tenant > 0",
            "tenant_root ",
        ),
        ("UPDATE audit_tree SET note = note || 'x'", "audit_tree "),
    ] {
        let changed = Connection::open(&path)?.execute(change, [])?;
        ensure!(changed > 0, "{change} changes nothing");
        let found = wrong(&server)?;
        ensure!(found.contains(place), "{change}: {found}");
        let verify = server.run(&["audit", "verify"], "")?;
        ensure!(
            !verify.status.success() && (verify.text() + &verify.stderr).contains(place),
            "{change}: {}",
            verify.text()
        );
        put_back(keep.path(), &path)?;
    }
    nothing_wrong(&server)
}

fn put_back(from: &Path, to: &Path) -> Result<()> {
    for end in ["-wal", "-shm"] {
        let mut name = to.as_os_str().to_owned();
        name.push(end);
        let _ = fs::remove_file(name);
    }
    fs::copy(from, to)?;
    Ok(())
}

/// A route that leads nowhere is told before mail waits for it; one that leads somewhere is said to.
#[test]
fn a_route_is_tried() -> Result<()> {
    let mut server = Server::start(PROGRAM)?;
    ensure!(server.stop()?.success());
    let (there, gone) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?.local_addr()?);
    let config = &server.ready().config;
    let own = fs::read_to_string(config)?;
    let routes = format!(
        "[outbound.routes]\n\"one.example\" = \"{}\"\n\"two.example\" = \"{gone}\"\n",
        there.local_addr()?
    );
    fs::write(config, own.replace("[outbound.routes]\n", &routes))?;
    let text = server.run(&["check"], "")?.text();
    ensure!(text.contains("the route for one.example, can be reached"), "{text}");
    let told = wrong(&server)?;
    ensure!(told.contains("the route for two.example") && told.contains("look whether the host"), "{told}");
    Ok(())
}
