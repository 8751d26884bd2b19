//! Is everything there after a disaster? A set is made while mail comes in; data folder and key ring are lost; both come
//! back from what was kept, and mail, flags, folders and the log are as they were. Nothing leaves before a person says so.
//! (S70 to S75, DESIGN section 8)

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{
    code::until,
    markers::{Markers, Scanner},
};
use crate::{
    Dice, Server,
    imap::{Imap, quoted},
    program,
};

/// How much there is to be saved.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Messages before the set.
    pub messages: u32,
    /// Bytes of each.
    pub bytes: usize,
    /// How often making and restoring are killed on the way.
    pub kills: u32,
}

impl Size {
    /// What each change is judged by: a few MB.
    pub const SMALL: Self = Self { messages: 40, bytes: 60_000, kills: 2 };
    /// A gigabyte.
    pub const FULL: Self = Self { messages: 4_000, bytes: 250_000, kills: 20 };
}

/// A folder's messages: their bytes, flags and dates.
type Folder = Vec<(Vec<u8>, String)>;

/// Runs it.
pub fn run(program: &Path, size: Size, mut dice: Dice) -> Result<String> {
    let mut server = Server::start(program)?;
    let kept = tempfile::Builder::new().prefix("sealpost-kept-").tempdir()?;
    configure(&mut server, kept.path())?;
    let markers = Markers::roll(&mut dice);
    fill(&server, size, &markers, &mut dice)?;
    let before = mailbox(&server, "bob")?;

    let begun = Instant::now();
    make(&mut server, size, &mut dice)?;
    let made = begun.elapsed();
    let set = newest(&server)?;
    ensure!(kept.path().join("rings").join(format!("{set}.ring")).exists(), "no backup of the key ring");
    let (found, bytes) = Scanner::new(&markers)?.scan(kept.path())?;
    ensure!(found.is_empty(), "in the clear: {found:?}");

    server.run(&["backup", "verify"], "")?.ok().context("backup verify")?;
    // The server takes the word of the proof over.
    until(|| {
        let rows = json(&server, &["backup", "status", "--json"])?;
        Ok(rows.iter().any(|row| row["verified"].is_string()).then_some(()))
    })?;
    let later = "lost with the server";
    send(&server, later, "x", &["bob@clinic.test"])?;
    until(|| Ok((server.imap_as("bob")?.count("INBOX")? > 0).then_some(())))?;

    // The disaster: data and key ring are gone; the second place, the master key and what was kept are elsewhere.
    server.kill()?;
    fs::remove_dir_all(server.data().join("data"))?;
    fs::remove_dir_all(server.data().join("keys/ring"))?;
    let ring = kept.path().join("rings").join(format!("{set}.ring"));
    let begun = Instant::now();
    let killed = bring_back(&server, &ring, size.kills, &mut dice)?;
    let restored = begun.elapsed();
    server.start_again()?;

    let after = mailbox(&server, "bob")?;
    for (name, folder) in &before {
        let now = after.get(name).with_context(|| format!("folder {name} is gone"))?;
        // Mail that came in while the set was made may be there too.
        let missing = folder.iter().filter(|message| !now.contains(message)).count();
        ensure!(missing == 0, "{missing} messages of {name} are not as they were");
    }
    let lost = after.values().flatten().any(|(body, _)| contains(body, later.as_bytes()));
    ensure!(!lost, "mail of after the set came back from nowhere");
    let verdict = server.run(&["audit", "verify"], "")?.ok().context("audit verify")?.text();
    ensure!(verdict.contains("left out"), "the gap is not named: {verdict}");
    held(&server)?;
    Ok(format!(
        "backup: seed {}\n{} messages of {} bytes: set in {made:.1?}, {bytes} bytes kept, nothing in the clear; restored in \
         {restored:.1?}, killed {killed} time(s) on the way; mail, flags, folders and log are as they were",
        dice.seed(),
        size.messages,
        size.bytes
    ))
}

