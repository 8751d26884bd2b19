//! From the bytes of one framed command to [`Command`] (RFC 9051 section 9 and the extensions we serve).

mod fetch;
mod list;
mod search;
mod store;

use sealpost_model::Secret;

use super::command::{Command, Tag, Verb};
use super::cursor::{Cursor, Parsed, Syntax, is_tag};
use super::sequence::SequenceSet;
use super::utf7;

/// Parses a whole command, literals in place, without its last line end.
///
/// # Errors
/// The command's tag, the position, and what was expected there.
pub fn command(bytes: &[u8]) -> Result<Command, Wrong> {
    whole(bytes, |c| {
        let verb = verb(c)?;
        c.end()?;
        Ok(verb)
    })
}

/// Parses a whole command of a client that is not signed in. Of the commands that need somebody who is, only tag and
/// name are looked at: the parser for the rest of them is none of a stranger's business.
///
/// # Errors
/// As [`command`], and [`Why::Stranger`] for every command that a stranger may not send.
pub fn stranger(bytes: &[u8]) -> Result<Command, Wrong> {
    let mut known = true;
    let found = whole(bytes, |c| {
        let start = c.at();
        let word = c.atom("a command")?.to_ascii_uppercase();
        let Some(verb) = open_to_all(c, &word)? else {
            known = false;
            c.back_to(start);
            return c.expected("a command for which nobody has to be signed in");
        };
        c.end()?;
        Ok(verb)
    });
    found.map_err(|wrong| if known { wrong } else { Wrong { why: Why::Stranger, ..wrong } })
}

/// Parses APPEND up to the brace that opens its message literal.
///
/// # Errors
/// As [`command`].
pub fn append(head: &[u8]) -> Result<Command, Wrong> {
    whole(head, |c| {
        if !c.word("APPEND") {
            return c.expected("APPEND");
        }
        let folder = c.after_space(folder)?;
        c.space()?;
        let mut flags = Vec::new();
        if c.peek() == Some(b'(') {
            flags = c.list(0..=store::MOST, store::flag)?;
            c.space()?;
        }
        let mut received = None;
        if c.peek() == Some(b'"') {
            received = Some(super::date::date_time(c)?);
            c.space()?;
        }
        if !c.is_done() {
            return c.expected("the message as a literal");
        }
        Ok(Verb::Append { folder, flags, received })
    })
}

/// A command that is none: its tag, if it had one, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Wrong {
    /// Its tag.
    pub tag: Option<Tag>,
    /// What is wrong.
    pub why: Why,
}

/// What is wrong with a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// The position and what was expected there.
    #[error(transparent)]
    Syntax(#[from] Syntax),
    /// Only somebody who is signed in may send it.
    #[error("Sign in first")]
    Stranger,
}

fn whole(bytes: &[u8], verb: impl FnOnce(&mut Cursor) -> Parsed<Verb>) -> Result<Command, Wrong> {
    let mut c = Cursor::new(bytes);
    let tag = tag(&mut c).map_err(|why| Wrong { tag: None, why: why.into() })?;
    match c.space().and_then(|()| verb(&mut c)) {
        Ok(verb) => Ok(Command { tag, verb }),
        Err(why) => Err(Wrong { tag: Some(tag), why: why.into() }),
    }
}

/// The tag at the start of a command that may be broken further on.
pub(crate) fn tag_of(bytes: &[u8]) -> Option<Tag> {
    let mut c = Cursor::new(bytes);
    tag(&mut c).ok().filter(|_| matches!(c.peek(), None | Some(b' ' | b'\r' | b'\n')))
}

fn tag(c: &mut Cursor) -> Parsed<Tag> {
    const LONGEST: usize = 255;
    let bytes = c.run(is_tag, "a tag")?;
    match std::str::from_utf8(bytes) {
        Ok(text) if bytes.len() <= LONGEST => Ok(Tag(text.into())),
        _ => c.expected("a shorter tag before"),
    }
}

