//! A condition that is ready to be held against messages: names resolved, sets put in order, words in lower case.

use sealpost_mailbox::{Entry, Summary};
use sealpost_message::{EnvelopeAddress, EnvelopeFields, headers, words};
use sealpost_model::{Flags, Time};

use crate::codec::command::{DayTest, Flag, Key};
use crate::codec::date::Day;
use crate::session::selected::Selected;

/// A condition with what it needs to be decided.
#[derive(Debug)]
pub(super) struct Test {
    node: Node,
    /// What BODY and TEXT look for, in lower case.
    pub words: Vec<String>,
    pub needs: Needs,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Needs {
    /// Summaries decide something.
    pub summary: bool,
    /// MODSEQ was asked for, so it is answered.
    pub modseq: bool,
}

#[derive(Debug)]
enum Node {
    All(Vec<Node>),
    Any(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Never,
    Number(Vec<(u32, u32)>),
    Uid(Vec<(u32, u32)>),
    Flags(Flags),
    Received(DayTest, Day),
    Sent(DayTest, Day),
    Larger(u64),
    Smaller(u64),
    ModSeq(u64),
    /// Received at this time or before.
    Older(Time),
    /// Received at this time or later.
    Younger(Time),
    Header(String, String),
    /// Positions in [`Test::words`].
    Body(usize),
    Text(usize),
}

/// What is known of a message so far.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    pub position: usize,
    pub entry: &'a Entry,
    pub summary: Option<&'a Summary>,
    pub header: Option<&'a [u8]>,
    pub words: Option<&'a [Found]>,
}

/// Where a word was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub header: bool,
    pub body: bool,
}

impl<'a> Facts<'a> {
    pub fn of(position: usize, entry: &'a Entry) -> Self {
        Self { position, entry, summary: None, header: None, words: None }
    }
}

impl Test {
    /// Makes a condition ready; a message number that does not exist is an error.
    pub fn compile(key: &Key, folder: &Selected, now: Time) -> Result<Self, String> {
        let mut test = Self { node: Node::Never, words: Vec::new(), needs: Needs::NOTHING };
        test.node = test.node(key, folder, now)?;
        Ok(test)
    }

    fn node(&mut self, key: &Key, folder: &Selected, now: Time) -> Result<Node, String> {
        let mut inner = |key: &Key| self.node(key, folder, now);
        Ok(match key {
            Key::And(keys) => Node::All(keys.iter().map(inner).collect::<Result<_, _>>()?),
            Key::Or(a, b) => Node::Any(Box::new(inner(a)?), Box::new(inner(b)?)),
            Key::Not(key) => Node::Not(Box::new(inner(key)?)),
            Key::Sequence(set) => {
                let count = u32::try_from(folder.entries.len()).unwrap_or(u32::MAX);
                if set.largest_written() > count {
                    return Err(format!(
                        "There is no message {}: the folder holds {count}",
                        set.largest_written()
                    ));
                }
                Node::Number(set.ranges(count))
            }
            Key::Uid(set) => Node::Uid(set.ranges(folder.entries.last().map_or(0, |entry| entry.uid))),
            Key::Flag(Flag::Recent) => Node::Never,
            Key::Flag(flag) => folder.keywords.flag(flag).map_or(Node::Never, Node::Flags),
            Key::Received(test, day) => Node::Received(*test, *day),
            Key::Sent(test, day) => {
                self.needs.summary = true;
                Node::Sent(*test, *day)
            }
            Key::Larger(size) => Node::Larger(*size),
            Key::Smaller(size) => Node::Smaller(*size),
            Key::ModSeq(least) => {
                self.needs.modseq = true;
                Node::ModSeq(*least)
            }
            Key::Older(seconds) => {
                Node::Older(now.minus(std::time::Duration::from_secs(u64::from(*seconds))))
            }
            Key::Younger(seconds) => {
                Node::Younger(now.minus(std::time::Duration::from_secs(u64::from(*seconds))))
            }
            Key::Header(name, wanted) => {
                let name = name.to_ascii_lowercase();
                self.needs.summary |= enveloped(&name);
                Node::Header(name, wanted.to_lowercase())
            }
            Key::Body(word) => Node::Body(self.word(word)),
            Key::Text(word) => Node::Text(self.word(word)),
        })
    }

    fn word(&mut self, word: &str) -> usize {
        let word = word.to_lowercase();
        if let Some(known) = self.words.iter().position(|known| *known == word) {
            return known;
        }
        self.words.push(word);
        self.words.len() - 1
    }

    /// Whether the message passes, if these facts decide it.
    pub fn eval(&self, facts: &Facts<'_>) -> Option<bool> {
        self.node.eval(facts)
    }
}

