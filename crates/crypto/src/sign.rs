//! Ed25519 (RFC 8032), for the audit log's checkpoints.

use aws_lc_rs::signature::{self, Ed25519KeyPair, KeyPair};

use crate::{Key, Tampered};

/// A key that signs.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// The one whose seed is this key. The key should have no other use.
    pub fn from_seed(seed: &Key) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(seed.expose()).expect("every 32 bytes are a seed"))
    }

    /// Its public half.
    pub fn public(&self) -> [u8; 32] {
        self.0.public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes")
    }

    /// The signature of `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).as_ref().try_into().expect("an Ed25519 signature has 64 bytes")
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[key]")
    }
}

/// Whether the owner of `public` signed `message`.
pub fn verify_signature(public: &[u8; 32], message: &[u8], signature: &[u8]) -> Result<(), Tampered> {
    signature::UnparsedPublicKey::new(&signature::ED25519, public)
        .verify(message, signature)
        .map_err(|_| Tampered)
}
