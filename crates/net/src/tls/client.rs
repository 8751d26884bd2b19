//! The client's side: a handshake that records what it found instead of deciding.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sealpost_model::SharedClock;
use tokio_rustls::TlsConnector;

use super::{ServerCertificate, clock, provider};
use crate::{Error, Result};

/// How big a ClientHello may get.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hello {
    /// With the post-quantum hybrid X25519MLKEM768: two packets.
    Large,
    /// Without it: one packet. For the second try after a handshake that died.
    Small,
}

/// What was found about the peer's certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It chains to a root that we trust and names this host.
    Verified {
        /// The name that it was held against and that it has.
        name: String,
    },
    /// It doesn't.
    Unverified(Unverified),
}

/// Why a certificate was not verified. Each has words for the administrator who reads the ledger.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unverified {
    /// Its time is over.
    #[error("the certificate has expired")]
    Expired,
    /// Its time has not come.
    #[error("the certificate is not valid yet")]
    NotYetValid,
    /// Self-signed, or from an authority that we don't know.
    #[error("the certificate comes from nobody we trust")]
    UnknownIssuer,
    /// It names other hosts.
    #[error("the certificate is for another name")]
    WrongName,
    /// Its issuer took it back.
    #[error("the certificate was revoked")]
    Revoked,
    /// It is broken, or not for servers.
    #[error("the certificate is not valid")]
    Invalid,
}

