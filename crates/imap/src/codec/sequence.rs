//! Sequence sets: `1:4,7,12:*` (RFC 9051 section 9, `sequence-set`).

use super::cursor::{Cursor, Parsed};

/// One end of a range: a number, or `*`, the largest in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Star {
    /// A message number or UID, above 0.
    Number(u32),
    /// `*`
    Last,
}

impl Star {
    fn resolve(self, last: u32) -> u32 {
        match self {
            Self::Number(n) => n,
            Self::Last => last,
        }
    }
}

/// Ranges as the client wrote them; [`SequenceSet::ranges`] puts them in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceSet(pub Vec<(Star, Star)>);

impl SequenceSet {
    pub(super) fn parse(c: &mut Cursor) -> Parsed<Self> {
        let mut ranges = Vec::new();
        loop {
            let from = Self::end(c)?;
            let to = if c.take(b':') { Self::end(c)? } else { from };
            ranges.push((from, to));
            if !c.take(b',') {
                return Ok(Self(ranges));
            }
        }
    }

    fn end(c: &mut Cursor) -> Parsed<Star> {
        match c.peek() {
            Some(b'*') => {
                c.take(b'*');
                Ok(Star::Last)
            }
            Some(b'0'..=b'9') => c.positive().map(Star::Number),
            _ => c.expected("a message number, a range or *"),
        }
    }

    /// The ranges in order, joined, both ends included, with `*` standing for `last`. With `last` 0 (nothing
    /// there) a `*` alone means nothing.
    pub fn ranges(&self, last: u32) -> Vec<(u32, u32)> {
        let mut found: Vec<(u32, u32)> = self
            .0
            .iter()
            .map(|&(a, b)| (a.resolve(last), b.resolve(last)))
            .map(|(a, b)| (a.min(b), a.max(b)))
            .filter(|&(_, b)| b > 0)
            .map(|(a, b)| (a.max(1), b))
            .collect();
        found.sort_unstable();
        let mut joined: Vec<(u32, u32)> = Vec::with_capacity(found.len());
        for (a, b) in found {
            match joined.last_mut() {
                Some(tail) if a <= tail.1.saturating_add(1) => tail.1 = tail.1.max(b),
                _ => joined.push((a, b)),
            }
        }
        joined
    }

    /// The largest number that the client wrote out, 0 if it only wrote `*`.
    pub fn largest_written(&self) -> u32 {
        let written = |end: Star| match end {
            Star::Number(n) => n,
            Star::Last => 0,
        };
        self.0.iter().map(|&(a, b)| written(a).max(written(b))).max().unwrap_or(0)
    }
}

/// Prints ascending numbers as a set, the way UIDPLUS and ESEARCH want them: `1:4,7`.
pub fn print_numbers(numbers: impl IntoIterator<Item = u32>) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let mut open: Option<(u32, u32)> = None;
    let mut close = |range: Option<(u32, u32)>| {
        let Some((a, b)) = range else { return };
        let comma = if text.is_empty() { "" } else { "," };
        let _ = if a == b { write!(text, "{comma}{a}") } else { write!(text, "{comma}{a}:{b}") };
    };
    for n in numbers {
        match &mut open {
            Some((_, b)) if b.checked_add(1) == Some(n) => *b = n,
            _ => {
                close(open);
                open = Some((n, n));
            }
        }
    }
    close(open);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(text: &str, last: u32) -> Vec<(u32, u32)> {
        SequenceSet::parse(&mut Cursor::new(text.as_bytes())).unwrap().ranges(last)
    }

    #[test]
    fn ranges_are_ordered_and_joined() {
        assert_eq!(ranges("5,1:3,2:4,9", 20), [(1, 5), (9, 9)]);
        assert_eq!(ranges("4:1", 20), [(1, 4)]);
        assert_eq!(ranges("*", 20), [(20, 20)]);
        assert_eq!(ranges("7:*", 20), [(7, 20)]);
        assert_eq!(ranges("4294967295:*", 4), [(4, 4294967295)]);
    }

    #[test]
    fn a_star_above_the_last_includes_the_last() {
        // RFC 9051: "a UID range of 559:* always includes the UID of the last message"
        assert_eq!(ranges("559:*", 20), [(20, 559)]);
    }

    #[test]
    fn nothing_is_the_last_of_nothing() {
        assert_eq!(ranges("*", 0), []);
    }

    #[test]
    fn wrong_sets_are_refused() {
        for text in ["", "0", "1:", ":2", ",", "1,", "a", "4294967296", "-1"] {
            assert!(SequenceSet::parse(&mut Cursor::new(text.as_bytes())).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_print_short() {
        assert_eq!(print_numbers([1, 2, 3, 7, 9, 10]), "1:3,7,9:10");
        assert_eq!(print_numbers([u32::MAX]), "4294967295");
        assert_eq!(print_numbers([]), "");
    }
}
