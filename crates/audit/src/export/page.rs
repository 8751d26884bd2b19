//! The page that verifies an export in a browser, without us: one file, no request to anybody.

use std::fmt::Write as _;

use sealpost_model::Protocol;

use crate::object::ObjectKind;
use crate::verb::{Outcome, Verb};
use crate::words::ACTORS;

/// The page. The words of acts come from the same tables that the log is written with.
///
/// Ed25519 is the browser's; for one that lacks it, `@noble/ed25519` (Paul Miller, MIT) is part of the page.
pub fn page() -> String {
    let ed25519 = NOBLE.split("\n// !! Remove the export").next().unwrap_or_default();
    PAGE.replace("/*{tables}*/", &tables())
        .replace("/*{ed25519}*/", ed25519)
        .replace("{licence}", LICENCE.trim())
}

fn tables() -> String {
    let mut out = String::from("const TABLES = {\n");
    let mut table = |name: &str, rows: Vec<(i64, &str)>| {
        let rows: Vec<String> = rows.iter().map(|(number, word)| format!("{number}:'{word}'")).collect();
        let _ = writeln!(out, "  {name}: {{{}}},", rows.join(","));
    };
    table("verb", Verb::ALL.iter().map(|v| (*v as i64, v.word())).collect());
    table("outcome", Outcome::ALL.iter().map(|o| (*o as i64, o.word())).collect());
    table("protocol", Protocol::ALL.iter().map(|p| (*p as i64, p.word())).collect());
    table("actor", (0..).zip(ACTORS.iter().copied()).collect());
    table("object", ObjectKind::ALL.iter().map(|k| (*k as i64, k.word())).collect());
    out.push_str("};");
    out
}

const PAGE: &str = include_str!("page.html");
const NOBLE: &str = include_str!("noble-ed25519.js");
const LICENCE: &str = include_str!("noble-ed25519.LICENSE");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole_and_asks_nobody_for_anything() {
        let page = page();
        for hole in ["/*{", "{licence}", "\nexport "] {
            assert!(!page.contains(hole), "{hole}");
        }
        assert!(page.contains("'read-message'") && page.contains("verifyAsync"));
        for asks in ["src=", "href=\"http", "@import", "fetch(", "XMLHttpRequest", "url("] {
            assert!(!page.contains(asks), "{asks}");
        }
        assert!(page.contains("default-src 'none'"));
    }
}
