//! A blocking IMAP client: commands as text, responses with their literals.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail};

use crate::wire::{Trust, Wire};

/// One connection after the greeting.
pub struct Imap {
    /// The connection, for a test that wants to send what no client sends.
    pub wire: Wire,
    tag: u32,
}

/// One untagged response: its text with each literal left in place as `{n}`, and the literals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// `* 3 FETCH (UID 5 BODY[] {12})`, without the `* `.
    pub text: String,
    /// The literals in order.
    pub literals: Vec<Vec<u8>>,
}

/// What a command brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The untagged responses.
    pub lines: Vec<Line>,
    /// `OK ...`, `NO ...`, `BAD ...`.
    pub status: String,
}

impl Response {
    /// Itself if it was OK.
    pub fn ok(self) -> Result<Response> {
        if !self.status.starts_with("OK") {
            bail!("{}", self.status);
        }
        Ok(self)
    }
}

/// How long a response may take.
const LIMIT: Duration = Duration::from_secs(120);

impl Imap {
    /// TLS from the first byte.
    pub fn tls(to: SocketAddr, trust: &Trust) -> Result<Imap> {
        let mut imap = Imap { wire: Wire::tls(to, trust, LIMIT)?, tag: 0 };
        let greeting = imap.line()?;
        if !greeting.text.starts_with("OK") {
            bail!("greeting: {}", greeting.text);
        }
        Ok(imap)
    }

    /// Connects and signs in.
    pub fn login(to: SocketAddr, trust: &Trust, user: &str, password: &str) -> Result<Imap> {
        let mut imap = Imap::tls(to, trust)?;
        imap.command(&format!("LOGIN {} {}", quoted(user), quoted(password)))?.ok().context("LOGIN")?;
        Ok(imap)
    }

    /// Sends a command and reads to its tagged response.
    pub fn command(&mut self, text: &str) -> Result<Response> {
        let tag = self.start(text)?;
        self.finish(&tag)
    }

    /// Opens a mailbox; returns the number of its messages.
    pub fn select(&mut self, mailbox: &str) -> Result<u32> {
        let opened = self.command(&format!("SELECT {}", quoted(mailbox)))?.ok().context("SELECT")?;
        let count = opened.lines.iter().find_map(|line| line.text.strip_suffix(" EXISTS")?.parse().ok());
        count.context("SELECT without EXISTS")
    }

    /// The number of a mailbox's messages by STATUS.
    pub fn count(&mut self, mailbox: &str) -> Result<u32> {
        let status = self.command(&format!("STATUS {} (MESSAGES)", quoted(mailbox)))?.ok()?;
        let line = status.lines.iter().find(|line| line.text.starts_with("STATUS ")).context("no STATUS")?;
        let (_, number) = line.text.rsplit_once("MESSAGES ").context("no MESSAGES")?;
        Ok(number.trim_end_matches(')').parse()?)
    }

    /// One header field of all messages of the open mailbox, without its name, unfolded.
    pub fn field(&mut self, name: &str) -> Result<Vec<String>> {
        let fetched = self.command(&format!("UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS ({name})])"))?.ok()?;
        let literals =
            fetched.lines.iter().filter(|line| line.text.contains(" FETCH ")).map(|line| &line.literals);
        let value = |header: &[u8]| {
            let text = String::from_utf8_lossy(header).replace("\r\n ", " ").replace("\r\n\t", " ");
            text.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        Ok(literals.map(|all| all.first().map(|header| value(header)).unwrap_or_default()).collect())
    }

    /// The bodies of all messages of the open mailbox, unread as before.
    pub fn bodies(&mut self) -> Result<Vec<Vec<u8>>> {
        let fetched = self.command("UID FETCH 1:* (BODY.PEEK[])")?.ok()?;
        Ok(fetched.lines.into_iter().filter_map(|line| line.literals.into_iter().next()).collect())
    }

    /// Adds a message to a mailbox by a literal that waits for the server's go-ahead.
    pub fn append(&mut self, mailbox: &str, flags: &str, message: &[u8]) -> Result<Response> {
        let tag = self.start(&format!("APPEND {} ({flags}) {{{}}}", quoted(mailbox), message.len()))?;
        let answer = self.wire.line()?;
        if !answer.starts_with(b"+") {
            bail!("APPEND: {}", String::from_utf8_lossy(&answer));
        }
        self.wire.send(message)?;
        self.wire.send(b"\r\n")?;
        self.finish(&tag)
    }

    fn start(&mut self, text: &str) -> Result<String> {
        self.tag += 1;
        let tag = format!("a{}", self.tag);
        self.wire.send(format!("{tag} {text}\r\n").as_bytes())?;
        Ok(tag)
    }

    fn finish(&mut self, tag: &str) -> Result<Response> {
        let mut response = Response::default();
        loop {
            let line = self.line()?;
            match line.text.strip_prefix(tag).and_then(|rest| rest.strip_prefix(' ')) {
                Some(status) => {
                    response.status = status.to_owned();
                    return Ok(response);
                }
                None => response.lines.push(line),
            }
        }
    }

    /// One response, its literals read; `* ` is taken off.
    pub fn line(&mut self) -> Result<Line> {
        let mut whole = Line::default();
        loop {
            whole.text.push_str(&String::from_utf8_lossy(&self.wire.line()?));
            let Some(count) = literal(&whole.text) else { break };
            whole.literals.push(self.wire.exact(count)?);
        }
        if let Some(text) = whole.text.strip_prefix("* ") {
            whole.text = text.to_owned();
        }
        Ok(whole)
    }
}

/// The length of the literal that a line announces at its end.
fn literal(line: &str) -> Option<usize> {
    line.strip_suffix('}')?.rsplit_once('{')?.1.parse().ok()
}

/// A quoted string (RFC 9051 section 4.3); the text has no line breaks.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_literals_and_quotes() {
        assert_eq!(literal("* 1 FETCH (BODY[] {12}"), Some(12));
        assert_eq!(literal("* OK {x}"), None);
        assert_eq!(literal("* OK"), None);
        assert_eq!(quoted(r#"a"b\c"#), r#""a\"b\\c""#);
    }
}
