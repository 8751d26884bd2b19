//! `sealpost init` through the built program: what it makes, what it refuses, and that it leaves nothing half made.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};
use sealpost_testkit::program::{self, Output};

const ANSWERS: &str = r#"
organisation = "Hill Clinic"
hostname = "mail.hill.example"
domain = "hill.example"
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
password = "plum kettle orbit 97 garden"
"#;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Result<Self> {
        Ok(Self { folder: tempfile::tempdir()? })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self) -> PathBuf {
        self.path("server/sealpost.toml")
    }

    fn init(&self, answers: &str) -> Result<Output> {
        fs::write(self.path("answers.toml"), answers)?;
        self.run(&["init", "--answers"], &self.path("answers.toml"))
    }

    fn run(&self, words: &[&str], last: &Path) -> Result<Output> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealpost"));
        command.args(words).arg(last).arg("--config").arg(self.config()).current_dir(self.folder.path());
        program::run(&mut command, b"", Duration::from_secs(120))
    }

    /// It refuses with words that hold all of these, on one line, and leaves no server behind.
    fn refuses(&self, answers: &str, words: &[&str]) -> Result<()> {
        let out = self.init(answers)?;
        ensure!(!out.status.success(), "{}", out.text());
        for word in words {
            ensure!(out.stderr.contains(word), "{word:?} in {}", out.stderr);
        }
        ensure!(!self.path("server").exists(), "something was left: {}", out.stderr);
        Ok(())
    }
}

fn mode(path: &Path) -> Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o777)
}

#[test]
fn it_makes_a_server_that_check_and_verify_find_whole() -> Result<()> {
    let place = Place::new()?;
    let out = place.init(ANSWERS)?.ok()?.text();
    for word in [
        "Olga Official  olga@hill.example  +1 555 0100 200\n    https://mail.hill.example/signin/setup/",
        "sven@hill.example  sven@elsewhere.example\n    with the password that was given",
        "hill.example.  MX   10 mail.hill.example.",
        "v=spf1 mx -all",
        "_dmarc.hill.example.",
        "put the certificate for mail.hill.example",
        "sealpost serve --config",
    ] {
        ensure!(out.contains(word), "{word:?} in {out}");
    }
    ensure!(!out.contains("plum kettle"), "a given password is not shown again");
    for folder in ["server", "server/data", "server/keys/ring"] {
        ensure!(mode(&place.path(folder))? == 0o700, "{folder}");
    }
    for file in ["server/sealpost.toml", "server/keys/master.key", "server/data/store.db"] {
        ensure!(mode(&place.path(file))? == 0o600, "{file}");
    }
    // Everything is there but the certificate, and check says just that.
    let config = place.config();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealpost"));
    command.args(["check", "--json", "--config"]).arg(&config);
    let check = program::run(&mut command, b"", Duration::from_secs(60))?;
    let found: serde_json::Value = serde_json::from_slice(&check.stdout)?;
    let about = |severity: &str| -> Vec<String> {
        let all = found["findings"].as_array().into_iter().flatten();
        all.filter(|f| f["severity"] == severity)
            .map(|f| f["area"].as_str().unwrap_or("").to_owned())
            .collect()
    };
    ensure!(
        !about("fail").iter().any(|a| !matches!(a.as_str(), "certificate" | "listen" | "disk" | "kit")),
        "{found}"
    );
    ensure!(about("fail").contains(&"certificate".to_owned()), "{found}");
    ensure!(about("fail").contains(&"kit".to_owned()), "a kit that nobody tried is not one: {found}");
    for good in ["configuration", "data", "log", "anchor", "content"] {
        ensure!(about("ok").contains(&good.to_owned()), "{good} in {found}");
    }
    let mut verify = Command::new(env!("CARGO_BIN_EXE_sealpost"));
    verify.args(["audit", "verify", "--config"]).arg(&config);
    program::run(&mut verify, b"", Duration::from_secs(60))?.ok()?;
    Ok(())
}

#[test]
fn nothing_is_overwritten() -> Result<()> {
    let place = Place::new()?;
    place.init(ANSWERS)?.ok()?;
    let master = fs::read(place.path("server/keys/master.key"))?;
    let again = place.init(ANSWERS)?;
    ensure!(!again.status.success() && again.stderr.contains("is not overwritten"), "{}", again.stderr);
    // Nor is it when only the configuration is gone.
    fs::remove_file(place.config())?;
    let again = place.init(ANSWERS)?;
    ensure!(!again.status.success(), "{}", again.text());
    for word in ["server/data", "master.key", "if nobody needs it, remove it and start again"] {
        ensure!(again.stderr.contains(word), "{word:?} in {}", again.stderr);
    }
    ensure!(fs::read(place.path("server/keys/master.key"))? == master);
    Ok(())
}

