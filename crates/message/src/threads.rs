//! What ties messages into threads: message ids and the base subject (RFC 5322 section 3.6.4, RFC 5256 section 2.1).

use crate::{decode, words};

/// At most this many ids are taken from one field, the newest (last) ones and the first.
const MAX_IDS: usize = 100;

/// The message ids in a field, angle brackets included, in their order; each of them can stand in a header of ours. Where
/// nobody wrote brackets, words with an `@` are taken.
pub fn message_ids(value: &[u8]) -> Vec<String> {
    let text = decode::guess(value);
    let mut ids = Vec::new();
    let mut rest = &*text;
    while let Some((_, from)) = rest.split_once('<') {
        let Some((id, after)) = from.split_once('>') else { break };
        rest = after;
        let id: String = id.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
        if is_id(&id) {
            ids.push(format!("<{id}>"));
        }
    }
    if ids.is_empty() {
        ids = text
            .split(|c: char| c.is_whitespace() || c.is_control())
            .filter(|w| w.contains('@') && is_id(w))
            .map(|w| format!("<{w}>"))
            .collect();
    }
    if ids.len() > MAX_IDS {
        ids.drain(1..=ids.len() - MAX_IDS);
    }
    ids
}

/// `id-left "@" id-right` (RFC 5322 section 3.6.4), roughly: what can stand between angle brackets in a header.
pub(crate) fn is_id(inner: &str) -> bool {
    (1..=900).contains(&inner.len()) && inner.bytes().all(|b| b.is_ascii_graphic() && b != b'<' && b != b'>')
}

/// `References` of an answer: those of the message answered, and its own id behind them; at most 20, the first kept.
pub fn references_for_reply(ancestors: &[String], id: Option<&str>) -> Vec<String> {
    let mut all: Vec<String> = ancestors.to_vec();
    all.extend(id.map(str::to_owned));
    if all.len() > 20 {
        all.drain(1..=all.len() - 20);
    }
    all
}

/// The subject without `Re:`, `Fwd:`, `[list]`, `(fwd)`, and whether there was a mark of an answer or a forward.
/// `subject` is as in the message; it is decoded here.
pub fn base_subject(subject: &str) -> (String, bool) {
    let decoded = words::decode(subject);
    // Nobody's subject is longer, and what follows is quadratic.
    let collapsed = decoded.split_whitespace().collect::<Vec<_>>().join(" ");
    let collapsed = crate::text::front(&collapsed, 1000).trim_end();
    let mut text = collapsed;
    let mut marked = false;
    loop {
        // (2) trailers
        while let Some(front) = strip_suffix_ignore_case(text, "(fwd)") {
            text = front.trim_end();
            marked = true;
        }
        // (3) to (5) leaders and blobs
        loop {
            let before = text;
            if let Some(rest) = leader(text) {
                text = rest;
                marked = true;
            } else if let Some(rest) = blob(text).filter(|rest| !rest.is_empty()) {
                text = rest;
            }
            if text == before {
                break;
            }
        }
        // (6) "[fwd: ... ]"
        match strip_prefix_ignore_case(text, "[fwd:").and_then(|t| t.strip_suffix(']')) {
            Some(inner) => {
                text = inner.trim();
                marked = true;
            }
            None => return (text.to_owned(), marked),
        }
    }
}

/// `Re: ` in front of a subject that has no mark yet; decoded.
pub fn reply_subject(subject: &str) -> String {
    let decoded = words::decode(subject).trim().to_owned();
    if strip_prefix_ignore_case(&decoded, "re:").is_some() { decoded } else { format!("Re: {decoded}") }
}

/// `(*subj-blob subj-refwd)`
fn leader(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(after) = blob(rest) {
        rest = after;
    }
    let rest = ["re", "fwd", "fw"].iter().find_map(|word| strip_prefix_ignore_case(rest, word))?;
    let rest = rest.trim_start();
    blob(rest).unwrap_or(rest).strip_prefix(':').map(str::trim_start)
}

/// `"[" *BLOBCHAR "]" *WSP`
fn blob(text: &str) -> Option<&str> {
    let (inner, rest) = text.strip_prefix('[')?.split_once(']')?;
    (!inner.contains('[')).then(|| rest.trim_start())
}

fn strip_prefix_ignore_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (front, rest) = text.split_at_checked(prefix.len())?;
    front.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn strip_suffix_ignore_case<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let (rest, end) = text.split_at_checked(text.len().checked_sub(suffix.len())?)?;
    end.eq_ignore_ascii_case(suffix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids() {
        assert_eq!(message_ids(b"<a@b>\r\n <c@ d>,<>"), ["<a@b>", "<c@d>"]);
        assert_eq!(message_ids(b"a@b junk"), ["<a@b>"]);
        assert_eq!(message_ids(b"Your message of Friday"), [""; 0]);
        let many: Vec<u8> = (0..200).flat_map(|n| format!("<{n}@x> ").into_bytes()).collect();
        let ids = message_ids(&many);
        assert_eq!(
            (ids.len(), ids[0].as_str(), ids[1].as_str(), ids[99].as_str()),
            (100, "<0@x>", "<101@x>", "<199@x>")
        );
        let refs = references_for_reply(&ids, Some("<new@x>"));
        assert_eq!((refs.len(), refs[0].as_str(), refs[19].as_str()), (20, "<0@x>", "<new@x>"));
    }

    #[test]
    fn subjects() {
        for (subject, base, marked) in [
            ("Lab results", "Lab results", false),
            ("Re: Lab  results", "Lab results", true),
            ("RE: re: Fwd: [list] Re[2]: Lab results (fwd)", "Lab results", true),
            ("[list] Lab results", "Lab results", false),
            ("[only]", "[only]", false),
            ("[fwd: Re: Lab results]", "Lab results", true),
            ("=?utf-8?Q?Re:_caf=C3=A9?=", "caf\u{e9}", true),
            ("Regarding: x", "Regarding: x", false),
            ("", "", false),
            ("Re:", "", true),
            ("[a][b] Re: c", "c", true),
        ] {
            assert_eq!(base_subject(subject), (base.to_owned(), marked), "{subject}");
        }
        assert_eq!(reply_subject("re: x"), "re: x");
        assert_eq!(reply_subject("x"), "Re: x");
    }

    proptest! {
        #[test]
        fn any_text(subject in "(re|fwd|\\[|\\]|:| |\\(fwd\\)|\\PC){0,20}", bytes in any::<Vec<u8>>()) {
            let (base, _) = base_subject(&subject);
            prop_assert_eq!(base_subject(&base).0, base);
            message_ids(&bytes);
        }
    }
}
