//! Transfer encodings for what we compose. Everything we write is 7bit on the wire, so that no next hop lacks 8BITMIME.

use std::borrow::Cow;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 (RFC 4648) with padding and without line ends.
pub fn base64(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    push_base64(bytes, &mut out);
    ascii(out)
}

/// Base64 in lines of 76 characters, each ending in CR LF.
pub fn base64_lines(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len().div_ceil(57) * 78);
    for line in bytes.chunks(57) {
        push_base64(line, &mut out);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Quoted-printable (RFC 2045 section 6.7) of a text: lines of at most 76 characters, line ends become CR LF, the last
/// line gets one. `From ` and a lone dot in front of a line are escaped, so that no relay touches them.
pub fn quoted_printable(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 8 + 2);
    for line in lines(text) {
        let bytes = line.as_bytes();
        let mut column = 0;
        for (i, &b) in bytes.iter().enumerate() {
            let last = i + 1 == bytes.len();
            let plain = match b {
                b' ' | b'\t' => !last,
                b'=' => false,
                b'.' => column > 0 || bytes.len() != 1,
                b'F' => column > 0 || !bytes[i..].starts_with(b"From "),
                b => (b'!'..=b'~').contains(&b),
            };
            let width = if plain { 1 } else { 3 };
            // 76 with the soft break's `=`, but a line that ends here needs none.
            if column + width > if last { 76 } else { 75 } {
                out.extend_from_slice(b"=\r\n");
                column = 0;
            }
            if plain {
                out.push(b);
            } else {
                out.push(b'=');
                out.extend_from_slice(&hex(b));
            }
            column += width;
        }
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// A text with CR LF at each line's end, or `None` if it can't go as 7bit: beyond ASCII, control characters, lines longer
/// than 76 (some relays fold), trailing white space or lines that a relay may touch.
pub fn seven_bit(text: &str) -> Option<Vec<u8>> {
    let fine = |line: &str| {
        line.len() <= 76
            && line.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b))
            && !line.ends_with([' ', '\t'])
            && !line.starts_with("From ")
            && line != "."
    };
    if !lines(text).all(fine) {
        return None;
    }
    let mut out = Vec::with_capacity(text.len() + 16);
    for line in lines(text) {
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    Some(out)
}

/// Lines without their ends, whatever those are (CR LF, LF, CR).
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let text = text.strip_suffix("\r\n").or_else(|| text.strip_suffix(['\n', '\r'])).unwrap_or(text);
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let current = rest?;
        match current.find(['\r', '\n']) {
            Some(at) => {
                let (line, tail) = current.split_at(at);
                rest = tail.strip_prefix("\r\n").or_else(|| tail.get(1..));
                Some(line)
            }
            None => rest.take(),
        }
    })
}

/// A parameter of a structured header: ` name=value`, quoted where needed, RFC 2231 beyond ASCII. Long values are cut
/// into continuations, each on a line of its own.
pub fn parameter(name: &str, value: &str) -> String {
    let clean: String = value.chars().map(|c| if c.is_control() { '_' } else { c }).collect();
    if clean.is_ascii() && clean.len() <= 60 {
        return if !clean.is_empty() && clean.bytes().all(is_token) {
            format!(";\r\n {name}={clean}")
        } else {
            format!(";\r\n {name}=\"{}\"", clean.replace('\\', "\\\\").replace('"', "\\\""))
        };
    }
    let mut pieces = vec![String::from("utf-8''")];
    for c in clean.chars() {
        let mut buffer = [0; 4];
        let encoded: Cow<'_, str> = match u8::try_from(c) {
            Ok(b) if is_token(b) && !b"*'%".contains(&b) => Cow::Owned(c.to_string()),
            _ => c.encode_utf8(&mut buffer).bytes().map(|b| format!("%{b:02X}")).collect(),
        };
        match pieces.last_mut() {
            Some(piece) if piece.len() + encoded.len() <= 60 => piece.push_str(&encoded),
            _ => pieces.push(encoded.into_owned()),
        }
    }
    if let [piece] = pieces.as_slice() {
        return format!(";\r\n {name}*={piece}");
    }
    pieces.iter().enumerate().map(|(n, piece)| format!(";\r\n {name}*{n}*={piece}")).collect()
}

