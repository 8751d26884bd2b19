//! Data of every format that was ever released opens, proves itself and is read by this version.
//!
//! `tests/fixtures/data-N.tar.gz` is a whole small server of format N: data, key ring, master key, people, mail. All of it
//! is made up. A later version must open each of them for ever; a new format adds a file and changes none. **Until the
//! first release** a format may still change in place: then `cargo xtask fixture` makes the file anew.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use sealpost_model::{Clock, SystemClock};
use sealpost_net::LocalCa;
use sealpost_testkit::imap::Imap;
use sealpost_testkit::wire::Trust;
use sealpost_testkit::{Server, process, program};
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_sealpost");
/// The format that this version writes.
const NEWEST: &str = "data-1.tar.gz";

fn fixtures() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("the workspace")?;
    Ok(root.join("tests/fixtures"))
}

#[test]
fn data_of_each_format_is_opened_proved_and_read() -> Result<()> {
    if std::env::var_os("UPDATE").is_some() {
        make(&fixtures()?.join(NEWEST))?;
    }
    let mut all: Vec<PathBuf> = fs::read_dir(fixtures()?)?.flatten().map(|e| e.path()).collect();
    all.retain(|path| path.to_string_lossy().ends_with(".tar.gz"));
    ensure!(
        all.iter().any(|path| path.ends_with(NEWEST)),
        "{NEWEST} is missing; `cargo xtask fixture` makes it"
    );
    for path in all {
        read(&path).with_context(|| {
            format!(
                "{} is not read by this version. If it is of a released version, the upgrade is wrong. If no version \
                 with this format was released, and the format was changed on purpose: `cargo xtask fixture`",
                path.display()
            )
        })?;
    }
    Ok(())
}

/// Makes the fixture of this version.
fn make(to: &Path) -> Result<()> {
    let mut server = Server::start(PROGRAM)?;
    let mut alice = server.submit_as("alice")?;
    for (number, to) in (1_u64..).zip([
        &["bob@clinic.test"][..],
        &["bob@clinic.test", "carol@clinic.test"],
        &["pat@outside.example"],
        &["bob@clinic.test", "quinn@outside.example"],
    ]) {
        // More than fits into a row, whatever compression does.
        let text: String = (0..number * 2_000)
            .map(|n: u64| format!("{:x}\r\n", n.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
            .collect();
        let letter = format!("From: <alice@clinic.test>\r\nSubject: Letter {number}\r\n\r\n{text}\r\n");
        alice.send("alice@clinic.test", to, letter.as_bytes())?.expect(250)?;
    }
    let mut bob = server.imap_as("bob")?;
    bob.command("CREATE Keep")?.ok()?;
    bob.select("INBOX")?;
    bob.command("UID STORE 1 +FLAGS (\\Flagged seen-by-bob)")?.ok()?;
    bob.command("UID COPY 1:2 Keep")?.ok()?;
    bob.command("UID STORE 2 +FLAGS (\\Deleted)")?.ok()?;
    bob.command("EXPUNGE")?.ok()?;
    // Receipts come when the queue has been worked on: one for each message that waits outside.
    let mut alice = server.imap_as("alice")?;
    let start = Instant::now();
    while alice.count("INBOX")? < 4
        || !server.run(&["queue", "list"], "")?.ok()?.text().contains("Nothing waits")
    {
        ensure!(start.elapsed() < Duration::from_secs(60), "the queue is not empty");
    }
    let mut expected = BTreeMap::new();
    for user in &server.ready().users.clone() {
        let name = user.address.split('@').next().context("an address")?;
        let mut imap = server.imap_as(name)?;
        let boxes: &[&str] = if name == "bob" { &["INBOX", "Keep"] } else { &["INBOX"] };
        let mut mail = BTreeMap::new();
        for mailbox in boxes {
            imap.select(mailbox)?;
            mail.insert(*mailbox, hashes(&mut imap)?);
        }
        expected.insert(name.to_owned(), json!({"app_password": user.app_password, "mail": mail}));
    }
    ensure!(server.stop()?.success());
    let data = server.data();
    fs::write(data.join("expected.json"), serde_json::to_vec_pretty(&expected)?)?;
    fs::create_dir_all(to.parent().context("a folder")?)?;
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "-I", "gzip -9n"]);
    tar.args(["--exclude=reserve", "--exclude=control.sock", "-C"]).arg(&data).arg("-cf").arg(to).arg(".");
    program::run(&mut tar, b"", Duration::from_secs(60))?.ok()?;
    Ok(())
}

