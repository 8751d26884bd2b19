//! Reads and trims a message's header while it arrives.
//!
//! The stored bytes are what came, with our trace in front. What must not be shown or sent on (header names of ours
//! from outside, tags in a subject, Bcc) is marked as hidden: readers jump over it, the journal keeps it.

use std::ops::Range;
use std::time::Duration;

use sealpost_message::{headers, parse_address_list, tags, threads};
use sealpost_model::Address;
use sealpost_policy::Reason;

use crate::{Origin, author};

/// What a header says, as far as delivery wants to know.
#[derive(Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Facts {
    /// `<...>`, as written.
    pub message_id: String,
    /// The subject for people, without tags.
    pub subject: String,
    /// The addresses of the From field.
    pub from: Vec<String>,
    /// The addresses of To and Cc, which every recipient may see.
    pub visible: Vec<String>,
    /// References and In-Reply-To of the message, oldest first.
    pub references: Vec<String>,
    /// What the sender asked for.
    pub tags: Tags,
}

/// What a sender asked for by tags in the subject or by header fields. Asking raises, it never lowers.
#[derive(Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tags {
    /// `[secure]` or `X-Sealpost-Method: pickup`.
    pub pickup: bool,
    /// `X-Sealpost-Expire`: how long a waiting message waits.
    pub expire: Option<Duration>,
    /// `X-Sealpost-Code: required`: ask for the code every time.
    pub code: bool,
}

/// A header, read.
pub(crate) struct Head {
    pub(crate) facts: Facts,
    /// Ranges of the header that are hidden, in order, each with what is shown in its place.
    pub(crate) edits: Vec<(Range<usize>, Vec<u8>)>,
    /// Fields to put in front, each with CR LF.
    pub(crate) added: String,
    pub(crate) hops: usize,
    /// How many From fields there are.
    pub(crate) from_fields: usize,
    /// The Sender field's address.
    pub(crate) senders: Vec<Address>,
}

/// Reads a header that came through `origin`. `id` and `date` are used where a submission lacks them (RFC 6409
/// section 8).
///
/// # Errors
/// [`Reason::TagInvalid`]: the sender relies on what they asked for.
pub(crate) fn read(header: &[u8], origin: Origin, id: &str, date: &str) -> Result<Head, Reason> {
    let own = matches!(origin, Origin::Submission { .. } | Origin::Device { .. });
    let mut head = Head {
        facts: Facts::default(),
        edits: Vec::new(),
        added: String::new(),
        hops: 0,
        from_fields: 0,
        senders: Vec::new(),
    };
    if own {
        head.facts.tags = asked(header)?;
    }
    let mut dated = false;
    let mut at = 0;
    for field in headers::fields(header) {
        let whole = at..at + field.raw.len();
        at = whole.end;
        if field.is("Received") {
            head.hops += 1;
        } else if field.is("Subject") {
            head.facts.subject = field.decoded();
            if own {
                head.facts.subject = tags::clean_subject(&head.facts.subject, tags::NO_PHI);
                let cleaned = tags::remove(field.raw, tags::NO_PHI);
                if cleaned != field.raw {
                    head.edits.push((whole, cleaned.into_owned()));
                }
            }
        } else if field.is("Message-ID") {
            head.facts.message_id = field.text();
        } else if field.is("Date") {
            dated = true;
        } else if field.is("From") {
            head.from_fields += 1;
            if own {
                let authors = author::mailbox_list(field.value).ok_or(Reason::FromFieldInvalid)?;
                head.facts.from.extend(authors.iter().map(ToString::to_string));
                continue;
            }
            let authors = parse_address_list(field.value).into_iter();
            head.facts.from.extend(authors.map(|a| a.address().map_or(String::new(), |a| a.to_string())));
        } else if own && field.is("Sender") {
            // Shown by some programs as the author's agent: held to the same rule, and to one address.
            let senders = author::mailbox_list(field.value).filter(|s| s.len() == 1);
            head.senders.extend(senders.ok_or(Reason::FromFieldInvalid)?);
        } else if own && (field.name.is_empty() || !field.name.iter().all(u8::is_ascii_graphic)) {
            return Err(Reason::HeaderInvalid);
        } else if field.is("To") || field.is("Cc") {
            head.facts.visible.extend(addresses(field.value));
        } else if field.is("References") || field.is("In-Reply-To") {
            for id in threads::message_ids(field.value) {
                if !head.facts.references.contains(&id) {
                    head.facts.references.push(id);
                }
            }
        } else if tags::is_ours(&field)
            || field.is("Return-Path")
            || (own && (field.is("Bcc") || field.is("Resent-Bcc")))
        {
            head.edits.push((whole, Vec::new()));
        }
    }
    if head.facts.message_id.is_empty() {
        id.clone_into(&mut head.facts.message_id);
        if own {
            head.added.push_str(&headers::field("Message-ID", id));
        }
    }
    if own && !dated {
        head.added.push_str(&headers::field("Date", date));
    }
    Ok(head)
}

