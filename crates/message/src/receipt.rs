//! Receipts: what the sender of a message that waits gets into their own mailbox, in the same thread: each recipient's
//! method, reason, state and code (S29, S30).
//!
//! A receipt comes with a twin for the journal, the same but for `[code]` in the place of each code.

use jiff::civil::Date;
use sealpost_model::{Address, Secret, Time};

use crate::compose::{Body, Head, Person};
use crate::html::escape;
use crate::notice::{AUTOMATIC, Language, date_in_words, wrap};
use crate::{Error, text, threads};

/// One recipient, in words of the catalogue.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    /// The recipient.
    pub address: &'a Address,
    /// How the message goes to them: `secure pickup`, `verified TLS`.
    pub method: &'a str,
    /// Why so, as a sentence; may be empty.
    pub reason: &'a str,
    /// Where it stands: `waiting`, `sent`.
    pub state: &'a str,
    /// The code to tell them by phone, if one is needed.
    pub code: Option<&'a Secret<String>>,
}

/// All that a receipt says.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// Who it comes from.
    pub from: Person<'a>,
    /// The sender of the message.
    pub to: Person<'a>,
    /// `sent+ID@DOMAIN`: takes `status`, `code`, `expire`, `retract` by mail.
    pub reply_to: &'a Address,
    /// `/sent/ID`.
    pub link: &'a str,
    /// The message's subject, as in its header.
    pub subject: &'a str,
    /// The message's Message-ID.
    pub original_id: Option<&'a str>,
    /// The message's own `References` (see [`crate::EnvelopeFields::ancestors`]).
    pub ancestors: &'a [String],
    /// The last day on which the message can be read.
    pub expires: Option<Date>,
    /// The recipients; at least one.
    pub lines: &'a [Line<'a>],
    /// The language of the sender.
    pub language: Language,
    /// `Date`.
    pub date: Time,
    /// `Message-ID` with its angle brackets.
    pub message_id: &'a str,
    /// See [`Head::boundary`].
    pub boundary: &'a str,
}

/// A receipt and its twin.
pub struct Receipt {
    /// For the sender's mailbox and nowhere else.
    pub mail: Secret<Vec<u8>>,
    /// For the journal.
    pub twin: Vec<u8>,
}

impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Receipt(..)")
    }
}

/// What stands in the twin where a code stood.
pub const NO_CODE: &str = "[code]";

/// Writes a receipt and its twin.
///
/// # Errors
/// [`Error::Compose`] when a Message-ID or the boundary isn't one, or there is no recipient.
pub fn compose(facts: &Facts<'_>) -> Result<Receipt, Error> {
    if facts.lines.is_empty() {
        return Err(Error::Compose("an empty list of recipients"));
    }
    Ok(Receipt { mail: Secret::new(write(facts, true)?), twin: write(facts, false)? })
}

fn write(facts: &Facts<'_>, codes: bool) -> Result<Vec<u8>, Error> {
    let original = facts.original_id.filter(|id| is_id(id));
    let ancestors: Vec<String> = facts.ancestors.iter().filter(|id| is_id(id)).cloned().collect();
    let references = threads::references_for_reply(&ancestors, original);
    let subject = text::cut(&threads::reply_subject(facts.subject), 400);
    let to = [facts.to];
    let head = Head {
        from: facts.from,
        to: &to,
        cc: &[],
        reply_to: Some(Person { name: None, address: facts.reply_to }),
        subject: &subject,
        date: facts.date,
        message_id: facts.message_id,
        in_reply_to: original,
        references: &references,
        boundary: facts.boundary,
    };
    let words = Words::of(facts.language);
    let mut out = Vec::with_capacity(4096);
    let mut body = Body::with_fields(&head, AUTOMATIC, &mut out)?;
    body.open("alternative", "");
    body.text("plain", &plain(facts, &words, codes));
    body.text("html", &html(facts, &words, codes));
    body.finish();
    Ok(out)
}

