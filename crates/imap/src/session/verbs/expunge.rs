//! EXPUNGE and UID EXPUNGE (RFC 9051 sections 6.4.3 and 6.4.9).

use super::{selected, writable};
use crate::codec::SequenceSet;
use crate::session::Session;
use crate::session::reply::{Halt, Reply};

/// Removes what is marked `\Deleted`, of `uids` or of all. The news at the command's end say which.
pub(super) async fn expunge(s: &mut Session, uids: Option<&SequenceSet>) -> Result<Reply, Halt> {
    let (person, _, services) = selected(s)?;
    let Some(folder) = &mut person.selected else { return Ok(Reply::ok("EXPUNGE completed")) };
    writable(folder)?;
    let wanted: Option<Vec<u32>> = match uids {
        None => None,
        Some(set) => {
            let positions = folder.positions(set, true).map_err(Reply::bad)?;
            Some(positions.into_iter().filter_map(|at| folder.entry(at)).map(|entry| entry.uid).collect())
        }
    };
    if wanted.as_ref().is_none_or(|uids| !uids.is_empty()) {
        services.mailboxes.expunge(&person.caller, folder.folder, wanted.as_deref()).await?;
    }
    person.stale = true;
    Ok(Reply::ok("EXPUNGE completed"))
}
