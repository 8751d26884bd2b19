//! Bodies out of their transfer encoding and charset, whole or in pieces. Nothing here fails: what is broken is skipped
//! or shown as it stands.

use std::borrow::Cow;

use mail_parser::decoders::charsets::map::charset_decoder;

use crate::content::Encoding;

/// The text of a body: transfer encoding, then charset (`None`: UTF-8 where it is valid, else windows-1252).
pub fn text(encoding: Encoding, charset_name: Option<&str>, body: &[u8]) -> String {
    match encoding {
        Encoding::Identity => charset(charset_name, body),
        _ => charset(charset_name, &bytes(encoding, body)),
    }
}

/// The bytes of a body, out of its transfer encoding.
pub fn bytes(encoding: Encoding, body: &[u8]) -> Vec<u8> {
    let mut decoder = Decoder::new(encoding);
    let mut out = Vec::with_capacity(body.len());
    decoder.feed(body, &mut out);
    decoder.finish(&mut out);
    out
}

/// Base64 (RFC 4648) with anything outside of the alphabet skipped and padding optional.
pub fn base64(body: &[u8]) -> Vec<u8> {
    bytes(Encoding::Base64, body)
}

/// Quoted-printable (RFC 2045 section 6.7); broken escapes stay as they are.
pub fn quoted_printable(body: &[u8]) -> Vec<u8> {
    bytes(Encoding::QuotedPrintable, body)
}

/// Bytes of a charset as text. Unknown names and none: UTF-8 where it is valid, else windows-1252. A byte order mark in
/// front is dropped.
pub fn charset(name: Option<&str>, bytes: &[u8]) -> String {
    let name = name.map(str::trim).unwrap_or_default();
    let is = |n: &str| name.eq_ignore_ascii_case(n);
    if is("utf-8") || is("utf8") {
        return String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)).into_owned();
    }
    if (name.is_empty() || is("us-ascii") || is("ascii"))
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        return text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
    }
    match charset_decoder(name.as_bytes()).filter(|_| !name.is_empty()) {
        Some(decoder) => decoder(bytes),
        None => guess(bytes).into_owned(),
    }
}

/// Text of which no charset is known: UTF-8 where it is valid, else windows-1252.
pub(crate) fn guess(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => match charset_decoder(b"windows-1252") {
            Some(decoder) => Cow::Owned(decoder(bytes)),
            None => String::from_utf8_lossy(bytes),
        },
    }
}

/// A transfer encoding undone piece by piece, in bounded memory; the result doesn't depend on the cuts.
#[derive(Clone, Debug)]
pub struct Decoder(State);

#[derive(Clone, Debug)]
enum State {
    Identity,
    Base64 { bits: u32, count: u8 },
    Quoted { escape: Escape, spaces: Vec<u8> },
}

/// Where a quoted-printable decoder stands.
#[derive(Clone, Copy, Debug)]
enum Escape {
    /// In plain text.
    None,
    /// Behind `=`.
    Equals,
    /// Behind `=` and one hexadecimal digit.
    Digit(u8),
    /// Behind `=` and white space: a soft line break if the line ends here.
    Soft,
}

/// White space at the end of a line is dropped; a run longer than a line may be is no end of a line.
const MAX_SPACES: usize = 998;

impl Decoder {
    /// A decoder at the start of a body.
    pub const fn new(encoding: Encoding) -> Self {
        Self(match encoding {
            Encoding::Identity => State::Identity,
            Encoding::Base64 => State::Base64 { bits: 0, count: 0 },
            Encoding::QuotedPrintable => State::Quoted { escape: Escape::None, spaces: Vec::new() },
        })
    }

