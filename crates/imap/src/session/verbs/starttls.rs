//! STARTTLS (RFC 9051 section 6.2.1).

use crate::session::reply::{End, Halt, Reply};
use crate::session::{Link, Session};

pub(super) fn starttls(s: &mut Session) -> Result<Reply, Halt> {
    if s.link.stream.tls().is_some() {
        return Ok(Reply::bad("The connection is encrypted already"));
    }
    if !s.link.stream.can_upgrade() {
        return Err(Reply::bad("This port has no TLS").into());
    }
    Ok(Reply::ok("Begin TLS now"))
}

/// Sends the answer and shakes hands. What was sent ahead of the handshake ends the connection (RFC 9051 section
/// 11.1).
pub(in crate::session) async fn begin(s: &mut Session) -> Result<(), End> {
    let Link { stream, framer, .. } = &s.link;
    if stream.tls().is_some() {
        return Ok(());
    }
    if framer.has_input() {
        return Err(End::Closed);
    }
    s.link.flush().await?;
    s.link.stream.upgrade().await.map_err(|error| {
        tracing::debug!(%error, "STARTTLS failed");
        End::Closed
    })?;
    s.link.framer.forget();
    Ok(())
}
