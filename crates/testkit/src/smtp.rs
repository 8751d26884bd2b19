//! A blocking SMTP client: pipelines, shows replies whole.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, bail};
use base64::{Engine, engine::general_purpose::STANDARD};

use crate::wire::{Trust, Wire};

/// One connection after EHLO.
pub struct Smtp {
    /// The connection, for a test that wants to send what no client sends.
    pub wire: Wire,
    /// EHLO's lines after the first.
    pub extensions: Vec<String>,
}

/// A reply: its code and its lines' texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 250, 451 ...
    pub code: u16,
    /// What follows the code, a line each.
    pub lines: Vec<String>,
}

impl Reply {
    /// Whether it says yes (2xx, 3xx).
    pub fn is_ok(&self) -> bool {
        self.code < 400
    }

    /// Itself, or an error that shows it.
    pub fn expect(self, code: u16) -> Result<Reply> {
        if self.code != code {
            bail!("{code} expected: {} {}", self.code, self.lines.join(" / "));
        }
        Ok(self)
    }
}

/// Who connects: a domain that nobody has (RFC 2606).
const HELO: &str = "client.example";

/// How long a reply may take.
const LIMIT: Duration = Duration::from_secs(60);

impl Smtp {
    /// A plain connection.
    pub fn plain(to: SocketAddr) -> Result<Smtp> {
        Smtp::greet(Wire::plain(to, LIMIT)?)
    }

    /// TLS from the first byte (RFC 8314).
    pub fn tls(to: SocketAddr, trust: &Trust) -> Result<Smtp> {
        Smtp::greet(Wire::tls(to, trust, LIMIT)?)
    }

    /// A plain connection that is upgraded (RFC 3207).
    pub fn starttls(to: SocketAddr, trust: &Trust) -> Result<Smtp> {
        let mut smtp = Smtp::plain(to)?;
        smtp.command("STARTTLS")?.expect(220)?;
        smtp.wire.start_tls(trust)?;
        smtp.ehlo()?;
        Ok(smtp)
    }

    /// AUTH PLAIN with an initial response (RFC 4954).
    pub fn login(&mut self, user: &str, password: &str) -> Result<Reply> {
        self.command(&format!("AUTH PLAIN {}", STANDARD.encode(format!("\0{user}\0{password}"))))
    }

    /// Sends a line, reads a reply.
    pub fn command(&mut self, line: &str) -> Result<Reply> {
        self.wire.send(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    /// One message, MAIL, RCPT and DATA in one packet (RFC 2920). The first refusal is returned and the connection is
    /// usable after it.
    pub fn send(&mut self, from: &str, to: &[&str], message: &[u8]) -> Result<Reply> {
        self.wire.send(envelope(from, to).as_bytes())?;
        let mut refusal = None;
        for _ in 0..=to.len() {
            let reply = self.reply()?;
            if !reply.is_ok() {
                refusal.get_or_insert(reply);
            }
        }
        let data = self.reply()?;
        match (refusal, data.code) {
            (None, 354) => {
                self.wire.send(&dotted(message))?;
                self.reply()
            }
            (Some(refusal), 354) => {
                // Some recipients stand; end with nothing sent: the connection's loss is the only way to say so.
                bail!("refused in part: {} {}", refusal.code, refusal.lines.join(" / "))
            }
            (refusal, _) => {
                self.command("RSET")?;
                Ok(refusal.unwrap_or(data))
            }
        }
    }

    /// Reads one reply.
    pub fn reply(&mut self) -> Result<Reply> {
        let mut lines = Vec::new();
        loop {
            let line = String::from_utf8_lossy(&self.wire.line()?).into_owned();
            let (Some(code), text) = (line.get(..3).and_then(|code| code.parse().ok()), line.get(4..)) else {
                bail!("no reply: {line}");
            };
            lines.push(text.unwrap_or_default().to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(Reply { code, lines });
            }
        }
    }

    fn greet(wire: Wire) -> Result<Smtp> {
        let mut smtp = Smtp { wire, extensions: Vec::new() };
        smtp.reply()?.expect(220)?;
        smtp.ehlo()?;
        Ok(smtp)
    }

    fn ehlo(&mut self) -> Result<()> {
        let mut reply = self.command(&format!("EHLO {HELO}"))?.expect(250)?;
        self.extensions = reply.lines.split_off(1);
        Ok(())
    }
}

/// MAIL, RCPT and DATA as one packet.
pub fn envelope(from: &str, to: &[&str]) -> String {
    let mut lines = format!("MAIL FROM:<{from}>\r\n");
    for to in to {
        lines.push_str(&format!("RCPT TO:<{to}>\r\n"));
    }
    lines + "DATA\r\n"
}

/// A message as DATA wants it: dots doubled, CRLF at the end, the final dot (RFC 5321 section 4.5.2). Its lines must
/// already end with CRLF.
pub fn dotted(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 16);
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        if line.first() == Some(&b'.') {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_dots() {
        assert_eq!(dotted(b".a\r\nb\r\n..\r\n"), b"..a\r\nb\r\n...\r\n.\r\n");
        assert_eq!(dotted(b"a"), b"a\r\n.\r\n");
        assert_eq!(envelope("a@b", &["c@d"]), "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n");
    }
}
