//! HTML from strangers: made safe to show, and turned into text.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use ammonia::{Builder, UrlRelative};
use mail_parser::decoders::html::add_html_token;

/// HTML beyond this many bytes is cut before it is looked at.
pub const MAX_HTML: usize = 2 * 1024 * 1024;

/// Safe HTML for display: no script, style, form, frame or picture, nothing that is fetched when it is shown, no
/// classes, ids or names. Links lead to `http`, `https` or `mailto`, open in a new tab and tell nobody where from.
///
/// Show it in a sandboxed frame with a strict CSP all the same.
pub fn sanitize(html: &str) -> String {
    static BUILDER: LazyLock<Builder<'static>> = LazyLock::new(|| builder(HashMap::new()));
    BUILDER.clean(bounded(html)).to_string()
}

/// As [`sanitize`], and pictures that came with the message are shown: `images` maps a Content-ID (without angle
/// brackets) to the URL of ours that serves it. All other pictures are dropped.
pub fn sanitize_with_images(html: &str, images: &HashMap<String, String>) -> String {
    builder(images.clone()).clean(bounded(html)).to_string()
}

/// Text with `&`, `<`, `>`, `"` and `'` escaped, for the text and attributes of HTML that we write.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// HTML as text: paragraphs and lines kept, list items marked, links' targets behind their text, everything that isn't
/// text dropped. What comes out is plain text and must be escaped to be shown in a page.
pub fn to_text(html: &str) -> String {
    let mut text = Text::default();
    let mut rest = bounded(html);
    while !rest.is_empty() {
        if let Some(hidden) = text.hidden.take() {
            rest = behind(rest, hidden);
            continue;
        }
        let (run, tail) = rest.split_at(rest.find('<').unwrap_or(rest.len()));
        text.run(run);
        rest = text.markup(tail);
    }
    text.close_link();
    let mut out = text.out;
    out.truncate(out.trim_end().len());
    out
}

#[derive(Default)]
struct Text {
    out: String,
    /// Something that isn't shown begins: its name.
    hidden: Option<&'static str>,
    pre: u32,
    space: bool,
    link: Option<(String, usize)>,
}

/// What is not text of the page.
const HIDDEN: [&str; 8] = ["script", "style", "head", "title", "template", "noscript", "svg", "object"];

/// What begins on a line of its own.
const BLOCKS: [&str; 22] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "center",
    "dd",
    "div",
    "dl",
    "dt",
    "footer",
    "form",
    "header",
    "li",
    "nav",
    "ol",
    "pre",
    "section",
    "table",
    "tr",
    "ul",
    "hr",
    "fieldset",
];

/// What a blank line stands before and behind.
const PARAGRAPHS: [&str; 7] = ["p", "h1", "h2", "h3", "h4", "h5", "h6"];

impl Text {
    fn run(&mut self, run: &str) {
        let decoded = entities(run);
        for c in decoded.chars() {
            if self.pre > 0 && (c == '\n' || c == ' ') {
                self.out.push(c);
            } else if c.is_whitespace() && c != '\u{a0}' {
                self.space = true;
            } else {
                if self.space && !self.out.is_empty() && !self.out.ends_with(['\n', ' ']) {
                    self.out.push(' ');
                }
                self.space = false;
                if !c.is_control() {
                    self.out.push(if c == '\u{a0}' { ' ' } else { c });
                }
            }
        }
    }

