//! Everything that touches a socket: listeners, TLS, name look-ups.
//!
//! The protocols (SMTP, IMAP, POP3, HTTP) get a [`Stream`]: a connection with buffers, limits and timeouts, whose
//! [`Client`](sealpost_model::Client) facts are what the audit log keeps of it. They never see a raw socket, a
//! certificate or a DNS packet.
//!
//! What holds here:
//!
//! - **TLS 1.2 and later, AEAD suites only**, on both sides (S14, S22). The post-quantum hybrid X25519MLKEM768 is
//!   preferred. There is no switch for less.
//! - **Nothing crosses STARTTLS**: bytes that arrived before the handshake are an error, never input (RFC 3207
//!   section 4.2 and the command injection of CVE-2011-0411).
//! - **A client's handshake records a verdict, it does not decide.** Whether an unverified peer is good enough is
//!   policy; [`Verdict`] says what was found, and only [`Verdict::Verified`] counts as verified.
//! - **Who it is comes from the connection**, or from a proxy in a configured network, which must say it first
//!   ([`proxy`]). Nobody else is believed.
//! - **Absence and failure are different answers** in DNS: [`dns::Error::Temporary`] is never taken for "there is none".
//! - **An idle connection costs its TLS state and a few words**: buffers are given back while it waits (S46 lets it
//!   wait for long).
//! - **Stopping is orderly**: [`Stop`] ends accepting at once, lets sessions finish the command in hand, and cuts what
//!   is left when its grace is over.

pub mod acme;
mod connect;
pub mod dns;
mod error;
mod gate;
mod https;
mod io;
mod listen;
mod proxied;
pub mod proxy;
mod rate;
mod stop;
mod stream;
mod tls;

pub use connect::{connect, connect_any};
pub use error::{Error, Result};
pub use gate::{Gate, Limits, Meters};
pub use https::HttpsClient;
pub use listen::{Listener, Proxies, Security};
pub use rate::Rate;
pub use stop::{Stop, Stopper};
pub use stream::{Line, Stream};
pub use tls::offer as tls_offer;
pub use tls::{
    ACME_ALPN, Certificates, Hello, LocalCa, ServerCertificate, ServerTls, TlsClient, Unverified, Verdict,
    trust_from_pem,
};

/// A boxed future, as the traits that are used behind `dyn` return it.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
