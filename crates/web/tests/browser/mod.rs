//! A browser without a screen: keeps cookies, sends forms, talks to the router itself.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use sealpost_model::Client;
use sealpost_web::{Hosts, Services, Web, routes};
use tower::ServiceExt as _;

use crate::stage::{Stage, client};

pub const MAIL: &str = "mail.clinic.test:2443";
pub const PORTAL: &str = "pickup.clinic.test:2443";

/// The pages of a stage, with two hosts.
pub fn site(stage: &Stage) -> Router {
    let services = Services {
        identity: stage.identity.clone(),
        pickup: stage.pickup.clone(),
        clock: stage.clock.clone(),
        random: stage.random.clone(),
    };
    let hosts =
        Hosts::new("https://mail.clinic.test:2443", None, Some("pickup.clinic.test")).expect("addresses");
    routes::router(Web::new(services, hosts))
}

#[derive(Clone)]
pub struct Browser {
    router: Router,
    pub host: &'static str,
    pub cookies: BTreeMap<String, String>,
    pub headers: Vec<(&'static str, String)>,
    pub client: Client,
}

pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// The token of the page's forms.
    pub fn csrf(&self) -> String {
        self.field("csrf")
    }

    /// The first hidden field with this name.
    pub fn field(&self, name: &str) -> String {
        let text = self.text();
        let mark = format!("name=\"{name}\" value=\"");
        let at =
            text.find(&mark).map(|at| at + mark.len()).unwrap_or_else(|| panic!("no field {name}: {text}"));
        text[at..].split('"').next().unwrap_or_default().to_owned()
    }
}

impl Browser {
    pub fn new(router: &Router, host: &'static str) -> Self {
        Self { router: router.clone(), host, cookies: BTreeMap::new(), headers: Vec::new(), client: client() }
    }

    pub async fn request(&mut self, method: Method, path: &str, media_type: &str, body: Vec<u8>) -> Reply {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, self.host);
        if !self.cookies.is_empty() {
            let list: Vec<String> = self.cookies.iter().map(|(k, v)| format!("{k}={v}")).collect();
            request = request.header(header::COOKIE, list.join("; "));
        }
        if !media_type.is_empty() {
            request = request.header(header::CONTENT_TYPE, media_type);
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let mut request = request.body(Body::from(body)).expect("a request");
        request.extensions_mut().insert(self.client);
        let response = self.router.clone().oneshot(request).await.expect("answers");
        let (parts, body) = response.into_parts();
        for set in parts.headers.get_all(header::SET_COOKIE) {
            let set = set.to_str().expect("ASCII");
            let (pair, rest) = set.split_once(';').expect("attributes");
            let (name, value) = pair.split_once('=').expect("a pair");
            if rest.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let body = body.collect().await.expect("a body").to_bytes().to_vec();
        Reply { status: parts.status, headers: parts.headers, body }
    }

    pub async fn get(&mut self, path: &str) -> Reply {
        self.request(Method::GET, path, "", Vec::new()).await
    }

    /// Sends a form with the token of the page at `page`.
    pub async fn submit(&mut self, page: &str, path: &str, fields: &[(&str, &str)]) -> Reply {
        let csrf = self.get(page).await.csrf();
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("csrf", &csrf);
        form.extend_pairs(fields);
        self.post(path, form.finish()).await
    }

    pub async fn post(&mut self, path: &str, form: String) -> Reply {
        self.request(Method::POST, path, "application/x-www-form-urlencoded", form.into_bytes()).await
    }

    /// Sends a multipart form: fields, then files (name, type, bytes).
    pub async fn upload(
        &mut self,
        path: &str,
        fields: &[(&str, &str)],
        files: &[(&str, &str, &[u8])],
    ) -> Reply {
        let mut body = Vec::new();
        for (name, value) in fields {
            body.extend(
                format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").bytes(),
            );
        }
        for (name, kind, bytes) in files {
            body.extend(
                format!("--XX\r\nContent-Disposition: form-data; name=\"attachment\"; filename=\"{name}\"\r\nContent-Type: {kind}\r\n\r\n")
                    .bytes(),
            );
            body.extend_from_slice(bytes);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--XX--\r\n");
        self.request(Method::POST, path, "multipart/form-data; boundary=XX", body).await
    }

    /// Opens a waiting message with its code.
    pub async fn open(&mut self, link: &str, code: &str) {
        let page = format!("/pickup/{link}");
        let answer = self.submit(&page, &page, &[]).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (StatusCode::SEE_OTHER, format!("{page}/code").as_str())
        );
        let answer = self.submit(&format!("{page}/code"), &format!("{page}/code"), &[("code", code)]).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (StatusCode::SEE_OTHER, format!("{page}/message").as_str())
        );
    }

    /// Signs in.
    pub async fn sign_in(&mut self, login: &str) {
        let answer = self
            .submit("/signin", "/signin", &[("login", login), ("password", crate::stage::PASSWORD)])
            .await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
    }
}
