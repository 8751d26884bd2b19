//! STORE, and flags.

use super::super::command::{Flag, FlagChange, Verb};
use super::super::cursor::{Cursor, Parsed};
use super::super::sequence::SequenceSet;

/// Flags in one command: more than an account can have.
pub(super) const MOST: usize = 100;

/// `store = "STORE" SP sequence-set [SP "(" "UNCHANGEDSINCE" SP mod-sequence ")"] SP store-att-flags` (RFC 7162)
pub(super) fn store(c: &mut Cursor, uid: bool) -> Parsed<Verb> {
    const AN_ACT: &str = "FLAGS, +FLAGS or -FLAGS";
    c.space()?;
    let set = SequenceSet::parse(c)?;
    c.space()?;
    let mut unchanged_since = None;
    if c.take(b'(') {
        if !c.word("UNCHANGEDSINCE") {
            return c.expected("UNCHANGEDSINCE");
        }
        c.space()?;
        unchanged_since = Some(c.number64()?);
        c.need(b')', "a closing parenthesis")?;
        c.space()?;
    }
    let change = match c.peek() {
        Some(b'+') => FlagChange::Add,
        Some(b'-') => FlagChange::Remove,
        _ => FlagChange::Replace,
    };
    if !c.take(b'+') {
        c.take(b'-');
    }
    let silent = if c.word("FLAGS.SILENT") {
        true
    } else if c.word("FLAGS") {
        false
    } else {
        return c.expected(AN_ACT);
    };
    c.space()?;
    let flags = if c.peek() == Some(b'(') { c.list(0..=MOST, flag)? } else { bare_flags(c)? };
    Ok(Verb::Store { uid, set, unchanged_since, change, silent, flags })
}

/// `flag *(SP flag)`
fn bare_flags(c: &mut Cursor) -> Parsed<Vec<Flag>> {
    let mut flags = vec![flag(c)?];
    while c.goes_on() {
        if flags.len() == MOST {
            return c.expected("fewer flags before");
        }
        c.space()?;
        flags.push(flag(c)?);
    }
    Ok(flags)
}

/// `flag = "\" atom / flag-keyword`
pub(super) fn flag(c: &mut Cursor) -> Parsed<Flag> {
    if c.take(b'\\') {
        let name = c.atom("the name of a flag")?;
        let known = Flag::SYSTEM.into_iter().find(|(word, _)| word.eq_ignore_ascii_case(name));
        return Ok(known.map_or_else(|| Flag::Other(name.to_owned()), |(_, flag)| flag));
    }
    keyword(c).map(Flag::Keyword)
}

/// `flag-keyword = atom`
pub(super) fn keyword(c: &mut Cursor) -> Parsed<String> {
    const LONGEST: usize = 100;
    let name = c.atom("a flag")?;
    if name.len() > LONGEST {
        return c.expected("a keyword of at most 100 characters before");
    }
    Ok(name.to_owned())
}
