//! Is anything lost? Messages on many connections while the server is killed and started again.
//!
//! Each try has a Message-ID of its own. A try that was answered 250 must be in the mailbox of each of its recipients
//! exactly once; one that broke off may be there once or not at all, in all of its mailboxes or in none (S59).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::Path,
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{Dice, Ground, Server, server::Ready, smtp::Smtp, wire::Trust};

/// How much.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Messages that must be answered 250.
    pub messages: u64,
    /// Connections at once.
    pub connections: u64,
    /// Kills, spread at random.
    pub kills: u64,
}

impl Size {
    /// What each test run does.
    pub const SMALL: Size = Size { messages: 2_000, connections: 20, kills: 20 };
    /// What the soak does.
    pub const FULL: Size = Size { messages: 20_000, connections: 20, kills: 200 };
}

/// Runs it.
pub fn run(program: &Path, ground: &Ground, size: Size, mut dice: Dice) -> Result<String> {
    let start = Instant::now();
    let mut server = Server::start_on(program, ground)?;
    server.imap_as("bob")?;
    let status = server.stop()?;
    ensure!(status.success(), "the clean stop ended with {status}");
    let before = journal(&server)?;
    server.start_again()?;
    let field = Field {
        ready: server.ready().clone(),
        trust: server.trust().clone(),
        size,
        tried: AtomicU64::new(0),
        answered: Mutex::new(BTreeMap::new()),
        progress: Condvar::new(),
        failed: Mutex::new(None),
        life: Mutex::new(Life { number: 0, up: true }),
        risen: Condvar::new(),
    };
    let mut moments: Vec<u64> = (0..size.kills).map(|_| dice.below(size.messages)).collect();
    moments.sort_unstable();

    let slowest = thread::scope(|scope| -> Result<Duration> {
        for number in 0..size.connections {
            let mut dice = dice.split();
            let field = &field;
            scope.spawn(move || {
                if let Err(error) = field.work(number, &mut dice) {
                    field.fail(format!("connection {number}: {error:#}"));
                }
            });
        }
        let killed = kill_at(&mut server, &field, &moments, &mut dice);
        if let Err(error) = &killed {
            field.fail(format!("{error:#}"));
        }
        killed
    })?;
    if let Some(failure) = field.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
        bail!("seed {}: {failure}\n{}", dice.seed(), server.log());
    }

    let answered = field.answered.into_inner().unwrap_or_else(PoisonError::into_inner);
    let check = check(&mut server, &answered, before);
    let (kept, journal) = check.with_context(|| format!("seed {}", dice.seed()))?;
    let mut report = String::new();
    writeln!(
        report,
        "kill: {} messages answered on {} connections, {} kills, seed {}, {:.0} s",
        answered.len(),
        size.connections,
        size.kills,
        dice.seed(),
        start.elapsed().as_secs_f64()
    )?;
    writeln!(
        report,
        "tries: {}; kept though unanswered: {}; journal entries: {journal}; slowest start after a kill: {} ms",
        field.tried.load(Ordering::Relaxed),
        kept - answered.len(),
        slowest.as_millis()
    )?;
    write!(report, "lost: 0, doubled: 0, half delivered: 0")?;
    Ok(report)
}

/// What all connections share.
struct Field {
    ready: Ready,
    trust: Trust,
    size: Size,
    tried: AtomicU64,
    /// Message-ID to who got it.
    answered: Mutex<BTreeMap<String, &'static [&'static str]>>,
    progress: Condvar,
    failed: Mutex<Option<String>>,
    life: Mutex<Life>,
    risen: Condvar,
}

/// Which start of the server this is.
#[derive(Clone, Copy)]
struct Life {
    number: u64,
    up: bool,
}

const BOB: &[&str] = &["bob"];
const CAROL: &[&str] = &["carol"];
const BOTH: &[&str] = &["bob", "carol"];