/// Makes TLS connections to others' servers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TlsClient {
    large: Arc<rustls::ClientConfig>,
    small: Arc<rustls::ClientConfig>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl TlsClient {
    /// Trusts the roots that Mozilla trusts, and `extra` (S18: an administrator's pinned authority).
    ///
    /// # Errors
    /// [`Error::Certificate`] when one of `extra` is no certificate authority's.
    pub fn new(extra: &[CertificateDer<'static>], clock: &SharedClock) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
        Self::with_roots(roots, extra, clock)
    }

    /// Offers these application protocols (RFC 7301), the preferred first.
    #[must_use]
    pub fn speaking(mut self, alpn: &[&[u8]]) -> Self {
        for config in [&mut self.large, &mut self.small] {
            Arc::make_mut(config).alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
        }
        self
    }

    /// Trusts `only` these.
    ///
    /// # Errors
    /// [`Error::Certificate`] as for [`TlsClient::new`].
    pub fn trusting_only(only: &[CertificateDer<'static>], clock: &SharedClock) -> Result<Self> {
        Self::with_roots(RootCertStore::empty(), only, clock)
    }

    fn with_roots(
        mut roots: RootCertStore,
        extra: &[CertificateDer<'static>],
        time: &SharedClock,
    ) -> Result<Self> {
        let bad = |e: &dyn std::fmt::Display| Error::Certificate(format!("TLS can't be set up: {e}"));
        for certificate in extra {
            roots.add(certificate.clone()).map_err(|e| {
                Error::Certificate(format!("an extra certificate authority can't be used: {e}"))
            })?;
        }
        let large = Arc::new(provider(Hello::Large));
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&large))
            .build()
            .map_err(|e| bad(&e))?;
        let configure = |provider| -> Result<Arc<rustls::ClientConfig>> {
            let mut config = rustls::ClientConfig::builder_with_details(provider, clock(time))
                .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
                .map_err(|e| bad(&e))?
                .with_webpki_verifier(Arc::clone(&verifier))
                .with_no_client_auth();
            // A resumed session shows no certificate, so nothing could be recorded of it.
            config.resumption = Resumption::disabled();
            Ok(Arc::new(config))
        };
        let (large, small) = (configure(large)?, configure(Arc::new(provider(Hello::Small)))?);
        Ok(Self { large, small, verifier })
    }

    /// Whether a server's certificate would be verified by a client that trusts what this one does, for the first of its
    /// names.
    ///
    /// # Errors
    /// Why not.
    pub fn verify(&self, certificate: &ServerCertificate) -> std::result::Result<(), Unverified> {
        let [leaf, above @ ..] = certificate.chain() else { return Err(Unverified::Invalid) };
        let name = certificate.dns_names().first().map(|n| n.replace("*.", "www."));
        let name = name.and_then(|n| ServerName::try_from(n).ok()).ok_or(Unverified::WrongName)?;
        let now = self.large.time_provider.current_time().ok_or(Unverified::Invalid)?;
        let checked = self.verifier.verify_server_cert(leaf, above, &name, &[], now);
        checked.map(drop).map_err(|error| why(&error))
    }

    pub(crate) fn prepare(&self, names: &[&str], hello: Hello) -> Result<Prepared> {
        // What can't stand in a certificate can't be verified by one; the other names still can.
        let names: Vec<_> =
            names.iter().filter_map(|n| ServerName::try_from(*n).ok()).map(|n| n.to_owned()).collect();
        let name = names.first().cloned().ok_or(Error::Name)?;
        let recorder =
            Arc::new(Recorder { verifier: Arc::clone(&self.verifier), names, verdict: Mutex::new(None) });
        let base = match hello {
            Hello::Large => &self.large,
            Hello::Small => &self.small,
        };
        let mut config = (**base).clone();
        config.dangerous().set_certificate_verifier(Arc::clone(&recorder) as Arc<dyn ServerCertVerifier>);
        Ok(Prepared { connector: Arc::new(config).into(), name, recorder })
    }
}

/// A handshake about to be made.
pub(crate) struct Prepared {
    pub(crate) connector: TlsConnector,
    pub(crate) name: ServerName<'static>,
    pub(crate) recorder: Arc<Recorder>,
}

/// Reads certificates of authorities from PEM (`[outbound] extra_ca`).
///
/// # Errors
/// [`Error::Certificate`] when there is none, or the text is no PEM.
pub fn trust_from_pem(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<std::result::Result<_, _>>()
        .map_err(|_| Error::Certificate("this is no valid PEM file".into()))?;
    if found.is_empty() {
        return Err(Error::Certificate("there is no certificate in this PEM file".into()));
    }
    Ok(found)
}

/// Lets every certificate through and keeps what webpki said of it. The signature that proves possession of the key is
/// still checked: an unverified peer is a stranger, not an impostor of its own certificate.
#[derive(Debug)]
pub(crate) struct Recorder {
    verifier: Arc<WebPkiServerVerifier>,
    names: Vec<ServerName<'static>>,
    verdict: Mutex<Option<Verdict>>,
}

impl Recorder {
    pub(crate) fn verdict(&self) -> Verdict {
        let verdict = self.verdict.lock().unwrap_or_else(PoisonError::into_inner).clone();
        verdict.unwrap_or(Verdict::Unverified(Unverified::Invalid))
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let mut verdict = Verdict::Unverified(Unverified::Invalid);
        for name in &self.names {
            match self.verifier.verify_server_cert(end_entity, intermediates, name, ocsp_response, now) {
                Ok(_) => {
                    verdict = Verdict::Verified { name: name.to_str().into_owned() };
                    break;
                }
                Err(error) => verdict = Verdict::Unverified(why(&error)),
            }
        }
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(verdict);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

fn why(error: &rustls::Error) -> Unverified {
    use CertificateError as E;
    let rustls::Error::InvalidCertificate(error) = error else { return Unverified::Invalid };
    match error {
        E::Expired | E::ExpiredContext { .. } => Unverified::Expired,
        E::NotValidYet | E::NotValidYetContext { .. } => Unverified::NotYetValid,
        E::UnknownIssuer | E::BadSignature => Unverified::UnknownIssuer,
        E::NotValidForName | E::NotValidForNameContext { .. } => Unverified::WrongName,
        E::Revoked => Unverified::Revoked,
        _ => Unverified::Invalid,
    }
}
