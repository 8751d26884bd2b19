//! HTML written anew, well nested and not deep, before the sanitiser sees it.
//!
//! A tree builder walks up its open elements for each tag, so a page of 100,000 nested elements keeps it busy for half a
//! minute. This pass closes what is open, drops what lies too deep and what isn't shown anyway. It decides nothing about
//! safety: the sanitiser has the last word on what comes out.

use super::escape;
use super::token::{Token, Tokens};
use super::{ATTRIBUTES, TAGS};

/// Elements within elements; browsers stop at 512.
const MAX_DEPTH: usize = 100;

/// Elements that have no content.
const VOID: [&str; 5] = ["br", "hr", "img", "col", "wbr"];

/// What ends an open paragraph (WHATWG HTML section 13.2.6.4.7).
const BLOCKS: [&str; 17] = [
    "address",
    "blockquote",
    "center",
    "div",
    "dl",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "ol",
    "p",
    "pre",
    "table",
    "ul",
];

pub(super) fn tame(html: &str) -> String {
    let mut out = String::with_capacity(html.len() + html.len() / 8);
    let mut open: Vec<&'static str> = Vec::new();
    for token in Tokens::new(html) {
        match token {
            Token::Text(text) => out.push_str(text),
            Token::Less => out.push_str("&lt;"),
            Token::Close(name) => {
                if let Some(at) = open.iter().rposition(|n| *n == name) {
                    close(&mut open, at, &mut out);
                }
            }
            Token::Open(tag) => {
                let Some(name) = known(&tag.name) else { continue };
                if let Some(at) = ended_by(name, &open) {
                    close(&mut open, at, &mut out);
                }
                let void = VOID.contains(&name);
                if !void && open.len() >= MAX_DEPTH {
                    continue;
                }
                out.push('<');
                out.push_str(name);
                for (key, value) in tag.attributes().filter(|(key, _)| ATTRIBUTES.contains(key)) {
                    out.push(' ');
                    out.push_str(key);
                    out.push_str("=\"");
                    out.push_str(&escape(value));
                    out.push('"');
                }
                out.push('>');
                if !void {
                    open.push(name);
                }
            }
        }
    }
    close(&mut open, 0, &mut out);
    out
}

/// Closes what is open from the place `at` on.
fn close(open: &mut Vec<&'static str>, at: usize, out: &mut String) {
    for name in open.drain(at.min(open.len())..).rev() {
        out.push_str("</");
        out.push_str(name);
        out.push('>');
    }
}

/// The open element that `name` ends by beginning: a cell the cell before it, a block the paragraph.
fn ended_by(name: &str, open: &[&str]) -> Option<usize> {
    let (ends, within): (&[&str], &[&str]) = match name {
        "li" => (&["li", "p"], &["ul", "ol", "table", "td", "th"]),
        "dt" | "dd" => (&["dt", "dd", "p"], &["dl", "table", "td", "th"]),
        "td" | "th" => (&["td", "th"], &["table", "tr"]),
        "tr" => (&["tr", "td", "th"], &["table", "tbody", "thead", "tfoot"]),
        "tbody" | "thead" | "tfoot" => (&["tbody", "thead", "tfoot", "tr", "td", "th"], &["table"]),
        name if BLOCKS.contains(&name) => (&["p"], &["table", "td", "th", "caption"]),
        _ => return None,
    };
    let inner = open.iter().rposition(|n| within.contains(n)).map_or(0, |at| at + 1);
    open.iter().enumerate().skip(inner).find(|(_, n)| ends.contains(n)).map(|(at, _)| at)
}

fn known(name: &str) -> Option<&'static str> {
    if name == "img" {
        return Some("img");
    }
    TAGS.iter().find(|t| **t == name).copied()
}
