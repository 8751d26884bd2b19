//! SEARCH: its conditions, RFC 3501 section 6.4.4 with RFC 4731, 5032, 7162.

use super::super::command::{DayTest, Flag, Key, SearchReturn, Verb};
use super::super::cursor::{Cursor, Parsed};
use super::super::date::date;
use super::super::sequence::SequenceSet;
use super::store::keyword;

/// How deep conditions may stand in each other. Parsing, compiling, testing and dropping them recurses as deep: at this
/// depth they need a small part of a thread's stack.
pub(super) const DEEPEST: usize = 32;
/// Conditions in one command, those that hold others included: each costs time for each message.
pub(super) const MOST: usize = 100;

/// `search = "SEARCH" [SP "RETURN" SP "(" ... ")"] [SP "CHARSET" SP charset] 1*(SP search-key)`
pub(super) fn search(c: &mut Cursor, uid: bool) -> Parsed<Verb> {
    c.space()?;
    let mut result = None;
    if c.word("RETURN") {
        c.space()?;
        let wanted = c.list(0..=SearchReturn::ALL.len(), returned)?;
        result = Some(if wanted.is_empty() { vec![SearchReturn::All] } else { wanted });
        c.space()?;
    }
    if c.word("CHARSET") {
        c.space()?;
        let charset = c.text("a character set")?;
        if !charset.eq_ignore_ascii_case("UTF-8") && !charset.eq_ignore_ascii_case("US-ASCII") {
            c.run(|_| true, "a search condition")?;
            return Ok(Verb::SearchUnknownCharset);
        }
        c.space()?;
    }
    let mut room = MOST;
    let mut keys = vec![key(c, 0, &mut room)?];
    while c.goes_on() {
        c.space()?;
        keys.push(key(c, 0, &mut room)?);
    }
    Ok(Verb::Search { uid, result, key: all_of(keys) })
}

fn returned(c: &mut Cursor) -> Parsed<SearchReturn> {
    for (word, item) in SearchReturn::ALL {
        if c.word(word) {
            return Ok(item);
        }
    }
    c.expected("MIN, MAX, ALL or COUNT")
}

fn all_of(mut keys: Vec<Key>) -> Key {
    match keys.pop() {
        Some(only) if keys.is_empty() => only,
        Some(last) => {
            keys.push(last);
            Key::And(keys)
        }
        None => Key::And(keys),
    }
}

/// `search-key`, inside `depth` others, as one of `room` that are still taken.
fn key(c: &mut Cursor, depth: usize, room: &mut usize) -> Parsed<Key> {
    if depth > DEEPEST {
        return c.expected("conditions that are less deep");
    }
    match room.checked_sub(1) {
        Some(left) => *room = left,
        None => return c.expected("fewer conditions before"),
    }
    match c.peek() {
        Some(b'(') => return Ok(all_of(c.list(1..=MOST, |c| key(c, depth + 1, room))?)),
        Some(b'0'..=b'9' | b'*') => return SequenceSet::parse(c).map(Key::Sequence),
        _ => {}
    }
    let start = c.at();
    let word = c.atom("a search condition")?.to_ascii_uppercase();
    let flag = |flag| Ok(Key::Flag(flag));
    let no_flag = |flag| Ok(Key::Not(Box::new(Key::Flag(flag))));
    match word.as_str() {
        "ALL" => Ok(Key::And(Vec::new())),
        "ANSWERED" => flag(Flag::Answered),
        "DELETED" => flag(Flag::Deleted),
        "DRAFT" => flag(Flag::Draft),
        "FLAGGED" => flag(Flag::Flagged),
        "SEEN" => flag(Flag::Seen),
        "RECENT" => flag(Flag::Recent),
        "NEW" => Ok(Key::And(vec![Key::Flag(Flag::Recent), Key::Not(Box::new(Key::Flag(Flag::Seen)))])),
        "OLD" => no_flag(Flag::Recent),
        "UNANSWERED" => no_flag(Flag::Answered),
        "UNDELETED" => no_flag(Flag::Deleted),
        "UNDRAFT" => no_flag(Flag::Draft),
        "UNFLAGGED" => no_flag(Flag::Flagged),
        "UNSEEN" => no_flag(Flag::Seen),
        "KEYWORD" => flag(Flag::Keyword(c.after_space(keyword)?)),
        "UNKEYWORD" => no_flag(Flag::Keyword(c.after_space(keyword)?)),
        "BEFORE" => Ok(Key::Received(DayTest::Before, c.after_space(date)?)),
        "ON" => Ok(Key::Received(DayTest::On, c.after_space(date)?)),
        "SINCE" => Ok(Key::Received(DayTest::Since, c.after_space(date)?)),
        "SENTBEFORE" => Ok(Key::Sent(DayTest::Before, c.after_space(date)?)),
        "SENTON" => Ok(Key::Sent(DayTest::On, c.after_space(date)?)),
        "SENTSINCE" => Ok(Key::Sent(DayTest::Since, c.after_space(date)?)),
        "LARGER" => Ok(Key::Larger(c.after_space(Cursor::number64)?)),
        "SMALLER" => Ok(Key::Smaller(c.after_space(Cursor::number64)?)),
        "OLDER" => Ok(Key::Older(c.after_space(Cursor::positive)?)),
        "YOUNGER" => Ok(Key::Younger(c.after_space(Cursor::positive)?)),
        "BCC" | "CC" | "FROM" | "SUBJECT" | "TO" => Ok(Key::Header(word, c.after_space(words)?)),
        "HEADER" => {
            Ok(Key::Header(c.after_space(|c| c.text("the name of a header field"))?, c.after_space(words)?))
        }
        "BODY" => Ok(Key::Body(c.after_space(words)?)),
        "TEXT" => Ok(Key::Text(c.after_space(words)?)),
        "UID" => Ok(Key::Uid(c.after_space(SequenceSet::parse)?)),
        "MODSEQ" => mod_seq(c),
        "NOT" => Ok(Key::Not(Box::new(c.after_space(|c| key(c, depth + 1, room))?))),
        "OR" => Ok(Key::Or(
            Box::new(c.after_space(|c| key(c, depth + 1, room))?),
            Box::new(c.after_space(|c| key(c, depth + 1, room))?),
        )),
        _ => {
            c.back_to(start);
            c.expected("a search condition, like UNSEEN or FROM")
        }
    }
}

/// `search-modsequence = "MODSEQ" [SP entry-name SP entry-type-req] SP mod-sequence-valzer` (RFC 7162): our flags
/// share one number, so the entry's name changes nothing.
fn mod_seq(c: &mut Cursor) -> Parsed<Key> {
    c.space()?;
    if c.peek() == Some(b'"') {
        c.string()?;
        c.space()?;
        if !(c.word("priv") || c.word("shared") || c.word("all")) {
            return c.expected("priv, shared or all");
        }
        c.space()?;
    }
    c.number64().map(Key::ModSeq)
}

fn words(c: &mut Cursor) -> Parsed<String> {
    c.text("what to look for")
}
