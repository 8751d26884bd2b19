//! Port 80: answers to an ACME server (RFC 8555 section 8.3), and the way to https for everybody else. Nothing else is
//! here: no page, no form, no cookie (S14).
//!
//! A redirect leads to a configured host, never to what the Host header says. HSTS has no place here: browsers ignore it
//! without TLS (RFC 6797 section 8.1).

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue, LOCATION};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use sealpost_net::{Listener, Stop, Stream};

use crate::app::Hosts;

/// What is answered to an ACME server that asks for a token; none is the answer to a token that nobody ordered.
pub type Answers = Arc<dyn Fn(String) -> Pin<Box<dyn Future<Output = Option<String>> + Send>> + Send + Sync>;

/// Serves port 80 until `stop`.
pub async fn serve(listener: Listener, hosts: Hosts, answers: Answers, stop: Stop) {
    listener.serve(stop, move |stream, _| connection(stream, hosts.clone(), Arc::clone(&answers))).await;
}

async fn connection(stream: Stream, hosts: Hosts, answers: Answers) {
    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        let (hosts, answers) = (hosts.clone(), Arc::clone(&answers));
        async move { Ok::<_, Infallible>(answer(&request, &hosts, &answers).await) }
    });
    // One request a connection: nobody has two things to do here.
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_headers(64)
        .max_buf_size(16 * 1024)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let _ = tokio::time::timeout(LIFE, connection).await;
}

async fn answer<B>(request: &Request<B>, hosts: &Hosts, answers: &Answers) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        // What was sent has been sent in the clear already; a redirect would make it look fine.
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "use https\n");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    if let Some(token) = request.uri().path().strip_prefix(CHALLENGE) {
        return match answers(token.to_owned()).await {
            Some(found) => text(StatusCode::OK, &found),
            None => text(StatusCode::NOT_FOUND, "not found\n"),
        };
    }
    let named = request.headers().get(HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
    let origin = if hosts.portal.is(named) { &hosts.portal } else { &hosts.mail };
    let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
    let path = if path.starts_with('/') { path } else { "/" };
    let mut moved = text(StatusCode::PERMANENT_REDIRECT, "use https\n");
    match HeaderValue::from_str(&format!("{origin}{path}")) {
        Ok(there) => {
            moved.headers_mut().insert(LOCATION, there);
            moved
        }
        Err(_) => text(StatusCode::BAD_REQUEST, "use https\n"),
    }
}

fn text(status: StatusCode, words: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(words.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

const CHALLENGE: &str = "/.well-known/acme-challenge/";
const PATIENCE: Duration = Duration::from_secs(10);
const LIFE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(method: &str, path: &str, host: &str) -> Response<Full<Bytes>> {
        let hosts = Hosts::new("https://mail.a.test:2443", None, Some("pickup.a.test")).expect("hosts");
        let answers: Answers =
            Arc::new(|token| Box::pin(async move { (token == "known").then(|| "known.thumb".to_owned()) }));
        let request =
            Request::builder().method(method).uri(path).header(HOST, host).body(()).expect("a request");
        answer(&request, &hosts, &answers).await
    }

    #[tokio::test]
    async fn leads_to_configured_hosts_and_shows_challenges() {
        for (method, path, host, status, location) in [
            ("GET", "/", "mail.a.test", 308, "https://mail.a.test:2443/"),
            ("GET", "/pickup/x?y=1", "pickup.a.test:80", 308, "https://pickup.a.test:2443/pickup/x?y=1"),
            ("HEAD", "/x", "evil.example", 308, "https://mail.a.test:2443/x"),
            ("GET", "//evil.example/x", "mail.a.test", 308, "https://mail.a.test:2443//evil.example/x"),
            ("POST", "/signin", "mail.a.test", 405, ""),
            ("PUT", "/.well-known/acme-challenge/known", "mail.a.test", 405, ""),
            ("GET", "/.well-known/acme-challenge/known", "mail.a.test", 200, ""),
            ("GET", "/.well-known/acme-challenge/known/", "mail.a.test", 404, ""),
            ("GET", "/.well-known/acme-challenge/", "mail.a.test", 404, ""),
        ] {
            let answer = ask(method, path, host).await;
            let header =
                |name| answer.headers().get(name).map_or("", |v: &HeaderValue| v.to_str().expect("text"));
            assert_eq!((answer.status().as_u16(), header(LOCATION)), (status, location), "{method} {path}");
            assert!(header(hyper::header::SET_COOKIE).is_empty());
            assert!(header(hyper::header::STRICT_TRANSPORT_SECURITY).is_empty());
        }
    }
}
