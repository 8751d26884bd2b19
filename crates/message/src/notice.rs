//! Pickup notices: the one message that may travel where a message must not (S17, S21).
//!
//! A [`Notice`] has one maker, [`Notice::compose`], and room for nothing but the organisation's name, the sender's name
//! if policy gives it, one link, a date and fixed words. The link stands alone on its line in both parts, so that no mail
//! program breaks it, and it is the same in both. Read `docs/security.md` for what a tapper of the wire learns from it.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use sealpost_model::{Address, Time};

use crate::compose::{Body, Head, Person};
use crate::html::escape;
use crate::{Error, text};

/// A language that fixed words exist in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Language {
    /// English.
    English,
    /// Spanish.
    Spanish,
}

/// In which languages a notice speaks; both until its recipient has chosen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Languages {
    /// English, then Spanish.
    #[default]
    Both,
    /// One of them.
    One(Language),
}

impl Languages {
    const fn list(self) -> &'static [Language] {
        match self {
            Self::Both => &[Language::English, Language::Spanish],
            Self::One(Language::English) => &[Language::English],
            Self::One(Language::Spanish) => &[Language::Spanish],
        }
    }
}

/// All that a notice may say.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The address that notices of this domain come from.
    pub from: &'a Address,
    /// The recipient.
    pub to: &'a Address,
    /// The organisation's display name.
    pub organisation: &'a str,
    /// The sender's name, only where policy gives it.
    pub sender: Option<&'a str>,
    /// The link: https (http on loopback in quickstart), at most 72 characters.
    pub link: &'a str,
    /// The last day on which the message can be read, in the organisation's time zone (see [`day`]).
    pub expires: Date,
    /// Languages.
    pub languages: Languages,
    /// `Date`.
    pub date: Time,
    /// `Message-ID` with its angle brackets.
    pub message_id: &'a str,
    /// See [`Head::boundary`].
    pub boundary: &'a str,
}

/// A notice: its bytes and nothing else can be had from it.
#[derive(Clone, PartialEq, Eq)]
pub struct Notice(Vec<u8>);

impl Notice {
    /// Writes a notice.
    ///
    /// # Errors
    /// [`Error::Compose`] when the link, the Message-ID or the boundary isn't one.
    pub fn compose(facts: &Facts<'_>) -> Result<Self, Error> {
        let link = check_link(facts.link)?;
        let organisation = name(facts.organisation).ok_or(Error::Compose("the organisation's name"))?;
        let sender = facts.sender.and_then(name);
        let languages = facts.languages.list();
        let says: Vec<Words> = languages
            .iter()
            .map(|l| Words::new(*l, &organisation, sender.as_deref(), facts.expires))
            .collect();
        let subject = says.iter().map(|w| w.subject.as_str()).collect::<Vec<_>>().join(" / ");
        let to = [Person { name: None, address: facts.to }];
        let head = Head {
            from: Person { name: Some(&organisation), address: facts.from },
            to: &to,
            cc: &[],
            reply_to: None,
            subject: &subject,
            date: facts.date,
            message_id: facts.message_id,
            in_reply_to: None,
            references: &[],
            boundary: facts.boundary,
        };
        let mut out = Vec::with_capacity(4096);
        let mut body = Body::with_fields(&head, AUTOMATIC, &mut out)?;
        body.open("alternative", "");
        body.text("plain", &plain(&says, link));
        body.text("html", &html(&says, languages, link));
        body.finish();
        Ok(Self(out))
    }

    /// The message.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The message.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl std::fmt::Debug for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Notice(..)")
    }
}

/// A machine wrote this (RFC 3834 section 5): nobody's vacation mail answers it.
pub(crate) const AUTOMATIC: &[(&str, &str)] =
    &[("Auto-Submitted", "auto-generated"), ("X-Auto-Response-Suppress", "All")];

/// The day in a zone (IANA name; an unknown one counts as UTC).
pub fn day(time: Time, zone: &str) -> Date {
    time.timestamp().to_zoned(TimeZone::get(zone).unwrap_or(TimeZone::UTC)).date()
}

