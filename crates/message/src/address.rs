//! Address lists in headers (RFC 5322 section 3.4 with the obsolete forms of section 4.4), read with patience.

use sealpost_model::Address;
use serde::{Deserialize, Serialize};

use crate::{decode, words};

/// One entry of an address list as IMAP's ENVELOPE shows it (RFC 9051 section 7.5.2).
///
/// A group is an entry with `mailbox` = its name and no `host`, its members, and an entry with nothing at all. A mailbox
/// without a domain has an empty `host`.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EnvelopeAddress {
    /// The display name: unquoted, encoded words as they are.
    pub name: Option<String>,
    /// The source route (obsolete).
    pub adl: Option<String>,
    /// The part before the `@`, unquoted; a group's name.
    pub mailbox: Option<String>,
    /// The part behind the `@`.
    pub host: Option<String>,
}

impl EnvelopeAddress {
    /// Whether a group begins here.
    pub const fn is_group_start(&self) -> bool {
        self.mailbox.is_some() && self.host.is_none()
    }

    /// Whether a group ends here.
    pub const fn is_group_end(&self) -> bool {
        self.mailbox.is_none() && self.host.is_none()
    }

    /// The display name for people, decoded.
    pub fn display_name(&self) -> Option<String> {
        let name = words::decode(self.name.as_deref()?);
        let name = name.trim();
        (!name.is_empty()).then(|| name.to_owned())
    }

    /// `local@domain`, the local part quoted where it must be; `None` for group marks and incomplete addresses.
    pub fn email(&self) -> Option<String> {
        let (mailbox, host) = (self.mailbox.as_deref()?, self.host.as_deref()?);
        if mailbox.is_empty() || host.is_empty() {
            return None;
        }
        let plain = mailbox.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext));
        Some(if plain {
            format!("{mailbox}@{host}")
        } else {
            format!("\"{}\"@{host}", mailbox.replace('\\', "\\\\").replace('"', "\\\""))
        })
    }

    /// The address as a valid one, if it is.
    pub fn address(&self) -> Option<Address> {
        Address::parse(&self.email()?).ok()
    }

    /// How a person reads it: name, or else address, or else group name.
    pub fn shown(&self) -> String {
        self.display_name().or_else(|| self.email()).or_else(|| self.mailbox.clone()).unwrap_or_default()
    }
}

/// Addresses may be PHI: `Debug` tells only that there is one.
impl std::fmt::Debug for EnvelopeAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match (self.is_group_start(), self.is_group_end()) {
            (true, _) => "GroupStart(..)",
            (_, true) => "GroupEnd",
            _ => "EnvelopeAddress(..)",
        })
    }
}

/// Entries beyond this number are dropped.
pub const MAX_ADDRESSES: usize = 5000;

/// Reads the value of an address field, folded or not. Never fails: what makes no sense becomes a name or is dropped.
pub fn parse_address_list(value: &[u8]) -> Vec<EnvelopeAddress> {
    let text = decode::guess(value);
    let mut list = List::default();
    let mut chars = text.chars().peekable();
    let mut space = false;
    while let Some(c) = chars.next() {
        if list.out.len() >= MAX_ADDRESSES {
            return list.out;
        }
        match c {
            ' ' | '\t' | '\r' | '\n' | '\0' => {
                space = true;
                continue;
            }
            '"' => {
                let quoted = until(&mut chars, '"', None);
                list.push(quoted, true, space);
            }
            '(' => {
                let comment = until(&mut chars, ')', Some('('));
                list.comment = Some(comment);
                space = true;
                continue;
            }
            '[' => {
                let literal = until(&mut chars, ']', None);
                list.push(format!("[{literal}]"), false, space);
            }
            '<' => list.angle(&mut chars),
            '>' => {}
            ',' => list.finish(),
            ':' if !list.group && !list.has_at() => list.open_group(),
            ';' => list.close_group(),
            '@' | '.' => list.push(c.to_string(), false, space),
            c => {
                let mut atom = String::from(c);
                while let Some(c) = chars.next_if(|c| !" \t\r\n\0\"([<>,:;@.".contains(*c)) {
                    atom.push(c);
                }
                list.push(atom, false, space);
            }
        }
        space = false;
    }
    list.finish();
    if list.group {
        list.out.push(EnvelopeAddress::default());
    }
    list.out
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Up to `close`, backslashes undone, line ends dropped; with `open`, nested.
fn until(chars: &mut Chars<'_>, close: char, open: Option<char>) -> String {
    let mut out = String::new();
    let mut depth = 1_usize;
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            '\r' | '\n' | '\0' => {}
            c if c == close => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
                out.push(c);
            }
            c => {
                if Some(c) == open {
                    depth += 1;
                }
                out.push(c);
            }
        }
    }
    out
}

struct Token {
    text: String,
    quoted: bool,
    space: bool,
}

#[derive(Default)]
struct List {
    out: Vec<EnvelopeAddress>,
    tokens: Vec<Token>,
    comment: Option<String>,
    address: Option<EnvelopeAddress>,
    group: bool,
}

