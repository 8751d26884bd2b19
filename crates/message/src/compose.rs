//! Mail written here for people: plain text, HTML beside it, pictures within it, attachments (RFC 5322, RFC 2045 ff.).
//!
//! Deterministic: date, Message-ID and boundary are handed in. Everything is 7bit. A Bcc is never written: who gets the
//! message is the envelope's matter.

use sealpost_model::{Address, Time};

use crate::{Error, content, encode, words};

/// A name and an address for a header.
#[derive(Clone, Copy)]
pub struct Person<'a> {
    /// The display name; blank or none leaves the address alone.
    pub name: Option<&'a str>,
    /// The address.
    pub address: &'a Address,
}

/// What every message that we compose has in its header.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    /// `From`.
    pub from: Person<'a>,
    /// `To`.
    pub to: &'a [Person<'a>],
    /// `Cc`.
    pub cc: &'a [Person<'a>],
    /// `Reply-To`; none leaves it out.
    pub reply_to: Option<Person<'a>>,
    /// `Subject`, as people read it.
    pub subject: &'a str,
    /// `Date`.
    pub date: Time,
    /// `Message-ID` with its angle brackets.
    pub message_id: &'a str,
    /// `In-Reply-To`: the id of the message that is answered.
    pub in_reply_to: Option<&'a str>,
    /// `References`, oldest first (see [`crate::threads::references_for_reply`]).
    pub references: &'a [String],
    /// Parts are kept apart by it: up to 60 letters and digits that nobody can guess.
    pub boundary: &'a str,
}

/// A mail of a person.
#[derive(Clone, Copy)]
pub struct Mail<'a> {
    /// Its header.
    pub head: Head<'a>,
    /// The plain text.
    pub text: &'a str,
    /// The same as HTML.
    pub html: Option<&'a str>,
    /// Files.
    pub attachments: &'a [Attachment<'a>],
}

/// A file that goes with a mail.
#[derive(Clone, Copy)]
pub struct Attachment<'a> {
    /// Its name; made safe here.
    pub name: &'a str,
    /// Its media type (`image/png`); what is none becomes `application/octet-stream`.
    pub content_type: &'a str,
    /// For a picture within the HTML: its Content-ID without angle brackets.
    pub cid: Option<&'a str>,
    /// Its bytes.
    pub data: &'a [u8],
}

/// Writes a mail.
///
/// # Errors
/// [`Error::Compose`] when a Message-ID or the boundary isn't one.
pub fn mail(mail: &Mail<'_>) -> Result<Vec<u8>, Error> {
    let size: usize = mail.attachments.iter().map(|a| a.data.len() / 2 * 3).sum();
    let mut out = Vec::with_capacity(size + mail.text.len() * 2 + 4096);
    let mut body = Body::new(&mail.head, &mut out)?;
    let (inline, files): (Vec<_>, Vec<_>) =
        mail.attachments.iter().partition(|a| a.cid.is_some() && mail.html.is_some());
    if !files.is_empty() {
        body.open("mixed", "");
    }
    match mail.html {
        None => body.text("plain", mail.text),
        Some(html) => {
            body.open("alternative", "");
            body.text("plain", mail.text);
            if inline.is_empty() {
                body.text("html", html);
            } else {
                body.open("related", "; type=\"text/html\"");
                body.text("html", html);
                inline.iter().for_each(|a| body.attachment(a));
                body.close();
            }
            body.close();
        }
    }
    files.iter().for_each(|a| body.attachment(a));
    body.finish();
    Ok(out)
}

/// Writes a header and then parts into a buffer.
pub(crate) struct Body<'a> {
    out: &'a mut Vec<u8>,
    boundary: &'a str,
    /// Numbers of the multiparts that are open.
    open: Vec<usize>,
    count: usize,
}

impl<'a> Body<'a> {
    /// Writes the header but for what belongs to the outermost part.
    pub fn new(head: &Head<'a>, out: &'a mut Vec<u8>) -> Result<Self, Error> {
        Self::with_fields(head, &[], out)
    }

    /// As [`Body::new`], with more fields behind.
    pub fn with_fields(head: &Head<'a>, more: &[(&str, &str)], out: &'a mut Vec<u8>) -> Result<Self, Error> {
        let fine = |b: &str| (1..=60).contains(&b.len()) && b.bytes().all(|b| b.is_ascii_alphanumeric());
        if !fine(head.boundary) {
            return Err(Error::Compose("the boundary"));
        }
        write_head(head, more, out)?;
        Ok(Self { out, boundary: head.boundary, open: Vec::new(), count: 0 })
    }

    /// Begins a multipart. `params` go behind the type.
    pub fn open(&mut self, subtype: &str, params: &str) {
        self.delimit();
        self.count += 1;
        self.open.push(self.count);
        let boundary = self.name(self.count);
        self.line(&format!("Content-Type: multipart/{subtype}{params};\r\n boundary=\"{boundary}\"\r\n\r\n"));
    }

