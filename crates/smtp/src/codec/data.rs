//! The body of a message as it arrives: dots taken away, line ends held to the letter, the end found.
//!
//! RFC 5321 section 4.5.2 adds a dot to each line that begins with one, section 4.1.1.4 ends the body at `CRLF . CRLF`,
//! section 2.3.8 forbids CR and LF in any other place. Servers that took `LF . LF` or `LF . CRLF` for an end could be
//! made to see two messages where the one before them saw one. Here only the letter ends a body. A body that breaks the
//! rule is read to that end and refused whole, so that both sides stay in step.

/// Decodes a body. What it yields, and where it ends, does not depend on how the input is cut.
#[derive(Clone, Debug, Default)]
pub struct Unstuff {
    state: State,
    broken: Option<Broken>,
}

/// What a call of [`Unstuff::feed`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// How many bytes of the input belong to the body.
    pub consumed: usize,
    /// Whether the body ended there.
    pub done: bool,
}

/// How a body breaks the line rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Broken {
    /// A line feed without a carriage return before it.
    #[error("a line feed stands alone; lines must end in CRLF")]
    BareLf,
    /// A carriage return without a line feed behind it.
    #[error("a carriage return stands alone; lines must end in CRLF")]
    BareCr,
    /// A NUL, which no mail may hold (RFC 5322 section 4) and no mail program can be given (RFC 9051 section 4.3).
    #[error("the message holds a NUL character")]
    Nul,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum State {
    /// At the beginning of a line.
    #[default]
    Start,
    /// Within a line.
    Text,
    /// Behind a CR within a line.
    Cr,
    /// Behind a dot that begins a line.
    Dot,
    /// Behind a dot and a CR.
    DotCr,
}

impl Unstuff {
    /// A decoder at the beginning of a body.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is wrong with the body, the first thing found. From there on nothing is yielded.
    pub const fn broken(&self) -> Option<Broken> {
        self.broken
    }

    /// Decodes `input`, appending to `out`. After `done` the decoder must not be fed again.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> Step {
        let mut at = 0;
        while at < input.len() {
            if self.state == State::Text {
                // The long way through a line: everything up to the next byte that matters.
                let run = memchr::memchr3(b'\r', b'\n', 0, &input[at..]).unwrap_or(input.len() - at);
                if self.broken.is_none() {
                    out.extend_from_slice(&input[at..at + run]);
                }
                at += run;
            }
            let Some(&byte) = input.get(at) else { break };
            at += 1;
            if self.step(byte, out) {
                return Step { consumed: at, done: true };
            }
        }
        Step { consumed: input.len(), done: false }
    }

    /// Takes one byte; true at the end of the body.
    fn step(&mut self, byte: u8, out: &mut Vec<u8>) -> bool {
        match (self.state, byte) {
            (State::DotCr, b'\n') => return true,
            (State::Cr, b'\n') => {
                self.put(b"\r\n", out);
                self.state = State::Start;
            }
            (State::Cr | State::DotCr, _) => {
                self.spoil(Broken::BareCr);
                self.state = State::Text;
                return self.step(byte, out);
            }
            (State::Start, b'.') => self.state = State::Dot,
            (State::Dot, b'\r') => self.state = State::DotCr,
            (_, b'\r') => self.state = State::Cr,
            (_, b'\n') => {
                self.spoil(Broken::BareLf);
                self.state = State::Text;
            }
            (_, 0) => {
                self.spoil(Broken::Nul);
                self.state = State::Text;
            }
            (_, byte) => {
                self.put(&[byte], out);
                self.state = State::Text;
            }
        }
        false
    }

    fn put(&self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.broken.is_none() {
            out.extend_from_slice(bytes);
        }
    }

    fn spoil(&mut self, how: Broken) {
        self.broken.get_or_insert(how);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Decodes in pieces: text, whether it ended, what was left over, what was wrong.
    fn decode(pieces: &[&[u8]]) -> (Vec<u8>, bool, Vec<u8>, Option<Broken>) {
        let mut decoder = Unstuff::new();
        let (mut out, mut rest, mut done) = (Vec::new(), Vec::new(), false);
        for piece in pieces {
            if done {
                rest.extend_from_slice(piece);
                continue;
            }
            let step = decoder.feed(piece, &mut out);
            done = step.done;
            rest.extend_from_slice(&piece[step.consumed..]);
        }
        (out, done, rest, decoder.broken())
    }

    #[test]
    fn takes_dots_away_and_finds_the_end() {
        for (input, want, rest) in [
            (&b".\r\n"[..], &b""[..], &b""[..]),
            (b"a\r\n.\r\nQUIT\r\n", b"a\r\n", b"QUIT\r\n"),
            (b"..\r\n...\r\n.a\r\n.\r\n", b".\r\n..\r\na\r\n", b""),
            (b"\r\n\r\n.\r\n", b"\r\n\r\n", b""),
        ] {
            assert_eq!(decode(&[input]), (want.to_vec(), true, rest.to_vec(), None));
        }
    }

    #[test]
    fn nothing_but_the_letter_ends_a_body() {
        for (input, how) in [
            (&b"a\n.\n"[..], Broken::BareLf),
            (b"a\n.\r\n", Broken::BareLf),
            (b"a\r\n.\n", Broken::BareLf),
            (b"a\r\n.\r", Broken::BareCr),
            (b"a\r.\r", Broken::BareCr),
            (b"a\r.\r\n", Broken::BareCr),
            (b"a\r\n.\r\r\n", Broken::BareCr),
            (b"a\r\r\n.\r\n", Broken::BareCr),
            (b"a\r\n\r.\r\n", Broken::BareCr),
            (b"a\r\n\0.\r\n", Broken::Nul),
            (b"a\0\r\n.\0\r\n", Broken::Nul),
            (b"\n.\r\n", Broken::BareLf),
        ] {
            let mut with_tail = input.to_vec();
            with_tail.extend_from_slice(b"MAIL FROM:<evil@x.y>\r\nDATA\r\n");
            let (_, done, _, _) = decode(&[&with_tail]);
            let honest = with_tail.windows(5).any(|w| w == b"\r\n.\r\n");
            assert_eq!(done, honest, "{:?}", String::from_utf8_lossy(input));
            // Whatever follows is part of the same, refused body until it ends by the letter.
            with_tail.extend_from_slice(b"\r\n.\r\n");
            let (_, done, _, broken) = decode(&[&with_tail]);
            assert!(done);
            assert_eq!(broken, Some(how), "{:?}", String::from_utf8_lossy(input));
        }
    }

    proptest! {
        #[test]
        fn the_cut_does_not_matter(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(b'a'), Just(0)], 0..60),
            cuts in proptest::collection::vec(0usize..60, 0..8),
        ) {
            let mut cuts: Vec<_> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
            prop_assert_eq!(decode(&[&bytes]), decode(&pieces));
        }

        #[test]
        fn what_was_stuffed_comes_back(lines in proptest::collection::vec("[.a\u{e4} ]{0,5}", 0..20)) {
            let body: String = lines.iter().map(|l| format!("{l}\r\n")).collect();
            let mut wire = Vec::new();
            let mut stuff = crate::codec::Stuff::new();
            stuff.feed(body.as_bytes(), &mut wire);
            stuff.finish(&mut wire);
            prop_assert_eq!(decode(&[&wire]), (body.into_bytes(), true, Vec::new(), None));
        }
    }
}
