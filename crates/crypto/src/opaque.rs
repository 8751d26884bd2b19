//! Ids as strangers see them: in URLs and protocols, 26 letters that can be neither guessed nor counted.

use crate::{Key, MacKey, base32, constant_time_eq};

/// Turns numbers into opaque text and back, each within a kind and a scope (an account). The same number always has
/// the same text. Text that this key did not make for this kind and scope decodes to nothing, but for a chance of
/// 2^-64; it is a name and not a permission.
///
/// Format: 16 bytes in base32: the first 8 of the MAC of kind, scope and id; then the id, masked with the first 8 of
/// the MAC of those 8 (a synthetic IV, as in RFC 5297).
#[derive(Clone, Debug)]
pub struct Opaque {
    tag: MacKey,
    mask: MacKey,
}

impl Opaque {
    /// Under children of `key`.
    pub fn new(key: &Key) -> Self {
        Self { tag: MacKey::new(&key.derive("opaque tag")), mask: MacKey::new(&key.derive("opaque mask")) }
    }

    /// The text for `id`.
    pub fn encode(&self, kind: &str, scope: i64, id: i64) -> String {
        let tag = self.tag(kind, scope, id);
        let masked = u64::from_be_bytes(id.to_be_bytes()) ^ self.mask(tag);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&tag);
        bytes[8..].copy_from_slice(&masked.to_be_bytes());
        base32::encode(&bytes)
    }

    /// The id whose text this is.
    pub fn decode(&self, kind: &str, scope: i64, text: &str) -> Option<i64> {
        let bytes = base32::decode::<16>(text)?;
        let (tag, masked) = bytes.split_first_chunk::<8>()?;
        let masked = u64::from_be_bytes(masked.try_into().ok()?);
        let id = i64::from_be_bytes((masked ^ self.mask(*tag)).to_be_bytes());
        constant_time_eq(&self.tag(kind, scope, id), tag).then_some(id)
    }

    fn tag(&self, kind: &str, scope: i64, id: i64) -> [u8; 8] {
        first8(self.tag.mac(&[kind.as_bytes(), &scope.to_be_bytes(), &id.to_be_bytes()]))
    }

    fn mask(&self, tag: [u8; 8]) -> u64 {
        u64::from_be_bytes(first8(self.mask.mac(&[&tag])))
    }
}

fn first8(bytes: [u8; 16]) -> [u8; 8] {
    let mut first = [0; 8];
    first.copy_from_slice(&bytes[..8]);
    first
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_id_comes_back_in_its_kind_scope_and_key_only(id: i64, scope: i64, other: i64) {
            let key = Opaque::new(&Key::from_bytes([3; 32]));
            let text = key.encode("message", scope, id);
            prop_assert_eq!(text.len(), 26);
            prop_assert_eq!(key.decode("message", scope, &text), Some(id));
            prop_assert_eq!(key.decode("folder", scope, &text), None);
            prop_assert_eq!(Opaque::new(&Key::from_bytes([4; 32])).decode("message", scope, &text), None);
            if other != scope {
                prop_assert_eq!(key.decode("message", other, &text), None);
            }
        }

        #[test]
        fn strangers_text_means_nothing(text in "[a-z2-7]{25}[aeimquy4]") {
            prop_assert_eq!(Opaque::new(&Key::from_bytes([3; 32])).decode("message", 1, &text), None);
        }
    }
}
