//! FETCH (RFC 9051 section 6.4.5): from the view where that is enough, from summaries where not, from the sealed body
//! only where bytes of it are asked for.

use std::ops::Range;

use sealpost_mailbox::{Caller, Error, FlagOp, Mailboxes, MessageReader, Summary};
use sealpost_message::{Section as Place, headers};
use sealpost_model::{EntryId, Flags};

use super::{Selected, head, selected};
use crate::codec::command::{BodyItem, FetchItem, Section, SectionText};
use crate::codec::date::print_date_time;
use crate::codec::{SequenceSet, Writer, body_name, structure};
use crate::session::news::learn;
use crate::session::reply::{End, Halt, Reply};
use crate::session::{Link, Session};

/// Messages that are looked at together.
const CHUNK: usize = 100;
/// Bytes that are read at a time: a chunk of a sealed body.
const PIECE: u64 = 256 * 1024;
/// Bytes of one message that are read ahead of its line, so that damage is noticed while an error can be said.
const AHEAD: u64 = 4 * PIECE;

/// How deep FETCH has to look.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Depth {
    View,
    Summary,
    Body,
}

impl Depth {
    fn of(item: &FetchItem) -> Self {
        match item {
            FetchItem::Body(_) => Self::Body,
            FetchItem::Envelope | FetchItem::Structure { .. } => Self::Summary,
            _ => Self::View,
        }
    }
}

/// A message's line in the making.
struct Line<'a> {
    position: usize,
    items: &'a [FetchItem],
    /// `\Seen` was set by this command, so its flags are told though nobody asked.
    tell_flags: bool,
}

pub(super) async fn fetch(
    s: &mut Session,
    uid: bool,
    set: &SequenceSet,
    mut items: Vec<FetchItem>,
    changed_since: Option<u64>,
) -> Result<Reply, Halt> {
    if changed_since.is_some() && !items.contains(&FetchItem::ModSeq) {
        items.push(FetchItem::ModSeq);
    }
    if uid && !items.contains(&FetchItem::Uid) {
        items.insert(0, FetchItem::Uid);
    }
    s.condstore |= items.contains(&FetchItem::ModSeq);
    let (person, link, services) = selected(s)?;
    let Some(folder) = &mut person.selected else { return Ok(Reply::ok("Nothing is open")) };
    let (mailboxes, caller) = (&services.mailboxes, &person.caller);
    let mut positions = folder.positions(set, uid).map_err(Reply::bad)?;
    if let Some(since) = changed_since {
        let since = i64::try_from(since).unwrap_or(i64::MAX);
        positions.retain(|&at| folder.entry(at).is_some_and(|entry| entry.modseq > since));
    }
    let depth = items.iter().map(Depth::of).max().unwrap_or(Depth::View);
    let marks = !folder.read_only
        && items.iter().any(|item| matches!(item, FetchItem::Body(BodyItem { peek: false, .. })));

    let mut trouble: Option<Reply> = None;
    for chunk in positions.chunks(CHUNK) {
        let marked = if marks { mark(mailboxes, caller, folder, chunk, link).await? } else { Vec::new() };
        person.stale |= !marked.is_empty();
        let line = |position: usize| Line {
            position,
            items: &items,
            tell_flags: marked.binary_search(&position).is_ok() && !items.contains(&FetchItem::Flags),
        };
        match depth {
            Depth::View => {
                for &position in chunk {
                    from_view(link, folder, &line(position), None).await?;
                }
            }
            Depth::Summary => {
                let ids: Vec<EntryId> =
                    chunk.iter().filter_map(|&at| folder.entry(at)).map(|e| e.id).collect();
                let summaries = mailboxes.summaries(caller, &ids).await?;
                if summaries.len() < ids.len() {
                    trouble = Some(Error::NoEntry.into());
                }
                // Both are in the order of the positions; those that are gone are left out of the summaries.
                let mut summaries = summaries.into_iter().peekable();
                for (&position, id) in chunk.iter().zip(&ids) {
                    if let Some((_, summary)) = summaries.next_if(|(of, _)| of == id) {
                        from_view(link, folder, &line(position), Some(&summary)).await?;
                    }
                }
            }
            Depth::Body => {
                for &position in chunk {
                    match from_body(link, mailboxes, caller, folder, &line(position)).await {
                        // One message that is gone or damaged does not keep the others back.
                        Err(Halt::Reply(reply)) => trouble = Some(reply),
                        done => done?,
                    }
                }
            }
        }
    }
    trouble.map_or_else(|| Ok(Reply::ok("FETCH completed")), |reply| Err(reply.into()))
}

