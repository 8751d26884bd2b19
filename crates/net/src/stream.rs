//! A connection as a protocol sees it: buffered, limited, timed, and upgradable to TLS once.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use sealpost_model::{Client, TlsFacts};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::gate::Place;
use crate::io::{Io, Raw, facts};
use crate::tls::{Hello, ServerTls, TlsClient, Verdict};
use crate::{Error, Result};

/// A connection.
///
/// Input is taken either as lines ([`Stream::read_line`]) or as it comes ([`Stream::fill`], [`Stream::buffered`],
/// [`Stream::consume`]); all three may be cancelled (`select!`) without losing a byte. Output is queued with
/// [`Stream::write`] and sent by [`Stream::flush`]. As an `AsyncRead + AsyncWrite` it serves libraries that want one.
#[derive(Debug)]
pub struct Stream {
    io: Io,
    input: BytesMut,
    /// How much of `input` is known to hold no line feed.
    scanned: usize,
    /// The line being read was too long; the rest of it is thrown away.
    discarding: bool,
    output: Vec<u8>,
    client: Client,
    tls: Option<ServerTls>,
    patience: Duration,
    /// Its place among the connections; none for those that we made.
    place: Option<Place>,
    /// Whether the other end may say whose connection it is.
    may_redirect: bool,
}

/// A line, or the lack of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Line {
    /// All bytes up to and with the line feed. Whether that was a CRLF is for the protocol to say.
    Whole(BytesMut),
    /// It was longer than allowed and is gone, its line feed too.
    TooLong,
}

impl Stream {
    /// A connection over TCP. `tls` is what [`Stream::upgrade`] offers.
    pub fn tcp(socket: TcpStream, client: Client, tls: Option<ServerTls>) -> Self {
        // Replies are small and waited for.
        let _ = socket.set_nodelay(true);
        Self::over(Raw::Tcp(socket), client, tls)
    }

    /// A connection in memory, for tests of a whole session.
    pub fn memory(duplex: DuplexStream, client: Client, tls: Option<ServerTls>) -> Self {
        Self::over(Raw::Memory(duplex), client, tls)
    }

    fn over(raw: Raw, client: Client, tls: Option<ServerTls>) -> Self {
        Self {
            io: Io::Plain(raw),
            input: BytesMut::new(),
            scanned: 0,
            discarding: false,
            output: Vec::new(),
            client,
            tls,
            patience: WRITE_PATIENCE,
            place: None,
            may_redirect: false,
        }
    }

    /// It has a place among the connections, and may tell whose it is if `may_redirect`.
    pub(crate) fn holding(mut self, place: Place, may_redirect: bool) -> Self {
        (self.place, self.may_redirect) = (Some(place), may_redirect);
        self
    }

    /// The other end may say whose connection it is, as a trusted proxy: for tests of a session in memory.
    #[must_use]
    pub const fn trusted(mut self) -> Self {
        self.may_redirect = true;
        self
    }

    /// Counts as one that never became a session.
    pub(crate) fn failed(&self) {
        if let Some(place) = &self.place {
            place.failed();
        }
    }

    /// Counts as a session.
    pub(crate) fn began(&self) {
        if let Some(place) = &self.place {
            place.began();
        }
    }

    /// Whether the other end is a proxy that may say whose connection it is ([`Stream::redirect`]).
    pub const fn may_redirect(&self) -> bool {
        self.may_redirect
    }

    /// The proxy says: this client's. From now on audit, throttles and limits see that one.
    ///
    /// False when the other end may not say so, or this client has too many connections: then it must be closed.
    #[must_use]
    pub fn redirect(&mut self, ip: IpAddr, port: u16) -> bool {
        if !self.may_redirect {
            return false;
        }
        (self.client.ip, self.client.port) = (ip.to_canonical(), port);
        self.place.as_mut().is_none_or(|place| place.becomes(ip))
    }

    /// Who is at the other end, and how the connection is encrypted now.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Version and cipher suite, once there is TLS.
    pub const fn tls(&self) -> Option<TlsFacts> {
        self.client.tls
    }

    /// Whether [`Stream::upgrade`] can be offered.
    pub const fn can_upgrade(&self) -> bool {
        self.client.tls.is_none() && self.tls.is_some()
    }