    /// Takes a comment, declaration or tag (`tail` begins with `<`) and gives what follows.
    fn markup<'a>(&mut self, tail: &'a str) -> &'a str {
        let Some(inner) = tail.strip_prefix('<') else { return tail };
        if let Some(comment) = inner.strip_prefix("!--") {
            return comment.split_once("-->").map_or("", |(_, rest)| rest);
        }
        let (closing, named) = match inner.strip_prefix('/') {
            Some(named) => (true, named),
            None => (false, inner),
        };
        if !named.starts_with(|c: char| c.is_ascii_alphabetic() || c == '!' || c == '?') {
            self.run("&lt;");
            return inner;
        }
        let end = tag_end(named);
        let tag = named.get(..end).unwrap_or_default();
        let rest = named.get(end + 1..).unwrap_or_default();
        let name_end = tag.find(|c: char| c.is_ascii_whitespace() || c == '/').unwrap_or(tag.len());
        let name = tag.get(..name_end).unwrap_or_default().to_ascii_lowercase();
        self.tag(&name, closing, tag);
        rest
    }

    fn tag(&mut self, name: &str, closing: bool, tag: &str) {
        if !closing && let Some(hidden) = HIDDEN.iter().find(|h| **h == name) {
            if !tag.ends_with('/') {
                self.hidden = Some(hidden);
            }
            return;
        }
        match name {
            "br" => self.out.push('\n'),
            "td" | "th" if !closing => self.space = true,
            "li" if !closing => {
                self.line();
                self.out.push_str("- ");
            }
            "a" if closing => self.close_link(),
            "a" => {
                self.close_link();
                self.link =
                    attribute(tag, "href").filter(|href| is_link(href)).map(|href| (href, self.out.len()));
            }
            "img" => {
                if let Some(alt) = attribute(tag, "alt") {
                    self.run(&escape(&alt));
                }
            }
            _ if BLOCKS.contains(&name) => self.line(),
            _ if PARAGRAPHS.contains(&name) => self.paragraph(),
            _ => {}
        }
        if name == "pre" {
            self.pre = if closing { self.pre.saturating_sub(1) } else { self.pre + 1 };
        }
    }

    fn close_link(&mut self) {
        let Some((href, from)) = self.link.take() else { return };
        let shown = self.out.get(from..).unwrap_or_default().trim();
        let target = href.strip_prefix("mailto:").unwrap_or(&href);
        if !shown.is_empty() && shown != target && shown.trim_end_matches('/') != href.trim_end_matches('/') {
            self.out.push_str(" <");
            self.out.push_str(target);
            self.out.push('>');
        }
    }

    fn line(&mut self) {
        self.space = false;
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.out.push('\n');
        }
    }

    fn paragraph(&mut self) {
        self.line();
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }
}

/// What follows an element that isn't shown: from its closing tag on. A page may forget `</head>`.
fn behind<'a>(text: &'a str, hidden: &str) -> &'a str {
    let starts = |tail: &str, front: &str, name: &str| {
        tail.strip_prefix(front)
            .and_then(|t| t.get(..name.len()))
            .is_some_and(|t| t.eq_ignore_ascii_case(name))
    };
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        rest = rest.get(at..).unwrap_or_default();
        if starts(rest, "</", hidden) || (hidden == "head" && starts(rest, "<", "body")) {
            return rest;
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    ""
}

/// Where a tag ends: at the `>` that stands in no quotes, or at the end of the text.
fn tag_end(tag: &str) -> usize {
    let mut quote = None;
    for (at, b) in tag.bytes().enumerate() {
        match (quote, b) {
            (None, b'>') => return at,
            // Only a quote behind `=` opens a value; a stray one is part of the tag.
            (None, b'"' | b'\'') if tag.get(..at).is_some_and(|t| t.trim_end().ends_with('=')) => {
                quote = Some(b)
            }
            (Some(q), b) if q == b => quote = None,
            _ => {}
        }
        if at > 16 * 1024 {
            return at;
        }
    }
    tag.len()
}

/// An attribute's value, entities decoded.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let lower = tag.to_ascii_lowercase();
    let mut from = 0;
    while let Some(at) = lower.get(from..)?.find(name).map(|at| at + from) {
        from = at + name.len();
        let preceded = lower.get(..at)?.ends_with(|c: char| c.is_ascii_whitespace() || c == '"' || c == '\'');
        let Some(value) = tag.get(from..)?.trim_start().strip_prefix('=').filter(|_| preceded) else {
            continue;
        };
        let value = value.trim_start();
        let raw = match value.chars().next() {
            Some(q @ ('"' | '\'')) => value.get(1..)?.split(q).next()?,
            _ => value.split(|c: char| c.is_ascii_whitespace()).next()?,
        };
        return Some(entities(raw).trim().to_owned());
    }
    None
}

fn is_link(href: &str) -> bool {
    ["http://", "https://", "mailto:"]
        .iter()
        .any(|p| href.get(..p.len()).is_some_and(|h| h.eq_ignore_ascii_case(p)))
        && href.len() <= 2000
        && !href.contains(char::is_whitespace)
}

