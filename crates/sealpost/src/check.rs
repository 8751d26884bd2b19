//! `sealpost check`: says what is wrong or missing, each in one sentence that also says what to do.
//!
//! It needs no server and changes nothing; beside a running one it looks at the same data. What it can't look at
//! because something before it is broken is left out: put that right first.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use sealpost_audit::AnchorState;
use sealpost_model::Time;
use sealpost_net::{ServerCertificate, dns};
use sealpost_smtp::client::Route;
use serde::Serialize;
use serde_json::json;

use crate::Which;
use crate::config::Config;
use crate::instance::{Mode, Opened, system_clock};
use crate::proof;

/// `check`'s options.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Also open every body and every sealed column. A small store (below 20,000 messages) always is.
    #[arg(long)]
    deep: bool,
}

/// How much it matters.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Ok,
    Warn,
    Fail,
}

#[derive(Serialize)]
struct Finding {
    severity: Severity,
    /// What it is about, in a word.
    about: &'static str,
    text: String,
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn ok(&mut self, about: &'static str, text: impl Into<String>) {
        self.0.push(Finding { severity: Severity::Ok, about, text: text.into() });
    }

    fn warn(&mut self, about: &'static str, text: impl Into<String>) {
        self.0.push(Finding { severity: Severity::Warn, about, text: text.into() });
    }

    fn fail(&mut self, about: &'static str, text: impl Into<String>) {
        self.0.push(Finding { severity: Severity::Fail, about, text: text.into() });
    }

    fn failed(&self) -> bool {
        self.0.iter().any(|f| f.severity == Severity::Fail)
    }
}

/// Bodies up to which everything is opened without being asked to.
const SMALL: u64 = 20_000;

