//! The bytes of a leaf [F]: plain facts, hash of the sealed detail, commitment. No I/O.

use sealpost_crypto::sha256;

/// The numbers of an entry in the order in which they are hashed: id, tenant, time, verb, outcome, protocol, kind of actor,
/// actor's tenant, actor, owner, closed entry.
pub(crate) type Numbers = [i64; 11];

/// The plain facts as bytes that can be read in one way only: format, eleven numbers, then reason and objects with
/// their lengths.
pub(crate) fn facts(numbers: &Numbers, reason: &str, objects: &[u8]) -> Vec<u8> {
    let mut facts = Vec::with_capacity(105 + reason.len() + objects.len());
    facts.push(FORMAT);
    for number in numbers {
        facts.extend_from_slice(&number.to_be_bytes());
    }
    for part in [reason.as_bytes(), objects] {
        facts.extend_from_slice(&(part.len() as u64).to_be_bytes());
        facts.extend_from_slice(part);
    }
    facts
}

/// The leaf's bytes. RFC 6962 section 2.1 hashes them.
pub(crate) fn data(mut facts: Vec<u8>, detail: &[u8], commitment: &[u8]) -> Vec<u8> {
    facts.extend_from_slice(&sha256(detail));
    facts.extend_from_slice(commitment);
    facts
}

/// The format of the facts [F].
const FORMAT: u8 = 1;
