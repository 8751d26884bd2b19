//! The catalogue: every word that a page shows, in English and Spanish, with plural forms.
//!
//! `words/catalogue.txt` holds the languages side by side; it is part of the program and is parsed once. A text that
//! is missing cannot reach a reader: tests hold the pages against the catalogue and the languages against each other.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::LazyLock;

use sealpost_model::Time;

/// A language of the pages.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Lang {
    /// English, the default.
    #[default]
    En,
    /// Spanish.
    Es,
}

impl Lang {
    /// All of them, in the order of the switch.
    pub const ALL: [Self; 2] = [Self::En, Self::Es];

    /// The BCP 47 tag.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Es => "es",
        }
    }

    /// The language with this tag; a region behind it (`es-MX`) doesn't matter.
    pub fn from_tag(tag: &str) -> Option<Self> {
        let base = tag.split('-').next().unwrap_or_default().trim();
        Self::ALL.into_iter().find(|l| l.tag().eq_ignore_ascii_case(base))
    }

    /// The best of ours for an `Accept-Language` header (RFC 9110 section 12.5.4).
    pub fn negotiate(header: &str) -> Self {
        let mut best = (0.0, Self::default());
        for item in header.split(',').take(32) {
            let mut parts = item.split(';');
            let Some(lang) = parts.next().and_then(|tag| Self::from_tag(tag.trim())) else { continue };
            let weight = parts
                .find_map(|p| p.trim().strip_prefix("q="))
                .map_or(Some(1.0), |q| q.parse::<f32>().ok())
                .unwrap_or(0.0);
            if weight > best.0 {
                best = (weight, lang);
            }
        }
        best.1
    }

    /// The text of `key`.
    pub fn word(self, key: &str) -> &'static str {
        CATALOGUE.get(&(self, key)).copied().unwrap_or_else(|| {
            debug_assert!(false, "no words for {key}");
            ""
        })
    }

    /// The text of `key` with `{place}` filled in.
    pub fn fill(self, key: &str, places: &[(&str, &dyn Display)]) -> String {
        fill(self.word(key), places)
    }

    /// The text of `key` for the number `n`, which stands at `{n}`.
    pub fn count(self, key: &str, n: u64) -> String {
        // CLDR: English and Spanish have `one` for 1 and `other` (Spanish's `many` starts at a million).
        let form = if n == 1 { "one" } else { "other" };
        fill(self.word(&format!("{key}.{form}")), &[("n", &n)])
    }

    /// `November 21, 2026`
    pub fn day(self, time: Time) -> String {
        let date = time.timestamp().to_zoned(jiff::tz::TimeZone::UTC).date();
        let month = self.word(&format!("month.{}", date.month()));
        self.fill("date.day", &[("month", &month), ("day", &date.day()), ("year", &date.year())])
    }

    /// `November 21, 2026, 22:40 UTC`
    pub fn moment(self, time: Time) -> String {
        let clock = time.timestamp().strftime("%H:%M").to_string();
        self.fill("date.moment", &[("day", &self.day(time)), ("time", &clock)])
    }

    /// A size for people: `512 bytes`, `18 KB`, `2.4 MB`.
    pub fn size(self, bytes: u64) -> String {
        let (unit, scale) = match bytes {
            0..1_000 => return self.count("size.bytes", bytes),
            1_000..1_000_000 => ("KB", 1_000),
            1_000_000..1_000_000_000 => ("MB", 1_000_000),
            _ => ("GB", 1_000_000_000),
        };
        let tenths = bytes / (scale / 10);
        if tenths >= 100 || tenths.is_multiple_of(10) {
            return format!("{} {unit}", (tenths + 5) / 10);
        }
        let point = if self == Self::Es { ',' } else { '.' };
        format!("{}{point}{} {unit}", tenths / 10, tenths % 10)
    }

    /// How long to wait, rounded up: `40 seconds`, `3 minutes`.
    pub fn wait(self, span: std::time::Duration) -> String {
        match span.as_secs() {
            s @ 0..90 => self.count("wait.seconds", s.max(1)),
            s => self.count("wait.minutes", s.div_ceil(60)),
        }
    }
}

fn fill(text: &str, places: &[(&str, &dyn Display)]) -> String {
    let mut out = String::with_capacity(text.len() + 32);
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        let Some(len) = rest[start..].find('}') else { break };
        let name = &rest[start + 1..start + len];
        out.push_str(&rest[..start]);
        match places.iter().find(|(n, _)| *n == name) {
            Some((_, value)) => out.push_str(&value.to_string()),
            None => debug_assert!(false, "nothing for place {name}"),
        }
        rest = &rest[start + len + 1..];
    }
    out + rest
}

static SOURCE: &str = include_str!("../words/catalogue.txt");

