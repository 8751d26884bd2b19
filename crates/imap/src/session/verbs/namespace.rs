//! NAMESPACE (RFC 2342): one, of one's own.

use crate::session::Session;
use crate::session::reply::{Halt, Reply};

pub(super) fn namespace(s: &mut Session) -> Result<Reply, Halt> {
    s.person()?;
    s.link.w.untagged("NAMESPACE ((\"\" \"/\")) NIL NIL");
    Ok(Reply::ok("NAMESPACE completed"))
}