/// Looks, prints, and answers the exit status.
pub async fn run(args: Args) -> Result<ExitCode> {
    let mut found = Findings::default();
    match args.which.load() {
        Err(error) => found.fail("configuration", format!("{error:#}")),
        Ok(config) => {
            found.ok("configuration", format!("{} is valid", config.file.display()));
            names(&config, &mut found);
            certificate(&config, &mut found);
            folders(&config, &mut found);
            let running = UnixStream::connect(config.control_socket()).is_ok();
            ports(&config, running, &mut found);
            dns_servers(&config, &mut found).await;
            outbound(&config, &mut found);
            match Opened::open(&config, Mode::Look).await {
                Err(error) => found.fail("data", format!("{error:#}")),
                Ok(opened) => {
                    found.ok(
                        "data",
                        "the master key opens key ring and store, and every table's format is known",
                    );
                    data(&config, &opened, args.deep, &mut found).await?;
                }
            }
        }
    }
    print(&found, args.json)?;
    Ok(if found.failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print(found: &Findings, json: bool) -> Result<()> {
    if json {
        return crate::print(&format!("{}\n", json!({"ok": !found.failed(), "findings": found.0})));
    }
    let mut out = String::new();
    for finding in &found.0 {
        let word = match finding.severity {
            Severity::Ok => "ok  ",
            Severity::Warn => "warn",
            Severity::Fail => "FAIL",
        };
        out += &format!("{word}  {}: {}\n", finding.about, finding.text);
    }
    let count = |severity| found.0.iter().filter(|f| f.severity == severity).count();
    out += &match (count(Severity::Fail), count(Severity::Warn)) {
        (0, 0) => "All is well.\n".to_owned(),
        (0, warnings) => format!("Nothing is wrong; {warnings} to look at.\n"),
        (wrong, warnings) => format!("{wrong} to put right, {warnings} to look at.\n"),
    };
    crate::print(&out)
}

fn names(config: &Config, found: &mut Findings) {
    let host = &config.server.hostname;
    let local = config.listen.all().iter().all(|(_, list)| list.iter().all(|a| a.ip().is_loopback()));
    if sealpost_model::Domain::parse(host).is_err() {
        found.fail(
            "hostname",
            format!("[server] hostname {host:?} is not a host name; give the full name of this server"),
        );
    } else if !host.contains('.') && !local {
        found.fail(
            "hostname",
            format!("[server] hostname {host:?} is not a full name; other servers refuse mail from it"),
        );
    } else {
        found.ok("hostname", format!("{host} is a host name"));
    }
    let (mail, portal) = (config.web.mail.as_deref(), config.web.portal.as_deref());
    match sealpost_web::Hosts::new(&config.server.public_url, mail, portal) {
        Ok(_) => found.ok("public_url", format!("{} can be linked to", config.server.public_url)),
        Err(error) => {
            found.fail("public_url", format!("[server] public_url or [web] can't be used: {error}"))
        }
    }
}

fn certificate(config: &Config, found: &mut Findings) {
    let loaded = match ServerCertificate::load(&config.tls.certificate, &config.tls.key) {
        Ok(loaded) => loaded,
        Err(error) => return found.fail("certificate", format!("{error}")),
    };
    let file = config.tls.certificate.display();
    let of_url = config.server.public_url.trim_start_matches("https://");
    let of_url = of_url.split(['/', ':']).next().unwrap_or_default();
    let mut hosts = vec![config.server.hostname.as_str(), of_url];
    hosts.extend(config.web.mail.as_deref());
    hosts.extend(config.web.portal.as_deref());
    hosts.sort_unstable();
    hosts.dedup();
    let missing: Vec<&str> = hosts.iter().copied().filter(|host| !loaded.names(host)).collect();
    if missing.is_empty() {
        found.ok("certificate", format!("{file} and its key belong together, for {}", hosts.join(", ")));
    } else {
        let names = missing.join(", ");
        found.fail("certificate", format!("{file} is not valid for {names}; get one that names it"));
    }
    let now = system_clock().now();
    let day = |time: Time| time.rfc3339().chars().take(10).collect::<String>();
    match loaded.validity() {
        None => found.fail("certificate", format!("{file} does not say until when it is valid; get another")),
        Some((from, _)) if now < from => {
            found.fail(
                "certificate",
                format!("{file} is valid from {} on; look at this machine's clock", day(from)),
            );
        }
        Some((_, until)) if now >= until => {
            found.fail("certificate", format!("{file} was valid until {}; renew it", day(until)));
        }
        Some((_, until)) => {
            let days = until.since(now).as_secs() / 86_400;
            let text = format!("{file} is valid for {days} more days, until {}", day(until));
            if days < 14 {
                found.warn("certificate", text + "; renew it now")
            } else {
                found.ok("certificate", text)
            }
        }
    }
}

/// Modes and space. The master key's and the ring's modes are also looked at where they are opened.
fn folders(config: &Config, found: &mut Findings) {
    let (data, ring) = (&config.server.data, &config.keys.ring);
    for (about, path, is_folder) in [
        ("data", data.as_path(), true),
        ("ring", ring.as_path(), true),
        ("master", &config.master_file().unwrap_or_default(), false),
        ("tls", config.tls.key.as_path(), false),
    ] {
        let name = path.display();
        match path.metadata() {
            // Said with the certificate.
            Err(_) if about == "tls" => {}
            Err(error) => found.fail(about, format!("{name} can't be used: {error}; put it there, or name the right place in the configuration")),
            Ok(meta) if meta.is_dir() != is_folder => {
                let (is, not) = if is_folder { ("file", "folder") } else { ("folder", "file") };
                found.fail(about, format!("{name} is a {is} and must be a {not}"));
            }
            // A group for keys is usual where another program renews the certificate.
            Ok(meta) if meta.permissions().mode() & if about == "tls" { 0o007 } else { 0o077 } != 0 => {
                let (mode, right) = (meta.permissions().mode() & 0o777, if is_folder { "700" } else { "600" });
                found.fail(about, format!("{name} has mode {mode:04o}, so that others on this machine can reach it; run `chmod {right} {name}`"));
            }
            Ok(_) => found.ok(about, format!("{name} is for its owner alone")),
        }
    }
    if let (Ok(data_at), Ok(ring_at)) = (data.metadata(), ring.metadata())
        && data_at.dev() == ring_at.dev()
    {
        found.warn("ring", "data and key ring are on one disk; take care that no backup holds both");
    }
    for (about, path) in [("data", data), ("ring", ring)] {
        space(about, path, found);
    }
}

fn space(about: &'static str, path: &Path, found: &mut Findings) {
    let Ok(disk) = rustix::fs::statvfs(path) else { return };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let total = disk.f_blocks.saturating_mul(disk.f_frsize).max(1);
    let (gigabytes, percent) = (free >> 30, free.saturating_mul(100) / total);
    let text = format!("{gigabytes} GiB ({percent} %) are free under {}", path.display());
    if free < 200 << 20 {
        found.fail(
            "disk",
            format!("{text} ({about}); mail is refused when it is full, so free some space now"),
        );
    } else if free < 2 << 30 || percent < 5 {
        found.warn("disk", format!("{text} ({about}); free some soon"));
    } else {
        found.ok("disk", format!("{text} ({about})"));
    }
}

fn ports(config: &Config, running: bool, found: &mut Findings) {
    if running {
        found.ok("server", format!("a server answers at {}", config.control_socket().display()));
    } else {
        found.ok("server", "no server runs on this data");
    }
    for (word, list) in config.listen.all() {
        for addr in list {
            port(word, *addr, running, found);
        }
    }
    if config.listen.all().iter().all(|(_, list)| list.is_empty()) {
        found.fail("listen", "[listen] names no address, so nothing is served; add at least smtp, submissions, imaps and https");
    }
}

fn port(word: &'static str, addr: SocketAddr, running: bool, found: &mut Findings) {
    use std::io::ErrorKind as K;
    match TcpListener::bind(addr) {
        Ok(_) if running => found.fail(
            "listen",
            format!("nothing listens on {addr} ({word}) though a server runs; restart it, so that it reads its configuration"),
        ),
        Ok(_) => found.ok("listen", format!("{addr} ({word}) is free")),
        Err(e) if e.kind() == K::AddrInUse && running => found.ok("listen", format!("{addr} ({word}) is in use, and our server runs")),
        Err(e) if e.kind() == K::AddrInUse => found.fail(
            "listen",
            format!("{addr} ({word}) is in use by another program; end that one, or change [listen] {word}"),
        ),
        Err(e) if e.kind() == K::PermissionDenied && running => found.ok("listen", format!("{addr} ({word}): this user can't see it, and our server runs")),
        Err(e) if e.kind() == K::PermissionDenied => found.warn(
            "listen",
            format!("this user may not listen on {addr} ({word}); run check as the user that serves, and give it CAP_NET_BIND_SERVICE"),
        ),
        Err(e) => found.fail("listen", format!("{addr} ({word}) can't be listened on: {e}; change [listen] {word} to an address of this machine")),
    }
}

async fn dns_servers(config: &Config, found: &mut Findings) {
    const PATIENCE: Duration = Duration::from_secs(6);
    for server in &config.dns.servers {
        let asked = async {
            let resolver = dns::Hickory::new(&[*server]).map_err(|e| e.to_string())?;
            let host = sealpost_model::Domain::parse("example.com").map_err(|e| e.to_string())?;
            dns::Resolver::mx(&resolver, host.as_str()).await.map(drop).map_err(|e| e.to_string())
        };
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(())) => found.ok("dns", format!("the name server {server} answers")),
            Ok(Err(why)) => found
                .fail("dns", format!("the name server {server} does not help ({why}); change [dns] servers")),
            Err(_) => {
                found.fail("dns", format!("the name server {server} does not answer; change [dns] servers"))
            }
        }
    }
}