static CATALOGUE: LazyLock<HashMap<(Lang, &'static str), &'static str>> =
    LazyLock::new(|| entries(SOURCE).map(|(lang, key, text)| ((lang, key), text)).collect());

/// The lines of the catalogue: language, key (with `.one` or `.other` behind it when it counts), text.
fn entries(source: &'static str) -> impl Iterator<Item = (Lang, &'static str, &'static str)> {
    let mut key = "";
    source.lines().filter_map(move |line| {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            key = name;
            return None;
        }
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        let (left, text) = line.split_once('=')?;
        let (tag, form) = left.trim().split_once('.').unwrap_or((left.trim(), ""));
        let lang = Lang::from_tag(tag)?;
        // A form's key is written once, when the program starts; the catalogue lives as long as the program.
        let key = if form.is_empty() { key } else { Box::leak(format!("{key}.{form}").into_boxed_str()) };
        Some((lang, key, text.trim()))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn places(text: &str) -> BTreeSet<&str> {
        text.split('{').skip(1).filter_map(|t| t.split_once('}')).map(|(name, _)| name).collect()
    }

    #[test]
    fn every_text_stands_in_every_language_with_the_same_places() {
        let keys: BTreeSet<_> = entries(SOURCE).map(|(_, key, _)| key).collect();
        assert_eq!(
            entries(SOURCE).count(),
            keys.len() * Lang::ALL.len(),
            "a text is missing or stands twice"
        );
        for key in keys {
            let [en, es] = Lang::ALL.map(|l| CATALOGUE.get(&(l, key)).copied().unwrap_or_default());
            assert!(!en.is_empty() && !es.is_empty(), "{key}");
            assert_eq!(places(en), places(es), "{key}");
        }
    }

    /// Looks through templates and sources for keys, so that a word can't be missing when a page is shown.
    #[test]
    fn every_key_that_a_page_names_is_there_and_none_is_left_over() {
        let keys: BTreeSet<_> = entries(SOURCE)
            .map(|(_, key, _)| key.trim_end_matches(".one").trim_end_matches(".other"))
            .collect();
        let mut seen = BTreeSet::new();
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut stack = vec![root.join("templates"), root.join("src")];
        let mut text = String::new();
        while let Some(dir) = stack.pop() {
            for entry in std::fs::read_dir(dir).expect("readable").map(|e| e.expect("readable").path()) {
                if entry.is_dir() {
                    stack.push(entry);
                } else {
                    text.push_str(&std::fs::read_to_string(&entry).expect("readable"));
                }
            }
        }
        for piece in text.split('"') {
            if keys.contains(piece) {
                seen.insert(piece);
            }
            let looks =
                ["frame.", "open.", "code.", "message.", "reply.", "replied.", "gone.", "wrong.", "closed."]
                    .iter()
                    .chain(&[
                        "signin.", "setup.", "home.", "sent.", "act.", "newcode.", "confirm.", "done.",
                        "error.", "state.",
                    ])
                    .any(|p| piece.starts_with(p) && piece.len() > p.len());
            let file = [".html", ".js", ".rs", ".css", ".eml"].iter().any(|end| piece.ends_with(end));
            if looks
                && !file
                && piece.bytes().all(|b| b.is_ascii_lowercase() || b == b'.')
                && !piece.ends_with('.')
            {
                assert!(keys.contains(piece), "{piece} is in no language");
            }
        }
        for prefix in ["month.", "state."] {
            seen.extend(keys.iter().filter(|k| k.starts_with(prefix)));
        }
        assert_eq!(keys.difference(&seen).collect::<Vec<_>>(), Vec::<&&str>::new(), "nobody uses these");
    }

    #[test]
    fn a_browser_gets_its_language() {
        for (header, lang) in [
            ("", Lang::En),
            ("es", Lang::Es),
            ("es-MX,es;q=0.9,en;q=0.8", Lang::Es),
            ("de,en;q=0.7,es;q=0.8", Lang::Es),
            ("en-US,en;q=0.9,es;q=0.8", Lang::En),
            ("fr", Lang::En),
            ("es;q=0", Lang::En),
            ("es;q=zzz,;;,", Lang::En),
        ] {
            assert_eq!(Lang::negotiate(header), lang, "{header}");
        }
    }

    #[test]
    fn numbers_have_their_form() {
        assert_eq!(Lang::En.count("code.left", 1), "You have 1 try left.");
        assert_eq!(Lang::Es.count("code.left", 4), "Le quedan 4 intentos.");
        assert_eq!(Lang::En.size(1), "1 byte");
        assert_eq!(Lang::En.size(2_449_000), "2.4 MB");
        assert_eq!(Lang::Es.size(2_449_000), "2,4 MB");
        assert_eq!(Lang::En.size(18_020), "18 KB");
        let time = Time::from_millis(1_795_300_822_123);
        assert_eq!(Lang::En.moment(time), "November 21, 2026, 22:40 UTC");
        assert_eq!(Lang::Es.day(time), "21 de noviembre de 2026");
        assert_eq!(Lang::En.wait(std::time::Duration::from_secs(121)), "3 minutes");
    }

    #[test]
    fn what_is_filled_in_is_not_filled_again() {
        assert_eq!(
            Lang::En.fill("signin.slow", &[("wait", &"{wait}")]),
            "Too many tries. Please wait {wait} and try again."
        );
    }
}
