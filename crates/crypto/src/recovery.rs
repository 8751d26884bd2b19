//! Sealing a key so that only the holders of a recovery kit can open it.
//!
//! The server keeps the public half, so a new master key is sealed to the kit without asking for a single share; the
//! secret half exists as shares on paper only ([`Share`](crate::Share)).
//!
//! It is ECDH with a fresh key over P-384 (NIST SP 800-56A), HKDF-SHA256 and AES-256-GCM. A sealed key, a stored format:
//! format 1 (1), the fresh public key, uncompressed (97), a wrapped key (61). The wrapping key is the child `recovery
//! seal` of the first 32 bytes' hash: HKDF with the shared secret, and both public keys as context.

use aws_lc_rs::agreement::{self, ECDH_P384, PrivateKey, UnparsedPublicKey};
use zeroize::{Zeroize, Zeroizing};

use crate::{Aad, Key, Random, Tampered, WRAPPED_LEN, sha256};

/// Bytes of a public half.
pub const PUBLIC: usize = 97;
const FORMAT: u8 = 1;
const SCALAR: usize = 48;

/// The secret half: what a kit's shares bring back.
pub struct RecoveryKey {
    private: PrivateKey,
    public: RecoveryPublic,
}

/// The public half.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecoveryPublic([u8; PUBLIC]);

impl RecoveryKey {
    /// The pair that grows from a secret, the same each time.
    pub fn from_secret(secret: &Key) -> Self {
        // A scalar that is 0 or past the group's order comes once in 2^190 draws; then the next is taken.
        for counter in 0..=u8::MAX {
            let mut scalar = Zeroizing::new([0; SCALAR]);
            let half = |half| secret.derive_for("recovery scalar", &[counter, half]);
            scalar[..32].copy_from_slice(half(0).expose());
            scalar[32..].copy_from_slice(&half(1).expose()[..SCALAR - 32]);
            if let Some(key) = Self::from_scalar(&scalar) {
                return key;
            }
        }
        unreachable!("256 draws in a row past the order of P-384")
    }

    fn from_scalar(scalar: &[u8; SCALAR]) -> Option<Self> {
        let private = PrivateKey::from_private_key(&ECDH_P384, scalar).ok()?;
        let public = private.compute_public_key().ok()?.as_ref().try_into().ok()?;
        Some(Self { private, public: RecoveryPublic(public) })
    }

    /// The public half.
    pub const fn public(&self) -> &RecoveryPublic {
        &self.public
    }

    /// Opens what [`RecoveryPublic::seal`] made for the same place.
    ///
    /// # Errors
    /// [`Tampered`], also when it was sealed to another kit.
    pub fn open(&self, aad: &Aad, sealed: &[u8]) -> Result<Key, Tampered> {
        let (&format, rest) = sealed.split_first().ok_or(Tampered)?;
        let (fresh, wrapped) = rest.split_first_chunk::<PUBLIC>().ok_or(Tampered)?;
        if format != FORMAT || wrapped.len() != WRAPPED_LEN {
            return Err(Tampered);
        }
        wrapping_key(&self.private, fresh, fresh, &self.public.0)?.unwrap(aad, wrapped)
    }
}

impl std::fmt::Debug for RecoveryKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[key]")
    }
}

impl RecoveryPublic {
    /// The public half with these bytes.
    ///
    /// # Errors
    /// [`Tampered`] when they are no point of the curve.
    pub fn from_bytes(bytes: [u8; PUBLIC]) -> Result<Self, Tampered> {
        agreement::ParsedPublicKey::try_from(&UnparsedPublicKey::new(&ECDH_P384, &bytes))
            .map_err(|_| Tampered)?;
        Ok(Self(bytes))
    }

    /// Its bytes: an uncompressed point.
    pub const fn bytes(&self) -> &[u8; PUBLIC] {
        &self.0
    }

    /// Seals `key` for the place `aad`, so that the kit's holders alone can open it.
    ///
    /// # Errors
    /// [`Tampered`] when this is no point of the curve.
    pub fn seal(&self, random: &Random, aad: &Aad, key: &Key) -> Result<Vec<u8>, Tampered> {
        let fresh = RecoveryKey::from_secret(&random.key());
        let ours = fresh.public.0;
        let wrapping = wrapping_key(&fresh.private, &self.0, &ours, &self.0)?;
        Ok([&[FORMAT], &ours[..], &wrapping.wrap(random, aad, key)].concat())
    }
}

/// HKDF of what `private` and `peer` share, bound to both public keys.
fn wrapping_key(
    private: &PrivateKey,
    peer: &[u8; PUBLIC],
    fresh: &[u8; PUBLIC],
    kit: &[u8; PUBLIC],
) -> Result<Key, Tampered> {
    let peer = UnparsedPublicKey::new(&ECDH_P384, peer);
    agreement::agree(private, peer, Tampered, |shared| {
        let mut hash = sha256(shared);
        let key = Key::from_bytes(hash).derive_for("recovery seal", &[&fresh[..], &kit[..]].concat());
        hash.zeroize();
        Ok(key)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aad() -> Aad {
        Aad::instance("recovery", 1, "master")
    }

    #[test]
    fn only_the_secret_half_opens_and_only_in_its_place() {
        let random = Random::danger_predictable(5);
        let (secret, master) = (random.key(), random.key());
        let public = RecoveryKey::from_secret(&secret).public().clone();
        let public = RecoveryPublic::from_bytes(*public.bytes()).unwrap();
        let sealed = public.seal(&random, &aad(), &master).unwrap();
        let kit = RecoveryKey::from_secret(&secret);
        assert_eq!(kit.open(&aad(), &sealed), Ok(master.clone()));
        assert_eq!(kit.open(&Aad::instance("recovery", 2, "master"), &sealed), Err(Tampered));
        assert_eq!(RecoveryKey::from_secret(&master).open(&aad(), &sealed), Err(Tampered));
        for at in [0, 1, 50, 97, 98, 120, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(kit.open(&aad(), &changed), Err(Tampered), "byte {at}");
        }
        assert_eq!(kit.open(&aad(), &sealed[..sealed.len() - 1]), Err(Tampered));
        assert_ne!(public.seal(&random, &aad(), &master).unwrap(), sealed);
    }

    #[test]
    fn what_is_no_point_is_no_public_half() {
        assert_eq!(RecoveryPublic::from_bytes([0; PUBLIC]), Err(Tampered));
        let mut bytes = *RecoveryKey::from_secret(&Key::from_bytes([1; 32])).public().bytes();
        bytes[20] ^= 1;
        assert_eq!(RecoveryPublic::from_bytes(bytes), Err(Tampered));
    }
}
