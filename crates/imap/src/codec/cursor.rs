//! A place in a command, and the small tokens that all commands are made of (RFC 9051 section 9).

use std::ops::RangeInclusive;

/// A command that does not follow the grammar: where, and what would have been right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Expected {expected} at position {at}")]
pub struct Syntax {
    /// Bytes from the start of the command, counted from 1.
    pub at: usize,
    /// What would have been right there, in words.
    pub expected: &'static str,
}

/// What a parser returns.
pub(super) type Parsed<T> = Result<T, Syntax>;

/// A place in the bytes of one command.
pub(super) struct Cursor<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(all: &'a [u8]) -> Self {
        Self { all, at: 0 }
    }

    /// The place, to come back to.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Back to a place from [`Cursor::at`], so that an error names the start of a token.
    pub fn back_to(&mut self, at: usize) {
        self.at = at;
    }

    /// Whether another item follows, rather than blanks before the end.
    pub fn goes_on(&self) -> bool {
        self.peek() == Some(b' ') && self.rest().iter().any(|&b| b != b' ')
    }

    /// The error "this was expected here".
    pub fn expected<T>(&self, expected: &'static str) -> Parsed<T> {
        Err(Syntax { at: self.at + 1, expected })
    }

    pub fn rest(&self) -> &'a [u8] {
        self.all.get(self.at..).unwrap_or_default()
    }

    pub fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    pub fn is_done(&self) -> bool {
        self.rest().is_empty()
    }

    /// Takes `byte` if it is next.
    pub fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    pub fn need(&mut self, byte: u8, expected: &'static str) -> Parsed<()> {
        if self.take(byte) { Ok(()) } else { self.expected(expected) }
    }

    pub fn space(&mut self) -> Parsed<()> {
        self.need(b' ', "a space")
    }

    /// Takes `word` in any case if it is next and ends there.
    pub fn word(&mut self, word: &str) -> bool {
        let rest = self.rest();
        let found = rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes()))
            && !rest.get(word.len()).is_some_and(|&next| is_atom(next));
        if found {
            self.at += word.len();
        }
        found
    }

    /// A space, and what `parse` finds behind it.
    pub fn after_space<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.space()?;
        parse(self)
    }

    /// The end of the command. Blanks before it are forgiven: they cannot change a meaning.
    pub fn end(&mut self) -> Parsed<()> {
        while self.take(b' ') {}
        if self.is_done() { Ok(()) } else { self.expected("the end of the command") }
    }

    /// As long a run as `belongs` accepts, at least one byte.
    pub fn run(&mut self, belongs: impl Fn(u8) -> bool, expected: &'static str) -> Parsed<&'a [u8]> {
        let rest = self.rest();
        let length = rest.iter().position(|&b| !belongs(b)).unwrap_or(rest.len());
        if length == 0 {
            return self.expected(expected);
        }
        self.at += length;
        Ok(rest.get(..length).unwrap_or_default())
    }

    /// `atom = 1*ATOM-CHAR`
    pub fn atom(&mut self, expected: &'static str) -> Parsed<&'a str> {
        let start = self.at;
        let bytes = self.run(is_atom, expected)?;
        std::str::from_utf8(bytes).map_err(|_| Syntax { at: start + 1, expected })
    }

    /// `number = 1*DIGIT`, 64 bits of it.
    pub fn number64(&mut self) -> Parsed<u64> {
        let start = self.at;
        let digits = self.run(|b| b.is_ascii_digit(), "a number")?;
        digits
            .iter()
            .try_fold(0u64, |sum, &d| sum.checked_mul(10)?.checked_add(u64::from(d - b'0')))
            .ok_or(Syntax { at: start + 1, expected: "a smaller number" })
    }

    /// `number = 1*DIGIT`, 32 bits of it.
    pub fn number(&mut self) -> Parsed<u32> {
        let start = self.at;
        u32::try_from(self.number64()?).map_err(|_| Syntax { at: start + 1, expected: "a smaller number" })
    }

    /// `nz-number`
    pub fn positive(&mut self) -> Parsed<u32> {
        let start = self.at;
        match self.number()? {
            0 => Err(Syntax { at: start + 1, expected: "a number above 0" }),
            n => Ok(n),
        }
    }

    /// `string = quoted / literal`. Bytes above 127 pass in a quoted string too: mail programs send UTF-8 so.
    pub fn string(&mut self) -> Parsed<Vec<u8>> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal(),
            _ => self.expected("a quoted string or a literal"),
        }
    }

    /// `astring = 1*ASTRING-CHAR / string`
    pub fn astring(&mut self, expected: &'static str) -> Parsed<Vec<u8>> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(),
            _ => Ok(self.run(is_astring, expected)?.to_vec()),
        }
    }

    /// An astring that is text: UTF-8 without NUL.
    pub fn text(&mut self, expected: &'static str) -> Parsed<String> {
        let start = self.at;
        let bytes = self.astring(expected)?;
        text(bytes).ok_or(Syntax { at: start + 1, expected: "text in UTF-8" })
    }

    /// `nstring = string / "NIL"`, as text.
    pub fn nstring(&mut self) -> Parsed<Option<String>> {
        if self.word("NIL") {
            return Ok(None);
        }
        let start = self.at;
        let bytes = self.string()?;
        text(bytes).map(Some).ok_or(Syntax { at: start + 1, expected: "text in UTF-8" })
    }

    /// `quoted = DQUOTE *QUOTED-CHAR DQUOTE`
    fn quoted(&mut self) -> Parsed<Vec<u8>> {
        self.need(b'"', "a quotation mark")?;
        let mut found = Vec::new();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(found);
                }
                Some(b'\\') => {
                    self.at += 1;
                    match self.peek() {
                        Some(b @ (b'"' | b'\\')) => found.push(b),
                        _ => return self.expected("a quotation mark or a backslash after a backslash"),
                    }
                }
                Some(b'\r' | b'\n' | 0) | None => return self.expected("a closing quotation mark"),
                Some(b) => found.push(b),
            }
            self.at += 1;
        }
    }

    /// `literal = "{" number ["+"] "}" CRLF *CHAR8`
    fn literal(&mut self) -> Parsed<Vec<u8>> {
        self.need(b'{', "a literal")?;
        let size = self.number()? as usize;
        self.take(b'+');
        self.need(b'}', "a closing brace")?;
        self.need(b'\r', "the end of the line")?;
        self.need(b'\n', "the end of the line")?;
        match self.rest().get(..size) {
            Some(bytes) => {
                self.at += size;
                Ok(bytes.to_vec())
            }
            None => self.expected("as many bytes as the literal promised"),
        }
    }

    /// `"(" item *(SP item) ")"`, as many items as `lengths` allows.
    pub fn list<T>(
        &mut self,
        lengths: RangeInclusive<usize>,
        mut item: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        self.need(b'(', "an opening parenthesis")?;
        let mut found = Vec::new();
        if lengths.contains(&0) && self.take(b')') {
            return Ok(found);
        }
        loop {
            if found.len() == *lengths.end() {
                return self.expected("the end of a list that is too long");
            }
            found.push(item(self)?);
            if self.take(b')') {
                return Ok(found);
            }
            self.need(b' ', "a space or a closing parenthesis")?;
        }
    }
}

/// UTF-8 without NUL.
fn text(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

/// `ATOM-CHAR`: any CHAR but `atom-specials`.
pub(super) fn is_atom(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e) && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
}

/// `ASTRING-CHAR = ATOM-CHAR / resp-specials`
pub(super) fn is_astring(byte: u8) -> bool {
    is_atom(byte) || byte == b']'
}

/// `tag = 1*<any ASTRING-CHAR except "+">`
pub(super) fn is_tag(byte: u8) -> bool {
    is_astring(byte) && byte != b'+'
}

/// `list-char = ATOM-CHAR / list-wildcards / resp-specials`
pub(super) fn is_list(byte: u8) -> bool {
    is_astring(byte) || matches!(byte, b'%' | b'*')
}
