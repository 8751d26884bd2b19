//! A 256-bit key: wiped on drop, never printed, the parent of other keys.

use aws_lc_rs::hkdf;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{Aad, Cipher, MacKey, Random, Tampered};

/// Length of what [`Key::wrap`] returns: format (1), nonce (12), key (32), tag (16).
pub const WRAPPED_LEN: usize = 1 + 12 + Key::LEN + 16;

/// 32 secret bytes.
///
/// The methods that seal expand the key each time (about 0.3 µs); in a loop take [`Key::cipher`] or [`Key::mac_key`]
/// once. A key that seals may also have children: AES and HMAC don't disturb each other.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Key([u8; Key::LEN]);

impl Key {
    /// Its length in bytes.
    pub const LEN: usize = 32;

    /// The key with these bytes, which must be uniformly random. See [`Random::key`] for a fresh one.
    pub const fn from_bytes(bytes: [u8; Key::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes themselves. Whoever calls this must not log, store or compare them.
    pub const fn expose(&self) -> &[u8; Key::LEN] {
        &self.0
    }

    /// The child for one purpose: HKDF-SHA256 (RFC 5869), salt `sealpost 1`, info = `label`, a zero byte.
    pub fn derive(&self, label: &str) -> Self {
        self.derive_for(label, &[])
    }

    /// The child for one purpose and one thing: info = `label`, a zero byte, `context`.
    pub fn derive_for(&self, label: &str, context: &[u8]) -> Self {
        struct Len;
        impl hkdf::KeyType for Len {
            fn len(&self) -> usize {
                Key::LEN
            }
        }
        debug_assert!(!label.contains('\0'), "a zero byte ends the label");
        let mut key = Self([0; Key::LEN]);
        hkdf::Salt::new(hkdf::HKDF_SHA256, b"sealpost 1")
            .extract(&self.0)
            .expand(&[label.as_bytes(), &[0], context], Len)
            .and_then(|okm| okm.fill(&mut key.0))
            .expect("one block of HKDF output is always to be had");
        key
    }

    /// The expanded key for sealing and opening many values.
    pub fn cipher(&self) -> Cipher {
        Cipher::new(self)
    }

    /// The expanded key for MACs.
    pub fn mac_key(&self) -> MacKey {
        MacKey::new(&self.derive("mac"))
    }

    /// The expanded key for blind indexes.
    pub fn blind_key(&self) -> MacKey {
        MacKey::new(&self.derive("blind"))
    }

    /// Seals `plain` for the place `aad`: format 1 (1), random nonce (12), ciphertext, tag (16).
    pub fn seal(&self, random: &Random, aad: &Aad, plain: &[u8]) -> Vec<u8> {
        self.cipher().seal(random, aad, plain)
    }

    /// Opens what [`Key::seal`] made for the same place.
    pub fn open(&self, aad: &Aad, sealed: &[u8]) -> Result<Vec<u8>, Tampered> {
        self.cipher().open(aad, sealed)
    }

    /// Seals another key: [`WRAPPED_LEN`] bytes.
    pub fn wrap(&self, random: &Random, aad: &Aad, key: &Key) -> Vec<u8> {
        self.cipher().wrap(random, aad, key)
    }

    /// Opens what [`Key::wrap`] made for the same place.
    pub fn unwrap(&self, aad: &Aad, wrapped: &[u8]) -> Result<Key, Tampered> {
        self.cipher().unwrap(aad, wrapped)
    }

    /// A MAC over `parts`, each preceded by its length: HMAC-SHA256 under the child `mac`, its first 16 bytes.
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; 16] {
        self.mac_key().mac(parts)
    }

    /// Whether `mac` is that of `parts`, in constant time.
    pub fn verify_mac(&self, parts: &[&[u8]], mac: &[u8]) -> Result<(), Tampered> {
        self.mac_key().verify(parts, mac)
    }

    /// A keyed hash for equality look-ups: HMAC-SHA256 under the child `blind`, its first 16 bytes.
    pub fn blind(&self, value: &[u8]) -> [u8; 16] {
        self.blind_key().mac(&[value])
    }
}

/// In constant time.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        crate::constant_time_eq(&self.0, &other.0)
    }
}

impl Eq for Key {}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[key]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_a_byte() {
        assert_eq!(
            format!("{:?} {:#?}", Key::from_bytes([7; 32]), Some(Key::from_bytes([7; 32]))).find('7'),
            None
        );
    }

    #[test]
    fn children_differ_by_label_and_context_and_stay_the_same() {
        let key = Key::from_bytes([1; 32]);
        assert_eq!(key.derive("a"), key.derive("a"));
        assert_ne!(key.derive("a"), key.derive("b"));
        assert_ne!(key.derive("a"), key.derive_for("a", b"x"));
        assert_ne!(key.derive_for("a", b"x"), key.derive_for("ax", b""));
        assert_ne!(key.derive("a"), Key::from_bytes([2; 32]).derive("a"));
    }

    #[test]
    fn a_wrapped_key_opens_in_its_place_only() {
        let r = Random::danger_predictable(1);
        let (outer, inner) = (r.key(), r.key());
        let aad = Aad::instance("root", 1, "wrapped");
        let wrapped = outer.wrap(&r, &aad, &inner);
        assert_eq!(wrapped.len(), WRAPPED_LEN);
        assert_eq!(outer.unwrap(&aad, &wrapped), Ok(inner.clone()));
        assert_eq!(outer.unwrap(&Aad::instance("root", 2, "wrapped"), &wrapped), Err(Tampered));
        assert_eq!(inner.unwrap(&aad, &wrapped), Err(Tampered));
        assert_eq!(outer.unwrap(&aad, &wrapped[1..]), Err(Tampered));
        let longer = outer.seal(&r, &aad, &[0; 33]);
        assert_eq!(outer.unwrap(&aad, &longer), Err(Tampered));
    }
}
