//! `[listen] metrics` on a whole server: every number that the page promises is there, and they move.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;

use anyhow::{Context, Result, ensure};
use sealpost_testkit::Server;
use sealpost_testkit::http::Browser;
use sealpost_testkit::smtp::Smtp;

/// Name and label to number; each family has its type.
fn numbers(text: &str) -> Result<BTreeMap<String, f64>> {
    let mut found = BTreeMap::new();
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let (name, number) = line.rsplit_once(' ').with_context(|| line.to_owned())?;
        let family = name.split('{').next().unwrap_or_default();
        ensure!(text.contains(&format!("# TYPE {family} ")), "{family} has no type");
        ensure!(found.insert(name.to_owned(), number.parse()?).is_none(), "{name} twice");
    }
    Ok(found)
}

#[test]
fn numbers_are_there_and_move_and_name_nobody() -> Result<()> {
    let mut server = Server::start(env!("CARGO_BIN_EXE_sealpost"))?;
    ensure!(server.stop()?.success());
    let at = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let config = &server.ready().config;
    let own = fs::read_to_string(config)?;
    fs::write(config, own.replace("[listen]\n", &format!("[listen]\nmetrics = [\"{at}\"]\n")))?;
    server.start_again()?;
    let mut prometheus = Browser::new(at, None);
    let mut ask = || -> Result<(String, BTreeMap<String, f64>)> {
        let page = prometheus.get("/metrics")?;
        ensure!(page.status == 200 && page.head.contains("text/plain; version=0.0.4"), "{}", page.head);
        let found = numbers(&page.body)?;
        Ok((page.body, found))
    };
    let (text, before) = ask()?;
    let described = server.run(&["serve", "--print-metrics"], "")?.ok()?.text();
    for row in described.lines().skip(2) {
        let name = row.split('`').nth(1).context("a name")?;
        ensure!(text.contains(&format!("# HELP {name} ")), "{name} is promised and not there");
    }

    let mut alice = server.submit_as("alice")?;
    let letter = "From: <alice@clinic.test>\r\nSubject: x\r\n\r\nwords\r\n";
    alice.send("alice@clinic.test", &["bob@clinic.test"], letter.as_bytes())?.expect(250)?;
    let mut stranger = Smtp::plain(server.listener("smtp")?)?;
    stranger.command("NOOP")?.expect(250)?;

    let (text, after) = ask()?;
    let moved = |name: &str| -> Result<f64> {
        let number = |of: &BTreeMap<String, f64>| of.get(name).copied().with_context(|| name.to_owned());
        Ok(number(&after)? - number(&before)?)
    };
    ensure!(moved("sealpost_messages_accepted_total")? >= 1.0, "{text}");
    ensure!(
        moved("sealpost_store_commits_total")? >= 1.0 && moved("sealpost_store_commit_seconds_total")? > 0.0
    );
    ensure!(moved("sealpost_connections_total{listener=\"submissions\"}")? == 1.0, "{text}");
    ensure!(moved("sealpost_connections_total{listener=\"smtp\"}")? == 1.0, "{text}");
    ensure!(after["sealpost_connections_open{listener=\"submissions\"}"] == 1.0, "{text}");
    ensure!(after["sealpost_connections_open{listener=\"imaps\"}"] == 0.0, "{text}");
    ensure!(
        after["sealpost_certificate_days"] > 800.0 && after["sealpost_certificate_files_bad"] == 0.0,
        "{text}"
    );
    ensure!(
        after["sealpost_disk_free_bytes{place=\"data\"}"] > 0.0 && after["sealpost_life_keys"] > 0.0,
        "{text}"
    );
    for word in ["clinic", "alice", "bob", "127.0.0.1", "localhost"] {
        ensure!(!text.contains(word), "{word} in {text}");
    }
    ensure!(Browser::new(at, None).get("/")?.status == 404);
    Ok(())
}
