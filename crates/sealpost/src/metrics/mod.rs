//! `[listen] metrics`: how the server does, as Prometheus reads it (text format 0.0.4).
//!
//! Numbers alone: no address, name, host or id is in them, so that they may go where the log may not. There is no sign-in
//! and no TLS, so the port belongs on loopback or into a network of one's own.

mod collect;

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use sealpost_net::{Listener, Stop, Stream};

pub use collect::{Doors, Sources};

/// One number, or one for each value of a label.
pub struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    label: Option<&'static str>,
}

/// What a family has now: the label's value (empty where there is no label) and the number.
pub type Samples = Vec<(&'static str, Vec<(String, f64)>)>;

macro_rules! families {
    ($($name:literal $kind:ident $([$label:literal])? : $help:literal;)+) => {
        /// All of them, in the order in which they are shown.
        pub const FAMILIES: &[Family] = &[$(Family {
            name: $name,
            kind: stringify!($kind),
            help: $help,
            label: families!(@label $($label)?),
        }),+];
    };
    (@label) => { None };
    (@label $label:literal) => { Some($label) };
}

families! {
    "sealpost_info" gauge ["version"]: "1, with the program's version";
    "sealpost_uptime_seconds" gauge: "Seconds since the start";
    "sealpost_resident_memory_bytes" gauge: "Memory of the process that is in use";
    "sealpost_open_files" gauge: "Files and sockets that the process has open";
    "sealpost_connections_open" gauge ["listener"]: "Connections that are served now";
    "sealpost_connections_total" counter ["listener"]: "Connections that became a session";
    "sealpost_connections_full_total" counter ["listener"]: "Connections that were turned away: too many at once, in all or from one network";
    "sealpost_connections_fast_total" counter ["listener"]: "Connections that were turned away: too many a minute from one network";
    "sealpost_connections_failed_total" counter ["listener"]: "Connections that ended before a session: no TLS handshake, or a proxy that did not say for whom";
    "sealpost_messages_accepted_total" counter: "Messages that were taken, by any way in";
    "sealpost_messages_refused_total" counter: "Messages that were refused for good";
    "sealpost_messages_deferred_total" counter: "Messages that were not taken for now, so that their sender tries again; many of them mean a full disk or a store that fails";
    "sealpost_queue_length" gauge: "Recipients that a message still has to leave for; -1 if the store can't be read";
    "sealpost_queue_oldest_seconds" gauge: "How long ago the oldest message in the queue came in";
    "sealpost_store_commits_total" counter: "Commits of the database; one may hold the changes of many";
    "sealpost_store_commit_seconds_total" counter: "Seconds that commits took, the disk's part of them included";
    "sealpost_store_syncs_total" counter: "Syncs of bodies to the disk";
    "sealpost_store_sync_seconds_total" counter: "Seconds that these syncs took";
    "sealpost_life_keys" gauge: "Life keys in the ring";
    "sealpost_ring_generation" gauge: "How often the ring was written; it grows by each change";
    "sealpost_disk_free_bytes" gauge ["place"]: "Bytes that the server may still write where its data and its ring lie";
    "sealpost_disk_size_bytes" gauge ["place"]: "Bytes of these file systems";
    "sealpost_certificate_days" gauge: "Days until the first certificate of the server's names ends; -1 if a name has none";
    "sealpost_certificate_files_bad" gauge: "1 if the newest certificate files can't be used and older ones are offered";
    "sealpost_certificate_orders_failing" gauge: "Names for which an ACME server issued no certificate at the last try";
    "sealpost_anchor_age_seconds" gauge: "Seconds since the anchor that is furthest behind took a checkpoint; -1 if one never has, or there is none";
    "sealpost_anchors_failing" gauge: "Anchors that can't be written or read now";
}

/// Serves them until `stop`.
pub async fn serve(listener: Listener, sources: Arc<Sources>, stop: Stop) {
    listener.serve(stop, move |stream, _| connection(stream, Arc::clone(&sources))).await;
}

async fn connection(stream: Stream, sources: Arc<Sources>) {
    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        let sources = Arc::clone(&sources);
        async move {
            let mut response = match (request.method().as_str(), request.uri().path()) {
                ("GET", "/metrics") => Response::new(Body::from(render(&sources.collect().await))),
                _ => {
                    let mut nothing = Response::new(Body::from("there is /metrics here\n"));
                    *nothing.status_mut() = StatusCode::NOT_FOUND;
                    nothing
                }
            };
            let text = axum::http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, text);
            Ok::<_, Infallible>(response)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_headers(64)
        .max_buf_size(16 * 1024)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let _ = tokio::time::timeout(LIFE, connection).await;
}

fn render(samples: &Samples) -> String {
    let mut text = String::with_capacity(8 << 10);
    for Family { name, kind, help, label } in FAMILIES {
        let Some((_, values)) = samples.iter().find(|(n, _)| n == name) else { continue };
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (value, number) in values {
            let _ = match label {
                Some(label) => writeln!(text, "{name}{{{label}=\"{value}\"}} {number}"),
                None => writeln!(text, "{name} {number}"),
            };
        }
    }
    text
}

/// The page that describes them.
pub fn describe() -> String {
    let mut page = String::from("| name | kind | label | says |\n|---|---|---|---|\n");
    for Family { name, kind, help, label } in FAMILIES {
        let label = label.map_or(String::new(), |l| format!("`{l}`"));
        let _ = writeln!(page, "| `{name}` | {kind} | {label} | {help} |");
    }
    page
}

const PATIENCE: Duration = Duration::from_secs(10);
const LIFE: Duration = Duration::from_secs(30);
