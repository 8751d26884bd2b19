//! Passwords of people: argon2id (RFC 9106) with the parameters that OWASP names first, as a PHC string.
//!
//! A hash takes 19 MiB and some 20 ms of one core, on purpose: callers run it in a bounded pool, behind admission
//! by network.

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use sealpost_model::Secret;

use crate::Random;

/// Memory in KiB, passes, lanes.
pub(crate) const COST: (u32, u32, u32) = (19_456, 2, 1);

/// What [`verify_nobody`] verifies against: the cost of a real one and no known password.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`, with a fresh salt of 16 bytes.
pub fn hash(random: &Random, password: &Secret<String>) -> String {
    let salt = SaltString::encode_b64(&random.bytes::<16>()).expect("16 bytes are a salt");
    hasher()
        .hash_password(password.expose().as_bytes(), &salt)
        .expect("a password within 4 GiB has a hash")
        .to_string()
}

/// Whether `password` has the hash `phc`. A hash that is no argon2id, or whose parameters would exhaust the machine,
/// is matched by nothing.
pub fn verify(password: &Secret<String>, phc: &str) -> bool {
    let Ok(hash) = PasswordHash::new(phc) else { return false };
    let sane =
        Params::try_from(&hash).is_ok_and(|p| p.m_cost() <= 1 << 20 && p.t_cost() <= 16 && p.p_cost() <= 8);
    sane && hash.algorithm == argon2::ARGON2ID_IDENT
        && hasher().verify_password(password.expose().as_bytes(), &hash).is_ok()
}

/// What [`verify`] costs, for a name that nobody has: whether a name exists must not show in the time. Always false.
pub fn verify_nobody(password: &Secret<String>) -> bool {
    std::hint::black_box(verify(password, NOBODY));
    false
}

/// Whether `phc` was made with other parameters than those of today, so that the next good sign-in should rehash.
pub fn is_outdated(phc: &str) -> bool {
    PasswordHash::new(phc)
        .ok()
        .filter(|h| h.algorithm == argon2::ARGON2ID_IDENT)
        .and_then(|h| Params::try_from(&h).ok())
        .is_none_or(|p| (p.m_cost(), p.t_cost(), p.p_cost()) != COST)
}

fn hasher() -> Argon2<'static> {
    let params = Params::new(COST.0, COST.1, COST.2, Some(32)).expect("our parameters are within bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn a_hash_is_matched_by_its_password_only() {
        let r = Random::system();
        let phc = hash(&r, &secret("correct horse"));
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert!(verify(&secret("correct horse"), &phc));
        assert!(!verify(&secret("correct horsf"), &phc));
        assert!(!verify(&secret(""), &phc));
        assert_ne!(phc, hash(&r, &secret("correct horse")), "each has a salt of its own");
        assert!(!is_outdated(&phc));
    }

    #[test]
    fn a_hash_of_the_reference_implementation() {
        // printf password | argon2 somesalt -id -t 2 -m 16 -p 1 (the reference implementation's own test).
        let phc = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert!(verify(&secret("password"), phc));
        assert!(!verify(&secret("Password"), phc));
        assert!(is_outdated(phc));
    }

    #[test]
    fn what_is_no_hash_matches_nothing() {
        for phc in [
            "",
            "password",
            "$argon2id$v=19$m=4294967295,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA",
            "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ",
        ] {
            assert!(!verify(&secret("password"), phc), "{phc}");
        }
    }

    #[test]
    fn nobody_has_no_password_and_the_same_cost() {
        assert!(!verify_nobody(&secret("anything")));
        let nobody = PasswordHash::new(NOBODY).unwrap();
        assert_eq!(nobody.hash.unwrap().len(), 32);
        assert!(!is_outdated(NOBODY));
    }
}
