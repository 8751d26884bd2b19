//! Do keys die for good? A waiting message that an administrator ended can't be opened with yesterday's copy of the
//! data folder, today's master key and today's ring, by the very person who could open it yesterday (S32).

use std::{fs, path::Path};

use anyhow::{Context, Result, bail, ensure};
use rusqlite::{Connection, OpenFlags};

use super::{
    code::{code, link, until},
    flips::copy_folder,
};
use crate::{Dice, Server, http::Browser};

/// Runs it.
pub fn run(program: &Path, mut dice: Dice) -> Result<String> {
    let mut server = Server::start(program)?;
    let (to, body) = ("pat@outside.example", dice.word(24));
    let message =
        format!("From: <alice@clinic.test>\r\nTo: <{to}>\r\nSubject: {}\r\n\r\n{body}\r\n", dice.word(9));
    server.submit_as("alice")?.send("alice@clinic.test", &[to], message.as_bytes())?.expect(250)?;
    let link = until(|| link(&server, to))?;
    let code = until(|| code(&server, to))?;
    ensure!(server.stop()?.success(), "the clean stop failed");
    let store = server.data().join("data");
    let copy = tempfile::Builder::new().prefix("sealpost-death-").tempdir()?;
    copy_folder(&store, &copy.path().join("data"))?;

    // Yesterday it opens, or nothing is shown by its not opening later.
    server.start_again()?;
    let today = open(&server, &link, &code)?;
    ensure!(today.contains(&body), "the message doesn't open at all:\n{today}");
    let admin = server.user("admin")?;
    let password = format!("{}\n", admin.password);
    let list = server.run(&["pickup", "list", "--json", "--as", &admin.address], &password)?.ok()?.text();
    let row: serde_json::Value = serde_json::from_str(list.lines().next().context("nothing waits")?)?;
    let id = row["id"].as_str().map(str::to_owned).or_else(|| Some(row["id"].as_i64()?.to_string()));
    let id = id.with_context(|| format!("no id in {row}"))?;
    let words = ["pickup", "expire", "--reason", "sent in error", "--as", &admin.address, &id];
    server.run(&words, &password)?.ok()?;
    ensure!(!open(&server, &link, &code)?.contains(&body), "it opens after it was ended");

    // Keys die in batches; a start begins with one.
    ensure!(server.stop()?.success(), "the clean stop failed");
    server.start_again()?;
    until(|| Ok((doomed(&store)? == 0).then_some(()))).context("the life key still waits for its end")?;
    ensure!(server.stop()?.success(), "the clean stop failed");

    fs::remove_dir_all(&store)?;
    copy_folder(&copy.path().join("data"), &store)?;
    let outcome = match server.start_again() {
        Err(error) => {
            format!("the server refuses yesterday's copy: {}", error.to_string().replace('\n', " "))
        }
        Ok(()) => {
            let page = open(&server, &link, &code)?;
            if page.contains(&body) {
                bail!("yesterday's copy opens with today's keys");
            }
            let said = page.lines().filter_map(|line| {
                let heading = line.split_once("<h1>").and_then(|(_, text)| text.split('<').next());
                heading.or_else(|| line.get(..3).filter(|code| code.parse::<u16>().is_ok()))
            });
            format!("yesterday's copy with today's keys: {}", said.collect::<Vec<_>>().join(", "))
        }
    };
    Ok(format!("death: seed {}\n{outcome}", dice.seed()))
}

/// All that a browser is shown that presses open, gives the code and asks for the message.
fn open(server: &Server, link: &str, code: &str) -> Result<String> {
    let mut browser = Browser::new(server.listener("https")?, Some(server.trust()));
    let path = format!("/pickup/{link}");
    let page = browser.get(&path)?;
    let mut pages = vec![page.clone()];
    if page.field("csrf").is_some() {
        pages.push(browser.submit(&page, &path, &[])?);
        pages.push(browser.submit(&page, &format!("{path}/code"), &[("code", code)])?);
    }
    pages.push(browser.get(&format!("{path}/message"))?);
    Ok(pages.iter().map(|page| format!("{} {}\n", page.status, page.body)).collect())
}

fn doomed(store: &Path) -> Result<i64> {
    let database = Connection::open_with_flags(store.join("store.db"), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    Ok(database.query_row("SELECT count(*) FROM doomed", [], |row| row.get(0))?)
}
