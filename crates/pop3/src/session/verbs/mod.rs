//! One function a verb; those with more to them have a file.

mod login;
mod quit;
mod retr;
mod stls;

use super::{Halt, Session, State, no};
use crate::codec::Command;

/// Does what the client asked for.
pub(super) async fn obey(s: &mut Session, command: Command) -> Result<(), Halt> {
    match command {
        Command::Capa => capa(s).await,
        Command::Stls => stls::stls(s).await,
        Command::User(name) => login::user(s, name).await,
        Command::Pass(password) => login::pass(s, password).await,
        Command::Auth(asked) => login::auth(s, asked).await,
        Command::Stat => stat(s).await,
        Command::List(number) => list(s, number).await,
        Command::Uidl(number) => uidl(s, number).await,
        Command::Retr(number) => retr::retr(s, number).await,
        Command::Top(number, lines) => retr::top(s, number, lines).await,
        Command::Dele(number) => dele(s, number).await,
        Command::Rset => {
            s.person()?.maildrop.reset();
            s.ok("Nothing will be deleted").await
        }
        Command::Noop => {
            s.person()?;
            s.ok("Done").await
        }
        Command::Quit => quit::quit(s).await,
    }
}

/// CAPA (RFC 2449): what can be done at this point.
async fn capa(s: &mut Session) -> Result<(), Halt> {
    let mut lines = vec!["TOP", "UIDL", "PIPELINING", "RESP-CODES", "AUTH-RESP-CODE"];
    if s.stream.tls().is_some() {
        lines.extend(["USER", "SASL PLAIN"]);
    } else if s.stream.can_upgrade() {
        lines.push("STLS");
    }
    let text = format!("+OK This can be done\r\n{}\r\n.\r\n", lines.join("\r\n"));
    Ok(s.stream.write(text.as_bytes()).await?)
}

async fn stat(s: &mut Session) -> Result<(), Halt> {
    let (count, bytes) = s.person()?.maildrop.stat();
    s.ok(&format!("{count} {bytes}")).await
}

async fn list(s: &mut Session, number: Option<u32>) -> Result<(), Halt> {
    let maildrop = &mut s.person()?.maildrop;
    if let Some(number) = number {
        let size = maildrop.message(number).ok_or_else(|| no("There is no such message"))?.size;
        return s.ok(&format!("{number} {size}")).await;
    }
    let (count, bytes) = maildrop.stat();
    let lines: String = maildrop.messages().map(|(number, m)| format!("{number} {}\r\n", m.size)).collect();
    Ok(s.stream.write(format!("+OK {count} messages ({bytes} octets)\r\n{lines}.\r\n").as_bytes()).await?)
}

async fn uidl(s: &mut Session, number: Option<u32>) -> Result<(), Halt> {
    let maildrop = &mut s.person()?.maildrop;
    if let Some(number) = number {
        maildrop.message(number).ok_or_else(|| no("There is no such message"))?;
    }
    let mut chosen = maildrop.messages().filter(|(n, _)| number.is_none_or(|wanted| wanted as usize == *n));
    if number.is_some() {
        let text = chosen.next().map(|(n, message)| format!("{n} {}", maildrop.unique(message)));
        drop(chosen);
        return s.ok(&text.unwrap_or_default()).await;
    }
    let lines: String = chosen.map(|(n, message)| format!("{n} {}\r\n", maildrop.unique(message))).collect();
    Ok(s.stream.write(format!("+OK\r\n{lines}.\r\n").as_bytes()).await?)
}

async fn dele(s: &mut Session, number: u32) -> Result<(), Halt> {
    let message = s.person()?.maildrop.message(number).ok_or_else(|| no("There is no such message"))?;
    message.deleted = true;
    s.ok("It will be deleted at QUIT").await
}