impl Field {
    /// One connection's work: submission for three of four, mail from outside for the others.
    fn work(&self, number: u64, dice: &mut Dice) -> Result<()> {
        let mut broken = 0;
        while !self.is_done() {
            let life = self.wait_for_life();
            let Some(life) = life else { return Ok(()) };
            match self.talk(number, dice) {
                Ok(()) => return Ok(()),
                // A broken connection is expected when the server died in between, and only then.
                Err(error) if self.is_alive(life) => {
                    broken += 1;
                    ensure!(broken < 5, "broke while the server lived: {error:#}");
                }
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn talk(&self, number: u64, dice: &mut Dice) -> Result<()> {
        let inside = number % 4 != 3;
        let mut smtp = if inside {
            let alice = self.ready.users.iter().find(|user| user.address.starts_with("alice@"));
            let alice = alice.context("no alice")?;
            let mut smtp = Smtp::tls(self.listener("submissions")?, &self.trust)?;
            smtp.login(&alice.address, &alice.app_password)?.expect(235)?;
            smtp
        } else {
            Smtp::starttls(self.listener("smtp")?, &self.trust)?
        };
        let from = if inside { "alice@clinic.test" } else { "stranger@outside.example" };
        while !self.is_done() {
            let id =
                format!("<{}.{}@kill.example>", self.tried.fetch_add(1, Ordering::Relaxed), dice.word(8));
            let who = *dice.pick(&[BOB, CAROL, BOTH]).context("three choices")?;
            let to: Vec<String> = who.iter().map(|name| format!("{name}@clinic.test")).collect();
            let to: Vec<&str> = to.iter().map(String::as_str).collect();
            let reply = smtp.send(from, &to, &message(from, &to, &id, dice))?;
            if reply.code == 250 {
                let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
                answered.insert(id, who);
                self.progress.notify_all();
            } else {
                ensure!(reply.code / 100 == 4, "refused: {} {}", reply.code, reply.lines.join(" / "));
            }
        }
        Ok(())
    }

    fn listener(&self, name: &str) -> Result<std::net::SocketAddr> {
        self.ready.listeners.get(name).copied().with_context(|| format!("no listener {name}"))
    }

    fn is_done(&self) -> bool {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        failed || self.count() >= self.size.messages
    }

    fn count(&self) -> u64 {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    fn fail(&self, words: String) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(words);
        self.progress.notify_all();
        self.risen.notify_all();
    }

    /// Waits until the server is up; None when the work has failed meanwhile.
    fn wait_for_life(&self) -> Option<u64> {
        let life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = |life: &mut Life| !life.up && !self.is_done();
        let life = self.risen.wait_while(life, waiting).unwrap_or_else(PoisonError::into_inner);
        life.up.then_some(life.number)
    }

    fn is_alive(&self, life: u64) -> bool {
        let now = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        now.up && now.number == life
    }

    fn set_life(&self, up: bool) {
        let mut life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        *life = Life { number: life.number + u64::from(up), up };
        self.risen.notify_all();
    }
}

/// Kills and restarts at each moment (a count of answers); the slowest restart.
fn kill_at(server: &mut Server, field: &Field, moments: &[u64], dice: &mut Dice) -> Result<Duration> {
    let mut slowest = Duration::ZERO;
    let (_silent, pause) = mpsc::channel::<()>();
    for moment in moments {
        let answered = field.answered.lock().unwrap_or_else(PoisonError::into_inner);
        let early = |answered: &mut BTreeMap<_, _>| {
            let failed = field.failed.lock().unwrap_or_else(PoisonError::into_inner).is_some();
            (answered.len() as u64) < *moment && !failed
        };
        let limit = Duration::from_secs(120);
        let waited = field.progress.wait_timeout_while(answered, limit, early);
        let (answered, late) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(answered);
        ensure!(!late.timed_out(), "no progress for {} s", limit.as_secs());
        if field.failed.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Ok(slowest);
        }
        // Not at an answer, but somewhere between two.
        let _ = pause.recv_timeout(Duration::from_micros(dice.below(20_000)));
        field.set_life(false);
        server.kill()?;
        let start = Instant::now();
        server.start_again()?;
        slowest = slowest.max(start.elapsed());
        field.set_life(true);
    }
    Ok(slowest)
}

fn message(from: &str, to: &[&str], id: &str, dice: &mut Dice) -> Vec<u8> {
    let mut text = format!(
        "From: <{from}>\r\nTo: {}\r\nSubject: one of many\r\nMessage-ID: {id}\r\n\
         Date: Mon, 02 Mar 2026 09:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n",
        to.iter().map(|to| format!("<{to}>")).collect::<Vec<_>>().join(", ")
    );
    // Some fit into a row, some fill chunks of the blob store.
    let lines = if dice.below(50) == 0 { 8_000 } else { dice.below(60) };
    for _ in 0..lines {
        text.push_str(&dice.word(70));
        text.push_str("\r\n");
    }
    text.into_bytes()
}

/// Compares mailboxes and journal with what was answered; the number of messages kept and of their journal entries.
fn check(
    server: &mut Server,
    answered: &BTreeMap<String, &'static [&'static str]>,
    before: u64,
) -> Result<(usize, u64)> {
    let mut kept = BTreeMap::<String, BTreeSet<&str>>::new();
    for name in BOTH {
        let mut imap = server.imap_as(name)?;
        let count = imap.select("INBOX")?;
        let popped = server.pop3_as(name)?.command("STAT")?;
        ensure!(popped.starts_with(&format!("{count} ")), "{name}: IMAP counts {count}, POP3 says {popped}");
        for id in imap.field("Message-ID")?.into_iter().filter(|id| id.ends_with("@kill.example>")) {
            ensure!(kept.entry(id.clone()).or_default().insert(name), "{id} is twice in {name}'s mailbox");
        }
    }
    for (id, who) in answered {
        let has = kept.get(id);
        for name in *who {
            ensure!(has.is_some_and(|has| has.contains(name)), "{id} was answered 250 and {name} has it not");
        }
    }
    let status = server.stop()?;
    ensure!(status.success(), "the clean stop ended with {status}");
    for words in [["audit", "verify"], ["archive", "verify"]] {
        server.run(&words, "")?.ok().with_context(|| words.join(" "))?;
    }
    let journal = journal(server)? - before;
    ensure!(
        journal == kept.len() as u64,
        "{} messages are kept and {journal} are in the journal",
        kept.len()
    );
    Ok((kept.len(), journal))
}

/// The number of journal entries.
fn journal(server: &Server) -> Result<u64> {
    let out = server.run(&["archive", "verify", "--json"], "")?.ok()?;
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).context("archive verify --json")?;
    json["journal"].as_u64().with_context(|| format!("no number \"journal\" in {json}"))
}
