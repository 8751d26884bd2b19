//! TLS on both sides: what is spoken, whom we are, whom we believe.

mod ca;
mod certificates;
mod client;
mod facts;
mod inventory;
mod server;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;
use sealpost_model::SharedClock;

pub use ca::LocalCa;
pub use certificates::{ACME_ALPN, Certificates};
pub use client::{Hello, TlsClient, Unverified, Verdict, trust_from_pem};
pub use inventory::offer;
pub use server::{ServerCertificate, ServerTls};

/// What is spoken: TLS 1.3 suites, and of TLS 1.2 those with ephemeral keys and an AEAD (S14, S22; RFC 9325).
fn provider(hello: Hello) -> CryptoProvider {
    use aws_lc_rs::cipher_suite as suite;
    use aws_lc_rs::kx_group::{SECP256R1, SECP384R1, X25519, X25519MLKEM768};
    const SMALL: [&dyn SupportedKxGroup; 3] = [X25519, SECP256R1, SECP384R1];
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = vec![
        suite::TLS13_AES_256_GCM_SHA384,
        suite::TLS13_AES_128_GCM_SHA256,
        suite::TLS13_CHACHA20_POLY1305_SHA256,
        suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ];
    provider.kx_groups = SMALL.to_vec();
    if hello == Hello::Large {
        provider.kx_groups.insert(0, X25519MLKEM768);
    }
    provider
}

/// Our clock, as rustls asks for it.
struct RustlsClock(SharedClock);

impl TimeProvider for RustlsClock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().seconds()).ok()?;
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
    }
}

impl std::fmt::Debug for RustlsClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RustlsClock")
    }
}

fn clock(clock: &SharedClock) -> Arc<dyn TimeProvider> {
    Arc::new(RustlsClock(Arc::clone(clock)))
}