/// `&amp;`, `&#8364;`, `&eacute;`, ... as characters.
fn entities(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let end = from.bytes().take(34).position(|b| b == b';').filter(|end| {
            *end > 1
                && from
                    .as_bytes()
                    .get(1..*end)
                    .is_some_and(|e| e.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'#'))
        });
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

/// The elements that show something and do nothing.
const TAGS: [&str; 57] = [
    "a",
    "abbr",
    "address",
    "b",
    "bdi",
    "bdo",
    "blockquote",
    "br",
    "caption",
    "center",
    "cite",
    "code",
    "col",
    "colgroup",
    "dd",
    "del",
    "dfn",
    "div",
    "dl",
    "dt",
    "em",
    "font",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "ins",
    "kbd",
    "li",
    "mark",
    "ol",
    "p",
    "pre",
    "q",
    "s",
    "samp",
    "small",
    "span",
    "strike",
    "strong",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "tt",
    "u",
    "ul",
    "var",
];

fn builder(images: HashMap<String, String>) -> Builder<'static> {
    let set = |names: &[&'static str]| names.iter().copied().collect::<HashSet<_>>();
    let mut tags = set(&TAGS);
    let cell = set(&["align", "valign", "width", "height", "colspan", "rowspan", "bgcolor"]);
    let mut attributes: HashMap<&str, HashSet<&str>> = [
        ("a", set(&["href"])),
        ("ol", set(&["start", "type"])),
        ("font", set(&["color", "size"])),
        ("table", set(&["align", "width", "border", "cellpadding", "cellspacing", "bgcolor"])),
        ("tr", set(&["align", "valign", "bgcolor"])),
        ("td", cell.clone()),
        ("th", cell),
        ("col", set(&["span", "width", "align"])),
        ("colgroup", set(&["span", "width", "align"])),
        ("p", set(&["align"])),
        ("div", set(&["align"])),
    ]
    .into();
    let mut schemes = set(&["http", "https", "mailto"]);
    if !images.is_empty() {
        tags.insert("img");
        attributes.insert("img", set(&["src", "alt", "width", "height"]));
        schemes.insert("cid");
    }
    let mut builder = Builder::empty();
    builder
        .tags(tags)
        .tag_attributes(attributes)
        .generic_attributes(set(&["lang", "dir", "title"]))
        .clean_content_tags(set(&[
            "script",
            "style",
            "title",
            "head",
            "template",
            "noscript",
            "iframe",
            "object",
            "embed",
            "svg",
            "math",
            "select",
            "textarea",
            "noembed",
            "noframes",
            "xmp",
            "plaintext",
        ]))
        .url_schemes(schemes)
        // The filter below lets nothing relative pass but our own picture URLs.
        .url_relative(UrlRelative::PassThrough)
        .link_rel(Some("noopener noreferrer"))
        .set_tag_attribute_value("a", "target", "_blank")
        .strip_comments(true)
        .attribute_filter(move |element, attribute, value| match (element, attribute) {
            ("a", "href") => is_link(value.trim()).then(|| Cow::Owned(value.trim().to_owned())),
            ("img", "src") => {
                let id = value.trim().strip_prefix("cid:")?;
                images.get(id).map(|url| Cow::Owned(url.clone()))
            }
            _ => Some(Cow::Borrowed(value)),
        });
    builder
}

