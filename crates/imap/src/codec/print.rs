//! Prints commands, the way a client would: what the parser is held against, and what tests speak with.

use super::command::{
    BodyForm, BodyItem, Command, DayTest, FetchItem, Flag, FlagChange, Key, List, SearchReturn, Section,
    SectionText, StatusItem, Verb,
};
use super::date::print_date_time;
use super::sequence::{SequenceSet, Star};
use super::utf7;

/// Prints a command without its line end. APPEND ends where its message's brace would stand. Passwords are printed
/// in the clear: for a wire, never for a log.
pub fn print(command: &Command) -> Vec<u8> {
    let mut text = format!("{} ", command.tag.as_str());
    verb(&mut text, &command.verb);
    text.into_bytes()
}

fn verb(text: &mut String, verb: &Verb) {
    let by_uid = |uid: bool| if uid { "UID " } else { "" };
    match verb {
        Verb::Capability => text.push_str("CAPABILITY"),
        Verb::Noop => text.push_str("NOOP"),
        Verb::Logout => text.push_str("LOGOUT"),
        Verb::StartTls => text.push_str("STARTTLS"),
        Verb::Login { login, password } => {
            text.push_str("LOGIN");
            for word in [login, password.expose()] {
                text.push(' ');
                string(text, word);
            }
        }
        Verb::Authenticate { mechanism, initial } => {
            text.push_str("AUTHENTICATE ");
            text.push_str(mechanism);
            if let Some(initial) = initial {
                text.push(' ');
                text.push_str(initial.expose());
            }
        }
        Verb::Enable(names) => {
            text.push_str("ENABLE ");
            text.push_str(&names.join(" "));
        }
        Verb::Id(fields) if fields.is_empty() => text.push_str("ID NIL"),
        Verb::Id(fields) => {
            text.push_str("ID ");
            list(text, fields, |text, (name, value)| {
                string(text, name);
                text.push(' ');
                match value {
                    Some(value) => string(text, value),
                    None => text.push_str("NIL"),
                }
            });
        }
        Verb::Namespace => text.push_str("NAMESPACE"),
        Verb::List(asked) => print_list(text, asked),
        Verb::Lsub { reference, pattern } => {
            text.push_str("LSUB ");
            folder(text, reference);
            text.push(' ');
            folder(text, pattern);
        }
        Verb::Select { folder: name, read_only, condstore } => {
            text.push_str(if *read_only { "EXAMINE " } else { "SELECT " });
            folder(text, name);
            text.push_str(if *condstore { " (CONDSTORE)" } else { "" });
        }
        Verb::MyRights(name) => one_folder(text, "MYRIGHTS", name),
        Verb::Create(name) => one_folder(text, "CREATE", name),
        Verb::Delete(name) => one_folder(text, "DELETE", name),
        Verb::Subscribe(name) => one_folder(text, "SUBSCRIBE", name),
        Verb::Unsubscribe(name) => one_folder(text, "UNSUBSCRIBE", name),
        Verb::Rename { from, to } => {
            one_folder(text, "RENAME", from);
            text.push(' ');
            folder(text, to);
        }
        Verb::Status { folder: name, items } => {
            one_folder(text, "STATUS", name);
            text.push(' ');
            status_items(text, items);
        }
        Verb::Append { folder: name, flags, received } => {
            one_folder(text, "APPEND", name);
            text.push(' ');
            list(text, flags, flag);
            text.push(' ');
            if let Some(received) = received {
                text.push_str(&print_date_time(*received));
                text.push(' ');
            }
        }
        Verb::Idle => text.push_str("IDLE"),
        Verb::Check => text.push_str("CHECK"),
        Verb::Close => text.push_str("CLOSE"),
        Verb::Unselect => text.push_str("UNSELECT"),
        Verb::Expunge(None) => text.push_str("EXPUNGE"),
        Verb::Expunge(Some(uids)) => {
            text.push_str("UID EXPUNGE ");
            set(text, uids);
        }
        Verb::Search { uid, result, key: wanted } => {
            text.push_str(by_uid(*uid));
            text.push_str("SEARCH ");
            if let Some(result) = result {
                text.push_str("RETURN ");
                list(text, result, |text, item| {
                    let word = SearchReturn::ALL.iter().find(|(_, known)| known == item);
                    text.push_str(word.map_or("", |(word, _)| word));
                });
                text.push(' ');
            }
            text.push_str("CHARSET UTF-8 ");
            key(text, wanted);
        }
        Verb::SearchUnknownCharset => text.push_str("SEARCH CHARSET UTF-7 ALL"),
        Verb::Fetch { uid, set: of, items, changed_since } => {
            text.push_str(by_uid(*uid));
            text.push_str("FETCH ");
            set(text, of);
            text.push(' ');
            list(text, items, fetch_item);
            if let Some(since) = changed_since {
                text.push_str(&format!(" (CHANGEDSINCE {since})"));
            }
        }
        Verb::Store { uid, set: of, unchanged_since, change, silent, flags } => {
            text.push_str(by_uid(*uid));
            text.push_str("STORE ");
            set(text, of);
            if let Some(since) = unchanged_since {
                text.push_str(&format!(" (UNCHANGEDSINCE {since})"));
            }
            text.push_str(match change {
                FlagChange::Replace => " FLAGS",
                FlagChange::Add => " +FLAGS",
                FlagChange::Remove => " -FLAGS",
            });
            text.push_str(if *silent { ".SILENT " } else { " " });
            list(text, flags, flag);
        }
        Verb::Copy { uid, set: of, folder: name, moves } => {
            text.push_str(by_uid(*uid));
            text.push_str(if *moves { "MOVE " } else { "COPY " });
            set(text, of);
            text.push(' ');
            folder(text, name);
        }
    }
}

