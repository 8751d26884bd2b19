//! The PROXY protocol, versions 1 and 2: a proxy in front of us says whose connection it hands over (S52).
//!
//! It is believed from configured networks only, and required from them: a header that may be left out is one that a
//! client behind the proxy could write itself. What follows the published specification ("The PROXY protocol", HAProxy)
//! is read strictly: one header, whole, first, and nothing of what comes behind it is touched. TLVs are skipped; what a
//! proxy says of TLS that it ended itself counts for nothing, since nothing here is served without TLS of our own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What the beginning of a connection says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parsed {
    /// It may become a header: at least so many bytes in all are needed to know more.
    Need(usize),
    /// A whole header of this many bytes.
    Header(Header, usize),
    /// This is no header.
    Bad,
}

/// Whose connection it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Header {
    /// This client's.
    Client(SocketAddr),
    /// The proxy's own, or that of somebody of whom it knows no address (health checks: `LOCAL`, `UNKNOWN`).
    Proxy,
}

/// Reads the beginning of a connection. Never needs more than [`MOST`] bytes.
pub fn parse(bytes: &[u8]) -> Parsed {
    let n = bytes.len().min(SIGNATURE.len());
    if n > 0 && bytes[..n] == SIGNATURE[..n] {
        return version_2(bytes);
    }
    let n = bytes.len().min(TEXT.len());
    if bytes[..n] == TEXT[..n] { version_1(bytes) } else { Parsed::Bad }
}

/// `PROXY TCP4 192.0.2.7 192.0.2.1 50000 25 CRLF`, at most 107 bytes (section 2.1).
fn version_1(bytes: &[u8]) -> Parsed {
    let head = &bytes[..bytes.len().min(MOST_TEXT)];
    let Some(end) = head.iter().position(|b| *b == b'\n') else {
        return if head.len() == MOST_TEXT { Parsed::Bad } else { Parsed::Need(bytes.len() + 1) };
    };
    let read = || {
        let line = std::str::from_utf8(head[..end].strip_suffix(b"\r")?).ok()?;
        if line.contains('\r') {
            return None;
        }
        let rest = line.strip_prefix("PROXY ")?;
        if rest == "UNKNOWN" || rest.starts_with("UNKNOWN ") {
            return Some(Header::Proxy);
        }
        let mut words = rest.split(' ');
        let (family, from, to) = (words.next()?, words.next()?, words.next()?);
        let (port, to_port) = (text_port(words.next()?)?, text_port(words.next()?)?);
        let _ = to_port;
        if words.next().is_some() {
            return None;
        }
        let (from, _): (IpAddr, IpAddr) = match family {
            "TCP4" => (from.parse::<Ipv4Addr>().ok()?.into(), to.parse::<Ipv4Addr>().ok()?.into()),
            "TCP6" => (from.parse::<Ipv6Addr>().ok()?.into(), to.parse::<Ipv6Addr>().ok()?.into()),
            _ => return None,
        };
        Some(Header::Client(SocketAddr::new(from.to_canonical(), port)))
    };
    read().map_or(Parsed::Bad, |header| Parsed::Header(header, end + 1))
}

/// Decimal, without leading zeros.
fn text_port(text: &str) -> Option<u16> {
    let canonical = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    canonical.then(|| text.parse().ok()).flatten()
}