struct Words {
    lead: &'static str,
    tell: &'static str,
    method: &'static str,
    state: &'static str,
    code: &'static str,
    until: &'static str,
    page: &'static str,
    mail: &'static str,
}

impl Words {
    const fn of(language: Language) -> Self {
        match language {
            Language::English => Self {
                lead: "Your message waits for its recipients on a secure page.",
                tell: "Tell each recipient their code yourself, by phone or in person. Do not send it by mail, and do \
                       not forward this receipt.",
                method: "Sent by",
                state: "State",
                code: "Code",
                until: "It can be read until",
                page: "See who opened it, make a new code, extend, expire or retract it here:",
                mail: "Or answer this mail with one word: status, code, expire or retract; put an address behind it to \
                       name one recipient.",
            },
            Language::Spanish => Self {
                lead: "Su mensaje espera a sus destinatarios en una p\u{e1}gina segura.",
                tell: "Diga usted mismo a cada destinatario su c\u{f3}digo, por tel\u{e9}fono o en persona. No lo \
                       env\u{ed}e por correo ni reenv\u{ed}e este recibo.",
                method: "Enviado por",
                state: "Estado",
                code: "C\u{f3}digo",
                until: "Se puede leer hasta el",
                page: "Vea aqu\u{ed} qui\u{e9}n lo abri\u{f3}, genere otro c\u{f3}digo, prorrogue, caduque o retire el \
                       mensaje:",
                mail: "O responda a este correo con una palabra: status, code, expire o retract; a\u{f1}ada una \
                       direcci\u{f3}n para nombrar a un solo destinatario.",
            },
        }
    }
}

fn shown<'a>(line: &Line<'a>, codes: bool) -> Option<&'a str> {
    line.code.map(|code| if codes { code.expose().as_str() } else { NO_CODE })
}

fn plain(facts: &Facts<'_>, words: &Words, codes: bool) -> String {
    let mut out = String::new();
    wrap(words.lead, &mut out);
    if facts.lines.iter().any(|l| l.code.is_some()) {
        wrap(words.tell, &mut out);
    }
    for line in facts.lines {
        out.push_str(&format!("\n{}\n", line.address));
        if let Some(code) = shown(line, codes) {
            out.push_str(&format!("  {}: {code}\n", words.code));
        }
        out.push_str(&format!("  {}: {}\n", words.method, one_line(line.method)));
        if !line.reason.is_empty() {
            out.push_str(&format!("  {}\n", one_line(line.reason)));
        }
        out.push_str(&format!("  {}: {}\n", words.state, one_line(line.state)));
    }
    out.push('\n');
    if let Some(expires) = facts.expires {
        wrap(&format!("{} {}.", words.until, date_in_words(facts.language, expires)), &mut out);
    }
    wrap(words.page, &mut out);
    out.push_str(&format!("\n{}\n\n", one_line(facts.link)));
    wrap(words.mail, &mut out);
    out
}

