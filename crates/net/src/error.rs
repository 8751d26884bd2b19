//! What goes wrong on a wire, sorted by whose fault it is.

use std::net::SocketAddr;
use std::path::PathBuf;

use sealpost_model::Fault;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The peer ended the connection.
    #[error("the other side closed the connection")]
    Closed,
    /// The peer sent nothing for too long.
    #[error("the other side was silent for too long")]
    Idle,
    /// The peer sent a line without end.
    #[error("the other side sent a line without end")]
    Endless,
    /// The peer did not take what we sent for too long.
    #[error("the other side did not read for too long")]
    Stalled,
    /// Bytes had arrived before the TLS handshake began (RFC 3207 section 4.2).
    #[error("data was sent ahead of the TLS handshake")]
    Injected,
    /// A proxy did not begin with a PROXY header, or with a broken one.
    #[error(
        "the connection does not begin with a PROXY header; make the proxy send one, or take it out of [listen] proxy_from"
    )]
    Proxy,
    /// This connection has no certificate to offer, or is encrypted already.
    #[error("TLS can't be started on this connection")]
    NoTls,
    /// Both sides speak TLS, but have no version or cipher suite in common, or the peer broke the protocol.
    #[error("the TLS handshake failed: {0}")]
    Handshake(#[source] rustls::Error),
    /// The connection ended or went silent inside a TLS handshake.
    #[error("the connection was lost in the TLS handshake")]
    HandshakeLost,
    /// A host name that no certificate could name.
    #[error("this is not a host name")]
    Name,
    /// The socket failed.
    #[error("the connection failed: {0}")]
    Io(#[source] std::io::Error),
    /// No connection could be made.
    #[error("could not connect to {addr}: {source}")]
    Connect {
        /// Where to.
        addr: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// A listener could not be opened.
    #[error("can't listen on {addr}: {}", bind_hint(.source))]
    Bind {
        /// Where.
        addr: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// A certificate or key file can't be used.
    #[error("{}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
    /// A certificate or key can't be used.
    #[error("{0}")]
    Certificate(String),
    /// An HTTPS request of ours got no whole answer from a verified server.
    #[error("{host} could not be asked: {why}")]
    Https {
        /// The host.
        host: String,
        /// Why not.
        why: String,
    },
    /// No certificate was issued.
    #[error("{0}")]
    Acme(String),
}

/// What functions of this crate return.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Closed | Self::Idle | Self::Stalled | Self::Injected | Self::Proxy | Self::Endless => {
                Fault::Peer
            }
            Self::Handshake(_) => Fault::PeerCannot,
            Self::HandshakeLost | Self::Io(_) | Self::Connect { .. } | Self::Https { .. } | Self::Acme(_) => {
                Fault::Temporary
            }
            Self::NoTls | Self::Name | Self::Bind { .. } | Self::File { .. } | Self::Certificate(_) => {
                Fault::Caller
            }
        }
    }

    /// Whether a handshake may go through with a smaller ClientHello: some middle boxes drop one that does not fit into
    /// a single packet, as the post-quantum key share doesn't.
    pub const fn worth_a_small_hello(&self) -> bool {
        matches!(self, Self::HandshakeLost | Self::Handshake(_))
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof,
        };
        match error.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

fn bind_hint(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            "another program uses this port already; stop it or choose another port in [listen]".into()
        }
        std::io::ErrorKind::PermissionDenied => {
            "no permission for this port; start as root or give the program CAP_NET_BIND_SERVICE".into()
        }
        std::io::ErrorKind::AddrNotAvailable => "this machine has no such address; see [listen]".into(),
        _ => error.to_string(),
    }
}
