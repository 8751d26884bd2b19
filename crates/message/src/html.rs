//! HTML from strangers: made safe to show, and turned into text.

mod plain;
mod tame;
mod token;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use ammonia::{Builder, UrlRelative};

use crate::structure::Part;
use crate::{decode, text};

pub use plain::to_text;

/// HTML beyond this many bytes is cut before it is looked at.
pub const MAX_HTML: usize = 1024 * 1024;

/// The most bytes of picture URLs that one [`Sanitizer`] writes.
pub const MAX_IMAGES: usize = 16 * 1024 * 1024;

/// Safe HTML for display: no script, style, form, frame or picture, nothing that is fetched when it is shown, no
/// classes, ids or names. Links lead to `http`, `https` or `mailto`, open in a new tab and tell nobody where from.
///
/// Show it in a sandboxed frame with a strict CSP all the same.
pub fn sanitize(html: &str) -> String {
    static BUILDER: LazyLock<Builder<'static>> = LazyLock::new(|| builder(HashMap::new()));
    BUILDER.clean(&tame::tame(bounded(html))).to_string()
}

/// As [`sanitize`], and pictures that came with the message are shown: `images` maps a Content-ID (without angle
/// brackets) to the URL of ours that serves it. All other pictures are dropped.
pub fn sanitize_with_images(html: &str, images: &HashMap<String, String>) -> String {
    Sanitizer::new(images.clone()).clean(html)
}

/// As [`sanitize_with_images`], for the HTML parts of one message, one after the other.
///
/// A URL may hold its whole picture, and a text may name one picture any number of times: beyond [`MAX_IMAGES`] bytes of
/// URLs in all that it writes, it shows no more.
pub struct Sanitizer(Builder<'static>);

impl Sanitizer {
    /// One that shows these pictures.
    pub fn new(images: HashMap<String, String>) -> Self {
        Self(builder(images))
    }

    /// Safe HTML for display.
    pub fn clean(&self, html: &str) -> String {
        self.0.clean(&tame::tame(bounded(html))).to_string()
    }
}

/// A text part's body as HTML, not sanitised yet: its own, or plain text with its lines kept. `body` is the part's bytes
/// in the message.
pub fn of(part: &Part, body: &[u8]) -> String {
    let text = decode::text(part.transfer(), part.charset().as_deref(), body);
    if part.is("text", "html") {
        return text;
    }
    format!("<div>{}</div>", escape(&text).lines().collect::<Vec<_>>().join("<br>\n"))
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

/// Whether it is a target that a link of a mail may have.
fn is_link(href: &str) -> bool {
    ["http://", "https://", "mailto:"]
        .iter()
        .any(|p| href.get(..p.len()).is_some_and(|h| h.eq_ignore_ascii_case(p)))
        && href.len() <= 2000
        && !href.contains(char::is_whitespace)
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

/// The attributes that any of them may have; [`builder`] says which may have which.
const ATTRIBUTES: [&str; 21] = [
    "align",
    "alt",
    "bgcolor",
    "border",
    "cellpadding",
    "cellspacing",
    "color",
    "colspan",
    "dir",
    "height",
    "href",
    "lang",
    "rowspan",
    "size",
    "span",
    "src",
    "start",
    "title",
    "type",
    "valign",
    "width",
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
    let room = AtomicUsize::new(MAX_IMAGES);
    let fits = move |url: &str| {
        room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(url.len())).is_ok()
    };
    let mut builder = Builder::empty();
    builder
        .tags(tags)
        .tag_attributes(attributes)
        .generic_attributes(set(&["lang", "dir", "title"]))
        .clean_content_tags(token::HIDDEN.into_iter().collect())
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
                images.get(id).filter(|url| fits(url)).map(|url| Cow::Owned(url.clone()))
            }
            _ => Some(Cow::Borrowed(value)),
        });
    builder
}

/// At most [`MAX_HTML`] bytes of it.
fn bounded(html: &str) -> &str {
    text::front(html, MAX_HTML)
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
    fn sloppy_html_keeps_its_shape() {
        for (html, clean) in [
            ("<p>a<p>b", "<p>a</p><p>b</p>"),
            ("<ul><li>a<li>b<ul><li>c</ul></ul>", "<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>"),
            ("<b><i>x</b>y</i>", "<b><i>x</i></b>y"),
            (
                "<table><tr><td>a<td>b<tr><td>c</table>",
                "<table><tbody><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></tbody></table>",
            ),
            ("</div>x</p>", "x"),
            ("<P ALIGN=left>x", "<p align=\"left\">x</p>"),
            ("<p align=\"a&quot;b\">x</p>", "<p align=\"a&quot;b\">x</p>"),
            ("1 < 2 & 3", "1 &lt; 2 &amp; 3"),
            ("<o:p>x</o:p>", "x"),
        ] {
            assert_eq!(sanitize(html), clean, "{html}");
        }
    }

    /// A tree builder without bounds takes half a minute for this.
    #[test]
    fn depth_is_bounded() {
        for unit in [
            "<div>",
            "<div><table><tr><td></div></table>",
            "<b><p>",
            "<ul><li><div>",
            "<a href=x><font color=y>",
        ] {
            let clean = sanitize(&unit.repeat(100_000 / unit.len()));
            let depth = clean.split('<').scan(0_i64, |depth, tag| {
                let opens = tag.starts_with(|c: char| c.is_ascii_alphabetic());
                *depth += i64::from(opens) - i64::from(tag.starts_with('/'));
                Some(*depth)
            });
            assert!(depth.max().unwrap_or(0) <= 220, "{unit}");
        }
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
            ("<head><title>t<body>shown", ""),
            ("<head><meta x><p>shown", "shown"),
            ("<!-->shown<!--->, <!--no--!>too", "shown, too"),
            ("<![if !mso]>shown<![endif]></ no>", "shown"),
            ("<p>one<p title='>'>two", "one\n\ntwo"),
            ("<table><tr><td>a<td>b<tr><td>c</table>", "a b\nc"),
            ("ends <a href=\"", "ends"),
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
            for bad in ["<script", "<img", "<style", "<iframe"] {
                prop_assert!(!clean.contains(bad));
            }
        }
    }
}
