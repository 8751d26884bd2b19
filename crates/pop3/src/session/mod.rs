//! A session: one connection, its person, and the INBOX as it was at sign-in.

mod maildrop;
mod verbs;

use std::sync::Arc;
use std::time::Duration;

use sealpost_identity::Login;
use sealpost_mailbox::Caller;
use sealpost_net::{Error as NetError, Line, Stop, Stream};
use sealpost_store::Watch;
use tokio::time::{Instant, timeout};
use zeroize::Zeroize;

use crate::codec::{Command, LONGEST_LINE, parse};
use crate::serve::Services;
use maildrop::Maildrop;

/// RFC 1939 section 3 wants 10 minutes at least (S46).
const AUTOLOGOUT: Duration = Duration::from_secs(10 * 60);
/// Who has not signed in may be silent for so long, and take so long in all.
const BEFORE_LOGIN: Duration = Duration::from_secs(60);
const TO_LOG_IN: Duration = Duration::from_secs(3 * 60);
/// Lines in a row that are no command, or can't be done, before the client is sent away.
const MOST_BAD: u32 = 20;

pub(crate) struct Session {
    stream: Stream,
    services: Arc<Services>,
    stop: Stop,
    state: State,
    began: Instant,
    bad: u32,
    wrong: u32,
}

/// RFC 1939's states; UPDATE is `verbs::quit`.
enum State {
    /// AUTHORIZATION, with the name that USER gave.
    Stranger(Option<String>),
    /// TRANSACTION
    Person(Box<Person>),
}

struct Person {
    login: Login,
    caller: Caller,
    maildrop: Maildrop,
    sessions: Watch,
    /// Some session ended, and it was not yet looked whether it was this.
    due: bool,
}

impl Person {
    /// Returns when the login is good no more (S48). May be dropped and called again: nothing is lost.
    async fn ended(&mut self, services: &Services) {
        loop {
            if !self.due {
                self.sessions.changed().await;
                self.due = true;
            }
            match services.identity.still_valid(&self.login).await {
                Ok(false) => return,
                Ok(true) => {}
                Err(error) => tracing::warn!(%error, "can't check a login"),
            }
            self.due = false;
        }
    }
}

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Quit,
    Closed,
    Idle,
    Stopping,
    Revoked,
    Abuse,
}

impl End {
    /// The reason's name in the log.
    const fn name(self) -> &'static str {
        match self {
            Self::Quit => "logout",
            Self::Closed => "connection-closed",
            Self::Idle => "idle",
            Self::Stopping => "server-stopping",
            Self::Revoked => "access-ended",
            Self::Abuse => "protocol-abuse",
        }
    }

    const fn farewell(self) -> Option<&'static str> {
        match self {
            Self::Quit | Self::Closed => None,
            Self::Idle => Some("-ERR You were silent for too long; nothing was deleted\r\n"),
            Self::Stopping => Some("-ERR [SYS/TEMP] The server is stopping; nothing was deleted\r\n"),
            Self::Revoked => Some("-ERR [AUTH] Your access was ended; nothing was deleted\r\n"),
            Self::Abuse => Some("-ERR That was too much; good bye\r\n"),
        }
    }
}

impl From<NetError> for End {
    fn from(error: NetError) -> Self {
        match error {
            NetError::Idle => Self::Idle,
            _ => Self::Closed,
        }
    }
}

/// Why a command was not done: the words behind `-ERR`, or the end.
enum Halt {
    Reply(String),
    End(End),
}

