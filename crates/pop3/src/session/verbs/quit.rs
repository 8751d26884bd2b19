//! QUIT (RFC 1939 sections 5 and 6): the one place where something is deleted.

use sealpost_mailbox::FlagOp;
use sealpost_model::Flags;

use super::{Halt, Session, State};
use crate::session::End;

pub(super) async fn quit(s: &mut Session) -> Result<(), Halt> {
    if let State::Person(person) = &s.state {
        let mailboxes = &s.services.mailboxes;
        let (caller, folder) = (&person.caller, person.maildrop.folder);
        let doomed = person.maildrop.doomed();
        if !doomed.is_empty()
            && let Err(error) = mailboxes.delete(caller, folder, &doomed).await
        {
            tracing::warn!(%error, "messages can't be deleted at QUIT");
            s.stream.write(b"-ERR [SYS/TEMP] Some messages could not be deleted\r\n").await?;
            return Err(End::Quit.into());
        }
        let read = person.maildrop.read();
        if !read.is_empty() && caller.access.may_write() {
            // That a message was read is a convenience for other programs: it spoils no QUIT.
            let marked = mailboxes.store_flags(caller, folder, &read, FlagOp::Add, Flags::SEEN, None).await;
            if let Err(error) = marked {
                tracing::warn!(%error, "messages can't be marked as read");
            }
        }
    }
    s.ok("Good bye").await?;
    Err(End::Quit.into())
}