/// Signature, version and command, family and protocol, length, addresses, TLVs (section 2.2).
fn version_2(bytes: &[u8]) -> Parsed {
    let Some((fixed, rest)) = bytes.split_first_chunk::<16>() else { return Parsed::Need(16) };
    let [.., command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MOST - 16 {
        return Parsed::Bad;
    }
    let addresses = match (command, family) {
        (LOCAL, _) => Some(0),
        (PROXY, TCP4) => Some(12),
        (PROXY, TCP6) => Some(36),
        // Unspecified: nothing is known. Datagrams and Unix sockets are nothing that could reach us.
        (PROXY, 0) => Some(0),
        _ => None,
    };
    let Some(addresses) = addresses.filter(|n| *n <= length) else { return Parsed::Bad };
    let Some((content, _)) = rest.split_at_checked(length) else { return Parsed::Need(16 + length) };
    let (addresses, tlvs) = content.split_at(addresses);
    if command == PROXY && !well_formed(tlvs) {
        return Parsed::Bad;
    }
    let header = match addresses {
        [a, b, c, d, _, _, _, _, p, q, _, _] => {
            let ip = Ipv4Addr::new(*a, *b, *c, *d);
            Header::Client(SocketAddr::new(ip.into(), u16::from_be_bytes([*p, *q])))
        }
        all => match all.split_first_chunk::<16>() {
            Some((from, [_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, p, q, _, _])) => {
                let ip = IpAddr::from(Ipv6Addr::from(*from)).to_canonical();
                Header::Client(SocketAddr::new(ip, u16::from_be_bytes([*p, *q])))
            }
            _ => Header::Proxy,
        },
    };
    Parsed::Header(header, 16 + length)
}

/// Type (1), length (2), value; they fill what is left.
fn well_formed(mut tlvs: &[u8]) -> bool {
    while let Some(([_, high, low], rest)) = tlvs.split_first_chunk::<3>() {
        let Some((_, next)) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low]))) else {
            return false;
        };
        tlvs = next;
    }
    tlvs.is_empty()
}

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const TEXT: &[u8; 6] = b"PROXY ";
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
/// The most bytes of a header of version 1.
pub const MOST_TEXT: usize = 107;
/// The most bytes that a header may have. Proxies send some 100 bytes of TLVs; certificates are not welcome.
pub const MOST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> Header {
        Header::Client(text.parse().expect("an address"))
    }

    fn v2(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).expect("short").to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, content].concat()
    }

    #[test]
    fn reads_both_versions_and_nothing_behind() {
        let four = [192, 0, 2, 7, 10, 0, 0, 1, 0xc3, 0x50, 0, 25];
        let six = [&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9][..], &[0; 16], &[1, 0, 0, 25]]
            .concat();
        let mapped =
            [&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7][..], &[0; 16], &[1, 0, 0, 25]]
                .concat();
        let tlv = [&four[..], &[4, 0, 2, 9, 9], &[0x20, 0, 0]].concat();
        for (wire, header) in [
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 50000 25\r\n".to_vec(), client("192.0.2.7:50000")),
            (b"PROXY TCP6 2001:db8::9 ::1 256 25\r\n".to_vec(), client("[2001:db8::9]:256")),
            (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 256 25\r\n".to_vec(), client("192.0.2.7:256")),
            (b"PROXY UNKNOWN\r\n".to_vec(), Header::Proxy),
            (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n".to_vec(), Header::Proxy),
            (v2(PROXY, TCP4, &four), client("192.0.2.7:50000")),
            (v2(PROXY, TCP4, &tlv), client("192.0.2.7:50000")),
            (v2(PROXY, TCP6, &six), client("[2001:db8::9]:256")),
            (v2(PROXY, TCP6, &mapped), client("192.0.2.7:256")),
            (v2(LOCAL, 0, &[]), Header::Proxy),
            (v2(LOCAL, TCP4, &four), Header::Proxy),
            (v2(PROXY, 0, &[]), Header::Proxy),
        ] {
            let whole = wire.len();
            let all = [&wire[..], b"EHLO x\r\n\n"].concat();
            assert_eq!(parse(&all), Parsed::Header(header, whole), "{}", String::from_utf8_lossy(&wire));
            // Each beginning of it asks for more, and never for more than there is.
            for n in 0..whole {
                let Parsed::Need(need) = parse(&wire[..n]) else { panic!("{n} of {wire:?}") };
                assert!(need > n && need <= whole, "{need} of {whole} at {n}");
            }
        }
    }

    #[test]
    fn refuses_the_rest() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(200));
        for wire in [
            &b"EHLO x\r\n"[..],
            b"\x16\x03\x01",
            b"proxy TCP4 192.0.2.7 10.0.0.1 5 25\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 5 25\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 5 25 \r\n",
            b"PROXY TCP4  192.0.2.7 10.0.0.1 5 25\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 5 25\r\r\n",
            b"PROXY TCP4 192.0.2.07 10.0.0.1 5 25\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 05 25\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 65536 25\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 +5 25\r\n",
            b"PROXY TCP4 ::1 ::1 5 25\r\n",
            b"PROXY TCP6 192.0.2.7 10.0.0.1 5 25\r\n",
            b"PROXY UDP4 192.0.2.7 10.0.0.1 5 25\r\n",
            b"PROXY UNKNOWNx\r\n",
            long.as_bytes(),
        ] {
            assert_eq!(parse(wire), Parsed::Bad, "{}", String::from_utf8_lossy(wire));
        }
        let four = [192, 0, 2, 7, 10, 0, 0, 1, 0xc3, 0x50, 0, 25];
        for wire in [
            v2(PROXY, TCP4, &four[..11]),
            v2(PROXY, TCP6, &four),
            v2(PROXY, 0x12, &four),
            v2(PROXY, 0x31, &[0; 216]),
            v2(0x11, TCP4, &four),
            v2(0x22, TCP4, &four),
            v2(PROXY, TCP4, &[&four[..], &[4, 0, 9, 1]].concat()),
            v2(PROXY, TCP4, &[&four[..], &[4]].concat()),
            v2(LOCAL, 0, &[0; MOST]),
        ] {
            assert_eq!(parse(&wire), Parsed::Bad, "{wire:?}");
        }
    }
}
