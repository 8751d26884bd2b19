//! SELECT and EXAMINE (RFC 9051 sections 6.3.2 and 6.3.3, RFC 7162).

use sealpost_mailbox::Error;
use sealpost_model::Flags;

use crate::session::flags::Keywords;
use crate::session::place::find;
use crate::session::reply::{Halt, Reply};
use crate::session::{Selected, Session};

pub(super) async fn select(
    s: &mut Session,
    name: &str,
    examine: bool,
    condstore: bool,
) -> Result<Reply, Halt> {
    let person = s.person()?;
    // Whatever comes of it, the folder that was open is closed.
    person.selected = None;
    s.condstore |= condstore;
    let (place, folder) = find(s, name).await?;
    let (caller, folder) = (place.caller, folder.ok_or(Error::NoFolder)?);
    let mailboxes = &s.services.mailboxes;
    let watch = mailboxes.watch(caller.access.target());
    let view = mailboxes.open(&caller, folder.id).await?;
    let keywords = Keywords(mailboxes.keywords(&caller).await?);
    let read_only = examine || !caller.access.may_write();
    let next = view.entries.last().map_or(view.folder.uidnext, |last| view.folder.uidnext.max(last.uid + 1));
    let modseq = view.folder.modseq;

    let w = &mut s.link.w;
    w.raw("* FLAGS ");
    keywords.write_all(w);
    w.raw("\r\n* ").number(view.entries.len() as u64).raw(" EXISTS\r\n* 0 RECENT\r\n");
    if let Some(first) = view.entries.iter().position(|entry| !entry.flags.contains(Flags::SEEN)) {
        w.raw("* OK [UNSEEN ").number(first as u64 + 1).raw("] The first unseen message\r\n");
    }
    w.raw("* OK [PERMANENTFLAGS ");
    if read_only {
        w.raw("()");
    } else {
        keywords.write_permanent(w);
    }
    w.raw("] Flags that are kept\r\n* OK [UIDNEXT ").number(next).raw("] The next UID\r\n");
    w.raw("* OK [UIDVALIDITY ").number(view.folder.uidvalidity).raw("] UIDs hold\r\n");
    w.raw("* OK [HIGHESTMODSEQ ").number(modseq.unsigned_abs()).raw("] The last change\r\n");

    let person = s.person()?;
    if caller.access.target() != person.caller.access.target() {
        person.watch = watch;
    }
    person.caller = caller;
    let own = caller.access.target() == person.own.access.target();
    s.link.opened((!own).then(|| (caller.access.target(), caller.access.right())));
    let person = s.person()?;
    person.selected = Some(Selected::new(view.folder.id, read_only, view.entries, modseq, keywords));
    // The entries were read in pages: what changed meanwhile is told at once.
    person.stale = person.watch.is_due();
    let reply = Reply::ok(if examine { "EXAMINE completed" } else { "SELECT completed" });
    Ok(reply.code(if read_only { "READ-ONLY" } else { "READ-WRITE" }))
}
