//! Is an older state noticed? Yesterday's copy in today's place, and a write-ahead log that was cut: both are whole in
//! themselves, and only the anchor outside the data folder knows better.

use std::{fs, path::Path};

use anyhow::{Result, ensure};

use super::{code::until, flips::copy_folder};
use crate::{Dice, Server};

/// Runs both.
pub fn run(program: &Path, mut dice: Dice) -> Result<String> {
    let mut server = Server::start(program)?;
    let store = server.data().join("data");
    let copy = tempfile::Builder::new().prefix("sealpost-yesterday-").tempdir()?;
    send(&server, 5, &mut dice)?;
    stop(&mut server)?;
    sound(&server)?;
    copy_folder(&store, &copy.path().join("data"))?;

    server.start_again()?;
    send(&server, 5, &mut dice)?;
    stop(&mut server)?;
    sound(&server)?;
    fs::rename(&store, copy.path().join("today"))?;
    copy_folder(&copy.path().join("data"), &store)?;
    let yesterday = complaint(&server, "yesterday's copy")?;
    fs::remove_dir_all(&store)?;
    fs::rename(copy.path().join("today"), &store)?;
    sound(&server)?;

    // Only what the anchor has seen can be missed: wait until it has.
    let anchor = server.data().join("anchor/checkpoint");
    let before = fs::read(&anchor)?;
    server.start_again()?;
    send(&server, 1, &mut dice)?;
    until(|| Ok((fs::read(&anchor)? != before).then_some(())))?;
    let between = fs::read(&anchor)?;
    send(&server, 20, &mut dice)?;
    until(|| Ok((fs::read(&anchor)? != between).then_some(())))?;
    server.kill()?;
    let wal = fs::OpenOptions::new().write(true).open(store.join("store.db-wal"))?;
    let length = wal.metadata()?.len();
    ensure!(length > 0, "there is no write-ahead log to cut");
    wal.set_len(length / 3)?;
    let cut = complaint(&server, "a cut write-ahead log")?;
    Ok(format!(
        "yesterday: seed {}\nyesterday's copy: {yesterday}\na log cut from {length} to {} bytes: {cut}",
        dice.seed(),
        length / 3
    ))
}

fn send(server: &Server, count: u32, dice: &mut Dice) -> Result<()> {
    let mut alice = server.submit_as("alice")?;
    for _ in 0..count {
        let message = format!("From: <alice@clinic.test>\r\nSubject: {}\r\n\r\nx\r\n", dice.word(9));
        alice.send("alice@clinic.test", &["bob@clinic.test"], message.as_bytes())?.expect(250)?;
    }
    Ok(())
}

fn stop(server: &mut Server) -> Result<()> {
    let status = server.stop()?;
    ensure!(status.success(), "the clean stop ended with {status}");
    Ok(())
}

fn sound(server: &Server) -> Result<()> {
    server.run(&["audit", "verify"], "")?.ok().map(drop)
}

/// What `audit verify` says against it; an error if it says nothing.
fn complaint(server: &Server, what: &str) -> Result<String> {
    let out = server.run(&["audit", "verify"], "")?;
    let text = out.text() + &out.stderr;
    ensure!(!out.status.success(), "{what} passes `audit verify`:\n{text}");
    let line = text.lines().find(|line| line.contains("anchor")).map(str::trim);
    ensure!(line.is_some(), "{what}: the anchor is not named:\n{text}");
    Ok(line.unwrap_or_default().to_owned())
}
