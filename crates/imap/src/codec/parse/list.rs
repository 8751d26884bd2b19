//! LIST, LSUB, STATUS.

use super::super::command::{List, StatusItem, Verb};
use super::super::cursor::{Cursor, Parsed, is_list};
use super::super::utf7;
use super::folder;

/// Options, patterns, or items of one command: a pattern is held against every folder with the reference before it.
const MOST: usize = 32;

/// `list = "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]` (RFC 5258)
pub(super) fn list(c: &mut Cursor) -> Parsed<Verb> {
    c.space()?;
    let mut asked = List {
        subscribed: false,
        special: false,
        recursive: false,
        reference: String::new(),
        patterns: Vec::new(),
        status: None,
    };
    if c.peek() == Some(b'(') {
        c.list(0..=MOST, |c| selection(c, &mut asked))?;
        if asked.recursive && !asked.subscribed {
            return c.expected("SUBSCRIBED beside RECURSIVEMATCH before");
        }
        c.space()?;
    }
    asked.reference = reference(c)?;
    c.space()?;
    asked.patterns = if c.peek() == Some(b'(') { c.list(1..=MOST, pattern)? } else { vec![pattern(c)?] };
    if c.goes_on() {
        c.space()?;
        if !c.word("RETURN") {
            return c.expected("RETURN");
        }
        c.space()?;
        c.list(0..=MOST, |c| returned(c, &mut asked))?;
    }
    Ok(Verb::List(asked))
}

fn selection(c: &mut Cursor, asked: &mut List) -> Parsed<()> {
    if c.word("SUBSCRIBED") {
        asked.subscribed = true;
    } else if c.word("SPECIAL-USE") {
        asked.special = true;
    } else if c.word("RECURSIVEMATCH") {
        asked.recursive = true;
    } else if !c.word("REMOTE") {
        return c.expected("SUBSCRIBED, SPECIAL-USE, REMOTE or RECURSIVEMATCH");
    }
    Ok(())
}

/// `SUBSCRIBED`, `CHILDREN` and `SPECIAL-USE` change nothing: we always answer them.
fn returned(c: &mut Cursor, asked: &mut List) -> Parsed<()> {
    if c.word("STATUS") {
        c.space()?;
        asked.status = Some(c.list(1..=MOST, item)?);
    } else if !(c.word("SUBSCRIBED") || c.word("CHILDREN") || c.word("SPECIAL-USE")) {
        return c.expected("SUBSCRIBED, CHILDREN, SPECIAL-USE or STATUS");
    }
    Ok(())
}

/// `lsub = "LSUB" SP mailbox SP list-mailbox`
pub(super) fn lsub(c: &mut Cursor) -> Parsed<Verb> {
    c.space()?;
    let reference = reference(c)?;
    c.space()?;
    Ok(Verb::Lsub { reference, pattern: pattern(c)? })
}

/// `status = "STATUS" SP mailbox SP "(" status-att *(SP status-att) ")"`
pub(super) fn status(c: &mut Cursor) -> Parsed<Verb> {
    c.space()?;
    let folder = folder(c)?;
    c.space()?;
    Ok(Verb::Status { folder, items: c.list(1..=MOST, item)? })
}

fn item(c: &mut Cursor) -> Parsed<StatusItem> {
    for (word, item) in StatusItem::ALL {
        if c.word(word) {
            return Ok(item);
        }
    }
    c.expected("MESSAGES, RECENT, UIDNEXT, UIDVALIDITY, UNSEEN, HIGHESTMODSEQ or APPENDLIMIT")
}

fn reference(c: &mut Cursor) -> Parsed<String> {
    let wire = c.text("a reference name")?;
    decoded(c, &wire)
}

/// `list-mailbox = 1*list-char / string`
fn pattern(c: &mut Cursor) -> Parsed<String> {
    let wire = match c.peek() {
        Some(b'"' | b'{') => c.text("a pattern")?,
        _ => c.run(is_list, "a pattern")?.iter().map(|&b| char::from(b)).collect(),
    };
    decoded(c, &wire)
}

fn decoded(c: &Cursor, wire: &str) -> Parsed<String> {
    match utf7::decode(wire) {
        Some(name) => Ok(name),
        None => c.expected("a folder name in modified UTF-7 before"),
    }
}
