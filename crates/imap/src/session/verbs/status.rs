//! STATUS (RFC 9051 section 6.3.11, RFC 7162, RFC 7889).

use sealpost_mailbox::{Error, Folder};

use crate::codec::Writer;
use crate::codec::command::StatusItem;
use crate::session::Session;
use crate::session::place::find;
use crate::session::reply::{Halt, Reply};

pub(super) async fn status(s: &mut Session, name: &str, items: &[StatusItem]) -> Result<Reply, Halt> {
    let folder = find(s, name).await?.1.ok_or(Error::NoFolder)?;
    s.condstore |= items.contains(&StatusItem::HighestModSeq);
    write(&mut s.link.w, &folder, items, s.services.largest_message);
    Ok(Reply::ok("STATUS completed"))
}

/// Writes a folder's STATUS.
pub(super) fn write(w: &mut Writer, folder: &Folder, items: &[StatusItem], largest: u64) {
    w.raw("* STATUS ").folder(&folder.name).raw(" (");
    for (at, item) in items.iter().enumerate() {
        w.raw(if at > 0 { " " } else { "" }).raw(item.word()).raw(" ");
        w.number(match item {
            StatusItem::Messages => u64::from(folder.messages),
            StatusItem::Recent => 0,
            StatusItem::UidNext => u64::from(folder.uidnext),
            StatusItem::UidValidity => u64::from(folder.uidvalidity),
            StatusItem::Unseen => u64::from(folder.unseen),
            StatusItem::HighestModSeq => folder.modseq.unsigned_abs(),
            StatusItem::AppendLimit => largest,
        });
    }
    w.raw(")\r\n");
}