fn verb(c: &mut Cursor) -> Parsed<Verb> {
    let start = c.at();
    let word = c.atom("a command")?.to_ascii_uppercase();
    if let Some(verb) = open_to_all(c, &word)? {
        return Ok(verb);
    }
    Ok(match word.as_str() {
        "ENABLE" => enable(c)?,
        "NAMESPACE" => Verb::Namespace,
        "MYRIGHTS" => Verb::MyRights(c.after_space(folder)?),
        "LIST" => list::list(c)?,
        "LSUB" => list::lsub(c)?,
        "STATUS" => list::status(c)?,
        "SELECT" => select(c, false)?,
        "EXAMINE" => select(c, true)?,
        "CREATE" => Verb::Create(c.after_space(folder)?),
        "DELETE" => Verb::Delete(c.after_space(folder)?),
        "RENAME" => Verb::Rename { from: c.after_space(folder)?, to: c.after_space(folder)? },
        "SUBSCRIBE" => Verb::Subscribe(c.after_space(folder)?),
        "UNSUBSCRIBE" => Verb::Unsubscribe(c.after_space(folder)?),
        "APPEND" => {
            c.after_space(folder)?;
            return c.expected("the message as a literal");
        }
        "IDLE" => Verb::Idle,
        "CHECK" => Verb::Check,
        "CLOSE" => Verb::Close,
        "UNSELECT" => Verb::Unselect,
        "EXPUNGE" => Verb::Expunge(None),
        "SEARCH" => search::search(c, false)?,
        "FETCH" => fetch::fetch(c, false)?,
        "STORE" => store::store(c, false)?,
        "COPY" => copy(c, false, false)?,
        "MOVE" => copy(c, false, true)?,
        "UID" => uid(c)?,
        _ => {
            c.back_to(start);
            return c.expected("a command that this server knows");
        }
    })
}

/// The commands that a stranger may send. None of them nests.
fn open_to_all(c: &mut Cursor, word: &str) -> Parsed<Option<Verb>> {
    Ok(Some(match word {
        "CAPABILITY" => Verb::Capability,
        "NOOP" => Verb::Noop,
        "LOGOUT" => Verb::Logout,
        "STARTTLS" => Verb::StartTls,
        "LOGIN" => login(c)?,
        "AUTHENTICATE" => authenticate(c)?,
        "ID" => id(c)?,
        _ => return Ok(None),
    }))
}

fn uid(c: &mut Cursor) -> Parsed<Verb> {
    c.space()?;
    let word = c.atom("COPY, EXPUNGE, FETCH, MOVE, SEARCH or STORE")?.to_ascii_uppercase();
    match word.as_str() {
        "COPY" => copy(c, true, false),
        "EXPUNGE" => Ok(Verb::Expunge(Some(c.after_space(SequenceSet::parse)?))),
        "FETCH" => fetch::fetch(c, true),
        "MOVE" => copy(c, true, true),
        "SEARCH" => search::search(c, true),
        "STORE" => store::store(c, true),
        _ => c.expected("COPY, EXPUNGE, FETCH, MOVE, SEARCH or STORE before"),
    }
}

/// `login = "LOGIN" SP userid SP password`
fn login(c: &mut Cursor) -> Parsed<Verb> {
    c.space()?;
    let login = c.text("a user name")?;
    c.space()?;
    let password = Secret::new(c.text("a password")?);
    Ok(Verb::Login { login, password })
}

