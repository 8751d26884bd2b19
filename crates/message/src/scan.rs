//! A streaming scanner of MIME structure: bytes go in as they arrive, a tree with offsets comes out; memory is bounded.
//!
//! It works line by line. A line ends with LF, with or without a CR before it; a CR alone ends nothing. What a line is
//! depends on the innermost open part: a header line, or a body line that may be a boundary (RFC 2046 section 5.1.1) of
//! any multipart that is open, the longest match winning. Nothing depends on how the input was cut: a line's head is
//! kept until the line is decided, and only then acted upon.
//!
//! Broken mail is read, never refused here; [`Faults`] says what was found, and the caller decides.

use crate::content::{self, Encoding};
use crate::envelope::EnvelopeFields;
use crate::structure::{Disposition, Embedded, Nested, Part, Span, Structure};
use crate::{headers, text};

/// What a message may have. Whatever lies beyond is not looked into, and [`Faults`] tells.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Parts, all levels together.
    pub parts: usize,
    /// Levels of parts and of messages within messages.
    pub depth: usize,
    /// Bytes of one header that are kept.
    pub header: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { parts: 1000, depth: 32, header: 256 * 1024 }
    }
}

/// A set of things found in a message.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Faults(u16);

impl Faults {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// A CR without LF (RFC 5321 section 2.3.8 forbids it: a way to smuggle).
    pub const BARE_CR: Self = Self(1);
    /// An LF without CR before it.
    pub const BARE_LF: Self = Self(2);
    /// A NUL byte.
    pub const NUL: Self = Self(4);
    /// A message header longer than [`Limits::header`].
    pub const HEADER_TOO_LARGE: Self = Self(8);
    /// More than [`Limits::parts`].
    pub const TOO_MANY_PARTS: Self = Self(16);
    /// Deeper than [`Limits::depth`].
    pub const TOO_DEEP: Self = Self(32);
    /// A line of more than 998 bytes (RFC 5322 section 2.1.1).
    pub const LINE_TOO_LONG: Self = Self(64);
    /// Bytes beyond ASCII in a header: the next hop needs SMTPUTF8, strictly.
    pub const EIGHT_BIT_HEADER: Self = Self(128);
    /// Bytes beyond ASCII in a body: the next hop needs 8BITMIME.
    pub const EIGHT_BIT_BODY: Self = Self(256);
    /// A multipart whose last boundary is missing.
    pub const UNCLOSED: Self = Self(512);
    /// A multipart without any boundary.
    pub const NO_BOUNDARY: Self = Self(1024);
    /// A header line that is neither field nor continuation.
    pub const BAD_HEADER_LINE: Self = Self(2048);
    /// Headers of parts so long that they were not read to their end.
    pub const PART_HEADER_CUT: Self = Self(4096);

    /// Whether all of `other` are in it.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is in it.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether a limit was passed: refuse such a message (5.6.0), its structure is not complete.
    pub const fn over_limit(self) -> bool {
        self.intersects(Self(Self::HEADER_TOO_LARGE.0 | Self::TOO_MANY_PARTS.0 | Self::TOO_DEEP.0))
    }

    /// Whether there are bytes that two servers may read differently: never let such a message in or out over SMTP.
    pub const fn smuggling(self) -> bool {
        self.intersects(Self(Self::BARE_CR.0 | Self::BARE_LF.0 | Self::NUL.0))
    }