fn outbound(config: &Config, found: &mut Findings) {
    for (domain, host) in &config.outbound.routes {
        if let Err(why) = Route::parse(host) {
            found.fail("outbound", format!("[outbound.routes] {domain}: {why}"));
        }
        if sealpost_model::Domain::parse(domain).is_err() {
            found.fail("outbound", format!("[outbound.routes] {domain:?} is not a domain"));
        }
    }
    if let Some(path) = &config.outbound.extra_ca {
        let read = std::fs::read(path).map_err(|e| e.to_string());
        match read.and_then(|pem| sealpost_net::trust_from_pem(&pem).map_err(|e| e.to_string())) {
            Ok(_) => {
                found.ok("outbound", format!("{} is trusted beside the public authorities", path.display()))
            }
            Err(why) => {
                found.fail("outbound", format!("[outbound] extra_ca {} can't be used: {why}", path.display()))
            }
        }
    }
}

async fn data(config: &Config, opened: &Opened, deep: bool, found: &mut Findings) -> Result<()> {
    let stray = strays(&config.server.data);
    if let Some(name) = stray.first() {
        found.warn(
            "data",
            format!(
                "{} ({} in all) in the data folder can be read by others; run `chmod -R go= {}`",
                name,
                stray.len(),
                config.server.data.display()
            ),
        );
    }
    match &config.audit.anchor {
        None => found.warn("anchor", "no [audit] anchor is configured, so that a log that was cut or put back can't be told; name a file, best on another host's disk"),
        Some(path) if !path.exists() => found.warn("anchor", format!("{} is not there yet; the server writes it within a second of its first entry, and if it was there before, somebody removed it", path.display())),
        Some(_) => {}
    }
    let bodies = sealpost_store::inspect::bodies(&opened.store, SMALL).await?;
    if bodies >= SMALL && !deep {
        found.warn("content", format!("there are {SMALL} bodies or more, so that they were not opened; `sealpost check --deep` does, and takes a while"));
        return Ok(());
    }
    let proof = match proof::everything(config, opened).await {
        Ok(proof) => proof,
        Err(error) => {
            found.fail("content", format!("{error:#}"));
            return Ok(());
        }
    };
    let log = &proof.log;
    for tenant in &log.tenants {
        for finding in &tenant.findings {
            found.fail(
                "log",
                format!(
                    "log of tenant {}: {finding}; keep this data as evidence and compare it with a backup",
                    tenant.tenant
                ),
            );
        }
        if tenant.more > 0 {
            found.fail("log", format!("log of tenant {}: {} more", tenant.tenant, tenant.more));
        }
    }
    if log.is_sound() {
        found.ok("log", log.verdict());
        if config.audit.anchor.is_some() && log.anchor == AnchorState::Agrees {
            found.ok("anchor", "the anchor agrees");
        }
    }
    for fault in &proof.tables.faults {
        found.fail("content", format!("{fault}; restore it from a backup"));
    }
    if proof.tables.more > 0 {
        found.fail("content", format!("and {} more", proof.tables.more));
    }
    if proof.tables.faults.is_empty() {
        let rows: u64 = proof.tables.rows.values().sum();
        found.ok(
            "content",
            format!(
                "{rows} rows of {} tables and {} bodies are what was written",
                proof.tables.rows.len(),
                bodies
            ),
        );
    }
    if proof.tables.unowned > 0 {
        found.ok(
            "content",
            format!(
                "{} bodies belong to nothing any more and can't be opened by anybody",
                proof.tables.unowned
            ),
        );
    }
    Ok(())
}

/// Files below the data folder that others may read or write.
fn strays(data: &Path) -> Vec<String> {
    let (mut folders, mut out) = (vec![data.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                folders.push(entry.path());
            }
            if !meta.is_symlink() && meta.permissions().mode() & 0o077 != 0 {
                out.push(entry.path().display().to_string());
            }
        }
    }
    out
}
