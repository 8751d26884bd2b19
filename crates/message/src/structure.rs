//! The MIME tree of a message with the place of each part in its bytes: all that `BODYSTRUCTURE` and `BODY[..]` need.
//!
//! A [`Structure`] is made once, by the [`Scanner`](crate::Scanner), while a message arrives. It is stored beside the
//! message, so that neither IMAP (RFC 9051 section 6.4.5) nor a web page has to read a body again to find a part of it.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::content::{self, Encoding};
use crate::envelope::EnvelopeFields;
use crate::{Error, names};

/// A run of bytes of the original message, by offset from its first byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Span {
    /// The first byte.
    pub start: u64,
    /// The first byte behind it; never before `start`.
    pub end: u64,
}

impl Span {
    /// From `start` up to `end`.
    pub const fn new(start: u64, end: u64) -> Self {
        Self { start, end: if end < start { start } else { end } }
    }

    /// How many bytes.
    pub const fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.end <= self.start
    }

    /// As a range.
    pub const fn range(self) -> Range<u64> {
        self.start..self.end
    }

    /// Those bytes of a message that is in memory whole; empty where `message` is too short.
    pub fn of(self, message: &[u8]) -> &[u8] {
        let end = usize::try_from(self.end).unwrap_or(usize::MAX).min(message.len());
        let start = usize::try_from(self.start).unwrap_or(usize::MAX).min(end);
        message.get(start..end).unwrap_or_default()
    }
}

/// A whole message: its size and its tree.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Structure {
    /// Size of the message in bytes (`RFC822.SIZE`).
    pub size: u64,
    /// The message itself as the outermost part.
    pub root: Part,
}

/// One body part (RFC 2046): where it lies and what its header says of it.
///
/// Strings are as in the message (encoded words and RFC 2231 forms untouched), because that is what IMAP shows; the
/// methods decode. Bytes that are not UTF-8 were read as windows-1252.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its header, the blank line behind it included.
    pub header: Span,
    /// Its body, without the line end that belongs to the next boundary.
    pub body: Span,
    /// Lines in the body; a last line without a line end counts.
    pub lines: u64,
    /// `text`, `image`, `multipart`, ..., in lower case.
    pub kind: String,
    /// `plain`, `jpeg`, `mixed`, ..., in lower case.
    pub subtype: String,
    /// Parameters of Content-Type: names in lower case, values unquoted, `name*0*` forms untouched, in their order.
    pub params: Vec<(String, String)>,
    /// Content-Disposition (RFC 2183).
    pub disposition: Option<Disposition>,
    /// Content-ID, angle brackets included.
    pub id: Option<String>,
    /// Content-Description.
    pub description: Option<String>,
    /// Content-Transfer-Encoding in lower case; `None` is `7bit`.
    pub encoding: Option<String>,
    /// Content-MD5.
    pub md5: Option<String>,
    /// Content-Language.
    pub language: Vec<String>,
    /// Content-Location.
    pub location: Option<String>,
    /// What is inside.
    pub nested: Nested,
}

/// Content-Disposition.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disposition {
    /// `inline`, `attachment`, ..., in lower case.
    pub kind: String,
    /// Its parameters, like [`Part::params`].
    pub params: Vec<(String, String)>,
}

/// What a part contains.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Nested {
    /// No parts.
    Leaf,
    /// The parts of a `multipart/*`; at least one.
    Multipart(Vec<Part>),
    /// The message in a `message/rfc822` or `message/global`.
    Message(Box<Embedded>),
}

/// A message within a message.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Embedded {
    /// Its envelope.
    pub envelope: EnvelopeFields,
    /// The message: `root.header` is its header, `root.body` its text.
    pub root: Part,
}

/// Which bytes of a part (`section-text` in RFC 9051 section 9).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Section {
    /// `BODY[]`, `BODY[1.2]`.
    Whole,
    /// `HEADER`: the header of the message, or of the message in a `message/rfc822` part.
    Header,
    /// `TEXT`: what follows that header.
    Text,
    /// `MIME`: the header of the part itself.
    Mime,
}

