//! One connection, plain or TLS, read by lines and by counts.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, version};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};

/// What a client trusts, and the name that it expects: the server calls itself `localhost`.
#[derive(Clone, Debug)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Trusts the authorities of a PEM file and no other.
    pub fn file(ca: &Path) -> Result<Trust> {
        let pem = fs::read(ca).with_context(|| format!("can't read {}", ca.display()))?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            roots.add(certificate?)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_protocol_versions(&[&version::TLS13, &version::TLS12])?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        // Each connection is a full handshake: what a bench counts must not be a resumed one.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Trust(Arc::new(config)))
    }
}

/// A connection with a read buffer.
pub struct Wire(Stage);

enum Stage {
    Plain(BufReader<TcpStream>),
    Tls(Box<BufReader<StreamOwned<ClientConnection, TcpStream>>>),
    /// While STARTTLS moves the socket, and after it failed.
    Gone,
}

impl Wire {
    /// Connects in the clear; a read or write that takes longer than `limit` fails.
    pub fn plain(to: SocketAddr, limit: Duration) -> Result<Wire> {
        let socket =
            TcpStream::connect_timeout(&to, limit).with_context(|| format!("can't connect to {to}"))?;
        socket.set_read_timeout(Some(limit))?;
        socket.set_write_timeout(Some(limit))?;
        socket.set_nodelay(true)?;
        Ok(Wire(Stage::Plain(BufReader::with_capacity(16 * 1024, socket))))
    }

    /// Connects with TLS from the first byte.
    pub fn tls(to: SocketAddr, trust: &Trust, limit: Duration) -> Result<Wire> {
        let mut wire = Wire::plain(to, limit)?;
        wire.start_tls(trust)?;
        Ok(wire)
    }

    /// Makes the handshake on a plain connection. Bytes that came before it are an error: nothing may be believed
    /// that was said in the clear (RFC 3207 section 6).
    pub fn start_tls(&mut self, trust: &Trust) -> Result<()> {
        let Stage::Plain(plain) = std::mem::replace(&mut self.0, Stage::Gone) else {
            bail!("no plain connection")
        };
        if !plain.buffer().is_empty() {
            bail!("the server spoke before the handshake");
        }
        let mut socket = plain.into_inner();
        let mut session = ClientConnection::new(trust.0.clone(), ServerName::try_from("localhost")?)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket).context("TLS handshake")?;
        }
        let stream = BufReader::with_capacity(16 * 1024, StreamOwned::new(session, socket));
        self.0 = Stage::Tls(Box::new(stream));
        Ok(())
    }

    /// TLS version and cipher suite as rustls names them.
    pub fn tls_facts(&self) -> Option<String> {
        let Stage::Tls(stream) = &self.0 else { return None };
        let session = &stream.get_ref().conn;
        let suite = session.negotiated_cipher_suite()?.suite();
        Some(format!("{:?} {suite:?}", session.protocol_version()?))
    }

    /// The next line without its CRLF (or LF).
    pub fn line(&mut self) -> Result<Vec<u8>> {
        let mut line = Vec::new();
        self.reader()?.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            bail!("the server closed the connection");
        }
        line.pop_if(|last| *last == b'\r');
        Ok(line)
    }

    /// Exactly `count` bytes.
    pub fn exact(&mut self, count: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.reader()?.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// All that the server sends until it closes.
    pub fn rest(&mut self) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        match self.reader()?.read_to_end(&mut all) {
            // A server that was killed sends no close_notify.
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error.into()),
            _ => Ok(all),
        }
    }

    /// Sends bytes, at once.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.0 {
            Stage::Plain(plain) => plain.get_mut().write_all(bytes)?,
            Stage::Tls(tls) => {
                tls.get_mut().write_all(bytes)?;
                tls.get_mut().flush()?;
            }
            Stage::Gone => bail!("no connection"),
        }
        Ok(())
    }

    fn reader(&mut self) -> Result<&mut dyn BufRead> {
        match &mut self.0 {
            Stage::Plain(plain) => Ok(plain),
            Stage::Tls(tls) => Ok(&mut **tls),
            Stage::Gone => bail!("no connection"),
        }
    }
}