    /// Ends the innermost multipart.
    pub fn close(&mut self) {
        if let Some(number) = self.open.pop() {
            let boundary = self.name(number);
            self.line(&format!("--{boundary}--\r\n"));
        }
    }

    /// Ends all that is open.
    pub fn finish(mut self) {
        while !self.open.is_empty() {
            self.close();
        }
    }

    /// A text part in UTF-8.
    pub fn text(&mut self, subtype: &str, text: &str) {
        self.delimit();
        // A boundary holds `=_`, which can't be in quoted-printable or base64.
        let plain = encode::seven_bit(text).filter(|_| !text.contains("--=_"));
        let encoding = if plain.is_some() { "7bit" } else { "quoted-printable" };
        self.line(&format!(
            "Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
        ));
        let body = plain.unwrap_or_else(|| encode::quoted_printable(text));
        self.out.extend_from_slice(&body);
    }

    /// A part of ours that is ASCII in short lines.
    pub fn raw(&mut self, fields: &str, body: &str) {
        self.delimit();
        self.line(fields);
        self.line("\r\n");
        self.line(body);
    }

    /// A file.
    pub fn attachment(&mut self, attachment: &Attachment<'_>) {
        self.delimit();
        let name = crate::names::safe(attachment.name);
        let lower = content::parse(attachment.content_type).word;
        // A nested message may not be base64 (RFC 2046 section 5.2.1), and nothing else is sure to pass unharmed.
        let kind = match content::split_type(&lower) {
            Some((kind, _)) if kind != "multipart" && kind != "message" && lower.is_ascii() => lower.as_str(),
            _ => "application/octet-stream",
        };
        let parameter = encode::parameter("name", &name);
        self.line(&format!("Content-Type: {kind}{parameter}\r\nContent-Transfer-Encoding: base64\r\n"));
        let disposition = if attachment.cid.is_some() { "inline" } else { "attachment" };
        let parameter = encode::parameter("filename", &name);
        self.line(&format!("Content-Disposition: {disposition}{parameter}\r\n"));
        if let Some(cid) = attachment.cid {
            let cid: String =
                cid.chars().filter(|c| c.is_ascii_graphic() && !"<>".contains(*c)).take(200).collect();
            self.line(&format!("Content-ID: <{cid}>\r\n"));
        }
        self.line("\r\n");
        self.out.extend_from_slice(&encode::base64_lines(attachment.data));
    }

    /// The boundary line in front of a part, if it is one of several.
    fn delimit(&mut self) {
        if let Some(&number) = self.open.last() {
            let boundary = self.name(number);
            self.line(&format!("--{boundary}\r\n"));
        }
    }

    fn name(&self, number: usize) -> String {
        format!("=_{}_{number}", self.boundary)
    }

    fn line(&mut self, line: &str) {
        self.out.extend_from_slice(line.as_bytes());
    }
}

fn write_head(head: &Head<'_>, more: &[(&str, &str)], out: &mut Vec<u8>) -> Result<(), Error> {
    let mut field = |name: &str, value: &str| out.extend_from_slice(encode::header(name, value).as_bytes());
    field("Date", &head.date.rfc5322());
    field("From", &person(&head.from));
    if let Some(reply_to) = &head.reply_to {
        field("Reply-To", &person(reply_to));
    }
    if !head.to.is_empty() {
        field("To", &people(head.to));
    }
    if !head.cc.is_empty() {
        field("Cc", &people(head.cc));
    }
    field("Subject", &words::encode(head.subject));
    field("Message-ID", id(head.message_id)?);
    if let Some(parent) = head.in_reply_to {
        field("In-Reply-To", id(parent)?);
    }
    if !head.references.is_empty() {
        let ids = head.references.iter().map(|r| id(r)).collect::<Result<Vec<_>, _>>()?;
        field("References", &ids.join(" "));
    }
    for (name, value) in more {
        field(name, value);
    }
    field("MIME-Version", "1.0");
    Ok(())
}

/// `Name <address>`
pub(crate) fn person(person: &Person<'_>) -> String {
    let address = person.address.to_string();
    match person.name.map(words::phrase).filter(|name| !name.is_empty()) {
        Some(name) => format!("{name} <{address}>"),
        None => address,
    }
}

