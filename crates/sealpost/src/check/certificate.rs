//! The server's certificate: that it belongs to its key, names our hosts, and is valid today.

use sealpost_model::Time;
use sealpost_net::ServerCertificate;

use super::{Findings, Scene};
use crate::instance::system_clock;

/// Days before its end from which a certificate is worth a word.
const SOON: u64 = 14;

pub(super) fn check(scene: &Scene<'_>, found: &mut Findings) {
    let config = scene.config;
    let loaded = match ServerCertificate::load(&config.tls.certificate, &config.tls.key) {
        Ok(loaded) => loaded,
        Err(error) => return found.broken("certificate", &error.into()),
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
        found.fail("certificate", format!("{file} is not valid for {names}"), "get one that names it");
    }
    let now = system_clock().now();
    let day = |time: Time| time.rfc3339().chars().take(10).collect::<String>();
    match loaded.validity() {
        None => {
            found.fail("certificate", format!("{file} does not say until when it is valid"), "get another");
        }
        Some((from, _)) if now < from => {
            found.fail(
                "certificate",
                format!("{file} is valid from {} on", day(from)),
                "look at this machine's clock",
            );
        }
        Some((_, until)) if now >= until => {
            found.fail("certificate", format!("{file} was valid until {}", day(until)), "renew it");
        }
        Some((_, until)) => {
            let days = until.since(now).as_secs() / 86_400;
            let what = format!("{file} is valid for {days} more days, until {}", day(until));
            if days < SOON {
                found.warn("certificate", what, "renew it now");
            } else {
                found.ok("certificate", what);
            }
        }
    }
}