    const fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// What came out.
#[derive(Clone, PartialEq, Eq)]
pub struct Scanned {
    /// The tree, to be stored.
    pub structure: Structure,
    /// The message's envelope, to be stored.
    pub envelope: EnvelopeFields,
    /// The message's own header, blank line included; at most [`Limits::header`] bytes.
    pub header: Vec<u8>,
    /// The beginning of its text, decoded, in one line; at most [`text::PREVIEW`] bytes.
    pub preview: String,
    /// What was found.
    pub faults: Faults,
}

impl Scanned {
    /// Size of the message in bytes.
    pub const fn size(&self) -> u64 {
        self.structure.size
    }
}

/// Content is PHI: `Debug` tells sizes only.
impl std::fmt::Debug for Scanned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scanned")
            .field("structure", &self.structure)
            .field("header", &self.header.len())
            .field("preview", &self.preview.len())
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

/// Scans a message that is in memory whole.
pub fn scan(message: &[u8]) -> Scanned {
    let mut scanner = Scanner::new();
    scanner.feed(message);
    scanner.finish()
}

/// Takes a message in pieces; see the module's page.
pub struct Scanner {
    limits: Limits,
    faults: Faults,
    /// Bytes taken.
    offset: u64,
    /// Line feeds seen.
    lines: u64,
    line: Line,
    /// Open parts, the message first. Never empty.
    open: Vec<Open>,
    /// What the lines are read as.
    mode: Mode,
    /// Parts so far.
    parts: usize,
    /// Bytes of parts' headers that may still be kept, all parts together.
    budget: usize,
    /// The header that is being read, at most `limits.header` bytes.
    header: Vec<u8>,
    /// The message's own header, once it is complete.
    top: Option<Vec<u8>>,
    /// How many bytes of each line's head are wanted now.
    want: usize,
    /// The text for the preview, and whether lines still go there.
    sample: Option<Sample>,
    sampling: bool,
    /// Length of the sample where the line began.
    mark: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Lines belong to the header of the innermost part.
    Header,
    /// Lines belong to a body, preamble or epilogue.
    Body,
}

/// The line that is being read.
struct Line {
    /// Where it starts.
    start: u64,
    /// Its length so far, its end not counted.
    len: u64,
    /// Its first bytes, when they matter.
    head: Vec<u8>,
    /// How many of them are wanted.
    want: usize,
    /// The last byte of the piece before was a CR that may belong to a line end.
    cr: bool,
    /// Length of the line end before it: 0, 1 or 2.
    before: u64,
    /// Whether the line before it was empty (or there was none).
    after_empty: bool,
}

/// A part whose end hasn't come.
struct Open {
    part: Part,
    /// `--boundary`, for a multipart that isn't closed.
    delimiter: Option<Vec<u8>>,
    /// Whether its last boundary came.
    closed: bool,
    children: Vec<Part>,
    /// For a nested message, the envelope; the part's only child is the message.
    envelope: Option<EnvelopeFields>,
    /// Line feeds before its body.
    lines: u64,
    /// The type of children that don't say: message/rfc822 in a digest (RFC 2046 section 5.1.5).
    digest: bool,
}

/// The beginning of the text, for the preview.
struct Sample {
    bytes: Vec<u8>,
    html: bool,
    encoding: Encoding,
    charset: Option<String>,
}

/// Longer boundaries than this are cut (RFC 2046 allows 70).
const MAX_BOUNDARY: usize = 250;

/// How much of a text part is kept for the preview.
const SAMPLE: usize = 4096;

/// HTML comes with a head and tables.
const SAMPLE_HTML: usize = 16 * 1024;

impl Scanner {
    /// A scanner at the start of a message, with the usual limits.
    pub fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    /// A scanner with limits of your own.
    pub fn with_limits(limits: Limits) -> Self {
        Self {
            limits,
            faults: Faults::NONE,
            offset: 0,
            lines: 0,
            line: Line {
                start: 0,
                len: 0,
                head: Vec::with_capacity(80),
                want: HEADER_HEAD,
                cr: false,
                before: 0,
                after_empty: true,
            },
            open: vec![Open::new(0)],
            mode: Mode::Header,
            parts: 1,
            budget: limits.header.saturating_mul(4),
            header: Vec::with_capacity(2048),
            top: None,
            want: HEADER_HEAD,
            sample: None,
            sampling: false,
            mark: 0,
        }
    }

    /// Bytes taken so far.
    pub const fn size(&self) -> u64 {
        self.offset
    }

    /// What was found so far.
    pub const fn faults(&self) -> Faults {
        self.faults
    }

    /// The message's own header, once all of it came: to refuse a loop or a bad tag before the body is read.
    pub fn header(&self) -> Option<&[u8]> {
        self.top.as_deref()
    }

