//! Certificates from an ACME server: ordered over port 80 or 443, shown by name, kept over a restart, and a name that
//! can't be proved is told and keeps no other from its own.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sealpost_testkit::acme::Pebble;
use sealpost_testkit::harness::code::until;
use sealpost_testkit::{Server, program};

/// A demonstration that was stopped, with further lines in `[listen]` and below `[tls]`.
fn change(server: &Server, listen: &str, tls: &str) -> Result<()> {
    let config = &server.ready().config;
    let own = fs::read_to_string(config)?;
    let text = own.replace("[listen]\n", &format!("[listen]\n{listen}\n"));
    Ok(fs::write(config, text.replace("[tls]\n", &format!("[tls]\n{tls}\n")))?)
}

/// What openssl finds when it asks the web for a name: the chain must lead to `root`.
fn shown(server: &Server, name: &str, root: &Path) -> Result<String> {
    let at = server.listener("https")?.to_string();
    let root = root.to_string_lossy();
    let words =
        ["s_client", "-connect", &at, "-servername", name, "-verify_hostname", name, "-CAfile", &root];
    let mut openssl = Command::new("openssl");
    let out = program::run(openssl.args(words), b"", Duration::from_secs(30))?;
    Ok(out.text())
}

fn serial(text: &str) -> Result<String> {
    let begin = text.find("-----BEGIN CERTIFICATE-----").context("a certificate")?;
    let end = text.find("-----END CERTIFICATE-----").context("a certificate")?;
    Ok(text[begin..end].to_owned())
}

const VERIFIED: &str = "Verify return code: 0 (ok)";

#[test]
fn certificates_are_ordered_over_port_80_and_kept() -> Result<()> {
    let mut server = Server::start(env!("CARGO_BIN_EXE_sealpost"))?;
    ensure!(server.stop()?.success());
    let tls = server.ready().config.with_file_name("tls");
    let (certificate, key) =
        (fs::read_to_string(tls.join("cert.pem"))?, fs::read_to_string(tls.join("key.pem"))?);
    let http = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let names = ["mail.clinic.test", "pickup.clinic.test"];
    let pebble = Pebble::start(http.port(), server.listener("https")?.port(), &names, &certificate, &key)?;
    let acme = format!(
        "acme = {{ directory = \"{}\", contact = \"mailto:sam@clinic.test\", extra_ca = \"tls/ca.pem\", names = \
         [\"{}\", \"{}\", \"nowhere.clinic.test\"] }}",
        pebble.directory(),
        names[0],
        names[1],
    );
    change(&server, &format!("http = [\"{http}\"]"), &acme)?;
    server.start_again()?;
    let root = server.folder().join("root.pem");
    fs::write(&root, pebble.root(server.trust())?)?;

    // Each name has its own, and nobody else's is touched.
    let mut first = Vec::new();
    for name in names {
        let text = until(|| {
            let text = shown(&server, name, &root)?;
            Ok(text.contains(VERIFIED).then_some(text))
        });
        first.push(serial(&text.with_context(|| format!("{}\n{}", server.log(), pebble.log()))?)?);
    }
    ensure!(first[0] != first[1], "one certificate for two names");
    let own = shown(&server, "localhost", &tls.join("ca.pem"))?;
    ensure!(own.contains(VERIFIED), "{own}");
    ensure!(serial(&shown(&server, "other.test", &root)?)? == serial(&own)?, "the default is the host's own");

    // Port 80 has nothing else; the token is gone with the order.
    let ask = |path: &str| -> Result<String> {
        let url = format!("http://{http}{path}");
        let words = ["-s", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", &url];
        Ok(program::run(Command::new("curl").args(words), b"", Duration::from_secs(30))?.ok()?.text())
    };
    let web = &server.ready().web;
    ensure!(ask("/signin?x=1")? == format!("308 {web}/signin?x=1"), "{}", ask("/signin?x=1")?);
    ensure!(ask("/.well-known/acme-challenge/abc")?.starts_with("404"));

    // What can't be proved is told, with what the ACME server says.
    let told = until(|| {
        let text = server.run(&["check"], "")?.text();
        Ok(text.contains("no certificate could be had for nowhere.clinic.test in 1 tries").then_some(text))
    })?;
    ensure!(told.contains("the ordered certificate for mail.clinic.test is valid for"), "{told}");
    let log = server.run(&["log", "--server", "--verb", "certificate"], "")?.ok()?.text();
    ensure!(log.matches(" done ").count() == 2 && log.matches(" failed ").count() == 1, "{log}");

    // A restart orders nothing again, and the proof covers what is kept.
    ensure!(server.stop()?.success());
    let orders = |pebble: &Pebble| pebble.log().matches("Issued certificate serial").count();
    let before = orders(&pebble);
    ensure!(before == 2, "{before}: {}", pebble.log());
    server.run(&["audit", "verify"], "")?.ok()?;
    server.start_again()?;
    for (name, first) in names.iter().zip(&first) {
        let again = until(|| Ok(Some(shown(&server, name, &root)?).filter(|t| t.contains(VERIFIED))))?;
        ensure!(serial(&again)? == *first, "another certificate for {name}");
    }
    ensure!(orders(&pebble) == before, "{}", pebble.log());
    Ok(())
}

#[test]
fn without_port_80_the_proof_is_on_port_443() -> Result<()> {
    let mut server = Server::start(env!("CARGO_BIN_EXE_sealpost"))?;
    ensure!(server.stop()?.success());
    let tls = server.ready().config.with_file_name("tls");
    let (certificate, key) =
        (fs::read_to_string(tls.join("cert.pem"))?, fs::read_to_string(tls.join("key.pem"))?);
    let https = server.listener("https")?.port();
    let pebble = Pebble::start(1, https, &["mail.clinic.test"], &certificate, &key)?;
    let acme = format!(
        "acme = {{ directory = \"{}\", extra_ca = \"tls/ca.pem\", names = [\"mail.clinic.test\"] }}",
        pebble.directory(),
    );
    change(&server, "", &acme)?;
    server.start_again()?;
    let root = server.folder().join("root.pem");
    fs::write(&root, pebble.root(server.trust())?)?;
    let ordered =
        until(|| Ok(Some(shown(&server, "mail.clinic.test", &root)?).filter(|t| t.contains(VERIFIED))));
    ordered.with_context(|| format!("{}\n{}", server.log(), pebble.log()))?;
    Ok(())
}
