//! Encoded words in headers (RFC 2047), both ways.

use crate::decode;

/// Decodes the encoded words in an unfolded header text. White space between two of them is dropped (section 6.2), and
/// neighbours of one charset are decoded together, because many programs cut a character in two.
pub fn decode(text: &str) -> String {
    if !text.contains("=?") {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut pending: Option<(&str, Vec<u8>)> = None;
    let mut rest = text;
    while let Some(at) = rest.find("=?") {
        let (before, from) = rest.split_at(at);
        let Some(word) = Word::parse(from) else {
            flush(&mut pending, &mut out);
            out.push_str(before);
            out.push_str("=?");
            rest = from.get(2..).unwrap_or_default();
            continue;
        };
        let joined = pending.is_some() && before.bytes().all(|b| b.is_ascii_whitespace());
        if !joined {
            flush(&mut pending, &mut out);
            out.push_str(before);
        }
        match &mut pending {
            Some((charset, bytes)) if charset.eq_ignore_ascii_case(word.charset) && joins(charset) => {
                bytes.extend_from_slice(&word.bytes);
            }
            _ => {
                flush(&mut pending, &mut out);
                pending = Some((word.charset, word.bytes));
            }
        }
        rest = word.rest;
    }
    flush(&mut pending, &mut out);
    out.push_str(rest);
    out
}

/// Encodes a header text where it must be: printable ASCII stays, everything else becomes UTF-8 encoded words of at
/// most 75 characters, separated by single spaces. Control characters (line ends above all) become spaces.
pub fn encode(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let longest = clean.split(' ').map(str::len).max().unwrap_or(0);
    if clean.is_ascii() && !clean.contains("=?") && longest <= 900 {
        return clean;
    }
    let mut out = String::with_capacity(clean.len() * 2);
    let mut chunk = String::new();
    for c in clean.chars() {
        // 12 characters of frame, 45 bytes make 60 characters of base64.
        if chunk.len() + c.len_utf8() > 45 {
            push_word(&mut out, &chunk);
            chunk.clear();
        }
        chunk.push(c);
    }
    if !chunk.is_empty() {
        push_word(&mut out, &chunk);
    }
    out
}

/// A display name for the front of `<address>`: as atoms, quoted, or encoded; empty when `name` is blank.
pub fn phrase(name: &str) -> String {
    let clean: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let clean = clean.trim();
    let atoms = |b: u8| b.is_ascii_alphanumeric() || b" !#$%&'*+-/=?^_`{|}~".contains(&b);
    if !clean.is_ascii() || clean.contains("=?") {
        encode(clean)
    } else if clean.bytes().all(atoms) {
        clean.to_owned()
    } else {
        format!("\"{}\"", clean.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

fn push_word(out: &mut String, chunk: &str) {
    if !out.is_empty() {
        out.push(' ');
    }
    out.push_str("=?utf-8?B?");
    out.push_str(&crate::encode::base64(chunk.as_bytes()));
    out.push_str("?=");
}

/// Charsets that keep no state: a character cut between two words can be put together.
fn joins(charset: &str) -> bool {
    let charset = charset.to_ascii_lowercase();
    !(charset.starts_with("iso-2022") || charset.starts_with("utf-7") || charset.starts_with("utf-16"))
}

fn flush(pending: &mut Option<(&str, Vec<u8>)>, out: &mut String) {
    if let Some((charset, bytes)) = pending.take() {
        // A line end that was smuggled in by encoding must not act as one.
        out.extend(
            decode::charset(Some(charset), &bytes).chars().map(|c| if c.is_control() { ' ' } else { c }),
        );
    }
}

/// `"=?" charset ["*" language] "?" encoding "?" encoded-text "?="`
struct Word<'a> {
    charset: &'a str,
    bytes: Vec<u8>,
    rest: &'a str,
}

impl<'a> Word<'a> {
    fn parse(from: &'a str) -> Option<Self> {
        let (charset, after) = from.strip_prefix("=?")?.split_once('?')?;
        let (encoding, after) = after.split_once('?')?;
        let (text, rest) = after.split_once("?=")?;
        let charset = charset.split_once('*').map_or(charset, |(c, _)| c);
        if charset.is_empty() || charset.len() > 60 || charset.bytes().any(|b| !b.is_ascii_graphic()) {
            return None;
        }
        let bytes = match encoding {
            "b" | "B" => decode::base64(text.as_bytes()),
            "q" | "Q" => q(text.as_bytes()),
            _ => return None,
        };
        Some(Self { charset, bytes, rest })
    }
}

/// The Q encoding (section 4.2).
fn q(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut i = 0;
    while let Some(&b) = text.get(i) {
        let hex = |at: usize| text.get(at).and_then(|&b| char::from(b).to_digit(16));
        i += 1;
        match (b, hex(i), hex(i + 1)) {
            (b'=', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                i += 2;
            }
            (b'_', ..) => out.push(b' '),
            _ => out.push(b),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_the_examples_of_rfc_2047_section_8() {
        for (text, decoded) in [
            ("=?ISO-8859-1?Q?a?=", "a"),
            ("=?ISO-8859-1?Q?a?= b", "a b"),
            ("=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
            ("=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=", "ab"),
            ("=?ISO-8859-1?Q?a_b?=", "a b"),
            ("=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
            ("=?US-ASCII?Q?Keith_Moore?=", "Keith Moore"),
            ("=?ISO-8859-1?Q?Keld_J=F8rn_Simonsen?= <k@d.dk>", "Keld J\u{f8}rn Simonsen <k@d.dk>"),
            ("=?ISO-8859-1*en?B?SWYgeW91?=", "If you"),
        ] {
            assert_eq!(decode(text), decoded, "{text}");
        }
    }

    #[test]
    fn decodes_what_programs_write() {
        for (text, decoded) in [
            ("=?utf-8?B?ww==?= =?utf-8?B?qQ==?=", "\u{e9}"),
            ("=?utf-8?Q?=C3?=\r\n =?utf-8?Q?=A9?=", "\u{e9}"),
            ("=?utf-8?Q?=41=?=", "A="),
            ("Re: =?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "Re: \u{65e5}\u{672c}"),
            ("=?broken", "=?broken"),
            ("=?x?y?z?=", "=?x?y?z?="),
            ("=?nobody-knows?Q?caf=C3=A9?=", "caf\u{e9}"),
            ("=?utf-8?Q?a=0D=0ABcc:_x?=", "a  Bcc: x"),
        ] {
            assert_eq!(decode(text), decoded, "{text}");
        }
    }

    #[test]
    fn encodes_and_guards() {
        assert_eq!(encode("Hello"), "Hello");
        assert_eq!(encode("a\r\nBcc: b"), "a  Bcc: b");
        assert_eq!(encode("\u{e9}"), "=?utf-8?B?w6k=?=");
        assert_eq!(phrase("Ann Lee"), "Ann Lee");
        assert_eq!(phrase("Lee, \"Ann\""), "\"Lee, \\\"Ann\\\"\"");
        assert_eq!(phrase("=?x"), "=?utf-8?B?PT94?=");
        let long = "\u{65e5}\u{672c} ".repeat(100);
        let encoded = encode(&long);
        assert!(encoded.split(' ').all(|w| w.len() <= 75));
        assert_eq!(decode(&encoded), long);
    }
}
