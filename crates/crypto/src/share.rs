//! A share of a recovery kit, and how it is printed and typed.
//!
//! ```text
//! Sealpost recovery share 2 of 5. Any 3 of them together open the master key.
//! Kit mfrggzdf, made 2026-11-22.
//! 1  abcde fghij klmno pqrst  uv
//! 2  ...
//! 3  ...
//! 4  ...
//! ```
//!
//! The last two letters of a line are its checksum, so that a slip of the pen is found where it is. The letters are
//! base32 (no 0, 1, 8 or 9; who types them means o, l and b), upper or lower case, with any spaces or hyphens between.
//! Their bytes, a format that holds: version 1 (1), kit (5), needed (1), made (1), number (1), day (4, days since
//! 1970-01-01, big endian), the share's values (32), the first 5 bytes of the SHA-256 of all that.

use sealpost_model::Time;
use zeroize::Zeroizing;

use crate::{Key, Random, base32, sha256, shamir};

const VERSION: u8 = 1;
const BODY: usize = 1 + 5 + 3 + 4 + Key::LEN;
const LEN: usize = BODY + 5;
/// Lines of a share, letters of a line, and of those the groups and the checksum.
const LINES: usize = 4;
const LINE: usize = 20;
const GROUP: usize = 5;
const CHECK: usize = 2;

/// The most shares a kit may have.
pub const MOST_SHARES: u8 = 16;

/// One of a kit's shares. Wiped on drop; `Debug` shows its number only.
#[derive(Clone, PartialEq, Eq)]
pub struct Share {
    kit: [u8; 5],
    needed: u8,
    made: u8,
    number: u8,
    day: i32,
    values: Zeroizing<[u8; Key::LEN]>,
}

/// Why typed text is no share.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ShareError {
    /// A line is not there.
    #[error("line {0} is missing: a share has four numbered lines")]
    Missing(usize),
    /// A line's checksum does not fit.
    #[error("line {0} is mistyped: compare it letter by letter with the paper")]
    Line(usize),
    /// Every line fits, and they do not fit together.
    #[error("these lines are not of one share: type the four lines of one paper, in their order")]
    Mixed,
    /// Made by a newer version.
    #[error("this share was made by a newer Sealpost: use that one to read it")]
    Newer,
}

/// Why shares bring nothing back.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum JoinError {
    /// Not enough of them.
    #[error("{have} of the {needed} shares that it takes are here: ask for the others")]
    TooFew {
        /// Different shares at hand.
        have: usize,
        /// How many it takes.
        needed: usize,
    },
    /// Shares of different kits.
    #[error("the shares are of different kits, {0} and {1}: look at the name in their second line")]
    Kits(String, String),
}

impl Share {
    /// Makes a kit: `made` shares of `secret`, any `needed` of which bring it back. Its name is random.
    ///
    /// Panics unless 1 <= needed <= made <= [`MOST_SHARES`]: callers check what people ask for.
    pub fn kit(random: &Random, secret: &Key, needed: u8, made: u8, day: i32) -> Vec<Self> {
        assert!(needed >= 1 && made <= MOST_SHARES, "a kit has one to sixteen shares");
        let kit = random.bytes();
        let values = shamir::split(random, secret, needed, made);
        let share = |(values, number)| Self { kit, needed, made, number, day, values };
        values.into_iter().zip(1..).map(share).collect()
    }

    /// Brings the secret back. A share that is there twice counts once; those that are too many are not looked at.
    ///
    /// # Errors
    /// [`JoinError`]. That it is the right secret, only what was sealed with it can tell.
    pub fn join(shares: &[Self]) -> Result<Key, JoinError> {
        let Some(first) = shares.first() else { return Err(JoinError::TooFew { have: 0, needed: 1 }) };
        let facts = |s: &Self| (s.kit, s.needed, s.made);
        if let Some(other) = shares.iter().find(|share| facts(share) != facts(first)) {
            return Err(JoinError::Kits(first.kit_name(), other.kit_name()));
        }
        let mut different: Vec<&Self> = shares.iter().collect();
        different.sort_by_key(|share| share.number);
        different.dedup_by_key(|share| share.number);
        let needed = usize::from(first.needed);
        let too_few = JoinError::TooFew { have: different.len(), needed };
        let Some(enough) = different.get(..needed) else { return Err(too_few) };
        let enough: Vec<_> = enough.iter().map(|share| (share.number, &*share.values)).collect();
        shamir::combine(&enough).ok_or(too_few)
    }

    /// The kit's name: eight letters.
    pub fn kit_name(&self) -> String {
        base32::encode(&self.kit)
    }

    /// Its number in the kit, from 1.
    pub const fn number(&self) -> u8 {
        self.number
    }

