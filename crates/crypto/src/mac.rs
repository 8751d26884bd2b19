//! HMAC-SHA256 under an expanded key: row MACs, blind indexes, hashes of codes.

use aws_lc_rs::hmac;

use crate::{Key, Tampered, constant_time_eq};

/// An expanded key for HMAC-SHA256 (RFC 2104). Made from a child of a [`Key`] by [`Key::mac_key`] or
/// [`Key::blind_key`]; wiped on drop.
#[derive(Clone)]
pub struct MacKey(hmac::Key);

impl MacKey {
    /// Expands `key` as it is. The key should have no other use.
    pub fn new(key: &Key) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.expose()))
    }

    /// The first 16 bytes of the HMAC over `parts`, each preceded by its length (8, big endian).
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut short = [0; 16];
        short.copy_from_slice(&self.mac_whole(parts)[..16]);
        short
    }

    /// All 32 bytes of it.
    pub fn mac_whole(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut hasher = self.hasher();
        for part in parts {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        hasher.finish()
    }

    /// Whether `mac` is that of `parts`, in constant time.
    pub fn verify(&self, parts: &[&[u8]], mac: &[u8]) -> Result<(), Tampered> {
        if constant_time_eq(&self.mac(parts), mac) { Ok(()) } else { Err(Tampered) }
    }

    /// A keyed hash of bytes that arrive in pieces (a body, for single instance storage).
    pub fn hasher(&self) -> Hasher {
        Hasher(hmac::Context::with_key(&self.0))
    }
}

impl std::fmt::Debug for MacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[key]")
    }
}

/// HMAC-SHA256 of a stream, without lengths.
#[derive(Clone)]
pub struct Hasher(hmac::Context);

impl Hasher {
    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The hash of all pieces.
    pub fn finish(self) -> [u8; 32] {
        self.0.sign().as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[key]")
    }
}
