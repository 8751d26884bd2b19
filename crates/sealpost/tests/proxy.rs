//! Behind a proxy: the log and the limits see the client, over each protocol and both families, and nobody but the proxy
//! is believed (S52).

use std::fs;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use sealpost_testkit::Server;
use sealpost_testkit::http::Browser;
use sealpost_testkit::imap::Imap;
use sealpost_testkit::pop3::Pop3;
use sealpost_testkit::smtp::Smtp;
use sealpost_testkit::tap::Tap;
use sealpost_testkit::wire::Wire;

/// A demonstration whose configuration has further keys, and listens on both families.
fn server(listen: &str) -> Result<Server> {
    let mut server = Server::start(env!("CARGO_BIN_EXE_sealpost"))?;
    ensure!(server.stop()?.success());
    let config = server.ready().config.clone();
    let own = fs::read_to_string(&config)?;
    let mut text = String::new();
    for line in own.lines() {
        match line.split_once(" = [\"127.0.0.1:") {
            Some((word, port)) => {
                let port = port.trim_end_matches("\"]");
                text += &format!("{word} = [\"127.0.0.1:{port}\", \"[::1]:{port}\"]\n");
            }
            None => text += &format!("{line}\n"),
        }
    }
    fs::write(&config, text.replace("[listen]\n", &format!("[listen]\n{listen}\n")))?;
    server.start_again()?;
    Ok(server)
}

/// The addresses that the log has for sign-ins, newest last: protocol and client.
fn sign_ins(server: &Server) -> Result<Vec<(String, String)>> {
    let ada = server.user("ada")?;
    let words = ["log", "--json", "--verb", "login", "--detail", "--as", &ada.address];
    let out = server.run(&words, &format!("{}\n", ada.password))?.ok()?;
    let mut found = Vec::new();
    for line in out.text().lines() {
        let row: serde_json::Value = serde_json::from_str(line)?;
        let word = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        if word("protocol") != "control" {
            found.push((word("protocol"), word("client")));
        }
    }
    Ok(found)
}

