//! Replies: printed for our clients, read from others' servers.

use std::fmt::Write as _;

/// A three-digit reply code (RFC 5321 section 4.2.1).
pub type Code = u16;

/// An enhanced status code, as in `5.7.1` (RFC 3463).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Enhanced(pub u8, pub u16, pub u16);

/// A reply of one or more lines.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    /// The code.
    pub code: Code,
    /// The enhanced code, where there is one.
    pub enhanced: Option<Enhanced>,
    /// Its lines, without codes.
    pub lines: Vec<String>,
}

impl Reply {
    /// A reply with an enhanced code. Its text is cut into lines at 400 bytes, since a reply line may have 512.
    pub fn new(code: Code, enhanced: Enhanced, text: &str) -> Self {
        Self { code, enhanced: Some(enhanced), lines: wrap(text) }
    }

    /// A reply without one: greetings, EHLO, `354`, `334` (RFC 2034 section 4).
    pub fn plain(code: Code, text: &str) -> Self {
        Self { code, enhanced: None, lines: vec![text.to_owned()] }
    }

    /// A reply of several lines without enhanced codes.
    pub const fn list(code: Code, lines: Vec<String>) -> Self {
        Self { code, enhanced: None, lines }
    }

    /// 2xx.
    pub const fn is_ok(&self) -> bool {
        self.code / 100 == 2
    }

    /// 4xx: another time.
    pub const fn is_temporary(&self) -> bool {
        self.code / 100 == 4
    }

    /// 5xx: never.
    pub const fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }

    /// The lines in one.
    pub fn text(&self) -> String {
        self.lines.join(" ")
    }

    /// As it goes over the wire.
    pub fn print(&self) -> Vec<u8> {
        let mut out = String::new();
        let last = self.lines.len().saturating_sub(1);
        for (n, line) in self.lines.iter().enumerate() {
            let mark = if n == last { ' ' } else { '-' };
            let _ = write!(out, "{}{mark}", self.code);
            if let Some(enhanced) = self.enhanced {
                let _ = write!(out, "{enhanced} ");
            }
            // What was quoted from anywhere can't end the line.
            out.extend(line.chars().map(|c| if c.is_control() { '?' } else { c }));
            out.push_str("\r\n");
        }
        out.into_bytes()
    }
}

impl std::fmt::Display for Enhanced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// `550 5.1.1 no such user`: what the ledger keeps of a peer's answer.
impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        write!(f, " {}", self.text())
    }
}

/// Remote texts quote addresses: `Debug` shows the codes only.
impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply")
            .field("code", &self.code)
            .field("enhanced", &self.enhanced)
            .finish_non_exhaustive()
    }
}

/// Puts a reply together from lines (`Reply-line`, RFC 5321 section 4.2). Lenient where it is harmless: a peer may end
/// its lines in LF and leave the text away.
#[derive(Debug, Default)]
pub struct ReplyReader {
    reply: Option<Reply>,
}

impl ReplyReader {
    /// A reader of the next reply.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one line; the reply once it is whole.
    ///
    /// # Errors
    /// What is wrong with the peer's reply.
    pub fn line(&mut self, line: &[u8]) -> Result<Option<Reply>, &'static str> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let digits =
            line.get(..3).filter(|d| d.iter().all(u8::is_ascii_digit) && (b'2'..=b'5').contains(&d[0]));
        let digits = digits.ok_or("the reply does not begin with a code")?;
        let code = digits.iter().fold(0, |n, d| n * 10 + Code::from(d - b'0'));
        let last = match line.get(3) {
            None | Some(b' ') => true,
            Some(b'-') => false,
            Some(_) => return Err("the reply's code is not followed by a space or a hyphen"),
        };
        let text = String::from_utf8_lossy(line.get(4..).unwrap_or_default()).into_owned();
        let (enhanced, text) = split_enhanced(&text, code);
        let reply = self.reply.get_or_insert(Reply { code, enhanced, lines: Vec::new() });
        if reply.code != code {
            return Err("the lines of a reply differ in their code");
        }
        if reply.lines.len() >= MAX_LINES {
            return Err("the reply has too many lines");
        }
        reply.lines.push(text.chars().map(|c| if c.is_control() { '?' } else { c }).take(MAX_TEXT).collect());
        Ok(if last { self.reply.take() } else { None })
    }
}

