//! Where a waiting message stands for one recipient, and what strangers may know of it.

use sealpost_crypto::Token;
use sealpost_model::{Address, RecipientId, Secret, Time};

/// Where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum State {
    /// Nobody has proved to be the recipient yet.
    Waiting = 0,
    /// Content was served after a proof. A fetch without one is never called that.
    Opened = 1,
    /// The recipient answered.
    Replied = 2,
    /// Five wrong codes: no new browser can open it until its sender makes a new code.
    Locked = 3,
    /// Ended, by time or by hand; the keys die.
    Expired = 4,
    /// Taken back by its sender; the keys die.
    Retracted = 5,
}

impl State {
    const ALL: [Self; 6] =
        [Self::Waiting, Self::Opened, Self::Replied, Self::Locked, Self::Expired, Self::Retracted];

    /// Its word in tables, reports and style sheets.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Opened => "opened",
            Self::Replied => "replied",
            Self::Locked => "locked",
            Self::Expired => "expired",
            Self::Retracted => "retracted",
        }
    }

    /// Whether a new browser can open it, with a code.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Waiting | Self::Opened | Self::Replied)
    }

    /// Whether its content is still kept.
    pub const fn is_kept(self) -> bool {
        !matches!(self, Self::Expired | Self::Retracted)
    }

    pub(crate) fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|s| *s as i64 == number)
    }
}

/// How somebody ends a message before its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// It is over (S31).
    Expire,
    /// It should not have been sent (S34).
    Retract,
}

impl Ending {
    pub(crate) const fn state(self) -> State {
        match self {
            Self::Expire => State::Expired,
            Self::Retract => State::Retracted,
        }
    }
}

/// Who ended it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum EndedBy {
    /// Its time was over.
    Time = 1,
    /// Its sender.
    Sender = 2,
    /// An administrator, with a reason.
    Administrator = 3,
}

impl EndedBy {
    pub(crate) fn from_number(number: i64) -> Option<Self> {
        [Self::Time, Self::Sender, Self::Administrator].into_iter().find(|e| *e as i64 == number)
    }
}

/// A link as it was given: 26 lower-case base32 characters. Holding one proves nothing.
#[derive(Clone)]
pub struct Link {
    token: Token,
    text: Secret<String>,
}

impl Link {
    /// Reads the part of the path.
    pub fn parse(text: &str) -> Option<Self> {
        Token::parse(text).map(Self::from)
    }

    pub(crate) const fn token(&self) -> &Token {
        &self.token
    }
}

impl From<Token> for Link {
    fn from(token: Token) -> Self {
        let text = token.expose();
        Self { token, text }
    }
}

/// For paths. It is a secret: it belongs into pages and notices, never into a log.
impl std::fmt::Display for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text.expose())
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Link(..)")
    }
}

/// What the holder of a link may know: no content, no sender's name, no subject.
#[derive(Clone, Debug)]
pub struct Glance {
    /// Which.
    pub recipient: RecipientId,
    /// The sender's organisation.
    pub organisation: String,
    /// For whom; pages show it masked.
    pub address: Address,
    /// Where it stands. One whose time is over is expired from that moment on, however late the sweep is.
    pub state: State,
    /// Until when it is kept.
    pub expires: Time,
    /// A moment of the last day on which it can be read, all day long and everywhere: what is promised to people.
    pub last_day: Time,
    /// When it ended.
    pub ended: Option<Time>,
    /// Whether a person ended it.
    pub ended_by_hand: bool,
    /// Tries of the code that are left.
    pub tries_left: u32,
}

/// What a browser earned.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The session, for a cookie.
    pub session: Secret<String>,
    /// The device credential, for a cookie; `None` when none was earned.
    pub device: Option<Credential>,
}

/// What opens later messages of one organisation to one recipient in this browser.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Eight hexadecimal digits, always the same for the same organisation and recipient, for the cookie's name.
    pub label: String,
    /// The secret.
    pub token: Secret<String>,
}

/// What "press to open" led to.
#[derive(Debug)]
pub enum Pressed {
    /// This browser has earned it before.
    Open(Granted),
    /// The code is asked for.
    Code,
    /// It is not there any more, or locked.
    Gone(Box<Glance>),
    /// Nobody was given this link.
    Unknown,
}

/// What a try of the code led to.
#[derive(Debug)]
pub enum Guessed {
    /// It was right.
    Open(Granted),
    /// It was wrong; the next [`Glance`] says how many tries are left.
    Wrong,
    /// Too many tries from this network, for this recipient or this sender today: this one did not count.
    Slow,
    /// It is not there any more, or locked.
    Gone(Box<Glance>),
    /// Nobody was given this link.
    Unknown,
}

/// What a request inside an open message meets.
#[derive(Debug)]
pub enum Opening {
    /// The session lives.
    Open(Box<crate::Opened>),
    /// There is no session, or it idled out: press to open again.
    Closed,
    /// The message ended; open tabs close at this request (S31).
    Gone(Box<Glance>),
    /// Nobody was given this link.
    Unknown,
}
