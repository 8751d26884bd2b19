//! The body of a message as it leaves: dots added, line ends made whole, the end written.

/// Encodes a body for the wire (RFC 5321 section 4.5.2). A bare CR or LF is never sent: it becomes CRLF.
#[derive(Clone, Debug)]
pub struct Stuff {
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Start,
    Text,
    Cr,
}

impl Stuff {
    /// An encoder at the beginning of a body.
    pub const fn new() -> Self {
        Self { state: State::Start }
    }

    /// Encodes `input`, appending to `out`.
    pub fn feed(&mut self, mut input: &[u8], out: &mut Vec<u8>) {
        out.reserve(input.len() + input.len() / 64);
        while let Some(&byte) = input.first() {
            match (self.state, byte) {
                (State::Cr, b'\n') => {
                    self.end_line(out);
                    input = &input[1..];
                    continue;
                }
                (State::Cr, _) => self.end_line(out),
                _ => {}
            }
            match byte {
                b'\r' => {
                    self.state = State::Cr;
                    input = &input[1..];
                }
                b'\n' => {
                    self.end_line(out);
                    input = &input[1..];
                }
                _ => {
                    if self.state == State::Start && byte == b'.' {
                        out.push(b'.');
                    }
                    let run = memchr::memchr2(b'\r', b'\n', input).unwrap_or(input.len());
                    out.extend_from_slice(&input[..run]);
                    self.state = State::Text;
                    input = &input[run..];
                }
            }
        }
    }

    /// Ends the body: the last line too, if it was open.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        if self.state != State::Start {
            self.end_line(out);
        }
        out.extend_from_slice(b".\r\n");
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\r\n");
        self.state = State::Start;
    }
}

impl Default for Stuff {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(pieces: &[&str]) -> String {
        let (mut stuff, mut out) = (Stuff::new(), Vec::new());
        for piece in pieces {
            stuff.feed(piece.as_bytes(), &mut out);
        }
        stuff.finish(&mut out);
        String::from_utf8(out).expect("text in, text out")
    }

    #[test]
    fn adds_dots_and_ends() {
        assert_eq!(encode(&[]), ".\r\n");
        assert_eq!(encode(&["a"]), "a\r\n.\r\n");
        assert_eq!(encode(&[".\r\n..\r\na.b\r\n"]), "..\r\n...\r\na.b\r\n.\r\n");
        assert_eq!(encode(&["a\r", "\n", ".", "b\r\n"]), "a\r\n..b\r\n.\r\n");
    }

    #[test]
    fn no_bare_line_end_leaves() {
        assert_eq!(encode(&["a\n.\nb\r.\rc\r\r\nd\r"]), "a\r\n..\r\nb\r\n..\r\nc\r\n\r\nd\r\n.\r\n");
        assert_eq!(encode(&["a\r", ".\r", "b"]), "a\r\n..\r\nb\r\n.\r\n");
    }
}
