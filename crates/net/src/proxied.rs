//! A connection that a proxy hands over: its header is taken off, and not a byte more.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::proxy::{Header, MOST_TEXT, Parsed, parse};
use crate::{Error, Result};

/// Takes the header off a fresh connection, and not a byte more.
///
/// # Errors
/// [`Error::Proxy`] for what is no header; [`Error::Idle`] when it takes too long; the socket's.
pub(crate) async fn receive(socket: &mut TcpStream) -> Result<Header> {
    timeout(PATIENCE, take(socket)).await.map_err(|_| Error::Idle)?
}

async fn take(socket: &mut TcpStream) -> Result<Header> {
    let mut bytes = Vec::new();
    loop {
        let need = match parse(&bytes) {
            Parsed::Header(header, _) => return Ok(header),
            Parsed::Bad => return Err(Error::Proxy),
            Parsed::Need(n) => n,
        };
        let at = bytes.len();
        let more = if bytes.first() == Some(&b'P') {
            // A line has no length in front: look how far it goes, then take just that.
            let mut seen = [0; MOST_TEXT];
            let n = socket.peek(&mut seen).await?;
            seen[..n].iter().position(|b| *b == b'\n').map_or(n, |end| end + 1).max(1)
        } else {
            need - at
        };
        bytes.resize(at + more, 0);
        socket.read_exact(&mut bytes[at..]).await?;
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
