//! Folder names on the wire: modified UTF-7 (RFC 3501 section 5.1.3), which IMAP4rev1 clients speak.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// Encodes a folder name.
pub fn encode(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    let mut shifted: Vec<u16> = Vec::new();
    for ch in name.chars() {
        if matches!(ch, ' '..='~') {
            close(&mut shifted, &mut text);
            text.push(ch);
            if ch == '&' {
                text.push('-');
            }
        } else {
            shifted.extend_from_slice(ch.encode_utf16(&mut [0; 2]));
        }
    }
    close(&mut shifted, &mut text);
    text
}

/// Writes what was gathered as one shifted run.
fn close(shifted: &mut Vec<u16>, text: &mut String) {
    if shifted.is_empty() {
        return;
    }
    text.push('&');
    let (mut bits, mut count) = (0u32, 0u32);
    for unit in shifted.drain(..) {
        bits = (bits << 16) | u32::from(unit);
        count += 16;
        while count >= 6 {
            count -= 6;
            text.push(digit(bits >> count));
        }
        bits &= (1 << count) - 1;
    }
    if count > 0 {
        text.push(digit(bits << (6 - count)));
    }
    text.push('-');
}

fn digit(bits: u32) -> char {
    char::from(ALPHABET.get((bits & 63) as usize).copied().unwrap_or(b'A'))
}

/// Decodes a folder name; `None` if it is not modified UTF-7. Characters above ASCII pass as they are: programs
/// that speak UTF-8 without asking are understood.
///
/// A name has one encoding only, so what could have been written otherwise is refused: printable ASCII in a shift,
/// two shifts side by side, bits left over.
pub fn decode(text: &str) -> Option<String> {
    let mut name = String::with_capacity(text.len());
    let mut rest = text;
    let mut after_shift = false;
    while let Some(at) = rest.find('&') {
        let (plain, tail) = rest.split_at(at);
        let (run, next) = tail.get(1..)?.split_once('-')?;
        name.push_str(plain);
        if run.is_empty() {
            name.push('&');
            after_shift = false;
        } else {
            if after_shift && plain.is_empty() {
                return None;
            }
            shift(run, &mut name)?;
            after_shift = true;
        }
        rest = next;
    }
    name.push_str(rest);
    Some(name)
}

/// One shifted run: UTF-16 in base64 without padding.
fn shift(run: &str, name: &mut String) -> Option<()> {
    let (mut bits, mut count) = (0u32, 0u32);
    let mut units = Vec::with_capacity(run.len());
    for byte in run.bytes() {
        let value = ALPHABET.iter().position(|&a| a == byte)?;
        bits = (bits << 6) | u32::try_from(value).ok()?;
        count += 6;
        if count >= 16 {
            count -= 16;
            units.push(u16::try_from((bits >> count) & 0xffff).ok()?);
            bits &= (1 << count) - 1;
        }
    }
    if count >= 6 || bits != 0 {
        return None;
    }
    for ch in char::decode_utf16(units) {
        let ch = ch.ok()?;
        if matches!(ch, ' '..='~') {
            return None;
        }
        name.push(ch);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_the_rfc() {
        for (name, wire) in [
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("Hello & Bye", "Hello &- Bye"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("😀", "&2D3eAA-"),
            ("INBOX", "INBOX"),
        ] {
            assert_eq!(encode(name), wire);
            assert_eq!(decode(wire).as_deref(), Some(name));
        }
    }

    #[test]
    fn wrong_names_are_refused() {
        // open shift, letters that need none, two shifts side by side, half a surrogate, bits left over, alphabet
        for wire in
            ["a&b", "&", "&U,BT", "&AGE-", "&U,BTFw-&ZeVnLIqe-", "&2D0-", "&U,BTFx-", "&A-", "&U/BTFw-"]
        {
            assert_eq!(decode(wire), None, "{wire}");
        }
    }

    proptest! {
        #[test]
        fn names_come_back(name in "\\PC{0,40}") {
            let wire = encode(&name);
            prop_assert!(wire.is_ascii());
            let back = decode(&wire);
            prop_assert_eq!(back.as_deref(), Some(name.as_str()));
        }

        #[test]
        fn anything_decodes_or_not(wire in "[&A-Za-z,+/-]{0,20}") {
            if let Some(name) = decode(&wire) {
                prop_assert_eq!(encode(&name), wire);
            }
        }
    }
}
