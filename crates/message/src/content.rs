//! Content-Type, Content-Disposition and their parameters (RFC 2045 section 5.1, RFC 2183, RFC 2231), read with
//! patience: what is broken is skipped, never refused.

use crate::{decode, words};

/// Content-Transfer-Encoding (RFC 2045 section 6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encoding {
    /// `7bit`, `8bit`, `binary`, and whatever nobody knows: bytes as they stand.
    Identity,
    /// `base64`.
    Base64,
    /// `quoted-printable`.
    QuotedPrintable,
}

impl Encoding {
    /// Reads the header's value.
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        if text.eq_ignore_ascii_case("base64") {
            Self::Base64
        } else if text.eq_ignore_ascii_case("quoted-printable") {
            Self::QuotedPrintable
        } else {
            Self::Identity
        }
    }
}

/// `token *(";" attribute "=" value)`: the first word in lower case and the parameters, values unquoted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Value {
    pub word: String,
    pub params: Vec<(String, String)>,
}

/// More parameters than this are dropped.
const MAX_PARAMS: usize = 64;

/// Reads an unfolded value. Comments are skipped, a missing `=` or value drops that parameter.
pub(crate) fn parse(text: &str) -> Value {
    let mut cursor = Cursor { rest: text };
    let mut value = Value { word: cursor.token(";").to_ascii_lowercase(), params: Vec::new() };
    while cursor.skip_to_semicolon() && value.params.len() < MAX_PARAMS {
        let name = cursor.token("=;").to_ascii_lowercase();
        if !cursor.eat('=') {
            continue;
        }
        let content = cursor.value();
        if !name.is_empty() {
            value.params.push((name, content));
        }
    }
    value
}

/// Splits `text/plain`; `None` when it is no type at all (RFC 2045 section 5.2: then it is text/plain).
pub(crate) fn split_type(word: &str) -> Option<(&str, &str)> {
    let (kind, subtype) = word.split_once('/')?;
    let token = |t: &str| {
        !t.is_empty() && t.bytes().all(|b| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&b))
    };
    (token(kind) && token(subtype)).then_some((kind, subtype))
}

/// A parameter by name, decoded: `name`, `name*`, `name*0`, `name*0*`, ... (RFC 2231); encoded words in a plain value
/// (which RFC 2047 section 5 forbids and mail programs write) are decoded too.
pub(crate) fn param(params: &[(String, String)], name: &str) -> Option<String> {
    if let Some((_, value)) = params.iter().find(|(n, _)| n.strip_suffix('*') == Some(name)) {
        return Some(extended(value));
    }
    if let Some(joined) = continued(params, name) {
        return Some(joined);
    }
    let (_, value) = params.iter().find(|(n, _)| n == name)?;
    Some(words::decode(value))
}

/// `charset'language'percent-encoded`
fn extended(value: &str) -> String {
    let mut pieces = value.splitn(3, '\'');
    match (pieces.next(), pieces.next(), pieces.next()) {
        (Some(charset), Some(_), Some(text)) => decode::charset(Some(charset), &percent(text)),
        _ => decode::charset(None, &percent(value)),
    }
}

/// `name*0`, `name*1*`, ... put together.
fn continued(params: &[(String, String)], name: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut charset = None;
    for n in 0..MAX_PARAMS {
        let mut found = None;
        for (key, value) in params {
            let Some(rest) = key.strip_prefix(name).and_then(|r| r.strip_prefix('*')) else { continue };
            let (number, encoded) = match rest.strip_suffix('*') {
                Some(number) => (number, true),
                None => (rest, false),
            };
            if number.parse() == Ok(n) && number.bytes().all(|b| b.is_ascii_digit()) {
                found = Some((value.as_str(), encoded));
                break;
            }
        }
        let Some((value, encoded)) = found else { break };
        if !encoded {
            bytes.extend_from_slice(value.as_bytes());
            continue;
        }
        let mut text = value;
        if n == 0 {
            let mut pieces = value.splitn(3, '\'');
            if let (Some(set), Some(_), Some(rest)) = (pieces.next(), pieces.next(), pieces.next()) {
                charset = Some(set);
                text = rest;
            }
        }
        bytes.extend_from_slice(&percent(text));
    }
    (!bytes.is_empty()).then(|| decode::charset(charset, &bytes))
}

/// `%41` to `A`; a lone `%` stays.
fn percent(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while let Some(&b) = bytes.get(i) {
        let hex = |at: usize| bytes.get(at).and_then(|&b| char::from(b).to_digit(16));
        match (b, hex(i + 1), hex(i + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                i += 3;
            }
            _ => {
                out.push(b);
                i += 1;
            }
        }
    }
    out
}

struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn eat(&mut self, c: char) -> bool {
        self.space();
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// White space and comments.
    fn space(&mut self) {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
            if !self.rest.starts_with('(') {
                return;
            }
            let mut depth = 0_usize;
            let mut escaped = false;
            let end = self.rest.char_indices().find_map(|(at, c)| {
                match c {
                    _ if escaped => escaped = false,
                    '\\' => escaped = true,
                    '(' => depth += 1,
                    ')' => depth -= 1,
                    _ => {}
                }
                (depth == 0).then_some(at + 1)
            });
            self.rest = end.and_then(|e| self.rest.get(e..)).unwrap_or_default();
        }
    }

    /// A run up to white space or one of `stop`, with the space around it skipped.
    fn token(&mut self, stop: &str) -> &'a str {
        self.space();
        let is_end = |c: char| stop.contains(c) || c.is_ascii_whitespace() || c == '(';
        let end = self.rest.find(is_end).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.space();
        token
    }

    /// A token or a quoted string. An unquoted value with spaces in it, as mail programs write them, is taken whole.
    fn value(&mut self) -> String {
        self.space();
        let Some(quoted) = self.rest.strip_prefix('"') else {
            let end = self.rest.find(';').unwrap_or(self.rest.len());
            let (value, rest) = self.rest.split_at(end);
            self.rest = rest;
            return without_comment(value).trim().to_owned();
        };
        let mut out = String::new();
        let mut escaped = false;
        for (at, c) in quoted.char_indices() {
            match c {
                _ if escaped => {
                    // `filename="C:\temp\a.txt"`: a backslash before a letter was meant as one.
                    if c != '"' && c != '\\' {
                        out.push('\\');
                    }
                    out.push(c);
                    escaped = false;
                }
                '\\' => escaped = true,
                '"' => {
                    self.rest = quoted.get(at + 1..).unwrap_or_default();
                    return out;
                }
                c => out.push(c),
            }
        }
        self.rest = "";
        out
    }

    /// Past the next `;`, which may stand in no quoted string.
    fn skip_to_semicolon(&mut self) -> bool {
        self.space();
        match self.rest.find(';') {
            Some(at) => {
                self.rest = self.rest.get(at + 1..).unwrap_or_default();
                self.space();
                true
            }
            None => false,
        }
    }
}

fn without_comment(value: &str) -> &str {
    match value.find(" (") {
        Some(at) if value.trim_end().ends_with(')') => value.get(..at).unwrap_or_default(),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(value: &str, name: &str) -> Option<String> {
        param(&parse(value).params, name)
    }

    #[test]
    fn reads_types_and_parameters() {
        let v = parse("Text/Plain; Charset=\"utf-8\" (a comment); format=flowed;; broken; x=");
        assert_eq!(v.word, "text/plain");
        let params: Vec<_> = v.params.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(params, [("charset", "utf-8"), ("format", "flowed"), ("x", "")]);
        assert_eq!(parse("(c) multipart/mixed ; boundary=\"a \\\"b;c\"").params[0].1, "a \"b;c");
        assert_eq!(parse("multipart/mixed; boundary=a=b").params[0].1, "a=b");
        assert_eq!(parse("a/b; name=two words.txt; x=y").params[0].1, "two words.txt");
        assert_eq!(parse("").word, "");
        assert_eq!(split_type("text"), None);
        assert_eq!(split_type("text/"), None);
        assert_eq!(split_type("text/a b"), None);
        assert_eq!(split_type("image/svg+xml"), Some(("image", "svg+xml")));
    }

    #[test]
    fn decodes_file_names_of_all_forms() {
        for (value, name) in [
            ("attachment; filename=a.txt", "a.txt"),
            ("attachment; filename=\"a b.txt\"", "a b.txt"),
            ("attachment; filename*=utf-8''%e2%82%ac%20rates.txt", "\u{20ac} rates.txt"),
            ("attachment; filename*=iso-8859-1'en'%A3%20rates", "\u{a3} rates"),
            ("attachment; filename=plain.txt; filename*=utf-8''%C3%A9.txt", "\u{e9}.txt"),
            ("attachment; filename*0=\"long \"; filename*1=\"name.txt\"", "long name.txt"),
            ("attachment; filename*1=b; filename*0=a; filename*2=c", "abc"),
            (
                "attachment; filename*0*=us-ascii'en'This%20is; filename*1*=%20more; filename*2=\"!\"",
                "This is more!",
            ),
            ("attachment; filename*0*=utf-8''%C3; filename*1*=%A9", "\u{e9}"),
            ("attachment; filename=\"=?utf-8?B?w6kudHh0?=\"", "\u{e9}.txt"),
            ("attachment; filename*=broken%zz", "broken%zz"),
        ] {
            assert_eq!(decoded(value, "filename").as_deref(), Some(name), "{value}");
        }
        assert_eq!(decoded("attachment; name=x", "filename"), None);
    }
}
