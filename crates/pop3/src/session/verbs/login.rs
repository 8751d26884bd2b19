//! USER and PASS (RFC 1939 section 7), AUTH PLAIN (RFC 5034), and what both come down to.

use sealpost_identity::{Attempt, AuthError, Error, sasl};
use sealpost_mailbox::{Caller, Special};
use sealpost_message::decode::base64;
use sealpost_model::Secret;
use sealpost_net::Line;
use sealpost_policy::Right;
use zeroize::{Zeroize, Zeroizing};

use super::{Halt, Session, State, no};
use crate::session::maildrop::Maildrop;
use crate::session::{End, Person};

/// Wrong passwords on one connection.
const MOST_WRONG: u32 = 5;

pub(super) async fn user(s: &mut Session, name: String) -> Result<(), Halt> {
    may_sign_in(s)?;
    s.state = State::Stranger(Some(name));
    s.ok("And the password?").await
}

pub(super) async fn pass(s: &mut Session, password: Secret<String>) -> Result<(), Halt> {
    may_sign_in(s)?;
    let State::Stranger(name) = &mut s.state else { return Err(no("Somebody is signed in already")) };
    let name = name.take().ok_or_else(|| no("Say USER first"))?;
    sign_in(s, name, password).await
}

pub(super) async fn auth(
    s: &mut Session,
    asked: Option<(String, Option<Secret<String>>)>,
) -> Result<(), Halt> {
    may_sign_in(s)?;
    let Some((mechanism, initial)) = asked else {
        return Ok(s.stream.write(b"+OK\r\nPLAIN\r\n.\r\n").await?);
    };
    if mechanism != "PLAIN" {
        return Err(no("The only mechanism here is PLAIN"));
    }
    let response = match initial {
        Some(initial) => Zeroizing::new(initial.expose().as_bytes().to_vec()),
        None => {
            s.stream.write(b"+ \r\n").await?;
            let Line::Whole(mut line) = s.line().await? else { return Err(no("The line is too long")) };
            let response = Zeroizing::new(line.trim_ascii().to_vec());
            line.zeroize();
            response
        }
    };
    if response.as_slice() == b"*" {
        return Err(no("AUTH was cancelled"));
    }
    let message = Zeroizing::new(base64(&response));
    let (name, password) = sasl::plain(&message).ok_or_else(|| no("That is no PLAIN response"))?;
    sign_in(s, name, password).await
}

/// Nobody is signed in yet, and nobody listens in (S14).
fn may_sign_in(s: &Session) -> Result<(), Halt> {
    if matches!(s.state, State::Person(_)) {
        return Err(no("Somebody is signed in already"));
    }
    if s.stream.tls().is_none() {
        return Err(no("Passwords are taken over TLS only; use STLS first"));
    }
    Ok(())
}

/// Asks the directory, and takes a snapshot of the person's INBOX.
async fn sign_in(s: &mut Session, login: String, password: Secret<String>) -> Result<(), Halt> {
    let client = *s.stream.client();
    let identity = &s.services.identity;
    let login = match identity.authenticate(Attempt { login, password, client: &client }).await {
        Ok(login) => login,
        Err(error) => return refused(s, error),
    };
    let account = login.account.ok_or_else(|| no("[AUTH] This person has no mailbox"))?;
    let access = match identity.mailbox(&login, account, Right::Write).await {
        Err(_) => identity.mailbox(&login, account, Right::Read).await,
        granted => granted,
    };
    let access = access.map_err(|error| match error {
        Error::Denied(denied) => Halt::Reply(format!("[AUTH] {denied}")),
        error => {
            tracing::warn!(%error, "can't open a mailbox");
            no("[SYS/TEMP] The mailbox can't be opened at the moment; try again later")
        }
    })?;
    let caller = Caller { access, client };
    let mailboxes = &s.services.mailboxes;
    let folders = mailboxes.folders(&caller).await?;
    let inbox = folders.iter().find(|folder| folder.special == Some(Special::Inbox));
    let inbox = inbox.ok_or_else(|| no("[SYS/PERM] This mailbox has no INBOX"))?;
    let view = mailboxes.open(&caller, inbox.id).await?;
    let maildrop = Maildrop::new(inbox.id, view.folder.uidvalidity, &view.entries);
    let (count, bytes) = maildrop.stat();
    let sessions = s.services.identity.watch_sessions();
    s.state = State::Person(Box::new(Person { login, caller, maildrop, sessions, due: false }));
    s.ok(&format!("{count} messages ({bytes} octets)")).await
}

fn refused(s: &mut Session, error: AuthError) -> Result<(), Halt> {
    s.wrong += 1;
    if s.wrong >= MOST_WRONG {
        return Err(End::Abuse.into());
    }
    let code = match error {
        AuthError::Temporary => "SYS/TEMP",
        AuthError::Throttled { .. } => "LOGIN-DELAY",
        _ => "AUTH",
    };
    Err(Halt::Reply(format!("[{code}] {error}")))
}