    /// Decodes the next piece and appends the result to `out`.
    pub fn feed(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        match &mut self.0 {
            State::Identity => out.extend_from_slice(piece),
            State::Base64 { bits, count } => {
                for &b in piece {
                    let value = BASE64[usize::from(b)];
                    if value < 64 {
                        *bits = (*bits << 6) | u32::from(value);
                        *count += 1;
                        if *count == 4 {
                            let [_, a, b, c] = bits.to_be_bytes();
                            out.extend_from_slice(&[a, b, c]);
                            (*bits, *count) = (0, 0);
                        }
                    } else if b == b'=' {
                        flush_base64(bits, count, out);
                    }
                }
            }
            State::Quoted { escape, spaces } => {
                let mut rest = piece;
                while let Some((&first, tail)) = rest.split_first() {
                    // Plain runs in one go, but for the white space at their end.
                    if matches!(escape, Escape::None) {
                        let end = memchr::memchr3(b'=', b'\r', b'\n', rest).unwrap_or(rest.len());
                        let (run, behind) = rest.split_at(end);
                        if let Some(last) = run.iter().rposition(|b| !matches!(b, b' ' | b'\t')) {
                            let (run, white) = run.split_at(last + 1);
                            out.append(spaces);
                            out.extend_from_slice(run);
                            white.iter().for_each(|b| quoted(*b, escape, spaces, out));
                            rest = behind;
                            continue;
                        }
                    }
                    quoted(first, escape, spaces, out);
                    rest = tail;
                }
            }
        }
    }

    /// Appends what was still open.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        match &mut self.0 {
            State::Identity => {}
            State::Base64 { bits, count } => flush_base64(bits, count, out),
            State::Quoted { escape, spaces } => {
                match *escape {
                    Escape::None => out.append(spaces),
                    Escape::Digit(digit) => out.extend_from_slice(&[b'=', digit]),
                    Escape::Equals | Escape::Soft => {}
                }
                spaces.clear();
                *escape = Escape::None;
            }
        }
    }
}

fn flush_base64(bits: &mut u32, count: &mut u8, out: &mut Vec<u8>) {
    match *count {
        2 => out.push((*bits >> 4).to_be_bytes()[3]),
        3 => out.extend_from_slice(&(*bits >> 2).to_be_bytes()[2..]),
        _ => {}
    }
    (*bits, *count) = (0, 0);
}

fn quoted(b: u8, escape: &mut Escape, spaces: &mut Vec<u8>, out: &mut Vec<u8>) {
    match (*escape, b) {
        (Escape::None, b'=') => {
            out.append(spaces);
            *escape = Escape::Equals;
        }
        (Escape::None, b' ' | b'\t') => {
            if spaces.len() >= MAX_SPACES {
                out.append(spaces);
            }
            spaces.push(b);
        }
        // Kept back, so that white space in front of CR LF is dropped; a CR within a line comes back with the next.
        (Escape::None, b'\r') => {
            if spaces.last() == Some(&b'\r') {
                out.append(spaces);
            }
            spaces.push(b);
        }
        (Escape::None, b'\n') => {
            if spaces.last() == Some(&b'\r') {
                out.push(b'\r');
            }
            spaces.clear();
            out.push(b'\n');
        }
        (Escape::None, b) => {
            out.append(spaces);
            out.push(b);
        }
        (Escape::Equals, b) if b.is_ascii_hexdigit() => *escape = Escape::Digit(b),
        (Escape::Equals | Escape::Soft, b'\n') => *escape = Escape::None,
        (Escape::Equals | Escape::Soft, b' ' | b'\t' | b'\r') => *escape = Escape::Soft,
        (Escape::Equals, b) => {
            out.push(b'=');
            *escape = Escape::None;
            quoted(b, escape, spaces, out);
        }
        (Escape::Soft, b) => {
            *escape = Escape::None;
            quoted(b, escape, spaces, out);
        }
        (Escape::Digit(first), b) => {
            *escape = Escape::None;
            match (char::from(first).to_digit(16), char::from(b).to_digit(16)) {
                (Some(high), Some(low)) => out.push(u8::try_from(high * 16 + low).unwrap_or(b'?')),
                _ => {
                    out.extend_from_slice(&[b'=', first]);
                    quoted(b, escape, spaces, out);
                }
            }
        }
    }
}

