//! Tells the client what others did to its open folder (RFC 9051 section 5.2).

use sealpost_mailbox::{Error, Mailboxes};
use sealpost_model::Flags;

use super::reply::End;
use super::{Session, selected::Selected};
use crate::codec::Writer;

/// Writes what is new: changed flags, EXPUNGE where it may be said, EXISTS.
pub(super) async fn tell(s: &mut Session, may_expunge: bool) -> Result<(), End> {
    let Some(person) = &mut s.person else { return Ok(()) };
    super::place::still_open(&s.services.identity, person).await?;
    let Some(selected) = &mut person.selected else { return Ok(()) };
    let mut more = false;
    if person.watch.is_due() || person.stale {
        if person.watch.is_due() {
            person.watch.changed().await;
        }
        person.stale = false;
        let mailboxes = &s.services.mailboxes;
        match mailboxes.changes(&person.caller, selected.folder, selected.modseq).await {
            Ok(changes) => {
                let news = selected.take(&changes, s.condstore);
                more = news.more;
                let flags = changes.changed.iter().fold(Flags::NONE, |all, entry| all.with(entry.flags));
                learn(mailboxes, &person.caller, selected, flags, &mut s.link.w).await;
                for position in news.changed {
                    flags_of(&mut s.link.w, selected, position, s.condstore);
                    s.link.spill().await?;
                }
            }
            Err(Error::NoFolder) => return Err(End::FolderGone),
            // The command itself went well; the next one looks again.
            Err(error) => {
                tracing::warn!(%error, "can't read a folder's changes");
                person.stale = true;
            }
        }
    }
    if may_expunge {
        selected.expunge(&mut s.link.w);
    }
    if more {
        s.link.w.raw("* ").number(selected.entries.len() as u64).raw(" EXISTS\r\n");
    }
    Ok(())
}

/// Reads the account's keywords again if `flags` hold one that is not known, and says FLAGS anew.
pub(super) async fn learn(
    mailboxes: &Mailboxes,
    caller: &sealpost_mailbox::Caller,
    selected: &mut Selected,
    flags: Flags,
    w: &mut Writer,
) {
    if selected.keywords.knows(flags) {
        return;
    }
    match mailboxes.keywords(caller).await {
        Ok(keywords) => {
            selected.keywords.0 = keywords;
            w.raw("* FLAGS ");
            selected.keywords.write_all(w);
            w.end();
        }
        Err(error) => tracing::warn!(%error, "can't read an account's keywords"),
    }
}

/// Says the flags of the message at `position`.
pub(super) fn flags_of(w: &mut Writer, selected: &Selected, position: usize, condstore: bool) {
    let Some(entry) = selected.entry(position) else { return };
    w.raw("* ").number(position as u64 + 1).raw(" FETCH (UID ").number(entry.uid).raw(" FLAGS ");
    selected.keywords.write(w, entry.flags);
    if condstore {
        w.raw(" MODSEQ (").number(entry.modseq.unsigned_abs()).raw(")");
    }
    w.raw(")\r\n");
}
