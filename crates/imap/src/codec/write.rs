//! Prints responses into one buffer (RFC 9051 section 7), which the session sends when it is full or has to wait.

use bytes::{BufMut, BytesMut};

use super::utf7;

/// Where responses are written.
#[derive(Debug, Default)]
pub struct Writer {
    /// What was not yet sent.
    pub out: BytesMut,
}

impl Writer {
    /// Something that is already in the wire's form.
    pub fn raw(&mut self, text: impl AsRef<[u8]>) -> &mut Self {
        self.out.extend_from_slice(text.as_ref());
        self
    }

    /// A number.
    pub fn number(&mut self, number: impl Into<u64>) -> &mut Self {
        // Twenty digits hold any number of 64 bits.
        let mut digits = [b'0'; 20];
        let mut left = number.into();
        let mut from = digits.len();
        for (at, digit) in digits.iter_mut().enumerate().rev() {
            *digit = b'0' + u8::try_from(left % 10).unwrap_or(0);
            left /= 10;
            from = at;
            if left == 0 {
                break;
            }
        }
        self.raw(digits.get(from..).unwrap_or_default())
    }

    /// `nstring`: NIL, a quoted string, or a literal for what a quoted string cannot hold.
    pub fn nstring(&mut self, value: Option<&[u8]>) -> &mut Self {
        match value {
            Some(value) => self.string(value),
            None => self.raw("NIL"),
        }
    }

    /// `string`
    pub fn string(&mut self, value: &[u8]) -> &mut Self {
        /// Longer ones are literals, so that no line grows without bound.
        const LONGEST: usize = 1000;
        if value.len() > LONGEST || !value.iter().all(|b| matches!(b, 0x20..=0x7e | b'\t')) {
            return self.literal(value);
        }
        self.out.reserve(value.len() + 2);
        self.out.put_u8(b'"');
        for &byte in value {
            if matches!(byte, b'"' | b'\\') {
                self.out.put_u8(b'\\');
            }
            self.out.put_u8(byte);
        }
        self.out.put_u8(b'"');
        self
    }

    /// `literal`, whole. A NUL, which no literal may hold, becomes a blank.
    fn literal(&mut self, value: &[u8]) -> &mut Self {
        self.literal_head(value.len() as u64);
        let from = self.out.len();
        self.raw(value);
        for byte in self.out.iter_mut().skip(from).filter(|b| **b == 0) {
            *byte = b' ';
        }
        self
    }

    /// The start of a literal of which the caller writes `size` bytes.
    pub fn literal_head(&mut self, size: u64) -> &mut Self {
        self.raw("{").number(size).raw("}\r\n")
    }

    /// A folder's name.
    pub fn folder(&mut self, name: &str) -> &mut Self {
        self.string(utf7::encode(name).as_bytes())
    }

    /// An untagged answer of one line.
    pub fn untagged(&mut self, text: impl AsRef<[u8]>) -> &mut Self {
        self.raw("* ").raw(text).raw("\r\n")
    }

    /// Ends the line.
    pub fn end(&mut self) -> &mut Self {
        self.raw("\r\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(value: &[u8]) -> String {
        let mut w = Writer::default();
        w.string(value);
        w.out.escape_ascii().to_string()
    }

    #[test]
    fn strings_are_quoted_where_they_can_be() {
        assert_eq!(string(b""), "\\\"\\\"");
        assert_eq!(string(b"a \"b\" \\"), r#"\"a \\\"b\\\" \\\\\""#);
        assert_eq!(string(b"a\r\nb"), "{4}\\r\\na\\r\\nb");
        assert_eq!(string("ä".as_bytes()), "{2}\\r\\n\\xc3\\xa4");
        assert_eq!(string(b"a\0b"), "{3}\\r\\na b");
        assert!(string(&[b'x'; 1001]).starts_with("{1001}"));
    }

    #[test]
    fn numbers_print() {
        for n in [0, 7, 10, u64::from(u32::MAX), u64::MAX] {
            let mut w = Writer::default();
            w.number(n);
            assert_eq!(w.out, n.to_string().as_bytes());
        }
    }

    #[test]
    fn folders_are_in_modified_utf7() {
        let mut w = Writer::default();
        w.folder("Entwürfe").folder("R&D");
        assert_eq!(w.out, "\"Entw&APw-rfe\"\"R&-D\"");
    }
}