impl Node {
    fn eval(&self, facts: &Facts<'_>) -> Option<bool> {
        let entry = facts.entry;
        match self {
            Self::All(nodes) => {
                let mut sure = true;
                for node in nodes {
                    match node.eval(facts) {
                        Some(false) => return Some(false),
                        Some(true) => {}
                        None => sure = false,
                    }
                }
                sure.then_some(true)
            }
            Self::Any(a, b) => match (a.eval(facts), b.eval(facts)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Self::Not(node) => node.eval(facts).map(|passes| !passes),
            Self::Never => Some(false),
            Self::Number(ranges) => {
                Some(within(ranges, u32::try_from(facts.position + 1).unwrap_or(u32::MAX)))
            }
            Self::Uid(ranges) => Some(within(ranges, entry.uid)),
            Self::Flags(flags) => Some(entry.flags.contains(*flags)),
            Self::Received(test, day) => Some(test.passes(Day::of(entry.received), *day)),
            Self::Larger(size) => Some(u64::from(entry.size) > *size),
            Self::Smaller(size) => Some(u64::from(entry.size) < *size),
            Self::ModSeq(least) => Some(entry.modseq.unsigned_abs() >= *least),
            Self::Older(time) => Some(entry.received <= *time),
            Self::Younger(time) => Some(entry.received >= *time),
            Self::Sent(test, day) => {
                let date = facts.summary?.envelope.date.as_deref().and_then(Day::of_header);
                // Without a Date the message is as old as its arrival.
                Some(test.passes(date.unwrap_or_else(|| Day::of(entry.received)), *day))
            }
            Self::Header(name, wanted) if enveloped(name) => {
                Some(in_envelope(&facts.summary?.envelope, name, wanted))
            }
            Self::Header(name, wanted) => {
                let mut fields = headers::fields(facts.header?).filter(|field| field.is(name));
                Some(fields.any(|field| holds(&field.decoded(), wanted)))
            }
            Self::Body(word) => Some(facts.words?.get(*word)?.body),
            Self::Text(word) => facts.words?.get(*word).map(|found| found.header || found.body),
        }
    }
}

fn within(ranges: &[(u32, u32)], number: u32) -> bool {
    let at = ranges.partition_point(|&(_, to)| to < number);
    ranges.get(at).is_some_and(|&(from, _)| from <= number)
}

/// Whether the summary holds this field, so that no header has to be read.
fn enveloped(name: &str) -> bool {
    matches!(name, "from" | "to" | "cc" | "bcc" | "subject" | "message-id" | "in-reply-to" | "references")
}

fn in_envelope(envelope: &EnvelopeFields, name: &str, wanted: &str) -> bool {
    let text = |field: &Option<String>| {
        field.as_deref().is_some_and(|text| holds(text, wanted) || holds(&words::decode(text), wanted))
    };
    let list = |list: &[EnvelopeAddress]| list.iter().any(|address| holds(&address_text(address), wanted));
    match name {
        "from" => list(&envelope.from),
        "to" => list(&envelope.to),
        "cc" => list(&envelope.cc),
        "bcc" => list(&envelope.bcc),
        "subject" => text(&envelope.subject),
        "message-id" => text(&envelope.message_id),
        "in-reply-to" => text(&envelope.in_reply_to),
        _ => text(&envelope.references),
    }
}

/// `Display Name <local@domain>`
fn address_text(address: &EnvelopeAddress) -> String {
    match (address.display_name(), address.email()) {
        (Some(name), Some(email)) => format!("{name} <{email}>"),
        (None, Some(email)) => email,
        (name, None) => name.or_else(|| address.mailbox.clone()).unwrap_or_default(),
    }
}

/// Whether `text` holds `wanted`, which is in lower case already.
pub(super) fn holds(text: &str, wanted: &str) -> bool {
    wanted.is_empty() || text.to_lowercase().contains(wanted)
}

#[cfg(test)]
mod tests {
    use sealpost_model::{EntryId, FolderId, Id};

    use super::*;
    use crate::codec::{Verb, parse};
    use crate::session::flags::Keywords;

    fn entry(uid: u32, flags: Flags) -> Entry {
        Entry {
            id: EntryId::from_raw(i64::from(uid)),
            uid,
            flags,
            modseq: 5,
            size: 1000,
            // 1 February 2026, 12:00
            received: Time::from_seconds(1_769_947_200),
        }
    }

    fn folder() -> Selected {
        let entries = vec![entry(3, Flags::SEEN), entry(5, Flags::NONE)];
        let keywords = Keywords(vec![(8, "Junk".into())]);
        Selected::new(FolderId::from_raw(1), false, entries, 5, keywords)
    }

    fn compiled(text: &str) -> Result<Test, String> {
        let Verb::Search { key, .. } = parse(format!("a SEARCH {text}").as_bytes()).unwrap().verb else {
            panic!()
        };
        Test::compile(&key, &folder(), Time::from_seconds(1_769_947_260))
    }

