//! What a sender asks for in the message itself: `[secure]` in the subject, the opt-out tag, `X-Sealpost-*` headers
//! (S22). All of it is removed before the message leaves, and means nothing on what comes from outside.

use std::borrow::Cow;
use std::time::Duration;

use sealpost_model::Fault;

use crate::headers::{self, Field};
use crate::words;

/// The tag that raises a message to pickup.
pub const SECURE: &str = "[secure]";

/// The opt-out tag where nobody configured another.
pub const NO_PHI: &str = "[no-phi]";

/// A method that a sender can ask for; it raises, never lowers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Method {
    /// The message waits here for its recipient.
    Pickup,
    /// S/MIME to a known certificate.
    Smime,
    /// OpenPGP to a known key.
    Openpgp,
    /// Verified TLS.
    Tls,
}

impl Method {
    /// Its word in the header.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pickup => "pickup",
            Self::Smime => "smime",
            Self::Openpgp => "openpgp",
            Self::Tls => "tls",
        }
    }
}

/// All that a message asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tags {
    /// `[secure]` stands in the subject.
    pub secure: bool,
    /// The opt-out tag stands in the subject. Policy says whether it counts.
    pub opt_out: bool,
    /// `X-Sealpost-Method`.
    pub method: Option<Method>,
    /// `X-Sealpost-Expire`: how long a pickup copy lives.
    pub expire: Option<Duration>,
    /// `X-Sealpost-Code: required`: the recipient needs a code even if known.
    pub code: bool,
}

/// Why a tag says nothing valid. The message must be refused: its sender relies on what they asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TagError {
    /// An unknown method.
    #[error("X-Sealpost-Method must be pickup, smime, openpgp or tls")]
    Method,
    /// No time span, or one outside of 1 hour to 730 days.
    #[error("X-Sealpost-Expire must be a time from 1h to 730d, such as 12h, 7d or 2w")]
    Expire,
    /// Anything but `required`.
    #[error("X-Sealpost-Code can only be required")]
    Code,
    /// The same header twice.
    #[error("an X-Sealpost header stands more than once in the message")]
    Twice,
    /// A header that doesn't exist, most likely a slip of the pen.
    #[error("the only X-Sealpost headers are Method, Expire and Code")]
    Unknown,
}

impl TagError {
    /// Whose fault it is.
    pub const fn fault(self) -> Fault {
        Fault::Caller
    }
}

/// Reads the tags of a submitted message from its header. `opt_out` is the domain's opt-out tag, brackets included.
///
/// # Errors
/// A value that says nothing valid.
pub fn read(header: &[u8], opt_out: &str) -> Result<Tags, TagError> {
    let mut tags = Tags::default();
    for field in headers::fields(header) {
        if field.is("Subject") {
            let subject = field.decoded();
            tags.secure |= find(&subject, SECURE).is_some();
            tags.opt_out |= find(&subject, opt_out).is_some();
        } else if field.is("X-Sealpost-Method") {
            let method = method(field.text().trim())?;
            if tags.method.replace(method).is_some() {
                return Err(TagError::Twice);
            }
        } else if field.is("X-Sealpost-Expire") {
            let expire = span(field.text().trim()).ok_or(TagError::Expire)?;
            if tags.expire.replace(expire).is_some() {
                return Err(TagError::Twice);
            }
        } else if field.is("X-Sealpost-Code") {
            if !field.text().trim().eq_ignore_ascii_case("required") {
                return Err(TagError::Code);
            }
            if std::mem::replace(&mut tags.code, true) {
                return Err(TagError::Twice);
            }
        } else if is_ours(&field) {
            return Err(TagError::Unknown);
        }
    }
    Ok(tags)
}

