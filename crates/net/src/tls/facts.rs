//! What a certificate says of itself, for whoever has to tell an administrator: names and time.

use rustls::client::verify_server_name;
use rustls::server::ParsedCertificate;
use rustls_pki_types::ServerName;
use sealpost_model::Time;

use super::server::ServerCertificate;

impl ServerCertificate {
    /// Whether the server's own certificate is good for this host name.
    pub fn names(&self, host: &str) -> bool {
        let Some(leaf) = self.leaf() else { return false };
        let (Ok(parsed), Ok(name)) = (ParsedCertificate::try_from(leaf), ServerName::try_from(host)) else {
            return false;
        };
        verify_server_name(&parsed, &name).is_ok()
    }

    /// From when until when the server's own certificate is valid (RFC 5280 section 4.1.2.5).
    pub fn validity(&self) -> Option<(Time, Time)> {
        validity(self.leaf()?)
    }
}

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// `Certificate ::= SEQUENCE { TBSCertificate ::= SEQUENCE { [0] version, serial, signature, issuer, validity, ..`
fn validity(der: &[u8]) -> Option<(Time, Time)> {
    let mut tbs = inside(inside(der)?)?;
    if tbs.first() == Some(&VERSION) {
        tbs = element(tbs)?.2;
    }
    for _ in ["serialNumber", "signature", "issuer"] {
        tbs = element(tbs)?.2;
    }
    let times = inside(tbs)?;
    let (kind, from, times) = element(times)?;
    let (until_kind, until, _) = element(times)?;
    Some((time(kind, from)?, time(until_kind, until)?))
}

fn inside(der: &[u8]) -> Option<&[u8]> {
    element(der).filter(|(tag, ..)| *tag == SEQUENCE).map(|(_, content, _)| content)
}

/// Tag, content, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ` (from 1950 to 2049) or `YYYYMMDDHHMMSSZ`.
fn time(kind: u8, text: &[u8]) -> Option<Time> {
    let digits = text.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |digits: &[u8]| digits.iter().fold(0, |n, d| n * 10 + i64::from(d - b'0'));
    let (year, rest) = match (kind, digits.len()) {
        (UTC_TIME, 12) => {
            let year = number(&digits[..2]);
            (if year < 50 { 2000 + year } else { 1900 + year }, &digits[2..])
        }
        (GENERALIZED_TIME, 14) => (number(&digits[..4]), &digits[4..]),
        _ => return None,
    };
    let part = |at: usize| number(&rest[at..at + 2]);
    let (month, day) = (part(0), part(2));
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let seconds = ((days(year, month, day) * 24 + part(4)) * 60 + part(6)) * 60 + part(8);
    Some(Time::from_seconds(seconds))
}

/// Days since 1970-01-01 in the Gregorian calendar, with years that begin in March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LocalCa;

    #[test]
    fn times_of_both_forms() {
        for (kind, text, want) in [
            (UTC_TIME, "700101000000Z", 0),
            (UTC_TIME, "261121224022Z", 1_795_300_822),
            (UTC_TIME, "491231235959Z", 2_524_607_999),
            (GENERALIZED_TIME, "20000229120000Z", 951_825_600),
        ] {
            assert_eq!(time(kind, text.as_bytes()), Some(Time::from_seconds(want)), "{text}");
        }
        for text in ["", "Z", "2611212240Z", "26112122402xZ", "261321224022Z", "261121224022+01"] {
            assert_eq!(time(UTC_TIME, text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_certificate_tells_names_and_time() {
        let now = Time::from_seconds(1_795_300_822);
        let server =
            LocalCa::create(&["localhost", "clinic.test"], now).expect("made").server().expect("loads");
        let (from, until) = server.validity().expect("it says");
        assert!(from <= now && until > now, "{from:?} {until:?}");
        assert!(server.names("localhost") && server.names("clinic.test"));
        assert!(!server.names("mail.clinic.example") && !server.names("not a name"));
    }

    #[test]
    fn bytes_that_are_no_certificate_say_nothing() {
        for der in [&[][..], &[0x30], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &[0x30, 0x02, 0x30, 0x00]] {
            assert_eq!(validity(der), None);
        }
    }
}