#[test]
fn the_log_has_the_client_and_not_the_proxy() -> Result<()> {
    let server = server("proxy_from = [\"127.0.0.0/8\", \"::1\"]")?;
    let (bob, trust) = (server.user("bob")?, server.trust());
    let six = |to: SocketAddr| SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], to.port()));
    let via = |word: &str, header: &[u8]| Tap::proxy(server.listener(word)?, header);
    let four = b"PROXY TCP4 192.0.2.7 10.0.0.1 50000 993\r\n";
    let binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x01\0\x03\xe1";

    let tap = via("imaps", four)?;
    Imap::login(tap.at(), trust, &bob.address, &bob.app_password)?;
    let tap = Tap::proxy(six(server.listener("pop3s")?), binary)?;
    Pop3::login(tap.at(), trust, &bob.address, &bob.app_password)?;
    let tap = via("submissions", binary)?;
    Smtp::tls(tap.at(), trust)?.login(&bob.address, &bob.app_password)?.expect(235)?;
    let tap = Tap::proxy(six(server.listener("submission")?), four)?;
    Smtp::starttls(tap.at(), trust)?.login(&bob.address, &bob.app_password)?.expect(235)?;
    let tap = via("https", b"PROXY TCP4 198.51.100.200 10.0.0.1 50000 443\r\n")?;
    let mut browser = Browser::new(tap.at(), Some(trust));
    let page = browser.get("/signin")?;
    browser.submit(
        &page,
        "/signin",
        &[("next", ""), ("login", &bob.address), ("password", &bob.password)],
    )?;

    let found = sign_ins(&server)?;
    for (protocol, client) in [
        ("imap", "192.0.2.7"),
        ("pop3", "2001:db8::9"),
        ("submission", "2001:db8::9"),
        ("submission", "192.0.2.7"),
        ("web", "198.51.100.200"),
    ] {
        ensure!(found.iter().any(|(p, c)| p == protocol && c == client), "{protocol} {client} in {found:?}");
    }
    ensure!(found.iter().all(|(_, c)| c != "127.0.0.1" && c != "::1"), "{found:?}");

    // On port 25 the trace has the client, and XCLIENT says it as well as the header.
    let tap = via("smtp", b"PROXY TCP4 203.0.113.4 10.0.0.1 50000 25\r\n")?;
    let mut smtp = Smtp::plain(tap.at())?;
    let send = |smtp: &mut Smtp, subject: &str| {
        let letter = format!("From: <pat@outside.example>\r\nSubject: {subject}\r\n\r\nwords\r\n");
        smtp.send("pat@outside.example", &["bob@clinic.test"], letter.as_bytes())?.expect(250)
    };
    send(&mut smtp, "one")?;
    smtp.command("XCLIENT ADDR=IPV6:2001:db8::77 PORT=5000 HELO=mail.outside.example")?.expect(220)?;
    smtp.command("EHLO proxy.example")?.expect(250)?;
    send(&mut smtp, "two")?;
    let tap = via("imaps", four)?;
    let mut imap = Imap::login(tap.at(), trust, &bob.address, &bob.app_password)?;
    imap.select("INBOX")?;
    let bodies: Vec<String> =
        imap.bodies()?.iter().map(|b| String::from_utf8_lossy(b).into_owned()).collect();
    let body = |subject: &str| {
        bodies.iter().find(|b| b.contains(&format!("Subject: {subject}\r\n"))).context("kept")
    };
    ensure!(body("one")?.contains("[203.0.113.4]"), "{}", body("one")?);
    ensure!(body("two")?.contains("mail.outside.example ([IPv6:2001:db8::77])"), "{}", body("two")?);

    // Without the header nothing is served, in the clear or in TLS.
    for word in ["smtp", "submission", "imaps", "https"] {
        let mut wire = Wire::plain(server.listener(word)?, std::time::Duration::from_secs(30))?;
        wire.send(b"EHLO client.example\r\n")?;
        // An end, or a reset since its words were not read.
        ensure!(wire.rest().unwrap_or_default().is_empty(), "{word} answered");
    }
    ensure!(server.log().contains("did not say for whom"), "{}", server.log());
    Ok(())
}

#[test]
fn a_stranger_is_not_believed_and_an_smtp_proxy_needs_no_header() -> Result<()> {
    let server = server("proxy_from = [\"192.0.2.0/24\"]\nxclient_from = [\"::1\"]")?;
    let tap = Tap::proxy(server.listener("imaps")?, b"PROXY TCP4 203.0.113.4 10.0.0.1 50000 25\r\n")?;
    let bob = server.user("bob")?;
    ensure!(
        Imap::login(tap.at(), server.trust(), &bob.address, &bob.app_password).is_err(),
        "TLS behind a stray header"
    );
    server.imap_as("bob")?;
    let mut smtp = Smtp::plain(server.listener("smtp")?)?;
    ensure!(!smtp.extensions.iter().any(|e| e.starts_with("XCLIENT")), "{:?}", smtp.extensions);
    smtp.command("XCLIENT ADDR=203.0.113.4")?.expect(550)?;

    let six = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], server.listener("submission")?.port()));
    let mut smtp = Smtp::starttls(six, server.trust())?;
    ensure!(smtp.extensions.iter().any(|e| e.starts_with("XCLIENT NAME ADDR")), "{:?}", smtp.extensions);
    smtp.command("XCLIENT ADDR=203.0.113.4 PORT=50000")?.expect(220)?;
    smtp.command("EHLO client.example")?.expect(250)?;
    smtp.login(&bob.address, &bob.app_password)?.expect(235)?;
    let found = sign_ins(&server)?;
    ensure!(found.contains(&("submission".into(), "203.0.113.4".into())), "{found:?}");
    ensure!(found.iter().all(|(p, c)| (p == "imap") == (c == "127.0.0.1")), "{found:?}");
    Ok(())
}