/// The header without any of it: `X-Sealpost-*` fields gone, the tags cut out of the subject; every other byte stays.
pub fn remove<'a>(header: &'a [u8], opt_out: &str) -> Cow<'a, [u8]> {
    let tags = [SECURE, opt_out];
    let touched = |field: &Field<'_>| {
        field.is("Subject") && {
            let subject = field.decoded();
            tags.iter().any(|tag| find(&subject, tag).is_some())
        }
    };
    if !headers::fields(header).any(|f| is_ours(&f) || touched(&f)) {
        return Cow::Borrowed(header);
    }
    let mut out = Vec::with_capacity(header.len());
    let mut seen = 0;
    for field in headers::fields(header) {
        seen += field.raw.len();
        if touched(&field) {
            out.extend_from_slice(&without_tags(&field, &tags));
        } else if !is_ours(&field) {
            out.extend_from_slice(field.raw);
        }
    }
    out.extend_from_slice(header.get(seen..).unwrap_or_default());
    Cow::Owned(out)
}

/// The header without `X-Sealpost-*` fields and nothing else changed: for what comes from outside.
pub fn remove_headers(header: &[u8]) -> Cow<'_, [u8]> {
    headers::remove(header, is_ours)
}

/// A subject without tags, for people.
pub fn clean_subject(subject: &str, opt_out: &str) -> String {
    strip(subject, &[SECURE, opt_out]).trim().to_owned()
}

/// Reads `12h`, `7d`, `2w`: 1 hour to 730 days (S32).
pub fn span(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let hours = match unit {
        "h" | "H" => 1,
        "d" | "D" => 24,
        "w" | "W" => 168,
        _ => return None,
    };
    if number.is_empty() || number.len() > 5 || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let hours = number.parse::<u64>().ok()? * hours;
    (1..=730 * 24).contains(&hours).then(|| Duration::from_secs(hours * 3600))
}

fn method(text: &str) -> Result<Method, TagError> {
    [Method::Pickup, Method::Smime, Method::Openpgp, Method::Tls]
        .into_iter()
        .find(|m| m.word().eq_ignore_ascii_case(text))
        .ok_or(TagError::Method)
}

/// Whether a field has a name of ours.
pub fn is_ours(field: &Field<'_>) -> bool {
    const PREFIX: &[u8] = b"X-Sealpost-";
    field.name.get(..PREFIX.len()).is_some_and(|p| p.eq_ignore_ascii_case(PREFIX))
}

/// Where `tag` stands in `text`, letters' case apart. An empty tag is nowhere.
fn find(text: &str, tag: &str) -> Option<usize> {
    if tag.is_empty() {
        return None;
    }
    let last = text.len().checked_sub(tag.len())?;
    (0..=last).find(|&at| text.get(at..at + tag.len()).is_some_and(|t| t.eq_ignore_ascii_case(tag)))
}

/// A text without the tags, each with one of the spaces around it; tags that form when one is cut out go too. One pass,
/// because a subject may be long.
fn strip(text: &str, tags: &[&str; 2]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut behind = false;
    for c in text.chars() {
        if std::mem::take(&mut behind) {
            if c == ' ' {
                continue;
            }
            if matches!(c, '\r' | '\n') && out.ends_with(' ') {
                out.pop();
            }
        }
        out.push(c);
        for tag in tags {
            let start = out.len().checked_sub(tag.len());
            if let Some(start) = start.filter(|_| !tag.is_empty())
                && out.as_bytes().get(start..).is_some_and(|t| t.eq_ignore_ascii_case(tag.as_bytes()))
            {
                out.truncate(start);
                behind = true;
            }
        }
    }
    if behind && out.ends_with(' ') {
        out.pop();
    }
    out
}

