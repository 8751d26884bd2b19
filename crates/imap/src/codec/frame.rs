//! Where a command ends: lines and literals, before any grammar (RFC 9051 section 4.3, RFC 7888).
//!
//! The caller reads from the network into [`Framer::input`] and asks for [`Framer::next`] until that is `None`. A
//! command with its literals comes out as one run of bytes, bounded by [`Limits`]; the literal of APPEND that is a
//! message never is: the caller takes it piece by piece from [`Framer::body`]. A line ends with CR LF; one that ends
//! with a bare LF is refused whole, so that nobody else can see a line end where we see none.

use bytes::{Bytes, BytesMut};

use super::command::Tag;
use super::parse::tag_of;

/// How much a client may send in one command, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The text of a command: all its lines together, without what their literals hold.
    pub text: usize,
    /// All literals of a command together, APPEND's message apart.
    pub literals: usize,
}

impl Limits {
    /// Until somebody is logged in.
    pub const BEFORE_LOGIN: Self = Self { text: 5 * 1024, literals: 3 * 1024 };
    /// From then on. RFC 7162 section 4 wants 8,192 at least; clients send long UID sets.
    pub const AFTER_LOGIN: Self = Self { text: 64 * 1024, literals: 64 * 1024 };
}

/// What is next on the wire.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// A whole command with its literals, without its line end. To be wiped where it held a password.
    Command(BytesMut),
    /// The client waits for `+` before it sends a literal.
    Continue,
    /// APPEND up to the brace of its message; [`Framer::body`] gives the message, or [`Framer::refuse_body`] ends it.
    Append {
        /// The bytes before the brace.
        head: Bytes,
        /// The message's size.
        size: u64,
        /// Whether the client waits for `+`.
        waits: bool,
    },
    /// A command that was not taken; whatever of it is still to come is skipped.
    Refused {
        /// Its tag, if it had one.
        tag: Option<Tag>,
        /// Why.
        why: Refusal,
    },
    /// More was sent than anybody needs to skip: hang up.
    Hopeless,
}

/// Why a command was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Over [`Limits::text`].
    #[error("The line is too long")]
    LongLine,
    /// Over [`Limits::literals`].
    #[error("The literal is too large")]
    LargeLiteral,
    /// More literals than anybody needs.
    #[error("The command holds too many literals")]
    ManyLiterals,
    /// A line that ends with LF alone.
    #[error("A line must end with CR LF")]
    BareLineFeed,
}

/// A piece of APPEND's message.
#[derive(Debug, PartialEq, Eq)]
pub enum Body {
    /// Some of it.
    Piece(Bytes),
    /// Nothing has arrived.
    Wait,
    /// The message is complete and the command ended as it must.
    End,
    /// The message is complete but the line went on behind it.
    Trailing,
}

/// What was wrong with a line of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// Over the limit.
    #[error("The line is too long")]
    Long,
    /// A line that ends with LF alone.
    #[error("A line must end with CR LF")]
    BareLineFeed,
}

/// How much of a refused command is skipped before it is hopeless.
const MOST_SKIPPED: u64 = 16 * 1024 * 1024;

/// Literals of one command. Empty ones cost the other limits next to nothing, but each wants an answer.
const MOST_LITERALS: usize = 100;

/// Finds commands in what a client sends.
#[derive(Debug)]
pub struct Framer {
    /// What arrived and was not yet taken. The caller appends.
    pub input: BytesMut,
    limits: Limits,
    state: State,
    /// Where the current line of the command begins in `input`.
    line: usize,
    /// How far the current line was looked through for its end.
    seen: usize,
    /// Bytes of the command's literals so far.
    literals: usize,
    /// How many literals the command has so far.
    opened: usize,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// In a line of a command.
    Line,
    /// In a literal that ends at this place of `input`.
    Literal(usize),
    /// In the message of APPEND, this far from its end.
    Body(u64),
    /// In the rest of the line behind the message.
    Tail,
    /// In a refused command: bytes of a literal still to skip, and bytes skipped so far.
    Skip { literal: u64, skipped: u64 },
}

/// The end of a line that opens a literal: where its brace stands, its size, and whether the client waits.
struct Opening {
    brace: usize,
    size: u64,
    waits: bool,
}