/// Names the places, with a second place for the ring's papers and a route on which nothing ever leaves.
fn configure(server: &mut Server, kept: &Path) -> Result<()> {
    ensure!(server.stop()?.success());
    let config = server.ready().config.clone();
    let text = fs::read_to_string(&config)?;
    let second = kept.join("second");
    let keys = format!("[keys]\ndestructions = \"{}\"\n", second.display());
    let routes = "[outbound.routes]\n\"slow.example\" = \"127.0.0.1:1\"\n";
    let text = text.replace("[keys]\n", &keys);
    ensure!(text.contains("[outbound.routes]\n"), "quickstart writes no routes");
    let text = text.replace("[outbound.routes]\n", routes);
    let (daily, rings) = (kept.join("daily"), kept.join("rings"));
    let backup = format!("\n[backup]\ndaily = \"{}\"\nring = \"{}\"\n", daily.display(), rings.display());
    // A table at the end would swallow what follows it.
    let text = match text.find("[outbound.routes]") {
        Some(at) => format!("{}{}\n{}", &text[..at], backup.trim_start(), &text[at..]),
        None => text + &backup,
    };
    fs::write(&config, text)?;
    server.start_again()
}

/// Mail in folders, with flags, markers, a message that waits to leave, and one that waits to be picked up.
fn fill(server: &Server, size: Size, markers: &Markers, dice: &mut Dice) -> Result<()> {
    for number in 0..size.messages {
        let subject = format!("{} {number}", markers.at("subject"));
        let body = format!("{}\r\n{}", markers.at("body"), lines(dice, size.bytes));
        send(server, &subject, &body, &["bob@clinic.test"])?;
    }
    send(server, "waits to leave", "x", &["someone@slow.example"])?;
    send(server, "[secure] waits to be picked up", "x", &["pat@outside.example"])?;
    let mut bob = server.imap_as("bob")?;
    until(|| Ok((bob.count("INBOX")? >= size.messages).then_some(())))?;
    let folder = format!("Cases/{}", markers.at("folder"));
    bob.command(&format!("CREATE {}", quoted(&folder)))?.ok()?;
    bob.select("INBOX")?;
    bob.command(&format!("STORE 1:10 +FLAGS (\\Flagged \\Seen {})", markers.at("keyword")))?.ok()?;
    bob.command("STORE 3 +FLAGS (\\Answered)")?.ok()?;
    bob.command(&format!("MOVE 5:8 {}", quoted(&folder)))?.ok()?;
    let old = format!("Date: x\r\nSubject: {}\r\n\r\nold\r\n", markers.at("draft"));
    bob.append("Drafts", "\\Draft", old.as_bytes())?.ok()?;
    Ok(())
}

fn lines(dice: &mut Dice, bytes: usize) -> String {
    let mut out = String::with_capacity(bytes + 80);
    while out.len() < bytes {
        out.push_str(&dice.word(70));
        out.push_str("\r\n");
    }
    out
}

fn send(server: &Server, subject: &str, body: &str, to: &[&str]) -> Result<()> {
    let mut alice = server.submit_as("alice")?;
    let message = format!(
        "From: <alice@clinic.test>\r\nTo: <{}>\r\nSubject: {subject}\r\n\r\n{body}\r\n",
        to.join(">, <")
    );
    alice.send("alice@clinic.test", to, message.as_bytes())?.expect(250).map(drop)
}

/// A set while mail comes in, the server killed on the way as often as is asked.
fn make(server: &mut Server, size: Size, dice: &mut Dice) -> Result<()> {
    for _ in 0..size.kills {
        let mut command = server.command(&["backup", "run"]);
        let mut asking = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        thread::park_timeout(Duration::from_millis(dice.below(200)));
        server.kill()?;
        asking.wait()?;
        server.start_again()?;
    }
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let sending = scope.spawn(|| -> Result<u32> {
            let mut sent = 0;
            while !over.load(Ordering::Relaxed) {
                send(server, &format!("meanwhile {sent}"), "x", &["carol@clinic.test"])?;
                sent += 1;
            }
            Ok(sent)
        });
        let run = until(|| {
            let out = server.run(&["backup", "run"], "")?;
            // A set that a kill cut short may be gone on with just now.
            if out.stderr.contains("being made just now") { Ok(None) } else { out.ok().map(Some) }
        });
        over.store(true, Ordering::Relaxed);
        let sent = sending.join().map_err(|_| anyhow::anyhow!("the sender panicked"))??;
        ensure!(sent > 0, "no mail came in meanwhile");
        run.map(drop)
    })
}

