//! How fast is the store? Deliveries with all their rows, reads, lists, changes, the log; beside the machine's limits.
//!
//! No socket and no TLS: `accept` is called in this process, so that what is measured is what a message costs below
//! the protocols. Sizes are lognormal with a median of 15 KB, and one of 200 has 1 MB.

mod figures;
mod limits;
mod world;

use std::{fmt::Write as _, time::Instant};

use anyhow::{Context, Result, ensure};
use sealpost_audit::Verb;
use sealpost_model::{Actor, Client, Protocol};

use crate::{Dice, Ground, process::Usage};
use figures::{Each, ms, percentiles};
use world::{Place, World};

/// How much.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Deliveries on 64 writers; 8 writers do half, one does an eighth.
    pub messages: u32,
    /// Messages in the mailbox that is listed.
    pub listed: u32,
    /// Messages in the store that is opened after a kill.
    pub opened: u32,
}

/// Writers at once.
const WRITERS: [u32; 3] = [1, 8, 64];

/// Runs it and says the figures.
pub fn run(ground: &Ground, size: Size, dice: Dice) -> Result<String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(ground, size, dice))
}

async fn measure(ground: &Ground, size: Size, mut dice: Dice) -> Result<String> {
    let folder = tempfile::Builder::new().prefix("sealpost-bench-").tempdir()?;
    let database = ground.databases().first();
    let mut report = String::new();
    let engine = if database.is_some() { "PostgreSQL" } else { "SQLite" };
    writeln!(report, "bench store: {engine} and packs, seed {}", dice.seed())?;
    report.push_str(&limits::measure(folder.path())?);

    let place = Place { folder: folder.path().join("instance"), database };
    let world = World::create(&place, 64).await?;
    // The first messages pay for pages and caches that all later ones find.
    ingest(&world, 8, 200, Body::Mixed, &mut dice).await?;
    for writers in WRITERS {
        let share = match writers {
            1 => size.messages / 8,
            8 => size.messages / 2,
            _ => size.messages,
        };
        for (words, body) in
            [("in the row (1 KB)", Body::Small), ("median 15 KB, 0.5 % of 1 MB", Body::Mixed)]
        {
            let each = ingest(&world, writers, share.max(writers), body, &mut dice).await?;
            writeln!(report, "ingest, {writers:>2} writers, {words}: {each}")?;
        }
    }
    report.push_str(&read(&world, &mut dice).await?);
    report.push_str(&list(&world, size.listed, &mut dice).await?);
    report.push_str(&log(&world).await?);
    world.close().await;
    report.push_str(&open(&place, size.opened, &mut dice).await?);
    Ok(report.trim_end().to_owned())
}

/// What a delivery's body is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Body {
    /// 1 KB: lies in the row.
    Small,
    /// As mail is.
    Mixed,
}

impl Body {
    fn length(self, dice: &mut Dice) -> usize {
        match self {
            Self::Small => 1_000,
            Self::Mixed if dice.below(200) == 0 => 1 << 20,
            Self::Mixed => figures::lognormal(dice, 15_000.0, 1.1).clamp(600, 900_000),
        }
    }
}

