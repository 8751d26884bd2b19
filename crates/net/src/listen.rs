//! Listeners: who is let in, whose connection it is, how long a handshake may take, and the orderly end.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use sealpost_model::{Client, Network, Protocol};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::gate::Place;
use crate::proxied;
use crate::proxy::Header;
use crate::{ACME_ALPN, Error, Gate, Result, ServerTls, Stop, Stream};

/// How a port does TLS.
#[derive(Clone, Debug)]
pub enum Security {
    /// Not at all: only for what carries neither credentials nor content (port 80).
    Plain,
    /// When asked (STARTTLS): [`Stream::upgrade`].
    StartTls(ServerTls),
    /// From the first byte (RFC 8314).
    Implicit(ServerTls),
}

/// Who stands in front of us and is believed when they say whose connection it is (S52). None by default.
#[derive(Clone, Default, Debug)]
pub struct Proxies {
    /// These begin each connection with a PROXY header (version 1 or 2), and must. They may say XCLIENT as well.
    pub header: Vec<Network>,
    /// These send no header, and may say XCLIENT in SMTP.
    pub xclient: Vec<Network>,
}

/// An open port.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    addr: SocketAddr,
    protocol: Protocol,
    security: Security,
    gate: Gate,
    proxies: Arc<Proxies>,
    busy: &'static [u8],
}

impl Listener {
    /// Opens a port. Port 0 lets the system choose; [`Listener::addr`] tells what it chose. `[::]` takes IPv4 as well,
    /// however the system is set, and on a machine without IPv6 only that.
    ///
    /// # Errors
    /// [`Error::Bind`], whose text says what to do.
    #[expect(clippy::unused_async, reason = "it needs the runtime, which a caller that awaits has")]
    pub async fn bind(addr: SocketAddr, protocol: Protocol, security: Security, gate: Gate) -> Result<Self> {
        let bind = |source| Error::Bind { addr, source };
        let socket = open(addr).map_err(bind)?;
        let addr = socket.local_addr().map_err(bind)?;
        Ok(Self { socket, addr, protocol, security, gate, proxies: Arc::default(), busy: b"" })
    }

    /// What a peer beyond the limits is told on a port that does not begin with TLS, before it is turned away.
    #[must_use]
    pub const fn busy(mut self, text: &'static [u8]) -> Self {
        self.busy = text;
        self
    }

    /// Whom to believe about whose connection it is.
    #[must_use]
    pub fn behind(mut self, proxies: Arc<Proxies>) -> Self {
        self.proxies = proxies;
        self
    }

    /// Where it listens.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What it serves.
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Runs `session` for each connection until `stop`; then accepts no more, waits for the sessions until the grace
    /// is over, and cuts those that are left. On a port with implicit TLS the handshake is done before `session`.
    ///
    /// A panic in a session ends that session alone.
    pub async fn serve<F, S>(self, stop: Stop, session: F)
    where
        F: Fn(Stream, Stop) -> S + Send + Sync + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let Self { socket, addr: _, protocol, security, gate, proxies, busy } = self;
        let session = Arc::new(session);
        let mut sessions = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                Some(ended) = sessions.join_next() => {
                    report(protocol, ended);
                    continue;
                }
                () = stop.stopping() => break,
            };
            let (socket, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: waiting lets sessions end.
                    tracing::warn!(protocol = protocol.word(), %error, "can't accept connections");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let arrival = Arrival::of(from, protocol, &proxies);
            let place = if arrival.xclient { gate.enter_proxy() } else { gate.enter(arrival.client.ip) };
            let Some(place) = place else {
                tracing::info!(protocol = protocol.word(), ip = %arrival.client.ip, "too many connections");
                if !matches!(security, Security::Implicit(_)) {
                    turn_away(socket, busy);
                }
                continue;
            };
            let (security, session, stop) = (security.clone(), Arc::clone(&session), stop.clone());
            sessions.spawn(async move {
                if let Some(stream) = begin(socket, arrival, place, security, busy).await {
                    session(stream, stop).await;
                }
            });
        }
        drop(socket);
        let ended = async { while sessions.join_next().await.is_some() {} };
        tokio::select! {
            () = ended => {}
            () = stop.deadline() => {}
        }
        // Dropping the set aborts what is left.
    }
}

