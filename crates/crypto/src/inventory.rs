//! Every algorithm in use, with its key size and what it is for (S11).
//!
//! A use of cryptography that is not in this table does not belong into the program: whoever adds one adds its line.
//! `docs/crypto.md` and `sealpost key inventory` are made of it. None of it can be configured downwards.

use crate::{passphrase, password};

/// A use of cryptography.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Use {
    /// What it protects, or is for.
    pub what: &'static str,
    /// The algorithm, with its parameters.
    pub algorithm: String,
    /// Bits of the key, or of security where there is none.
    pub bits: u16,
    /// Where it is written down.
    pub standard: &'static str,
    /// The library that does it.
    pub module: &'static str,
    /// The file of the project that calls it.
    pub code: &'static str,
}

const AWS_LC: &str = "AWS-LC";
const ARGON2: &str = "argon2 (RustCrypto)";
const OWN: &str = "Sealpost";

/// All of them, but TLS, whose suites are the TLS library's to say.
pub fn inventory() -> Vec<Use> {
    let row = |what, algorithm: &str, bits, standard, module, code| Use {
        what,
        algorithm: algorithm.to_owned(),
        bits,
        standard,
        module,
        code,
    };
    let gcm = "NIST SP 800-38D";
    let passphrase = passphrase::COST;
    let password = password::COST;
    vec![
        row(
            "columns that belong to an item, wrapped keys",
            "AES-256-GCM, random nonce of 96 bits",
            256,
            gcm,
            AWS_LC,
            "crates/crypto/src/cipher.rs",
        ),
        row(
            "columns under a data key",
            "AES-256-GCM, counted nonce of 96 bits",
            256,
            gcm,
            AWS_LC,
            "crates/crypto/src/cipher.rs",
        ),
        row(
            "bodies of messages",
            "AES-256-GCM in chunks of 256 KiB, a fresh key for each body",
            256,
            gcm,
            AWS_LC,
            "crates/crypto/src/blob.rs",
        ),
        row("derived keys", "HKDF-SHA256", 256, "RFC 5869", AWS_LC, "crates/crypto/src/key.rs"),
        row(
            "look-ups, MACs of rows, papers and the list of destructions",
            "HMAC-SHA256, first 128 bits",
            256,
            "FIPS 198-1",
            AWS_LC,
            "crates/crypto/src/mac.rs",
        ),
        row(
            "ids in links",
            "AES-256 block of id and check",
            256,
            "FIPS 197",
            AWS_LC,
            "crates/crypto/src/opaque.rs",
        ),
        row("the log's tree", "SHA-256", 128, "RFC 6962, FIPS 180-4", AWS_LC, "crates/crypto/src/digest.rs"),
        row(
            "the log's checkpoints",
            "Ed25519",
            128,
            "RFC 8032, FIPS 186-5",
            AWS_LC,
            "crates/crypto/src/sign.rs",
        ),
        row(
            "tokens of sessions, devices and links",
            "random, stored as a keyed hash",
            128,
            "NIST SP 800-63B",
            AWS_LC,
            "crates/crypto/src/token.rs",
        ),
        row(
            "passwords of people",
            &format!("argon2id, {} KiB, {} passes, {} lane(s)", password.0, password.1, password.2),
            256,
            "RFC 9106",
            ARGON2,
            "crates/crypto/src/password.rs",
        ),
        row(
            "a master key that a passphrase keeps",
            &format!(
                "argon2id, {} KiB, {} passes, {} lane(s), then AES-256-GCM",
                passphrase.memory, passphrase.passes, passphrase.lanes
            ),
            256,
            "RFC 9106",
            ARGON2,
            "crates/crypto/src/passphrase.rs",
        ),
        row(
            "a master key that a token keeps",
            "AES-256-GCM inside the token",
            256,
            "PKCS #11",
            "the token's",
            "crates/sealpost/src/master/token.rs",
        ),
        row(
            "the master key in the recovery kit",
            "ECDH P-384, HKDF-SHA256, AES-256-GCM",
            192,
            "NIST SP 800-56A",
            AWS_LC,
            "crates/crypto/src/recovery.rs",
        ),
        row(
            "shares of the recovery kit",
            "Shamir over GF(256), 32 bytes",
            256,
            "Shamir 1979",
            OWN,
            "crates/crypto/src/shamir.rs",
        ),
        row(
            "keys, nonces, codes",
            "AWS-LC's generator, seeded by the kernel",
            256,
            "NIST SP 800-90A",
            AWS_LC,
            "crates/crypto/src/random.rs",
        ),
    ]
}

