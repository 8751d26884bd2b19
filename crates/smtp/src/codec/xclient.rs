//! `XCLIENT`, as Postfix and nginx speak it (postfix.org/XCLIENT_README): a trusted proxy says whose connection it is.
//!
//! `XCLIENT attribute=value ...`, values in xtext (RFC 1891 section 5). A name that the proxy looked up, a person whom it
//! signed in and where it was spoken to are read and not believed: we look and sign in ourselves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::command::client_name;

/// What a proxy says of its client. What it does not say stays as it was.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct XClient {
    /// `ADDR`
    pub ip: Option<IpAddr>,
    /// `PORT`
    pub port: Option<u16>,
    /// `HELO`: what the client called itself.
    pub helo: Option<String>,
    /// `PROTO`: whether it said EHLO.
    pub extended: Option<bool>,
}

/// The attributes that we take, for the reply to EHLO.
pub const OFFER: &str = "XCLIENT NAME ADDR PORT PROTO HELO LOGIN";

/// Reads what stands behind the verb.
pub(super) fn read(argument: &str) -> Option<XClient> {
    let mut said = XClient::default();
    let mut any = false;
    for word in argument.split(' ').filter(|w| !w.is_empty()) {
        let (name, value) = word.split_once('=')?;
        let value = xtext(value)?;
        any = true;
        let unknown = matches!(value.to_ascii_uppercase().as_str(), "[UNAVAILABLE]" | "[TEMPUNAVAIL]");
        match name.to_ascii_uppercase().as_str() {
            "ADDR" | "PORT" | "PROTO" | "HELO" if unknown => {}
            "ADDR" => said.ip = Some(address(&value)?),
            "PORT" => {
                said.port = Some(value.parse().ok().filter(|_| value.bytes().all(|b| b.is_ascii_digit()))?)
            }
            "PROTO" => {
                said.extended = Some(match value.to_ascii_uppercase().as_str() {
                    "SMTP" => false,
                    "ESMTP" => true,
                    _ => return None,
                });
            }
            "HELO" => said.helo = Some(client_name(&value)?),
            "NAME" | "LOGIN" | "DESTADDR" | "DESTPORT" => {}
            _ => return None,
        }
    }
    any.then_some(said)
}

/// `1.2.3.4` or `IPV6:::1`.
fn address(text: &str) -> Option<IpAddr> {
    let ip = match text.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("IPV6:") => IpAddr::V6(text[5..].parse::<Ipv6Addr>().ok()?),
        _ => IpAddr::V4(text.parse::<Ipv4Addr>().ok()?),
    };
    Some(ip.to_canonical())
}

/// `xtext = *( xchar / hexchar )`, `hexchar = "+" 2(%x30-39 / %x41-46)`; the result is ASCII without control characters.
fn xtext(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        let b = match b {
            b'+' => {
                let mut digit = || match bytes.next()? {
                    d @ b'0'..=b'9' => Some(d - b'0'),
                    d @ b'A'..=b'F' => Some(d - b'A' + 10),
                    _ => None,
                };
                digit()? << 4 | digit()?
            }
            b'=' => return None,
            b => b,
        };
        if !(b' '..=b'~').contains(&b) {
            return None;
        }
        out.push(char::from(b));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_proxies_send() {
        let all = read(
            "NAME=spike.example ADDR=168.100.189.2 PORT=50000 PROTO=ESMTP HELO=spike+2Eexample LOGIN=a+3Db",
        )
        .expect("valid");
        assert_eq!(all.ip, Some("168.100.189.2".parse().expect("an address")));
        assert_eq!(
            (all.port, all.extended, all.helo.as_deref()),
            (Some(50_000), Some(true), Some("spike.example"))
        );
        let six = read("addr=ipv6:2001:db8::9 name=[UNAVAILABLE] helo=[TEMPUNAVAIL]").expect("valid");
        assert_eq!((six.ip, six.helo), (Some("2001:db8::9".parse().expect("an address")), None));
        let mapped = read("ADDR=IPV6:::ffff:192.0.2.7").expect("valid");
        assert_eq!(mapped.ip, Some("192.0.2.7".parse().expect("an address")));
        assert_eq!(read("ADDR=[UNAVAILABLE]"), Some(XClient::default()));
    }

    #[test]
    fn refuses_the_rest() {
        for argument in [
            "",
            "ADDR",
            "ADDR=",
            "ADDR=::1",
            "ADDR=IPV6:192.0.2.7",
            "ADDR=192.0.2.7/24",
            "ADDR=a.b",
            "PORT=-1",
            "PORT=+2B5",
            "PORT=65536",
            "PROTO=LMTP",
            "HELO=a+0D+0Ab",
            "HELO=a b",
            "HELO=a(b)",
            "NAME=a+0Ab",
            "NAME=a+2",
            "NAME=a+2e",
            "NAME=a=b",
            "COLOUR=red",
        ] {
            assert_eq!(read(argument), None, "{argument}");
        }
    }
}