fn people(people: &[Person<'_>]) -> String {
    people.iter().map(person).collect::<Vec<_>>().join(", ")
}

/// `msg-id`.
fn id(id: &str) -> Result<&str, Error> {
    match id.strip_prefix('<').and_then(|i| i.strip_suffix('>')) {
        Some(inner) if crate::threads::is_id(inner) => Ok(id),
        _ => Err(Error::Compose("the Message-ID")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::structure::Nested;
    use crate::{guard, scan};

    fn compose(subject: &str, text: &str, html: Option<&str>, attachments: &[Attachment<'_>]) -> Vec<u8> {
        let from = Address::parse("alice@clinic.test").unwrap();
        let to = Address::parse("\"pat smith\"@outside.example").unwrap();
        let head = Head {
            from: Person { name: Some("Alice \u{c9}vora, \"MD\""), address: &from },
            to: &[Person { name: None, address: &to }],
            cc: &[],
            reply_to: None,
            subject,
            date: Time::from_seconds(1_795_300_822),
            message_id: "<new@clinic.test>",
            in_reply_to: Some("<old@outside.example>"),
            references: &["<first@x>".into(), "<old@outside.example>".into()],
            boundary: "abcdefghijklmnopqrstuvwxyz",
        };
        mail(&Mail { head, text, html, attachments }).unwrap()
    }

    #[test]
    fn a_plain_mail() {
        let bytes = compose("Hello", "Dear Pat,\n\nall is well.\n", None, &[]);
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "Date: Sat, 21 Nov 2026 22:40:22 +0000\r\n\
             From: =?utf-8?B?QWxpY2Ugw4l2b3JhLCAiTUQi?= <alice@clinic.test>\r\n\
             To: \"pat smith\"@outside.example\r\n\
             Subject: Hello\r\n\
             Message-ID: <new@clinic.test>\r\n\
             In-Reply-To: <old@outside.example>\r\n\
             References: <first@x> <old@outside.example>\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: 7bit\r\n\
             \r\n\
             Dear Pat,\r\n\
             \r\n\
             all is well.\r\n"
        );
    }

    #[test]
    fn all_kinds_of_parts() {
        let png = Attachment { name: "a.png", content_type: "image/png", cid: Some("pic@x"), data: b"png" };
        let pdf = Attachment {
            name: "r\u{e9}sum\u{e9}.pdf",
            content_type: "application/pdf",
            cid: None,
            data: &[0; 100],
        };
        let eml = Attachment { name: "x.eml", content_type: "message/rfc822", cid: None, data: b"From: a" };
        let bytes = compose("\u{e9}", "t\u{e9}xt", Some("<img src=\"cid:pic@x\">"), &[png, pdf, eml]);
        let scanned = scan(&bytes);
        assert_eq!(scanned.faults, crate::Faults::NONE);
        assert_eq!(scanned.preview, "t\u{e9}xt");
        let display = scanned.structure.display();
        assert_eq!(display.text.len(), 1);
        assert_eq!(display.html.len(), 1);
        assert_eq!(display.inline[0].part.cid(), Some("pic@x"));
        let names: Vec<_> = display.attachments.iter().filter_map(|a| a.part.file_name()).collect();
        assert_eq!(names, ["r\u{e9}sum\u{e9}.pdf", "x.eml", "a.png"]);
        let part = display.attachments[0].part;
        assert_eq!(crate::decode::bytes(part.transfer(), part.body.of(&bytes)), [0; 100]);
        assert!(matches!(display.attachments[1].part.nested, Nested::Leaf));
        assert_eq!(scanned.envelope.ancestors(), ["<first@x>", "<old@outside.example>"]);
    }

    #[test]
    fn ids_and_boundaries_are_checked() {
        for bad in ["", "x", "<>", "<a b>", "<a>\r\nBcc: x", "<a\u{e9}>"] {
            assert!(id(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn ids_that_were_read_can_be_written(value in "[<>a@ \r\n\u{e9}]{0,40}") {
            for read in crate::threads::message_ids(value.as_bytes()) {
                prop_assert!(id(&read).is_ok());
            }
        }

        #[test]
        fn nothing_breaks_out(subject in any::<String>(), text in any::<String>(), html in any::<Option<String>>(), name in any::<String>(), kind in "\\PC{0,20}", cid in any::<Option<String>>(), data in any::<Vec<u8>>()) {
            let file = Attachment { name: &name, content_type: &kind, cid: cid.as_deref(), data: &data };
            let bytes = compose(&subject, &text, html.as_deref(), &[file]);
            prop_assert_eq!(guard::check(&bytes), Ok(()));
            prop_assert!(bytes.is_ascii());
            let scanned = scan(&bytes);
            prop_assert!(!scanned.faults.intersects(crate::Faults::BAD_HEADER_LINE));
            let leaves = scanned.structure.leaves();
            prop_assert_eq!(leaves.len(), 2 + usize::from(html.is_some()));
            let part = leaves.last().unwrap().part;
            prop_assert_eq!(crate::decode::bytes(part.transfer(), part.body.of(&bytes)), data);
            let fields = crate::headers::fields(&bytes).count();
            prop_assert!(fields == 9, "{}", fields);
        }
    }
}
