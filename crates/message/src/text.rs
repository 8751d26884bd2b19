//! Text of a message for people: its preview, and a part's body as text.

use crate::content::Encoding;
use crate::structure::Part;
use crate::{decode, html};

/// A preview has at most this many bytes.
pub const PREVIEW: usize = 240;

/// A text part's body as text: decoded, and HTML turned into text. `body` is the part's bytes in the message.
pub fn of(part: &Part, body: &[u8]) -> String {
    let text = decode::text(part.transfer(), part.charset().as_deref(), body);
    if part.is("text", "html") { html::to_text(&text) } else { text }
}

/// The beginning of a text in one line without quoted lines, for lists of messages.
pub fn preview(encoding: Encoding, charset: Option<&str>, is_html: bool, body: &[u8]) -> String {
    let text = decode::text(encoding, charset, body);
    let text = if is_html { html::to_text(&text) } else { text };
    let mut out = String::with_capacity(PREVIEW);
    let unquoted = text.lines().filter(|line| !line.starts_with('>'));
    for word in unquoted.flat_map(str::split_whitespace) {
        let shown = |c: &char| !c.is_control() && *c != '\u{fffd}';
        if !word.chars().any(|c| shown(&c)) {
            continue;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(word.chars().filter(shown));
        if out.len() > PREVIEW {
            return cut(&out, PREVIEW);
        }
    }
    out
}

/// At most `most` bytes with a mark where it was cut, at a word's end if one is near.
pub fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let kept = front(text, most.saturating_sub('\u{2026}'.len_utf8()));
    let end = kept.len();
    let kept = match kept.rfind(' ') {
        Some(at) if at + 30 > end => kept.get(..at).unwrap_or_default(),
        _ => kept,
    };
    format!("{kept}\u{2026}")
}

/// The first `most` bytes or a little less, so that no character is cut.
pub(crate) fn front(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// A text as it is quoted in an answer: `> ` in front of each line, trailing blank lines dropped.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 20);
    for line in text.trim_end().lines() {
        out.push_str(if line.starts_with('>') { ">" } else { "> " });
        out.push_str(line);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn previews() {
        let plain = |body: &str| preview(Encoding::Identity, None, false, body.as_bytes());
        assert_eq!(plain("Dear Ann,\r\n\r\n> old\r\n  see  you\r\n"), "Dear Ann, see you");
        assert_eq!(preview(Encoding::Base64, Some("utf-8"), false, b"w6kg"), "\u{e9}");
        assert_eq!(
            preview(Encoding::Identity, None, true, b"<style>x{}</style><p>Hello <b>you</b>&amp; me</p>"),
            "Hello you& me"
        );
        let long = plain(&"word ".repeat(100));
        assert!(long.len() <= PREVIEW && long.ends_with("word\u{2026}"));
        assert!(plain(&"\u{e9}".repeat(1000)).len() <= PREVIEW);
        assert_eq!(quote("a\n> b\n\n"), "> a\n>> b\n");
    }

    proptest! {
        #[test]
        fn any_bytes(body in any::<Vec<u8>>(), is_html: bool) {
            for encoding in [Encoding::Identity, Encoding::Base64, Encoding::QuotedPrintable] {
                prop_assert!(preview(encoding, Some("iso-8859-1"), is_html, &body).len() <= PREVIEW);
            }
        }
    }
}
