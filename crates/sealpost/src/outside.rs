//! Quickstart's outside world: a courier that keeps what would have left, and a page that shows it.
//!
//! A newcomer has no mail server to write to and no domain that resolves. So quickstart, and nothing else, plugs in this
//! courier for domains without a route: it plays a world of mail servers none of which can be verified. A message is
//! therefore not taken (and waits in the portal), a notice is, and appears here as in its recipient's inbox. All of it
//! is kept in memory alone and forgotten at the end.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use askama::Template;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use sealpost_delivery::{Batch, Courier, Evidence, Future, Job, Kind, Outcome};
use sealpost_message::html;
use sealpost_model::{Domain, QueueId};
use sealpost_policy::{Grade, Reason};
use serde::{Deserialize, Serialize};

/// Messages that are kept; older ones are forgotten.
const KEPT: usize = 1_000;

/// The bytes of a message that are kept at most: notices and DSNs are small.
const MAX_SIZE: u64 = 256 << 10;

/// A message in somebody's inbox outside.
#[derive(Clone, Serialize)]
struct Mail {
    id: u64,
    from: String,
    to: String,
    subject: String,
    text: String,
    html: String,
    raw: String,
}

#[derive(Default)]
struct Inbox {
    last: u64,
    mails: VecDeque<Mail>,
}

/// The world outside.
#[derive(Clone, Default)]
pub struct Outside {
    inbox: Arc<Mutex<Inbox>>,
}

impl Outside {
    async fn take(&self, batch: &Batch, recipient: &str) -> Result<(), sealpost_mailbox::Error> {
        let raw = batch.message.read(0..batch.message.len().min(MAX_SIZE)).await?;
        let scanned = sealpost_message::scan(&raw);
        let display = scanned.structure.display();
        let body = |part: &sealpost_message::Part| {
            sealpost_message::decode::text(part.transfer(), part.charset().as_deref(), part.body.of(&raw))
        };
        let text: String = display.text.iter().map(|n| body(n.part)).collect();
        let html = display.html.first().map(|n| html::sanitize(&body(n.part))).unwrap_or_default();
        let mut inbox = self.inbox.lock().unwrap_or_else(|e| e.into_inner());
        inbox.last += 1;
        let mail = Mail {
            id: inbox.last,
            from: sealpost_message::headers::get(&scanned.header, "From")
                .map_or_else(String::new, |f| f.decoded()),
            to: recipient.to_owned(),
            subject: batch.facts.subject.clone(),
            text,
            html,
            raw: String::from_utf8_lossy(&raw).into_owned(),
        };
        inbox.mails.push_front(mail);
        inbox.mails.truncate(KEPT);
        Ok(())
    }

    /// The listener's routes.
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/", get(page))
            .route("/outside.css", get(style))
            .route("/outside.json", get(json))
            .with_state(self.clone())
    }

    fn mails(&self, to: Option<&str>) -> Vec<Mail> {
        let inbox = self.inbox.lock().unwrap_or_else(|e| e.into_inner());
        let wanted = |m: &&Mail| to.is_none_or(|to| m.to.eq_ignore_ascii_case(to));
        inbox.mails.iter().filter(wanted).cloned().collect()
    }
}

impl Courier for Outside {
    fn carry<'a>(&'a self, batch: &'a Batch) -> Future<'a, Vec<(QueueId, Outcome)>> {
        Box::pin(async move {
            let mut outcomes = Vec::with_capacity(batch.jobs.len());
            for job in &batch.jobs {
                let evidence = Evidence {
                    host: "outside (quickstart)".into(),
                    verified: "no server of this demonstration's outside world can be verified".into(),
                    ..Evidence::default()
                };
                let outcome = match batch.kind {
                    Kind::Notice | Kind::Dsn => match self.take(batch, &job.recipient.to_string()).await {
                        Ok(()) => Outcome::Delivered { grade: Grade::Clear, evidence },
                        Err(error) => {
                            tracing::warn!(%error, "a notice could not be shown outside");
                            Outcome::Retry { reason: Reason::TransportUnreachable, evidence }
                        }
                    },
                    Kind::Message | Kind::Receipt => {
                        Outcome::Unfit { reason: Reason::TransportBelowFloor, evidence }
                    }
                };
                outcomes.push((job.id, outcome));
            }
            outcomes
        })
    }
}

#[derive(Deserialize)]
struct Wanted {
    to: Option<String>,
}

#[derive(Template)]
#[template(path = "outside.html")]
struct Page {
    mails: Vec<Shown>,
    to: Option<String>,
}

struct Shown {
    mail: Mail,
    /// Lines, each with whether it is a link.
    lines: Vec<(bool, String)>,
}

async fn page(State(outside): State<Outside>, Query(wanted): Query<Wanted>) -> Response {
    let mails = outside
        .mails(wanted.to.as_deref())
        .into_iter()
        .map(|mail| {
            let lines =
                mail.text.lines().map(|l| (l.trim().starts_with("https://"), l.trim_end().to_owned()));
            Shown { lines: lines.collect(), mail }
        })
        .collect();
    match (Page { mails, to: wanted.to }).render() {
        Ok(html) => (HEADERS, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(%error, "the outside page can't be made");
            axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("../templates/outside.css"))
}

async fn json(State(outside): State<Outside>, Query(wanted): Query<Wanted>) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store")], Json(outside.mails(wanted.to.as_deref())))
}

const HEADERS: [(header::HeaderName, &str); 4] = [
    (header::CACHE_CONTROL, "no-store"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// Sends what has a route there, and shows the rest outside.
pub struct Routed {
    routed: Vec<Domain>,
    smtp: Arc<dyn Courier>,
    outside: Outside,
}

impl Routed {
    /// A courier over two.
    pub fn new(routed: Vec<Domain>, smtp: Arc<dyn Courier>, outside: Outside) -> Self {
        Self { routed, smtp, outside }
    }
}

impl Courier for Routed {
    fn carry<'a>(&'a self, batch: &'a Batch) -> Future<'a, Vec<(QueueId, Outcome)>> {
        Box::pin(async move {
            let routed = |job: &Job| self.routed.contains(job.recipient.domain());
            let (real, shown): (Vec<Job>, Vec<Job>) = batch.jobs.iter().cloned().partition(routed);
            let mut outcomes = Vec::with_capacity(batch.jobs.len());
            if !real.is_empty() {
                outcomes.extend(self.smtp.carry(&batch.with_jobs(real)).await);
            }
            if !shown.is_empty() {
                outcomes.extend(self.outside.carry(&batch.with_jobs(shown)).await);
            }
            outcomes
        })
    }
}
