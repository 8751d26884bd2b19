//! The name servers of `[dns]`.

use std::time::Duration;

use sealpost_net::dns;

use super::{Findings, Scene};

/// How long a name server may take.
const PATIENCE: Duration = Duration::from_secs(6);

pub(super) async fn check(scene: &Scene<'_>, found: &mut Findings) {
    for server in &scene.config.dns.servers {
        let asked = async {
            let resolver = dns::Hickory::new(&[*server]).map_err(|e| e.to_string())?;
            let host = sealpost_model::Domain::parse("example.com").map_err(|e| e.to_string())?;
            dns::Resolver::mx(&resolver, host.as_str()).await.map(drop).map_err(|e| e.to_string())
        };
        let todo = "change [dns] servers";
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(())) => found.ok("dns", format!("the name server {server} answers")),
            Ok(Err(why)) => {
                found.fail("dns", format!("the name server {server} does not help ({why})"), todo);
            }
            Err(_) => found.fail("dns", format!("the name server {server} does not answer"), todo),
        }
    }
}