    /// How many it takes.
    pub const fn needed(&self) -> u8 {
        self.needed
    }

    /// How many there are.
    pub const fn made(&self) -> u8 {
        self.made
    }

    /// What goes on paper: two lines for people and four to type.
    pub fn text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(400));
        let date = Time::from_seconds(i64::from(self.day) * 86_400).rfc3339();
        let Self { needed, made, number, .. } = self;
        let together = match needed {
            1 => "Any one of them opens".to_owned(),
            needed => format!("Any {needed} of them together open"),
        };
        text.push_str(&format!(
            "Sealpost recovery share {number} of {made}. {together} the master key.\n\
             Kit {}, made {}.\n",
            self.kit_name(),
            date.get(..10).unwrap_or_default()
        ));
        let letters = Zeroizing::new(base32::encode(&*self.bytes()));
        for (at, line) in letters.as_bytes().chunks(LINE).enumerate() {
            text.push(char::from(b'1' + at as u8));
            text.push(' ');
            for group in line.chunks(GROUP) {
                text.push(' ');
                text.extend(group.iter().map(|b| char::from(*b)));
            }
            text.push_str("  ");
            text.push_str(&check(at, line));
            text.push('\n');
        }
        text
    }

    /// Reads what a person typed, or the whole paper.
    ///
    /// # Errors
    /// [`ShareError`], with the line to look at.
    pub fn parse(text: &str) -> Result<Self, ShareError> {
        let mut lines: [Option<&str>; LINES] = [None; LINES];
        for line in text.lines().map(str::trim) {
            let mut chars = line.chars();
            if let Some(number @ '1'..='4') = chars.next()
                && chars.next().is_some_and(|c| c.is_whitespace() || matches!(c, '.' | ':' | ')'))
            {
                lines[number as usize - '1' as usize].get_or_insert(chars.as_str());
            }
        }
        let mut letters = Zeroizing::new(String::with_capacity(LINES * LINE));
        for (at, line) in lines.iter().enumerate() {
            letters.push_str(&Self::parse_line(at + 1, line.ok_or(ShareError::Missing(at + 1))?)?);
        }
        let bytes = Zeroizing::new(base32::decode::<LEN>(&letters).ok_or(ShareError::Mixed)?);
        Self::from_bytes(&bytes)
    }

    /// The letters of line `number` (1 to 4) without its checksum, so that whoever asks for them can say at once that
    /// one is mistyped.
    ///
    /// # Errors
    /// [`ShareError::Line`].
    pub fn parse_line(number: usize, typed: &str) -> Result<Zeroizing<String>, ShareError> {
        let mut letters = Zeroizing::new(String::with_capacity(LINE + CHECK));
        for c in typed.chars().filter(|c| !c.is_whitespace() && *c != '-') {
            letters.push(match c.to_ascii_lowercase() {
                '0' => 'o',
                '1' => 'l',
                '8' => 'b',
                c if base32::is_letter(c) => c,
                _ => return Err(ShareError::Line(number)),
            });
        }
        let Some((line, sum)) = letters.split_at_checked(LINE) else { return Err(ShareError::Line(number)) };
        if number == 0 || check(number - 1, line.as_bytes()) != sum {
            return Err(ShareError::Line(number));
        }
        letters.truncate(LINE);
        Ok(letters)
    }

    fn bytes(&self) -> Zeroizing<[u8; LEN]> {
        let mut bytes = Zeroizing::new([0; LEN]);
        bytes[0] = VERSION;
        bytes[1..6].copy_from_slice(&self.kit);
        bytes[6..9].copy_from_slice(&[self.needed, self.made, self.number]);
        bytes[9..13].copy_from_slice(&self.day.to_be_bytes());
        bytes[13..BODY].copy_from_slice(&*self.values);
        let sum = sha256(&bytes[..BODY]);
        bytes[BODY..].copy_from_slice(&sum[..LEN - BODY]);
        bytes
    }

    fn from_bytes(bytes: &[u8; LEN]) -> Result<Self, ShareError> {
        let (body, sum) = bytes.split_at(BODY);
        if sha256(body)[..LEN - BODY] != *sum {
            return Err(ShareError::Mixed);
        }
        if body[0] != VERSION {
            return Err(ShareError::Newer);
        }
        let (mut kit, mut day, mut values) = ([0; 5], [0; 4], Zeroizing::new([0; Key::LEN]));
        kit.copy_from_slice(&body[1..6]);
        day.copy_from_slice(&body[9..13]);
        values.copy_from_slice(&body[13..]);
        let (needed, made, number) = (body[6], body[7], body[8]);
        if needed == 0 || !(1..=made).contains(&number) || needed > made || made > MOST_SHARES {
            return Err(ShareError::Mixed);
        }
        Ok(Self { kit, needed, made, number, day: i32::from_be_bytes(day), values })
    }
}

