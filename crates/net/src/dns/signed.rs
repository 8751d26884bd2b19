//! Whether a name server is any good for DNSSEC: it must pass signatures on, and best validates them itself.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

/// What a name server does with signatures (RFC 4035 section 3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signatures {
    /// It checks them and says so (AD).
    Validates,
    /// It passes them on.
    Passes,
    /// It keeps them to itself: nothing can be checked behind it.
    Strips,
}

/// Asks `server` for the root's SOA with its signature. `id` is by chance.
///
/// # Errors
/// No answer that makes sense within `patience`.
pub async fn signatures(server: SocketAddr, id: u16, patience: Duration) -> std::io::Result<Signatures> {
    let late = || std::io::Error::from(std::io::ErrorKind::TimedOut);
    timeout(patience, ask(server, id)).await.map_err(|_| late())?
}

async fn ask(server: SocketAddr, id: u16) -> std::io::Result<Signatures> {
    let any: SocketAddr =
        if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(&question(id)).await?;
    let mut answer = [0; 4096];
    loop {
        let length = socket.recv(&mut answer).await?;
        if let Some(found) = read(&answer[..length], id) {
            return Ok(found);
        }
    }
}

/// RD and AD, one question (`. SOA IN`), and an OPT record with DO (RFC 6891 section 6.1.2, RFC 3225).
fn question(id: u16) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend([0x01, 0x20, 0, 1, 0, 0, 0, 0, 0, 1]);
    bytes.extend([0, 0, SOA, 0, 1]);
    bytes.extend([0, 0, OPT, 0x04, 0xd0, 0, 0, 0x80, 0, 0, 0]);
    bytes
}

/// None for what is no answer to our question.
fn read(bytes: &[u8], id: u16) -> Option<Signatures> {
    let (head, mut rest) = bytes.split_first_chunk::<12>()?;
    let [a, b, high, low, _, questions, answers_high, answers, ..] = *head;
    if u16::from_be_bytes([a, b]) != id || high & 0x80 == 0 || questions > 1 {
        return None;
    }
    for _ in 0..questions {
        rest = name(rest)?.get(4..)?;
    }
    let mut signed = false;
    for _ in 0..u16::from_be_bytes([answers_high, answers]) {
        let (fixed, behind) = name(rest)?.split_first_chunk::<10>()?;
        signed |= fixed[..2] == [0, RRSIG];
        rest = behind.get(usize::from(u16::from_be_bytes([fixed[8], fixed[9]]))..)?;
    }
    Some(match (low & AD != 0, signed) {
        (true, true) => Signatures::Validates,
        (false, true) => Signatures::Passes,
        (_, false) => Signatures::Strips,
    })
}

/// What stands behind a name: labels up to the root, or a pointer (RFC 1035 section 4.1.4).
fn name(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        let (&length, rest) = bytes.split_first()?;
        match length {
            0 => return Some(rest),
            0xc0.. => return rest.get(1..),
            _ => bytes = rest.get(usize::from(length)..)?,
        }
    }
}

const SOA: u8 = 6;
const OPT: u8 = 41;
const RRSIG: u8 = 46;
const AD: u8 = 0x20;

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(id: u16, flags: [u8; 2], records: &[u8]) -> Vec<u8> {
        let mut bytes = id.to_be_bytes().to_vec();
        bytes.extend(flags);
        bytes.extend([0, 1, 0, u8::try_from(records.len()).expect("few"), 0, 0, 0, 0]);
        bytes.extend([0, 0, SOA, 0, 1]);
        for kind in records {
            bytes.extend([0, 0, *kind, 0, 1, 0, 0, 0, 9, 0, 3, 1, 2, 3]);
        }
        bytes
    }

    #[test]
    fn tells_who_validates_passes_and_strips() {
        for (flags, records, want) in [
            ([0x81, 0xa0], &[SOA, RRSIG][..], Signatures::Validates),
            ([0x81, 0x80], &[SOA, RRSIG], Signatures::Passes),
            ([0x81, 0x80], &[SOA], Signatures::Strips),
            // Says that it has checked what it does not show.
            ([0x81, 0xa0], &[SOA], Signatures::Strips),
            ([0x81, 0x83], &[], Signatures::Strips),
        ] {
            let bytes = answer(7, flags, records);
            assert_eq!(read(&bytes, 7), Some(want));
            assert_eq!(read(&bytes, 8), None, "another question's");
            for n in 0..bytes.len() {
                let _ = read(&bytes[..n], 7);
            }
        }
        assert_eq!(read(&question(7), 7), None, "a question is no answer");
        assert_eq!(question(7).len(), 12 + 5 + 11);
    }

    #[tokio::test]
    async fn an_answer_from_a_server_is_read() {
        let server = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
        let at = server.local_addr().expect("bound");
        let serving = async {
            let mut bytes = [0; 512];
            let (n, from) = server.recv_from(&mut bytes).await.expect("asked");
            assert_eq!(bytes[..n], question(9));
            server.send_to(&answer(9, [0x81, 0xa0], &[SOA, RRSIG]), from).await.expect("sent");
        };
        let (found, ()) = tokio::join!(signatures(at, 9, Duration::from_secs(20)), serving);
        assert_eq!(found.expect("an answer"), Signatures::Validates);
    }
}