/// `authenticate = "AUTHENTICATE" SP auth-type [SP initial-resp]`
fn authenticate(c: &mut Cursor) -> Parsed<Verb> {
    c.space()?;
    let mechanism = c.atom("the name of a mechanism")?.to_ascii_uppercase();
    let mut initial = None;
    if c.goes_on() {
        c.space()?;
        let text = c.run(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='), "base64")?;
        initial = Some(Secret::new(text.iter().map(|&b| char::from(b)).collect()));
    }
    Ok(Verb::Authenticate { mechanism, initial })
}

/// `enable = "ENABLE" 1*(SP capability)`
fn enable(c: &mut Cursor) -> Parsed<Verb> {
    let mut names = Vec::new();
    while names.is_empty() || c.goes_on() {
        c.space()?;
        names.push(c.atom("the name of a capability")?.to_ascii_uppercase());
    }
    Ok(Verb::Enable(names))
}

/// `id = "ID" SP id-params-list`, `id-params-list = "(" *(string SP nstring) ")" / nil` (RFC 2971)
fn id(c: &mut Cursor) -> Parsed<Verb> {
    const MOST: usize = 30;
    c.space()?;
    if c.word("NIL") {
        return Ok(Verb::Id(Vec::new()));
    }
    let pairs = c.list(0..=MOST, |c| {
        let start = c.at();
        let Some(name) = c.nstring()? else {
            c.back_to(start);
            return c.expected("the name of a field");
        };
        c.space()?;
        Ok((name, c.nstring()?))
    })?;
    Ok(Verb::Id(pairs))
}

/// `select = "SELECT" SP mailbox [SP "(" select-param *(SP select-param) ")"]`
fn select(c: &mut Cursor, read_only: bool) -> Parsed<Verb> {
    let folder = c.after_space(folder)?;
    let mut condstore = false;
    if c.goes_on() {
        c.space()?;
        c.list(1..=1, |c| {
            if c.word("CONDSTORE") {
                condstore = true;
                Ok(())
            } else {
                c.expected("CONDSTORE")
            }
        })?;
    }
    Ok(Verb::Select { folder, read_only, condstore })
}

/// `copy = "COPY" SP sequence-set SP mailbox`
fn copy(c: &mut Cursor, uid: bool, moves: bool) -> Parsed<Verb> {
    let set = c.after_space(SequenceSet::parse)?;
    let folder = c.after_space(folder)?;
    Ok(Verb::Copy { uid, set, folder, moves })
}

/// INBOX in any case is INBOX (RFC 9051 section 5.1), as the parent of others too.
fn inbox_in_capitals(name: String) -> String {
    const INBOX: &str = "INBOX";
    match name.split_at_checked(INBOX.len()) {
        Some((head, rest))
            if head.eq_ignore_ascii_case(INBOX) && (rest.is_empty() || rest.starts_with('/')) =>
        {
            format!("{INBOX}{rest}")
        }
        _ => name,
    }
}

/// `mailbox = "INBOX" / astring`
fn folder(c: &mut Cursor) -> Parsed<String> {
    let wire = c.text("the name of a folder")?;
    match utf7::decode(&wire) {
        Some(name) => Ok(inbox_in_capitals(name)),
        None => c.expected("a folder name in modified UTF-7 before"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_heard_only_as_far_as_need_be() {
        for taken in [
            "a CAPABILITY",
            "a noop",
            "a LOGOUT",
            "a STARTTLS",
            "a LOGIN bob secret",
            "a AUTHENTICATE PLAIN",
            "a ID NIL",
        ] {
            assert!(stranger(taken.as_bytes()).is_ok(), "{taken}");
        }
        let deep = format!("a SEARCH {}ALL{}", "(".repeat(10_000), ")".repeat(10_000));
        for refused in ["a SELECT", "a IDLE", "a UID", "a FETCH 1 (", "a FROBNICATE", &deep] {
            let wrong = stranger(refused.as_bytes()).unwrap_err();
            assert_eq!((wrong.tag, wrong.why), (Tag::new("a"), Why::Stranger), "{refused}");
        }
        for (broken, why) in [
            ("a LOGIN bob", "Expected a space at position 12"),
            ("a NOOP now", "Expected the end of the command at position 8"),
            ("a", "Expected a space at position 2"),
        ] {
            assert_eq!(stranger(broken.as_bytes()).unwrap_err().to_string(), why);
        }
    }

    #[test]
    fn lists_are_bounded() {
        let many = |head: &str, item: &str, count: usize, tail: &str| {
            command(format!("a {head} ({}){tail}", vec![item; count].join(" ")).as_bytes()).map(drop)
        };
        for (head, item, most, tail) in [
            ("FETCH 1", "BODY.PEEK[HEADER.FIELDS.NOT (An)]", 64, ""),
            ("FETCH 1 BODY.PEEK[HEADER.FIELDS", "An", 100, "]"),
            ("STORE 1 FLAGS", "$A", 100, ""),
            ("LIST \"\"", "*", 32, ""),
            ("STATUS INBOX", "MESSAGES", 32, ""),
            ("ID", "\"a\" \"b\"", 30, ""),
        ] {
            assert_eq!(many(head, item, most, tail), Ok(()), "{head}");
            let error = many(head, item, most + 1, tail).unwrap_err().to_string();
            assert!(error.starts_with("Expected the end of a list that is too long"), "{error}");
        }
    }
}
