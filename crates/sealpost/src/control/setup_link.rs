//! `sealpost user setup-link`: another link for somebody who has not used theirs.
//!
//! Nobody has ever signed in by such a link, so that whoever runs the host may make the next: the one that `init` printed
//! lives for an hour. A password that its person has set is never replaced this way.

use anyhow::{Result, bail};
use sealpost_identity::LINK_LIFE;
use serde_json::json;

use super::{Peer, Reply, done, person};
use crate::instance::Instance;

pub(super) async fn answer(instance: &Instance, peer: &Peer, address: &str) -> Result<Reply> {
    let person = person(instance, peer, address).await?;
    if !instance.identity.has_unused_setup_link(person).await? {
        bail!(
            "{address} has set a password already, or never had a link; a new password is set with `sealpost user password`"
        );
    }
    let token = instance.identity.new_setup_link(person, &peer.caller).await?;
    let link = format!("{}/signin/setup/{}", instance.mail_url, token.expose());
    let minutes = LINK_LIFE.as_secs() / 60;
    Ok(done(
        json!({"address": address, "link": link, "minutes": minutes}),
        format!("{link}\nIt works once, for {minutes} minutes, and sets the password of {address}.\n"),
    ))
}