    /// Takes the next piece.
    pub fn feed(&mut self, piece: &[u8]) {
        let mut rest = piece;
        if self.line.cr
            && let Some(&first) = rest.first()
        {
            self.line.cr = false;
            if first == b'\n' {
                self.end_line(2);
                rest = &rest[1..];
            } else {
                self.bare_cr();
            }
        }
        while !rest.is_empty() {
            let Some(at) = memchr::memchr3(b'\n', b'\r', 0, rest) else {
                self.content(rest);
                return;
            };
            let (run, tail) = rest.split_at(at);
            if !run.is_empty() {
                self.content(run);
            }
            rest = match tail {
                [b'\r', b'\n', after @ ..] => {
                    self.end_line(2);
                    after
                }
                [b'\r'] => {
                    self.line.cr = true;
                    return;
                }
                [b'\n', after @ ..] => {
                    self.faults.add(Faults::BARE_LF);
                    self.end_line(1);
                    after
                }
                [b'\r', after @ ..] => {
                    self.bare_cr();
                    after
                }
                [_, after @ ..] => {
                    self.faults.add(Faults::NUL);
                    self.content(&[0]);
                    after
                }
                [] => return,
            };
        }
    }

    /// The message is over.
    pub fn finish(mut self) -> Scanned {
        if std::mem::take(&mut self.line.cr) {
            self.bare_cr();
        }
        if self.line.len > 0 {
            self.end_line(0);
        }
        while self.mode == Mode::Header {
            self.end_header(self.offset);
        }
        let tail = u64::from(self.line.before == 0 && self.offset > 0);
        while self.open.len() > 1 {
            self.close(self.offset, self.lines + tail);
        }
        let size = self.offset;
        let mut top = self.open.remove(0);
        let root = top.end(size, self.lines + tail, &mut self.faults);
        let header = self.top.take().unwrap_or_default();
        let envelope = EnvelopeFields::read(&header);
        let preview = self.sample.map(Sample::show).unwrap_or_default();
        Scanned { structure: Structure { size, root }, envelope, header, preview, faults: self.faults }
    }

    /// Bytes within a line.
    #[inline]
    fn content(&mut self, run: &[u8]) {
        let line = &mut self.line;
        if line.head.len() < line.want {
            let room = line.want - line.head.len();
            line.head.extend_from_slice(&run[..run.len().min(room)]);
            // A body line that doesn't begin with `--` is no boundary.
            if self.mode == Mode::Body && !b"--".starts_with(&line.head[..line.head.len().min(2)]) {
                line.want = 0;
            }
        }
        line.len += run.len() as u64;
        self.offset += run.len() as u64;
        if self.mode == Mode::Header {
            self.keep_header(run);
            if !run.is_ascii() {
                self.faults.add(Faults::EIGHT_BIT_HEADER);
            }
        } else {
            if self.sampling {
                self.keep_sample(run);
            }
            if !self.faults.contains(Faults::EIGHT_BIT_BODY) && !run.is_ascii() {
                self.faults.add(Faults::EIGHT_BIT_BODY);
            }
        }
    }

    #[cold]
    fn bare_cr(&mut self) {
        self.faults.add(Faults::BARE_CR);
        self.content(b"\r");
    }

    /// A line ends, `width` bytes of line end behind it (0 at the end of the message).
    #[inline]
    fn end_line(&mut self, width: u64) {
        self.offset += width;
        self.lines += u64::from(width > 0);
        if self.line.len > 998 {
            self.faults.add(Faults::LINE_TOO_LONG);
        }
        let end: &[u8] = match width {
            2 => b"\r\n",
            1 => b"\n",
            _ => b"",
        };
        let boundary = if self.line.want > 0 { self.boundary() } else { None };
        match (boundary, self.mode) {
            (Some(found), _) => {
                self.at_boundary(found, width);
                self.aim();
            }
            (None, Mode::Header) => {
                self.keep_header(end);
                if self.line.len == 0 {
                    self.end_header(self.offset);
                    self.aim();
                } else if !is_header_line(&self.line.head) {
                    self.faults.add(Faults::BAD_HEADER_LINE);
                }
            }
            (None, Mode::Body) => {
                if self.sampling {
                    self.keep_sample(end);
                    self.mark = self.sample.as_ref().map_or(0, |s| s.bytes.len());
                }
            }
        }
        self.line.before = width;
        self.line.after_empty = self.line.len == 0;
        self.line.start = self.offset;
        self.line.len = 0;
        self.line.head.clear();
        self.line.want = self.want;
    }