/// Values of the base64 alphabet (RFC 4648 section 4, and section 5's `-_`), 64 for everything else.
const BASE64: [u8; 256] = {
    let mut table = [64; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut i = 0;
    while i < 64 {
        table[alphabet[i] as usize] = i as u8;
        i += 1;
    }
    table[b'-' as usize] = 62;
    table[b'_' as usize] = 63;
    table
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn base64_is_patient() {
        for (text, out) in [
            ("", &b""[..]),
            ("Zg==", b"f"),
            ("Zm8=", b"fo"),
            ("Zm9v", b"foo"),
            ("Zm9v\r\nYm Fy\r\n", b"foobar"),
            ("Zg", b"f"),
            ("Zg==Zg==", b"ff"),
            ("Z", b""),
            ("!!!!", b""),
        ] {
            assert_eq!(base64(text.as_bytes()), out, "{text}");
        }
    }

    #[test]
    fn quoted_printable_is_patient() {
        for (text, out) in [
            ("a=20b", "a b"),
            ("caf=C3=A9", "caf\u{e9}"),
            ("caf=c3=a9", "caf\u{e9}"),
            ("soft=\r\n break", "soft break"),
            ("soft= \t\r\nbreak", "softbreak"),
            ("soft=\nbreak", "softbreak"),
            ("trailing  \t\r\nx", "trailing\r\nx"),
            ("kept=20 \r\nx", "kept \r\nx"),
            ("bad=XYz =4", "bad=XYz =4"),
            ("a==41", "a=A"),
            ("end=", "end"),
            ("end  ", "end  "),
        ] {
            assert_eq!(String::from_utf8_lossy(&quoted_printable(text.as_bytes())), out, "{text:?}");
        }
    }

    #[test]
    fn charsets() {
        assert_eq!(charset(Some("ISO-8859-1"), b"\xe9"), "\u{e9}");
        assert_eq!(charset(Some("windows-1251"), b"\xcf"), "\u{41f}");
        assert_eq!(charset(Some("Shift_JIS"), b"\x93\xfa"), "\u{65e5}");
        assert_eq!(charset(Some("gb18030"), b"\xc4\xe3"), "\u{4f60}");
        assert_eq!(charset(Some("us-ascii"), "\u{e9}".as_bytes()), "\u{e9}");
        assert_eq!(charset(None, b"\xe9"), "\u{e9}");
        assert_eq!(charset(Some("no-such"), "\u{e9}".as_bytes()), "\u{e9}");
        assert_eq!(charset(Some("utf-8"), b"\xef\xbb\xbfa\xff"), "a\u{fffd}");
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(body in proptest::collection::vec(prop_oneof![
            Just(b'='), Just(b'\r'), Just(b'\n'), Just(b' '), Just(b'A'), Just(b'4'), any::<u8>()
        ], 0..200), cut in 0_usize..200) {
            for encoding in [Encoding::Identity, Encoding::Base64, Encoding::QuotedPrintable] {
                let (a, b) = body.split_at(cut.min(body.len()));
                let mut decoder = Decoder::new(encoding);
                let mut out = Vec::new();
                decoder.feed(a, &mut out);
                decoder.feed(b, &mut out);
                decoder.finish(&mut out);
                prop_assert_eq!(out, bytes(encoding, &body));
            }
        }

        #[test]
        fn round_trips(body in any::<Vec<u8>>()) {
            prop_assert_eq!(base64(crate::encode::base64(&body).as_bytes()), body);
        }

        #[test]
        fn any_charset_of_any_bytes(name in "[a-z0-9_-]{0,50}", body in any::<Vec<u8>>()) {
            charset(Some(&name), &body);
            for name in ["utf-7", "utf-16", "utf-16le", "iso-2022-jp", "gb18030", "big5", "euc-kr", "ibm850"] {
                charset(Some(name), &body);
            }
        }
    }
}
