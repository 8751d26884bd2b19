//! What a password must be (S40, NIST SP 800-63B-4 section 3.1.1.2). One place for every way to set one.

use sealpost_model::Secret;
use zxcvbn::{Score, zxcvbn};

/// An organisation's rule for passwords.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum PasswordProfile {
    /// 15 characters or more, any of them: the default as long as the password is the only factor.
    #[default]
    Length = 1,
    /// 8 characters or more, letters together with digits or symbols: the older rule, and the floor.
    Composition = 2,
}

impl PasswordProfile {
    /// Its word on the command line and in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Composition => "composition",
        }
    }

    /// The profile with this word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Length, Self::Composition].into_iter().find(|p| p.word() == word)
    }

    pub(crate) fn from_number(number: i64) -> Option<Self> {
        [Self::Length, Self::Composition].into_iter().find(|p| *p as i64 == number)
    }

    /// The least number of characters.
    pub const fn least(self) -> usize {
        match self {
            Self::Length => 15,
            Self::Composition => 8,
        }
    }
}

/// Why a password does not do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too short.
    #[error("the password is too short: take at least {least} characters, several words are good")]
    Short {
        /// The least number of characters.
        least: usize,
    },
    /// Too long.
    #[error("the password is too long: 128 characters at most")]
    Long,
    /// Letters alone, or none.
    #[error("the password needs letters together with digits or symbols")]
    Composition,
    /// It can be guessed: a common or leaked password, a pattern, a date.
    #[error(
        "the password is too easy to guess: avoid common passwords, patterns and dates; unrelated words are good"
    )]
    Guessable,
    /// It has leaked somewhere.
    #[error("the password is on a list of passwords that have leaked: take one that nobody has used before")]
    Leaked,
    /// It holds the person's or the organisation's name.
    #[error("the password must not contain your name, your address or your organisation's name")]
    Name,
}

/// What a password must not contain.
#[derive(Clone, Default)]
pub struct Names(Vec<String>);

impl Names {
    /// The words of these names: person, address, organisation, domain. Words below 4 characters are left out, since
    /// any password may hold them by chance.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let words = |name: &str| {
            name.to_lowercase()
                .split(|c: char| !c.is_alphanumeric())
                .filter(|word| word.chars().count() >= 4)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        Self(names.into_iter().flat_map(words).collect())
    }
}

/// Checks a password that somebody wants to set.
///
/// # Errors
/// The first thing that is wrong with it.
pub(crate) fn check(
    password: &Secret<String>,
    profile: PasswordProfile,
    names: &Names,
) -> Result<(), PasswordError> {
    let text = password.expose();
    let length = text.chars().count();
    if length < profile.least() {
        return Err(PasswordError::Short { least: profile.least() });
    }
    if length > MOST {
        return Err(PasswordError::Long);
    }
    if profile == PasswordProfile::Composition {
        let letters = text.chars().any(char::is_alphabetic);
        let others = text.chars().any(|c| !c.is_alphabetic() && !c.is_whitespace());
        if !(letters && others) {
            return Err(PasswordError::Composition);
        }
    }
    let lower = zeroize::Zeroizing::new(text.to_lowercase());
    if names.0.iter().any(|name| lower.contains(name.as_str())) {
        return Err(PasswordError::Name);
    }
    let inputs: Vec<&str> = names.0.iter().map(String::as_str).collect();
    if zxcvbn(text, &inputs).score() < Score::Three {
        return Err(PasswordError::Guessable);
    }
    Ok(())
}

const MOST: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(text: &str, profile: PasswordProfile) -> Result<(), PasswordError> {
        let names = Names::new(["Alice Liddell", "alice.l@clinic.test", "Demo Clinic"]);
        check(&Secret::new(text.to_owned()), profile, &names)
    }

    #[test]
    fn long_ones_of_any_kind_are_taken() {
        for good in ["correct horse battery staple", "plum-orbit-kettle-ninety", "Ünïcödé flötet gärn 老虎机"]
        {
            assert_eq!(judge(good, PasswordProfile::Length), Ok(()), "{good}");
        }
        assert_eq!(judge("k7#vRq2!xw", PasswordProfile::Composition), Ok(()));
    }

    #[test]
    fn weak_ones_are_refused_with_their_reason() {
        use PasswordError::{Composition, Guessable, Long, Name, Short};
        for (bad, profile, why) in [
            ("k7#vRq2!xw", PasswordProfile::Length, Short { least: 15 }),
            ("k7#vRq", PasswordProfile::Composition, Short { least: 8 }),
            ("plumorbitkettle", PasswordProfile::Composition, Composition),
            ("12345678901234567890", PasswordProfile::Composition, Composition),
            ("aaaaaaaaaaaaaaaaaaaa", PasswordProfile::Length, Guessable),
            ("password123456789", PasswordProfile::Length, Guessable),
            ("qwertyuiopasdfghjkl", PasswordProfile::Length, Guessable),
            ("Password1", PasswordProfile::Composition, Guessable),
            ("plum orbit LIDDELL kettle", PasswordProfile::Length, Name),
            ("my clinic is the best plum", PasswordProfile::Length, Name),
        ] {
            assert_eq!(judge(bad, profile), Err(why), "{bad}");
        }
        assert_eq!(judge(&"plum orbit ".repeat(12), PasswordProfile::Length), Err(Long));
    }
}