fn one_folder(text: &mut String, word: &str, name: &str) {
    text.push_str(word);
    text.push(' ');
    folder(text, name);
}

fn print_list(text: &mut String, asked: &List) {
    text.push_str("LIST ");
    let options = [
        (asked.subscribed, "SUBSCRIBED"),
        (asked.special, "SPECIAL-USE"),
        (asked.recursive, "RECURSIVEMATCH"),
    ];
    let options: Vec<&str> = options.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
    if !options.is_empty() {
        text.push_str(&format!("({}) ", options.join(" ")));
    }
    folder(text, &asked.reference);
    text.push(' ');
    list(text, &asked.patterns, |text, pattern| folder(text, pattern));
    if let Some(items) = &asked.status {
        text.push_str(" RETURN (STATUS ");
        status_items(text, items);
        text.push(')');
    }
}

fn status_items(text: &mut String, items: &[StatusItem]) {
    list(text, items, |text, item| text.push_str(item.word()));
}

fn fetch_item(text: &mut String, item: &FetchItem) {
    match item {
        FetchItem::Flags => text.push_str("FLAGS"),
        FetchItem::InternalDate => text.push_str("INTERNALDATE"),
        FetchItem::Size => text.push_str("RFC822.SIZE"),
        FetchItem::Uid => text.push_str("UID"),
        FetchItem::ModSeq => text.push_str("MODSEQ"),
        FetchItem::Envelope => text.push_str("ENVELOPE"),
        FetchItem::Structure { extended: true } => text.push_str("BODYSTRUCTURE"),
        FetchItem::Structure { extended: false } => text.push_str("BODY"),
        FetchItem::Body(item) => {
            text.push_str(match (item.form, item.peek) {
                (BodyForm::Body, true) => "BODY.PEEK",
                _ => "",
            });
            body_name(text, item, item.form == BodyForm::Body && item.peek);
            if let Some((offset, count)) = item.partial {
                text.push_str(&format!("<{offset}.{count}>"));
            }
        }
    }
}

/// The name of a piece of text as an answer carries it, without the origin of a partial fetch; `bare` leaves
/// `BODY` away.
pub(crate) fn body_name(text: &mut String, item: &BodyItem, bare: bool) {
    match item.form {
        BodyForm::Body => {
            text.push_str(if bare { "[" } else { "BODY[" });
            section(text, &item.section);
            text.push(']');
        }
        BodyForm::Rfc822 => text.push_str("RFC822"),
        BodyForm::Rfc822Header => text.push_str("RFC822.HEADER"),
        BodyForm::Rfc822Text => text.push_str("RFC822.TEXT"),
    }
}

