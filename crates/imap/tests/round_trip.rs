//! Commands come back from their printed form, whole and in whatever pieces they arrive.

use proptest::prelude::*;
use sealpost_imap::codec::command::*;
use sealpost_imap::codec::{
    Command, Frame, Framer, Limits, SequenceSet, Star, Tag, Verb, date::Day, parse, print,
};
use sealpost_model::Secret;

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z0-9@. \"\\\\{}()*%&\\r\\n-]{0,12}", "[^\\x00]{0,6}"]
}

fn folder() -> impl Strategy<Value = String> {
    "[^\\x00]{1,10}".prop_map(|name| if name.eq_ignore_ascii_case("INBOX") { "INBOX".into() } else { name })
}

fn atom() -> impl Strategy<Value = String> {
    "[A-Z$][A-Z0-9_-]{0,9}".prop_filter("NIL is none", |text| text != "NIL")
}

fn set() -> impl Strategy<Value = SequenceSet> {
    let end = || prop_oneof![4 => (1..=u32::MAX).prop_map(Star::Number), 1 => Just(Star::Last)];
    prop::collection::vec((end(), end()), 1..5).prop_map(SequenceSet)
}

fn flag() -> impl Strategy<Value = Flag> {
    prop_oneof![
        Just(Flag::Seen),
        Just(Flag::Answered),
        Just(Flag::Flagged),
        Just(Flag::Deleted),
        Just(Flag::Draft),
        Just(Flag::Recent),
        atom().prop_map(Flag::Keyword),
    ]
}

fn day() -> impl Strategy<Value = Day> {
    (0i32..60_000).prop_map(Day)
}

fn day_test() -> impl Strategy<Value = DayTest> {
    prop_oneof![Just(DayTest::Before), Just(DayTest::On), Just(DayTest::Since)]
}

fn key() -> impl Strategy<Value = Key> {
    let leaf = prop_oneof![
        Just(Key::And(Vec::new())),
        set().prop_map(Key::Sequence),
        set().prop_map(Key::Uid),
        flag().prop_map(Key::Flag),
        (day_test(), day()).prop_map(|(test, day)| Key::Received(test, day)),
        (day_test(), day()).prop_map(|(test, day)| Key::Sent(test, day)),
        any::<u64>().prop_map(Key::Larger),
        any::<u64>().prop_map(Key::ModSeq),
        (1..=u32::MAX).prop_map(Key::Older),
        (atom(), text()).prop_map(|(field, value)| Key::Header(field, value)),
        text().prop_map(Key::Body),
        text().prop_map(Key::Text),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Key::And),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Key::Or(Box::new(a), Box::new(b))),
            inner.prop_map(|key| Key::Not(Box::new(key))),
        ]
    })
}

fn section() -> impl Strategy<Value = Section> {
    let what = prop_oneof![
        Just(SectionText::Header),
        Just(SectionText::Text),
        Just(SectionText::Mime),
        (prop::collection::vec(text(), 1..4), any::<bool>())
            .prop_map(|(names, except)| SectionText::Fields { names, except }),
    ];
    (prop::collection::vec(1..99u32, 0..4), prop::option::of(what))
        .prop_filter("MIME belongs to a part", |(part, what)| {
            !(part.is_empty() && *what == Some(SectionText::Mime))
        })
        .prop_map(|(part, text)| Section { part, text })
}

fn item() -> impl Strategy<Value = FetchItem> {
    let whole = |text, peek, form| {
        let section = Section { part: Vec::new(), text };
        Just(FetchItem::Body(BodyItem { section, partial: None, peek, form }))
    };
    prop_oneof![
        Just(FetchItem::Flags),
        Just(FetchItem::Uid),
        Just(FetchItem::ModSeq),
        Just(FetchItem::Envelope),
        any::<bool>().prop_map(|extended| FetchItem::Structure { extended }),
        whole(None, false, BodyForm::Rfc822),
        whole(Some(SectionText::Header), true, BodyForm::Rfc822Header),
        whole(Some(SectionText::Text), false, BodyForm::Rfc822Text),
        (section(), prop::option::of((any::<u32>(), 1..=u32::MAX)), any::<bool>()).prop_map(
            |(section, partial, peek)| {
                FetchItem::Body(BodyItem { section, partial, peek, form: BodyForm::Body })
            }
        ),
    ]
}

fn change() -> impl Strategy<Value = FlagChange> {
    prop_oneof![Just(FlagChange::Replace), Just(FlagChange::Add), Just(FlagChange::Remove)]
}

fn search_return() -> impl Strategy<Value = SearchReturn> {
    prop_oneof![
        Just(SearchReturn::Min),
        Just(SearchReturn::Max),
        Just(SearchReturn::All),
        Just(SearchReturn::Count)
    ]
}

fn status_items() -> impl Strategy<Value = Vec<StatusItem>> {
    let item =
        prop_oneof![Just(StatusItem::Messages), Just(StatusItem::Unseen), Just(StatusItem::AppendLimit)];
    prop::collection::vec(item, 1..4)
}