fn html(facts: &Facts<'_>, words: &Words, codes: bool) -> String {
    let lang = match facts.language {
        Language::English => "en",
        Language::Spanish => "es",
    };
    let mut out = format!(
        "<!doctype html>\n<html lang=\"{lang}\">\n<head><meta charset=\"utf-8\"></head>\n\
         <body style=\"font-family: sans-serif; line-height: 1.5; max-width: 40em; margin: 1.5em\">\n<p>{}</p>\n",
        escape(words.lead)
    );
    if facts.lines.iter().any(|l| l.code.is_some()) {
        out.push_str(&format!("<p>{}</p>\n", escape(words.tell)));
    }
    for line in facts.lines {
        out.push_str(&format!("<p><b>{}</b><br>\n", escape(&line.address.to_string())));
        if let Some(code) = shown(line, codes) {
            out.push_str(&format!(
                "{}: <b style=\"font-size: 1.4em\">{}</b><br>\n",
                words.code,
                escape(code)
            ));
        }
        out.push_str(&format!("{}: {}<br>\n", words.method, escape(&one_line(line.method))));
        if !line.reason.is_empty() {
            out.push_str(&format!("{}<br>\n", escape(&one_line(line.reason))));
        }
        out.push_str(&format!("{}: {}</p>\n", words.state, escape(&one_line(line.state))));
    }
    if let Some(expires) = facts.expires {
        out.push_str(&format!("<p>{} {}.</p>\n", words.until, date_in_words(facts.language, expires)));
    }
    let link = escape(&one_line(facts.link));
    out.push_str(&format!(
        "<p>{}</p>\n<p>\n<a href=\"{link}\">\n{link}\n</a>\n</p>\n<p>{}</p>\n</body>\n</html>\n",
        escape(words.page),
        escape(words.mail)
    ));
    out
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn is_id(id: &str) -> bool {
    id.strip_prefix('<').and_then(|i| i.strip_suffix('>')).is_some_and(threads::is_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{decode, scan};

    fn receipt(language: Language) -> Receipt {
        let alice = Address::parse("alice@clinic.test").unwrap();
        let (pat, lee) =
            (Address::parse("pat@outside.example").unwrap(), Address::parse("lee@outside.example").unwrap());
        let code = Secret::new("482913".to_owned());
        compose(&Facts {
            from: Person {
                name: Some("Sealpost"),
                address: &Address::parse("postmaster@clinic.test").unwrap(),
            },
            to: Person { name: None, address: &alice },
            reply_to: &Address::parse("sent+abc@clinic.test").unwrap(),
            link: "https://mail.clinic.test/sent/abcdefghijklmnopqrstuvwx23",
            subject: "=?utf-8?Q?R=C3=A9sultats?=",
            original_id: Some("<orig@clinic.test>"),
            ancestors: &["<first@x>".into(), "broken".into()],
            expires: Some(Date::constant(2026, 12, 21)),
            lines: &[
                Line {
                    address: &pat,
                    method: "secure pickup",
                    reason: "No TLS.",
                    state: "waiting",
                    code: Some(&code),
                },
                Line { address: &lee, method: "verified TLS", reason: "", state: "sent", code: None },
            ],
            language,
            date: Time::from_seconds(1_795_300_822),
            message_id: "<r1@clinic.test>",
            boundary: "rrrrrrrrrrr",
        })
        .unwrap()
    }

    #[test]
    fn the_twin_differs_by_the_code_only() {
        for language in [Language::English, Language::Spanish] {
            let receipt = receipt(language);
            let mail = String::from_utf8(receipt.mail.expose().clone()).unwrap();
            let twin = String::from_utf8(receipt.twin.clone()).unwrap();
            assert_eq!(mail.matches("482913").count(), 2);
            assert_eq!(mail.replace("482913", NO_CODE), twin);
            assert!(!format!("{receipt:?}{:?}", receipt.mail).contains("482913"));
        }
    }

    #[test]
    fn it_threads_and_takes_answers() {
        let receipt = receipt(Language::English);
        let bytes = receipt.mail.expose();
        let scanned = scan(bytes);
        assert_eq!(scanned.faults, crate::Faults::NONE);
        assert_eq!(scanned.envelope.subject_text(), "Re: R\u{e9}sultats");
        assert_eq!(scanned.envelope.ancestors(), ["<first@x>", "<orig@clinic.test>"]);
        assert_eq!(scanned.envelope.in_reply_to.as_deref(), Some("<orig@clinic.test>"));
        assert_eq!(scanned.envelope.reply_to[0].email().as_deref(), Some("sent+abc@clinic.test"));
        for part in scanned.structure.root.parts() {
            let body = decode::text(part.transfer(), part.charset().as_deref(), part.body.of(bytes));
            assert!(body.lines().any(|l| l == "https://mail.clinic.test/sent/abcdefghijklmnopqrstuvwx23"));
            assert!(body.contains("pat@outside.example") && body.contains("verified TLS"));
        }
    }
}
