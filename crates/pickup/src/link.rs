//! The link's token: derived from the recipient's id under a key of the tenant, so that a notice that has to be made
//! again (the process died between its submission and the row's note of it) carries the same link as the first.
//!
//! To everybody without that key it is 128 random bits, and the table holds a blind index of it only.

use sealpost_crypto::Token;
use sealpost_model::{Id, RecipientId};
use sealpost_store::keys::{Keys, Root, TenantKeys};

use crate::Link;

pub(crate) fn of(keys: &TenantKeys, recipient: RecipientId) -> Link {
    let mac = keys.derive(Root::Content, "pickup link").mac_key().mac(&[&recipient.raw().to_be_bytes()]);
    let text = base32(mac);
    Link::from(Token::parse(&text).expect("26 canonical characters are a token"))
}

/// What the table holds of a token.
pub(crate) fn index(keys: &Keys, purpose: &'static str, token: &Token) -> [u8; 16] {
    keys.instance().blind(purpose, &token.digest(purpose))
}

/// RFC 4648 section 6 in lower case, without padding.
fn base32(bytes: [u8; 16]) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bits = u128::from_be_bytes(bytes);
    // 128 bits are 25 groups of five and three more, which the last character carries in front of two zeros.
    (0..26)
        .map(|i| {
            let group = if i < 25 { (bits >> (123 - 5 * i)) & 31 } else { (bits << 2) & 31 };
            char::from(ALPHABET[usize::try_from(group).expect("five bits")])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_are_a_token() {
        for bytes in [[0; 16], [0xff; 16], *b"0123456789abcdef", [0x80; 16], [1; 16]] {
            let text = base32(bytes);
            assert_eq!(text.len(), 26);
            assert_eq!(Token::parse(&text).expect("canonical").expose().expose(), &text);
        }
    }
}