impl List {
    fn push(&mut self, text: String, quoted: bool, space: bool) {
        self.tokens.push(Token { text, quoted, space });
    }

    fn has_at(&self) -> bool {
        self.tokens.iter().any(|t| !t.quoted && t.text == "@")
    }

    /// `"<" [obs-route] addr-spec ">"`, the `<` taken already.
    fn angle(&mut self, chars: &mut Chars<'_>) {
        let name = phrase(&self.tokens);
        self.tokens.clear();
        let mut inner = Self::default();
        let mut space = false;
        let mut adl = None;
        while let Some(c) = chars.next() {
            match c {
                '>' => break,
                ' ' | '\t' | '\r' | '\n' | '\0' => {
                    space = true;
                    continue;
                }
                '"' => {
                    let quoted = until(chars, '"', None);
                    inner.push(quoted, true, space);
                }
                '(' => {
                    until(chars, ')', Some('('));
                }
                '[' => {
                    let literal = until(chars, ']', None);
                    inner.push(format!("[{literal}]"), false, space);
                }
                ':' if adl.is_none() && inner.tokens.first().is_some_and(|t| t.text == "@") => {
                    adl = Some(inner.tokens.drain(..).map(|t| t.text).collect::<String>());
                }
                '@' | '.' | ',' => inner.push(c.to_string(), false, space),
                c => {
                    let mut atom = String::from(c);
                    while let Some(c) = chars.next_if(|c| !" \t\r\n\0\"([>@.:,".contains(*c)) {
                        atom.push(c);
                    }
                    inner.push(atom, false, space);
                }
            }
            space = false;
        }
        let (mailbox, host) = spec(&inner.tokens);
        self.address =
            Some(EnvelopeAddress { name, adl, mailbox: Some(mailbox), host: Some(host.unwrap_or_default()) });
    }

    /// An entry ends.
    fn finish(&mut self) {
        let comment = self.comment.take();
        let tokens = std::mem::take(&mut self.tokens);
        if let Some(mut address) = self.address.take() {
            address.name = address.name.or(comment.filter(|c| !c.trim().is_empty()));
            self.out.push(address);
            return;
        }
        if tokens.is_empty() {
            return;
        }
        // Words in front of a bare address (`Ann Lee ann@clinic.test`) are taken for its name.
        let at = tokens.iter().rposition(|t| !t.quoted && t.text == "@");
        let start = at.map_or(0, |at| {
            let mut start = at;
            while start > 0 && (!tokens[start].space || start == at || is_joint(&tokens[start - 1])) {
                start -= 1;
            }
            start
        });
        let (front, address) = tokens.split_at(start);
        let (mailbox, host) = match at {
            Some(_) => spec(address),
            None => (phrase(address).unwrap_or_default(), None),
        };
        let name = phrase(front).or(comment.filter(|c| !c.trim().is_empty()));
        self.out.push(EnvelopeAddress {
            name,
            adl: None,
            mailbox: Some(mailbox),
            host: Some(host.unwrap_or_default()),
        });
    }

    fn open_group(&mut self) {
        let name = phrase(&self.tokens).unwrap_or_default();
        self.tokens.clear();
        self.comment = None;
        self.group = true;
        self.out.push(EnvelopeAddress { mailbox: Some(name), ..EnvelopeAddress::default() });
    }

    fn close_group(&mut self) {
        self.finish();
        if std::mem::take(&mut self.group) {
            self.out.push(EnvelopeAddress::default());
        }
    }
}

fn is_joint(token: &Token) -> bool {
    !token.quoted && (token.text == "." || token.text == "@")
}

/// Words of a display name with single spaces where there was space.
fn phrase(tokens: &[Token]) -> Option<String> {
    let mut out = String::new();
    for (i, token) in tokens.iter().enumerate() {
        if i > 0 && (token.space || token.quoted || tokens[i - 1].quoted) {
            out.push(' ');
        }
        out.push_str(&token.text);
    }
    let out = out.trim();
    (!out.is_empty()).then(|| out.to_owned())
}

/// `local-part "@" domain`; white space and comments inside (obsolete) are dropped.
fn spec(tokens: &[Token]) -> (String, Option<String>) {
    let join = |tokens: &[Token]| tokens.iter().map(|t| t.text.as_str()).collect::<String>();
    match tokens.iter().rposition(|t| !t.quoted && t.text == "@") {
        Some(at) => (join(&tokens[..at]), Some(join(&tokens[at + 1..]))),
        None => (join(tokens), None),
    }
}

