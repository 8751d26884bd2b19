//! The door: what the protocol needs, and the loop that opens sessions.

use std::sync::Arc;

use sealpost_identity::Identity;
use sealpost_mailbox::Mailboxes;
use sealpost_net::{Listener, Stop, Stream};

use crate::session::Session;

/// What sessions work with.
pub struct Services {
    /// Who may sign in.
    pub identity: Identity,
    /// The mail service.
    pub mailboxes: Mailboxes,
}

/// Serves POP3 on a listener until `stop`.
pub async fn serve(listener: Listener, services: Arc<Services>, stop: Stop) {
    let listener = listener.busy(b"-ERR [SYS/TEMP] There are too many connections; try again later\r\n");
    listener.serve(stop, move |stream, stop| session(stream, Arc::clone(&services), stop)).await;
}

/// Serves one connection to its end.
pub async fn session(stream: Stream, services: Arc<Services>, stop: Stop) {
    Session::new(stream, services, stop).run().await;
}
