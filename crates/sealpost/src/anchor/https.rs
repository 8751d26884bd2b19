//! An anchor on another host: POST keeps a text there, GET gives it back.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use hyper::{Method, Request, StatusCode, Uri, header};
use sealpost_audit::{Answer, Witness};
use sealpost_net::{HttpsClient, TlsClient, dns};

use crate::config::Config;
use crate::instance::system_clock;

/// A place behind a URL.
pub struct HttpsWitness {
    url: Uri,
    http: HttpsClient,
    /// `Bearer ...`
    authorization: Option<header::HeaderValue>,
}

impl HttpsWitness {
    /// The place at `url`, which wants this token if any.
    ///
    /// # Errors
    /// When the address or the token is none, or TLS can't be set up.
    pub fn new(config: &Config, url: &str, token: Option<&str>) -> Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("[audit] anchor \"{url}\" is no address"))?;
        if uri.authority().is_none_or(|a| a.as_str().contains('@')) {
            bail!(
                "[audit] anchor \"{url}\" must name a host and no password; a token stands in anchor_token"
            );
        }
        let extra = match &config.outbound.extra_ca {
            Some(path) => {
                let pem = std::fs::read(path).with_context(|| format!("{} can't be read", path.display()))?;
                sealpost_net::trust_from_pem(&pem)?
            }
            None => Vec::new(),
        };
        let servers =
            if config.dns.servers.is_empty() { dns::system_servers() } else { config.dns.servers.clone() };
        let http = HttpsClient::new(
            Arc::new(dns::Hickory::new(&servers)?),
            &TlsClient::new(&extra, &system_clock())?,
        );
        let authorization = match token {
            Some(token) => {
                let mut value = header::HeaderValue::try_from(format!("Bearer {}", token.trim()))
                    .context("[audit] anchor_token holds no token")?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        Ok(Self { url: uri, http, authorization })
    }

    async fn ask(&self, method: Method, body: String) -> Result<(StatusCode, Bytes), String> {
        let mut request = Request::builder().method(method).uri(self.url.clone());
        if let Some(value) = &self.authorization {
            request = request.header(header::AUTHORIZATION, value.clone());
        }
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "text/plain; charset=utf-8");
        }
        let request = request.body(Bytes::from(body)).map_err(|e| e.to_string())?;
        let response = self.http.request(request).await.map_err(|e| e.to_string())?;
        Ok((response.status(), response.into_body()))
    }
}

impl Witness for HttpsWitness {
    fn name(&self) -> String {
        // A query may hold what is secret.
        let (host, path) = (self.url.authority().map_or("", |a| a.as_str()), self.url.path());
        format!("https://{host}{path}")
    }

    fn read(&self) -> Answer<'_, Option<String>> {
        Box::pin(async {
            match self.ask(Method::GET, String::new()).await? {
                (StatusCode::NOT_FOUND | StatusCode::NO_CONTENT, _) => Ok(None),
                (StatusCode::OK, body) => match String::from_utf8(body.to_vec()) {
                    Ok(text) if text.is_empty() => Ok(None),
                    Ok(text) => Ok(Some(text)),
                    Err(_) => Err("it gave back something that is no text".into()),
                },
                (status, _) => Err(format!("it answered GET with {}", status.as_u16())),
            }
        })
    }

    fn write<'a>(&'a self, text: &'a str) -> Answer<'a, ()> {
        Box::pin(async {
            match self.ask(Method::POST, text.to_owned()).await? {
                (status, _) if status.is_success() => Ok(()),
                (status, _) => Err(format!("it answered POST with {}", status.as_u16())),
            }
        })
    }
}
