//! LOGOUT (RFC 9051 section 6.1.3), and the log entry of a session's end (S46).

use sealpost_identity::Identity;

use crate::session::reply::{End, Halt, Reply};
use crate::session::{Person, Session};

pub(super) fn logout(s: &mut Session) -> Result<Reply, Halt> {
    s.link.w.untagged("BYE Good bye");
    Err(End::Logout.into())
}

/// Writes down that the session is over and why.
pub(in crate::session) async fn log(identity: &Identity, person: &Person, end: End) {
    if let Err(error) = identity.logout(&person.login, &person.caller.client, end.name()).await {
        tracing::warn!(%error, "can't log the end of a session");
    }
}