/// The module that does it in this build.
pub fn module() -> &'static str {
    match aws_lc_rs::try_fips_mode() {
        Ok(()) => "AWS-LC, the module validated by FIPS 140-3",
        Err(_) => "AWS-LC, not the validated module (that is the build feature fips)",
    }
}

/// Known answers of what everything hangs on: AES-256-GCM, HMAC, HKDF and SHA-256. A build whose library computes
/// something else must not touch any data.
///
/// # Errors
/// The name of the first that is wrong.
pub fn self_test() -> Result<(), &'static str> {
    use aws_lc_rs::{aead, hkdf, hmac};
    // RFC 6234 section 8.5, "abc".
    if crate::sha256(b"abc")[..4] != [0xBA, 0x78, 0x16, 0xBF] {
        return Err("SHA-256");
    }
    // RFC 4231 section 4.3.
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"Jefe"), b"what do ya want for nothing?");
    if tag.as_ref()[..4] != [0x5B, 0xDC, 0xC1, 0x46] {
        return Err("HMAC-SHA256");
    }
    // NIST's GCM vectors: key, nonce and text of zeros (256 bits).
    let sealed =
        aead::UnboundKey::new(&aead::AES_256_GCM, &[0; 32]).map(aead::LessSafeKey::new).and_then(|key| {
            let mut text = [0; 16];
            let nonce = aead::Nonce::assume_unique_for_key([0; 12]);
            let tag = key.seal_in_place_separate_tag(nonce, aead::Aad::empty(), &mut text)?;
            Ok([text[0], text[1], text[14], text[15], tag.as_ref()[0], tag.as_ref()[15]])
        });
    if sealed.ok() != Some([0xCE, 0xA7, 0x9D, 0x18, 0xD0, 0x19]) {
        return Err("AES-256-GCM");
    }
    // RFC 5869 appendix A.3: no salt, no info.
    let mut okm = [0; 42];
    struct Len;
    impl hkdf::KeyType for Len {
        fn len(&self) -> usize {
            42
        }
    }
    let filled = hkdf::Salt::new(hkdf::HKDF_SHA256, &[])
        .extract(&[0x0B; 22])
        .expand(&[], Len)
        .and_then(|expanded| expanded.fill(&mut okm));
    if filled.is_err() || okm[..4] != [0x8D, 0xA4, 0xE7, 0x75] {
        return Err("HKDF-SHA256");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_names_code_that_is_there() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for line in inventory() {
            assert!(root.join(line.code).exists(), "{}", line.code);
            assert!(line.bits >= 128, "{}", line.what);
        }
    }

    #[test]
    fn every_file_that_calls_the_library_has_a_line() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let lines: Vec<_> = inventory().iter().map(|line| line.code).collect();
        // Those that only compose what the others do, or hand it on.
        let composed = ["inventory.rs", "code.rs", "app_password.rs"];
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let calls = text.contains("aws_lc_rs::") || text.contains("use argon2");
            let listed = lines.iter().any(|code| code.ends_with(&format!("/{name}")));
            assert!(!calls || listed || composed.contains(&name.as_str()), "{name} is not in the inventory");
        }
    }

    #[test]
    fn the_library_computes_what_the_standards_say() {
        assert_eq!(self_test(), Ok(()));
    }
}
