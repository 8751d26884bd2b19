//! Header fields of a message as bytes (RFC 5322 section 2.2): to look at, to count, to take out, to put in front;
//! whatever isn't asked for stays byte for byte.

use std::borrow::Cow;
use std::net::IpAddr;

use sealpost_model::Time;

use crate::{decode, encode, words};

/// More `Received` fields than this is a loop (RFC 5321 section 6.3 wants at least 100).
pub const MAX_HOPS: usize = 100;

/// One field of a header.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name as written; empty for a line that is no field at all.
    pub name: &'a [u8],
    /// Behind the colon: folded, white space and line ends included.
    pub value: &'a [u8],
    /// The whole field, continuation lines and line ends included.
    pub raw: &'a [u8],
}

impl Field<'_> {
    /// Whether it has this name, letters' case apart.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The value unfolded and trimmed, encoded words as they are. Bytes that aren't UTF-8 are read as windows-1252.
    pub fn text(&self) -> String {
        unfold(self.value)
    }

    /// The value for people: unfolded, encoded words decoded.
    pub fn decoded(&self) -> String {
        words::decode(&self.text())
    }
}

/// The fields of a header, up to the blank line behind it or the end of `header`.
pub fn fields(header: &[u8]) -> Fields<'_> {
    Fields { rest: header }
}

/// Iterates over the fields of a header.
#[derive(Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        if self.rest.is_empty() || self.rest.starts_with(b"\n") || self.rest.starts_with(b"\r\n") {
            self.rest = &[];
            return None;
        }
        let mut end = line_end(self.rest);
        while matches!(self.rest.get(end), Some(b' ' | b'\t')) {
            end += line_end(self.rest.get(end..).unwrap_or_default());
        }
        let (raw, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(split(raw))
    }
}

/// Where the body begins in a message: behind the blank line, or at its end when there is none.
pub fn end(message: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let rest = message.get(at..).unwrap_or_default();
        if rest.starts_with(b"\r\n") {
            return at + 2;
        }
        if rest.starts_with(b"\n") {
            return at + 1;
        }
        if rest.is_empty() {
            return message.len();
        }
        at += line_end(rest);
    }
}

/// The first field with this name.
pub fn get<'a>(header: &'a [u8], name: &str) -> Option<Field<'a>> {
    fields(header).find(|f| f.is(name))
}

/// The first field's value, unfolded; see [`Field::text`].
pub fn text(header: &[u8], name: &str) -> Option<String> {
    get(header, name).map(|f| f.text())
}

/// How many fields have this name.
pub fn count(header: &[u8], name: &str) -> usize {
    fields(header).filter(|f| f.is(name)).count()
}

/// Whether the message went through so many servers that it must be in a loop: refuse it with 5.4.6.
pub fn loops(header: &[u8]) -> bool {
    count(header, "Received") > MAX_HOPS
}

/// The header without the fields for which `unwanted` says so; every other byte, the blank line too, is kept.
pub fn remove<'a>(header: &'a [u8], unwanted: impl Fn(&Field<'_>) -> bool) -> Cow<'a, [u8]> {
    if !fields(header).any(|f| unwanted(&f)) {
        return Cow::Borrowed(header);
    }
    let mut out = Vec::with_capacity(header.len());
    let mut seen = 0;
    for field in fields(header) {
        seen += field.raw.len();
        if !unwanted(&field) {
            out.extend_from_slice(field.raw);
        }
    }
    out.extend_from_slice(header.get(seen..).unwrap_or_default());
    Cow::Owned(out)
}

/// The header without the fields of these names; see [`remove`].
pub fn remove_named<'a>(header: &'a [u8], names: &[&str]) -> Cow<'a, [u8]> {
    remove(header, |f| names.iter().any(|n| f.is(n)))
}

