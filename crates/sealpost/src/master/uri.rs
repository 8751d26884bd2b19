//! The URI of a key in a token (RFC 7512): `pkcs11:token=NAME;object=NAME?module-path=LIBRARY&pin-source=file:PATH`.

use std::path::PathBuf;

/// Which key of which token, and how to get there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Uri {
    /// The token's label.
    pub token: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
    /// The key's label.
    pub object: String,
    /// The library to load.
    pub module: PathBuf,
    /// The file that holds the PIN.
    pub pin: Option<PathBuf>,
    /// As it was given.
    pub text: String,
}

impl Uri {
    /// Reads one.
    ///
    /// # Errors
    /// One sentence that says what is missing or not understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("pkcs11:").ok_or("it must begin with pkcs11:")?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (mut token, mut serial, mut object, mut module, mut pin) = (None, None, None, None, None);
        let attributes = path.split(';').chain(query.split('&')).filter(|part| !part.is_empty());
        for attribute in attributes {
            let (name, value) = attribute.split_once('=').ok_or_else(|| {
                format!("[keys] master: {attribute:?} is no attribute of a pkcs11 URI; write NAME=VALUE")
            })?;
            let value = decode(value).ok_or_else(|| {
                format!(
                    "[keys] master: the value of {name} is not encoded as a URI wants it (%20 for a space)"
                )
            })?;
            match name {
                "token" => token = Some(value),
                "serial" => serial = Some(value),
                "object" => object = Some(value),
                "module-path" => module = Some(PathBuf::from(value)),
                "pin-source" => pin = Some(PathBuf::from(value.strip_prefix("file:").unwrap_or(&value))),
                "type" if value == "secret-key" => {}
                "pin-value" => {
                    return Err("[keys] master: a PIN has no place in the configuration; put it into a file of mode \
                                0600 and name that with pin-source, or have systemd load the credential sealpost-pin"
                        .to_owned());
                }
                _ => return Err(format!("[keys] master: a pkcs11 URI with {name} is not understood here")),
            }
        }
        let missing = |what: &str| format!("[keys] master: the pkcs11 URI lacks {what}");
        if token.is_none() && serial.is_none() {
            return Err(missing("token=NAME"));
        }
        Ok(Self {
            token,
            serial,
            object: object.ok_or_else(|| missing("object=NAME, the name of the AES key"))?,
            module: module.ok_or_else(|| missing("?module-path=LIBRARY, the token's PKCS#11 library"))?,
            pin,
            text: text.to_owned(),
        })
    }
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let digit = |b: Option<u8>| char::from(b?).to_digit(16);
            (digit(rest.next())? * 16 + digit(rest.next())?) as u8
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_7512_section_3() {
        let uri = Uri::parse(
            "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;object=master;type=secret-key\
             ?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/sealpost/pin",
        )
        .expect("a URI");
        assert_eq!(uri.token.as_deref(), Some("The Software PKCS#11 Softtoken"));
        assert_eq!(uri.object, "master");
        assert_eq!(uri.module, PathBuf::from("/usr/lib/softhsm/libsofthsm2.so"));
        assert_eq!(uri.pin, Some(PathBuf::from("/etc/sealpost/pin")));
    }

    #[test]
    fn what_is_missing_or_dangerous_is_named() {
        for (text, word) in [
            ("pkcs11:object=a?module-path=/x", "token=NAME"),
            ("pkcs11:token=a?module-path=/x", "object=NAME"),
            ("pkcs11:token=a;object=b", "module-path"),
            ("pkcs11:token=a;object=b?module-path=/x&pin-value=1234", "no place in the configuration"),
            ("pkcs11:token=a;object=b;slot-id=3?module-path=/x", "slot-id"),
            ("pkcs11:token=%zz;object=b?module-path=/x", "encoded"),
            ("pkcs11:token", "no attribute"),
        ] {
            let said = Uri::parse(text).expect_err(text);
            assert!(said.contains(word) && !said.contains("1234"), "{text}: {said}");
        }
    }
}
