//! A message as the lines of a multi-line response (RFC 1939 section 3): dots doubled, CR LF at the end of each line.

/// Turns a message, piece by piece, into what goes on the wire.
///
/// A bare LF becomes CR LF: a client that takes it for a line end must not see a lone dot, or a line of its own, where
/// the server sees none.
#[derive(Debug)]
pub struct Stuffer {
    last: Option<u8>,
    line: Line,
    /// For TOP: lines of the body still to give; `None` gives all.
    lines: Option<u32>,
    in_body: bool,
    done: bool,
}

/// What the current line holds so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Nothing,
    /// One CR: an empty line's end in the making.
    Cr,
    More,
}

impl Stuffer {
    /// For RETR: all of the message.
    pub fn whole() -> Self {
        Self { last: None, line: Line::Nothing, lines: None, in_body: false, done: false }
    }

    /// For TOP: the header, the blank line behind it, and so many lines of the body.
    pub fn top(lines: u32) -> Self {
        Self { lines: Some(lines), ..Self::whole() }
    }

    /// Whether no more of the message is wanted.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Appends a piece of the message to `out`.
    pub fn feed(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        out.reserve(piece.len() + piece.len() / 32);
        for &byte in piece {
            if self.done {
                return;
            }
            if byte == b'\n' {
                if self.last != Some(b'\r') {
                    out.push(b'\r');
                }
                out.push(b'\n');
                self.line_end();
            } else {
                if self.line == Line::Nothing && byte == b'.' {
                    out.push(b'.');
                }
                out.push(byte);
                self.line = if self.line == Line::Nothing && byte == b'\r' { Line::Cr } else { Line::More };
            }
            self.last = Some(byte);
        }
    }

    /// A line is complete; an empty one ends the header.
    fn line_end(&mut self) {
        if self.in_body {
            if let Some(lines) = &mut self.lines {
                *lines = lines.saturating_sub(1);
            }
        } else if self.line != Line::More {
            self.in_body = true;
        }
        self.line = Line::Nothing;
        self.done = self.in_body && self.lines == Some(0);
    }

    /// Ends the response: a last line without an end gets one, then comes the lone dot.
    pub fn finish(self, out: &mut Vec<u8>) {
        match self.last {
            None | Some(b'\n') => {}
            Some(b'\r') => out.push(b'\n'),
            Some(_) => out.extend_from_slice(b"\r\n"),
        }
        out.extend_from_slice(b".\r\n");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stuffed(mut stuffer: Stuffer, pieces: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in pieces {
            stuffer.feed(piece, &mut out);
        }
        stuffer.finish(&mut out);
        out
    }

    /// What a client makes of it.
    fn read(wire: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        for line in wire.split_inclusive(|&b| b == b'\n') {
            if line == b".\r\n" {
                return message;
            }
            message.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        }
        panic!("no end");
    }

    #[test]
    fn dots_are_doubled() {
        for (message, wire) in [
            ("", ".\r\n"),
            ("a\r\n", "a\r\n.\r\n"),
            ("a", "a\r\n.\r\n"),
            ("a\r", "a\r\n.\r\n"),
            (".\r\n", "..\r\n.\r\n"),
            ("a\r\n.\r\n..b\r\n", "a\r\n..\r\n...b\r\n.\r\n"),
            ("a\n.\nb", "a\r\n..\r\nb\r\n.\r\n"),
            ("a.b\r\n", "a.b\r\n.\r\n"),
        ] {
            let out = stuffed(Stuffer::whole(), &[message.as_bytes()]);
            assert_eq!(String::from_utf8_lossy(&out), wire, "{message:?}");
        }
    }

    #[test]
    fn top_stops_in_time() {
        let message = b"Subject: x\r\n\r\none\r\n.two\r\nthree\r\n";
        for (lines, wire) in [
            (0, "Subject: x\r\n\r\n.\r\n"),
            (1, "Subject: x\r\n\r\none\r\n.\r\n"),
            (2, "Subject: x\r\n\r\none\r\n..two\r\n.\r\n"),
            (9, "Subject: x\r\n\r\none\r\n..two\r\nthree\r\n.\r\n"),
        ] {
            let out = stuffed(Stuffer::top(lines), &[message]);
            assert_eq!(String::from_utf8_lossy(&out), wire, "{lines}");
        }
    }

    proptest! {
        #[test]
        fn clients_read_the_message_back(
            message in prop::collection::vec(prop::sample::select(b"a.\r\n".to_vec()), 0..60),
            cut in 0usize..60,
        ) {
            let cut = cut.min(message.len());
            let wire = stuffed(Stuffer::whole(), &[&message[..cut], &message[cut..]]);
            prop_assert_eq!(&wire, &stuffed(Stuffer::whole(), &[&message]));
            // each LF has its CR, and the lone dot stands at the end alone
            prop_assert!(wire.iter().enumerate().all(|(at, &b)| b != b'\n' || (at > 0 && wire[at - 1] == b'\r')));
            let text = String::from_utf8(wire.clone()).unwrap();
            prop_assert_eq!(format!("\r\n{text}").matches("\r\n.\r\n").count(), 1);
            let mut plain = String::from_utf8(message).unwrap();
            if !plain.is_empty() && !plain.ends_with('\n') {
                plain.push_str(if plain.ends_with('\r') { "\n" } else { "\r\n" });
            }
            let normal = plain.replace("\r\n", "\n").replace('\n', "\r\n");
            let back = String::from_utf8(read(&wire)).unwrap();
            prop_assert_eq!(back, normal);
        }
    }
}