    /// How many bytes of a line's head are wanted from now on.
    fn aim(&mut self) {
        let boundary = self.open.iter().filter_map(|o| o.delimiter.as_ref()).map(|d| d.len() + 2).max();
        self.want = match self.mode {
            Mode::Header => boundary.unwrap_or(0).max(HEADER_HEAD),
            Mode::Body => boundary.unwrap_or(0),
        };
    }

    /// Which open multipart this line is a boundary of, and whether it is its last. RFC 2046: the boundary must stand at
    /// the line's beginning, an exact match of the whole line is not required; so the longest one that matches counts.
    fn boundary(&self) -> Option<(usize, bool)> {
        let head = self.line.head.as_slice();
        if !head.starts_with(b"--") {
            return None;
        }
        let mut best: Option<(usize, usize)> = None;
        for (level, open) in self.open.iter().enumerate() {
            if let Some(delimiter) = &open.delimiter
                && head.starts_with(delimiter)
                && best.is_none_or(|(_, len)| delimiter.len() >= len)
            {
                best = Some((level, delimiter.len()));
            }
        }
        let (level, len) = best?;
        Some((level, head.get(len..).is_some_and(|rest| rest.starts_with(b"--"))))
    }

    #[cold]
    fn at_boundary(&mut self, (level, last): (usize, bool), width: u64) {
        // The line end in front of a boundary belongs to the boundary.
        let mut end = self.line.start.saturating_sub(self.line.before);
        let feeds = self.lines - u64::from(width > 0);
        let mut lines = feeds - u64::from(self.line.before > 0) + u64::from(!self.line.after_empty);
        if self.mode == Mode::Header {
            // The header ended without its blank line; what was kept of the boundary goes.
            let keep = self.header.len().saturating_sub(usize::try_from(self.line.len).unwrap_or(usize::MAX));
            if self.header.len() < self.limits.header {
                self.header.truncate(keep);
            }
            while self.mode == Mode::Header {
                self.end_header(end);
            }
        }
        // Unless it is the blank line behind a header, which ends the header.
        if let Some(open) = self.open.last()
            && open.part.body.start > end
        {
            end = open.part.body.start;
            lines = feeds;
        }
        while self.open.len() > level + 1 {
            self.close(end, lines);
        }
        if std::mem::take(&mut self.sampling)
            && let Some(sample) = &mut self.sample
        {
            sample.bytes.truncate(self.mark);
        }
        self.mode = Mode::Body;
        let Some(open) = self.open.get_mut(level) else { return };
        if last {
            open.delimiter = None;
            open.closed = true;
        } else if self.parts >= self.limits.parts {
            self.faults.add(Faults::TOO_MANY_PARTS);
            open.delimiter = None;
            open.closed = true;
        } else {
            self.parts += 1;
            self.open.push(Open::new(self.offset));
            self.header.clear();
            self.mode = Mode::Header;
        }
    }

    /// The innermost part ends.
    fn close(&mut self, end: u64, lines: u64) {
        if let Some(mut open) = self.open.pop() {
            let part = open.end(end, lines, &mut self.faults);
            if let Some(parent) = self.open.last_mut() {
                parent.children.push(part);
            }
        }
    }

