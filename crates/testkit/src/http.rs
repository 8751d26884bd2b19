//! A browser's least part: HTTPS requests with cookies and forms, one connection each, nothing followed.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::{Context, Result};

use crate::wire::{Trust, Wire};

/// Somebody with a cookie jar.
#[derive(Clone, Debug)]
pub struct Browser {
    to: SocketAddr,
    trust: Option<Trust>,
    /// The cookies that it holds.
    pub cookies: BTreeMap<String, String>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Page {
    /// 200, 303 ...
    pub status: u16,
    /// Header lines, as they came.
    pub head: String,
    /// The body as text.
    pub body: String,
}

impl Browser {
    /// A browser without a past. Without `trust` it speaks plain HTTP.
    pub fn new(to: SocketAddr, trust: Option<&Trust>) -> Browser {
        Browser { to, trust: trust.cloned(), cookies: BTreeMap::new() }
    }

    /// GET.
    pub fn get(&mut self, path: &str) -> Result<Page> {
        self.ask("GET", path, "")
    }

    /// POST of a form; its values are encoded here.
    pub fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Result<Page> {
        let fields: Vec<String> =
            fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        self.ask("POST", path, &fields.join("&"))
    }

    /// Gets a page and posts its form to `path` with its token against forgery.
    pub fn submit(&mut self, page: &Page, path: &str, fields: &[(&str, &str)]) -> Result<Page> {
        let token = page.field("csrf").context("a form without a token")?;
        let mut all = vec![("csrf", token.as_str())];
        all.extend_from_slice(fields);
        self.post(path, &all)
    }

    fn ask(&mut self, method: &str, path: &str, form: &str) -> Result<Page> {
        let limit = Duration::from_secs(60);
        let mut wire = match &self.trust {
            Some(trust) => Wire::tls(self.to, trust, limit)?,
            None => Wire::plain(self.to, limit)?,
        };
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let port = self.to.port();
        // HTTP/1.0: the body ends where the connection does.
        wire.send(
            format!(
                "{method} {path} HTTP/1.0\r\nHost: localhost:{port}\r\nOrigin: https://localhost:{port}\r\n\
                 Cookie: {}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
                cookies.join("; "),
                form.len()
            )
            .as_bytes(),
        )?;
        let answer = String::from_utf8_lossy(&wire.rest()?).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("no answer: {answer}"))?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
        let page = Page { status, head: head.to_owned(), body: body.to_owned() };
        for cookie in page.headers("set-cookie") {
            let pair = cookie.split(';').next().and_then(|pair| pair.split_once('='));
            if let Some((name, value)) = pair {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(page)
    }
}

impl Page {
    /// The values of a header.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    /// The value of a form's field.
    pub fn field(&self, name: &str) -> Option<String> {
        let (_, after) = self.body.split_once(&format!("name=\"{name}\" value=\""))?;
        Some(after.split('"').next()?.to_owned())
    }
}

fn encoded(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    value
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
