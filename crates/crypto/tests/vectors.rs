//! Official vectors, through the crate's public door where it reaches, and what a stranger can do to a sealed column.

use proptest::prelude::*;
use sealpost_crypto::{
    Aad, CountingCipher, Key, MacKey, Random, SigningKey, Tampered, sha256, verify_signature,
};
use sealpost_model::{Id, TenantId};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|two| u8::from_str_radix(std::str::from_utf8(two).expect("digits"), 16).expect("digits"))
        .collect()
}

fn hex32(text: &str) -> [u8; 32] {
    hex(text).try_into().expect("32 bytes")
}

#[test]
fn sha256_of_fips_180() {
    assert_eq!(sha256(b"abc"), hex32("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    assert_eq!(sha256(b""), hex32("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
}

#[test]
fn hmac_of_rfc_4231() {
    // Test case 3: a key of 20 bytes 0xaa; HMAC pads short keys with zeros, so 32 bytes of it are the same key.
    let mut key = [0; 32];
    key[..20].fill(0xaa);
    let mut hasher = MacKey::new(&Key::from_bytes(key)).hasher();
    hasher.update(&[0xdd; 20]);
    hasher.update(&[0xdd; 30]);
    assert_eq!(hasher.finish(), hex32("773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"));
}

#[test]
fn ed25519_of_rfc_8032() {
    // Section 7.1, test 3.
    let key = SigningKey::from_seed(&Key::from_bytes(hex32(
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
    )));
    assert_eq!(key.public(), hex32("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"));
    let message = hex("af82");
    let signature = key.sign(&message);
    assert_eq!(
        signature.to_vec(),
        hex("6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac
             18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a")
    );
    assert_eq!(verify_signature(&key.public(), &message, &signature), Ok(()));
    assert_eq!(verify_signature(&key.public(), b"another", &signature), Err(Tampered));
    assert_eq!(verify_signature(&key.public(), &message, &signature[..63]), Err(Tampered));
    assert_eq!(verify_signature(&[0; 32], &message, &signature), Err(Tampered));
}

/// Held against Python: `hkdf(ikm = 32 * 01, salt = "sealpost 1", info = "label\0context")` and the AAD, MAC and
/// blind hash below were computed there with `hmac` and `cryptography`. Whoever changes these changes stored formats.
#[test]
fn stored_formats_stay_as_they_are() {
    let key = Key::from_bytes([1; 32]);
    assert_eq!(key.derive_for("label", b"context").expose(), &hex32(HKDF));
    assert_eq!(key.mac(&[b"a", b"bc"]).to_vec(), hex(MAC));
    assert_eq!(key.blind(b"alice@clinic.test").to_vec(), hex(BLIND));
    let aad = Aad::new(TenantId::from_raw(1), "person", 2, "name").with(b"role").with_int(3);
    assert_eq!(key.open(&aad, &hex(SEALED)), Ok(b"Alice".to_vec()));
}

const HKDF: &str = "0f2ccfd5fad0f583e07e9be3efed15377a65c53a076f1f99d5b6cfe7ac719e2a";
const MAC: &str = "e15105a87bc8fdad21d1ce60338a0a43";
const BLIND: &str = "c231d249c7baac771d40ba0e4206c88b";
const SEALED: &str = "01000102030405060708090a0bfacafc454510f4b17a88354b2e8fabd2e2f74c6973";

fn aad(tenant: i64, id: i64, column: &'static str) -> Aad {
    Aad::new(TenantId::from_raw(tenant), "person", id, column)
}

#[test]
fn a_value_opens_in_no_other_place() {
    let r = Random::danger_predictable(1);
    let key = r.key();
    let sealed = key.seal(&r, &aad(1, 2, "name").with(b"admin"), b"Alice");
    assert_eq!(key.open(&aad(1, 2, "name").with(b"admin"), &sealed), Ok(b"Alice".to_vec()));
    for other in [
        aad(2, 2, "name").with(b"admin"),
        aad(1, 3, "name").with(b"admin"),
        aad(1, 2, "title").with(b"admin"),
        aad(1, 2, "name").with(b"user"),
        aad(1, 2, "name"),
        aad(1, 2, "name").with(b"admin").with(b""),
        aad(1, 2, "name").with(b"ad").with(b"min"),
        Aad::new(TenantId::from_raw(1), "persons", 2, "name").with(b"admin"),
    ] {
        assert_eq!(key.open(&other, &sealed), Err(Tampered), "{other:?}");
    }
    // Two rows whose values were swapped in the table.
    let bob = key.seal(&r, &aad(1, 3, "name"), b"Bob");
    assert_eq!(key.open(&aad(1, 2, "name"), &bob), Err(Tampered));
}

#[test]
fn a_counting_cipher_never_repeats_a_nonce_and_names_its_key() {
    let r = Random::danger_predictable(1);
    let (cipher, key) = CountingCipher::generate(&r);
    let prefix = [2, 0, 0, 0, 0, 0, 0, 0, 7];
    let place = aad(1, 2, "name");
    let sealed: Vec<_> = (0..1000).map(|_| cipher.seal(&prefix, &place, b"Alice")).collect();
    let nonces: std::collections::HashSet<_> = sealed.iter().map(|s| s[9..21].to_vec()).collect();
    assert_eq!((nonces.len(), cipher.uses()), (1000, 1000));
    assert_eq!(cipher.open(9, &place, &sealed[0]), Ok(b"Alice".to_vec()));
    assert_eq!(key.cipher().open_after(9, &place, &sealed[0]), Ok(b"Alice".to_vec()));
    let mut renamed = sealed[0].clone();
    renamed[8] = 8;
    assert_eq!(cipher.open(9, &place, &renamed), Err(Tampered), "the prefix is authenticated");
    assert_eq!(key.open(&place, &sealed[0]), Err(Tampered), "as another format");
    assert_eq!(cipher.open(9, &place, &sealed[0][..20]), Err(Tampered));
}

#[test]
fn parts_of_a_mac_keep_their_bounds() {
    let key = Key::from_bytes([1; 32]).mac_key();
    let mac = key.mac(&[b"ab", b"c"]);
    assert_eq!(key.verify(&[b"ab", b"c"], &mac), Ok(()));
    for other in [&[b"a".as_slice(), b"bc"][..], &[b"abc"], &[b"ab", b"c", b""], &[b"c", b"ab"]] {
        assert_eq!(key.verify(other, &mac), Err(Tampered));
    }
    assert_eq!(key.verify(&[b"ab", b"c"], &mac[..15]), Err(Tampered));
    assert_eq!(key.verify(&[b"ab", b"c"], &[]), Err(Tampered));
}

proptest! {
    #[test]
    fn any_flipped_bit_of_a_column_is_noticed(plain: Vec<u8>, at: prop::sample::Index, bit in 0..8_u8) {
        let r = Random::danger_predictable(1);
        let (key, place) = (r.key(), aad(1, 2, "name"));
        let mut sealed = key.seal(&r, &place, &plain);
        prop_assert_eq!(sealed.len(), plain.len() + sealpost_crypto::SEALED_OVERHEAD);
        prop_assert_eq!(key.open(&place, &sealed), Ok(plain));
        let at = at.index(sealed.len());
        sealed[at] ^= 1 << bit;
        prop_assert_eq!(key.open(&place, &sealed), Err(Tampered));
    }

    #[test]
    fn any_cut_or_longer_column_is_noticed(plain: Vec<u8>, cut: prop::sample::Index) {
        let r = Random::danger_predictable(1);
        let (key, place) = (r.key(), aad(1, 2, "name"));
        let mut sealed = key.seal(&r, &place, &plain);
        prop_assert_eq!(key.open(&place, &sealed[..cut.index(sealed.len())]), Err(Tampered));
        sealed.push(0);
        prop_assert_eq!(key.open(&place, &sealed), Err(Tampered));
    }
}
