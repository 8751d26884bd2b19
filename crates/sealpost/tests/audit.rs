//! `sealpost audit` and `sealpost log` through the built program: what an auditor gets, checks, and may not get.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sealpost_testkit::Server;
use sealpost_testkit::program::{self, Output};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_sealpost");

fn run(words: &[&str]) -> Result<Output> {
    program::run(Command::new(PROGRAM).args(words), b"", Duration::from_secs(120))
}

/// A server with mail in it, and how `name` signs in: the words, and what they type.
fn server() -> Result<Server> {
    let server = Server::start(PROGRAM)?;
    let mut alice = server.submit_as("alice")?;
    for n in 0..6 {
        let letter = format!("From: <alice@clinic.test>\r\nSubject: x{n}\r\n\r\nwords\r\n");
        alice.send("alice@clinic.test", &["bob@clinic.test"], letter.as_bytes())?.expect(250)?;
    }
    Ok(server)
}

fn person(server: &Server, name: &str) -> Result<(String, String)> {
    let users = &server.ready().users;
    let user = users.iter().find(|u| u.address.starts_with(&format!("{name}@")));
    let user = user.with_context(|| format!("no {name}"))?;
    Ok((user.address.clone(), format!("{}\n", user.password)))
}

fn refused(out: &Output, words: &str) -> Result<()> {
    ensure!(!out.status.success(), "it went well: {}", out.text());
    ensure!(out.stderr.contains(words), "{words:?} in {}", out.stderr);
    Ok(())
}

#[test]
fn an_auditor_gets_a_file_that_proves_itself() -> Result<()> {
    let server = server()?;
    let folder = tempfile::tempdir()?;
    let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (ada, password) = person(&server, "ada")?;
    let out = file("log.jsonl");
    let made = server
        .run(&["audit", "export", "--out", &out, "--opened", "--as", &ada, "--json"], &password)?
        .ok()?;
    let made: Value = serde_json::from_slice(&made.stdout)?;
    let fingerprint = made["fingerprint"].as_str().context("a fingerprint")?.to_owned();
    ensure!(made["entries"].as_u64() > Some(10), "{made}");
    ensure!(!Path::new(&file("log.jsonl.part")).exists());

    // Offline, in a place where nothing of ours is.
    let report = run(&["audit", "verify", "--export", &out, "--key", &fingerprint])?.ok()?.text();
    ensure!(report.contains("none is missing") && report.contains("agrees with the checkpoint"), "{report}");
    let key = server.run(&["audit", "key", "--as", &ada], &password)?.ok()?.text();
    ensure!(key.contains(&fingerprint), "{key}");
    refused(&server.run(&["audit", "export", "--out", &out], "")?, "is not overwritten")?;

    let text = fs::read_to_string(&out)?;
    ensure!(text.contains("alice@clinic.test"), "details are opened");
    let other = file("other.jsonl");
    let line = text.lines().nth(4).context("an entry")?;
    let position = serde_json::from_str::<Value>(line)?["position"].to_string();
    fs::write(&other, text.replace(line, &line.replace("\"outcome\":\"0\"", "\"outcome\":\"1\"")))?;
    let report = run(&["audit", "verify", "--export", &other, "--json"])?;
    ensure!(!report.status.success());
    let report: Value = serde_json::from_slice(&report.stdout)?;
    ensure!(report["findings"].to_string().contains(&format!("position {position} ")), "{report}");

    // Without the role no details, and a user nothing at all.
    let plain = file("plain.jsonl");
    server.run(&["audit", "export", "--out", &plain, "--from", "2"], "")?.ok()?;
    ensure!(!fs::read_to_string(&plain)?.contains("clinic.test\""), "nothing is opened");
    let more = file("more.jsonl");
    refused(&server.run(&["audit", "export", "--out", &more, "--opened"], "")?, "--as")?;
    let (alice, password) = person(&server, "alice")?;
    refused(&server.run(&["audit", "export", "--out", &more, "--as", &alice], &password)?, "role")?;
    for bad in [["--from", "yesterday"], ["--from", "999999"], ["--to", "2001-01-01"]] {
        let out = server.run(&["audit", "export", "--out", &more, bad[0], bad[1]], "")?;
        ensure!(!out.status.success() && out.stderr.lines().count() == 1, "{}", out.stderr);
    }
    ensure!(!Path::new(&more).exists());
    for bad in ["/dev/null", &file("none"), PROGRAM] {
        ensure!(!run(&["audit", "verify", "--export", bad])?.status.success(), "{bad}");
    }

    // The page, in a browser.
    let page = file("verify.html");
    fs::write(&page, run(&["audit", "page"])?.ok()?.stdout)?;
    let shots = Path::new(PROGRAM).ancestors().nth(2).context("a target folder")?.join("screenshots");
    fs::create_dir_all(&shots)?;
    let mut node = Command::new("node");
    node.arg(workspace("tests/e2e/audit-page.mjs")?).args([&page, &out, &fingerprint]).arg(&shots);
    program::run(&mut node, b"", Duration::from_secs(300))?.ok().context("audit-page.mjs")?;
    Ok(())
}