/// At most [`MAX_HTML`] bytes of it.
fn bounded(html: &str) -> &str {
    if html.len() <= MAX_HTML {
        return html;
    }
    let mut end = MAX_HTML;
    while !html.is_char_boundary(end) {
        end -= 1;
    }
    html.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_fetched_and_nothing_runs() {
        for html in [
            "<script>alert(1)</script>",
            "<img src=\"https://evil.test/x.png\">",
            "<img src=\"cid:a@b\" onerror=\"alert(1)\">",
            "<img srcset=\"https://evil.test/x 2x\">",
            "<p style=\"background:url(https://evil.test/x)\">",
            "<style>@import 'https://evil.test/x';</style>",
            "<link rel=stylesheet href=https://evil.test/x>",
            "<iframe src=https://evil.test></iframe>",
            "<object data=https://evil.test></object><embed src=https://evil.test>",
            "<svg><image href=https://evil.test/x /><script>1</script></svg>",
            "<math><mtext><table><mglyph><style><img src=https://evil.test>",
            "<a href=\"javascript:evil.test\">x</a>",
            "<a href=\" java\nscript:evil.test\">x</a>",
            "<a href=\"data:text/html,evil.test\">x</a>",
            "<a href=\"//evil.test/x\">x</a>",
            "<a href=\"/evil.test\">x</a>",
            "<a href=\"cid:evil.test\">x</a>",
            "<form action=https://evil.test><input name=x></form>",
            "<video poster=https://evil.test/x src=https://evil.test/y></video>",
            "<table background=https://evil.test/x><td background=https://evil.test/y>",
            "<body background=https://evil.test/x onload=alert(1)>",
            "<blockquote cite=https://evil.test/x>",
            "<meta http-equiv=refresh content='0;url=https://evil.test'>",
            "<base href=https://evil.test>",
            "<a href=\"https://ok.test\" ping=\"https://evil.test\">x</a>",
            "<noscript><p title=\"</noscript><img src=https://evil.test>\"></noscript>",
        ] {
            let clean = sanitize(html);
            assert!(!clean.contains("evil.test") && !clean.contains("alert"), "{html}: {clean}");
        }
    }

    #[test]
    fn what_shows_stays() {
        assert_eq!(
            sanitize("<p class=x id=y>Hi <a href=\"https://a.test/?b&amp;c\" target=_top>there</a></p>"),
            "<p>Hi <a href=\"https://a.test/?b&amp;c\" target=\"_blank\" rel=\"noopener noreferrer\">there</a></p>"
        );
        let images = HashMap::from([("a@b".to_owned(), "/part/2".to_owned())]);
        assert_eq!(
            sanitize_with_images(
                "<img src=\"cid:a@b\" alt=x><img src=\"cid:other\"><img src=/part/2>",
                &images
            ),
            "<img src=\"/part/2\" alt=\"x\"><img><img>"
        );
    }

    #[test]
    fn becomes_text() {
        for (html, text) in [
            ("<p>One</p><p>Two<br>lines</p>", "One\n\nTwo\nlines"),
            (
                "a &lt;b&gt; &amp; &eacute; &#8364; &#x41; &nbsp;x &bogus; & y",
                "a <b> & \u{e9} \u{20ac} A  x &bogus; & y",
            ),
            ("<head><title>t</title></head><body>shown</body>", "shown"),
            ("<head><title>t<body>shown", "shown"),
            ("<head><meta x><body>shown", "shown"),
            ("<style>p{}</style><script>if(a<b){}</script>x", "x"),
            ("<ul><li>one</li><li>two</li></ul>", "- one\n- two"),
            ("<a href=\"https://a.test/\">here</a>", "here <https://a.test/>"),
            (
                "<a href=https://a.test>https://a.test/</a> <a href=mailto:a@b.c>a@b.c</a>",
                "https://a.test/ a@b.c",
            ),
            ("<a href='javascript:x'>here</a>", "here"),
            ("<a title=\"a>b\" href=\"https://a.test\">x</a>", "x <https://a.test>"),
            ("<!-- no -->yes<!-- never", "yes"),
            ("1 < 2 <3", "1 < 2 <3"),
            ("<pre>a\n  b</pre>c", "a\n  b\nc"),
            ("<td>a</td><td>b</td>", "a b"),
            ("<img src=x alt=\"a &amp; b\">", "a & b"),
            ("", ""),
        ] {
            assert_eq!(to_text(html), text, "{html}");
        }
    }

    proptest! {
        #[test]
        fn any_text(html in "(<|>|/|&|;|\"|'|=|!--|-->|script|style|head|a href|img src|cid:|https://e\\.test| |\\PC){0,40}") {
            to_text(&html);
            let clean = sanitize(&html);
            // Attributes come in any order.
            prop_assert_eq!(sanitize(&clean).len(), clean.len());
            for bad in ["<script", "<img", "<style", "<iframe"] {
                prop_assert!(!clean.contains(bad));
            }
        }
    }
}
