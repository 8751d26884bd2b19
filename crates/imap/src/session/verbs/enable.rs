//! ENABLE (RFC 5161). CONDSTORE is all there is to enable.

use crate::session::Session;
use crate::session::reply::{Halt, Reply};

pub(super) fn enable(s: &mut Session, names: &[String]) -> Result<Reply, Halt> {
    s.person()?;
    if names.iter().any(|name| name == "CONDSTORE") {
        s.condstore = true;
        s.link.w.untagged("ENABLED CONDSTORE");
    } else {
        s.link.w.untagged("ENABLED");
    }
    Ok(Reply::ok("ENABLE completed"))
}
