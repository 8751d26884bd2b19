//! The few HTTPS requests that the server makes itself: to an ACME server, for a policy.
//!
//! HTTP/1.1, one connection a request, the certificate verified before a byte is said, no redirect followed, the answer
//! bounded. What needs more than this needs a library.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use sealpost_model::Protocol;
use tokio::time::timeout;

use crate::dns::{Addresses, Resolver};
use crate::{Error, Hello, Result, TlsClient, Verdict, connect_any};

/// Makes requests. Cheap to clone.
#[derive(Clone)]
pub struct HttpsClient {
    resolver: Arc<dyn Resolver>,
    tls: TlsClient,
    limit: usize,
    patience: Duration,
}

impl HttpsClient {
    /// Looks names up with `resolver`, and believes what `tls` believes. An answer has at most 1 MiB and a minute.
    pub fn new(resolver: Arc<dyn Resolver>, tls: &TlsClient) -> Self {
        let tls = tls.clone().speaking(&[b"http/1.1"]);
        Self { resolver, tls, limit: 1 << 20, patience: Duration::from_secs(60) }
    }

    /// Makes one request; its URI is absolute and begins with `https`. Every status is an answer.
    ///
    /// # Errors
    /// [`Error::Https`] when there was no whole answer from a verified server.
    pub async fn request(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        let host = request.uri().host().unwrap_or("?").to_owned();
        let failed = |why: String| Error::Https { host: host.clone(), why };
        match timeout(self.patience, self.ask(request)).await {
            Ok(answer) => answer.map_err(failed),
            Err(_) => Err(failed("no answer in time".into())),
        }
    }

    async fn ask(&self, request: Request<Bytes>) -> std::result::Result<Response<Bytes>, String> {
        let (mut parts, body) = request.into_parts();
        let authority = parts.uri.authority().cloned().ok_or("the address has no host")?;
        if parts.uri.scheme_str() != Some("https") {
            return Err("the address does not begin with https".into());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(443);
        let addresses = self.addresses(&host, port).await?;
        let stream = self.open(&addresses, &host).await?;

        parts.headers.insert(HOST, HeaderValue::from_str(authority.as_str()).map_err(|e| e.to_string())?);
        let path = parts.uri.path_and_query().map_or("/", |p| p.as_str());
        parts.uri = path.parse().map_err(|_| "the address has no path".to_owned())?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
        // The connection ends with the answer: it is dropped with this future.
        let answer = async {
            let answer = sender.send_request(Request::from_parts(parts, Full::new(body))).await;
            let (parts, body) = answer.map_err(|e| e.to_string())?.into_parts();
            let body = Limited::new(body, self.limit).collect().await.map_err(|e| e.to_string())?;
            Ok(Response::from_parts(parts, body.to_bytes()))
        };
        tokio::pin!(answer, connection);
        tokio::select! {
            answer = answer.as_mut() => answer,
            // The end of the connection may come before the last of the answer was taken.
            _ = connection.as_mut() => answer.await,
        }
    }

    async fn open(&self, addresses: &[SocketAddr], host: &str) -> std::result::Result<crate::Stream, String> {
        for hello in [Hello::Large, Hello::Small] {
            let connected = connect_any(addresses, &[], Protocol::System, CONNECT).await;
            let mut stream = connected.map_err(|e| e.to_string())?;
            match stream.secure(&self.tls, &[host], hello).await {
                Ok((_, Verdict::Verified { .. })) => return Ok(stream),
                Ok((_, Verdict::Unverified(why))) => return Err(why.to_string()),
                Err(error) if hello == Hello::Large && error.worth_a_small_hello() => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Err("the TLS handshake failed".into())
    }

    async fn addresses(&self, host: &str, port: u16) -> std::result::Result<Vec<SocketAddr>, String> {
        if let Ok(ip) = host.parse() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        if host == "localhost" {
            // RFC 6761 section 6.3: never asked of a server.
            return Ok(vec![([127, 0, 0, 1], port).into()]);
        }
        match self.resolver.addresses(host).await.map_err(|e| e.to_string())? {
            Addresses::Found(found) => Ok(found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()),
            Addresses::None | Addresses::NoDomain => Err("the host has no address".into()),
        }
    }
}

impl std::fmt::Debug for HttpsClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HttpsClient")
    }
}

const CONNECT: Duration = Duration::from_secs(20);
