//! Listeners: how many may come, how long a handshake may take, and the orderly end.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sealpost_model::{Client, Protocol};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::{Error, Result, ServerTls, Stop, Stream};

/// How many connections are served at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// In all.
    pub total: usize,
    /// From one peer: an IPv4 address, or an IPv6 /64, which is what one customer has.
    pub per_peer: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { total: 4096, per_peer: 64 }
    }
}

/// Counts connections against [`Limits`]. Listeners that share a gate share its limits.
#[derive(Clone, Debug)]
pub struct Gate(Arc<GateState>);

#[derive(Debug)]
struct GateState {
    limits: Limits,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    peers: HashMap<IpAddr, usize>,
}

/// A place among the connections; gives it back when dropped.
#[derive(Debug)]
struct Place {
    gate: Gate,
    peer: IpAddr,
}

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

/// An open port.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    addr: SocketAddr,
    protocol: Protocol,
    security: Security,
    gate: Gate,
    busy: &'static [u8],
}

impl Listener {
    /// Opens a port. Port 0 lets the system choose; [`Listener::addr`] tells what it chose.
    ///
    /// # Errors
    /// [`Error::Bind`], whose text says what to do.
    pub async fn bind(addr: SocketAddr, protocol: Protocol, security: Security, gate: Gate) -> Result<Self> {
        let bind = |source| Error::Bind { addr, source };
        let socket = TcpListener::bind(addr).await.map_err(bind)?;
        let addr = socket.local_addr().map_err(bind)?;
        Ok(Self { socket, addr, protocol, security, gate, busy: b"" })
    }

    /// What a peer beyond the limits is told on a port that does not begin with TLS, before it is turned away.
    #[must_use]
    pub const fn busy(mut self, text: &'static [u8]) -> Self {
        self.busy = text;
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
        let Self { socket, addr: _, protocol, security, gate, busy } = self;
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
            let ip = from.ip().to_canonical();
            let Some(place) = gate.enter(ip) else {
                tracing::info!(protocol = protocol.word(), %ip, "too many connections");
                if !matches!(security, Security::Implicit(_)) {
                    turn_away(socket, busy);
                }
                continue;
            };
            let client = Client { ip, port: from.port(), protocol, tls: None };
            let (security, session, stop) = (security.clone(), Arc::clone(&session), stop.clone());
            sessions.spawn(async move {
                let _place = place;
                if let Some(stream) = begin(socket, client, security).await {
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

/// Makes the stream, with its handshake where the port begins with one.
async fn begin(socket: TcpStream, client: Client, security: Security) -> Option<Stream> {
    match security {
        Security::Plain => Some(Stream::tcp(socket, client, None)),
        Security::StartTls(tls) => Some(Stream::tcp(socket, client, Some(tls))),
        Security::Implicit(tls) => {
            let mut stream = Stream::tcp(socket, client, None);
            match stream.accept(&tls).await {
                Ok(_) => Some(stream),
                Err(error) => {
                    tracing::debug!(protocol = client.protocol.word(), ip = %client.ip, %error, "no TLS");
                    None
                }
            }
        }
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

impl Gate {
    /// A gate with these limits.
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(GateState { limits, open: Mutex::default() }))
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.lock().total
    }

    fn enter(&self, ip: IpAddr) -> Option<Place> {
        let peer = network(ip);
        let mut open = self.lock();
        let same = open.peers.get(&peer).copied().unwrap_or(0);
        if open.total >= self.0.limits.total || same >= self.0.limits.per_peer {
            return None;
        }
        open.total += 1;
        open.peers.insert(peer, same + 1);
        drop(open);
        Some(Place { gate: self.clone(), peer })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.gate.lock();
        open.total = open.total.saturating_sub(1);
        if let Some(n) = open.peers.get_mut(&self.peer) {
            *n -= 1;
            if *n == 0 {
                open.peers.remove(&self.peer);
            }
        }
    }
}

fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
