//! The server's side: certificate and key from files, and what a listener offers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::NoServerSessionStorage;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sealpost_model::{SharedClock, TlsVersion};
use tokio_rustls::TlsAcceptor;

use super::{Certificates, Hello, provider};
use crate::{Error, Result};

/// A certificate chain with its private key.
#[derive(Clone, Debug)]
pub struct ServerCertificate {
    key: Arc<CertifiedKey>,
    names: Arc<[String]>,
}

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

    /// A certificate that was just made here for a purpose which others would call invalid: its critical extension is
    /// known to ACME servers alone (RFC 8737 section 3).
    pub(crate) fn for_challenge(chain: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> Result<Self> {
        let key = provider(Hello::Large).key_provider.load_private_key(key);
        let key = key.map_err(|e| Error::Certificate(e.to_string()))?;
        Ok(Self { key: Arc::new(CertifiedKey::new(vec![chain], key)), names: Arc::default() })
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> std::result::Result<Self, String> {
        match CertifiedKey::from_der(chain, key, &provider(Hello::Large)) {
            Ok(certified) => {
                let names = certified.cert.first().map(names).unwrap_or_default();
                Ok(Self { key: Arc::new(certified), names: names.into() })
            }
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
        self.key.cert.first()
    }

    /// The chain, the server's own certificate first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.key.cert
    }

    /// The DNS names that it is for, in lower case; `*.` in front stands for one label.
    pub fn dns_names(&self) -> &[String] {
        &self.names
    }

    pub(super) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }
}

/// What a listener offers.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<rustls::ServerConfig>,
    certificates: Certificates,
    patience: Duration,
}

impl ServerTls {
    /// Offers `certificates`, which can be replaced while it runs, with TLS of `minimum` or later. `alpn` lists
    /// application protocols, the preferred first (`h2`, `http/1.1`); mail protocols give none.
    ///
    /// Sessions are resumed by tickets whose keys live in memory and change every 6 hours, so that nothing is kept a
    /// client; there is no early data, which could be replayed, and no renegotiation.
    ///
    /// # Errors
    /// [`Error::Certificate`].
    pub fn new(
        certificates: impl Into<Certificates>,
        minimum: TlsVersion,
        alpn: &[&[u8]],
        clock: &SharedClock,
    ) -> Result<Self> {
        let certificates = certificates.into();
        let bad = |e: rustls::Error| Error::Certificate(format!("TLS can't be set up: {e}"));
        let both: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
        let versions = match minimum {
            TlsVersion::V1_2 => both,
            TlsVersion::V1_3 => &both[..1],
        };
        let mut config =
            rustls::ServerConfig::builder_with_details(Arc::new(provider(Hello::Large)), super::clock(clock))
                .with_protocol_versions(versions)
                .map_err(bad)?
                .with_no_client_auth()
                .with_cert_resolver(Arc::new(certificates.clone()));
        config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = Ticketer::new().map_err(bad)?;
        config.send_tls13_tickets = 1;
        Ok(Self { config: Arc::new(config), certificates, patience: HANDSHAKE_PATIENCE })
    }

    /// What it offers, to be replaced.
    pub const fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// How long a handshake may take; 30 seconds unless told otherwise.
    #[must_use]
    pub const fn patient(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The rustls configuration.
    pub fn config(&self) -> Arc<rustls::ServerConfig> {
        Arc::clone(&self.config)
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.config().into()
    }

    pub(crate) const fn patience(&self) -> Duration {
        self.patience
    }
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerTls")
    }
}

/// The DNS names of a certificate; those that no host can have are left out.
fn names(der: &CertificateDer<'_>) -> Vec<String> {
    let Ok(parsed) = webpki::EndEntityCert::try_from(der) else { return Vec::new() };
    parsed.valid_dns_names().map(str::to_ascii_lowercase).collect()
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