/// `HEADER.FIELDS` and, with `not`, `HEADER.FIELDS.NOT` (RFC 9051 section 6.4.5): the fields in their order with a blank
/// line behind them.
pub fn select(header: &[u8], names: &[&str], not: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    for field in fields(header).filter(|f| names.iter().any(|n| f.is(n)) != not) {
        out.extend_from_slice(field.raw);
        if !field.raw.ends_with(b"\n") {
            out.extend_from_slice(b"\r\n");
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// A value without its folding, trimmed; encoded words as they are.
pub fn unfold(value: &[u8]) -> String {
    let text = decode::guess(value);
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    if !text.contains(['\r', '\n', '\0']) {
        return text.to_owned();
    }
    text.chars().filter(|c| !matches!(c, '\r' | '\n' | '\0')).collect()
}

/// What a server writes in front of a message that it takes (RFC 5321 section 4.4).
pub struct Trace<'a> {
    /// What the peer called itself in HELO or EHLO.
    pub helo: &'a str,
    /// Its address; left out for one of our own people (their address is their own business; the log has it).
    pub ip: Option<IpAddr>,
    /// Our host name.
    pub by: &'a str,
    /// `ESMTP`, `ESMTPS`, `ESMTPSA` (RFC 3848), `HTTPS`.
    pub with: &'a str,
    /// TLS version and cipher suite.
    pub tls: Option<(&'a str, &'a str)>,
    /// The id under which our log knows it.
    pub id: &'a str,
    /// When.
    pub time: Time,
}

/// The `Received` field, ending in CR LF. No recipient is named: that would show a Bcc.
pub fn received(trace: &Trace<'_>) -> String {
    let helo: String = token(trace.helo);
    let from = match trace.ip {
        Some(IpAddr::V4(ip)) => format!("from {helo} ([{ip}])"),
        Some(IpAddr::V6(ip)) => format!("from {helo} ([IPv6:{ip}])"),
        None => format!("from {helo}"),
    };
    let tls = trace
        .tls
        .map(|(version, cipher)| format!(" ({} {})", token(version), token(cipher)))
        .unwrap_or_default();
    format!(
        "Received: {from}{tls}\r\n\tby {} with {} id {};\r\n\t{}\r\n",
        token(trace.by),
        token(trace.with),
        token(trace.id),
        trace.time.rfc5322(),
    )
}

/// The header with the `Received` field put in front of it.
pub fn add_trace(header: &[u8], trace: &Trace<'_>) -> Vec<u8> {
    let mut out = received(trace).into_bytes();
    out.extend_from_slice(header);
    out
}

/// A field to put in front of a header: folded, guarded, with CR LF; `value` beyond ASCII becomes encoded words.
pub fn field(name: &str, value: &str) -> String {
    encode::header(name, &words::encode(value))
}

/// Something that a peer said, made harmless for a header.
fn token(text: &str) -> String {
    let clean: String =
        text.chars().filter(|c| c.is_ascii_graphic() && !"()<>\\\"".contains(*c)).take(255).collect();
    if clean.is_empty() { "unknown".into() } else { clean }
}

/// Length of the first line, its end included.
fn line_end(bytes: &[u8]) -> usize {
    memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1)
}

/// Name and value; `ftext` is any printable character but the colon, and obsolete syntax allows white space before it.
fn split(raw: &[u8]) -> Field<'_> {
    let none = Field { name: &[], value: raw, raw };
    let Some(colon) = memchr::memchr(b':', raw) else { return none };
    let (name, value) = raw.split_at(colon);
    let name = name.trim_ascii_end();
    if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
        return none;
    }
    Field { name, value: value.get(1..).unwrap_or_default(), raw }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: &[u8] = b"Received: one\r\nFrom: a@b\r\n (c)\r\nSubject : x\r\n\ty\r\njunk\r\nreceived: two\r\n\r\nBody: no\r\n";

    #[test]
    fn iterates() {
        let names: Vec<_> = fields(HEADER).map(|f| String::from_utf8_lossy(f.name).into_owned()).collect();
        assert_eq!(names, ["Received", "From", "Subject", "", "received"]);
        assert_eq!(text(HEADER, "subject").as_deref(), Some("x\ty"));
        assert_eq!(count(HEADER, "Received"), 2);
        assert_eq!(text(HEADER, "Body"), None);
        assert_eq!(end(HEADER), HEADER.len() - 10);
        assert_eq!(text(b"A: =?x\xe9", "a").as_deref(), Some("=?x\u{e9}"));
    }

    #[test]
    fn removes_and_selects() {
        let removed = remove_named(HEADER, &["RECEIVED"]);
        assert_eq!(&removed[..], b"From: a@b\r\n (c)\r\nSubject : x\r\n\ty\r\njunk\r\n\r\nBody: no\r\n");
        assert!(matches!(remove_named(HEADER, &["X"]), Cow::Borrowed(_)));
        assert_eq!(select(HEADER, &["from"], false), b"From: a@b\r\n (c)\r\n\r\n");
        assert_eq!(select(b"A: 1\r\nB: 2", &["a"], true), b"B: 2\r\n\r\n");
    }

    #[test]
    fn counts_hops() {
        assert!(!loops(&b"Received: x\r\n".repeat(100)));
        assert!(loops(&b"Received: x\r\n".repeat(101)));
    }

    #[test]
    fn trace_cannot_be_injected() {
        let trace = Trace {
            helo: "evil\r\nBcc: x (",
            ip: Some(IpAddr::from([192, 0, 2, 1])),
            by: "mx.clinic.test",
            with: "ESMTPS",
            tls: Some(("TLSv1.3", "TLS13_AES_256_GCM_SHA384")),
            id: "42",
            time: Time::from_seconds(0),
        };
        let header = add_trace(b"From: a@b\r\n\r\n", &trace);
        assert_eq!(fields(&header).count(), 2);
        let line = text(&header, "received").unwrap();
        assert_eq!(
            line,
            "from evilBcc:x ([192.0.2.1]) (TLSv1.3 TLS13_AES_256_GCM_SHA384)\tby mx.clinic.test with ESMTPS id 42;\tThu, 01 Jan 1970 00:00:00 +0000"
        );
    }

    proptest! {
        #[test]
        fn fields_cover_the_header(header in any::<Vec<u8>>()) {
            let covered: usize = fields(&header).map(|f| f.raw.len()).sum();
            prop_assert!(covered <= header.len());
            let kept = remove(&header, |_| false);
            prop_assert_eq!(&kept[..], &header[..]);
            let gone = remove(&header, |_| true);
            prop_assert_eq!(gone.len(), header.len() - covered);
            for f in fields(&header) { f.decoded(); }
            prop_assert!(end(&header) <= header.len());
        }
    }
}
