//! MYRIGHTS (RFC 4314 section 3.5). Rights are given by administrators, so the commands that change them are not here, and
//! the capability ACL, which promises them, is not said.

use crate::session::Session;
use crate::session::place;
use crate::session::reply::{Halt, Reply};

pub(super) async fn my_rights(s: &mut Session, name: &str) -> Result<Reply, Halt> {
    let (place, folder) = place::find(s, name).await?;
    let folder = folder.ok_or(sealpost_mailbox::Error::NoFolder)?;
    let rights = match (place.rights, place.caller.access.may_write()) {
        (None, _) => OWNER,
        (Some(_), true) => WRITE,
        (Some(_), false) => READ,
    };
    s.link.w.raw("* MYRIGHTS ").folder(&folder.name).raw(" ").raw(rights).end();
    Ok(Reply::ok("MYRIGHTS completed"))
}

/// Everything but changing rights.
const OWNER: &str = "lrswipkxte";
/// The same: who may write may file and delete.
const WRITE: &str = "lrswipkxte";
/// See the list, see the messages.
const READ: &str = "lr";
