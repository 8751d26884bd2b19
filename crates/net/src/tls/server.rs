//! The server's side: certificate and key from files, and a configuration that can be replaced while it runs.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sealpost_model::{SharedClock, TlsVersion};
use tokio_rustls::TlsAcceptor;

use super::{Hello, clock, provider};
use crate::{Error, Result};

/// A certificate chain with its private key.
#[derive(Clone, Debug)]
pub struct ServerCertificate(Arc<CertifiedKey>);

impl ServerCertificate {
    /// Loads PEM files: the chain, the server's certificate first, and the private key (PKCS#8, PKCS#1 or SEC1).
    ///
    /// # Errors
    /// [`Error::File`], whose text names the file and says what to do: unreadable, no PEM, a key that everybody on the
    /// machine can read, a key that belongs to another certificate.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self> {
        let file = |path: &Path, why: String| Error::File { path: path.to_owned(), why };
        let read = |path: &Path| std::fs::read(path).map_err(|e| file(path, unreadable(&e)));
        let chain = read(certificate)?;
        private(key).map_err(|why| file(key, why))?;
        let secret = read(key)?;
        let chain = parse_chain(&chain).map_err(|why| file(certificate, why))?;
        let secret = parse_key(&secret).map_err(|why| file(key, why))?;
        Self::new(chain, secret).map_err(|why| file(key, why))
    }

    /// The same from PEM texts.
    ///
    /// # Errors
    /// [`Error::Certificate`].
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self> {
        let chain = parse_chain(chain).map_err(Error::Certificate)?;
        let key = parse_key(key).map_err(Error::Certificate)?;
        Self::new(chain, key).map_err(Error::Certificate)
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> std::result::Result<Self, String> {
        match CertifiedKey::from_der(chain, key, &provider(Hello::Large)) {
            Ok(certified) => Ok(Self(Arc::new(certified))),
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err("this key does not belong to the certificate; the chain must begin with the server's own"
                    .into())
            }
            Err(error) => Err(format!("this key can't be used with the certificate: {error}")),
        }
    }
}

impl ServerCertificate {
    /// The server's own certificate, DER.
    pub(super) fn leaf(&self) -> Option<&CertificateDer<'static>> {
        self.0.cert.first()
    }
}

/// What a listener offers. Clones share it: [`ServerTls::replace`] changes all of them.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<RwLock<Arc<rustls::ServerConfig>>>,
    settings: Arc<Settings>,
}

struct Settings {
    minimum: TlsVersion,
    alpn: Vec<Vec<u8>>,
    clock: SharedClock,
    patience: Duration,
}

impl ServerTls {
    /// Offers `certificate` with TLS of `minimum` or later. `alpn` lists application protocols, the preferred first
    /// (`h2`, `http/1.1`); mail protocols give none.
    ///
    /// Sessions are resumed by tickets whose keys live in memory and change every 6 hours, so that nothing is kept a
    /// client; there is no early data, which could be replayed.
    ///
    /// # Errors
    /// [`Error::Certificate`].
    pub fn new(
        certificate: &ServerCertificate,
        minimum: TlsVersion,
        alpn: &[&[u8]],
        clock: &SharedClock,
    ) -> Result<Self> {
        let settings = Settings {
            minimum,
            alpn: alpn.iter().map(|p| p.to_vec()).collect(),
            clock: Arc::clone(clock),
            patience: HANDSHAKE_PATIENCE,
        };
        let config = configure(certificate, &settings)?;
        Ok(Self { config: Arc::new(RwLock::new(config)), settings: Arc::new(settings) })
    }

    /// Offers another certificate from the next handshake on.
    ///
    /// # Errors
    /// [`Error::Certificate`]; the old one stays then.
    pub fn replace(&self, certificate: &ServerCertificate) -> Result<()> {
        let config = configure(certificate, &self.settings)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// The rustls configuration that is offered now.
    pub fn config(&self) -> Arc<rustls::ServerConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.config().into()
    }

    pub(crate) fn patience(&self) -> Duration {
        self.settings.patience
    }
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerTls")
    }
}

fn configure(certificate: &ServerCertificate, settings: &Settings) -> Result<Arc<rustls::ServerConfig>> {
    let bad = |e: rustls::Error| Error::Certificate(format!("TLS can't be set up: {e}"));
    let both: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
    let versions = match settings.minimum {
        TlsVersion::V1_2 => both,
        TlsVersion::V1_3 => &both[..1],
    };
    let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from((*certificate.0).clone()));
    let mut config =
        rustls::ServerConfig::builder_with_details(Arc::new(provider(Hello::Large)), clock(&settings.clock))
            .with_protocol_versions(versions)
            .map_err(bad)?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
    config.alpn_protocols.clone_from(&settings.alpn);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Ticketer::new().map_err(bad)?;
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

fn parse_chain(pem: &[u8]) -> std::result::Result<Vec<CertificateDer<'static>>, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<std::result::Result<_, _>>()
        .map_err(|_| "this is no valid PEM file".to_owned())?;
    if chain.is_empty() {
        return Err("there is no certificate in it (a block of -----BEGIN CERTIFICATE-----)".into());
    }
    Ok(chain)
}

fn parse_key(pem: &[u8]) -> std::result::Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        "there is no private key in it that can be read (PEM, without a passphrase: PKCS#8, PKCS#1 or SEC1)".into()
    })
}

fn unreadable(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file; see [tls] in the configuration".into(),
        std::io::ErrorKind::PermissionDenied => "the server's user may not read it".into(),
        _ => format!("can't be read: {error}"),
    }
}

/// A key that others can read is not a secret any more; group access is left to the host (`ssl-cert`).
fn private(path: &Path) -> std::result::Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let meta = std::fs::metadata(path).map_err(|e| unreadable(&e))?;
    if meta.permissions().mode() & 0o007 != 0 {
        return Err("everybody on this machine can read this private key; run: chmod o= on it".into());
    }
    Ok(())
}

const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(30);
