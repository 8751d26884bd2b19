//! The six-digit code that a new recipient gives (S29, S30): an online gate, never a key.

use sealpost_model::Secret;

use crate::{MacKey, Random, constant_time_eq};

/// Six decimal digits. The server keeps [`Code::hash`] only.
#[derive(Clone, Debug)]
pub struct Code(Secret<String>);

impl Code {
    /// A fresh code, each of the million as likely as the others.
    pub fn random(random: &Random) -> Self {
        Self(Secret::new(format!("{:06}", random.below(1_000_000))))
    }

    /// Six digits as a person types them: spaces and hyphens don't count.
    pub fn parse(typed: &str) -> Option<Self> {
        let mut digits = String::with_capacity(6);
        for c in typed.chars() {
            match c {
                '0'..='9' if digits.len() < 6 => digits.push(c),
                ' ' | '-' | '\u{a0}' | '\u{202f}' => {}
                _ => return None,
            }
        }
        (digits.len() == 6).then(|| Self(Secret::new(digits)))
    }

    /// The digits, for the one receipt that shows them.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// What the server keeps: a keyed hash, bound to the recipient's row (and whatever else `parts` says), so that one
    /// recipient's hash is no other's, and a copy of the table without the key is worth nothing.
    pub fn hash(&self, key: &MacKey, parts: &[&[u8]]) -> [u8; 16] {
        let mut all = Vec::with_capacity(parts.len() + 2);
        all.push(b"code".as_slice());
        all.push(self.expose().as_bytes());
        all.extend_from_slice(parts);
        key.mac(&all)
    }

    /// Whether it is the code whose hash the server kept, in constant time.
    pub fn matches(&self, key: &MacKey, parts: &[&[u8]], hash: &[u8]) -> bool {
        constant_time_eq(&self.hash(key, parts), hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_type_codes_in_their_own_ways() {
        for typed in ["012345", " 012 345 ", "012-345", "0 1 2 3 4 5", "012\u{a0}345"] {
            assert_eq!(Code::parse(typed).unwrap().expose(), "012345", "{typed}");
        }
        for typed in ["", "12345", "0123456", "01234a", "０１２３４５", "012345x", "0\n12345"] {
            assert!(Code::parse(typed).is_none(), "{typed:?}");
        }
    }

    #[test]
    fn a_hash_is_of_one_recipient_and_one_key() {
        let r = Random::danger_predictable(1);
        let (key, other) = (r.key().mac_key(), r.key().mac_key());
        let code = Code::random(&r);
        let hash = code.hash(&key, &[b"recipient 1"]);
        assert!(code.matches(&key, &[b"recipient 1"], &hash));
        assert!(!code.matches(&key, &[b"recipient 2"], &hash));
        assert!(!code.matches(&other, &[b"recipient 1"], &hash));
        assert!(!code.matches(&key, &[b"recipient 1"], &hash[..15]));
        assert!(!Code::random(&r).matches(&key, &[b"recipient 1"], &hash));
    }

    #[test]
    fn debug_hides_it() {
        assert!(!format!("{:?}", Code::parse("918273").unwrap()).contains("918273"));
    }

    #[test]
    fn leading_zeros_are_drawn() {
        let r = Random::system();
        assert!((0..400).any(|_| Code::random(&r).expose().starts_with('0')));
    }
}
