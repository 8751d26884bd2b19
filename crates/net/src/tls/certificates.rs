//! Several certificates on one port: chosen by the name that the client asks for (SNI, RFC 6066 section 3), replaced while
//! the server runs.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sealpost_model::Time;

use super::server::ServerCertificate;

/// The application protocol of TLS-ALPN-01 (RFC 8737 section 6.2): such a connection shows a challenge's certificate and
/// then ends.
pub const ACME_ALPN: &[u8] = b"acme-tls/1";

/// What listeners offer. Clones share it.
#[derive(Clone, Default)]
pub struct Certificates(Arc<Shared>);

#[derive(Default)]
struct Shared {
    offered: RwLock<Arc<Offered>>,
    /// TLS-ALPN-01 by name.
    challenges: RwLock<HashMap<String, Arc<CertifiedKey>>>,
}

#[derive(Default)]
struct Offered {
    all: Vec<ServerCertificate>,
    /// By the name itself.
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By what stands behind `*.`.
    wild: HashMap<String, Arc<CertifiedKey>>,
    default: Option<Arc<CertifiedKey>>,
}

impl Certificates {
    /// These; see [`Certificates::replace`].
    pub fn new(default: &str, all: Vec<ServerCertificate>) -> Self {
        let certificates = Self::default();
        certificates.replace(default, all);
        certificates
    }

    /// Offers these from the next handshake on. A client that asks for no name or for one that none of them has gets the
    /// one for `default`, else the first. Where several have a name, the one that is valid for longest is shown.
    pub fn replace(&self, default: &str, all: Vec<ServerCertificate>) {
        let mut by_end: Vec<&ServerCertificate> = all.iter().collect();
        by_end.sort_by_key(|c| c.validity().map_or(Time::from_seconds(0), |(_, until)| until));
        let mut offered = Offered::default();
        for certificate in by_end {
            for name in certificate.dns_names() {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut offered.wild, parent),
                    None => (&mut offered.exact, name.as_str()),
                };
                map.insert(name.to_owned(), certificate.certified());
            }
        }
        let named = offered.by_name(&default.to_ascii_lowercase());
        offered.default = named.or_else(|| all.first().map(ServerCertificate::certified));
        offered.all = all;
        *self.0.offered.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(offered);
    }

    /// All that are offered.
    pub fn all(&self) -> Vec<ServerCertificate> {
        self.offered().all.clone()
    }

    /// Until when the certificate that is shown for this name is valid; none when there is none for it.
    pub fn valid_until(&self, name: &str) -> Option<Time> {
        let shown = self.offered().by_name(&name.to_ascii_lowercase())?;
        let all = self.all();
        all.iter().find(|c| Arc::ptr_eq(&c.certified(), &shown)).and_then(|c| Some(c.validity()?.1))
    }

    /// Shows this certificate to an ACME server that asks for `name` (RFC 8737), until [`Certificates::forget`].
    pub fn challenge(&self, name: &str, certificate: &ServerCertificate) {
        let mut challenges = self.0.challenges.write().unwrap_or_else(PoisonError::into_inner);
        challenges.insert(name.to_ascii_lowercase(), certificate.certified());
    }

    /// Ends a challenge.
    pub fn forget(&self, name: &str) {
        let mut challenges = self.0.challenges.write().unwrap_or_else(PoisonError::into_inner);
        challenges.remove(&name.to_ascii_lowercase());
    }

    fn offered(&self) -> Arc<Offered> {
        Arc::clone(&self.0.offered.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Offered {
    fn by_name(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let exact = self.exact.get(name);
        exact.or_else(|| self.wild.get(name.split_once('.')?.1)).cloned()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls gives it in lower case.
        let name = hello.server_name();
        if hello.alpn().is_some_and(|mut offered| offered.any(|p| p == ACME_ALPN)) {
            return self.0.challenges.read().unwrap_or_else(PoisonError::into_inner).get(name?).cloned();
        }
        let offered = self.offered();
        name.and_then(|name| offered.by_name(name)).or_else(|| offered.default.clone())
    }
}

impl From<&ServerCertificate> for Certificates {
    fn from(one: &ServerCertificate) -> Self {
        Self::new("", vec![one.clone()])
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certificates")
    }
}