fn is_atext(c: char) -> bool {
    !c.is_ascii() || c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn show(value: &str) -> Vec<String> {
        parse_address_list(value.as_bytes())
            .iter()
            .map(|a| {
                if a.is_group_end() {
                    "END".into()
                } else if a.is_group_start() {
                    format!("GROUP {}", a.mailbox.as_deref().unwrap_or_default())
                } else {
                    let (m, h) = (a.mailbox.as_deref().unwrap_or("-"), a.host.as_deref().unwrap_or("-"));
                    format!(
                        "{}|{}|{m}|{h}",
                        a.name.as_deref().unwrap_or("-"),
                        a.adl.as_deref().unwrap_or("-")
                    )
                }
            })
            .collect()
    }

    #[test]
    fn reads_the_examples_of_rfc_5322_appendix_a() {
        for (value, list) in [
            ("John Doe <jdoe@machine.example>", &["John Doe|-|jdoe|machine.example"][..]),
            ("\"Joe Q. Public\" <john.q.public@example.com>", &["Joe Q. Public|-|john.q.public|example.com"]),
            (
                "Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>",
                &["Mary Smith|-|mary|x.test", "-|-|jdoe|example.org", "Who?|-|one|y.test"],
            ),
            (
                "<boss@nil.test>, \"Giant; \\\"Big\\\" Box\" <s@e.net>",
                &["-|-|boss|nil.test", "Giant; \"Big\" Box|-|s|e.net"],
            ),
            (
                "A Group:Ed Jones <joe@where.test>,joe@where.test,John <jdoe@one.test>;",
                &[
                    "GROUP A Group",
                    "Ed Jones|-|joe|where.test",
                    "-|-|joe|where.test",
                    "John|-|jdoe|one.test",
                    "END",
                ],
            ),
            ("Undisclosed recipients:;", &["GROUP Undisclosed recipients", "END"]),
            ("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", &["Pete|-|pete|silly.test"]),
            (
                "A Group(Some people)\r\n     :Chris Jones <c@(Chris's host.)public.example>,\r\n joe@example.org,\r\n  John <jdoe@one.test> (my dear friend); (the end of the group)",
                &[
                    "GROUP A Group",
                    "Chris Jones|-|c|public.example",
                    "-|-|joe|example.org",
                    "John|-|jdoe|one.test",
                    "END",
                ],
            ),
            ("Joe Q. Public <john.q.public@example.com>", &["Joe Q. Public|-|john.q.public|example.com"]),
            (
                "Mary Smith <@node.test:mary@example.net>, , jdoe@test   . example",
                &["Mary Smith|@node.test|mary|example.net", "-|-|jdoe|test.example"],
            ),
        ] {
            assert_eq!(show(value), list, "{value}");
        }
    }

    #[test]
    fn reads_what_programs_write() {
        for (value, list) in [
            ("", &[][..]),
            (",,;", &[]),
            ("ann@clinic.test (Ann Lee)", &["Ann Lee|-|ann|clinic.test"]),
            ("Ann Lee ann@clinic.test", &["Ann Lee|-|ann|clinic.test"]),
            ("\"a b\"@c.d", &["-|-|a b|c.d"]),
            ("undisclosed-recipients", &["-|-|undisclosed-recipients|"]),
            ("MAILER-DAEMON <>", &["MAILER-DAEMON|-||"]),
            ("Ann <ann@clinic.test", &["Ann|-|ann|clinic.test"]),
            ("\"Ann <ann@clinic.test>", &["-|-|Ann <ann@clinic.test>|"]),
            ("a@b;c@d", &["-|-|a|b", "-|-|c|d"]),
            ("a@[192.0.2.1]", &["-|-|a|[192.0.2.1]"]),
            ("=?utf-8?Q?Ann=2C_L?= <a@b.c>", &["=?utf-8?Q?Ann=2C_L?=|-|a|b.c"]),
            ("group: a@b, c@d", &["GROUP group", "-|-|a|b", "-|-|c|d", "END"]),
            ("((((", &[]),
            ("<a@b@c.d>", &["-|-|a@b|c.d"]),
        ] {
            assert_eq!(show(value), list, "{value}");
        }
        assert_eq!(parse_address_list(b"<a@b@c.d>")[0].email().as_deref(), Some("\"a@b\"@c.d"));
        assert_eq!(
            parse_address_list(b"=?utf-8?Q?=C3=A9?= <a@b.c>")[0].display_name().as_deref(),
            Some("\u{e9}")
        );
        assert!(parse_address_list(&b"a,".repeat(100_000)).len() <= MAX_ADDRESSES);
    }

    proptest! {
        #[test]
        fn any_bytes(value in proptest::collection::vec(prop_oneof![
            proptest::sample::select(&b"<>@,;:\"()[]\\ ab.\r\n"[..]), any::<u8>()
        ], 0..80)) {
            for a in parse_address_list(&value) { a.email(); a.shown(); a.address(); }
        }

        #[test]
        fn names_come_back(name in "\\PC{0,40}", local in "[a-z]{1,8}") {
            let printed = format!("{} <{local}@b.c>", words::phrase(&name));
            let list = parse_address_list(printed.as_bytes());
            prop_assert_eq!(list.len(), 1);
            prop_assert_eq!(list[0].email(), Some(format!("{local}@b.c")));
            let squeeze = |s: &str| s.split_whitespace().collect::<Vec<_>>().join(" ");
            prop_assert_eq!(squeeze(&list[0].display_name().unwrap_or_default()), squeeze(&name));
        }
    }
}
