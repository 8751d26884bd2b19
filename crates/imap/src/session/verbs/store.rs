//! STORE (RFC 9051 section 6.4.6) with UNCHANGEDSINCE (RFC 7162 section 3.1.3).

use std::collections::HashSet;

use sealpost_mailbox::{Caller, FlagOp, Mailboxes};
use sealpost_model::Flags;

use super::{selected, writable};
use crate::codec::SequenceSet;
use crate::codec::command::{Flag, FlagChange};
use crate::codec::sequence::print_numbers;
use crate::session::Session;
use crate::session::flags::{Keywords, named};
use crate::session::news::{flags_of, learn};
use crate::session::reply::{Halt, Reply};

/// What STORE is asked.
pub(super) struct Asked<'a> {
    pub uid: bool,
    pub set: &'a SequenceSet,
    pub unchanged_since: Option<u64>,
    pub change: FlagChange,
    pub silent: bool,
    pub flags: &'a [Flag],
}

pub(super) async fn store(s: &mut Session, asked: Asked<'_>) -> Result<Reply, Halt> {
    s.condstore |= asked.unchanged_since.is_some();
    let condstore = s.condstore;
    let (person, link, services) = selected(s)?;
    let Some(folder) = &mut person.selected else { return Ok(Reply::ok("Nothing is open")) };
    writable(folder)?;
    let positions = folder.positions(asked.set, asked.uid).map_err(Reply::bad)?;
    let uids: Vec<u32> = positions.into_iter().filter_map(|at| folder.entry(at)).map(|e| e.uid).collect();
    let (mailboxes, caller) = (&services.mailboxes, &person.caller);
    let make = asked.change != FlagChange::Remove;
    let flags = bits(mailboxes, caller, &folder.keywords, asked.flags, make).await?;
    if uids.is_empty() {
        return Ok(Reply::ok("STORE completed"));
    }
    let op = match asked.change {
        FlagChange::Replace => FlagOp::Replace,
        FlagChange::Add => FlagOp::Add,
        FlagChange::Remove => FlagOp::Remove,
    };
    let since = asked.unchanged_since.map(|since| i64::try_from(since).unwrap_or(i64::MAX));
    let stored = mailboxes.store_flags(caller, folder.folder, &uids, op, flags, since).await?;
    person.stale = true;

    let all = stored.iter().fold(Flags::NONE, |all, entry| all.with(entry.flags));
    learn(mailboxes, caller, folder, all, &mut link.w).await;
    for entry in &stored {
        folder.update(entry, condstore);
        let Some(position) = folder.position(entry.uid) else { continue };
        if !asked.silent {
            flags_of(&mut link.w, folder, position, condstore);
        } else if condstore {
            // RFC 7162 section 3.1.3: the new MODSEQ is told even where flags are not
            link.w.raw("* ").number(position as u64 + 1).raw(" FETCH (UID ").number(entry.uid);
            link.w.raw(" MODSEQ (").number(entry.modseq.unsigned_abs()).raw("))\r\n");
        }
        link.spill().await?;
    }
    if since.is_none() || stored.len() == uids.len() {
        return Ok(Reply::ok("STORE completed"));
    }
    let done: HashSet<u32> = stored.iter().map(|entry| entry.uid).collect();
    let left = uids.iter().filter(|uid| !done.contains(uid));
    let left = if asked.uid {
        print_numbers(left.copied())
    } else {
        let numbers = left.filter_map(|&uid| folder.position(uid));
        print_numbers(numbers.filter_map(|at| u32::try_from(at + 1).ok()))
    };
    Ok(Reply::ok("Some messages were changed by another program").code(format!("MODIFIED {left}")))
}

/// The bits of flags that a client names. New keywords are made if `make` is set; what cannot be set is passed over.
pub(super) async fn bits(
    mailboxes: &Mailboxes,
    caller: &Caller,
    keywords: &Keywords,
    flags: &[Flag],
    make: bool,
) -> Result<Flags, Halt> {
    let mut all = Flags::NONE;
    for flag in flags {
        all = match (keywords.flag(flag), flag) {
            (Some(bit), _) => all.with(bit),
            (None, Flag::Keyword(name)) if make && named(name).is_none() => {
                let bit = mailboxes.keyword(caller, name).await?;
                all.with(Flags::keyword(bit).unwrap_or_default())
            }
            (None, _) => all,
        };
    }
    Ok(all)
}
