//! How to reach the database: the URL, and TLS to whatever is not this machine.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sealpost_model::Secret;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{Error, Result};

/// A database that can be connected to.
#[derive(Clone)]
pub(crate) struct Place {
    pub(super) config: Config,
    pub(super) tls: MakeRustlsConnect,
}

impl Place {
    /// Reads `postgres://user:password@host/database?sslmode=..&sslrootcert=PATH&password_file=PATH`, or libpq's `host=.. dbname=..`.
    ///
    /// To another host the connection is TLS with a verified certificate, whatever `sslmode` says, and
    /// `sslmode=disable` is an error: rows hold who wrote to whom and when. To this machine (a unix socket, a loopback
    /// address) it is plain unless `sslmode=require`.
    pub(crate) fn parse(url: &Secret<String>) -> Result<Self> {
        let wrong = |why: String| Error::Database { why };
        let (text, roots) = split_off(url.expose(), "sslrootcert=");
        let (text, password_file) = split_off(&text, "password_file=");
        let verified = ["verify-full", "verify-ca"]
            .iter()
            .fold(text, |text, mode| text.replace(&format!("sslmode={mode}"), "sslmode=require"));
        // The parser's own words may quote what it could not read.
        let mut config = Config::from_str(&verified).map_err(|_| {
            wrong("its url is none; it looks like postgres://user:password@host/database".into())
        })?;
        if let Some(path) = password_file {
            let password = std::fs::read_to_string(&path)
                .map_err(|e| wrong(format!("password_file {path} can't be read: {e}")))?;
            config.password(Secret::new(password).expose().trim_end_matches(['\r', '\n']));
        }
        let local = is_local(&config);
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(wrong("its url names no host".into()));
        }
        match (config.get_ssl_mode(), local) {
            (SslMode::Disable, false) => {
                return Err(wrong(
                    "sslmode=disable is for this machine only; leave it out, and connections to another host use TLS"
                        .into(),
                ));
            }
            (SslMode::Require, _) | (_, false) => config.ssl_mode(SslMode::Require),
            (_, true) => config.ssl_mode(SslMode::Disable),
        };
        if config.get_application_name().is_none() {
            config.application_name("sealpost");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(10));
        }
        config
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .keepalives_idle(Duration::from_secs(30))
            .tcp_user_timeout(Duration::from_secs(30));
        Ok(Self { config, tls: MakeRustlsConnect::new(tls(roots.as_deref())?) })
    }
}

/// Whether all hosts are this machine.
fn is_local(config: &Config) -> bool {
    let here = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    };
    // An address goes before the name that stands for it.
    if config.get_hostaddrs().is_empty() {
        config.get_hosts().iter().all(here)
    } else {
        config.get_hostaddrs().iter().all(IpAddr::is_loopback)
    }
}

/// Takes `KEY=PATH` out of the URL, which the client library does not know.
fn split_off(url: &str, key: &str) -> (String, Option<String>) {
    let Some(start) = url.find(key) else { return (url.to_owned(), None) };
    let (before, rest) = (&url[..start], &url[start + key.len()..]);
    let end = rest.find(['&', ' ']).unwrap_or(rest.len());
    let after = rest[end..].trim_start_matches(['&', ' ']);
    let joint = if after.is_empty() { before.trim_end_matches(['&', '?', ' ']) } else { before };
    (format!("{joint}{after}"), Some(rest[..end].to_owned()))
}

fn tls(roots: Option<&str>) -> Result<ClientConfig> {
    let mut trusted = RootCertStore::empty();
    match roots {
        None => {
            trusted.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
        }
        Some(path) => {
            let unreadable = |why: String| Error::Database { why: format!("sslrootcert {path}: {why}") };
            for certificate in CertificateDer::pem_file_iter(path).map_err(|e| unreadable(e.to_string()))? {
                let certificate = certificate.map_err(|e| unreadable(e.to_string()))?;
                trusted.add(certificate).map_err(|e| unreadable(e.to_string()))?;
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::Bug(format!("TLS: {e}")))?;
    Ok(config.with_root_certificates(trusted).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Place> {
        Place::parse(&Secret::new(url.to_owned()))
    }

    #[test]
    fn what_leaves_this_machine_is_encrypted() {
        let mode = |url: &str| parse(url).unwrap().config.get_ssl_mode();
        assert_eq!(mode("postgres://a@db.example/mail"), SslMode::Require);
        assert_eq!(mode("postgres://a@db.example/mail?sslmode=prefer"), SslMode::Require);
        assert_eq!(mode("postgres://a@db.example/mail?sslmode=verify-full"), SslMode::Require);
        assert_eq!(mode("postgres://a@127.0.0.1/mail"), SslMode::Disable);
        assert_eq!(mode("postgres://a@[::1]/mail?sslmode=disable"), SslMode::Disable);
        assert_eq!(mode("postgres://a@localhost/mail?sslmode=require"), SslMode::Require);
        assert_eq!(mode("host=/run/postgresql user=a dbname=mail"), SslMode::Disable);
        assert_eq!(mode("host=localhost hostaddr=192.0.2.1 user=a"), SslMode::Require);
        for refused in [
            "postgres://a@db.example/mail?sslmode=disable",
            "postgres://a@127.0.0.1,db.example/mail?sslmode=disable",
            "host=localhost hostaddr=192.0.2.1 user=a sslmode=disable",
            "postgres:///mail",
            "postgres://a@db.example/mail?sslmode=perhaps",
            "mysql://a@b/c",
        ] {
            assert!(matches!(parse(refused), Err(Error::Database { .. })), "{refused}");
        }
    }

    #[test]
    fn no_error_shows_the_password() {
        for url in
            ["postgres://a:hunter2@db.example/mail?sslmode=disable", "postgres://a:hunter2@db:x/mail?what=1"]
        {
            let error = parse(url).err().unwrap();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn roots_are_taken_out_of_the_url() {
        let split = |url| split_off(url, "sslrootcert=");
        assert_eq!(
            split("postgres://h/d?sslrootcert=/ca.pem"),
            ("postgres://h/d".into(), Some("/ca.pem".into()))
        );
        assert_eq!(
            split("postgres://h/d?sslrootcert=/ca.pem&sslmode=require"),
            ("postgres://h/d?sslmode=require".into(), Some("/ca.pem".into()))
        );
        assert_eq!(
            split("host=h sslrootcert=/ca.pem user=a"),
            ("host=h user=a".into(), Some("/ca.pem".into()))
        );
        let missing = parse("postgres://a@db.example/mail?sslrootcert=/nowhere/ca.pem");
        assert!(matches!(missing, Err(Error::Database { why }) if why.contains("/nowhere/ca.pem")));
    }
}
