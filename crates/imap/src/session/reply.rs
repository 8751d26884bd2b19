//! The tagged answer to a command, and the one place where a fault becomes an answer.

use std::borrow::Cow;

use sealpost_mailbox::Error;
use sealpost_model::Fault;

use crate::codec::{Tag, Writer};

/// The answer that ends a command.
#[derive(Debug)]
pub(crate) struct Reply {
    status: Status,
    /// What stands in brackets, for programs (RFC 5530).
    code: Option<Cow<'static, str>>,
    /// For people.
    text: Cow<'static, str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Ok,
    No,
    Bad,
}

impl Reply {
    pub fn ok(text: impl Into<Cow<'static, str>>) -> Self {
        Self { status: Status::Ok, code: None, text: text.into() }
    }

    pub fn no(code: impl Into<Cow<'static, str>>, text: impl Into<Cow<'static, str>>) -> Self {
        Self { status: Status::No, code: Some(code.into()), text: text.into() }
    }

    pub fn bad(text: impl Into<Cow<'static, str>>) -> Self {
        Self { status: Status::Bad, code: None, text: text.into() }
    }

    /// With something for programs.
    #[must_use]
    pub fn code(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.code = Some(code.into());
        self
    }

    pub fn is_bad(&self) -> bool {
        self.status == Status::Bad
    }

    /// Writes it, without a tag as `BAD` to nobody in particular.
    pub fn write(&self, w: &mut Writer, tag: Option<&Tag>) {
        w.raw(tag.map_or("*", Tag::as_str)).raw(match self.status {
            Status::Ok => " OK ",
            Status::No => " NO ",
            Status::Bad => " BAD ",
        });
        if let Some(code) = &self.code {
            w.raw("[").raw(code.as_bytes()).raw("] ");
        }
        // An answer is one line whatever an error had to say.
        let text = self.text.replace(['\r', '\n'], " ");
        w.raw(text).end();
    }
}

/// Why a verb did not get as far as it was asked to.
#[derive(Debug)]
pub(crate) enum Halt {
    /// This is the answer.
    Reply(Reply),
    /// The connection cannot go on.
    End(End),
}

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The client said so.
    Logout,
    /// The client is gone, or a promise about bytes cannot be kept.
    Closed,
    /// Nothing was asked for too long (S46).
    Idle,
    /// The server stops.
    Stopping,
    /// The person's access, or the password that was used, was ended (S48).
    Revoked,
    /// Too many commands that were none, or too many wrong passwords.
    Abuse,
    /// The open folder was deleted.
    FolderGone,
}

impl End {
    /// The reason's name in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::Closed => "connection-closed",
            Self::Idle => "idle",
            Self::Stopping => "server-stopping",
            Self::Revoked => "access-ended",
            Self::Abuse => "protocol-abuse",
            Self::FolderGone => "folder-deleted",
        }
    }

    /// What the client is told, if it still listens.
    pub const fn farewell(self) -> Option<&'static str> {
        match self {
            Self::Logout => Some("Good bye"),
            Self::Closed => None,
            Self::Idle => Some("You were silent for too long and are signed out"),
            Self::Stopping => Some("The server is stopping; connect again in a moment"),
            Self::Revoked => Some("Your access was ended; sign in again"),
            Self::Abuse => Some("That was too much; good bye"),
            Self::FolderGone => Some("The folder was deleted by another program; open another one"),
        }
    }
}

impl From<Reply> for Halt {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

impl From<End> for Halt {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

impl From<sealpost_net::Error> for End {
    fn from(error: sealpost_net::Error) -> Self {
        match error {
            sealpost_net::Error::Idle => Self::Idle,
            _ => Self::Closed,
        }
    }
}

impl From<sealpost_net::Error> for Halt {
    fn from(error: sealpost_net::Error) -> Self {
        Self::End(error.into())
    }
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Reply(error.into())
    }
}

impl From<Error> for Reply {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::NoFolder => "NONEXISTENT",
            Error::NoEntry => "EXPUNGEISSUED",
            Error::Exists => "ALREADYEXISTS",
            Error::Name(_) | Error::Folder(_) | Error::Message(_) => "CANNOT",
            Error::OverQuota => "OVERQUOTA",
            Error::TooLarge(_) => "TOOBIG",
            Error::Keywords => "LIMIT",
            Error::Denied(_) => "NOPERM",
            Error::Corrupt { .. } => "CORRUPTION",
            _ => "UNAVAILABLE",
        };
        match error.fault() {
            Fault::Temporary | Fault::Bug => {
                tracing::warn!(%error, "an IMAP command failed");
                Self::no(code, "The server can't do this at the moment; try again later")
            }
            Fault::Corrupt => {
                tracing::error!(%error, "stored data is damaged");
                Self::no(code, sentence(&error.to_string()))
            }
            _ => Self::no(code, sentence(&error.to_string())),
        }
    }
}

/// With a capital letter in front.
pub(crate) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
