//! What a client can ask for: one enum, whose values cannot be wrong.
//!
//! A folder name here is decoded text with `INBOX` in capitals; a flag is known or a keyword; a date is a day.

use sealpost_model::{Secret, Time};

use super::date::Day;
use super::sequence::SequenceSet;

/// A client's mark on a command, repeated in its answer. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag(pub(super) Box<str>);

impl Tag {
    /// A tag of these characters, if they make one.
    pub fn new(text: &str) -> Option<Self> {
        super::parse::tag_of(text.as_bytes()).filter(|tag| tag.as_str() == text)
    }

    /// The tag's characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One command.
#[derive(Debug)]
pub struct Command {
    /// Its mark.
    pub tag: Tag,
    /// What is asked for.
    pub verb: Verb,
}

/// The commands of RFC 3501 and of the extensions in [`crate::CAPABILITIES`].
#[derive(Debug)]
pub enum Verb {
    /// CAPABILITY
    Capability,
    /// NOOP
    Noop,
    /// LOGOUT
    Logout,
    /// STARTTLS
    StartTls,
    /// LOGIN
    Login {
        /// Who.
        login: String,
        /// Their password or app password.
        password: Secret<String>,
    },
    /// AUTHENTICATE, with an initial response where SASL-IR (RFC 4959) gave one, still in base64.
    Authenticate {
        /// The mechanism in capitals.
        mechanism: String,
        /// `=` is an empty response.
        initial: Option<Secret<String>>,
    },
    /// ENABLE (RFC 5161), names in capitals.
    Enable(Vec<String>),
    /// ID (RFC 2971)
    Id(Vec<(String, Option<String>)>),
    /// NAMESPACE (RFC 2342)
    Namespace,
    /// MYRIGHTS (RFC 4314)
    MyRights(String),
    /// LIST (RFC 5258, 5819, 6154)
    List(List),
    /// LSUB
    Lsub {
        /// What stands before the pattern.
        reference: String,
        /// With `*` and `%`.
        pattern: String,
    },
    /// SELECT and EXAMINE
    Select {
        /// The folder.
        folder: String,
        /// EXAMINE
        read_only: bool,
        /// `(CONDSTORE)` (RFC 7162)
        condstore: bool,
    },
    /// CREATE
    Create(String),
    /// DELETE
    Delete(String),
    /// RENAME
    Rename {
        /// The folder's name so far.
        from: String,
        /// Its new name.
        to: String,
    },
    /// SUBSCRIBE
    Subscribe(String),
    /// UNSUBSCRIBE
    Unsubscribe(String),
    /// STATUS
    Status {
        /// The folder.
        folder: String,
        /// What about it.
        items: Vec<StatusItem>,
    },
    /// APPEND up to its literal, which the session streams.
    Append {
        /// The folder.
        folder: String,
        /// Its flags.
        flags: Vec<Flag>,
        /// Its INTERNALDATE.
        received: Option<Time>,
    },
    /// IDLE (RFC 2177)
    Idle,
    /// CHECK
    Check,
    /// CLOSE
    Close,
    /// UNSELECT (RFC 3691)
    Unselect,
    /// EXPUNGE, and UID EXPUNGE (RFC 4315) with its UIDs.
    Expunge(Option<SequenceSet>),
    /// SEARCH and UID SEARCH
    Search {
        /// UID SEARCH
        uid: bool,
        /// RETURN options (RFC 4731); `None`: the classic answer.
        result: Option<Vec<SearchReturn>>,
        /// What to find.
        key: Key,
    },
    /// SEARCH in a character set that we do not know.
    SearchUnknownCharset,
    /// FETCH and UID FETCH
    Fetch {
        /// UID FETCH
        uid: bool,
        /// Which messages.
        set: SequenceSet,
        /// What of them.
        items: Vec<FetchItem>,
        /// CHANGEDSINCE (RFC 7162)
        changed_since: Option<u64>,
    },
    /// STORE and UID STORE
    Store {
        /// UID STORE
        uid: bool,
        /// Which messages.
        set: SequenceSet,
        /// UNCHANGEDSINCE (RFC 7162)
        unchanged_since: Option<u64>,
        /// What to do with the flags.
        change: FlagChange,
        /// `.SILENT`
        silent: bool,
        /// The flags.
        flags: Vec<Flag>,
    },
    /// COPY, MOVE (RFC 6851) and their UID forms
    Copy {
        /// UID COPY, UID MOVE
        uid: bool,
        /// Which messages.
        set: SequenceSet,
        /// Whereto.
        folder: String,
        /// MOVE
        moves: bool,
    },
}

/// What LIST asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// Only subscribed folders.
    pub subscribed: bool,
    /// Only folders with a special use.
    pub special: bool,
    /// A folder counts also when only a child of it is subscribed.
    pub recursive: bool,
    /// What stands before the patterns.
    pub reference: String,
    /// With `*` and `%`.
    pub patterns: Vec<String>,
    /// Answer each folder's STATUS as well.
    pub status: Option<Vec<StatusItem>>,
}