/// What to show of a message (see [`Structure::display`]). Nothing of the message is missing from it.
#[derive(Clone, Default)]
pub struct Display<'a> {
    /// All of its text in its order; of alternatives the plain one. A part of it may be HTML: read it with
    /// [`text::of`](crate::text::of).
    pub text: Vec<Numbered<'a>>,
    /// The same with the HTML of alternatives; empty when there is no HTML at all. A part of it may be plain: read it
    /// with [`html::of`](crate::html::of).
    pub html: Vec<Numbered<'a>>,
    /// Pictures that the HTML may show by their Content-ID.
    pub inline: Vec<Numbered<'a>>,
    /// All else, files to fetch, and behind them the pictures in `inline`, because a text shows none. A nested message
    /// is one file.
    pub attachments: Vec<Numbered<'a>>,
}

/// A part and its number as IMAP writes it (`1.2`); the text of a message without parts is `1`.
#[derive(Clone)]
pub struct Numbered<'a> {
    /// The part's number.
    pub number: Vec<u32>,
    /// The part.
    pub part: &'a Part,
}

impl Numbered<'_> {
    /// The number as `1.2`.
    pub fn dotted(&self) -> String {
        dotted(&self.number)
    }
}

/// The format of stored structures and envelopes.
const FORMAT: u8 = 1;

impl Structure {
    /// The structure as it is stored: a format byte, then postcard.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads what [`Structure::encode`] wrote.
    ///
    /// # Errors
    /// [`Error::Stored`] when the bytes are anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        decode(bytes)
    }

    /// The part with this number (`[1, 2]` is `1.2`), by the numbering of RFC 9051 section 6.4.5: a message that isn't
    /// multipart has one part, number 1. The empty number is the message itself.
    pub fn part(&self, number: &[u32]) -> Option<&Part> {
        let Some((&first, rest)) = number.split_first() else { return Some(&self.root) };
        let mut part = member(&self.root, first)?;
        for &n in rest {
            part = match &part.nested {
                Nested::Multipart(parts) => nth(parts, n)?,
                Nested::Message(inner) => member(&inner.root, n)?,
                Nested::Leaf => return None,
            };
        }
        Some(part)
    }

    /// The bytes that a section names, or `None` when there is no such section.
    pub fn section(&self, number: &[u32], section: Section) -> Option<Span> {
        if number.is_empty() {
            return match section {
                Section::Whole => Some(Span::new(0, self.size)),
                Section::Header => Some(self.root.header),
                Section::Text => Some(self.root.body),
                Section::Mime => None,
            };
        }
        let part = self.part(number)?;
        match section {
            Section::Whole => Some(part.body),
            Section::Mime => Some(part.header),
            Section::Header | Section::Text => match &part.nested {
                Nested::Message(inner) if section == Section::Header => Some(inner.root.header),
                Nested::Message(inner) => Some(inner.root.body),
                _ => None,
            },
        }
    }

    /// All leaves and nested messages in their order, with their numbers; does not look into nested messages.
    pub fn leaves(&self) -> Vec<Numbered<'_>> {
        fn walk<'a>(part: &'a Part, number: &mut Vec<u32>, out: &mut Vec<Numbered<'a>>) {
            if let Nested::Multipart(parts) = &part.nested {
                for (n, part) in (1..).zip(parts) {
                    number.push(n);
                    walk(part, number, out);
                    number.pop();
                }
            } else {
                let number = if number.is_empty() { vec![1] } else { number.clone() };
                out.push(Numbered { number, part });
            }
        }
        let mut out = Vec::new();
        walk(&self.root, &mut Vec::new(), &mut out);
        out
    }

    /// Sorts the leaves into what a person reads and what they fetch.
    pub fn display(&self) -> Display<'_> {
        let mut display = Display::default();
        display.add(&self.root, &mut Vec::new(), false);
        display.attachments.extend(display.inline.iter().cloned());
        if !display.html.iter().any(|n| n.part.is("text", "html")) {
            display.html.clear();
            display.inline.clear();
        }
        display
    }
}

