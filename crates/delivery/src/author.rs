//! Reads the author fields of what our own people send, strictly.
//!
//! Whether an author belongs to whoever signed in (S51) must not depend on how lenient a reader is: a field that two
//! programs could read differently is refused. So this is the grammar of RFC 5322 section 3.4 without its obsolete forms,
//! but for dots in a display name, which everybody writes.

use sealpost_model::Address;

/// The most authors of a message.
const MAX_AUTHORS: usize = 10;

/// `mailbox-list = mailbox *("," mailbox)`, `mailbox = [display-name] "<" addr-spec ">" / addr-spec`. `None` when the
/// value is anything else.
pub(crate) fn mailbox_list(value: &[u8]) -> Option<Vec<Address>> {
    let mut rest = value;
    let mut authors = Vec::new();
    loop {
        authors.push(mailbox(&mut rest)?);
        skip_cfws(&mut rest)?;
        match rest.split_first() {
            None => return Some(authors),
            Some((b',', after)) if authors.len() < MAX_AUTHORS => rest = after,
            Some(_) => return None,
        }
    }
}

fn mailbox(rest: &mut &[u8]) -> Option<Address> {
    skip_cfws(rest)?;
    let begin = *rest;
    // Words up to "<" are a display name; words up to the end or a comma are the address itself.
    loop {
        skip_cfws(rest)?;
        match rest.first() {
            Some(b'<') => {
                let close = rest.iter().position(|b| *b == b'>')?;
                let address = Address::parse(std::str::from_utf8(&rest[1..close]).ok()?).ok()?;
                *rest = &rest[close + 1..];
                return Some(address);
            }
            Some(b'"') => skip_quoted(rest)?,
            // An address that stands alone: none of it was taken as a name.
            Some(b'@') => {
                *rest = begin;
                return bare(rest);
            }
            Some(b) if is_word(*b) => *rest = &rest[1..],
            _ => return None,
        }
    }
}

/// `addr-spec`, without white space or comments in it.
fn bare(rest: &mut &[u8]) -> Option<Address> {
    let mut end = 0;
    while end < rest.len() && !matches!(rest[end], b',' | b' ' | b'\t' | b'\r' | b'\n' | b'(' | b'<' | b'>') {
        if rest[end] == b'"' {
            let mut quoted = &rest[end..];
            skip_quoted(&mut quoted)?;
            end = rest.len() - quoted.len();
        } else {
            end += 1;
        }
    }
    let address = Address::parse(std::str::from_utf8(&rest[..end]).ok()?).ok()?;
    *rest = &rest[end..];
    Some(address)
}

/// `atext`, the dot that everybody writes in names, and bytes beyond ASCII.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte)
}

/// `quoted-string` (section 3.2.4).
fn skip_quoted(rest: &mut &[u8]) -> Option<()> {
    let mut at = 1;
    loop {
        match rest.get(at)? {
            b'\\' => at += 2,
            b'"' => {
                *rest = &rest[at + 1..];
                return Some(());
            }
            b if *b < b' ' && !matches!(b, b'\t' | b'\r' | b'\n') => return None,
            _ => at += 1,
        }
    }
}

/// White space, folding and comments (section 3.2.2).
fn skip_cfws(rest: &mut &[u8]) -> Option<()> {
    let mut depth = 0u32;
    let mut at = 0;
    loop {
        match rest.get(at) {
            Some(b' ' | b'\t' | b'\r' | b'\n') => at += 1,
            Some(b'(') => (depth, at) = (depth + 1, at + 1),
            Some(b')') if depth > 0 => (depth, at) = (depth - 1, at + 1),
            Some(b'\\') if depth > 0 => at += 2,
            Some(b) if depth > 0 && *b >= b' ' => at += 1,
            _ if depth > 0 => return None,
            _ => {
                *rest = rest.get(at..)?;
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<Vec<String>> {
        Some(mailbox_list(value.as_bytes())?.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn takes_what_programs_write() {
        for value in [
            "bob@clinic.test",
            " bob@clinic.test\r\n",
            "Bob Berger <bob@clinic.test>",
            "\"Berger, Bob (ward 3) <x@y.z>\" <bob@clinic.test>",
            "Bob B. Berger <bob@clinic.test>",
            "=?utf-8?Q?B=C3=B6b?= <bob@clinic.test>",
            "B\u{f6}b <bob@clinic.test>",
            "<bob@clinic.test>",
            "bob@clinic.test (Bob)",
            "(a (b) \\) c) Bob\r\n\t<bob@clinic.test> (d)",
            "O'Brien-Berger <bob@clinic.test>",
        ] {
            assert_eq!(read(value).as_deref(), Some(&["bob@clinic.test".to_owned()][..]), "{value:?}");
        }
        let two = read("bob@clinic.test, \"A\" <alice@clinic.test>").expect("a list");
        assert_eq!(two, ["bob@clinic.test", "alice@clinic.test"]);
    }

    #[test]
    fn refuses_what_two_readers_could_read_differently() {
        for value in [
            "",
            ",",
            "Bob",
            "<alice@clinic.test> <bob@clinic.test>",
            "alice@clinic.test <bob@clinic.test>",
            "<alice@clinic.test>(\r\n c) <bob@clinic.test>",
            "<alice@clinic.test> x <bob@clinic.test>",
            "<@alice@clinic.test:bob@clinic.test>",
            "<bob@clinic.test",
            "bob@clinic.test>",
            "bob@clinic.test alice@clinic.test",
            "bob @clinic.test",
            "bob@clinic.test,",
            ",bob@clinic.test",
            "Friends: bob@clinic.test;",
            "bob@clinic.test; alice@clinic.test",
            "\"Bob <bob@clinic.test>",
            "(Bob <bob@clinic.test>",
            "Bob\u{0} <bob@clinic.test>",
            "Bob <bob@clinic.test> alice",
        ] {
            assert_eq!(read(value), None, "{value:?}");
        }
        let many = ["bob@clinic.test"; MAX_AUTHORS + 1].join(", ");
        assert_eq!(read(&many), None);
    }
}
