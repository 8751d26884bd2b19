//! SASL PLAIN (RFC 4616), as IMAP, POP3 and submission take it, inside TLS only.

use sealpost_model::Secret;

/// `message = [authzid] NUL authcid NUL passwd`, decoded from base64. Answers login and password. Acting for somebody
/// else (another authzid) is refused: shared mailboxes go by grants (S36).
pub fn plain(message: &[u8]) -> Option<(String, Secret<String>)> {
    let mut parts = message.split(|b| *b == 0);
    let (authzid, authcid, passwd) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || authcid.is_empty() || passwd.is_empty() {
        return None;
    }
    if !authzid.is_empty() && authzid != authcid {
        return None;
    }
    let login = std::str::from_utf8(authcid).ok()?.to_owned();
    let password = std::str::from_utf8(passwd).ok()?.to_owned();
    Some((login, Secret::new(password)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_the_rfc_shows() {
        for message in [b"\0tim\0tanstaaftanstaaf".as_slice(), b"tim\0tim\0tanstaaftanstaaf"] {
            let (login, password) = plain(message).expect("valid");
            assert_eq!((login.as_str(), password.expose().as_str()), ("tim", "tanstaaftanstaaf"));
        }
    }

    #[test]
    fn refuses_the_rest() {
        let messages: [&[u8]; 7] =
            [b"", b"\0", b"\0tim", b"\0tim\0", b"\0\0x", b"Ursel\0Kurt\0xipj3plmq", b"\0tim\0a\0b"];
        for message in messages {
            assert!(plain(message).is_none(), "{message:?}");
        }
        assert!(plain(b"\0tim\0\xff").is_none());
    }
}