/// What a peer offers in reply to EHLO (RFC 5321 section 4.1.1.1).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Extensions {
    /// RFC 3207.
    pub starttls: bool,
    /// RFC 2920.
    pub pipelining: bool,
    /// RFC 6152.
    pub eight_bit: bool,
    /// RFC 1870; `Some(0)` is "no limit told".
    pub size: Option<u64>,
}

impl Extensions {
    /// Reads them from the reply to EHLO; its first line is a greeting.
    pub fn read(reply: &Reply) -> Self {
        let mut found = Self::default();
        for line in reply.lines.iter().skip(1) {
            let mut words = line.split_ascii_whitespace();
            match words.next().unwrap_or_default().to_ascii_uppercase().as_str() {
                "STARTTLS" => found.starttls = true,
                "PIPELINING" => found.pipelining = true,
                "8BITMIME" => found.eight_bit = true,
                "SIZE" => found.size = Some(words.next().and_then(|n| n.parse().ok()).unwrap_or(0)),
                _ => {}
            }
        }
        found
    }
}

/// `status-code = class "." subject "." detail` (RFC 3463 section 2), whose class must be that of the code.
fn split_enhanced(text: &str, code: Code) -> (Option<Enhanced>, &str) {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let mut parts = word.split('.');
    let mut number = |max: usize| {
        let part = parts.next()?;
        let ok = (1..=max).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        ok.then(|| part.parse::<u16>().ok()).flatten()
    };
    let found = (|| Some((number(1)?, number(3)?, number(3)?)))();
    match found {
        Some((class, subject, detail)) if parts.next().is_none() && class == code / 100 => {
            (Some(Enhanced(u8::try_from(class).unwrap_or_default(), subject, detail)), rest)
        }
        _ => (None, text),
    }
}

fn wrap(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().filter(|l| l.is_empty() || l.len() + word.len() < LINE);
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

const LINE: usize = 400;
const MAX_LINES: usize = 100;
const MAX_TEXT: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Reply>, &'static str> {
        let mut reader = ReplyReader::new();
        let mut reply = None;
        for line in text.split_inclusive('\n') {
            assert!(reply.is_none(), "a line behind the last");
            reply = reader.line(line.as_bytes())?;
        }
        Ok(reply)
    }

    #[test]
    fn prints_and_reads() {
        for reply in [
            Reply::new(250, Enhanced(2, 0, 0), "ok"),
            Reply::new(550, Enhanced(5, 7, 1), &"many words ".repeat(100)),
            Reply::plain(354, "go"),
            Reply::list(250, vec!["mx.clinic.test".into(), "PIPELINING".into(), "SIZE 100".into()]),
        ] {
            let wire = String::from_utf8(reply.print()).expect("ASCII");
            assert!(wire.split_inclusive("\r\n").all(|l| l.len() <= 512 && l.ends_with("\r\n")));
            assert_eq!(read(&wire).expect("our own"), Some(reply));
        }
    }

    #[test]
    fn a_quoted_text_ends_no_line() {
        let reply = Reply::new(550, Enhanced(5, 0, 0), "they said\r\n250 ok");
        assert_eq!(reply.print(), b"550 5.0.0 they said??250 ok\r\n");
    }

    #[test]
    fn reads_what_peers_send() {
        assert_eq!(read("250\r\n").expect("short").expect("whole").code, 250);
        let reply = read("550-5.1.1 no\n550 5.1.1 such user\n").expect("LF").expect("whole");
        assert_eq!((reply.enhanced, reply.text()), (Some(Enhanced(5, 1, 1)), "no such user".into()));
        // Another class is a text, not a status.
        assert_eq!(read("250 5.1.1 hm\r\n").expect("odd").expect("whole").enhanced, None);
        for bad in ["", "25\r\n", "999 x\r\n", "2x0 x\r\n", "250_x\r\n", "250-a\r\n550 b\r\n"] {
            assert!(!matches!(read(bad), Ok(Some(_))), "{bad:?}");
        }
    }

    #[test]
    fn reads_extensions() {
        let reply =
            read("250-size pipelining\r\n250-PIPELINING\r\n250-size 1000\r\n250 StartTLS\r\n").expect("ok");
        let found = Extensions::read(&reply.expect("whole"));
        assert_eq!(
            found,
            Extensions { starttls: true, pipelining: true, eight_bit: false, size: Some(1000) }
        );
    }
}
