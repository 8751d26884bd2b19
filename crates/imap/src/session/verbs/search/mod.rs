//! SEARCH without an index (RFC 9051 section 6.4.4, RFC 4731, RFC 5032): the view decides what it can, then summaries,
//! then headers, and only what is still open is read.

mod body;
mod test;

use sealpost_mailbox::{Caller, Error, Mailboxes, Summary};
use sealpost_model::EntryId;

use super::{Selected, head, selected};
use crate::codec::command::{Key, SearchReturn};
use crate::codec::sequence::print_numbers;
use crate::codec::{Tag, Writer};
use crate::session::Session;
use crate::session::reply::{Halt, Reply};
use test::{Facts, Needs, Test};

/// Messages that are looked at together.
const CHUNK: usize = 200;

pub(super) async fn search(
    s: &mut Session,
    tag: &Tag,
    uid: bool,
    result: Option<&[SearchReturn]>,
    key: &Key,
) -> Result<Reply, Halt> {
    let (person, link, services) = selected(s)?;
    let Some(folder) = &person.selected else { return Ok(Reply::ok("Nothing is open")) };
    let test = Test::compile(key, folder, services.clock.now()).map_err(Reply::bad)?;
    let mut found = Vec::new();
    let every: Vec<usize> = (0..folder.entries.len()).collect();
    for chunk in every.chunks(CHUNK) {
        passing(&services.mailboxes, &person.caller, folder, &test, chunk, &mut found).await?;
        // Long folders are searched without keeping others from the processor.
        tokio::task::yield_now().await;
    }
    let modseq = test.needs.modseq.then(|| {
        found
            .iter()
            .filter_map(|&at| folder.entry(at))
            .map(|entry| entry.modseq.unsigned_abs())
            .max()
            .unwrap_or(0)
    });
    let numbers: Vec<u32> = found
        .iter()
        .filter_map(|&at| if uid { folder.entry(at).map(|e| e.uid) } else { u32::try_from(at + 1).ok() })
        .collect();
    match result {
        Some(wanted) => extended(&mut link.w, tag, uid, wanted, &numbers, modseq),
        None => classic(&mut link.w, &numbers, modseq),
    }
    let asks_modseq = test.needs.modseq;
    s.condstore |= asks_modseq;
    Ok(Reply::ok("SEARCH completed"))
}

/// Appends the positions of `chunk` that pass.
async fn passing(
    mailboxes: &Mailboxes,
    caller: &Caller,
    folder: &Selected,
    test: &Test,
    chunk: &[usize],
    found: &mut Vec<usize>,
) -> Result<(), Error> {
    let mut open = Vec::new();
    let mut passed = Vec::new();
    for &position in chunk {
        let Some(entry) = folder.entry(position) else { continue };
        match test.eval(&Facts::of(position, entry)) {
            Some(true) => passed.push(position),
            Some(false) => {}
            None => open.push((position, *entry)),
        }
    }
    if test.needs.summary && !open.is_empty() {
        let ids: Vec<EntryId> = open.iter().map(|(_, entry)| entry.id).collect();
        let mut summaries = mailboxes.summaries(caller, &ids).await?.into_iter().peekable();
        let mut still = Vec::new();
        for (position, entry) in open {
            // A message that is gone passes nothing.
            let Some((_, summary)) = summaries.next_if(|(id, _)| *id == entry.id) else { continue };
            match test.eval(&Facts { summary: Some(&summary), ..Facts::of(position, &entry) }) {
                Some(true) => passed.push(position),
                Some(false) => {}
                None => still.push((position, entry)),
            }
        }
        open = still;
    }
    for (position, entry) in open {
        let reader = match mailboxes.reader(caller, entry.id).await {
            Err(Error::NoEntry) => continue,
            reader => reader?,
        };
        let summary: &Summary = reader.summary();
        let header = reader.read(head(summary.structure.root.header)).await?;
        let facts = Facts { summary: Some(summary), header: Some(&header), ..Facts::of(position, &entry) };
        let passes = match test.eval(&facts) {
            Some(passes) => passes,
            None => {
                let words = body::find(&reader, &header, &test.words).await?;
                test.eval(&Facts { words: Some(&words), ..facts }).unwrap_or(false)
            }
        };
        if passes {
            passed.push(position);
        }
    }
    passed.sort_unstable();
    found.append(&mut passed);
    Ok(())
}

impl Needs {
    /// Nothing but the view.
    const NOTHING: Self = Self { summary: false, modseq: false };
}

/// `* SEARCH 2 84 882`
fn classic(w: &mut Writer, numbers: &[u32], modseq: Option<u64>) {
    w.raw("* SEARCH");
    for &number in numbers {
        w.raw(" ").number(number);
    }
    if let Some(modseq) = modseq.filter(|_| !numbers.is_empty()) {
        w.raw(" (MODSEQ ").number(modseq).raw(")");
    }
    w.end();
}

/// `* ESEARCH (TAG "a1") UID COUNT 3 ALL 2,84,882` (RFC 4731)
fn extended(
    w: &mut Writer,
    tag: &Tag,
    uid: bool,
    wanted: &[SearchReturn],
    numbers: &[u32],
    modseq: Option<u64>,
) {
    w.raw("* ESEARCH (TAG ").string(tag.as_str().as_bytes()).raw(if uid { ") UID" } else { ")" });
    let asked = |item| wanted.contains(&item);
    if let Some(&first) = numbers.first().filter(|_| asked(SearchReturn::Min)) {
        w.raw(" MIN ").number(first);
    }
    if let Some(&last) = numbers.last().filter(|_| asked(SearchReturn::Max)) {
        w.raw(" MAX ").number(last);
    }
    if asked(SearchReturn::Count) {
        w.raw(" COUNT ").number(numbers.len() as u64);
    }
    if asked(SearchReturn::All) && !numbers.is_empty() {
        w.raw(" ALL ").raw(print_numbers(numbers.iter().copied()));
    }
    if let Some(modseq) = modseq.filter(|_| !numbers.is_empty()) {
        w.raw(" MODSEQ ").number(modseq);
    }
    w.end();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let tag = Tag::new("a1").unwrap();
        let shown = |numbers: &[u32], wanted: &[SearchReturn]| {
            let mut w = Writer::default();
            extended(&mut w, &tag, true, wanted, numbers, None);
            String::from_utf8_lossy(&w.out).into_owned()
        };
        use SearchReturn::{All, Count, Max, Min};
        assert_eq!(shown(&[2, 3, 9], &[All, Count]), "* ESEARCH (TAG \"a1\") UID COUNT 3 ALL 2:3,9\r\n");
        assert_eq!(shown(&[2, 3, 9], &[Min, Max]), "* ESEARCH (TAG \"a1\") UID MIN 2 MAX 9\r\n");
        assert_eq!(shown(&[], &[Min, All, Count]), "* ESEARCH (TAG \"a1\") UID COUNT 0\r\n");
        let mut w = Writer::default();
        classic(&mut w, &[2, 84], Some(7));
        assert_eq!(w.out, b"* SEARCH 2 84 (MODSEQ 7)\r\n"[..]);
    }
}
