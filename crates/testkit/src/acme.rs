//! Debian's `pebble`, the ACME server that Let's Encrypt tests clients with, and a DNS server that knows what it is told.
//!
//! It is meant to annoy: it turns away one nonce of twenty, gives authorizations in any order and checks every signature.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::harness::code::until;
use crate::http::Browser;
use crate::wire::Trust;

/// A running ACME server; dropped, it ends.
pub struct Pebble {
    folder: TempDir,
    children: Vec<Child>,
    directory: String,
    management: SocketAddr,
}

impl Pebble {
    /// Starts it. It looks for challenges at these ports of whatever address a name has: those of `names` have
    /// 127.0.0.1, every other has none. `certificate` and `key` (PEM, for localhost) are its own.
    pub fn start(http: u16, https: u16, names: &[&str], certificate: &str, key: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("sealpost-pebble-").tempdir()?;
        let at = |name: &str| folder.path().join(name);
        let free = || -> Result<SocketAddr> { Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?) };
        let (directory, management, dns, told) = (free()?, free()?, free()?, free()?);
        fs::write(at("cert.pem"), certificate)?;
        fs::write(at("key.pem"), key)?;
        let config = serde_json::json!({"pebble": {
            "listenAddress": directory.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": at("cert.pem"),
            "privateKey": at("key.pem"),
            "httpPort": http,
            "tlsPort": https,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
        }});
        fs::write(at("config.json"), config.to_string())?;
        let mut pebble = Self {
            children: Vec::new(),
            directory: format!("https://localhost:{}/dir", directory.port()),
            management,
            folder,
        };
        let none = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv4", "", "-defaultIPv6", ""];
        let (dns, told_at) = (dns.to_string(), told.to_string());
        pebble
            .run("pebble-challtestsrv", &[&none[..], &["-dns01", &dns, "-management", &told_at]].concat())?;
        let config = pebble.folder.path().join("config.json").to_string_lossy().into_owned();
        pebble.run("pebble", &["-config", &config, "-dnsserver", &dns])?;
        for addr in [directory, management, told] {
            until(|| Ok(TcpStream::connect(addr).ok())).context("pebble does not start")?;
        }
        for name in names {
            tell(told, &format!(r#"{{"host":"{name}","addresses":["127.0.0.1"]}}"#))?;
        }
        Ok(pebble)
    }

    /// What clients are given.
    pub fn directory(&self) -> &str {
        &self.directory
    }

    /// The authority that signs what it issues, PEM: a new one with each start.
    pub fn root(&self, trust: &Trust) -> Result<String> {
        let page = Browser::new(self.management, Some(trust)).get("/roots/0")?;
        ensure!(page.status == 200, "{} {}", page.status, page.body);
        Ok(page.body)
    }

    /// What both said so far.
    pub fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        read("pebble.log") + &read("pebble-challtestsrv.log")
    }

    fn run(&mut self, program: &str, words: &[&str]) -> Result<()> {
        let log = fs::File::create(self.folder.path().join(format!("{program}.log")))?;
        let mut command = Command::new(program);
        command.args(words).env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", "5");
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let missing =
            || format!("{program} does not start; `cargo xtask setup` installs what the tests need");
        self.children.push(command.spawn().with_context(missing)?);
        Ok(())
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Adds an address record.
fn tell(to: SocketAddr, json: &str) -> Result<()> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let head = format!("POST /add-a HTTP/1.0\r\nContent-Length: {}\r\n\r\n{json}", json.len());
    stream.write_all(head.as_bytes())?;
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer)?;
    ensure!(answer.contains(" 200 "), "{answer}");
    Ok(())
}