fn section(text: &mut String, section: &Section) {
    let part: Vec<String> = section.part.iter().map(u32::to_string).collect();
    text.push_str(&part.join("."));
    let Some(what) = &section.text else { return };
    if !part.is_empty() {
        text.push('.');
    }
    match what {
        SectionText::Header => text.push_str("HEADER"),
        SectionText::Text => text.push_str("TEXT"),
        SectionText::Mime => text.push_str("MIME"),
        SectionText::Fields { names, except } => {
            text.push_str(if *except { "HEADER.FIELDS.NOT " } else { "HEADER.FIELDS " });
            list(text, names, |text, name| astring(text, name));
        }
    }
}

fn key(text: &mut String, wanted: &Key) {
    let pair = |text: &mut String, word: &str, value: &str| {
        text.push_str(word);
        text.push(' ');
        string(text, value);
    };
    match wanted {
        Key::And(keys) if keys.is_empty() => text.push_str("ALL"),
        Key::And(keys) => list(text, keys, key),
        Key::Or(a, b) => {
            text.push_str("OR ");
            key(text, a);
            text.push(' ');
            key(text, b);
        }
        Key::Not(inner) => {
            text.push_str("NOT ");
            key(text, inner);
        }
        Key::Sequence(of) => set(text, of),
        Key::Uid(of) => {
            text.push_str("UID ");
            set(text, of);
        }
        Key::Flag(Flag::Keyword(name)) => text.push_str(&format!("KEYWORD {name}")),
        Key::Flag(flag) => {
            let word = Flag::SYSTEM.iter().find(|(_, known)| known == flag);
            text.push_str(&word.map_or("ALL", |(word, _)| word).to_ascii_uppercase());
        }
        Key::Received(test, day) => text.push_str(&format!("{} {day}", day_test(*test))),
        Key::Sent(test, day) => text.push_str(&format!("SENT{} {day}", day_test(*test))),
        Key::Larger(size) => text.push_str(&format!("LARGER {size}")),
        Key::Smaller(size) => text.push_str(&format!("SMALLER {size}")),
        Key::Older(seconds) => text.push_str(&format!("OLDER {seconds}")),
        Key::Younger(seconds) => text.push_str(&format!("YOUNGER {seconds}")),
        Key::ModSeq(least) => text.push_str(&format!("MODSEQ {least}")),
        Key::Header(field, value) => {
            text.push_str("HEADER ");
            astring(text, field);
            pair(text, "", value);
        }
        Key::Body(value) => pair(text, "BODY", value),
        Key::Text(value) => pair(text, "TEXT", value),
    }
}

fn day_test(test: DayTest) -> &'static str {
    match test {
        DayTest::Before => "BEFORE",
        DayTest::On => "ON",
        DayTest::Since => "SINCE",
    }
}

fn flag(text: &mut String, flag: &Flag) {
    match flag {
        Flag::Keyword(name) => text.push_str(name),
        Flag::Other(name) => text.push_str(&format!("\\{name}")),
        known => {
            let word = Flag::SYSTEM.iter().find(|(_, flag)| flag == known);
            text.push_str(&format!("\\{}", word.map_or("", |(word, _)| word)));
        }
    }
}

fn set(text: &mut String, of: &SequenceSet) {
    let end = |end: Star| match end {
        Star::Number(n) => n.to_string(),
        Star::Last => "*".into(),
    };
    let ranges: Vec<String> =
        of.0.iter().map(|&(a, b)| if a == b { end(a) } else { format!("{}:{}", end(a), end(b)) }).collect();
    text.push_str(&ranges.join(","));
}

fn folder(text: &mut String, name: &str) {
    string(text, &utf7::encode(name));
}

/// An atom where it can be one.
fn astring(text: &mut String, value: &str) {
    if !value.is_empty() && value.bytes().all(super::cursor::is_astring) {
        text.push_str(value);
    } else {
        string(text, value);
    }
}

/// Quoted, or a literal where a line cannot hold it.
fn string(text: &mut String, value: &str) {
    if value.contains(['\r', '\n']) {
        text.push_str(&format!("{{{}+}}\r\n{value}", value.len()));
        return;
    }
    text.push('"');
    for ch in value.chars() {
        if matches!(ch, '"' | '\\') {
            text.push('\\');
        }
        text.push(ch);
    }
    text.push('"');
}

fn list<T>(text: &mut String, items: &[T], mut print: impl FnMut(&mut String, &T)) {
    text.push('(');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            text.push(' ');
        }
        print(text, item);
    }
    text.push(')');
}