impl From<End> for Halt {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

impl From<NetError> for Halt {
    fn from(error: NetError) -> Self {
        Self::End(error.into())
    }
}

impl From<sealpost_mailbox::Error> for Halt {
    fn from(error: sealpost_mailbox::Error) -> Self {
        use sealpost_model::Fault;
        match error.fault() {
            Fault::Temporary | Fault::Bug => {
                tracing::warn!(%error, "a POP3 command failed");
                Self::Reply("[SYS/TEMP] The server can't do this at the moment; try again later".into())
            }
            Fault::Corrupt => {
                tracing::error!(%error, "stored data is damaged");
                Self::Reply(format!("[SYS/PERM] {error}"))
            }
            _ => Self::Reply(error.to_string()),
        }
    }
}

fn no(words: &str) -> Halt {
    Halt::Reply(words.to_owned())
}

impl Session {
    pub fn new(stream: Stream, services: Arc<Services>, stop: Stop) -> Self {
        Self { stream, services, stop, state: State::Stranger(None), began: Instant::now(), bad: 0, wrong: 0 }
    }

    /// Serves the connection to its end.
    pub async fn run(mut self) {
        let end = match self.stream.write(b"+OK Sealpost is ready\r\n").await {
            Ok(()) => loop {
                if let Err(end) = self.step().await {
                    break end;
                }
            },
            Err(error) => error.into(),
        };
        if let Some(farewell) = end.farewell() {
            let _ = self.stream.write(farewell.as_bytes()).await;
        }
        if end != End::Closed {
            let _ = self.stream.flush().await;
        }
        if let State::Person(person) = &self.state {
            let logged =
                self.services.identity.logout(&person.login, &person.caller.client, end.name()).await;
            if let Err(error) = logged {
                tracing::warn!(%error, "can't log the end of a session");
            }
        }
        if end != End::Closed {
            self.stream.close().await;
        }
    }

    async fn step(&mut self) -> Result<(), End> {
        let mut line = match self.line().await? {
            Line::Whole(line) => line,
            Line::TooLong => return self.refuse("The line is too long").await,
        };
        let command = match parse(&line) {
            Ok(command) => command,
            Err(wrong) => {
                line.zeroize();
                return self.refuse(&wrong.to_string()).await;
            }
        };
        if matches!(command, Command::Pass(_) | Command::Auth(_)) {
            line.zeroize();
        }
        drop(line);
        // Boxed, so that a session that waits is small.
        match Box::pin(verbs::obey(self, command)).await {
            Ok(()) => {
                self.bad = 0;
                Ok(())
            }
            Err(Halt::Reply(words)) => self.refuse(&words).await,
            Err(Halt::End(end)) => Err(end),
        }
    }

    /// The next line. Answers are sent before waiting, and only then: pipelined commands are answered together.
    async fn line(&mut self) -> Result<Line, End> {
        if self.stop.is_stopping() {
            return Err(End::Stopping);
        }
        if !self.stream.buffered().contains(&b'\n') {
            self.stream.flush().await?;
        }
        // A stranger has as long in all as a person has between two lines.
        let whole = match self.state {
            State::Person(_) => Duration::MAX,
            State::Stranger(_) => BEFORE_LOGIN.min(TO_LOG_IN.saturating_sub(self.began.elapsed())),
        };
        let (state, services) = (&mut self.state, &self.services);
        let ended = async {
            match state {
                State::Person(person) => person.ended(services).await,
                State::Stranger(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = ended => Err(End::Revoked),
            line = timeout(whole, self.stream.read_line(LONGEST_LINE, AUTOLOGOUT)) => {
                Ok(line.map_err(|_| End::Idle)??)
            }
            () = self.stop.stopping() => Err(End::Stopping),
        }
    }

    async fn refuse(&mut self, words: &str) -> Result<(), End> {
        self.bad += 1;
        let words = words.replace(['\r', '\n'], " ");
        self.stream.write(format!("-ERR {words}\r\n").as_bytes()).await?;
        if self.bad >= MOST_BAD { Err(End::Abuse) } else { Ok(()) }
    }

    /// Whoever signed in.
    fn person(&mut self) -> Result<&mut Person, Halt> {
        match &mut self.state {
            State::Person(person) => Ok(person),
            State::Stranger(_) => Err(no("Sign in first")),
        }
    }

    async fn ok(&mut self, words: &str) -> Result<(), Halt> {
        Ok(self.stream.write(format!("+OK {words}\r\n").as_bytes()).await?)
    }
}