impl std::fmt::Debug for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[share {} of kit {}]", self.number, self.kit_name())
    }
}

/// The checksum of a line: two letters of the hash of its place and letters.
fn check(at: usize, line: &[u8]) -> String {
    let mut text = vec![b'1' + at as u8];
    text.extend_from_slice(line);
    let sum = sha256(&text);
    zeroize::Zeroize::zeroize(&mut text);
    let mut letters = base32::encode(&sum[..2]);
    letters.truncate(CHECK);
    letters
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kit() -> Vec<Share> {
        Share::kit(&Random::danger_predictable(1), &Key::from_bytes([9; 32]), 3, 5, 20_779)
    }

    #[test]
    fn the_paper_says_what_it_is() {
        let text = kit()[1].text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 6);
        assert_eq!(lines[0], "Sealpost recovery share 2 of 5. Any 3 of them together open the master key.");
        assert!(lines[1].starts_with("Kit ") && lines[1].ends_with(", made 2026-11-22."), "{}", lines[1]);
        assert!(lines[2..].iter().all(|line| line.len() == 30), "{text:?}");
        assert!(!format!("{:?}", kit()).contains(&lines[2][3..8]));
    }

    #[test]
    fn what_people_type_is_understood() {
        let share = &kit()[2];
        let text = share.text();
        let numbered: String = text.lines().skip(2).map(|l| format!("{l}\n")).collect();
        for typed in [
            text.to_string(),
            numbered.to_uppercase(),
            numbered.replace(' ', "  ").replacen("  ", ": ", 1),
            numbered.lines().rev().map(|l| format!("  {l}\r\n")).collect(),
            numbered.replace('o', "0").replace('l', "1").replace('b', "8"),
            format!("{numbered}{numbered}"),
        ] {
            assert_eq!(Share::parse(&typed).as_ref(), Ok(share), "{typed}");
        }
    }

    #[test]
    fn each_slip_is_found_in_its_line() {
        let shares = kit();
        let text = shares[0].text();
        let lines: Vec<&str> = text.lines().skip(2).collect();
        let joined = |lines: &[String]| lines.join("\n");
        for at in 0..LINES {
            for place in 3..lines[at].len() {
                let mut typed: Vec<String> = lines.iter().map(|l| (*l).to_owned()).collect();
                let c = lines[at].as_bytes()[place];
                if c == b' ' {
                    continue;
                }
                typed[at].replace_range(place..=place, if c == b'a' { "c" } else { "a" });
                let said = Share::parse(&joined(&typed));
                // Two letters of checksum: one slip in 1,024 may pass the line, never the whole.
                assert!(
                    matches!(said, Err(ShareError::Line(n)) if n == at + 1) || said == Err(ShareError::Mixed)
                );
            }
            let mut short: Vec<String> = lines.iter().map(|l| (*l).to_owned()).collect();
            short.remove(at);
            assert_eq!(Share::parse(&joined(&short)), Err(ShareError::Missing(at + 1)));
        }
        // Lines of two papers: the first says so, since each has its number in it.
        let other = shares[1].text();
        let mixed =
            format!("{}\n{}", lines[..2].join("\n"), other.lines().skip(4).collect::<Vec<_>>().join("\n"));
        assert_eq!(Share::parse(&mixed), Err(ShareError::Mixed));
    }

    #[test]
    fn a_kit_opens_with_enough_of_its_own_shares() {
        let shares = kit();
        assert_eq!(Share::join(&shares[1..4]), Ok(Key::from_bytes([9; 32])));
        assert_eq!(Share::join(&shares), Ok(Key::from_bytes([9; 32])));
        let twice = [shares[0].clone(), shares[0].clone(), shares[4].clone()];
        assert_eq!(Share::join(&twice), Err(JoinError::TooFew { have: 2, needed: 3 }));
        assert_eq!(Share::join(&[]), Err(JoinError::TooFew { have: 0, needed: 1 }));
        let other = Share::kit(&Random::danger_predictable(2), &Key::from_bytes([9; 32]), 3, 5, 1);
        let mixed = [shares[0].clone(), shares[1].clone(), other[2].clone()];
        assert!(matches!(Share::join(&mixed), Err(JoinError::Kits(..))));
    }

    proptest! {
        #[test]
        fn reading_is_the_inverse_of_printing(secret: [u8; 32], seed: u64, day in 0..100_000_i32) {
            for share in Share::kit(&Random::danger_predictable(seed), &Key::from_bytes(secret), 2, 4, day) {
                prop_assert_eq!(Share::parse(&share.text()), Ok(share));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[1-4][ .:][a-z2-9 \n1-4]{0,200}") {
            let _ = Share::parse(&text);
        }
    }
}
