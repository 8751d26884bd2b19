//! Signed checkpoints: C2SP tlog-checkpoint in a C2SP signed-note, Ed25519.
//!
//! ```text
//! mail.clinic.test/log/4f2a90c1d3e5b677
//! 15368
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//!
//! — mail.clinic.test/log/4f2a90c1d3e5b677 Az3grl...
//! ```

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sealpost_crypto::{SigningKey, sha256, verify_signature};
use tlog_tiles::{Checkpoint, Hash};

/// A checkpoint whose signature was made or verified here.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Signed {
    pub origin: String,
    pub size: u64,
    pub root: Hash,
    /// The whole note.
    pub note: String,
}

/// Signs a text that ends in LF, as a signed note by the log's key.
pub(crate) fn sign_note(key: &SigningKey, origin: &str, body: &str) -> String {
    let mut signature = key_id(origin, &key.public()).to_vec();
    signature.extend_from_slice(&key.sign(body.as_bytes()));
    format!("{body}\n\u{2014} {origin} {}\n", BASE64_STANDARD.encode(signature))
}

/// Signs a tree's head.
pub(crate) fn sign(key: &SigningKey, origin: &str, size: u64, root: Hash) -> Signed {
    let body = format!("{origin}\n{size}\n{root}\n");
    let note = sign_note(key, origin, &body);
    Signed { origin: origin.into(), size, root, note }
}

/// Reads a note and checks the signature that `public` made under the note's origin.
pub(crate) fn verify(public: &[u8; 32], note: &str) -> Option<Signed> {
    let checkpoint = Checkpoint::from_bytes(body(note)?.as_bytes()).ok()?;
    let origin = checkpoint.origin();
    verify_note(public, origin, note)?;
    Some(Signed {
        origin: origin.into(),
        size: checkpoint.size(),
        root: *checkpoint.hash(),
        note: note.into(),
    })
}

/// The text of a signed note, with its last LF.
fn body(note: &str) -> Option<&str> {
    note.find("\n\n").and_then(|end| note.get(..=end))
}

/// Checks the signature that `public` made under this name; answers the text that it signed.
pub(crate) fn verify_note<'a>(public: &[u8; 32], origin: &str, note: &'a str) -> Option<&'a str> {
    let body = body(note)?;
    let signatures = note.get(body.len() + 1..)?;
    // C2SP signed-note: each signature is a line of its own, and nothing else follows.
    if !signatures.ends_with('\n') || signatures.lines().any(|line| !line.starts_with("\u{2014} ")) {
        return None;
    }
    let wanted = key_id(origin, public);
    let good = signatures.lines().any(|line| {
        let Some((name, text)) = line.strip_prefix("\u{2014} ").and_then(|l| l.split_once(' ')) else {
            return false;
        };
        let Ok(bytes) = BASE64_STANDARD.decode(text) else { return false };
        let Some((id, signature)) = bytes.split_first_chunk::<4>() else { return false };
        name == origin && *id == wanted && verify_signature(public, body.as_bytes(), signature).is_ok()
    });
    good.then_some(body)
}

/// The name of a log: the server's name and the key's fingerprint, so that a new key is a new log.
pub(crate) fn origin(server: &str, public: &[u8; 32]) -> String {
    let server: String =
        server.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '_')).collect();
    let server = if server.is_empty() { "sealpost" } else { &server };
    let fingerprint: String = sha256(public)[..8].iter().map(|b| format!("{b:02x}")).collect();
    format!("{server}/log/{fingerprint}")
}

/// The verifier key as signed-note writes it: name, key id, algorithm and key.
pub(crate) fn verifier(origin: &str, public: &[u8; 32]) -> String {
    let mut key = vec![ED25519];
    key.extend_from_slice(public);
    let id: String = key_id(origin, public).iter().map(|b| format!("{b:02x}")).collect();
    format!("{origin}+{id}+{}", BASE64_STANDARD.encode(key))
}

/// The public key of a verifier key, if it is one.
pub(crate) fn parse_verifier(text: &str) -> Option<[u8; 32]> {
    // The base64 text may hold `+` itself.
    let (origin, rest) = text.split_once('+')?;
    let (_, key) = rest.split_once('+')?;
    let bytes = BASE64_STANDARD.decode(key).ok()?;
    let (algorithm, public) = bytes.split_first()?;
    let public: [u8; 32] = public.try_into().ok()?;
    (*algorithm == ED25519 && verifier(origin, &public) == text).then_some(public)
}

/// The first four bytes of `SHA-256(name || "\n" || 0x01 || key)` (C2SP signed-note).
fn key_id(origin: &str, public: &[u8; 32]) -> [u8; 4] {
    let mut bytes = origin.as_bytes().to_vec();
    bytes.extend_from_slice(&[b'\n', ED25519]);
    bytes.extend_from_slice(public);
    let hash = sha256(&bytes);
    [hash[0], hash[1], hash[2], hash[3]]
}

const ED25519: u8 = 1;

#[cfg(test)]
mod tests {
    use sealpost_crypto::Random;
    use tlog_tiles::record_hash;

    use super::*;

    #[test]
    fn a_checkpoint_is_read_back_and_each_changed_byte_is_seen() {
        let key = SigningKey::from_seed(&Random::danger_predictable(1).key());
        let name = origin("mail.clinic.test", &key.public());
        let signed = sign(&key, &name, 15_368, record_hash(b"x"));
        assert_eq!(verify(&key.public(), &signed.note), Some(signed.clone()));
        let bytes = signed.note.as_bytes();
        for i in 0..bytes.len() {
            let mut other = bytes.to_vec();
            other[i] ^= 1;
            if let Ok(other) = std::str::from_utf8(&other) {
                assert_eq!(verify(&key.public(), other), None, "byte {i}");
            }
        }
        for end in ["x", "x\n", "\n"] {
            assert_eq!(verify(&key.public(), &format!("{}{end}", signed.note)), None, "{end:?} behind it");
        }
    }

    #[test]
    fn another_key_does_not_verify() {
        let r = Random::danger_predictable(1);
        let (key, other) = (SigningKey::from_seed(&r.key()), SigningKey::from_seed(&r.key()));
        let signed = sign(&key, &origin("a", &key.public()), 1, record_hash(b"x"));
        assert_eq!(verify(&other.public(), &signed.note), None);
    }

    #[test]
    fn verifier_keys_round_trip() {
        let r = Random::danger_predictable(2);
        for _ in 0..50 {
            let public = SigningKey::from_seed(&r.key()).public();
            let text = verifier(&origin("mail.clinic.test", &public), &public);
            assert_eq!(parse_verifier(&text), Some(public));
            assert_eq!(parse_verifier(&text[1..]), None);
        }
    }
}