/// Folds a header line at white space so that lines stay within 76 where they can (RFC 5322 section 2.2.3), CR LF at its
/// end. Control characters in the value become spaces: nothing in it can start another header.
pub fn header(name: &str, value: &str) -> String {
    let mut out = String::with_capacity(name.len() + value.len() + 8);
    out.push_str(name);
    out.push(':');
    let mut column = out.len();
    for word in value.split(|c: char| c == ' ' || c.is_control()).filter(|w| !w.is_empty()) {
        if column + 1 + word.chars().count() > 76 && column > name.len() + 1 {
            out.push_str("\r\n");
            column = 0;
        }
        out.push(' ');
        out.push_str(word);
        column += 1 + word.chars().count();
    }
    out.push_str("\r\n");
    out
}

fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$&+-.^_`{|}~".contains(&b)
}

fn push_base64(bytes: &[u8], out: &mut Vec<u8>) {
    for group in bytes.chunks(3) {
        let (a, b, c) = (group[0], group.get(1).copied(), group.get(2).copied());
        let bits = u32::from_be_bytes([0, a, b.unwrap_or(0), c.unwrap_or(0)]);
        let digit = |shift: u32| ALPHABET[((bits >> shift) & 63) as usize];
        out.push(digit(18));
        out.push(digit(12));
        out.push(if b.is_some() { digit(6) } else { b'=' });
        out.push(if c.is_some() { digit(0) } else { b'=' });
    }
}

fn hex(b: u8) -> [u8; 2] {
    let digit = |n: u8| b"0123456789ABCDEF"[usize::from(n)];
    [digit(b >> 4), digit(b & 15)]
}

fn ascii(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("the alphabet is ASCII")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{content, decode};

    #[test]
    fn writes_short_lines() {
        assert_eq!(base64(b"foob"), "Zm9vYg==");
        assert_eq!(base64_lines(&[0; 58]).len(), 78 + 6);
        assert_eq!(quoted_printable("caf\u{e9} = \nx "), b"caf=C3=A9 =3D=20\r\nx=20\r\n");
        assert_eq!(quoted_printable(".\nFrom me"), b"=2E\r\n=46rom me\r\n");
        assert_eq!(seven_bit("a\nb"), Some(b"a\r\nb\r\n".to_vec()));
        assert_eq!(seven_bit("\u{e9}"), None);
        assert_eq!(header("Subject", "a\r\nBcc: x"), "Subject: a Bcc: x\r\n");
    }

    #[test]
    fn parameters_come_back() {
        for value in
            ["a.txt", "a b.txt", "a\"b\\c", "\u{65e5}\u{672c}.pdf", &"long name ".repeat(20), "it's 100%*"]
        {
            let line = format!("attachment{}", parameter("filename", value));
            let unfolded = line.replace("\r\n", "");
            assert_eq!(content::param(&content::parse(&unfolded).params, "filename").as_deref(), Some(value));
            assert!(line.split("\r\n").all(|l| l.len() <= 78), "{line}");
        }
    }

    proptest! {
        #[test]
        fn quoted_printable_comes_back(text in "\\PC*( |\t|\n|\\PC){0,200}") {
            let encoded = quoted_printable(&text);
            prop_assert!(encoded.split(|&b| b == b'\n').all(|l| l.len() <= 77));
            prop_assert!(encoded.is_ascii());
            let back = String::from_utf8(decode::quoted_printable(&encoded)).expect("valid");
            let expected = text.strip_suffix('\n').unwrap_or(&text).replace('\n', "\r\n") + "\r\n";
            prop_assert_eq!(back, expected);
        }

        #[test]
        fn headers_stay_one_header(value in any::<String>()) {
            let line = header("Subject", &value);
            prop_assert_eq!(crate::headers::fields(line.as_bytes()).count(), 1);
        }
    }
}