/// A date in words: `March 4, 2027`, `4 de marzo de 2027`.
pub fn date_in_words(language: Language, date: Date) -> String {
    const ENGLISH: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    const SPANISH: [&str; 12] = [
        "enero",
        "febrero",
        "marzo",
        "abril",
        "mayo",
        "junio",
        "julio",
        "agosto",
        "septiembre",
        "octubre",
        "noviembre",
        "diciembre",
    ];
    let month = usize::try_from(date.month() - 1).unwrap_or(0);
    let of = |names: [&'static str; 12]| names.get(month).copied().unwrap_or_default();
    match language {
        Language::English => format!("{} {}, {}", of(ENGLISH), date.day(), date.year()),
        Language::Spanish => format!("{} de {} de {}", date.day(), of(SPANISH), date.year()),
    }
}

/// The fixed words with their blanks filled.
struct Words {
    subject: String,
    /// Who sent something.
    lead: String,
    /// In front of the link.
    open: &'static str,
    /// Behind it.
    rest: String,
    /// What a careful reader wants to know.
    care: &'static str,
}

impl Words {
    fn new(language: Language, organisation: &str, sender: Option<&str>, expires: Date) -> Self {
        let date = date_in_words(language, expires);
        match language {
            Language::English => Self {
                subject: format!("Secure message from {organisation}"),
                lead: match sender {
                    Some(sender) => format!("{sender} at {organisation} sent you a secure message."),
                    None => format!("{organisation} sent you a secure message."),
                },
                open: "To read it, open this page:",
                rest: format!("You can read it until {date}."),
                care: "The page may ask for a 6-digit code. Only the sender knows it: call them at a number that you \
                       already have. You never need to give a password or pay anything. If you did not expect this \
                       message, you can ignore it.",
            },
            Language::Spanish => Self {
                subject: format!("Mensaje seguro de {organisation}"),
                lead: match sender {
                    Some(sender) => format!("{sender}, de {organisation}, le envi\u{f3} un mensaje seguro."),
                    None => format!("{organisation} le envi\u{f3} un mensaje seguro."),
                },
                open: "Para leerlo, abra esta p\u{e1}gina:",
                rest: format!("Puede leerlo hasta el {date}."),
                care: "Es posible que la p\u{e1}gina le pida un c\u{f3}digo de 6 cifras. Solo lo conoce quien le \
                       escribe: ll\u{e1}mele a un n\u{fa}mero que usted ya tenga. Nunca tendr\u{e1} que dar una \
                       contrase\u{f1}a ni pagar nada. Si no esperaba este mensaje, puede ignorarlo.",
            },
        }
    }
}

/// All languages lead to the link, which stands there once, and go on behind it.
fn plain(says: &[Words], link: &str) -> String {
    let mut out = String::new();
    for words in says {
        wrap(&words.lead, &mut out);
        wrap(words.open, &mut out);
        out.push('\n');
    }
    out.push_str(link);
    out.push('\n');
    for words in says {
        out.push('\n');
        wrap(&words.rest, &mut out);
        wrap(words.care, &mut out);
    }
    out
}

fn html(says: &[Words], languages: &[Language], link: &str) -> String {
    let link = escape(link);
    let mut out = String::from(
        "<!doctype html>\n<html>\n<head><meta charset=\"utf-8\"></head>\n\
         <body style=\"font-family: sans-serif; line-height: 1.5; max-width: 36em; margin: 1.5em\">\n",
    );
    let code = |language: &Language| match language {
        Language::English => "en",
        Language::Spanish => "es",
    };
    for (words, language) in says.iter().zip(languages) {
        let lang = code(language);
        out.push_str(&format!(
            "<p lang=\"{lang}\"><b>{}</b><br>\n{}</p>\n",
            escape(&words.lead),
            escape(words.open)
        ));
    }
    out.push_str(&format!("<p>\n<a href=\"{link}\">\n{link}\n</a>\n</p>\n"));
    for (words, language) in says.iter().zip(languages) {
        let lang = code(language);
        out.push_str(&format!(
            "<p lang=\"{lang}\">{}<br>\n{}</p>\n",
            escape(&words.rest),
            escape(words.care)
        ));
    }
    out.push_str("</body>\n</html>\n");
    out
}

/// Lines of at most 72 characters.
pub(crate) fn wrap(text: &str, out: &mut String) {
    let mut column = 0;
    for word in text.split(' ') {
        let width = word.chars().count();
        if column > 0 && column + 1 + width > 72 {
            out.push('\n');
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += width;
    }
    out.push('\n');
}

/// A name that somebody set up, in one line and short; `None` when blank. What could pass for a link or an address of its
/// own is taken apart.
fn name(raw: &str) -> Option<String> {
    let clean: String = raw
        .chars()
        .map(|c| if c.is_control() || c.is_whitespace() { ' ' } else { c })
        .filter(|c| !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'))
        .collect();
    let clean = clean.replace("://", " ");
    let joined = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    (!joined.is_empty()).then(|| text::cut(&joined, 100))
}

/// A URL of ours: no query, no fragment, nothing that must be escaped, short enough for one line.
fn check_link(link: &str) -> Result<&str, Error> {
    let rest = link.strip_prefix("https://").or_else(|| link.strip_prefix("http://"));
    let fine = rest.is_some_and(|r| {
        !r.is_empty() && r.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:/[]".contains(&b))
    });
    if fine && link.len() <= 72 { Ok(link) } else { Err(Error::Compose("the link")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{decode, scan};

    const LINK: &str = "https://pickup.clinic.test/pickup/abcdefghijklmnopqrstuvwx23";

    fn compose(
        organisation: &str,
        sender: Option<&str>,
        link: &str,
        languages: Languages,
    ) -> Result<Notice, Error> {
        Notice::compose(&Facts {
            from: &Address::parse("secure@clinic.test").unwrap(),
            to: &Address::parse("pat@outside.example").unwrap(),
            organisation,
            sender,
            link,
            expires: Date::constant(2026, 12, 21),
            languages,
            date: Time::from_seconds(1_795_300_822),
            message_id: "<n1@clinic.test>",
            boundary: "nnnnnnnnnnnnnnnnnnnnnnnnnn",
        })
    }

    fn bodies(notice: &Notice) -> (String, String) {
        let scanned = scan(notice.bytes());
        assert_eq!(scanned.faults, crate::Faults::NONE);
        let part = |n: usize| {
            let p = &scanned.structure.root.parts()[n];
            decode::text(p.transfer(), p.charset().as_deref(), p.body.of(notice.bytes()))
        };
        assert_eq!(scanned.structure.root.parts().len(), 2);
        (part(0), part(1))
    }

    #[test]
    fn the_link_stands_alone_on_its_line_and_is_the_same_in_both() {
        for languages in
            [Languages::Both, Languages::One(Language::English), Languages::One(Language::Spanish)]
        {
            let notice = compose("Demo Clinic", None, LINK, languages).unwrap();
            let raw = String::from_utf8(notice.bytes().to_vec()).unwrap();
            let (text, html) = bodies(&notice);
            for part in [&text, &html] {
                assert_eq!(part.lines().filter(|l| *l == LINK).count(), 1);
                assert!(!part.lines().any(|l| l != LINK && l.contains(LINK) && !l.starts_with("<a href=")));
            }
            assert_eq!(raw.lines().filter(|l| *l == LINK).count(), 2, "the encoding must not break the link");
            assert_eq!(html.matches("href=").count(), 1);
            assert!(raw.lines().all(|l| l.len() <= 78));
        }
    }

    #[test]
    fn says_what_it_may() {
        let notice = compose("Demo Clinic", Some("Dr. Alice"), LINK, Languages::Both).unwrap();
        let (text, html) = bodies(&notice);
        let envelope = scan(notice.bytes()).envelope;
        assert_eq!(
            envelope.subject_text(),
            "Secure message from Demo Clinic / Mensaje seguro de Demo Clinic"
        );
        assert!(
            text.contains("Dr. Alice at Demo Clinic sent you") && html.contains("Dr. Alice, de Demo Clinic")
        );
        assert!(text.contains("December 21, 2026") && text.contains("21 de diciembre de 2026"));
        assert_eq!(
            compose("Demo Clinic", Some(" "), LINK, Languages::Both),
            compose("Demo Clinic", None, LINK, Languages::Both)
        );
    }

    #[test]
    fn refuses_other_links() {
        let long = format!("https://{}.test/", "a".repeat(70));
        for link in [
            "",
            "ftp://x",
            "https://",
            "javascript:x",
            "https://a.test/?q",
            "https://a.test/#f",
            "https://a.test/ x",
            "https://a.test/\r\nx",
            &long,
        ] {
            assert!(compose("x", None, link, Languages::Both).is_err(), "{link}");
        }
        assert!(compose(" \t", None, LINK, Languages::Both).is_err());
    }

    #[test]
    fn days() {
        let time = Time::from_seconds(1_795_300_822);
        assert_eq!(day(time, "UTC"), Date::constant(2026, 11, 21));
        assert_eq!(day(time, "Asia/Tokyo"), Date::constant(2026, 11, 22));
        assert_eq!(day(time, "No/Where"), Date::constant(2026, 11, 21));
    }

    proptest! {
        #[test]
        fn names_cannot_add_anything(organisation in "x\\PC{0,60}|x[<>&\"'\r\n:/.]{0,40}|xhttps://evil\\.test/", sender in any::<Option<String>>()) {
            let notice = compose(&organisation, sender.as_deref(), LINK, Languages::Both).unwrap();
            let (text, html) = bodies(&notice);
            prop_assert_eq!(html.matches("<a ").count(), 1);
            prop_assert_eq!(html.matches("://").count() + text.matches("://").count(), 3);
            prop_assert_eq!(crate::headers::fields(notice.bytes()).count(), 9);
        }
    }
}