#[test]
fn wrong_answers_are_refused_in_words_and_leave_nothing() -> Result<()> {
    let place = Place::new()?;
    let with = |from: &str, to: &str| ANSWERS.replace(from, to);
    let (olga, sven) = ("+1 555 0100 200", "sven@elsewhere.example");
    for (answers, words) in [
        (with("\"mail.hill.example\"", "\"mail\""), ["line 3", "hostname", "full host name"]),
        (with("\"hill.example\"\n", "\"hill example\"\n"), ["line 4", "domain", "not a mail domain"]),
        (with("\"Hill Clinic\"", "\" \""), ["line 2", "organisation", "give the name"]),
        (with("\"olga\"", "\"olga@other.example\""), ["line 9", "official", "must be at hill.example"]),
        (with("\"sven@hill.example\"", "\"olga\""), ["line 13", "second", "another person"]),
        (
            with("domain = ", "public_url = \"http://x.example\"\ndomain = "),
            ["line 4", "public_url", "https://"],
        ),
        (with("domain = ", "ring = \"data/ring\"\ndomain = "), ["ring", "outside the data folder", ""]),
        (with("organisation", "organization"), ["organization", "line 2", ""]),
        // S108: both are named, both can be reached while the server is down.
        (with(olga, "olga@hill.example"), ["line 10", "official.contact", "elsewhere"]),
        (with(sven, "by chance"), ["line 14", "second.contact", "telephone"]),
        (with(&format!("contact = \"{olga}\"\n"), ""), ["contact", "line", ""]),
        (with("[second]", "[third]"), ["third", "line 11", ""]),
        (
            ANSWERS.to_owned() + "[recovery]\nshares = 5\nneeded = 1\n",
            ["line 18", "recovery.needed", "more than one"],
        ),
        (ANSWERS.to_owned() + "[recovery]\nshares = 99\n", ["line 17", "recovery.shares", "2 to 16"]),
    ] {
        place.refuses(&answers, &words)?;
    }
    // This one is found out only while it is made.
    place.refuses(
        &with("plum kettle orbit 97 garden", "short"),
        &["sven@hill.example", "too short", "nothing was made"],
    )?;
    place.init(ANSWERS)?.ok()?;
    Ok(())
}

#[test]
fn without_a_terminal_it_says_how_to_answer() -> Result<()> {
    let place = Place::new()?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealpost"));
    command.args(["init", "--config"]).arg(place.config()).stdin(Stdio::null());
    let out = program::run(&mut command, b"", Duration::from_secs(20))?;
    ensure!(!out.status.success() && out.stderr.contains("--answers FILE"), "{}", out.stderr);
    ensure!(!place.path("server").exists());
    Ok(())
}

/// Killed at any moment, it leaves either nothing that matters, and the next run says so and begins anew, or a whole
/// server.
#[test]
fn killed_half_way_it_is_begun_anew() -> Result<()> {
    let place = Place::new()?;
    fs::write(place.path("answers.toml"), ANSWERS)?;
    let (mut cut, mut whole, mut wait) = (0, 0, Duration::from_millis(5));
    while whole == 0 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealpost"));
        command
            .args(["init", "--answers"])
            .arg(place.path("answers.toml"))
            .arg("--config")
            .arg(place.config());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let ended = program::wait(&mut child, wait);
        if ended.is_err() {
            let _ = child.kill();
            child.wait()?;
        }
        if place.config().exists() {
            whole += 1;
        } else if place.path("server/sealpost.toml.init").exists() {
            cut += 1;
        }
        wait += wait / 3;
        ensure!(wait < Duration::from_secs(30), "it never ended");
    }
    ensure!(cut > 0, "it was never cut off half-way");
    ensure!(
        !place.path("server/sealpost.toml.init").exists() && !place.path("server/sealpost.toml.new").exists()
    );
    let mut verify = Command::new(env!("CARGO_BIN_EXE_sealpost"));
    verify.args(["audit", "verify", "--config"]).arg(place.config());
    program::run(&mut verify, b"", Duration::from_secs(60))?.ok()?;
    Ok(())
}

#[test]
fn what_an_earlier_one_left_is_named_and_removed() -> Result<()> {
    let place = Place::new()?;
    fs::create_dir_all(place.path("server/data"))?;
    fs::write(place.path("server/data/store.db"), b"half")?;
    let list = format!(r#"[{{"path":{:?},"was_there":true}}]"#, place.path("server/data"));
    fs::write(place.path("server/sealpost.toml.init"), list)?;
    let out = place.init(ANSWERS)?.ok()?;
    ensure!(out.stderr.contains("was cut off") && out.stderr.contains("server/data"), "{}", out.stderr);
    Ok(())
}