/// A thing that STATUS tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are RFC 9051's, in section 6.3.11")]
pub enum StatusItem {
    Messages,
    Recent,
    UidNext,
    UidValidity,
    Unseen,
    HighestModSeq,
    AppendLimit,
}

impl StatusItem {
    pub(super) const ALL: [(&'static str, Self); 7] = [
        ("MESSAGES", Self::Messages),
        ("RECENT", Self::Recent),
        ("UIDNEXT", Self::UidNext),
        ("UIDVALIDITY", Self::UidValidity),
        ("UNSEEN", Self::Unseen),
        ("HIGHESTMODSEQ", Self::HighestModSeq),
        ("APPENDLIMIT", Self::AppendLimit),
    ];

    /// Its word on the wire.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, item)| *item == self).map_or("", |(word, _)| word)
    }
}

/// A flag as a client names it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are RFC 9051's, in section 2.3.2")]
pub enum Flag {
    Seen,
    Answered,
    Flagged,
    Deleted,
    Draft,
    /// RFC 3501's, which no client sets.
    Recent,
    /// `\Something` that we do not know.
    Other(String),
    /// A keyword, as it was written.
    Keyword(String),
}

impl Flag {
    pub(super) const SYSTEM: [(&'static str, Self); 6] = [
        ("Seen", Self::Seen),
        ("Answered", Self::Answered),
        ("Flagged", Self::Flagged),
        ("Deleted", Self::Deleted),
        ("Draft", Self::Draft),
        ("Recent", Self::Recent),
    ];
}

/// What STORE does with its flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagChange {
    /// `FLAGS`
    Replace,
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
}

/// A thing that FETCH gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchItem {
    /// FLAGS
    Flags,
    /// INTERNALDATE
    InternalDate,
    /// RFC822.SIZE
    Size,
    /// UID
    Uid,
    /// MODSEQ (RFC 7162)
    ModSeq,
    /// ENVELOPE
    Envelope,
    /// BODY without a section, BODYSTRUCTURE
    Structure {
        /// BODYSTRUCTURE
        extended: bool,
    },
    /// BODY[...], RFC822 and its kin
    Body(BodyItem),
}

/// A piece of a message's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyItem {
    /// Which.
    pub section: Section,
    /// `<offset.count>`
    pub partial: Option<(u32, u32)>,
    /// Leave `\Seen` as it is.
    pub peek: bool,
    /// The name to answer under.
    pub form: BodyForm,
}

/// The name of a piece of text in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyForm {
    /// `BODY[...]`
    Body,
    /// `RFC822`
    Rfc822,
    /// `RFC822.HEADER`
    Rfc822Header,
    /// `RFC822.TEXT`
    Rfc822Text,
}

/// `section-spec`: part numbers, and what of that part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// Part numbers from the outside in; empty: the message.
    pub part: Vec<u32>,
    /// What of it; `None`: all.
    pub text: Option<SectionText>,
}

/// `section-text`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SectionText {
    /// HEADER
    Header,
    /// HEADER.FIELDS and HEADER.FIELDS.NOT
    Fields {
        /// Field names as they were written.
        names: Vec<String>,
        /// HEADER.FIELDS.NOT
        except: bool,
    },
    /// TEXT
    Text,
    /// MIME
    Mime,
}

/// A thing that SEARCH returns (RFC 4731).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are RFC 4731's, in section 3.1")]
pub enum SearchReturn {
    Min,
    Max,
    All,
    Count,
}

impl SearchReturn {
    pub(super) const ALL: [(&'static str, Self); 4] =
        [("MIN", Self::Min), ("MAX", Self::Max), ("ALL", Self::All), ("COUNT", Self::Count)];
}

/// A condition of SEARCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// ALL, and each of several conditions side by side
    And(Vec<Key>),
    /// OR
    Or(Box<Key>, Box<Key>),
    /// NOT, UNANSWERED and its kin
    Not(Box<Key>),
    /// Message numbers
    Sequence(SequenceSet),
    /// UID
    Uid(SequenceSet),
    /// ANSWERED, KEYWORD and their kin
    Flag(Flag),
    /// BEFORE, ON, SINCE, of INTERNALDATE
    Received(DayTest, Day),
    /// SENTBEFORE, SENTON, SENTSINCE, of the Date field
    Sent(DayTest, Day),
    /// LARGER
    Larger(u64),
    /// SMALLER
    Smaller(u64),
    /// HEADER, FROM and their kin: a field, and what it contains
    Header(String, String),
    /// BODY
    Body(String),
    /// TEXT
    Text(String),
    /// MODSEQ (RFC 7162): at least this
    ModSeq(u64),
    /// OLDER (RFC 5032): seconds since INTERNALDATE, at least
    Older(u32),
    /// YOUNGER (RFC 5032): seconds since INTERNALDATE, at most
    Younger(u32),
}

/// How SEARCH compares days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are RFC 9051's, in section 6.4.4")]
pub enum DayTest {
    Before,
    On,
    Since,
}

impl DayTest {
    /// Whether `day` passes against `wanted`.
    pub fn passes(self, day: Day, wanted: Day) -> bool {
        match self {
            Self::Before => day < wanted,
            Self::On => day == wanted,
            Self::Since => day >= wanted,
        }
    }
}
