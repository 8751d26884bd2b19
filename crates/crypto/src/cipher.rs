//! AES-256-GCM under an expanded key: sealed columns and wrapped keys.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::aead::{self, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroize;

use crate::{Aad, Key, Random, Tampered, WRAPPED_LEN};

/// What sealing adds to a value: format (1), nonce (12), tag (16).
pub const SEALED_OVERHEAD: usize = 1 + NONCE + TAG;

const NONCE: usize = aead::NONCE_LEN;
const TAG: usize = 16;
/// First byte of a value sealed under a key that its row implies, with a random nonce.
const FORMAT: u8 = 1;

/// An expanded key. To expand it costs as much as to seal a short column, so hold on to it where many are sealed or
/// opened; it is wiped on drop.
pub struct Cipher(LessSafeKey);

impl Cipher {
    /// Expands `key`.
    pub fn new(key: &Key) -> Self {
        let key = UnboundKey::new(&aead::AES_256_GCM, key.expose()).expect("a key has 32 bytes");
        Self(LessSafeKey::new(key))
    }

    /// Seals `plain` for the place `aad`: format 1 (1), random nonce (12), ciphertext, tag (16). A key may seal 2^32
    /// values so (NIST SP 800-38D section 8.3); ours change before 2^31.
    pub fn seal(&self, random: &Random, aad: &Aad, plain: &[u8]) -> Vec<u8> {
        self.seal_after(&[FORMAT], random.bytes(), aad, plain)
    }

    /// Opens what [`Cipher::seal`] made for the same place.
    pub fn open(&self, aad: &Aad, sealed: &[u8]) -> Result<Vec<u8>, Tampered> {
        match sealed.first() {
            Some(&FORMAT) => self.open_after(1, aad, sealed),
            _ => Err(Tampered),
        }
    }

    /// Seals another key: [`WRAPPED_LEN`] bytes.
    pub fn wrap(&self, random: &Random, aad: &Aad, key: &Key) -> Vec<u8> {
        self.seal(random, aad, key.expose())
    }

    /// Opens what [`Cipher::wrap`] made for the same place.
    pub fn unwrap(&self, aad: &Aad, wrapped: &[u8]) -> Result<Key, Tampered> {
        if wrapped.len() != WRAPPED_LEN || wrapped[0] != FORMAT {
            return Err(Tampered);
        }
        let mut bytes = [0; Key::LEN];
        self.open_into(1, aad, wrapped, &mut bytes)?;
        let key = Key::from_bytes(bytes);
        bytes.zeroize();
        Ok(key)
    }

    /// Opens a value of a format of the caller's, whose first `prefix` bytes (format byte, name of the key) were
    /// authenticated and are followed by nonce, ciphertext and tag. See [`CountingCipher::seal`].
    pub fn open_after(&self, prefix: usize, aad: &Aad, sealed: &[u8]) -> Result<Vec<u8>, Tampered> {
        let len = sealed.len().checked_sub(prefix + NONCE + TAG).ok_or(Tampered)?;
        let mut plain = vec![0; len];
        self.open_into(prefix, aad, sealed, &mut plain)?;
        Ok(plain)
    }

    fn open_into(&self, prefix: usize, aad: &Aad, sealed: &[u8], plain: &mut [u8]) -> Result<(), Tampered> {
        let (head, rest) = sealed.split_at_checked(prefix).ok_or(Tampered)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE>().ok_or(Tampered)?;
        let (text, tag) = rest.split_last_chunk::<TAG>().ok_or(Tampered)?;
        with_joined(head, aad, |aad| {
            let nonce = Nonce::assume_unique_for_key(*nonce);
            self.0.open_separate_gather(nonce, aead::Aad::from(aad), text, tag, plain).map_err(|_| Tampered)
        })
    }

    fn seal_after(&self, prefix: &[u8], nonce: [u8; NONCE], aad: &Aad, plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(prefix.len() + NONCE + plain.len() + TAG);
        out.extend_from_slice(prefix);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(plain);
        let tag =
            with_joined(prefix, aad, |aad| self.seal_chunk(nonce, aad, &mut out[prefix.len() + NONCE..]));
        out.extend_from_slice(&tag);
        out
    }

    /// Seals in place, for formats that keep their nonce elsewhere. The nonce must be new under this key.
    pub(crate) fn seal_chunk(&self, nonce: [u8; NONCE], aad: &[u8], text: &mut [u8]) -> [u8; TAG] {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, aead::Aad::from(aad), text)
            .expect("AES-GCM refuses only what is longer than 64 GiB");
        tag.as_ref().try_into().expect("a GCM tag has 16 bytes")
    }

    /// Opens what [`Cipher::seal_chunk`] made: `sealed` is the ciphertext and its tag.
    pub(crate) fn open_chunk(
        &self,
        nonce: [u8; NONCE],
        aad: &[u8],
        sealed: &[u8],
    ) -> Result<Vec<u8>, Tampered> {
        let (text, tag) = sealed.split_last_chunk::<TAG>().ok_or(Tampered)?;
        let mut plain = vec![0; text.len()];
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0
            .open_separate_gather(nonce, aead::Aad::from(aad), text, tag, &mut plain)
            .map_err(|_| Tampered)?;
        Ok(plain)
    }
}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[key]")
    }
}

/// A key that was made here and that nobody but this value seals with: its nonces are counted, so they never repeat,
/// however many there are. Others open with the [`Key`] that came with it.
pub struct CountingCipher {
    cipher: Cipher,
    /// Sets two owners of one key apart should a machine be resumed twice from one snapshot.
    salt: [u8; 4],
    next: AtomicU64,
}

impl CountingCipher {
    /// A fresh key, and the one value that seals with it.
    pub fn generate(random: &Random) -> (Self, Key) {
        let key = random.key();
        (Self { cipher: key.cipher(), salt: random.bytes(), next: AtomicU64::new(0) }, key)
    }

    /// Seals `plain` for the place `aad`: `prefix`, nonce (12), ciphertext, tag (16). The prefix is authenticated; its
    /// first byte must be a format of its own.
    pub fn seal(&self, prefix: &[u8], aad: &Aad, plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE];
        nonce[..4].copy_from_slice(&self.salt);
        nonce[4..].copy_from_slice(&self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        self.cipher.seal_after(prefix, nonce, aad, plain)
    }

    /// Opens what it sealed.
    pub fn open(&self, prefix: usize, aad: &Aad, sealed: &[u8]) -> Result<Vec<u8>, Tampered> {
        self.cipher.open_after(prefix, aad, sealed)
    }

    /// How many values it has sealed.
    pub fn uses(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for CountingCipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[key]")
    }
}

/// Hands `prefix` and `aad` over as one slice; those of usual length are joined on the stack.
fn with_joined<T>(prefix: &[u8], aad: &Aad, f: impl FnOnce(&[u8]) -> T) -> T {
    let aad = aad.bytes();
    let len = prefix.len() + aad.len();
    let mut short = [0_u8; 192];
    if let Some(joined) = short.get_mut(..len) {
        joined[..prefix.len()].copy_from_slice(prefix);
        joined[prefix.len()..].copy_from_slice(aad);
        f(joined)
    } else {
        f(&[prefix, aad].concat())
    }
}
