//! The fields of IMAP's ENVELOPE (RFC 9051 section 7.5.2), read once from a header and stored beside the message.

use mail_parser::DateTime;
use sealpost_model::Time;
use serde::{Deserialize, Serialize};

use crate::address::{EnvelopeAddress, parse_address_list};
use crate::{Error, headers, structure, threads, words};

/// Header fields as they stand in the message: unfolded, encoded words untouched. The methods decode.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EnvelopeFields {
    /// `Date`.
    pub date: Option<String>,
    /// `Subject`.
    pub subject: Option<String>,
    /// `From`.
    pub from: Vec<EnvelopeAddress>,
    /// `Sender`; empty when there is none (IMAP then shows `From`: see [`EnvelopeFields::sender_or_from`]).
    pub sender: Vec<EnvelopeAddress>,
    /// `Reply-To`; empty when there is none (see [`EnvelopeFields::reply_to_or_from`]).
    pub reply_to: Vec<EnvelopeAddress>,
    /// `To`.
    pub to: Vec<EnvelopeAddress>,
    /// `Cc`.
    pub cc: Vec<EnvelopeAddress>,
    /// `Bcc`.
    pub bcc: Vec<EnvelopeAddress>,
    /// `In-Reply-To`.
    pub in_reply_to: Option<String>,
    /// `Message-ID`.
    pub message_id: Option<String>,
    /// `References`; no part of IMAP's ENVELOPE, kept for threads.
    pub references: Option<String>,
}

impl EnvelopeFields {
    /// Reads a header. Where a field stands more than once the first counts; `To`, `Cc` and `Bcc` add up.
    pub fn read(header: &[u8]) -> Self {
        let mut envelope = Self::default();
        for field in headers::fields(header) {
            envelope.take(&field);
        }
        envelope
    }

    fn take(&mut self, field: &headers::Field<'_>) {
        fn first(slot: &mut Option<String>, field: &headers::Field<'_>) {
            if slot.is_none() {
                *slot = Some(field.text());
            }
        }
        fn list(slot: &mut Vec<EnvelopeAddress>, field: &headers::Field<'_>) {
            if slot.is_empty() {
                *slot = parse_address_list(field.value);
            }
        }
        fn more(slot: &mut Vec<EnvelopeAddress>, field: &headers::Field<'_>) {
            if slot.is_empty() {
                *slot = parse_address_list(field.value);
            } else {
                slot.extend(parse_address_list(field.value));
                slot.truncate(crate::address::MAX_ADDRESSES);
            }
        }
        let mut name = [0_u8; 12];
        let Some(lower) = name.get_mut(..field.name.len()) else { return };
        lower.copy_from_slice(field.name);
        lower.make_ascii_lowercase();
        match &*lower {
            b"date" => first(&mut self.date, field),
            b"subject" => first(&mut self.subject, field),
            b"from" => list(&mut self.from, field),
            b"sender" => list(&mut self.sender, field),
            b"reply-to" => list(&mut self.reply_to, field),
            b"to" => more(&mut self.to, field),
            b"cc" => more(&mut self.cc, field),
            b"bcc" => more(&mut self.bcc, field),
            b"in-reply-to" => first(&mut self.in_reply_to, field),
            b"message-id" => first(&mut self.message_id, field),
            b"references" => first(&mut self.references, field),
            _ => {}
        }
    }

    /// `Sender`, or `From` when there is none: what ENVELOPE shows.
    pub fn sender_or_from(&self) -> &[EnvelopeAddress] {
        if self.sender.is_empty() { &self.from } else { &self.sender }
    }

    /// `Reply-To`, or `From` when there is none: what ENVELOPE shows and where an answer goes.
    pub fn reply_to_or_from(&self) -> &[EnvelopeAddress] {
        if self.reply_to.is_empty() { &self.from } else { &self.reply_to }
    }

    /// The subject for people, decoded; empty when there is none.
    pub fn subject_text(&self) -> String {
        words::decode(self.subject.as_deref().unwrap_or_default())
    }