impl<'a> Display<'a> {
    /// Sorts a part and what is in it; `related`: inside of `multipart/related`.
    fn add(&mut self, part: &'a Part, number: &mut Vec<u32>, related: bool) {
        let Nested::Multipart(parts) = &part.nested else {
            let number = if number.is_empty() { vec![1] } else { number.clone() };
            return self.leaf(Numbered { number, part }, related);
        };
        let related = related || part.subtype == "related";
        if part.subtype != "alternative" {
            for (n, part) in (1..).zip(parts) {
                number.push(n);
                self.add(part, number, related);
                number.pop();
            }
            return;
        }
        let mut ways: Vec<Self> = Vec::with_capacity(parts.len());
        for (n, part) in (1..).zip(parts) {
            let mut way = Self::default();
            number.push(n);
            way.add(part, number, related);
            number.pop();
            self.inline.append(&mut way.inline);
            self.attachments.append(&mut way.attachments);
            ways.push(way);
        }
        // The last alternative is the richest (RFC 2046 section 5.1.4); an empty one is none.
        let is_html = |n: &Numbered<'_>| n.part.is("text", "html");
        let text = ways.iter().find(|w| !w.text.is_empty() && !w.text.iter().any(is_html));
        let rich = ways.iter().rfind(|w| w.html.iter().any(is_html));
        if let Some(way) = text.or(rich) {
            self.text.extend(way.text.iter().cloned());
        }
        if let Some(way) = rich.or(text) {
            self.html.extend(way.html.iter().cloned());
        }
    }

    fn leaf(&mut self, leaf: Numbered<'a>, related: bool) {
        let part = leaf.part;
        let inline = part.disposition.as_ref().is_some_and(|d| d.kind == "inline");
        let file = part.is_attachment() || (part.file_name().is_some() && !inline);
        if related && part.id.is_some() && part.kind == "image" && !part.is_attachment() {
            self.inline.push(leaf);
        } else if file || !(part.is("text", "plain") || part.is("text", "html")) {
            self.attachments.push(leaf);
        } else if !part.body.is_empty() {
            self.text.push(leaf.clone());
            self.html.push(leaf);
        }
    }
}

impl Part {
    /// Whether it is of this type; both in lower case.
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind == kind && self.subtype == subtype
    }

    /// `image/png`.
    pub fn content_type(&self) -> String {
        format!("{}/{}", self.kind, self.subtype)
    }

    /// Size of the body in bytes, as it stands in the message.
    pub const fn size(&self) -> u64 {
        self.body.len()
    }

    /// The parts of a multipart; empty for everything else.
    pub fn parts(&self) -> &[Part] {
        match &self.nested {
            Nested::Multipart(parts) => parts,
            _ => &[],
        }
    }

    /// How the body is encoded.
    pub fn transfer(&self) -> Encoding {
        Encoding::parse(self.encoding.as_deref().unwrap_or("7bit"))
    }

    /// A parameter of Content-Type, decoded (RFC 2231, RFC 2047). `name` in lower case.
    pub fn param(&self, name: &str) -> Option<String> {
        content::param(&self.params, name)
    }

    /// The `charset` parameter.
    pub fn charset(&self) -> Option<String> {
        self.param("charset")
    }

    /// Whether it says that it is an attachment.
    pub fn is_attachment(&self) -> bool {
        self.disposition.as_ref().is_some_and(|d| d.kind == "attachment")
    }

    /// The file name that the sender gave, decoded and made safe (see [`names::safe`]); Content-Disposition wins.
    pub fn file_name(&self) -> Option<String> {
        self.disposition
            .as_ref()
            .and_then(|d| content::param(&d.params, "filename"))
            .or_else(|| self.param("name"))
            .filter(|name| !name.trim().is_empty())
            .map(|name| names::safe(&name))
    }

    /// A file name in any case: the sender's, or one made from type and number (`part-2.png`, `message.eml`).
    pub fn file_name_or(&self, number: &[u32]) -> String {
        self.file_name().unwrap_or_else(|| {
            format!("part-{}.{}", dotted(number), names::extension(&self.kind, &self.subtype))
        })
    }

    /// The Content-ID without its angle brackets, as `cid:` links name it.
    pub fn cid(&self) -> Option<&str> {
        let id = self.id.as_deref()?.trim();
        Some(id.strip_prefix('<').unwrap_or(id).strip_suffix('>').unwrap_or(id))
    }
}

/// Bodies' structure may tell names and subjects: `Debug` shows only its shape.
impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let nested = match &self.nested {
            Nested::Leaf => 0,
            Nested::Multipart(parts) => parts.len(),
            Nested::Message(_) => 1,
        };
        f.debug_struct("Part")
            .field("header", &self.header.range())
            .field("body", &self.body.range())
            .field("lines", &self.lines)
            .field("nested", &nested)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Structure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Structure").field("size", &self.size).field("root", &self.root).finish()
    }
}

