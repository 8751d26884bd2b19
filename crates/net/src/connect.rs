//! Connections that we make.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sealpost_model::{Client, Protocol};
use tokio::net::TcpSocket;
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
