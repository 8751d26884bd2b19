//! Keys, sealing, hashing: every use of cryptography that is Sealpost's own goes through this crate. No I/O, no clock.
//!
//! What a [`Key`] may do:
//!
//! * **Seal a column**: AES-256-GCM with an [`Aad`] that names tenant, table, row and column, so that a value moved to
//!   another place does not open. [`Cipher`] is the expanded form of a key, for loops; [`CountingCipher`] is a fresh
//!   key that only this process seals with, whose nonces are counted.
//! * **Wrap another key**: the same, for 32 bytes.
//! * **Seal a body**: [`BlobSealer`] and [`BlobOpener`] work in chunks of 256 KiB, so that a body of any size passes
//!   through bounded memory and any range of it opens by itself.
//! * **Look things up without showing them**: a blind index ([`Key::blind`]), a row's MAC ([`Key::mac`]), an
//!   identifier for a URL ([`Opaque`]).
//! * **Be the parent of other keys**: [`Key::derive`], HKDF-SHA256 with a label for each purpose.
//! * **Survive the loss of its file**: sealed to a [`RecoveryPublic`] whose secret half lies in the [`Share`]s of several
//!   people.
//!
//! Invariants: a sealed value says its format in its first byte, and that byte is authenticated; a nonce is random,
//! counted by the one owner of its key, or the number of a chunk under a key that seals one blob; everything that
//! holds a key is wiped on drop and prints as `[key]`. Randomness comes from a [`Random`] that is handed in.

mod aad;
pub mod app_password;
pub mod base32;
mod blob;
mod cipher;
mod code;
mod digest;
pub mod inventory;
mod key;
mod mac;
mod opaque;
pub mod passphrase;
pub mod password;
mod random;
mod recovery;
mod shamir;
mod share;
mod sign;
mod tampered;
mod token;

pub use aad::Aad;
pub use blob::{
    BlobOpener, BlobSealer, BlobStream, CHUNK, Chunk, FRAME_HEADER, FRAME_OVERHEAD, MAX_FRAME, Sealed,
};
pub use cipher::{Cipher, CountingCipher, SEALED_OVERHEAD};
pub use code::Code;
pub use digest::{Sha256, constant_time_eq, danger_sha1, sha256};
pub use inventory::module;
pub use key::{Key, WRAPPED_LEN};
pub use mac::{Hasher, MacKey};
pub use opaque::Opaque;
pub use random::Random;
pub use recovery::{PUBLIC as RECOVERY_PUBLIC, RecoveryKey, RecoveryPublic};
pub use share::{JoinError, MOST_SHARES, Share, ShareError};
pub use sign::{SigningKey, verify_signature};
pub use tampered::Tampered;
pub use token::Token;
