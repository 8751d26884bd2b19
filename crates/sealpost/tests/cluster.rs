//! An instance whose rows live in PostgreSQL, through the built program.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use sealpost_testkit::Database;
use sealpost_testkit::program::{self, Output};

fn run(folder: &std::path::Path, words: &[&str]) -> Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealpost"));
    command.args(words).arg("--config").arg(folder.join("server/sealpost.toml")).current_dir(folder);
    program::run(&mut command, b"", Duration::from_secs(120))
}

fn answers(url: &str) -> String {
    format!(
        r#"
organisation = "Hill Clinic"
hostname = "mail.hill.example"
domain = "hill.example"
store = "{url}"
certificate = "tls/chain.pem"
key = "tls/key.pem"
[official]
name = "Olga Official"
address = "olga"
contact = "+1 555 0100 200"
[second]
name = "Sven Second"
address = "sven@hill.example"
contact = "sven@elsewhere.example"
"#
    )
}

#[test]
fn an_instance_is_made_in_a_database_and_proved_there() -> Result<()> {
    let (folder, database) = (tempfile::tempdir()?, Database::create()?);
    fs::write(folder.path().join("answers.toml"), answers(&database.url()?))?;
    run(folder.path(), &["init", "--answers", "answers.toml"])?.ok()?;
    ensure!(!folder.path().join("server/data/store.db").exists());
    let verified = run(folder.path(), &["audit", "verify", "--json"])?.ok()?.text();
    ensure!(verified.contains("\"sound\":true"), "{verified}");
    run(folder.path(), &["archive", "verify"])?.ok()?;
    let check = run(folder.path(), &["check", "--json"])?;
    let found: serde_json::Value = serde_json::from_slice(&check.stdout)?;
    let findings = found["findings"].as_array().cloned().unwrap_or_default();
    for area in ["configuration", "data", "log", "content"] {
        ensure!(findings.iter().any(|f| f["area"] == area && f["severity"] == "ok"), "{area} in {found}");
    }

    // The testers' server syncs nothing.
    let risk = |word: &str| {
        findings.iter().any(|f| {
            f["area"] == "database"
                && f["severity"] == "warn"
                && f["what"].as_str().is_some_and(|w| w.contains(word))
        })
    };
    ensure!(risk("fsync") && risk("full_page_writes"), "{found}");

    // A row that somebody changed in the database is named, as on SQLite.
    let mut client = database.connect()?;
    ensure!(
        client.execute(
            "UPDATE person SET version = version + 1 WHERE id = (SELECT min(id) FROM person)",
            &[]
        )? == 1
    );
    let verified = run(folder.path(), &["audit", "verify"])?;
    ensure!(!verified.status.success() && verified.text().contains("person"), "{}", verified.text());

    // And it is not overwritten by another one.
    let other = tempfile::tempdir()?;
    fs::write(other.path().join("answers.toml"), answers(&database.url()?))?;
    let refused = run(other.path(), &["init", "--answers", "answers.toml"])?;
    ensure!(
        !refused.status.success() && refused.stderr.contains("holds a Sealpost already"),
        "{}",
        refused.stderr
    );
    ensure!(!other.path().join("server").exists());
    Ok(())
}

#[test]
fn a_database_that_is_not_there_is_said_in_one_sentence() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let url = "postgres://sealpost:hunter2@127.0.0.1:1/mail";
    fs::write(folder.path().join("answers.toml"), answers(url))?;
    let refused = run(folder.path(), &["init", "--answers", "answers.toml"])?;
    ensure!(!refused.status.success());
    ensure!(refused.stderr.contains("the PostgreSQL database can't be used"), "{}", refused.stderr);
    ensure!(refused.stderr.trim().lines().count() == 1, "{}", refused.stderr);
    ensure!(!format!("{}{}", refused.text(), refused.stderr).contains("hunter2"));
    Ok(())
}
