//! Passwords that a program keeps, not a person (S41): 140 random bits in groups that can be read over the phone.

use sealpost_model::Secret;

use crate::{Random, base32};

/// Letters without hyphens.
const LETTERS: usize = 28;

/// A fresh one: seven groups of four lower-case base32 letters, joined by hyphens.
pub fn random(random: &Random) -> Secret<String> {
    let mut text = String::with_capacity(LETTERS + LETTERS / 4);
    for i in 0..LETTERS {
        if i > 0 && i % 4 == 0 {
            text.push('-');
        }
        text.push(base32::letter(u32::from(random.bytes::<1>()[0])));
    }
    Secret::new(text)
}

/// The letters alone, in lower case, if `typed` has the shape of an app password: hash and compare these. Whatever a
/// person or program made of hyphens, spaces and case does not matter.
pub fn parse(typed: &Secret<String>) -> Option<Secret<String>> {
    let mut letters = String::with_capacity(LETTERS);
    for c in typed.expose().chars() {
        match c.to_ascii_lowercase() {
            '-' | ' ' => {}
            c if base32::is_letter(c) && letters.len() < LETTERS => letters.push(c),
            _ => return None,
        }
    }
    (letters.len() == LETTERS).then(|| Secret::new(letters))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_may_spell_it_their_way() {
        let fresh = random(&Random::system());
        assert_eq!(fresh.expose().len(), 34);
        let letters = parse(&fresh).unwrap();
        assert_eq!(letters.expose().len(), 28);
        for spelt in
            [fresh.expose().to_uppercase(), fresh.expose().replace('-', ""), fresh.expose().replace('-', " ")]
        {
            assert_eq!(parse(&Secret::new(spelt)).unwrap().expose(), letters.expose());
        }
    }

    #[test]
    fn a_persons_password_has_another_shape() {
        for typed in ["", "correct horse battery staple", "aaaa-bbbb", "aaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaa"]
        {
            assert!(parse(&Secret::new(typed.to_owned())).is_none(), "{typed}");
        }
    }
}