    /// The application protocol that the handshake chose (RFC 7301).
    pub fn alpn(&self) -> Option<&[u8]> {
        match &self.io {
            Io::Server(s) => s.get_ref().1.alpn_protocol(),
            Io::Client(s) => s.get_ref().1.alpn_protocol(),
            Io::Plain(_) | Io::Gone => None,
        }
    }

    /// How long a peer may take to read what we send. 5 minutes unless told otherwise.
    pub const fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Reads one line of at most `max` bytes, line feed included, waiting at most `idle` for all of it: who sends a line
    /// byte by byte has no longer for it than who is silent.
    ///
    /// # Errors
    /// [`Error::Idle`], [`Error::Endless`], [`Error::Closed`] (an unfinished line at the end of input is dropped), or the
    /// socket's.
    pub async fn read_line(&mut self, max: usize, idle: Duration) -> Result<Line> {
        timeout(idle, self.line(max)).await.map_err(|_| Error::Idle)?
    }

    async fn line(&mut self, max: usize) -> Result<Line> {
        let mut discarded = 0_usize;
        loop {
            if let Some(at) = self.input[self.scanned..].iter().position(|b| *b == b'\n') {
                let end = self.scanned + at + 1;
                self.scanned = 0;
                let line = self.input.split_to(end);
                if std::mem::take(&mut self.discarding) || end > max {
                    return Ok(Line::TooLong);
                }
                return Ok(Line::Whole(line));
            }
            self.scanned = self.input.len();
            if self.input.len() >= max {
                self.discarding = true;
            }
            if self.discarding {
                discarded += self.input.len();
                if discarded > ENDLESS {
                    return Err(Error::Endless);
                }
                self.consume(self.input.len());
            }
            poll_fn(|cx| self.poll_more(cx)).await?;
        }
    }

    /// Waits until at least one byte of input is there, at most `idle`, and returns all that is.
    ///
    /// # Errors
    /// [`Error::Idle`], [`Error::Closed`], or the socket's.
    pub async fn fill(&mut self, idle: Duration) -> Result<&[u8]> {
        if self.input.is_empty() {
            self.more(idle).await?;
        }
        Ok(&self.input)
    }

    /// Waits for input beyond what is buffered already.
    ///
    /// # Errors
    /// [`Error::Idle`], [`Error::Closed`], or the socket's.
    pub async fn more(&mut self, idle: Duration) -> Result<()> {
        timeout(idle, poll_fn(|cx| self.poll_more(cx))).await.map_err(|_| Error::Idle)?
    }

    /// The input that has arrived and was not consumed.
    pub fn buffered(&self) -> &[u8] {
        &self.input
    }

    /// Drops the first `n` bytes of [`Stream::buffered`].
    pub fn consume(&mut self, n: usize) {
        self.input.advance(n.min(self.input.len()));
        self.scanned = 0;
    }

    /// Takes the first `n` bytes of [`Stream::buffered`].
    pub fn take_buffered(&mut self, n: usize) -> BytesMut {
        self.scanned = 0;
        self.input.split_to(n.min(self.input.len()))
    }