    /// Numbers of the messages that pass by the view alone; `?` where that does not decide.
    fn by_view(text: &str) -> String {
        let test = compiled(text).unwrap();
        let (folder, mut passed) = (folder(), String::new());
        for (at, entry) in folder.entries.iter().enumerate() {
            passed.push_str(match test.eval(&Facts::of(at, entry)) {
                Some(true) => "+",
                Some(false) => "-",
                None => "?",
            });
        }
        passed
    }

    #[test]
    fn the_view_decides_what_it_can() {
        for (text, passed) in [
            ("ALL", "++"),
            ("SEEN", "+-"),
            ("NOT SEEN", "-+"),
            ("OR SEEN UID 5", "++"),
            ("1", "+-"),
            ("*", "-+"),
            ("UID 4:*", "-+"),
            ("UID 9", "--"),
            ("RECENT", "--"),
            ("OLD", "++"),
            ("NEW", "--"),
            ("KEYWORD Junk", "--"),
            ("UNKEYWORD junk", "++"),
            ("KEYWORD nobody-used-it", "--"),
            ("UNKEYWORD nobody-used-it", "++"),
            ("SINCE 1-Feb-2026", "++"),
            ("BEFORE 1-Feb-2026", "--"),
            ("ON 1-Feb-2026", "++"),
            ("LARGER 999 SMALLER 1001", "++"),
            ("LARGER 1000", "--"),
            ("YOUNGER 60", "++"),
            ("YOUNGER 59", "--"),
            ("OLDER 60", "++"),
            ("MODSEQ 6", "--"),
            ("SUBJECT x", "??"),
            ("SEEN SUBJECT x", "?-"),
            ("OR SEEN SUBJECT x", "+?"),
            ("NOT (SEEN BODY x)", "?+"),
        ] {
            assert_eq!(by_view(text), passed, "{text}");
        }
        assert!(compiled("3").is_err());
    }

    /// In a thread with a quarter of the stack that the server's threads have.
    fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
        let thread = std::thread::Builder::new().stack_size(512 * 1024).spawn(test);
        thread.expect("a thread").join().expect("no panic");
    }

    #[test]
    fn deep_conditions_fit_on_the_stack() {
        let at = |depth: usize| {
            [
                format!("{}SEEN{}", "(".repeat(depth), ")".repeat(depth)),
                format!("{}SEEN{}", "(SEEN ".repeat(depth), ")".repeat(depth)),
                format!("{}SEEN", "NOT ".repeat(depth)),
                format!("{}SEEN{}", "OR ".repeat(depth), " SEEN".repeat(depth)),
                format!("{}SEEN", "OR SEEN ".repeat(depth)),
            ]
        };
        on_a_small_stack(move || {
            for text in at(32) {
                let command = parse(format!("a SEARCH {text}").as_bytes()).unwrap();
                let printed = crate::codec::print(&command);
                assert!(parse(&printed).is_ok(), "{text}");
                assert_eq!(by_view(&text), "+-", "{text}");
            }
            for text in at(33).into_iter().chain(at(10_000)) {
                let error = parse(format!("a SEARCH {text}").as_bytes()).unwrap_err().to_string();
                assert!(error.starts_with("Expected conditions that are less deep"), "{error}");
            }
        });
    }

    #[test]
    fn conditions_are_counted() {
        let found = |count: usize| parse(format!("a SEARCH{}", " (NOT SEEN)".repeat(count)).as_bytes());
        // Each of these is three: a pair of parentheses, NOT, and SEEN.
        assert!(found(33).is_ok());
        assert!(found(34).unwrap_err().to_string().starts_with("Expected fewer conditions before"));
    }

    #[test]
    fn headers_and_words() {
        let header = b"From: \"Alice\" <a@x.example>\r\nX-Tag: =?utf-8?q?Gr=C3=BCn?=\r\nSubject: lab\r\n\r\n";
        let envelope = EnvelopeFields::read(header);
        let entry = entry(3, Flags::NONE);
        let passes = |text: &str, words: &[Found]| {
            let test = compiled(text).unwrap();
            let structure = sealpost_message::scan(header).structure;
            let summary =
                Summary { envelope: envelope.clone(), structure, preview: String::new(), hidden: Vec::new() };
            let facts = Facts { summary: Some(&summary), header: Some(header), ..Facts::of(0, &entry) };
            test.eval(&Facts { words: Some(words), ..facts })
        };
        for (text, wanted) in [
            ("FROM alice", true),
            ("FROM a@X.example", true),
            ("FROM bob", false),
            ("TO \"\"", false),
            ("HEADER X-Tag \"GR\u{dc}N\"", true),
            ("HEADER X-Tag \"\"", true),
            ("HEADER X-Other \"\"", false),
            ("SUBJECT LAB", true),
            // there is no Date, so it is the day of arrival
            ("SENTON 1-Feb-2026", true),
        ] {
            assert_eq!(passes(text, &[]), Some(wanted), "{text}");
        }
        assert_eq!(passes("BODY x", &[Found { header: true, body: false }]), Some(false));
        assert_eq!(passes("TEXT x", &[Found { header: true, body: false }]), Some(true));
    }
}
