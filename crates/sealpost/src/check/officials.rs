//! Who answers for security (S108): a named person and a second one, both with a contact outside of this server.

use anyhow::Result;

use super::{Findings, Scene};
use crate::instance::Opened;

pub(super) async fn check(_: &Scene<'_>, opened: &Opened, found: &mut Findings) -> Result<()> {
    let named = sealpost_identity::officials(&opened.store, &opened.keys).await?;
    for (tenant, officials) in named {
        let active = officials.iter().filter(|o| o.active).count();
        match (officials.len(), active) {
            (2.., 2..) => found.ok("official", "a security official and a second one are named, with contacts"),
            (2.., _) => found.fail(
                "official",
                format!("organisation {tenant} has named people who may no longer act for security"),
                "name others with `sealpost role official`",
            ),
            _ => found.fail(
                "official",
                format!("organisation {tenant} has not named a security official and a second one (45 CFR 164.308(a)(2))"),
                "name them with `sealpost role official`",
            ),
        }
    }
    Ok(())
}