    /// Queues output; sends when a good deal has gathered.
    ///
    /// # Errors
    /// Those of [`Stream::flush`].
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.output.extend_from_slice(bytes);
        if self.output.len() >= OUTPUT_HIGH {
            self.drain().await?;
        }
        Ok(())
    }

    /// Sends all that is queued.
    ///
    /// # Errors
    /// [`Error::Stalled`], [`Error::Closed`], or the socket's.
    pub async fn flush(&mut self) -> Result<()> {
        self.drain().await?;
        timeout(self.patience, self.io.flush()).await.map_err(|_| Error::Stalled)??;
        Ok(())
    }

    async fn drain(&mut self) -> Result<()> {
        while !self.output.is_empty() {
            let sent =
                timeout(self.patience, self.io.write(&self.output)).await.map_err(|_| Error::Stalled)??;
            if sent == 0 {
                return Err(Error::Closed);
            }
            // Whole in nearly every case; a partial write keeps the rest, so that a cancelled flush can go on.
            if sent == self.output.len() {
                self.output = Vec::new();
            } else {
                self.output.drain(..sent);
            }
        }
        Ok(())
    }

    /// Ends the connection in order: what is queued is sent, TLS is closed, then the socket.
    pub async fn close(mut self) {
        if self.flush().await.is_ok() {
            let _ = timeout(CLOSE_PATIENCE, self.io.shutdown()).await;
        }
    }

    /// The server's side of STARTTLS: sends what is queued (the "go ahead"), then shakes hands.
    ///
    /// # Errors
    /// [`Error::NoTls`]; [`Error::Injected`] when the peer had sent anything already, and then the connection must be
    /// closed; those of the handshake, after which it is gone.
    pub async fn upgrade(&mut self) -> Result<TlsFacts> {
        let tls = self.tls.clone().filter(|_| self.client.tls.is_none()).ok_or(Error::NoTls)?;
        if !self.input.is_empty() || self.discarding {
            return Err(Error::Injected);
        }
        self.flush().await?;
        self.accept(&tls).await
    }

    /// Shakes hands as a server.
    pub(crate) async fn accept(&mut self, tls: &ServerTls) -> Result<TlsFacts> {
        let raw = self.take_raw()?;
        let stream = timeout(tls.patience(), tls.acceptor().accept(raw)).await;
        let stream = stream.map_err(|_| Error::HandshakeLost)?.map_err(handshake)?;
        let facts = facts(stream.get_ref().1).ok_or(Error::NoTls)?;
        self.io = Io::Server(Box::new(stream));
        self.client.tls = Some(facts);
        Ok(facts)
    }

    /// The client's side of STARTTLS, or of implicit TLS: shakes hands and reports what was found. The peer's
    /// certificate is held against each of `names`; the first is sent as the server name.
    ///
    /// An unverified peer is a [`Verdict`], not an error: **the caller must look at it** before it sends content.
    ///
    /// # Errors
    /// [`Error::Injected`] when the peer had sent anything already; those of the handshake, after which the connection
    /// is gone ([`Error::worth_a_small_hello`] says whether to try again with [`Hello::Small`]).
    pub async fn secure(
        &mut self,
        tls: &TlsClient,
        names: &[&str],
        hello: Hello,
    ) -> Result<(TlsFacts, Verdict)> {
        if !self.input.is_empty() || self.discarding {
            return Err(Error::Injected);
        }
        self.flush().await?;
        let prepared = tls.prepare(names, hello)?;
        let raw = self.take_raw()?;
        let connect = prepared.connector.connect(prepared.name, raw);
        let stream = timeout(HANDSHAKE_PATIENCE, connect).await;
        let stream = stream.map_err(|_| Error::HandshakeLost)?.map_err(handshake)?;
        let facts = facts(stream.get_ref().1).ok_or(Error::NoTls)?;
        self.io = Io::Client(Box::new(stream));
        self.client.tls = Some(facts);
        Ok((facts, prepared.recorder.verdict()))
    }

    fn take_raw(&mut self) -> Result<Raw> {
        match std::mem::replace(&mut self.io, Io::Gone) {
            Io::Plain(raw) => Ok(raw),
            other => {
                self.io = other;
                Err(Error::NoTls)
            }
        }
    }

    /// Reads once into a buffer on the stack, so that a connection that waits holds none; what it held is given back.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let mut space = [const { MaybeUninit::<u8>::uninit() }; READ_SIZE];
        let mut buf = ReadBuf::uninit(&mut space);
        match Pin::new(&mut self.io).poll_read(cx, &mut buf) {
            Poll::Pending => {
                if self.input.is_empty() {
                    self.input = BytesMut::new();
                }
                Poll::Pending
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            Poll::Ready(Ok(())) if buf.filled().is_empty() => Poll::Ready(Err(Error::Closed)),
            Poll::Ready(Ok(())) => {
                self.input.extend_from_slice(buf.filled());
                Poll::Ready(Ok(()))
            }
        }
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        while !self.output.is_empty() {
            let sent = ready!(Pin::new(&mut self.io).poll_write(cx, &self.output))?;
            if sent == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            self.output.drain(..sent);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        if this.input.is_empty() {
            return Pin::new(&mut this.io).poll_read(cx, buf);
        }
        let n = this.input.len().min(buf.remaining());
        buf.put_slice(&this.input[..n]);
        this.consume(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.io).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

/// Tells a broken TLS protocol from a broken connection.
fn handshake(error: std::io::Error) -> Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(inner) => Error::Handshake(inner.clone()),
        None => Error::HandshakeLost,
    }
}

/// More of a line that is too long anyway is not thrown away but cut off.
const ENDLESS: usize = 1 << 20;
const READ_SIZE: usize = 16 * 1024;
const OUTPUT_HIGH: usize = 32 * 1024;
const WRITE_PATIENCE: Duration = Duration::from_secs(300);
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(30);
