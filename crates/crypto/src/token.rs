//! 128 random bits as 26 letters: pickup links, sessions, devices, set-up links.

use sealpost_model::Secret;

use crate::{Random, base32, sha256};

/// A bearer secret. The server keeps [`Token::digest`] only.
#[derive(Clone, Debug)]
pub struct Token(Secret<[u8; 16]>);

impl Token {
    /// A fresh one.
    pub fn random(random: &Random) -> Self {
        Self(Secret::new(random.bytes()))
    }

    /// From its text; anything but canonical text is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        base32::decode(text).map(|bytes| Self(Secret::new(bytes)))
    }

    /// 26 lower-case base32 characters.
    pub fn expose(&self) -> Secret<String> {
        Secret::new(base32::encode(self.0.expose()))
    }

    /// What the server keeps and looks up by. With 128 random bits a plain hash is enough; `purpose` keeps a token of
    /// one kind from being taken for one of another.
    pub fn digest(&self, purpose: &str) -> [u8; 32] {
        let mut bytes = zeroize::Zeroizing::new(Vec::with_capacity(purpose.len() + 17));
        bytes.extend_from_slice(purpose.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(self.0.expose());
        sha256(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let token = Token::random(&Random::system());
        let text = token.expose();
        assert_eq!(text.expose().len(), 26);
        assert!(text.expose().chars().all(base32::is_letter));
        let again = Token::parse(text.expose()).unwrap();
        assert_eq!(again.digest("session"), token.digest("session"));
        assert_ne!(again.digest("session"), token.digest("pickup"));
    }

    #[test]
    fn strangers_text_is_refused() {
        for text in [
            "",
            "a",
            "AAAAAAAAAAAAAAAAAAAAAAAAAA",
            "aaaaaaaaaaaaaaaaaaaaaaaaab",
            "aaaaaaaaaaaaaaaaaaaaaaaaa/",
        ] {
            assert!(Token::parse(text).is_none(), "{text}");
        }
    }
}
