//! CLOSE (RFC 9051 section 6.4.1) and UNSELECT (RFC 3691).

use super::selected;
use crate::session::Session;
use crate::session::reply::{Halt, Reply};

/// Removes what is marked `\Deleted`, without saying EXPUNGE, and closes the folder.
pub(super) async fn close(s: &mut Session) -> Result<Reply, Halt> {
    let (person, _, services) = selected(s)?;
    let Some(folder) = person.selected.take() else { return Ok(Reply::ok("CLOSE completed")) };
    if !folder.read_only {
        services.mailboxes.expunge(&person.caller, folder.folder, None).await?;
    }
    Ok(Reply::ok("CLOSE completed"))
}

/// Closes the folder and leaves everything in it.
pub(super) fn unselect(s: &mut Session) -> Result<Reply, Halt> {
    let (person, ..) = selected(s)?;
    person.selected = None;
    Ok(Reply::ok("UNSELECT completed"))
}
