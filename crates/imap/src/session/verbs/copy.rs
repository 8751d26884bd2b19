//! COPY (RFC 9051 section 6.4.7) and MOVE (RFC 6851) with COPYUID (RFC 4315).

use super::folders::target;
use super::{selected, writable};
use crate::codec::SequenceSet;
use crate::codec::sequence::print_numbers;
use crate::session::Session;
use crate::session::reply::{Halt, Reply};

pub(super) async fn copy(
    s: &mut Session,
    uid: bool,
    set: &SequenceSet,
    to: &str,
    moves: bool,
) -> Result<Reply, Halt> {
    let (person, link, services) = selected(s)?;
    let Some(folder) = &person.selected else { return Ok(Reply::ok("Nothing is open")) };
    if moves {
        writable(folder)?;
    }
    let positions = folder.positions(set, uid).map_err(Reply::bad)?;
    let uids: Vec<u32> = positions.into_iter().filter_map(|at| folder.entry(at)).map(|e| e.uid).collect();
    let to = target(&services.mailboxes, &person.caller, to).await?;
    if moves && to.id == folder.folder {
        return Err(Reply::no("CANNOT", "The messages are in that folder already").into());
    }
    let word = if moves { "MOVE completed" } else { "COPY completed" };
    if uids.is_empty() {
        return Ok(Reply::ok(word));
    }
    let from = folder.folder;
    let (validity, mut pairs) = if moves {
        services.mailboxes.move_(&person.caller, from, &uids, to.id).await?
    } else {
        services.mailboxes.copy(&person.caller, from, &uids, to.id).await?
    };
    person.stale = true;
    if pairs.is_empty() {
        return Err(Reply::no("EXPUNGEISSUED", "The messages are no longer there").into());
    }
    pairs.sort_unstable();
    let old = print_numbers(pairs.iter().map(|&(old, _)| old));
    let new = print_numbers(pairs.iter().map(|&(_, new)| new));
    let code = format!("COPYUID {validity} {old} {new}");
    if moves {
        // RFC 6851 section 4.3: before the EXPUNGE responses, which are the news at the command's end
        link.w.untagged(format!("OK [{code}] Moved"));
        return Ok(Reply::ok(word));
    }
    Ok(Reply::ok(word).code(code))
}