    /// The innermost part's header ends: its blank line came, or a boundary, or the message's end. Afterwards either a
    /// body begins or the header of a nested message.
    fn end_header(&mut self, end: u64) {
        let depth = self.open.len();
        let inside_message = self.open.iter().any(|o| o.envelope.is_some());
        let Some((open, outer)) = self.open.split_last_mut() else { return };
        let mut digest = false;
        if let Some(outer) = outer.last_mut() {
            digest = outer.digest;
            if let Some(envelope) = &mut outer.envelope {
                *envelope = EnvelopeFields::read(&self.header);
            }
        }
        open.part.header = Span::new(open.part.header.start, end);
        let end = open.part.header.end;
        open.part.body = Span::new(end, end);
        open.lines = self.lines;
        let boundary = fill(&mut open.part, &self.header, digest);
        self.mode = Mode::Body;
        self.sampling = false;
        if self.top.is_none() {
            self.top = Some(std::mem::take(&mut self.header));
        } else {
            self.budget = self.budget.saturating_sub(self.header.len());
        }
        self.header.clear();
        let too_deep = depth >= self.limits.depth;
        match open.part.kind.as_str() {
            "multipart" if too_deep => {
                self.faults.add(Faults::TOO_DEEP);
                opaque(&mut open.part);
            }
            "multipart" => {
                open.digest = open.part.subtype == "digest";
                open.delimiter = boundary.map(|b| {
                    let mut delimiter = b"--".to_vec();
                    delimiter.extend(b.bytes().take(MAX_BOUNDARY));
                    delimiter
                });
                open.part.nested = Nested::Multipart(Vec::new());
            }
            "message" if matches!(open.part.subtype.as_str(), "rfc822" | "global") => {
                if too_deep || self.parts >= self.limits.parts {
                    self.faults.add(if too_deep { Faults::TOO_DEEP } else { Faults::TOO_MANY_PARTS });
                    opaque(&mut open.part);
                    return;
                }
                // An encoded message (RFC 2046 section 5.2.1 forbids it) has no header to read here.
                let readable = open.part.transfer() == Encoding::Identity;
                open.envelope = Some(EnvelopeFields::default());
                self.parts += 1;
                self.open.push(Open::new(end));
                self.mode = Mode::Header;
                if !readable {
                    self.end_header(end);
                }
            }
            "text" if !inside_message && !open.part.is_attachment() => {
                let html = open.part.subtype == "html";
                let wanted = match &self.sample {
                    Some(sample) if !sample.blank() => sample.html && open.part.subtype == "plain",
                    _ => html || open.part.subtype == "plain",
                };
                if wanted {
                    let (encoding, charset) = (open.part.transfer(), open.part.charset());
                    self.sample = Some(Sample { bytes: Vec::with_capacity(512), html, encoding, charset });
                    self.sampling = true;
                    self.mark = 0;
                }
            }
            _ => {}
        }
    }

    #[inline]
    fn keep_header(&mut self, run: &[u8]) {
        let (most, fault) = match self.top {
            None => (self.limits.header, Faults::HEADER_TOO_LARGE),
            Some(_) => (self.limits.header.min(self.budget), Faults::PART_HEADER_CUT),
        };
        let room = most.saturating_sub(self.header.len());
        if run.len() > room {
            self.faults.add(fault);
            self.header.extend_from_slice(&run[..room]);
        } else {
            self.header.extend_from_slice(run);
        }
    }

    fn keep_sample(&mut self, run: &[u8]) {
        if let Some(sample) = &mut self.sample {
            let most = if sample.html { SAMPLE_HTML } else { SAMPLE };
            let room = most - sample.bytes.len().min(most);
            sample.bytes.extend_from_slice(&run[..run.len().min(room)]);
            self.sampling = run.len() < room;
        }
    }
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Scanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scanner")
            .field("size", &self.offset)
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

/// Enough of a header line to see that it is one.
const HEADER_HEAD: usize = 80;

/// `ftext *WSP ":"` or a continuation. A name that is longer than what was kept is believed.
fn is_header_line(head: &[u8]) -> bool {
    if matches!(head.first(), Some(b' ' | b'\t')) {
        return true;
    }
    match memchr::memchr(b':', head) {
        Some(at) => at > 0 && head[..at].trim_ascii_end().iter().all(u8::is_ascii_graphic),
        None => head.len() >= HEADER_HEAD,
    }
}

impl Open {
    fn new(start: u64) -> Self {
        Self {
            part: Part {
                header: Span::new(start, start),
                body: Span::new(start, start),
                lines: 0,
                kind: String::new(),
                subtype: String::new(),
                params: Vec::new(),
                disposition: None,
                id: None,
                description: None,
                encoding: None,
                md5: None,
                language: Vec::new(),
                location: None,
                nested: Nested::Leaf,
            },
            delimiter: None,
            closed: false,
            children: Vec::new(),
            envelope: None,
            lines: 0,
            digest: false,
        }
    }

