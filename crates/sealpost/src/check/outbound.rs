//! How mail leaves: routes, and certificates that are trusted beside the public ones.

use sealpost_smtp::client::Route;

use super::{Findings, Scene};

pub(super) fn check(scene: &Scene<'_>, found: &mut Findings) {
    let config = scene.config;
    for (domain, host) in &config.outbound.routes {
        if let Err(why) = Route::parse(host) {
            found.fail(
                "outbound",
                format!("[outbound.routes] {domain}: {why}"),
                "give \"host:port\" as in mx.partner.example:25",
            );
        }
        if sealpost_model::Domain::parse(domain).is_err() {
            found.fail(
                "outbound",
                format!("[outbound.routes] {domain:?} is not a domain"),
                "give one such as partner.example",
            );
        }
    }
    if let Some(path) = &config.outbound.extra_ca {
        let name = path.display();
        let read = std::fs::read(path).map_err(|e| e.to_string());
        match read.and_then(|pem| sealpost_net::trust_from_pem(&pem).map_err(|e| e.to_string())) {
            Ok(_) => found.ok("outbound", format!("{name} is trusted beside the public authorities")),
            Err(why) => found.fail(
                "outbound",
                format!("[outbound] extra_ca {name} can't be used: {why}"),
                "name a PEM file, or leave the key out",
            ),
        }
    }
}
