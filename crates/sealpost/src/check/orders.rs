//! Certificates from an ACME server: that each name has one, and what stands in the way of those that have none.

use anyhow::Result;
use sealpost_model::Time;

use super::{Findings, Scene, certificate};
use crate::certificates::files;
use crate::certificates::orders::{Orders, renewal};
use crate::instance::{Opened, system_clock};

pub(super) async fn check(scene: &Scene<'_>, opened: &Opened, found: &mut Findings) -> Result<()> {
    if scene.config.tls.acme.is_none() {
        return Ok(());
    }
    let shelf = Orders::shelf(&opened.store, &opened.keys);
    let (stored, failures) = (shelf.certificates().await?, shelf.failures().await?);
    let of_files = files::load(&scene.config.tls).unwrap_or_default();
    let now = system_clock().now();
    for name in scene.config.host_names().iter().filter(|n| !of_files.iter().any(|c| c.names(n))) {
        let have = stored.iter().find(|s| s.name == *name).and_then(|s| s.certificate().ok());
        if let Some(certificate) = &have {
            certificate::time(&format!("the ordered certificate for {name}"), certificate, found);
        }
        let failed = failures.iter().find(|f| f.name == *name);
        let due = have.as_ref().and_then(renewal).is_none_or(|at| now >= at);
        match (failed, &have) {
            (Some(failed), have) if due => {
                let at = Time::from_seconds(failed.next).rfc3339();
                let what = format!(
                    "no certificate could be had for {name} in {} tries: {}",
                    failed.tries, failed.why
                );
                let to_do = format!(
                    "make {name} reach this server's port 80 or 443 from outside, or put that right; it is tried again at {at}"
                );
                if have.is_some() {
                    found.warn("certificate", what, to_do);
                } else {
                    found.fail("certificate", what, to_do);
                }
            }
            (_, None) => {
                let to_do = if scene.running { "wait a minute and look again" } else { "start the server" };
                found.warn("certificate", format!("no certificate for {name} has been ordered yet"), to_do);
            }
            _ => {}
        }
    }
    Ok(())
}
