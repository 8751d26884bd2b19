//! ID (RFC 2971): who we are, without a version that would help an attacker.

use crate::session::Session;
use crate::session::reply::Reply;

pub(super) fn id(s: &mut Session) -> Reply {
    s.link.w.untagged("ID (\"name\" \"Sealpost\")");
    Reply::ok("ID completed")
}
