//! Does a message reach the rest of the world encrypted, and only so? A real Postfix behind a wire-tapper, with a
//! certificate that verifies, one that doesn't, without STARTTLS, and with STARTTLS stripped (S17, S18, S21).

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

use crate::{
    Dice, Server,
    harness::code::{receipt, until},
    postfix::{Postfix, Tls},
    tap::Tap,
};

/// Runs it: one message to each kind of host.
pub fn run(program: &Path, mut dice: Dice) -> Result<String> {
    if !rustix::process::geteuid().is_root() {
        return Ok("peers: left out, Postfix runs as root only".into());
    }
    let postfix = Postfix::start()?;
    let good = Host::new("verified", postfix.port(Tls::Verified), false)?;
    let weak = [
        Host::new("selfsigned", postfix.port(Tls::SelfSigned), false)?,
        Host::new("plain", postfix.port(Tls::None), false)?,
        Host::new("stripped", postfix.port(Tls::Verified), true)?,
    ];
    let mut server = Server::start(program)?;
    server.stop()?;
    route(&server.ready().config, &postfix.ca(), weak.iter().chain([&good]))?;
    server.start_again()?;

    let mut report = format!("peers: Postfix behind a tap, seed {}", dice.seed());
    let words = [dice.word(14), dice.word(14), dice.word(14)];
    let [subject, body, file] = &words;
    for host in weak.iter().chain([&good]) {
        let to = format!("pat@{}.example", host.name);
        let message = format!(
            "From: Alice <alice@clinic.test>\r\nTo: <{to}>\r\nSubject: {subject}\r\nMessage-ID: <{}@clinic.test>\r\n\
             Date: Mon, 02 Mar 2026 09:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; name=\"{file}\"\r\n\
             \r\n{body}\r\n",
            dice.word(10)
        );
        server.submit_as("alice")?.send("alice@clinic.test", &[&to], message.as_bytes())?.expect(250)?;
        let arrived = until(|| Ok(postfix.delivered(&to)?.pop()))
            .with_context(|| format!("{to}\n{}\n{}", postfix.log(), server.log()))?;
        let heard = String::from_utf8_lossy(&host.tap.heard()).into_owned();
        for word in &words {
            ensure!(!heard.contains(word.as_str()), "{}: {word} went over the wire in the clear", host.name);
        }
        if host.name == good.name {
            ensure!(arrived.contains(subject) && arrived.contains(body), "not the message:\n{arrived}");
            ensure!(arrived.contains("using TLSv1.3"), "not over TLS 1.3:\n{arrived}");
            report.push_str("\nverified: delivered over TLS 1.3");
        } else {
            for word in &words {
                ensure!(
                    !arrived.contains(word.as_str()),
                    "{}: the notice says {word}:\n{arrived}",
                    host.name
                );
            }
            ensure!(arrived.contains("/pickup/"), "{}: no notice:\n{arrived}", host.name);
            let says = until(|| reason(&server, &to)).with_context(|| format!("no receipt for {to}"))?;
            report.push_str(&format!("\n{}: pickup; the receipt says: {says}", host.name));
        }
    }
    Ok(report)
}

struct Host {
    name: &'static str,
    tap: Tap,
}

impl Host {
    fn new(name: &'static str, port: std::net::SocketAddr, strip: bool) -> Result<Host> {
        Ok(Host { name, tap: Tap::before(port, strip)? })
    }
}

/// Adds the routes and the authority to the configuration that quickstart wrote.
fn route<'a>(config: &Path, ca: &Path, hosts: impl Iterator<Item = &'a Host>) -> Result<()> {
    let mut text = fs::read_to_string(config)?;
    let authority = format!("extra_ca = \"{}\"\n", ca.display());
    let routes: String = hosts
        .map(|host| format!("\"{}.example\" = \"localhost:{}\"\n", host.name, host.tap.at().port()))
        .collect();
    for (section, lines) in [("[outbound]\n", authority), ("[outbound.routes]\n", routes)] {
        match text.find(section) {
            Some(at) => text.insert_str(at + section.len(), &lines),
            None => text.push_str(&format!("\n{section}{lines}")),
        }
    }
    Ok(fs::write(config, text)?)
}

/// The lines behind the recipient in alice's receipt.
fn reason(server: &Server, to: &str) -> Result<Option<String>> {
    let Some(text) = receipt(server, to)? else { return Ok(None) };
    let (_, after) = text.split_once(to).context("no recipient")?;
    let lines = after.lines().take(5).map(str::trim);
    Ok(Some(
        lines.filter(|line| !line.is_empty() && !line.starts_with("Code:")).collect::<Vec<_>>().join(" "),
    ))
}
