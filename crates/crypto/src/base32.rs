//! Base32 of RFC 4648 section 6 in lower case, without padding. Only canonical text decodes: one value, one text.

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The text of `bytes`: 26 characters for 16 bytes.
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity((bytes.len() * 8).div_ceil(5));
    let (mut acc, mut bits) = (0_u32, 0);
    for byte in bytes {
        acc = (acc << 8 | u32::from(*byte)) & 0xFFFF;
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            out.push(letter(acc >> bits));
        }
    }
    if bits > 0 {
        out.push(letter(acc << (5 - bits)));
    }
    out
}

/// The `N` bytes whose text is `text`.
pub fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != (N * 8).div_ceil(5) {
        return None;
    }
    let mut out = [0; N];
    let (mut acc, mut bits, mut at) = (0_u32, 0, 0);
    for c in text.bytes() {
        acc = (acc << 5 | value(c)?) & 0xFFFF;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            *out.get_mut(at)? = u8::try_from(acc >> bits & 0xFF).ok()?;
            at += 1;
        }
    }
    // What is left over must be zero, or two texts would mean the same.
    (acc & ((1 << bits) - 1) == 0).then_some(out)
}

/// The bytes whose text is `text`, however many they are.
pub fn decode_any(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 5 / 8);
    let (mut acc, mut bits) = (0_u32, 0);
    for c in text.bytes() {
        acc = (acc << 5 | value(c)?) & 0xFFFF;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            out.push((acc >> bits & 0xFF) as u8);
        }
    }
    // As above; and no letter too many.
    (bits < 5 && acc & ((1 << bits) - 1) == 0).then_some(out)
}

/// The letter for the lowest five bits.
pub fn letter(five: u32) -> char {
    char::from(ALPHABET[(five & 31) as usize])
}

/// Whether `c` is a letter of the alphabet.
pub fn is_letter(c: char) -> bool {
    matches!(c, 'a'..='z' | '2'..='7')
}

fn value(c: u8) -> Option<u32> {
    match c {
        b'a'..=b'z' => Some(u32::from(c - b'a')),
        b'2'..=b'7' => Some(u32::from(c - b'2') + 26),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rfc_4648_section_10() {
        for (plain, text) in [
            ("", ""),
            ("f", "my"),
            ("fo", "mzxq"),
            ("foo", "mzxw6"),
            ("foob", "mzxw6yq"),
            ("foobar", "mzxw6ytboi"),
        ] {
            assert_eq!(encode(plain.as_bytes()), text);
        }
        assert_eq!(decode::<6>("mzxw6ytboi"), Some(*b"foobar"));
        assert_eq!(decode::<4>("mzxw6yq"), Some(*b"foob"));
    }

    #[test]
    fn what_is_not_canonical_does_not_decode() {
        for text in ["mzxw6yr", "MZXW6YQ", "mzxw6y1", "mzxw6y", "mzxw6yqa", "mzxw6y="] {
            assert_eq!(decode::<4>(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn decode_is_the_inverse(bytes: [u8; 16]) {
            let text = encode(&bytes);
            prop_assert_eq!(text.len(), 26);
            prop_assert_eq!(decode::<16>(&text), Some(bytes));
        }

        #[test]
        fn any_length_decodes(bytes in proptest::collection::vec(any::<u8>(), 0..70)) {
            let text = encode(&bytes);
            prop_assert_eq!(decode_any(&text), Some(bytes));
            prop_assert_eq!(decode_any(&format!("{text}1")), None);
        }

        #[test]
        fn one_value_has_one_text(text in "[a-z2-7]{26}") {
            if let Some(bytes) = decode::<16>(&text) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }
    }
}
