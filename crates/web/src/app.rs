//! What the pages need: the services below them, the configured addresses, limits.

use std::net::IpAddr;
use std::sync::Arc;

use sealpost_crypto::{MacKey, Random, Token};
use sealpost_identity::Identity;
use sealpost_model::{Secret, SharedClock};
use sealpost_pickup::Pickup;

/// What the binary hands over.
pub struct Services {
    /// Who signs in.
    pub identity: Identity,
    /// Messages that wait.
    pub pickup: Pickup,
    /// The time.
    pub clock: SharedClock,
    /// Chance.
    pub random: Random,
}

/// Which host has which pages. One may have all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hosts {
    /// Where people sign in.
    pub mail: Origin,
    /// Where recipients open messages.
    pub portal: Origin,
}

impl Hosts {
    /// From `public_url` (`https://host[:port]`), and host names where `[web]` gives others; these have the same port.
    ///
    /// # Errors
    /// A sentence that says which one isn't an address and how one looks.
    pub fn new(public_url: &str, mail: Option<&str>, portal: Option<&str>) -> Result<Self, BadHost> {
        let public = Origin::parse(public_url).ok_or_else(|| BadHost(public_url.to_owned()))?;
        let at = |host: Option<&str>| match host {
            None => Ok(public.clone()),
            Some(host) => public.at(host).ok_or_else(|| BadHost(host.to_owned())),
        };
        Ok(Self { mail: at(mail)?, portal: at(portal)? })
    }
}

/// Something that should be the web's address and isn't.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "\"{0}\" is no address for the web: write public_url as https://host or https://host:port, and host names under [web] without anything else"
)]
pub struct BadHost(String);

/// The most that a reply's attachments may have together, in bytes.
pub const REPLY_LIMIT: u64 = 25_000_000;

/// What stands beside the seal where no organisation is known.
pub(crate) const BRAND: &str = "Sealpost";

/// A public address: `https://host[:port]`. Links are made from it, never from a Host header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    text: String,
    host: String,
}

impl Origin {
    /// Reads `https://host` or `https://host:port`; a slash at the end doesn't matter.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("https://")?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse::<u16>().ok()?)),
            None => (authority, None),
        };
        let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
        if host.is_empty() || !host.bytes().all(fine) {
            return None;
        }
        let host = host.to_ascii_lowercase();
        let text = match port {
            Some(port) if port != 443 => format!("https://{host}:{port}"),
            _ => format!("https://{host}"),
        };
        Some(Self { text, host })
    }

    /// Another host at the same port.
    fn at(&self, host: &str) -> Option<Self> {
        let port = self.text.strip_prefix("https://").and_then(|a| a.split_once(':')).map(|(_, port)| port);
        Self::parse(&port.map_or_else(|| format!("https://{host}"), |port| format!("https://{host}:{port}")))
    }

    /// The host's name.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether a Host header (or `:authority`) names it. The port is whatever led here: a forwarded port is fine.
    pub fn is(&self, authority: &str) -> bool {
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => authority,
        };
        host.eq_ignore_ascii_case(&self.host)
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// The pages. Cheap to clone.
#[derive(Clone)]
pub struct Web {
    inner: Arc<Inner>,
}

struct Inner {
    services: Services,
    hosts: Hosts,
    form_key: MacKey,
}

impl Web {
    /// The pages of these hosts, over these services.
    pub fn new(services: Services, hosts: Hosts) -> Self {
        let form_key = services.pickup.form_key();
        Self { inner: Arc::new(Inner { services, hosts, form_key }) }
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.inner.services.identity
    }

    pub(crate) fn pickup(&self) -> &Pickup {
        &self.inner.services.pickup
    }

    pub(crate) fn clock(&self) -> &SharedClock {
        &self.inner.services.clock
    }

    pub(crate) fn hosts(&self) -> &Hosts {
        &self.inner.hosts
    }

    /// A fresh 128-bit token.
    pub(crate) fn token(&self) -> Secret<String> {
        Token::random(&self.inner.services.random).expose()
    }

    /// The token of a browser's forms: a MAC over its form cookie.
    pub(crate) fn form_token(&self, cookie: &str) -> String {
        hex(&self.inner.form_key.mac(&[b"form", cookie.as_bytes()]))
    }

    /// Whether `sent` is the token of this browser's forms.
    pub(crate) fn is_form_token(&self, cookie: &str, sent: &str) -> bool {
        sealpost_crypto::constant_time_eq(self.form_token(cookie).as_bytes(), sent.as_bytes())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// An address for people: IPv4 inside IPv6 as IPv4.
pub fn show_ip(ip: IpAddr) -> String {
    ip.to_canonical().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_hosts_over_tls() {
        let o = Origin::parse("https://Portal.Clinic.test:2443/").unwrap();
        assert_eq!(o.to_string(), "https://portal.clinic.test:2443");
        assert!(
            o.is("portal.clinic.test:2443") && o.is("PORTAL.clinic.test") && o.is("portal.clinic.test:9")
        );
        assert!(!o.is("evil.example") && !o.is("portal.clinic.test.evil.example") && !o.is(""));
        assert_eq!(Origin::parse("https://a.b:443").unwrap().to_string(), "https://a.b");
        let hosts = Hosts::new("https://a.b:2443", None, Some("pickup.a.b")).unwrap();
        assert_eq!(
            (hosts.mail.to_string(), hosts.portal.to_string()),
            ("https://a.b:2443".into(), "https://pickup.a.b:2443".into())
        );
        assert!(
            Hosts::new("http://a.b", None, None).is_err()
                && Hosts::new("https://a.b", Some("x/y"), None).is_err()
        );
        for bad in
            ["http://a.b", "https://", "https://a/b", "https://a b", "https://u@a.b", "https://a:x", "a.b"]
        {
            assert!(Origin::parse(bad).is_none(), "{bad}");
        }
    }
}
