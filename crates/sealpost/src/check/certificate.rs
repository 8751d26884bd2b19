//! The server's certificates in files: that each belongs to its key, names our hosts, is valid today, and that those who
//! connect have a chain to an authority that they know.

use sealpost_model::Time;
use sealpost_net::{ServerCertificate, TlsClient, Unverified, trust_from_pem};

use super::{Findings, Scene};
use crate::certificates::files;
use crate::instance::system_clock;

/// Days before its end from which a certificate is worth a word.
const SOON: u64 = 14;

pub(super) fn check(scene: &Scene<'_>, found: &mut Findings) {
    let config = scene.config;
    let pairs = match files::pairs(&config.tls) {
        Ok(pairs) => pairs,
        Err(error) => return found.broken("certificate", &error),
    };
    let mut loaded = Vec::new();
    for pair in &pairs {
        match ServerCertificate::load(&pair.certificate, &pair.key) {
            Ok(certificate) => loaded.push((pair.certificate.display().to_string(), certificate)),
            Err(error) => found.broken("certificate", &error.into()),
        }
    }
    if loaded.len() < pairs.len() {
        return;
    }
    let hosts = config.host_names();
    let missing: Vec<&str> =
        hosts.iter().map(String::as_str).filter(|host| !loaded.iter().any(|(_, c)| c.names(host))).collect();
    let all: Vec<&str> = loaded.iter().map(|(file, _)| file.as_str()).collect();
    let all = all.join(", ");
    match missing.join(", ") {
        none if none.is_empty() => {
            let hosts = hosts.join(", ");
            found.ok("certificate", format!("{all} and the key belong together, for {hosts}"));
        }
        // Said of what was ordered.
        _ if config.tls.acme.is_some() => {}
        names => found.fail(
            "certificate",
            format!("{all} is not valid for {names}"),
            "get one that names it, or let an ACME server issue it ([tls.acme])",
        ),
    }
    for (file, certificate) in &loaded {
        time(file, certificate, found);
        chain(scene, file, certificate, found);
    }
}

/// Says until when a certificate is valid.
pub(super) fn time(what: &str, certificate: &ServerCertificate, found: &mut Findings) {
    let now = system_clock().now();
    let day = |time: Time| time.rfc3339().chars().take(10).collect::<String>();
    match certificate.validity() {
        None => {
            found.fail("certificate", format!("{what} does not say until when it is valid"), "get another");
        }
        Some((from, _)) if now < from => {
            found.fail(
                "certificate",
                format!("{what} is valid from {} on", day(from)),
                "look at this machine's clock",
            );
        }
        Some((_, until)) if now >= until => {
            found.fail("certificate", format!("{what} was valid until {}", day(until)), "renew it");
        }
        Some((from, until)) => {
            let days = until.since(now).as_secs() / 86_400;
            let text = format!("{what} is valid for {days} more days, until {}", day(until));
            // One that lives for less than two months is renewed in its last third.
            let soon = (until.since(from).as_secs() / 86_400 / 4).min(SOON);
            if days < soon {
                found.warn("certificate", text, "renew it now");
            } else {
                found.ok("certificate", text);
            }
        }
    }
}

/// Whether others can verify it: its time and its names have been looked at.
fn chain(scene: &Scene<'_>, file: &str, certificate: &ServerCertificate, found: &mut Findings) {
    let config = scene.config;
    let extra = config.outbound.extra_ca.as_ref().and_then(|path| std::fs::read(path).ok());
    let extra = extra.and_then(|pem| trust_from_pem(&pem).ok()).unwrap_or_default();
    let Ok(trust) = TlsClient::new(&extra, &system_clock()) else { return };
    match trust.verify(certificate) {
        Ok(()) => found.ok("certificate", format!("{file} comes with a chain that others can verify")),
        Err(Unverified::UnknownIssuer | Unverified::Invalid) => {
            let what = format!("{file} does not lead to an authority that mail programs and browsers know");
            let to_do = "if an authority of your own made it, make them trust it; else put its intermediate certificates behind it in the file";
            found.warn("certificate", what, to_do);
        }
        Err(_) => {}
    }
}
