//! LOGIN (RFC 9051 section 6.2.3), and what every way of signing in comes down to.

use sealpost_identity::{Attempt, AuthError};
use sealpost_mailbox::Caller;
use sealpost_model::Secret;
use sealpost_policy::Right;

use crate::session::reply::{End, Halt, Reply};
use crate::session::{Person, Session};

/// Wrong passwords on one connection.
const MOST_WRONG: u32 = 5;

pub(super) async fn login(s: &mut Session, login: String, password: Secret<String>) -> Result<Reply, Halt> {
    may_sign_in(s)?;
    sign_in(s, login, password).await
}

/// Nobody is signed in yet, and nobody listens in (S14).
pub(super) fn may_sign_in(s: &Session) -> Result<(), Halt> {
    if s.person.is_some() {
        return Err(Reply::bad("Somebody is signed in already").into());
    }
    if s.link.stream.tls().is_none() {
        return Err(
            Reply::no("PRIVACYREQUIRED", "Passwords are taken over TLS only; use STARTTLS first").into()
        );
    }
    Ok(())
}

/// Asks the directory, and opens the person's mailbox.
pub(super) async fn sign_in(s: &mut Session, login: String, password: Secret<String>) -> Result<Reply, Halt> {
    let client = *s.link.stream.client();
    let attempt = Attempt { login, password, client: &client };
    let login = match s.services.identity.authenticate(attempt).await {
        Ok(login) => login,
        Err(error) => return refused(s, &error),
    };
    let Some(account) = login.account else {
        return Err(Reply::no("AUTHORIZATIONFAILED", "This person has no mailbox").into());
    };
    let identity = &s.services.identity;
    let access = match identity.mailbox(&login, account, Right::Write).await {
        Err(_) => identity.mailbox(&login, account, Right::Read).await,
        granted => granted,
    };
    let access = access.map_err(|error| match error {
        sealpost_identity::Error::Denied(denied) => Reply::no("AUTHORIZATIONFAILED", denied.to_string()),
        error => {
            tracing::warn!(%error, "can't open a mailbox");
            Reply::no("UNAVAILABLE", "The mailbox can't be opened at the moment; try again later")
        }
    })?;
    s.link.signed_in(&s.services.identity, &login);
    let watch = s.services.mailboxes.watch(account);
    let own = Caller { access, client };
    s.person = Some(Person { login, own, caller: own, watch, selected: None, stale: false });
    Ok(Reply::ok("Signed in").code(format!("CAPABILITY {}", s.capabilities())))
}

fn refused(s: &mut Session, error: &AuthError) -> Result<Reply, Halt> {
    let code = match error {
        AuthError::Temporary => "UNAVAILABLE",
        AuthError::Throttled { .. } => "LIMIT",
        _ => "AUTHENTICATIONFAILED",
    };
    s.wrong += 1;
    if s.wrong >= MOST_WRONG {
        return Err(End::Abuse.into());
    }
    Err(Reply::no(code, crate::session::reply::sentence(&error.to_string())).into())
}