/// The subject field again: cut in place where the tag stands there as it is, else written anew.
fn without_tags(field: &Field<'_>, tags: &[&str; 2]) -> Vec<u8> {
    if let Ok(raw) = std::str::from_utf8(field.raw) {
        let raw = strip(raw, tags);
        let fine = headers::fields(raw.as_bytes()).next().is_some_and(|f| {
            let subject = f.decoded();
            f.raw.len() == raw.len()
                && f.is("Subject")
                && tags.iter().all(|tag| find(&subject, tag).is_none())
        });
        if fine {
            return raw.into_bytes();
        }
    }
    let subject = strip(&field.decoded(), tags);
    crate::encode::header("Subject", &words::encode(subject.trim())).into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all(header: &str) -> Result<Tags, TagError> {
        read(header.as_bytes(), NO_PHI)
    }

    #[test]
    fn reads() {
        assert_eq!(read_all("Subject: hello\r\n\r\nX-Sealpost-Method: no\r\n"), Ok(Tags::default()));
        let tags = read_all(
            "Subject: Re: [SECURE] x\r\nX-Sealpost-Method: Pickup\r\nx-sealpost-expire: 7d\r\nX-Sealpost-Code: required\r\n\r\n",
        )
        .unwrap();
        assert!(tags.secure && !tags.opt_out && tags.code);
        assert_eq!(tags.method, Some(Method::Pickup));
        assert_eq!(tags.expire, Some(Duration::from_secs(7 * 86400)));
        assert!(read_all("Subject: =?utf-8?Q?=5Bno-phi=5D_=C3=A9?=\r\n").unwrap().opt_out);
        assert!(read(b"Subject: [offen] x\r\n", "[offen]").unwrap().opt_out);
        assert!(!read(b"Subject: x\r\n", "").unwrap().opt_out);
    }

    #[test]
    fn refuses() {
        for (header, error) in [
            ("X-Sealpost-Method: none\r\n", TagError::Method),
            ("X-Sealpost-Method: \r\n", TagError::Method),
            ("X-Sealpost-Expire: soon\r\n", TagError::Expire),
            ("X-Sealpost-Expire: 0d\r\n", TagError::Expire),
            ("X-Sealpost-Expire: 731d\r\n", TagError::Expire),
            ("X-Sealpost-Expire: 7\r\n", TagError::Expire),
            ("X-Sealpost-Expire: -7d\r\n", TagError::Expire),
            ("X-Sealpost-Expire: 99999999999999999999d\r\n", TagError::Expire),
            ("X-Sealpost-Expire: 7\u{e9}\r\n", TagError::Expire),
            ("X-Sealpost-Code: no\r\n", TagError::Code),
            ("X-Sealpost-Methode: pickup\r\n", TagError::Unknown),
            ("X-Sealpost-Method: tls\r\nX-Sealpost-Method: tls\r\n", TagError::Twice),
        ] {
            assert_eq!(read_all(header), Err(error), "{header}");
        }
    }

    #[test]
    fn removes() {
        for (header, left) in [
            ("A: 1\r\n\r\n", "A: 1\r\n\r\n"),
            ("X-SEALPOST-Any: 1\r\n 2\r\nA: 1\r\n\r\n", "A: 1\r\n\r\n"),
            ("Subject: [secure] x\r\nA:  1\r\n\r\n", "Subject: x\r\nA:  1\r\n\r\n"),
            ("subject: Re: x [Secure]\r\n\r\n", "subject: Re: x\r\n\r\n"),
            ("Subject: [secure]\r\n\r\n", "Subject:\r\n\r\n"),
            ("Subject: [secure][no-phi] x\r\n", "Subject: x\r\n"),
            ("Subject: =?utf-8?Q?[secure]_=C3=A9?=\r\n", "Subject: =?utf-8?Q?_=C3=A9?=\r\n"),
            ("Subject: =?utf-8?Q?=5Bsecure=5D_=C3=A9?=\r\n", "Subject: =?utf-8?B?w6k=?=\r\n"),
            ("Subject: [sec[secure]ure] x\r\n", "Subject: x\r\n"),
        ] {
            assert_eq!(String::from_utf8_lossy(&remove(header.as_bytes(), NO_PHI)), left, "{header}");
        }
        assert_eq!(
            &remove_headers(b"Subject: [secure]\r\nX-Sealpost-Code: x\r\n\r\n")[..],
            b"Subject: [secure]\r\n\r\n"
        );
        assert_eq!(clean_subject("[secure] a [no-phi] b", NO_PHI), "a b");
    }

    proptest! {
        #[test]
        fn nothing_is_left(header in "(Subject:|X-Sealpost-Code:|\\[secure\\]|\\[sec|ure\\]|=\\?utf-8\\?Q\\?|\\?=|=5B|\r\n|\r\n | |\\PC){0,20}") {
            let left = remove(header.as_bytes(), NO_PHI);
            for f in headers::fields(&left) {
                prop_assert!(!is_ours(&f));
                if f.is("Subject") { prop_assert!(find(&f.decoded(), SECURE).is_none()); }
            }
        }
    }
}
