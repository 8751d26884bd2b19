//! HTML as texts and tags, read the way browsers do (WHATWG HTML section 13.2.5) but for what shows nothing.

use std::borrow::Cow;

use mail_parser::decoders::html::add_html_token;

/// Elements whose content is no text of the page. They are left out with all that is in them.
pub(super) const HIDDEN: [&str; 17] = [
    "script", "style", "title", "template", "noscript", "svg", "math", "object", "iframe", "select",
    "textarea", "noembed", "noframes", "xmp", "audio", "video", "canvas",
];

/// More attributes than this of one tag are dropped.
const MAX_ATTRIBUTES: usize = 50;

pub(super) enum Token<'a> {
    /// Text as written, entities not decoded; holds no `<`.
    Text(&'a str),
    /// A `<` that begins nothing.
    Less,
    Open(Tag<'a>),
    /// The name in lower case.
    Close(String),
}

pub(super) struct Tag<'a> {
    /// In lower case.
    pub name: String,
    /// Names in lower case, values with entities decoded.
    attributes: Vec<(String, Cow<'a, str>)>,
}

impl Tag<'_> {
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, value)| &**value)
    }

    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attributes.iter().map(|(name, value)| (name.as_str(), &**value))
    }
}

pub(super) struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    pub const fn new(html: &'a str) -> Self {
        Self { rest: html }
    }

    fn skip(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    /// A tag whose name begins here; `None` if the page ends in it.
    fn tag(&mut self) -> Option<Tag<'a>> {
        let end = self.rest.find(|c: char| c.is_ascii_whitespace() || c == '/' || c == '>')?;
        let name = self.rest.get(..end)?.to_ascii_lowercase();
        self.skip(end);
        let mut attributes = Vec::new();
        loop {
            self.rest = self.rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
            if let Some(rest) = self.rest.strip_prefix('>') {
                self.rest = rest;
                return Some(Tag { name, attributes });
            }
            // A name may begin with `=`.
            let first = self.rest.chars().next()?.len_utf8();
            let ends = |c: char| c.is_ascii_whitespace() || c == '/' || c == '>' || c == '=';
            let end = first + self.rest.get(first..)?.find(ends)?;
            let key = self.rest.get(..end)?;
            self.skip(end);
            let spaced = self.rest.trim_start_matches(|c: char| c.is_ascii_whitespace());
            let mut value = "";
            if let Some(given) = spaced.strip_prefix('=') {
                self.rest = given.trim_start_matches(|c: char| c.is_ascii_whitespace());
                value = match self.rest.chars().next()? {
                    quote @ ('"' | '\'') => {
                        let (value, rest) = self.rest.get(1..)?.split_once(quote)?;
                        self.rest = rest;
                        value
                    }
                    _ => {
                        let end = self.rest.find(|c: char| c.is_ascii_whitespace() || c == '>')?;
                        let value = self.rest.get(..end)?;
                        self.skip(end);
                        value
                    }
                };
            }
            if attributes.len() < MAX_ATTRIBUTES {
                attributes.push((key.to_ascii_lowercase(), entities(value)));
            }
        }
    }

    /// Behind a comment or declaration; the `<!` or `<?` is taken already.
    fn comment(&mut self) {
        self.rest = match self.rest.strip_prefix("--") {
            Some(c) if c.starts_with('>') => c.get(1..),
            Some(c) if c.starts_with("->") => c.get(2..),
            Some(c) => match (c.find("-->"), c.find("--!>")) {
                (Some(a), Some(b)) if b < a => c.get(b + 4..),
                (Some(a), _) => c.get(a + 3..),
                (None, Some(b)) => c.get(b + 4..),
                (None, None) => None,
            },
            None => self.rest.split_once('>').map(|(_, rest)| rest),
        }
        .unwrap_or_default();
    }

    /// Past the content of an element that isn't shown; an unclosed one hides the rest.
    fn hide(&mut self, name: &str) {
        while let Some(at) = self.rest.find("</") {
            self.skip(at + 2);
            if self.rest.get(..name.len()).is_some_and(|n| n.eq_ignore_ascii_case(name)) {
                self.rest = self.rest.split_once('>').map_or("", |(_, rest)| rest);
                return;
            }
        }
        self.rest = "";
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let at = self.rest.find('<').unwrap_or(self.rest.len());
            if at > 0 {
                let (text, rest) = self.rest.split_at(at);
                self.rest = rest;
                return Some(Token::Text(text));
            }
            self.skip(1);
            let alphabetic = |s: &str| s.starts_with(|c: char| c.is_ascii_alphabetic());
            if self.rest.starts_with(['!', '?']) {
                self.skip(1);
                self.comment();
            } else if let Some(closing) = self.rest.strip_prefix('/') {
                self.rest = closing;
                if !alphabetic(closing) {
                    self.rest = closing.split_once('>').map_or("", |(_, rest)| rest);
                    continue;
                }
                let Some(tag) = self.tag() else {
                    self.rest = "";
                    return None;
                };
                return Some(Token::Close(tag.name));
            } else if alphabetic(self.rest) {
                // A page that ends within a tag ends before it.
                let Some(tag) = self.tag() else {
                    self.rest = "";
                    return None;
                };
                if HIDDEN.contains(&tag.name.as_str()) {
                    self.hide(&tag.name);
                    continue;
                }
                if tag.name == "plaintext" {
                    self.rest = "";
                }
                return Some(Token::Open(tag));
            } else {
                return Some(Token::Less);
            }
        }
    }
}

/// `&amp;`, `&#8364;`, `&eacute;`, ... as characters.
pub(super) fn entities(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let word = |e: &[u8]| e.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'#');
        let end = from
            .bytes()
            .take(34)
            .position(|b| b == b';')
            .filter(|end| *end > 1 && from.as_bytes().get(1..*end).is_some_and(word));
        match end {
            Some(end) => {
                add_html_token(&mut out, from.as_bytes().get(..=end).unwrap_or_default(), false);
                rest = from.get(end + 1..).unwrap_or_default();
            }
            None => {
                out.push('&');
                rest = from.get(1..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}
