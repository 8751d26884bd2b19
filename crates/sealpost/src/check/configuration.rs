//! The names that this server says it has.

use super::{Findings, Scene};

pub(super) fn check(scene: &Scene<'_>, found: &mut Findings) {
    let config = scene.config;
    let host = &config.server.hostname;
    let local = config.listen.all().iter().all(|(_, list)| list.iter().all(|a| a.ip().is_loopback()));
    if sealpost_model::Domain::parse(host).is_err() {
        found.fail(
            "hostname",
            format!("[server] hostname {host:?} is not a host name"),
            "give the full name of this server",
        );
    } else if !host.contains('.') && !local {
        found.fail(
            "hostname",
            format!("[server] hostname {host:?} is not a full name, and other servers refuse mail from it"),
            "give one such as mail.clinic.example",
        );
    } else {
        found.ok("hostname", format!("{host} is a host name"));
    }
    let (mail, portal) = (config.web.mail.as_deref(), config.web.portal.as_deref());
    match sealpost_web::Hosts::new(&config.server.public_url, mail, portal) {
        Ok(_) => found.ok("public_url", format!("{} can be linked to", config.server.public_url)),
        Err(error) => found.fail(
            "public_url",
            format!("[server] public_url or [web] can't be used: {error}"),
            "give https:// and a host name",
        ),
    }
}