/// Sets `\Seen` where it is missing; the positions where it was, in order.
async fn mark(
    mailboxes: &Mailboxes,
    caller: &Caller,
    folder: &mut Selected,
    chunk: &[usize],
    link: &mut Link,
) -> Result<Vec<usize>, Halt> {
    let unseen = chunk.iter().filter_map(|&at| folder.entry(at)).filter(|e| !e.flags.contains(Flags::SEEN));
    let uids: Vec<u32> = unseen.map(|entry| entry.uid).collect();
    if uids.is_empty() {
        return Ok(Vec::new());
    }
    let now = mailboxes.store_flags(caller, folder.folder, &uids, FlagOp::Add, Flags::SEEN, None).await?;
    let all = now.iter().fold(Flags::NONE, |all, entry| all.with(entry.flags));
    learn(mailboxes, caller, folder, all, &mut link.w).await;
    let mut marked: Vec<usize> = now.iter().filter_map(|entry| folder.update(entry, true)).collect();
    marked.sort_unstable();
    Ok(marked)
}

/// Writes a line for which no body is needed. An item is on its way before the next is made: a structure asked for many
/// times is held once.
async fn from_view(
    link: &mut Link,
    folder: &Selected,
    line: &Line<'_>,
    summary: Option<&Summary>,
) -> Result<(), End> {
    begin(&mut link.w, line);
    for (at, item) in line.items.iter().enumerate() {
        link.w.raw(if at > 0 { " " } else { "" });
        plain(&mut link.w, folder, line, item, summary);
        link.spill().await?;
    }
    end(&mut link.w, folder, line);
    link.spill().await
}

/// Writes a line with bytes of the body.
async fn from_body(
    link: &mut Link,
    mailboxes: &Mailboxes,
    caller: &Caller,
    folder: &Selected,
    line: &Line<'_>,
) -> Result<(), Halt> {
    let Some(entry) = folder.entry(line.position) else { return Ok(()) };
    let reader = mailboxes.reader(caller, entry.id).await?;
    let mut header = Header { reader: &reader, held: None };
    let mut ready = Vec::new();
    let mut ahead = AHEAD;
    for item in line.items {
        if let FetchItem::Body(item) = item {
            ready.push(Bytes::find(&reader, &mut header, item, &mut ahead).await?);
        }
    }
    let mut ready = ready.into_iter();
    begin(&mut link.w, line);
    for (at, item) in line.items.iter().enumerate() {
        link.w.raw(if at > 0 { " " } else { "" });
        match item {
            FetchItem::Body(item) => {
                if let Some(bytes) = ready.next() {
                    bytes.write(link, &mut header, item).await?;
                }
            }
            item => plain(&mut link.w, folder, line, item, Some(reader.summary())),
        }
        link.spill().await?;
    }
    end(&mut link.w, folder, line);
    Ok(link.spill().await?)
}

fn begin(w: &mut Writer, line: &Line<'_>) {
    w.raw("* ").number(line.position as u64 + 1).raw(" FETCH (");
}

fn end(w: &mut Writer, folder: &Selected, line: &Line<'_>) {
    if let Some(entry) = folder.entry(line.position).filter(|_| line.tell_flags) {
        w.raw(" FLAGS ");
        folder.keywords.write(w, entry.flags);
    }
    w.raw(")\r\n");
}

/// Writes an item that is not bytes of the body.
fn plain(w: &mut Writer, folder: &Selected, line: &Line<'_>, item: &FetchItem, summary: Option<&Summary>) {
    let Some(entry) = folder.entry(line.position) else { return };
    match item {
        FetchItem::Flags => {
            w.raw("FLAGS ");
            folder.keywords.write(w, entry.flags);
        }
        FetchItem::InternalDate => {
            w.raw("INTERNALDATE ").raw(print_date_time(entry.received));
        }
        FetchItem::Size => {
            w.raw("RFC822.SIZE ").number(entry.size);
        }
        FetchItem::Uid => {
            w.raw("UID ").number(entry.uid);
        }
        FetchItem::ModSeq => {
            w.raw("MODSEQ (").number(entry.modseq.unsigned_abs()).raw(")");
        }
        FetchItem::Envelope => {
            w.raw("ENVELOPE ");
            if let Some(summary) = summary {
                structure::envelope(w, &summary.envelope);
            }
        }
        FetchItem::Structure { extended } => {
            w.raw(if *extended { "BODYSTRUCTURE " } else { "BODY " });
            if let Some(summary) = summary {
                structure::body(w, &summary.structure.root, *extended);
            }
        }
        FetchItem::Body(_) => {}
    }
}

/// The header of a message, or of a part of it, that was read last: however many items choose fields from it, it is
/// held once.
struct Header<'a> {
    reader: &'a MessageReader,
    held: Option<(Range<u64>, Vec<u8>)>,
}

impl Header<'_> {
    /// The bytes of a header.
    async fn read(&mut self, range: &Range<u64>) -> Result<&[u8], Halt> {
        let held = match self.held.take() {
            Some(held) if held.0 == *range => held,
            _ => (range.clone(), exact(self.reader, range.clone()).await?),
        };
        Ok(&self.held.insert(held).1)
    }
}

/// What is sent for an item. All of a message's lie side by side, and hold no more than [`AHEAD`] bytes together.
enum Bytes {
    /// There is no such part.
    Missing,
    /// Fields of the header there, which are chosen when they are sent.
    Fields(Range<u64>),
    /// The first bytes, read, and where the rest is.
    Begun(Vec<u8>, Range<u64>),
}

