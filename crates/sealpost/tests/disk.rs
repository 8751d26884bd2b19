//! A full disk: what was acknowledged is there, nobody is locked out, and it goes on by itself when there is room again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use sealpost_testkit::Server;

const PROGRAM: &str = env!("CARGO_BIN_EXE_sealpost");

/// A small disk of its own; unmounted when it is dropped.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    fn new(megabytes: u32) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"])
            .arg(folder.path())
            .output()?;
        if !mounted.status.success() {
            bail!(
                "a disk of its own can't be mounted: {}; run the tests as root",
                String::from_utf8_lossy(&mounted.stderr).trim()
            );
        }
        Ok(Self { folder })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Another program takes all that is left, to the last block.
    fn fill(&self) -> Result<PathBuf> {
        let path = self.path().join("filler");
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&path)?;
        let block = vec![1_u8; 1 << 12];
        while std::io::Write::write_all(&mut file, &block).is_ok() {}
        ensure!(self.free() < 1 << 13, "{} bytes are free yet", self.free());
        Ok(path)
    }

    fn free(&self) -> u64 {
        rustix::fs::statvfs(self.path()).map_or(0, |disk| disk.f_bavail * disk.f_frsize)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).output();
    }
}

/// A letter that no compression makes smaller.
fn letter(subject: &str, bytes: usize) -> Vec<u8> {
    let mut text =
        format!("From: <alice@clinic.test>\r\nTo: <bob@clinic.test>\r\nSubject: {subject}\r\n\r\n");
    let mut state =
        0x9E37_79B9_7F4A_7C15_u64 ^ subject.bytes().fold(0_u64, |s, b| s.wrapping_mul(31) + u64::from(b));
    while text.len() < bytes {
        for _ in 0..4 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text += &format!("{:016x}", state ^ (state >> 29));
        }
        text += "\r\n";
    }
    text.into_bytes()
}

/// Sends until the server asks to come later; answers the subjects that it acknowledged.
fn send_until_full(server: &Server, number: usize) -> Result<Vec<String>> {
    let mut alice = server.submit_as("alice")?;
    let mut taken = Vec::new();
    for n in 0..1_000 {
        let subject = format!("letter-{number}-{n}-end");
        let reply = alice.send("alice@clinic.test", &["bob@clinic.test"], &letter(&subject, 300_000))?;
        match reply.code {
            250 => taken.push(subject),
            452 => {
                ensure!(reply.lines.join(" ").contains("4.3.1"), "{reply:?}");
                return Ok(taken);
            }
            // It came while the last of the disk went; the next is told at MAIL.
            451 => {}
            _ => bail!("{reply:?}"),
        }
    }
    bail!("the disk was never full")
}

fn status(server: &Server) -> Result<serde_json::Value> {
    let out = server.run(&["status", "--json"], "")?.ok()?;
    Ok(serde_json::from_slice(&out.stdout)?)
}

#[test]
fn it_locks_nobody_out_loses_nothing_and_needs_no_hand() -> Result<()> {
    let disk = Disk::new(60)?;
    let mut server = Server::start_in(PROGRAM, disk.path())?;
    let outcome = fill_and_free(&disk, &mut server);
    outcome.with_context(|| server.log())
}

fn fill_and_free(disk: &Disk, server: &mut Server) -> Result<()> {
    ensure!(server.stop()?.success());
    let config = server.ready().config.clone();
    let small = fs::read_to_string(&config)? + "\n[limits]\ndisk_reserve = 4194304\n";
    fs::write(&config, small)?;
    server.start_again()?;
    let reserve = server.data().join("data/reserve");
    ensure!(reserve.metadata()?.len() == 4 << 20);
    ensure!(status(server)?["disk"]["reserve"] == "kept", "{}", status(server)?);

    // Mail comes in on four connections until there is no room for it.
    let taken: Vec<String> = thread::scope(|scope| {
        let sending: Vec<_> = (0..4)
            .map(|n| {
                scope.spawn({
                    let server = &*server;
                    move || send_until_full(server, n)
                })
            })
            .collect();
        sending
            .into_iter()
            .map(|s| s.join().unwrap_or_else(|e| std::panic::resume_unwind(e)))
            .collect::<Result<Vec<_>>>()
    })?
    .concat();
    ensure!(taken.len() > 20, "only {} letters", taken.len());
    ensure!(reserve.exists(), "asking early keeps the reserve");
    ensure!(status(server)?["disk"]["room"] == false);
    let check = server.run(&["check"], "")?;
    ensure!(!check.status.success() && check.text().contains("new mail"), "{}", check.text());

    // Then another program takes the rest.
    // Whatever the server tidies up meanwhile, too.
    let mut filler = disk.fill()?;
    while reserve.exists() {
        filler = disk.fill()?;
        server.imap_as("bob").context("bob is locked out")?;
    }
    for round in 1..10 {
        let mut bob = server.imap_as("bob").context("bob is locked out")?;
        bob.select("INBOX")?;
        bob.command(&format!("UID STORE {round} +FLAGS (\\Seen)"))?.ok().context("flags")?;
        bob.command("UID FETCH 1 BODY[]")?.ok().context("reading")?;
    }
    ensure!(!reserve.exists() && status(server)?["disk"]["reserve"] == "spent", "{}", status(server)?);
    let mut alice = server.submit_as("alice").context("alice is locked out")?;
    let refused = alice.command("MAIL FROM:<alice@clinic.test>")?;
    ensure!(refused.code == 452 && refused.lines.join(" ").contains("4.3.1"), "{refused:?}");
    let mut bob = server.imap_as("bob")?;
    let refused = bob.append("INBOX", "", b"Subject: x\r\n\r\nx\r\n");
    ensure!(refused.is_err_and(|e| e.to_string().contains("UNAVAILABLE")), "APPEND is told to come later");
    let count = bob.count("INBOX")?;
    bob.select("INBOX")?;
    bob.command("UID STORE 1 +FLAGS (\\Deleted)")?.ok()?;
    bob.command("EXPUNGE")?.ok().context("expunge")?;
    ensure!(bob.count("INBOX")? == count - 1, "deleting goes on");
    server.run(&["log"], "")?.ok()?;

    // It may be killed and started so.
    server.kill()?;
    server.start_again()?;
    server.imap_as("bob").context("bob is locked out after a start")?;

    // Room again: nobody has to do anything.
    fs::remove_file(filler)?;
    remount(disk, 120)?;
    let mut alice = server.submit_as("alice")?;
    alice.send("alice@clinic.test", &["bob@clinic.test"], &letter("afterwards-end", 300_000))?.expect(250)?;
    ensure!(reserve.metadata()?.len() == 4 << 20 && status(server)?["disk"]["room"] == true);

    // Each acknowledged letter is there.
    let mut bob = server.imap_as("bob")?;
    bob.select("INBOX")?;
    let subjects = bob.field("Subject")?.join("\n");
    for subject in taken.iter().map(String::as_str).chain(["afterwards-end"]) {
        ensure!(subjects.contains(subject), "{subject} was acknowledged and is gone");
    }
    ensure!(server.stop()?.success());
    server.run(&["audit", "verify"], "")?.ok()?;
    Ok(())
}

fn remount(disk: &Disk, megabytes: u32) -> Result<()> {
    let out = Command::new("mount")
        .args(["-o", &format!("remount,size={megabytes}m")])
        .arg(disk.path())
        .output()?;
    ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    Ok(())
}