impl Framer {
    /// A framer with nothing in it.
    pub fn new(limits: Limits) -> Self {
        Self { input: BytesMut::new(), limits, state: State::Line, line: 0, seen: 0, literals: 0, opened: 0 }
    }

    /// Other limits, from the next command on.
    pub fn limit(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Forgets whatever was sent ahead: nothing injected before STARTTLS counts behind it (RFC 9051 section 11.1).
    pub fn forget(&mut self) {
        *self = Self::new(self.limits);
    }

    /// The next thing, or `None` if more must arrive. Not to be asked while a body or an exchange is under way.
    #[expect(clippy::should_implement_trait, reason = "None means wait, not the end")]
    pub fn next(&mut self) -> Option<Frame> {
        loop {
            match self.state {
                State::Line => {
                    let end = match self.line_end() {
                        Some(end) => end,
                        None if self.too_long(self.input.len()) => {
                            return Some(self.refuse(Refusal::LongLine));
                        }
                        None => return None,
                    };
                    if let Some(frame) = self.line(end) {
                        return Some(frame);
                    }
                }
                State::Literal(end) if self.input.len() >= end => {
                    self.state = State::Line;
                    self.line = end;
                    self.seen = end;
                }
                State::Literal(_) => return None,
                State::Skip { literal, skipped } => match self.skip(literal, skipped) {
                    Some(true) => {}
                    Some(false) => return Some(Frame::Hopeless),
                    None => return None,
                },
                State::Body(_) | State::Tail => return None,
            }
        }
    }

    /// The next piece of the message that [`Frame::Append`] announced.
    pub fn body(&mut self) -> Body {
        loop {
            match self.state {
                State::Body(0) => self.state = State::Tail,
                State::Body(_) if self.input.is_empty() => return Body::Wait,
                State::Body(left) => {
                    let length =
                        usize::try_from(left).map_or(self.input.len(), |left| left.min(self.input.len()));
                    self.state = State::Body(left - length as u64);
                    return Body::Piece(self.input.split_to(length).freeze());
                }
                State::Tail => {
                    let (state, end) = match self.input.as_ref() {
                        [] | [b'\r'] => return Body::Wait,
                        [b'\r', b'\n', ..] => (State::Line, Body::End),
                        _ => (State::Skip { literal: 0, skipped: 0 }, Body::Trailing),
                    };
                    if end == Body::End {
                        drop(self.input.split_to(2));
                    }
                    self.state = state;
                    return end;
                }
                State::Line | State::Literal(_) | State::Skip { .. } => return Body::End,
            }
        }
    }

    /// Does without the message that [`Frame::Append`] announced: a client that waits will not send it, and what
    /// another sends is skipped.
    pub fn refuse_body(&mut self, waits: bool) {
        if let State::Body(left) = self.state {
            self.state = if waits { State::Line } else { State::Skip { literal: left, skipped: 0 } };
        }
    }

    /// The next line of an exchange (AUTHENTICATE, IDLE), without its end, or `None` if more must arrive.
    pub fn exchange_line(&mut self, longest: usize) -> Option<Result<BytesMut, LineFault>> {
        let Some(end) = self.line_end() else {
            if self.input.len() <= longest {
                return None;
            }
            self.state = State::Skip { literal: 0, skipped: 0 };
            return Some(Err(LineFault::Long));
        };
        let mut line = self.take_line(end);
        if !line.ends_with(b"\r\n") {
            return Some(Err(LineFault::BareLineFeed));
        }
        line.truncate(line.len() - 2);
        Some(if line.len() > longest { Err(LineFault::Long) } else { Ok(line) })
    }

    /// Whether a whole frame may already lie in the input.
    pub fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Where the current line's LF is.
    fn line_end(&mut self) -> Option<usize> {
        let found = memchr::memchr(b'\n', self.input.get(self.seen..).unwrap_or_default());
        let end = found.map(|at| self.seen + at);
        self.seen = end.unwrap_or(self.input.len());
        end
    }

    /// Takes everything up to the LF at `end`, and begins anew behind it.
    fn take_line(&mut self, end: usize) -> BytesMut {
        self.begin();
        self.input.split_to(end + 1)
    }

    fn begin(&mut self) {
        self.line = 0;
        self.seen = 0;
        self.literals = 0;
        self.opened = 0;
    }

    /// Looks at a complete line of a command whose LF is at `end`.
    fn line(&mut self, end: usize) -> Option<Frame> {
        if self.too_long(end) {
            return Some(self.refuse(Refusal::LongLine));
        }
        let line = self.input.get(self.line..end).unwrap_or_default();
        let Some((b'\r', text)) = line.split_last() else {
            return Some(self.refuse(Refusal::BareLineFeed));
        };
        let text_end = self.line + text.len();
        let Some(opening) = opening(text) else {
            let mut command = self.take_line(end);
            command.truncate(text_end);
            return Some(Frame::Command(command));
        };
        let head = self.input.get(..self.line + opening.brace).unwrap_or_default();
        if is_message(head) {
            let head_end = head.len();
            let mut head = self.take_line(end);
            head.truncate(head_end);
            self.state = State::Body(opening.size);
            return Some(Frame::Append { head: head.freeze(), size: opening.size, waits: opening.waits });
        }
        let size = usize::try_from(opening.size).unwrap_or(usize::MAX);
        let total = self.literals.saturating_add(size);
        if total > self.limits.literals {
            return Some(self.refuse(Refusal::LargeLiteral));
        }
        if self.opened == MOST_LITERALS {
            return Some(self.refuse(Refusal::ManyLiterals));
        }
        self.opened += 1;
        self.literals = total;
        self.state = State::Literal(end + 1 + size);
        opening.waits.then_some(Frame::Continue)
    }

    /// Whether the command, which reaches to `end` so far, has too much text; the last line's CR does not count.
    ///
    /// `input` begins with the command, so that this and the limit of literals bound all that is held of it. A limit
    /// for each line would bound nothing: `{0+}` begins a new one for free.
    fn too_long(&self, end: usize) -> bool {
        end.saturating_sub(self.literals) > self.limits.text + 1
    }

    /// Refuses the command and skips it from its current line on.
    fn refuse(&mut self, why: Refusal) -> Frame {
        let tag = tag_of(&self.input);
        let skipped = self.line as u64;
        drop(self.input.split_to(self.line));
        self.begin();
        self.state = State::Skip { literal: 0, skipped };
        Frame::Refused { tag, why }
    }

    /// Skips what it can; `Some(true)` at the end of the command, `Some(false)` when it is hopeless.
    fn skip(&mut self, literal: u64, skipped: u64) -> Option<bool> {
        if skipped.saturating_add(literal) > MOST_SKIPPED {
            return Some(false);
        }
        if literal > 0 {
            let length = usize::try_from(literal).unwrap_or(usize::MAX).min(self.input.len());
            drop(self.input.split_to(length));
            let left = literal - length as u64;
            self.state = State::Skip { literal: left, skipped: skipped + length as u64 };
            return if left > 0 { None } else { Some(true) };
        }
        let Some(end) = self.line_end() else {
            // The start of a long line is of no use; its end may open a literal.
            const KEPT: usize = 64;
            let gone = self.input.len().saturating_sub(KEPT);
            drop(self.input.split_to(gone));
            self.seen = self.input.len();
            let skipped = skipped + gone as u64;
            self.state = State::Skip { literal: 0, skipped };
            return if skipped > MOST_SKIPPED { Some(false) } else { None };
        };
        let line = self.take_line(end);
        let text = line.strip_suffix(b"\r\n").unwrap_or_default();
        self.state = match opening(text) {
            Some(Opening { size, waits: false, .. }) => {
                State::Skip { literal: size, skipped: skipped + line.len() as u64 }
            }
            _ => State::Line,
        };
        Some(true)
    }
}

/// `literal = "{" number ["+"] "}" CRLF` at the end of a line.
fn opening(text: &[u8]) -> Option<Opening> {
    const LONGEST: usize = 24;
    let inner = text.strip_suffix(b"}")?;
    let (inner, waits) = inner.strip_suffix(b"+").map_or((inner, true), |inner| (inner, false));
    let from = inner.len().saturating_sub(LONGEST);
    let brace = from + inner.get(from..)?.iter().rposition(|&b| b == b'{')?;
    let digits = inner.get(brace + 1..)?;
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // A number that no 64 bits hold is as hopeless as the largest that they do.
    let size = std::str::from_utf8(digits).ok()?.parse().unwrap_or(u64::MAX);
    Some(Opening { brace, size, waits })
}

/// Whether a literal behind `head` is APPEND's message: a tag, APPEND, and a folder stand before it.
fn is_message(head: &[u8]) -> bool {
    let mut words = head.splitn(3, |&b| b == b' ');
    let (_tag, verb, rest) = (words.next(), words.next(), words.next());
    verb.is_some_and(|verb| verb.eq_ignore_ascii_case(b"APPEND")) && rest.is_some_and(|rest| !rest.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TIGHT: Limits = Limits { text: 40, literals: 10 };

    /// Everything that happens with `wire`, cut into pieces at `cuts`; a body is gathered.
    fn frames(wire: &[u8], cuts: &[usize]) -> Vec<String> {
        let mut framer = Framer::new(TIGHT);
        let mut said = Vec::new();
        let mut body: Option<Vec<u8>> = None;
        let mut from = 0;
        let ends: Vec<usize> = cuts.iter().map(|c| c % (wire.len() + 1)).chain([wire.len()]).collect();
        for end in ends {
            if end < from {
                continue;
            }
            framer.input.extend_from_slice(&wire[from..end]);
            from = end;
            loop {
                if let Some(gathered) = &mut body {
                    match framer.body() {
                        Body::Piece(piece) => gathered.extend_from_slice(&piece),
                        Body::Wait => break,
                        end => {
                            said.push(format!("{end:?} {}", gathered.escape_ascii()));
                            body = None;
                        }
                    }
                    continue;
                }
                match framer.next() {
                    None => break,
                    Some(Frame::Command(bytes)) => said.push(format!("command {}", bytes.escape_ascii())),
                    Some(Frame::Append { head, size, waits }) => {
                        said.push(format!("append {} {size} {waits}", head.escape_ascii()));
                        body = Some(Vec::new());
                    }
                    Some(Frame::Refused { tag, why }) => {
                        said.push(format!("refused {} {why:?}", tag.as_ref().map_or("-", Tag::as_str)));
                    }
                    Some(Frame::Hopeless) => {
                        said.push("hopeless".into());
                        return said;
                    }
                    Some(other) => said.push(format!("{other:?}")),
                }
            }
        }
        said
    }

    const TABLE: &[(&str, &[&str])] = &[
        ("a NOOP\r\nb NOOP\r\n", &["command a NOOP", "command b NOOP"]),
        ("a NOOP", &[]),
        ("a LOGIN {3}\r\nbob {2+}\r\nhi\r\n", &["Continue", "command a LOGIN {3}\\r\\nbob {2+}\\r\\nhi"]),
        ("a X {0}\r\n\r\n", &["Continue", "command a X {0}\\r\\n"]),
        ("a NOOP\nb NOOP\r\n", &["refused a BareLineFeed", "command b NOOP"]),
        ("\r\n", &["command "]),
        ("\n", &["refused - BareLineFeed"]),
        ("a SEARCH SUBJECT {11}\r\nb NOOP\r\n", &["refused a LargeLiteral", "command b NOOP"]),
        (
            "a SEARCH SUBJECT {11+}\r\nhello\r\nbye! OR {3+}\r\n\r\n! ALL\r\nb NOOP\r\n",
            &["refused a LargeLiteral", "command b NOOP"],
        ),
        ("a X {6}\r\n123456 {6}\r\nb NOOP\r\n", &["Continue", "refused a LargeLiteral", "command b NOOP"]),
        (
            "a X 34567890 {5}\r\nhello 345678901234567890123\r\nb NOOP\r\n",
            &["Continue", "command a X 34567890 {5}\\r\\nhello 345678901234567890123", "command b NOOP"],
        ),
        // Literals, empty ones too, do not begin the count anew.
        (
            "a X 34567890 {5}\r\nhello 3456789012345678901234\r\nb NOOP\r\n",
            &["Continue", "refused a LongLine", "command b NOOP"],
        ),
        (
            "a X 34567890123456789 {0+}\r\n34567890123456789 {0+}\r\n34567890123456789\r\nb NOOP\r\n",
            &["refused a LongLine", "command b NOOP"],
        ),
        (
            "a X 23456789012345678901234567890123456789\r\nb NOOP\r\n",
            &["refused a LongLine", "command b NOOP"],
        ),
        (
            "a X 2345678901234567890123456789012345678 {9+}\r\nc NOOP\r\n!\r\nb NOOP\r\n",
            &["refused a LongLine", "command b NOOP"],
        ),
        ("a X {99999999999999999999999+}\r\nb NOOP\r\n", &["refused a LargeLiteral", "hopeless"]),
        (
            "a X {5}x\r\na X {5 }\r\na X {-5}\r\na X {}\r\n",
            &["command a X {5}x", "command a X {5 }", "command a X {-5}", "command a X {}"],
        ),
        (
            "a APPEND INBOX (\\Seen) {12}\r\nTo: a\r\n\r\nhi!\r\nb NOOP\r\n",
            &["append a APPEND INBOX (\\\\Seen)  12 true", "End To: a\\r\\n\\r\\nhi!", "command b NOOP"],
        ),
        ("a append {5+}\r\nINBOX {3+}\r\nhi!\r\n", &["append a append {5+}\\r\\nINBOX  3 false", "End hi!"]),
        (
            "a APPEND {5}\r\nINBOX {3+}\r\nhi!\r\n",
            &["Continue", "append a APPEND {5}\\r\\nINBOX  3 false", "End hi!"],
        ),
        (
            "a APPEND x {3+}\r\nhi! (\\Seen) {3+}\r\nho!\r\nb NOOP\r\n",
            &["append a APPEND x  3 false", "Trailing hi!", "command b NOOP"],
        ),
    ];

    #[test]
    fn commands_are_found() {
        for (wire, wanted) in TABLE {
            let wanted: Vec<String> = wanted.iter().map(|&w| w.to_owned()).collect();
            assert_eq!(frames(wire.as_bytes(), &[]), wanted, "{wire:?}");
        }
    }

    /// The most that a framer holds while `piece` is sent again and again behind `head`.
    fn most_held(limits: Limits, head: &str, piece: &str) -> usize {
        let mut framer = Framer::new(limits);
        framer.input.extend_from_slice(head.as_bytes());
        let mut most = 0;
        for _ in 0..1_000 {
            framer.input.extend_from_slice(piece.as_bytes());
            while let Some(frame) = framer.next() {
                if frame == Frame::Hopeless {
                    return most;
                }
            }
            most = most.max(framer.input.len());
        }
        most
    }

    #[test]
    fn what_is_held_of_a_command_is_bounded() {
        for limits in [Limits::BEFORE_LOGIN, Limits::AFTER_LOGIN] {
            // The brace, size and line ends of a last line that is not yet complete.
            let bound = limits.text + limits.literals + 2;
            for width in [0, 1, 50, 1_000, 4_000] {
                let text = "x".repeat(width);
                for piece in [format!("{text}{{0+}}\r\n"), format!("{text}{{9+}}\r\n123456789"), text] {
                    let held = most_held(limits, "a LOGIN ", &piece);
                    assert!(held <= bound, "{held} bytes of {width} and more in {limits:?}");
                }
            }
        }
    }

    #[test]
    fn literals_are_counted() {
        let held = |count: usize| {
            let mut framer = Framer::new(Limits::AFTER_LOGIN);
            framer.input.extend_from_slice(format!("a X {}\r\n", "{0+}\r\n ".repeat(count)).as_bytes());
            framer.next()
        };
        assert!(matches!(held(MOST_LITERALS), Some(Frame::Command(_))));
        let refused = Frame::Refused { tag: Tag::new("a"), why: Refusal::ManyLiterals };
        assert_eq!(held(MOST_LITERALS + 1), Some(refused));
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(row in 0..TABLE.len(), cuts in prop::collection::vec(0usize..200, 0..6)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let wire = TABLE[row].0.as_bytes();
            prop_assert_eq!(frames(wire, &cuts), frames(wire, &[]));
        }

        #[test]
        fn nothing_panics(wire in prop::collection::vec(prop::sample::select(b"a{}+0123456789 \r\nAPPEND\"\x00\xff".to_vec()), 0..120), cuts in prop::collection::vec(0usize..120, 0..4)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            frames(&wire, &cuts);
        }
    }
}