impl Bytes {
    /// Finds what `item` names, and reads ahead as far as `ahead` allows.
    async fn find(
        reader: &MessageReader,
        header: &mut Header<'_>,
        item: &BodyItem,
        ahead: &mut u64,
    ) -> Result<Self, Halt> {
        let Section { part, text } = &item.section;
        let place = match text {
            None => Place::Whole,
            Some(SectionText::Header | SectionText::Fields { .. }) => Place::Header,
            Some(SectionText::Text) => Place::Text,
            Some(SectionText::Mime) => Place::Mime,
        };
        let Some(span) = reader.summary().structure.section(part, place) else { return Ok(Self::Missing) };
        if matches!(text, Some(SectionText::Fields { .. })) {
            let range = head(span);
            header.read(&range).await?;
            return Ok(Self::Fields(range));
        }
        let range = cut(span.range(), partial(item));
        let first = range.start..piece_end(&range).min(range.start + *ahead);
        let bytes = exact(reader, first.clone()).await?;
        *ahead -= first.end - first.start;
        Ok(Self::Begun(bytes, first.end..range.end))
    }

    async fn write(self, link: &mut Link, header: &mut Header<'_>, item: &BodyItem) -> Result<(), End> {
        let mut name = String::new();
        body_name(&mut name, item, false);
        if let Some((origin, _)) = item.partial {
            name.push_str(&format!("<{origin}>"));
        }
        link.w.raw(name).raw(" ");
        match self {
            Self::Missing => {
                link.w.raw("NIL");
            }
            Self::Fields(range) => {
                let bytes = fields(header.read(&range).await.map_err(too_late)?, item);
                link.w.literal_head(bytes.len() as u64);
                link.send(&bytes).await?;
            }
            Self::Begun(bytes, mut rest) => {
                link.w.literal_head(bytes.len() as u64 + rest.end - rest.start);
                link.send(&bytes).await?;
                while rest.start < rest.end {
                    let next = rest.start..piece_end(&rest);
                    let bytes = exact(header.reader, next.clone()).await.map_err(too_late)?;
                    link.send(&bytes).await?;
                    rest.start = next.end;
                }
            }
        }
        Ok(())
    }
}

/// The line has begun: there is no way to say that the rest of it can't be read.
fn too_late(halt: Halt) -> End {
    match halt {
        Halt::End(end) => end,
        Halt::Reply(_) => End::Closed,
    }
}

/// The fields of a header that `item` names, or of those the range that it names.
fn fields(header: &[u8], item: &BodyItem) -> Vec<u8> {
    let Some(SectionText::Fields { names, except }) = &item.section.text else { return Vec::new() };
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut fields = headers::select(header, &names, *except);
    let kept = cut(0..fields.len() as u64, partial(item));
    fields.truncate(usize::try_from(kept.end).unwrap_or(usize::MAX));
    fields.drain(..usize::try_from(kept.start).unwrap_or(usize::MAX).min(fields.len()));
    fields
}

fn partial(item: &BodyItem) -> Option<(u64, u64)> {
    item.partial.map(|(offset, count)| (offset.into(), count.into()))
}

/// Reads a range; fewer bytes than that are damage.
async fn exact(reader: &MessageReader, range: Range<u64>) -> Result<Vec<u8>, Halt> {
    let wanted = range.end - range.start;
    if wanted == 0 {
        return Ok(Vec::new());
    }
    let bytes = reader.read(range).await?;
    if bytes.len() as u64 == wanted {
        Ok(bytes)
    } else {
        Err(Reply::no("CORRUPTION", "The message is shorter than it was when it arrived").into())
    }
}

/// Where the piece that begins a range ends: at a chunk's end, so that no chunk is opened twice.
fn piece_end(range: &Range<u64>) -> u64 {
    ((range.start / PIECE + 1) * PIECE).min(range.end)
}

/// A partial fetch's range (RFC 9051 section 6.4.5): cut to what is there.
fn cut(range: Range<u64>, partial: Option<(u64, u64)>) -> Range<u64> {
    let Some((offset, count)) = partial else { return range };
    let start = range.start.saturating_add(offset).min(range.end);
    start..start.saturating_add(count).min(range.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_ranges_are_cut() {
        assert_eq!(cut(10..20, None), 10..20);
        assert_eq!(cut(10..20, Some((0, 4))), 10..14);
        assert_eq!(cut(10..20, Some((8, 4))), 18..20);
        assert_eq!(cut(10..20, Some((10, 4))), 20..20);
        assert_eq!(cut(10..20, Some((u64::MAX, u64::MAX))), 20..20);
    }

    #[test]
    fn pieces_end_with_chunks() {
        assert_eq!(piece_end(&(0..10)), 10);
        assert_eq!(piece_end(&(5..PIECE * 3)), PIECE);
        assert_eq!(piece_end(&(PIECE..PIECE * 3)), PIECE * 2);
    }
}
