//! HTML as text.

use super::token::{Tag, Token, Tokens, entities};
use super::{bounded, is_link};

/// HTML as text: paragraphs and lines kept, list items marked, links' targets behind their text, everything that isn't
/// text dropped. What comes out is plain text and must be escaped to be shown in a page.
pub fn to_text(html: &str) -> String {
    let mut text = Text::default();
    for token in Tokens::new(bounded(html)) {
        match token {
            Token::Text(run) => text.run(&entities(run)),
            Token::Less => text.run("<"),
            Token::Open(tag) => text.open(&tag),
            Token::Close(name) => text.close(&name),
        }
    }
    text.close_link();
    let mut out = text.out;
    out.truncate(out.trim_end().len());
    out
}

#[derive(Default)]
struct Text {
    out: String,
    /// Open `<pre>` elements.
    pre: u32,
    /// White space came that isn't written yet.
    space: bool,
    /// The target of the link that is open, and where its text begins.
    link: Option<(String, usize)>,
}

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
        for c in run.chars() {
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

    fn open(&mut self, tag: &Tag<'_>) {
        match tag.name.as_str() {
            "br" => {
                self.space = false;
                self.out.push('\n');
            }
            "td" | "th" => self.space = true,
            "li" => {
                self.line();
                self.out.push_str("- ");
            }
            "a" => {
                self.close_link();
                let href = tag.attribute("href").map(str::trim).filter(|href| is_link(href));
                self.link = href.map(|href| (href.to_owned(), self.out.len()));
            }
            "img" => self.run(tag.attribute("alt").unwrap_or_default()),
            name => self.block(name),
        }
        if tag.name == "pre" {
            self.pre += 1;
        }
    }

    fn close(&mut self, name: &str) {
        match name {
            "a" => self.close_link(),
            "td" | "th" => self.space = true,
            name => self.block(name),
        }
        if name == "pre" {
            self.pre = self.pre.saturating_sub(1);
        }
    }

    fn block(&mut self, name: &str) {
        if BLOCKS.contains(&name) {
            self.line();
        } else if PARAGRAPHS.contains(&name) {
            self.line();
            if !self.out.is_empty() && !self.out.ends_with("\n\n") {
                self.out.push('\n');
            }
        }
    }

    fn line(&mut self) {
        self.space = false;
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.out.push('\n');
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
}