#[test]
fn the_log_is_filtered_and_printed_as_it_is_wanted() -> Result<()> {
    let server = server()?;
    let (ada, password) = person(&server, "ada")?;
    let rows = |words: &[&str]| -> Result<Vec<Value>> {
        let all = [&["log", "--json"], words].concat();
        let out = server.run(&all, "")?.ok()?.text();
        out.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    };
    let logins = rows(&["--verb", "login", "--limit", "1000"])?;
    ensure!(!logins.is_empty() && logins.iter().all(|r| r["verb"] == "login"), "{logins:?}");
    ensure!(logins.iter().all(|r| r["client"].is_null()), "no addresses without the role");
    let accepts = rows(&["--verb", "accept", "--limit", "3"])?;
    ensure!(accepts.len() == 3);
    let person = accepts[0]["actor"].as_str().context("an actor")?;
    let users = rows(&["--who", "users", "--limit", "1000"])?;
    ensure!(users.iter().any(|r| r["actor"] == person));
    ensure!(users.iter().all(|r| r["protocol"] != "control" && r["protocol"] != "cli"), "{users:?}");
    // An offline command appears with the user of this machine (S55).
    server.run(&["audit", "verify"], "")?.ok()?;
    let uid = rustix::process::getuid().as_raw();
    let offline = sealpost_testkit::harness::code::until(|| {
        let found = rows(&["--server", "--who", "operators", "--limit", "1000"])?;
        Ok(found.into_iter().find(|r| r["protocol"] == "cli"))
    })?;
    ensure!(offline["actor"] == format!("operator:{uid}") && offline["reason"] == "offline", "{offline}");

    let csv = ["log", "--csv", "--detail", "--verb", "login", "--as", &ada];
    let csv = server.run(&csv, &password)?.ok()?.text();
    let lines: Vec<&str> = csv.lines().collect();
    ensure!(
        lines[0].starts_with("at,position,id,verb,outcome,protocol,actor,owner,client,port,tls"),
        "{csv}"
    );
    ensure!(lines[1].contains(",login,") && csv.contains("127.0.0.1") && csv.contains("TLSv1.3"), "{csv}");
    let none = server.run(&["log", "--until", "2001-01-01"], "")?.ok()?.text();
    ensure!(none.contains("Nothing of that kind"), "{none}");
    for (bad, says) in [
        (["--verb", "logn"], "knows no such act"),
        (["--who", "everyone"], "administrators"),
        (["--since", "tomorrow"], "neither a day"),
        (["--object", "person"], "KIND:ID"),
        (["--limit", "0"], "between 1 and"),
    ] {
        refused(&server.run(&["log", bad[0], bad[1]], "")?, says)?;
    }
    refused(&server.run(&["log", "--detail"], "")?, "--as")?;

    // A proof of one entry, and that the log only grew.
    let id = accepts[0]["id"].to_string();
    let proof = server.run(&["audit", "prove", &id], "")?.ok()?.text();
    ensure!(proof.starts_with("c2sp.org/tlog-proof@v1\nextra "), "{proof}");
    let grown = server.run(&["audit", "prove", "--since", "3"], "")?.ok()?.text();
    ensure!(grown.starts_with("old 3\n"), "{grown}");
    refused(&server.run(&["audit", "prove", "77"], "")?, "no entry 77")?;
    refused(&server.run(&["audit", "prove", "--since", "0"], "")?, "does not have 0 entries")?;
    Ok(())
}

fn workspace(path: &str) -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("the workspace")?;
    Ok(root.join(path))
}