    /// The part, its body ending at `end`, where `lines` lines of the message are complete or cut.
    fn end(&mut self, end: u64, lines: u64, faults: &mut Faults) -> Part {
        let mut part = std::mem::replace(&mut self.part, Self::new(end).part);
        part.header.end = part.header.end.max(part.header.start);
        part.body = Span::new(part.body.start, end);
        part.lines = if part.body.is_empty() { 0 } else { lines.saturating_sub(self.lines) };
        let mut children = std::mem::take(&mut self.children);
        match (&part.nested, self.envelope.take(), children.pop()) {
            (Nested::Multipart(_), _, Some(child)) => {
                if !self.closed {
                    faults.add(Faults::UNCLOSED);
                }
                children.push(child);
                part.nested = Nested::Multipart(children);
            }
            (Nested::Multipart(_), ..) => {
                // IMAP knows no multipart without parts: all of the body is one.
                faults.add(Faults::NO_BOUNDARY);
                let mut only = Self::new(part.body.start).part;
                fill(&mut only, b"", false);
                only.body = part.body;
                only.lines = part.lines;
                part.nested = Nested::Multipart(vec![only]);
            }
            (_, Some(envelope), Some(root)) => {
                part.nested = Nested::Message(Box::new(Embedded { envelope, root }))
            }
            _ => {}
        }
        part
    }
}

impl Sample {
    fn blank(&self) -> bool {
        self.bytes.iter().all(u8::is_ascii_whitespace)
    }

    fn show(self) -> String {
        text::preview(self.encoding, self.charset.as_deref(), self.html, &self.bytes)
    }
}

/// Something that isn't looked into.
fn opaque(part: &mut Part) {
    part.kind = "application".into();
    part.subtype = "octet-stream".into();
    part.params.clear();
}

/// Sets what the header says; gives the boundary of a multipart.
fn fill(part: &mut Part, header: &[u8], digest: bool) -> Option<String> {
    let mut content_type = None;
    for field in headers::fields(header) {
        let Some(what) =
            field.name.get(..8).filter(|n| n.eq_ignore_ascii_case(b"content-")).and(field.name.get(8..))
        else {
            continue;
        };
        let is = |name: &str| what.eq_ignore_ascii_case(name.as_bytes());
        let set = |slot: &mut Option<String>| {
            if slot.is_none() {
                *slot = Some(field.text()).filter(|t| !t.is_empty());
            }
        };
        if is("type") {
            if content_type.is_none() {
                content_type = Some(content::parse(&field.text()));
            }
        } else if is("transfer-encoding") {
            if part.encoding.is_none() {
                let word = content::parse(&field.text()).word;
                part.encoding = Some(word).filter(|w| !w.is_empty() && w != "7bit");
            }
        } else if is("disposition") {
            if part.disposition.is_none() {
                let value = content::parse(&field.text());
                part.disposition = Some(value)
                    .filter(|v| !v.word.is_empty())
                    .map(|v| Disposition { kind: v.word, params: v.params });
            }
        } else if is("id") {
            set(&mut part.id);
        } else if is("description") {
            set(&mut part.description);
        } else if is("md5") {
            set(&mut part.md5);
        } else if is("location") {
            set(&mut part.location);
        } else if is("language") && part.language.is_empty() {
            part.language = field
                .text()
                .split(',')
                .map(|tag| tag.trim().to_owned())
                .filter(|tag| !tag.is_empty())
                .take(32)
                .collect();
        }
    }
    match content_type.as_ref().and_then(|v| content::split_type(&v.word)) {
        Some((kind, subtype)) => {
            part.kind = kind.to_owned();
            part.subtype = subtype.to_owned();
            part.params = content_type.map(|v| v.params).unwrap_or_default();
        }
        None if digest => {
            part.kind = "message".into();
            part.subtype = "rfc822".into();
        }
        None => {
            part.kind = "text".into();
            part.subtype = "plain".into();
            part.params = vec![("charset".into(), "us-ascii".into())];
        }
    }
    if part.kind != "multipart" {
        return None;
    }
    // Trailing white space is no part of a boundary (RFC 2046 section 5.1.1).
    part.params
        .iter()
        .find(|(name, _)| name == "boundary")
        .map(|(_, value)| value.trim_end().to_owned())
        .filter(|value| !value.is_empty())
}
