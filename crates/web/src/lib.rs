//! The pages: the pickup portal for recipients, and what a signed-in sender sees.
//!
//! Server-rendered HTML that works without JavaScript. One page is one file, with its path, its handlers and the name
//! of its template; [`routes`] has them all in one table with the host that has them and who may use them, and
//! enforces it before a handler runs:
//!
//! - **The host**: links come from the configuration, a route on the wrong host does not exist.
//! - **The form**: a POST counts only with the token that this browser's page was given, and the token of a multipart
//!   form comes first ([`form::Upload`] can't be had without it).
//! - **The visitor**: nobody, the holder of a link, a recipient with a live session for this very message, a person.
//! - **The answer**: a strict content security policy with a nonce, nothing stored, nothing sniffed, nothing framed, no
//!   referrer ([`answer`]).
//!
//! Invariants: GET changes nothing, and HEAD, prefetching and mail scanners read nothing; no page loads anything from
//! another host; a page's title never holds a subject (it stays in browser histories); every word comes from one
//! catalogue ([`words`]).

pub mod answer;
pub mod app;
pub mod assets;
pub mod cookie;
pub mod cx;
pub mod form;
pub mod icons;
pub mod mail;
pub mod page;
pub mod plain;
pub mod portal;
pub mod problem;
pub mod routes;
mod server;
pub mod system;
pub mod words;

pub use app::{BadHost, Hosts, Origin, REPLY_LIMIT, Services, Web};
pub use server::{ALPN, serve};
