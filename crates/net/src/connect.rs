//! Connections that we make.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sealpost_model::{Client, Protocol};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::{Error, Result, Stream};

/// Connects to `addr`, from `bind` if given, within `patience`.
///
/// # Errors
/// [`Error::Connect`].
pub async fn connect(
    addr: SocketAddr,
    bind: Option<IpAddr>,
    protocol: Protocol,
    patience: Duration,
) -> Result<Stream> {
    let failed = |source| Error::Connect { addr, source };
    let attempt = async {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // An address of the other family is no reason not to reach the peer: the system chooses.
        if let Some(ip) = bind.filter(|ip| ip.is_ipv4() == addr.is_ipv4()) {
            socket.bind(SocketAddr::new(ip, 0))?;
        }
        socket.connect(addr).await
    };
    let socket = match timeout(patience, attempt).await {
        Ok(done) => done.map_err(failed)?,
        Err(_) => return Err(failed(std::io::ErrorKind::TimedOut.into())),
    };
    let client = Client { ip: addr.ip(), port: addr.port(), protocol, tls: None };
    Ok(Stream::tcp(socket, client, None))
}

/// Connects to whichever of a host's addresses answers first, both families in turn, a new one tried each quarter of a
/// second while none has answered (RFC 8305 section 5). At most eight are tried. [`Stream::client`] says which it was.
///
/// `bind` has the addresses to connect from. A family that is not among them is used only where a host has no other: who
/// chose an address wants to be known by it.
///
/// # Errors
/// [`Error::Connect`] of the last that failed.
pub async fn connect_any(
    addresses: &[SocketAddr],
    bind: &[IpAddr],
    protocol: Protocol,
    patience: Duration,
) -> Result<Stream> {
    let own = |addr: &SocketAddr| bind.iter().copied().find(|ip| ip.is_ipv4() == addr.is_ipv4());
    let bound: Vec<SocketAddr> = addresses.iter().copied().filter(|a| own(a).is_some()).collect();
    let usable = if bound.is_empty() { addresses } else { &bound };
    let mut waiting = in_turn(usable).into_iter().take(MOST);
    let mut running = JoinSet::new();
    let mut failure = Error::Name;
    loop {
        if let Some(addr) = waiting.next() {
            running.spawn(connect(addr, own(&addr), protocol, patience));
        } else if running.is_empty() {
            return Err(failure);
        }
        let more = waiting.len() > 0;
        tokio::select! {
            Some(ended) = running.join_next() => match ended {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failure = error,
                Err(_) => {}
            },
            () = tokio::time::sleep(NEXT), if more => {}
        }
    }
}

/// The families by turns, each in its order, that of the first address first.
fn in_turn(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_six = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<SocketAddr>, Vec<SocketAddr>) =
        addresses.iter().copied().partition(|a| a.is_ipv6() == first_is_six);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut all = Vec::with_capacity(addresses.len());
    while all.len() < addresses.len() {
        all.extend(first.next().into_iter().chain(second.next()));
    }
    all
}

/// RFC 8305 section 8: the connection attempt delay.
const NEXT: Duration = Duration::from_millis(250);
const MOST: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn families_take_turns() {
        let all = ["[::1]:1", "[::2]:1", "[::3]:1", "1.0.0.1:1", "1.0.0.2:1"].map(addr);
        let want = ["[::1]:1", "1.0.0.1:1", "[::2]:1", "1.0.0.2:1", "[::3]:1"].map(addr);
        assert_eq!(in_turn(&all), want);
        assert_eq!(in_turn(&[]), []);
    }

    #[tokio::test]
    async fn one_that_answers_is_enough() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let good = listener.local_addr().expect("bound");
        let closed =
            tokio::net::TcpListener::bind("[::1]:0").await.expect("bound").local_addr().expect("bound");
        let patience = Duration::from_secs(20);
        let found = connect_any(&[closed, good], &[], Protocol::System, patience).await.expect("connected");
        assert_eq!(found.client().ip, good.ip());
        let error = connect_any(&[closed], &[], Protocol::System, patience).await.expect_err("closed");
        assert!(matches!(error, Error::Connect { addr, .. } if addr == closed), "{error}");
        assert!(connect_any(&[], &[], Protocol::System, patience).await.is_err());
    }

    /// Who chose an address to connect from is not seen from another one.
    #[tokio::test]
    async fn the_chosen_address_is_the_one_that_is_seen() {
        let four = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let six = tokio::net::TcpListener::bind("[::1]:0").await.expect("bound");
        let all = [six.local_addr().expect("bound"), four.local_addr().expect("bound")];
        let patience = Duration::from_secs(20);
        let from: IpAddr = "127.0.0.9".parse().expect("an address");
        let stream = connect_any(&all, &[from], Protocol::System, patience).await.expect("connected");
        let (_, seen) = four.accept().await.expect("accepted");
        assert_eq!((seen.ip(), stream.client().ip), (from, all[1].ip()));
        let only_six =
            connect_any(&all[..1], &[from], Protocol::System, patience).await.expect("no other family");
        assert_eq!(only_six.client().ip, all[0].ip());
    }
}
