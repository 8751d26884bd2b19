//! A blocking POP3 client.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, bail};

use crate::wire::{Trust, Wire};

/// One connection after the greeting.
pub struct Pop3 {
    /// The connection.
    pub wire: Wire,
}

impl Pop3 {
    /// Connects over TLS and signs in.
    pub fn login(to: SocketAddr, trust: &Trust, user: &str, password: &str) -> Result<Pop3> {
        let mut pop3 = Pop3 { wire: Wire::tls(to, trust, Duration::from_secs(60))? };
        pop3.answer()?;
        pop3.command(&format!("USER {user}"))?;
        pop3.command(&format!("PASS {password}"))?;
        Ok(pop3)
    }

    /// A command with a one-line answer; what follows `+OK`.
    pub fn command(&mut self, line: &str) -> Result<String> {
        self.wire.send(format!("{line}\r\n").as_bytes())?;
        self.answer()
    }

    /// A command with a multi-line answer, dots undone (RFC 1939 section 3).
    pub fn multi(&mut self, line: &str) -> Result<Vec<u8>> {
        self.command(line)?;
        let mut all = Vec::new();
        loop {
            let line = self.wire.line()?;
            if line == b"." {
                return Ok(all);
            }
            all.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
            all.extend_from_slice(b"\r\n");
        }
    }

    fn answer(&mut self) -> Result<String> {
        let line = String::from_utf8_lossy(&self.wire.line()?).into_owned();
        match line.strip_prefix("+OK") {
            Some(text) => Ok(text.trim().to_owned()),
            None => bail!("{line}"),
        }
    }
}
