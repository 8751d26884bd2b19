//! STLS (RFC 2595 section 4), on a port that does not begin with TLS.

use super::{Halt, Session, State, no};
use crate::session::End;

pub(super) async fn stls(s: &mut Session) -> Result<(), Halt> {
    if s.stream.tls().is_some() {
        return Err(no("The connection is encrypted already"));
    }
    if !s.stream.can_upgrade() {
        return Err(no("This port has no TLS"));
    }
    s.ok("Begin TLS now").await?;
    // Sends the answer. Bytes that came ahead of the handshake end the connection.
    s.stream.upgrade().await.map_err(|error| {
        tracing::debug!(%error, "STLS failed");
        End::Closed
    })?;
    s.state = State::Stranger(None);
    Ok(())
}