/// Deliveries of mail from outside, each to one mailbox, as fast as so many writers get their answers.
async fn ingest(world: &World, writers: u32, messages: u32, body: Body, dice: &mut Dice) -> Result<Each> {
    let pool = world::Text::new(dice);
    let (before, start) = (Usage::of(std::process::id())?, Instant::now());
    let mut tasks = Vec::new();
    let mut bytes = 0;
    for writer in 0..writers {
        let share = messages / writers + u32::from(writer < messages % writers);
        let lengths: Vec<usize> = (0..share).map(|_| body.length(dice)).collect();
        bytes += lengths.iter().sum::<usize>();
        let (world, pool) = (world.clone(), pool.clone());
        tasks.push(tokio::spawn(async move {
            let mut slowest = Vec::with_capacity(lengths.len());
            for (at, length) in lengths.into_iter().enumerate() {
                let start = Instant::now();
                world.deliver(writer as usize, &pool.message(writer, at, length)).await?;
                slowest.push(start.elapsed());
            }
            anyhow::Ok(slowest)
        }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    let wall = start.elapsed();
    let used = Usage::of(std::process::id())?.since(before);
    Ok(Each { count: messages, wall, used, bytes, times })
}

/// Whole bodies in random order, each with its entry in the read journal.
async fn read(world: &World, dice: &mut Dice) -> Result<String> {
    const READS: u32 = 2_000;
    let mut all = Vec::new();
    for person in 0..8 {
        let view = world.open(person).await?;
        all.extend(view.entries.iter().map(|entry| (person, entry.id)));
    }
    ensure!(!all.is_empty(), "nothing to read");
    let (before, start) = (Usage::of(std::process::id())?, Instant::now());
    let (mut times, mut bytes) = (Vec::new(), 0);
    for _ in 0..READS {
        let (person, id) = *dice.pick(&all).context("entries")?;
        let start = Instant::now();
        bytes += world.read(person, id).await?;
        times.push(start.elapsed());
    }
    let used = Usage::of(std::process::id())?.since(before);
    let each = Each { count: READS, wall: start.elapsed(), used, bytes, times };
    Ok(format!("read of a body at random, one after another: {each}\n"))
}

/// A large mailbox: opened, its newest 50 listed, and what changed since.
async fn list(world: &World, messages: u32, dice: &mut Dice) -> Result<String> {
    let person = 63;
    let text = world::Text::new(dice);
    let mut tasks = Vec::new();
    for writer in 0..64 {
        let (world, text) = (world.clone(), text.clone());
        tasks.push(tokio::spawn(async move {
            for at in 0..messages / 64 {
                world.deliver(person, &text.message(writer, at as usize, 1_000)).await?;
            }
            anyhow::Ok(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    let (mut opened, mut listed, mut changed) = (Vec::new(), Vec::new(), Vec::new());
    let mut count = 0;
    for at in 0..20 {
        let start = Instant::now();
        let view = world.open(person).await?;
        opened.push(start.elapsed());
        count = view.entries.len();
        let newest: Vec<_> = view.entries.iter().rev().take(50).map(|entry| entry.id).collect();
        let start = Instant::now();
        ensure!(world.summaries(person, &newest).await? == newest.len(), "a summary is missing");
        listed.push(start.elapsed());
        let since = view.folder.modseq;
        world.deliver(person, &text.message(99, at, 1_000)).await?;
        let start = Instant::now();
        ensure!(world.changes(person, since).await? == 1, "one message came");
        changed.push(start.elapsed());
    }
    Ok(format!(
        "a mailbox of {count}: opened in {}, newest 50 listed in {}, changes since in {}\n",
        percentiles(&mut opened),
        percentiles(&mut listed),
        percentiles(&mut changed)
    ))
}

/// Entries of the log, and of the read journal.
async fn log(world: &World) -> Result<String> {
    const ENTRIES: u32 = 4_000;
    let mut report = String::new();
    for (words, reads) in [("log entry committed", false), ("read journal", true)] {
        for writers in [1, 64] {
            let (before, start) = (Usage::of(std::process::id())?, Instant::now());
            let mut tasks = Vec::new();
            for _ in 0..writers {
                let audit = world.audit.clone();
                let tenant = world.tenant;
                tasks.push(tokio::spawn(async move {
                    let mut times = Vec::new();
                    for _ in 0..ENTRIES / writers {
                        let start = Instant::now();
                        let client = Client::local(Protocol::Imap);
                        let draft = audit.draft(tenant, &Actor::System, &client, Verb::ReadMessage);
                        if reads {
                            audit.read(draft).await?;
                        } else {
                            audit.record(draft).await?;
                        }
                        times.push(start.elapsed());
                    }
                    anyhow::Ok(times)
                }));
            }
            let mut times = Vec::new();
            for task in tasks {
                times.extend(task.await??);
            }
            let used = Usage::of(std::process::id())?.since(before);
            let each = Each { count: ENTRIES, wall: start.elapsed(), used, bytes: 0, times };
            writeln!(report, "{words}, {writers:>2} at once: {each}")?;
        }
    }
    Ok(report)
}

/// A copy of the instance as a kill would leave it, opened.
async fn open(place: &Place<'_>, messages: u32, dice: &mut Dice) -> Result<String> {
    let world = World::open_again(place).await?;
    let have = world.messages().await?;
    let missing = messages.saturating_sub(have);
    if missing > 0 {
        ingest(&world, 64, missing, Body::Small, dice).await?;
    }
    let killed = place.folder.with_file_name("killed");
    // While it is open: the copy has what a power cut would leave, and no clean end.
    crate::harness::flips::copy_folder(&place.folder, &killed)?;
    let have = world.messages().await?;
    world.close().await;
    let copy = Place { folder: killed, database: place.database };
    let start = Instant::now();
    let world = World::open_again(&copy).await?;
    let took = start.elapsed();
    world.close().await;
    Ok(format!("opened with {have} messages after a kill: {}\n", ms(took)))
}