    /// When it says that it was sent; `None` when it says nothing that can be read.
    pub fn sent(&self) -> Option<Time> {
        parse_date(self.date.as_deref()?)
    }

    /// The Message-ID with its angle brackets, if it has one.
    pub fn id(&self) -> Option<String> {
        threads::message_ids(self.message_id.as_deref()?.as_bytes()).into_iter().next()
    }

    /// The messages before it in its thread, oldest first: `References`, or else `In-Reply-To`.
    pub fn ancestors(&self) -> Vec<String> {
        let references = threads::message_ids(self.references.as_deref().unwrap_or_default().as_bytes());
        if references.is_empty() {
            return threads::message_ids(self.in_reply_to.as_deref().unwrap_or_default().as_bytes());
        }
        references
    }

    /// As it is stored: a format byte, then postcard.
    pub fn encode(&self) -> Vec<u8> {
        structure::encode(self)
    }

    /// Reads what [`EnvelopeFields::encode`] wrote.
    ///
    /// # Errors
    /// [`Error::Stored`] when the bytes are anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        structure::decode(bytes)
    }
}

/// Reads a `Date` field (RFC 5322 section 3.3, obsolete forms too).
pub fn parse_date(text: &str) -> Option<Time> {
    if text.len() > 200 {
        return None;
    }
    // The line end tells the parser that the value is over.
    let date = DateTime::parse_rfc822(&format!("{}\n", text.trim())).filter(DateTime::is_valid)?;
    Some(Time::from_seconds(date.to_timestamp()))
}

/// Headers are PHI: `Debug` tells only how much there is.
impl std::fmt::Debug for EnvelopeFields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EnvelopeFields")
            .field("from", &self.from.len())
            .field("to", &self.to.len())
            .field("cc", &self.cc.len())
            .field("bcc", &self.bcc.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_and_stores() {
        let header = b"Date: Sat, 21 Nov 2026 22:40:22 +0100\r\nSubject: =?utf-8?Q?=C3=A9?=\r\nFrom: A <a@b.c>\r\nTo: x@y.z\r\nto: g: u@v.w;\r\nMessage-Id: <1@b.c>\r\nReferences: <0@b.c>\r\n <z@b.c>\r\nFrom: evil@x.y\r\n\r\n";
        let e = EnvelopeFields::read(header);
        assert_eq!(e.subject.as_deref(), Some("=?utf-8?Q?=C3=A9?="));
        assert_eq!(e.subject_text(), "\u{e9}");
        assert_eq!(e.from.len(), 1);
        assert_eq!(e.sender_or_from()[0].email().as_deref(), Some("a@b.c"));
        assert_eq!(e.to.len(), 4);
        assert_eq!(e.id().as_deref(), Some("<1@b.c>"));
        assert_eq!(e.ancestors(), ["<0@b.c>", "<z@b.c>"]);
        assert_eq!(e.sent().map(Time::rfc3339).as_deref(), Some("2026-11-21T21:40:22.000Z"));
        assert_eq!(EnvelopeFields::decode(&e.encode()).unwrap(), e);
        assert!(EnvelopeFields::decode(b"").is_err());
        assert!(EnvelopeFields::decode(&[2, 0]).is_err());
        let mut longer = e.encode();
        longer.push(0);
        assert!(EnvelopeFields::decode(&longer).is_err());
    }

    #[test]
    fn dates() {
        for (text, time) in [
            ("Fri, 21 Nov 1997 09:55:06 -0600", Some("1997-11-21T15:55:06.000Z")),
            ("21 Nov 97 09:55:06 GMT", Some("1997-11-21T09:55:06.000Z")),
            ("Thu, 13 Feb 1969 23:32:00 -0330", Some("1969-02-14T03:02:00.000Z")),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(parse_date(text).map(Time::rfc3339).as_deref(), time, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes(header in any::<Vec<u8>>(), date in "\\PC{0,60}") {
            EnvelopeFields::read(&header);
            parse_date(&date);
        }
    }
}
