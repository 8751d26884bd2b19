//! What a `restored` entry says in plain: `from SIZE ROOT lost SIZE ROOT ...`. No I/O.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tlog_tiles::Hash;

use crate::verb::{Outcome, Verb};

/// The checkpoint that a log went on from, and those that were lost.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Break {
    /// Size and root that the log went on from.
    pub from: (u64, Hash),
    /// Newer ones that are lost.
    pub lost: Vec<(u64, Hash)>,
}

/// The break that an entry says, if it is a `restored` entry.
pub(crate) fn parse(verb: i64, outcome: i64, reason: &str) -> Option<Break> {
    let wanted = verb == Verb::Restored as i64 && outcome == Outcome::Done as i64;
    wanted.then(|| Break::parse(reason)).flatten()
}

impl Break {
    pub(crate) fn print(&self) -> String {
        let one = |(size, root): &(u64, Hash)| format!(" {size} {}", BASE64_STANDARD.encode(root.0));
        let mut out = format!("from{}", one(&self.from));
        if !self.lost.is_empty() {
            out.push_str(" lost");
            self.lost.iter().for_each(|l| out.push_str(&one(l)));
        }
        out
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let words: Vec<_> = text.split(' ').collect();
        match words.as_slice() {
            ["from", size, root] => Some(Self { from: head(size, root)?, lost: Vec::new() }),
            ["from", size, root, "lost", lost @ ..] if !lost.is_empty() => {
                let (pairs, []) = lost.as_chunks::<2>() else { return None };
                let lost = pairs.iter().map(|[size, root]| head(size, root)).collect::<Option<_>>()?;
                Some(Self { from: head(size, root)?, lost })
            }
            _ => None,
        }
    }
}

/// A decimal number without leading zeroes.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn head(size: &str, root: &str) -> Option<(u64, Hash)> {
    Some((decimal(size)?, Hash(BASE64_STANDARD.decode(root).ok()?.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use tlog_tiles::record_hash;

    use super::*;

    #[test]
    fn print_and_parse() {
        for lost in
            [Vec::new(), vec![(9, record_hash(b"a"))], vec![(9, record_hash(b"a")), (70, record_hash(b"b"))]]
        {
            let b = Break { from: (5, record_hash(b"x")), lost };
            assert_eq!(Break::parse(&b.print()), Some(b));
        }
        let good = Break { from: (5, record_hash(b"x")), lost: vec![(9, record_hash(b"a"))] }.print();
        for bad in [
            "",
            "from",
            "from 5",
            &good[..good.len() - 1],
            &format!("{good} 7"),
            &good.replace("lost", "last"),
        ] {
            assert_eq!(Break::parse(bad), None, "{bad}");
        }
    }
}
