//! FETCH: items, macros, sections.

use super::super::command::{BodyForm, BodyItem, FetchItem, Section, SectionText, Verb};
use super::super::cursor::{Cursor, Parsed};
use super::super::sequence::SequenceSet;

/// Items of one FETCH; each is read and sent for each message.
const MOST_ITEMS: usize = 64;
/// Names of header fields in one item; each is held against each field.
const MOST_NAMES: usize = 100;

/// `fetch = "FETCH" SP sequence-set SP ("ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att) ")")
/// [SP "(" "CHANGEDSINCE" SP mod-sequence ")"]` (RFC 7162)
pub(super) fn fetch(c: &mut Cursor, uid: bool) -> Parsed<Verb> {
    c.space()?;
    let set = SequenceSet::parse(c)?;
    c.space()?;
    let items = if c.peek() == Some(b'(') {
        c.list(1..=MOST_ITEMS, item)?
    } else if c.word("ALL") {
        vec![FetchItem::Flags, FetchItem::InternalDate, FetchItem::Size, FetchItem::Envelope]
    } else if c.word("FAST") {
        vec![FetchItem::Flags, FetchItem::InternalDate, FetchItem::Size]
    } else if c.word("FULL") {
        vec![
            FetchItem::Flags,
            FetchItem::InternalDate,
            FetchItem::Size,
            FetchItem::Envelope,
            FetchItem::Structure { extended: false },
        ]
    } else {
        vec![item(c)?]
    };
    let mut changed_since = None;
    if c.goes_on() {
        c.space()?;
        c.need(b'(', "(CHANGEDSINCE")?;
        if !c.word("CHANGEDSINCE") {
            return c.expected("CHANGEDSINCE");
        }
        c.space()?;
        changed_since = Some(c.number64()?);
        c.need(b')', "a closing parenthesis")?;
    }
    Ok(Verb::Fetch { uid, set, items, changed_since })
}

/// `fetch-att`
fn item(c: &mut Cursor) -> Parsed<FetchItem> {
    let simple = [
        ("FLAGS", FetchItem::Flags),
        ("INTERNALDATE", FetchItem::InternalDate),
        ("RFC822.SIZE", FetchItem::Size),
        ("UID", FetchItem::Uid),
        ("MODSEQ", FetchItem::ModSeq),
        ("ENVELOPE", FetchItem::Envelope),
        ("BODYSTRUCTURE", FetchItem::Structure { extended: true }),
        ("RFC822.HEADER", whole(Some(SectionText::Header), true, BodyForm::Rfc822Header)),
        ("RFC822.TEXT", whole(Some(SectionText::Text), false, BodyForm::Rfc822Text)),
        ("RFC822", whole(None, false, BodyForm::Rfc822)),
    ];
    for (word, item) in simple {
        if c.word(word) {
            return Ok(item);
        }
    }
    // "[" is an ATOM-CHAR, so these two do not end as words do.
    let head = |length: usize| c.rest().get(..length).unwrap_or_default();
    let peek = head(10).eq_ignore_ascii_case(b"BODY.PEEK[");
    if !peek && !head(5).eq_ignore_ascii_case(b"BODY[") {
        if c.word("BODY") {
            return Ok(FetchItem::Structure { extended: false });
        }
        return c.expected("something that can be fetched, like FLAGS or BODY.PEEK[]");
    }
    c.run(|b| b != b'[', "BODY")?;
    c.need(b'[', "an opening bracket")?;
    let section = section(c)?;
    c.need(b']', "a closing bracket")?;
    let partial = if c.peek() == Some(b'<') { Some(partial(c)?) } else { None };
    Ok(FetchItem::Body(BodyItem { section, partial, peek, form: BodyForm::Body }))
}

fn whole(text: Option<SectionText>, peek: bool, form: BodyForm) -> FetchItem {
    FetchItem::Body(BodyItem { section: Section { part: Vec::new(), text }, partial: None, peek, form })
}

/// `section-spec = section-msgtext / (section-part ["." section-text])`
fn section(c: &mut Cursor) -> Parsed<Section> {
    /// Deeper than any message that the scanner takes apart.
    const DEEPEST: usize = 64;
    let mut part = Vec::new();
    if c.peek() == Some(b']') {
        return Ok(Section::default());
    }
    while c.peek().is_some_and(|b| b.is_ascii_digit()) {
        part.push(c.positive()?);
        if part.len() > DEEPEST {
            return c.expected("fewer part numbers before");
        }
        if !c.take(b'.') {
            return Ok(Section { part, text: None });
        }
    }
    let text = if c.word("HEADER.FIELDS.NOT") {
        SectionText::Fields { names: names(c)?, except: true }
    } else if c.word("HEADER.FIELDS") {
        SectionText::Fields { names: names(c)?, except: false }
    } else if c.word("HEADER") {
        SectionText::Header
    } else if c.word("TEXT") {
        SectionText::Text
    } else if !part.is_empty() && c.word("MIME") {
        SectionText::Mime
    } else {
        return c.expected("HEADER, HEADER.FIELDS, TEXT, MIME or a part number");
    };
    Ok(Section { part, text: Some(text) })
}

/// `header-list = "(" header-fld-name *(SP header-fld-name) ")"`
fn names(c: &mut Cursor) -> Parsed<Vec<String>> {
    c.space()?;
    c.list(1..=MOST_NAMES, |c| c.text("the name of a header field"))
}

/// `partial = "<" number "." nz-number ">"`
fn partial(c: &mut Cursor) -> Parsed<(u32, u32)> {
    c.need(b'<', "<")?;
    let offset = c.number()?;
    c.need(b'.', "a full stop")?;
    let count = c.positive()?;
    c.need(b'>', ">")?;
    Ok((offset, count))
}