/// What a submitted message asks for. A method that this server does not have is refused, never passed over.
fn asked(header: &[u8]) -> Result<Tags, Reason> {
    let tags = tags::read(header, tags::NO_PHI).map_err(|_| Reason::TagInvalid)?;
    let pickup = match tags.method {
        None | Some(tags::Method::Tls) => tags.secure,
        Some(tags::Method::Pickup) => true,
        Some(tags::Method::Smime | tags::Method::Openpgp) => return Err(Reason::TagInvalid),
    };
    Ok(Tags { pickup: pickup || tags.code, expire: tags.expire, code: tags.code })
}

fn addresses(value: &[u8]) -> impl Iterator<Item = String> {
    parse_address_list(value).into_iter().filter_map(|a| a.address()).map(|a| a.to_string())
}

#[cfg(test)]
mod tests {
    use sealpost_model::{Id, PersonId, TenantId};

    use super::*;

    fn own() -> Origin {
        Origin::Submission { tenant: TenantId::from_raw(1), person: PersonId::from_raw(2) }
    }

    fn shown(header: &str, origin: Origin) -> (Head, String) {
        let head =
            read(header.as_bytes(), origin, "<id@here>", "Sun, 22 Nov 2026 02:00:22 +0000").expect("read");
        let (mut out, mut at) = (head.added.clone(), 0);
        for (range, instead) in &head.edits {
            out.push_str(&header[at..range.start]);
            out.push_str(std::str::from_utf8(instead).expect("ASCII"));
            at = range.end;
        }
        out.push_str(&header[at..]);
        (head, out)
    }

    #[test]
    fn tags_raise_and_are_not_shown() {
        let header = "Message-ID: <a@b>\r\nDate: x\r\nSubject: [secure] Results\r\nX-Sealpost-Expire: 7d\r\nBcc: h@i.j\r\n\r\n";
        let (head, out) = shown(header, own());
        assert!(head.facts.tags.pickup);
        assert_eq!(head.facts.tags.expire, Some(Duration::from_secs(7 * 86_400)));
        assert_eq!(head.facts.subject, "Results");
        assert_eq!(out, "Message-ID: <a@b>\r\nDate: x\r\nSubject: Results\r\n\r\n");
    }

    #[test]
    fn what_comes_from_outside_asks_for_nothing() {
        let inbound = Origin::Inbound { tenant: TenantId::from_raw(1) };
        let header =
            "Subject: [secure] x\r\nX-Sealpost-Method: pickup\r\nReturn-Path: <e@f>\r\nBcc: h@i.j\r\n\r\n";
        let (head, out) = shown(header, inbound);
        assert!(head.facts.tags == Tags::default());
        assert_eq!(out, "Subject: [secure] x\r\nBcc: h@i.j\r\n\r\n");
    }

    #[test]
    fn a_method_that_is_not_there_is_refused() {
        for value in ["smime", "openpgp", "pigeon"] {
            let header = format!("X-Sealpost-Method: {value}\r\n\r\n");
            assert_eq!(read(header.as_bytes(), own(), "", "").err(), Some(Reason::TagInvalid), "{value}");
        }
    }

    #[test]
    fn a_submission_gets_what_it_lacks() {
        let (head, out) = shown("From: a@b.c\r\n\r\n", own());
        assert!(out.starts_with("Message-ID: <id@here>\r\nDate: Sun"), "{out}");
        assert_eq!((head.from_fields, &head.facts.from[..]), (1, &["a@b.c".to_owned()][..]));
    }
}
