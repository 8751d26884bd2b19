//! HTTP/1.1 and HTTP/2 over our own TLS listener.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use sealpost_net::{Listener, Stop, Stream};
use tower::Service;

use crate::app::Web;
use crate::routes;

/// Serves the pages until `stop`; requests in hand are finished within its grace.
pub async fn serve(listener: Listener, web: Web, stop: Stop) {
    let router = routes::router(web);
    listener.serve(stop, move |stream, stop| connection(stream, router.clone(), stop)).await;
}

/// What ALPN offers (RFC 7301): give this to the TLS of the listener.
pub const ALPN: &[&[u8]] = &[b"h2", b"http/1.1"];

async fn connection(stream: Stream, router: Router, stop: Stop) {
    let client = *stream.client();
    let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let mut request: Request = request.map(Body::new);
        // What the layer and the log know of the visitor comes from the connection, never from a header.
        request.extensions_mut().insert(client);
        let mut router = router.clone();
        async move { router.call(request).await }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_PATIENCE)
        .max_headers(64)
        .max_buf_size(64 * 1024);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(64)
        .max_header_list_size(32 * 1024)
        .keep_alive_interval(Some(Duration::from_secs(60)))
        .keep_alive_timeout(Duration::from_secs(20));
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.stopping() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(ip = %client.ip, %error, "a connection ended early");
    }
}

/// How long a browser may take for its headers; an idle HTTP/1 connection ends after it too.
const HEADER_PATIENCE: Duration = Duration::from_secs(30);