/// Sizes and a sum of every body, in order.
fn hashes(imap: &mut Imap) -> Result<Vec<Value>> {
    let sum = |body: &[u8]| {
        body.iter().fold(0xCBF2_9CE4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01B3))
    };
    Ok(imap.bodies()?.iter().map(|body| json!([body.len(), format!("{:016x}", sum(body))])).collect())
}

/// A server on unpacked data; killed when it is dropped.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn read(fixture: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(fixture).arg("-C").arg(at);
    program::run(&mut tar, b"", Duration::from_secs(60))?.ok()?;
    // Certificates grow old, and ports may be taken.
    let ca = LocalCa::create(&["localhost"], SystemClock.now())?;
    fs::write(at.join("tls/ca.pem"), &ca.ca)?;
    fs::write(at.join("tls/cert.pem"), &ca.certificate)?;
    fs::write(at.join("tls/key.pem"), ca.key.expose())?;
    let config = at.join("sealpost.toml");
    let imaps = rewrite(&config)?;
    let run = |words: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.args(words).arg("--config").arg(&config);
        program::run(&mut command, b"", Duration::from_secs(120))
    };
    // As they are found, without any change; formats that want one say so.
    run(&["audit", "verify"])?.ok().context("audit verify before the first start")?;
    run(&["archive", "verify"])?.ok()?;

    let log = fs::File::create(at.join("log"))?;
    let mut serve = Command::new(PROGRAM);
    serve.args(["serve", "--config"]).arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let mut served = Served(serve.spawn()?);
    let start = Instant::now();
    while !run(&["status"])?.status.success() {
        if served.0.try_wait()?.is_some() || start.elapsed() > Duration::from_secs(60) {
            bail!("it does not start: {}", fs::read_to_string(at.join("log"))?);
        }
    }
    let expected: BTreeMap<String, Value> = serde_json::from_slice(&fs::read(at.join("expected.json"))?)?;
    ensure!(expected.len() > 2, "nobody is in it");
    let trust = Trust::file(&at.join("tls/ca.pem"))?;
    for (name, facts) in &expected {
        let password = facts["app_password"].as_str().context("a password")?;
        let mut imap = Imap::login(imaps, &trust, &format!("{name}@clinic.test"), password)?;
        for (mailbox, mail) in facts["mail"].as_object().context("mailboxes")? {
            imap.select(mailbox)?;
            ensure!(&json!(hashes(&mut imap)?) == mail, "{name}'s {mailbox} is not what it was");
        }
    }
    let mut bob = Imap::login(
        imaps,
        &trust,
        "bob@clinic.test",
        expected["bob"]["app_password"].as_str().context("bob")?,
    )?;
    bob.append("Keep", "", b"Subject: new\r\n\r\nwritten by this version\r\n")?.ok()?;
    ensure!(run(&["pickup", "list"])?.ok()?.text().contains("waiting"), "a message waits");
    process::signal(served.0.id(), Signal::TERM)?;
    ensure!(program::wait(&mut served.0, Duration::from_secs(30))?.success());
    run(&["audit", "verify"])?.ok().context("audit verify afterwards")?;
    Ok(())
}

/// Gives each protocol a free port; answers that of IMAP.
fn rewrite(config: &Path) -> Result<SocketAddr> {
    let (mut held, mut imaps, mut text) = (Vec::new(), None, String::new());
    for line in fs::read_to_string(config)?.lines() {
        match line.split_once(" = [\"127.0.0.1:") {
            Some((word, _)) => {
                let port = TcpListener::bind(("127.0.0.1", 0))?;
                let addr = port.local_addr()?;
                text += &format!("{word} = [\"{addr}\"]\n");
                if word == "imaps" {
                    imaps = Some(addr);
                }
                held.push(port);
            }
            None => text += &format!("{line}\n"),
        }
    }
    fs::write(config, text)?;
    imaps.context("the configuration names no port for IMAP")
}
