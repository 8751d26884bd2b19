//! COPY (RFC 9051 section 6.4.7) and MOVE (RFC 6851) with COPYUID (RFC 4315).

use sealpost_mailbox::{Caller, Entry, FlagOp};
use sealpost_model::{Flags, FolderId, TenantId};

use super::{selected, writable};
use crate::codec::SequenceSet;
use crate::codec::sequence::print_numbers;
use crate::serve::Services;
use crate::session::Session;
use crate::session::place::target;
use crate::session::reply::{Halt, Reply};

pub(super) async fn copy(
    s: &mut Session,
    uid: bool,
    set: &SequenceSet,
    to: &str,
    moves: bool,
) -> Result<Reply, Halt> {
    selected(s)?;
    let (place, to) = target(s, to).await?;
    let (person, link, services) = selected(s)?;
    let Some(folder) = &person.selected else { return Ok(Reply::ok("Nothing is open")) };
    if moves {
        writable(folder)?;
    }
    let positions = folder.positions(set, uid).map_err(Reply::bad)?;
    let uids: Vec<u32> = positions.into_iter().filter_map(|at| folder.entry(at)).map(|e| e.uid).collect();
    if moves && to.id == folder.folder {
        return Err(Reply::no("CANNOT", "The messages are in that folder already").into());
    }
    let word = if moves { "MOVE completed" } else { "COPY completed" };
    if uids.is_empty() {
        return Ok(Reply::ok(word));
    }
    let from = folder.folder;
    let across = place.caller.access.target() != person.caller.access.target();
    let (validity, mut pairs) = if across {
        let entries: Vec<Entry> = uids
            .iter()
            .filter_map(|uid| folder.position(*uid))
            .filter_map(|at| folder.entry(at))
            .copied()
            .collect();
        let way = Across { services, from: person.caller, folder: from, to: place.caller, into: to.id };
        way.copy(person.login.tenant, &entries, moves).await?
    } else if moves {
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

/// From one mailbox into another: each message is read, with its entry in the log, and put in anew under the other
/// mailbox's key. Keywords are a mailbox's own and stay behind.
struct Across<'a> {
    services: &'a Services,
    from: Caller,
    folder: FolderId,
    to: Caller,
    into: FolderId,
}

impl Across<'_> {
    async fn copy(
        &self,
        tenant: TenantId,
        entries: &[Entry],
        moves: bool,
    ) -> Result<(u32, Vec<(u32, u32)>), Halt> {
        const PIECE: u64 = 256 * 1024;
        let mailboxes = &self.services.mailboxes;
        let (mut validity, mut pairs) = (0, Vec::with_capacity(entries.len()));
        for entry in entries {
            let reader = mailboxes.reader(&self.from, entry.id).await?;
            let mut upload = mailboxes.upload(tenant, reader.len().max(1));
            let mut at = 0;
            while at < reader.len() {
                upload.write(&reader.read(at..at + PIECE).await?).await?;
                at += PIECE;
            }
            let flags = Flags::from_bits(entry.flags.bits() & SYSTEM.bits());
            let put = mailboxes.append(&self.to, self.into, upload, flags, Some(entry.received)).await?;
            validity = put.0;
            pairs.push((entry.uid, put.1));
        }
        if moves {
            let uids: Vec<u32> = entries.iter().map(|e| e.uid).collect();
            mailboxes.store_flags(&self.from, self.folder, &uids, FlagOp::Add, Flags::DELETED, None).await?;
            mailboxes.expunge(&self.from, self.folder, Some(&uids)).await?;
        }
        Ok((validity, pairs))
    }
}

/// Flags that go along.
const SYSTEM: Flags = Flags::from_bits(
    Flags::SEEN.bits()
        | Flags::ANSWERED.bits()
        | Flags::FLAGGED.bits()
        | Flags::DRAFT.bits()
        | Flags::FORWARDED.bits(),
);
