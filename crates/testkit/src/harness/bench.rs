//! How fast? Small messages accepted and visible, with what they cost, beside the machine's own limits.
//!
//! The client shares the machine with the server, so it does little: one write and one reply a message (RFC 2920 lets
//! the next envelope follow the final dot), one thread a connection that sleeps in `read`. *Visible* is asked over
//! IMAP: the run ends when STATUS counts the last message.

use std::{
    fmt::Write as _,
    fs::{File, OpenOptions},
    io::Write as _,
    os::fd::AsFd,
    path::Path,
    sync::{Barrier, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::{
    Server,
    process::Usage,
    smtp::{Smtp, dotted, envelope},
    wire::Wire,
};

/// How much.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Messages on one connection.
    pub single: u32,
    /// Messages on all connections together.
    pub many: u32,
    /// Connections at once.
    pub connections: u32,
    /// Bytes of body a message.
    pub body: usize,
    /// Through port 25 from outside instead of submission.
    pub inbound: bool,
}

/// Runs it and says the figures.
pub fn smtp(program: &Path, size: Size) -> Result<String> {
    let server = Server::start(program)?;
    let mut report = String::new();
    let door = if size.inbound { "smtp, STARTTLS" } else { "submissions" };
    writeln!(report, "bench smtp: {}-byte bodies over {door}, alice to bob and carol in turn", size.body)?;
    writeln!(report, "tls: {}", tls(&server)?)?;
    let syncs = syncs(&server.data())?;
    writeln!(report, "limits: {syncs:.0} fdatasync/s of 4 KiB appends on this disk")?;
    let (handshakes, cpu) = handshakes(&server)?;
    writeln!(report, "        {handshakes:.0} TLS connections/s, {cpu:.2} ms server CPU each")?;
    // The first messages pay for pages and caches that all later ones find.
    burst(&server, size, 2, 200)?;
    for (connections, messages) in [(1, size.single), (size.connections, size.many)] {
        let run = burst(&server, size, connections, messages)?;
        let each = |amount: u64| amount as f64 / f64::from(messages);
        writeln!(
            report,
            "{connections:>3} connections, {messages} messages: {:.0}/s accepted, {:.0}/s visible; \
             a message: {:.2} ms server CPU, {:.2} ms client CPU, {:.1} KiB written; server {} MiB resident",
            f64::from(messages) / run.accepted.as_secs_f64(),
            f64::from(messages) / run.visible.as_secs_f64(),
            each(run.server.cpu_ms),
            each(run.client.cpu_ms),
            each(run.server.written) / 1024.0,
            run.server.resident >> 20,
        )?;
    }
    Ok(report.trim_end().to_owned())
}

struct Run {
    accepted: Duration,
    visible: Duration,
    server: Usage,
    client: Usage,
}

const TO: [&str; 2] = ["bob", "carol"];

/// Sends `messages` on `connections` and waits until all can be seen. Handshakes and logins are over before it counts.
fn burst(server: &Server, size: Size, connections: u32, messages: u32) -> Result<Run> {
    let mut readers = TO.map(|name| server.imap_as(name));
    let mut count = || -> Result<u32> {
        readers.iter_mut().try_fold(0, |sum, reader| match reader {
            Ok(imap) => Ok(sum + imap.count("INBOX")?),
            Err(error) => anyhow::bail!("{error:#}"),
        })
    };
    let wanted = count()? + messages;
    let ready = Barrier::new(connections as usize + 1);
    thread::scope(|scope| {
        let mut senders = Vec::new();
        for number in 0..connections {
            let share = messages / connections + u32::from(number < messages % connections);
            let ready = &ready;
            senders.push(scope.spawn(move || {
                let smtp = connect(server, size.inbound);
                ready.wait();
                send(smtp?, size, number, share)
            }));
        }
        ready.wait();
        let (start, used, own) = (Instant::now(), Usage::of(server.pid()?)?, Usage::of(std::process::id())?);
        for sender in senders {
            sender.join().map_err(|_| anyhow::anyhow!("a sender panicked"))??;
        }
        let accepted = start.elapsed();
        let client = Usage::of(std::process::id())?.since(own);
        let (_silent, pause) = mpsc::channel::<()>();
        while count()? < wanted {
            ensure!(start.elapsed() < accepted + Duration::from_secs(60), "not all became visible");
            let _ = pause.recv_timeout(Duration::from_millis(1));
        }
        let visible = start.elapsed();
        ensure!(count()? == wanted, "more than was sent");
        Ok(Run { accepted, visible, server: Usage::of(server.pid()?)?.since(used), client })
    })
}

fn connect(server: &Server, inbound: bool) -> Result<Smtp> {
    if inbound { Smtp::starttls(server.listener("smtp")?, server.trust()) } else { server.submit_as("alice") }
}

/// One connection's share. Each write is a message's text and the next one's envelope.
fn send(mut smtp: Smtp, size: Size, number: u32, share: u32) -> Result<()> {
    let from = if size.inbound { "stranger@outside.example" } else { "alice@clinic.test" };
    let line = "The quick brown fox jumps over the lazy dog, and the dog looks up.\r\n";
    let body = line.repeat(size.body.div_ceil(line.len()));
    let group = |at: u32| {
        let to = TO.get((number + at) as usize % TO.len()).copied().unwrap_or_default();
        envelope(from, &[&format!("{to}@clinic.test")])
    };
    if share > 0 {
        smtp.wire.send(group(0).as_bytes())?;
    }
    for at in 0..share {
        for code in [250, 250, 354] {
            smtp.reply()?.expect(code)?;
        }
        let message = format!(
            "From: <{from}>\r\nTo: <someone@clinic.test>\r\nSubject: bench {at}\r\n\
             Message-ID: <{number}.{at}.{}@bench.example>\r\nDate: Mon, 02 Mar 2026 09:00:00 +0000\r\n\r\n{body}",
            std::process::id()
        );
        let mut packet = dotted(message.as_bytes());
        if at + 1 < share {
            packet.extend_from_slice(group(at + 1).as_bytes());
        }
        smtp.wire.send(&packet)?;
        smtp.reply()?.expect(250)?;
    }
    Ok(())
}

/// Appends of 4 KiB, each made durable, for a second.
fn syncs(folder: &Path) -> Result<f64> {
    let path = folder.join("bench-sync");
    let mut file: File = OpenOptions::new().create_new(true).append(true).open(&path)?;
    let block = [0x5a; 4096];
    let start = Instant::now();
    let mut count = 0_u32;
    while start.elapsed() < Duration::from_secs(1) {
        file.write_all(&block)?;
        rustix::fs::fdatasync(file.as_fd())?;
        count += 1;
    }
    let rate = f64::from(count) / start.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(rate)
}

/// Full handshakes on two connections at a time for two seconds: a second, and server CPU each.
fn handshakes(server: &Server) -> Result<(f64, f64)> {
    let to = server.listener("submissions")?;
    let (start, used) = (Instant::now(), Usage::of(server.pid()?)?);
    let count: u32 = thread::scope(|scope| -> Result<u32> {
        let one = || -> Result<u32> {
            let mut count = 0;
            while start.elapsed() < Duration::from_secs(2) && count < 1_000 {
                let mut wire = Wire::tls(to, server.trust(), Duration::from_secs(10))?;
                wire.line()?;
                wire.send(b"QUIT\r\n")?;
                wire.rest()?;
                count += 1;
            }
            Ok(count)
        };
        let other = scope.spawn(one);
        Ok(one()? + other.join().map_err(|_| anyhow::anyhow!("a client panicked"))??)
    })
    .context("TLS connections")?;
    let cpu = Usage::of(server.pid()?)?.since(used).cpu_ms as f64 / f64::from(count.max(1));
    Ok((f64::from(count) / start.elapsed().as_secs_f64(), cpu))
}

fn tls(server: &Server) -> Result<String> {
    let wire = Wire::tls(server.listener("submissions")?, server.trust(), Duration::from_secs(10))?;
    wire.tls_facts().context("no TLS")
}
