//! NAMESPACE (RFC 2342): one's own, other people's mailboxes, and those that are nobody's.

use crate::session::Session;
use crate::session::place::{OTHERS, SHARED};
use crate::session::reply::{Halt, Reply};

pub(super) fn namespace(s: &mut Session) -> Result<Reply, Halt> {
    s.person()?;
    s.link.w.untagged(format!("NAMESPACE ((\"\" \"/\")) ((\"{OTHERS}/\" \"/\")) ((\"{SHARED}/\" \"/\"))"));
    Ok(Reply::ok("NAMESPACE completed"))
}