fn newest(server: &Server) -> Result<i64> {
    let rows = json(server, &["backup", "list", "--json"])?;
    rows.first().and_then(|row| row["id"].as_i64()).context("there is no set")
}

/// Restores, killed on the way as often as is asked. Answers how often it really was.
fn bring_back(server: &Server, ring: &Path, kills: u32, dice: &mut Dice) -> Result<u32> {
    let ring = ring.to_string_lossy().into_owned();
    let words = ["backup", "restore", "--ring", &ring];
    let mut killed = 0;
    for _ in 0..kills {
        let mut child = server.command(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        thread::park_timeout(Duration::from_millis(dice.below(400)));
        child.kill()?;
        if child.wait()?.success() {
            return Ok(killed);
        }
        killed += 1;
        if server.data().join("data/restoring").exists() {
            let config = server.ready().config.to_string_lossy().into_owned();
            let mut serve = Command::new(server.command(&[]).get_program());
            let serve =
                program::run(serve.args(["serve", "--config", &config]), b"", Duration::from_secs(60))?;
            ensure!(!serve.status.success(), "a half restored server serves");
        }
    }
    server.run(&words, "")?.ok().context("backup restore")?;
    Ok(killed)
}

/// Nothing leaves until a person says so; then it does.
fn held(server: &Server) -> Result<()> {
    let rows = json(server, &["queue", "held", "--json"])?;
    ensure!(!rows.is_empty(), "the queue holds nothing");
    let retry = json(server, &["queue", "list", "--json"])?;
    ensure!(retry.iter().all(|row| row["state"] != "sending"), "something leaves: {retry:?}");
    send(server, "after the restore", "x", &["new@outside.example"])?;
    let refused = server.run(&["queue", "release"], "")?;
    ensure!(!refused.status.success(), "the operator alone let the queue go");
    let sam = server.user("sam")?;
    let words = ["queue", "release", "--as", &sam.address];
    server.run(&words, &format!("{}\n", sam.password))?.ok().context("queue release")?;
    until(|| {
        let out = program::run(
            Command::new("curl").args([
                "--silent",
                &format!(
                    "{}/outside.json?to=new@outside.example",
                    server.ready().outside.trim_end_matches('/')
                ),
            ]),
            b"",
            Duration::from_secs(20),
        )?;
        let sent: Value = serde_json::from_slice(&out.stdout)?;
        Ok(sent.as_array().is_some_and(|all| !all.is_empty()).then_some(()))
    })
    .context("nothing leaves after the release")?;
    let log = server.run(&["log", "--server", "--limit", "200"], "")?.ok()?.text();
    ensure!(log.contains("queue-release") && log.contains("restored"), "{log}");
    Ok(())
}

fn json(server: &Server, words: &[&str]) -> Result<Vec<Value>> {
    let out = server.run(words, "")?.ok()?.text();
    out.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

/// Each folder of somebody with its messages.
fn mailbox(server: &Server, name: &str) -> Result<BTreeMap<String, Folder>> {
    let mut imap = server.imap_as(name)?;
    let listed = imap.command("LIST \"\" *")?.ok()?;
    let mut out = BTreeMap::new();
    for line in &listed.lines {
        let Some((_, name)) = line.text.split_once(" \"/\" ") else { continue };
        let name = name.trim_matches('"').to_owned();
        let count = imap.select(&name)?;
        let messages = if count == 0 { Vec::new() } else { messages(&mut imap)? };
        out.insert(name, messages);
    }
    ensure!(out.len() > 3, "LIST shows {:?}", out.keys());
    Ok(out)
}

fn messages(imap: &mut Imap) -> Result<Folder> {
    let fetched = imap.command("FETCH 1:* (FLAGS INTERNALDATE BODY.PEEK[])")?.ok()?;
    let mut out = Vec::new();
    for line in fetched.lines.into_iter().filter(|line| line.text.contains(" FETCH ")) {
        let Some(body) = line.literals.into_iter().next() else { bail!("no body in {}", line.text) };
        let facts = line.text.split_once(" FETCH ").map(|(_, facts)| facts.to_owned()).unwrap_or_default();
        // The order of keywords may change.
        let mut words: Vec<String> = facts.split([' ', '(', ')']).map(str::to_owned).collect();
        words.retain(|word| word != "\\Recent");
        words.sort();
        out.push((body, words.join(" ")));
    }
    Ok(out)
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}