fn list() -> impl Strategy<Value = List> {
    let options = (any::<bool>(), any::<bool>(), any::<bool>());
    (options, folder(), prop::collection::vec(folder(), 1..3), prop::option::of(status_items())).prop_map(
        |((subscribed, special, recursive), reference, patterns, status)| List {
            subscribed,
            special,
            recursive: recursive && subscribed,
            reference,
            patterns,
            status,
        },
    )
}

fn verb() -> BoxedStrategy<Verb> {
    let uid = any::<bool>;
    prop_oneof![
        (text(), text()).prop_map(|(login, password)| Verb::Login { login, password: Secret::new(password) }),
        prop::collection::vec((text(), prop::option::of(text())), 0..4).prop_map(Verb::Id),
        prop::collection::vec(atom(), 1..4).prop_map(Verb::Enable),
        list().prop_map(Verb::List),
        (folder(), any::<bool>(), any::<bool>()).prop_map(|(folder, read_only, condstore)| Verb::Select {
            folder,
            read_only,
            condstore
        }),
        (folder(), folder()).prop_map(|(from, to)| Verb::Rename { from, to }),
        (folder(), status_items()).prop_map(|(folder, items)| Verb::Status { folder, items }),
        prop::option::of(set()).prop_map(Verb::Expunge),
        (uid(), prop::option::of(prop::collection::vec(search_return(), 1..3)), key())
            .prop_map(|(uid, result, key)| Verb::Search { uid, result, key }),
        (uid(), set(), prop::collection::vec(item(), 1..4), prop::option::of(any::<u64>()))
            .prop_map(|(uid, set, items, changed_since)| Verb::Fetch { uid, set, items, changed_since }),
        (
            uid(),
            set(),
            prop::option::of(any::<u64>()),
            change(),
            any::<bool>(),
            prop::collection::vec(flag(), 0..4)
        )
            .prop_map(|(uid, set, unchanged_since, change, silent, flags)| Verb::Store {
                uid,
                set,
                unchanged_since,
                change,
                silent,
                flags
            }),
        (uid(), set(), folder(), any::<bool>()).prop_map(|(uid, set, folder, moves)| Verb::Copy {
            uid,
            set,
            folder,
            moves
        }),
    ]
    .boxed()
}

fn frames(wire: &[u8], step: usize) -> Vec<Vec<u8>> {
    let mut framer = Framer::new(Limits::AFTER_LOGIN);
    let mut found = Vec::new();
    for piece in wire.chunks(step.max(1)) {
        framer.input.extend_from_slice(piece);
        while let Some(frame) = framer.next() {
            match frame {
                Frame::Command(bytes) => found.push(bytes.to_vec()),
                other => panic!("{other:?}"),
            }
        }
    }
    found
}

/// What nests, repeats, and counts.
const WORDS: [&str; 20] = [
    "(",
    "(",
    "(",
    ")",
    " ",
    "NOT ",
    "OR ",
    "ALL",
    "SEEN ",
    "1:*",
    ",",
    "4294967295",
    "{3+}\r\n",
    "{99}\r\n",
    "\"",
    "BODY[",
    "]",
    "1.",
    "HEADER.FIELDS (a)",
    "<0.1>",
];

proptest! {
    #[test]
    fn commands_come_back(verb in verb(), step in 1usize..40) {
        let command = Command { tag: Tag::new("a1").unwrap(), verb };
        let mut wire = print(&command);
        wire.extend_from_slice(b"\r\n");
        let found = frames(&wire, step);
        prop_assert_eq!(found.len(), 1);
        prop_assert_eq!(&found[0][..], &wire[..wire.len() - 2]);
        let back = parse(&found[0]).map_err(|e| TestCaseError::fail(format!("{e}: {}", found[0].escape_ascii())))?;
        prop_assert_eq!(format!("{back:?}"), format!("{command:?}"));
        prop_assert_eq!(print(&back), print(&command));
    }

    #[test]
    fn whatever_parses_prints_and_parses_the_same(
        line in "[a-z]{1,2} (UID )?(FETCH|STORE|SEARCH|LIST|SELECT|STATUS|COPY|LOGIN)[A-Z0-9 ()\"\\\\.\\[\\]:,*+<>-]{0,40}"
    ) {
        if let Ok(command) = parse(line.as_bytes()) {
            let printed = print(&command);
            let again = parse(&printed).map_err(|e| TestCaseError::fail(format!("{e}: {}", printed.escape_ascii())))?;
            prop_assert_eq!(format!("{command:?}"), format!("{again:?}"));
        }
    }

    #[test]
    fn no_words_make_it_panic(words in prop::collection::vec(prop::sample::select(WORDS.to_vec()), 0..300)) {
        let _ = parse(words.concat().as_bytes());
        let _ = parse(format!("a SEARCH {}", words.concat()).as_bytes());
        let _ = parse(format!("a FETCH {}", words.concat()).as_bytes());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
        let _ = sealpost_imap::codec::append(&bytes);
    }
}