/// `1.2`
pub fn dotted(number: &[u32]) -> String {
    number.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
}

/// Part `n` of a message: of its multipart, or the message's own body as part 1.
fn member(root: &Part, n: u32) -> Option<&Part> {
    match &root.nested {
        Nested::Multipart(parts) => nth(parts, n),
        _ if n == 1 => Some(root),
        _ => None,
    }
}

fn nth(parts: &[Part], n: u32) -> Option<&Part> {
    parts.get(usize::try_from(n.checked_sub(1)?).ok()?)
}

/// A format byte, then postcard.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let start = vec![FORMAT];
    postcard::to_extend(value, start).expect("writing these types into memory cannot fail")
}

pub(crate) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Error> {
    match bytes.split_first() {
        Some((&FORMAT, rest)) => match postcard::take_from_bytes(rest) {
            Ok((value, [])) => Ok(value),
            _ => Err(Error::Stored),
        },
        _ => Err(Error::Stored),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan;

    /// Multiparts as `subtype(..)`, leaves by a letter.
    fn write(tree: &str, out: &mut String) {
        let mut number = 0;
        let mut open = Vec::new();
        let mut rest = tree;
        while let Some(c) = rest.chars().next() {
            if let Some(&n) = open.last()
                && c != ')'
                && c != ' '
            {
                out.push_str(&format!("\r\n--b{n}.\r\n"));
            }
            let (subtype, tail) = match rest.split_once('(') {
                Some((word, tail)) if word.chars().all(|c| c.is_ascii_lowercase()) => (Some(word), tail),
                _ => (None, rest.get(1..).unwrap_or_default()),
            };
            rest = tail;
            match (subtype, c) {
                (Some(subtype), _) => {
                    number += 1;
                    open.push(number);
                    out.push_str(&format!("Content-Type: multipart/{subtype}; boundary=b{number}.\r\n\r\n"));
                }
                (_, ')') => {
                    let n = open.pop().unwrap();
                    out.push_str(&format!("\r\n--b{n}.--\r\n"));
                }
                (_, 'T') => out.push_str("Content-Type: text/plain\r\n\r\nT"),
                (_, 'E') => out.push_str("Content-Type: text/plain\r\n\r\n"),
                (_, 'H') => out.push_str("Content-Type: text/html\r\n\r\nH"),
                (_, 'P') => out.push_str("Content-Type: image/png\r\nContent-ID: <p>\r\n\r\nP"),
                (_, 'F') => out.push_str("Content-Type: text/plain; name=f\r\n\r\nF"),
                (_, 'C') => out.push_str("Content-Type: text/calendar\r\n\r\nC"),
                (_, 'M') => out.push_str("Content-Type: message/rfc822\r\n\r\nSubject: m\r\n\r\nM"),
                _ => {}
            }
        }
    }

    #[test]
    fn nothing_is_lost_from_display() {
        for (tree, text, html, attachments) in [
            ("T", "T", "", ""),
            ("H", "H", "H", ""),
            ("alternative(T H)", "T", "H", ""),
            ("alternative(T related(H P))", "T", "H", "P"),
            ("related(alternative(T H) P)", "T", "H", "P"),
            ("mixed(alternative(T H) F P)", "T", "H", "FP"),
            ("mixed(H T)", "HT", "HT", ""),
            ("mixed(T H)", "TH", "TH", ""),
            ("mixed(T P T)", "TT", "", "P"),
            ("alternative(E H C)", "H", "H", "C"),
            ("alternative(T C)", "T", "", "C"),
            ("related(T P)", "T", "", "P"),
            ("mixed(T M)", "T", "", "M"),
            ("signed(mixed(alternative(T H) F) F)", "T", "H", "FF"),
            ("alternative(T mixed(H F H))", "T", "HH", "F"),
        ] {
            let mut message = String::new();
            write(tree, &mut message);
            let structure = scan(message.as_bytes()).structure;
            let display = structure.display();
            let show = |parts: &[Numbered<'_>]| -> String {
                let last = |n: &Numbered<'_>| n.part.body.of(message.as_bytes()).last().copied();
                parts.iter().filter_map(last).map(char::from).collect()
            };
            assert_eq!(show(&display.text), text, "text of {tree}");
            assert_eq!(show(&display.html), html, "html of {tree}");
            assert_eq!(show(&display.attachments), attachments, "attachments of {tree}");
        }
    }
}