/// A connection that was accepted, and what its other end is trusted with.
struct Arrival {
    client: Client,
    /// It begins with a PROXY header.
    header: bool,
    /// It may say later whose it is.
    xclient: bool,
}

impl Arrival {
    fn of(from: SocketAddr, protocol: Protocol, proxies: &Proxies) -> Self {
        let ip = from.ip().to_canonical();
        let among = |networks: &[Network]| networks.iter().any(|n| n.contains(ip));
        let header = among(&proxies.header);
        let client = Client { ip, port: from.port(), protocol, tls: None };
        let mail = matches!(protocol, Protocol::Smtp | Protocol::Submission);
        Self { client, header, xclient: header || (mail && among(&proxies.xclient)) }
    }
}

/// Makes the stream: learns from a proxy whose it is, and shakes hands where the port begins with that.
async fn begin(
    mut socket: TcpStream,
    arrival: Arrival,
    mut place: Place,
    security: Security,
    busy: &[u8],
) -> Option<Stream> {
    let Arrival { mut client, header, xclient } = arrival;
    let (protocol, proxy) = (client.protocol.word(), client.ip);
    if header {
        let fits = match proxied::receive(&mut socket).await {
            Ok(Header::Client(from)) => {
                (client.ip, client.port) = (from.ip(), from.port());
                place.becomes(client.ip)
            }
            // Its own, for instance to see whether we are there.
            Ok(Header::Proxy) => true,
            Err(error) => {
                place.failed();
                tracing::warn!(protocol, ip = %proxy, %error, "a proxy of [listen] proxy_from did not say for whom");
                return None;
            }
        };
        if !fits {
            tracing::info!(protocol, ip = %client.ip, "too many connections");
            if !matches!(security, Security::Implicit(_)) {
                turn_away(socket, busy);
            }
            return None;
        }
    }
    let (starttls, implicit) = match security {
        Security::Plain => (None, None),
        Security::StartTls(tls) => (Some(tls), None),
        Security::Implicit(tls) => (None, Some(tls)),
    };
    let mut stream = Stream::tcp(socket, client, starttls).holding(place, xclient);
    if let Some(tls) = implicit
        && let Err(error) = stream.accept(&tls).await
    {
        stream.failed();
        tracing::debug!(protocol, ip = %client.ip, %error, "no TLS");
        return None;
    }
    if stream.alpn() == Some(ACME_ALPN) {
        // It has seen what it came for (RFC 8737 section 3).
        stream.close().await;
        return None;
    }
    stream.began();
    Some(stream)
}

fn open(addr: SocketAddr) -> std::io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let open = |addr: SocketAddr| {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        if addr.is_ipv6() {
            socket.set_only_v6(!addr.ip().is_unspecified())?;
        }
        // Connections of a server that has just stopped don't keep its port.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    match open(addr) {
        Err(error)
            if addr.is_ipv6()
                && addr.ip().is_unspecified()
                && (error.kind() == std::io::ErrorKind::AddrNotAvailable
                    || error.raw_os_error() == Some(NO_SUCH_FAMILY)) =>
        {
            open(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), addr.port()))
        }
        opened => opened,
    }
}

/// Says why without waiting: a peer that doesn't read must not hold the accept loop. (A fresh tokio socket does not know
/// yet that it is writable; a socket of the standard library just tries.)
fn turn_away(socket: TcpStream, text: &[u8]) {
    if let (false, Ok(mut socket)) = (text.is_empty(), socket.into_std()) {
        let _ = socket.write(text);
    }
}

fn report(protocol: Protocol, ended: std::result::Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(protocol = protocol.word(), "a session panicked");
    }
}

/// Connections that the system holds until they are accepted.
const BACKLOG: i32 = 1024;
/// `EAFNOSUPPORT`: the kernel was built or started without IPv6.
const NO_SUCH_FAMILY: i32 = 97;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
