//! A certificate authority for one machine, whose key is thrown away.
//!
//! Quickstart and tests need certificates that programs can verify. The authority may vouch for a handful of names only
//! (RFC 5280 section 4.2.1.10), so that whoever imports it risks nothing beyond them, and its key never reaches a disk.

use std::net::IpAddr;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SanType, date_time_ymd,
};
use sealpost_model::{Domain, Secret, Time};

use crate::{Error, Result, ServerCertificate};

/// An authority's certificate, and the one server certificate that it issued.
#[derive(Clone, Debug)]
pub struct LocalCa {
    /// The authority's certificate, PEM: what clients import.
    pub ca: String,
    /// The server's certificate, PEM.
    pub certificate: String,
    /// The server's private key, PEM (PKCS#8).
    pub key: Secret<String>,
}

impl LocalCa {
    /// Makes an authority for `names` (DNS names, which cover their subdomains in the constraint, or IP addresses), and
    /// a server certificate for all of them, valid from a day before `now` for 825 days, the most that Apple's programs
    /// take.
    ///
    /// # Errors
    /// [`Error::Certificate`] when a name can't stand in a certificate.
    pub fn create(names: &[&str], now: Time) -> Result<Self> {
        for name in names {
            if name.parse::<IpAddr>().is_err() && Domain::parse(name.trim_start_matches("*.")).is_err() {
                return Err(Error::Certificate(format!("no certificate can name {name:?}")));
            }
        }
        Self::make(names, now).map_err(|e| Error::Certificate(format!("no local certificate: {e}")))
    }

    /// The server's certificate and key, ready to serve.
    ///
    /// # Errors
    /// [`Error::Certificate`].
    pub fn server(&self) -> Result<ServerCertificate> {
        ServerCertificate::from_pem(self.certificate.as_bytes(), self.key.expose().as_bytes())
    }

    fn make(names: &[&str], now: Time) -> std::result::Result<Self, rcgen::Error> {
        let epoch = date_time_ymd(1970, 1, 1);
        let today = epoch + Duration::from_secs(u64::try_from(now.seconds()).unwrap_or(0).min(LAST_SECOND));
        let (not_before, not_after) = (today - DAY, today + DAY * 824);

        let mut ca = CertificateParams::default();
        ca.distinguished_name = rcgen::DistinguishedName::new();
        ca.distinguished_name.push(DnType::CommonName, "Sealpost on this machine");
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        ca.name_constraints = Some(NameConstraints {
            permitted_subtrees: names.iter().map(|n| subtree(n)).collect(),
            excluded_subtrees: Vec::new(),
        });
        (ca.not_before, ca.not_after) = (not_before, not_after);
        let ca_key = KeyPair::generate()?;
        let ca_certificate = ca.self_signed(&ca_key)?;

        let mut server = CertificateParams::default();
        server.distinguished_name = rcgen::DistinguishedName::new();
        server.distinguished_name.push(DnType::CommonName, "Sealpost server");
        server.subject_alt_names =
            names.iter().map(|n| alternative(n)).collect::<std::result::Result<_, _>>()?;
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.use_authority_key_identifier_extension = true;
        (server.not_before, server.not_after) = (not_before, not_after);
        let key = KeyPair::generate()?;
        let certificate = server.signed_by(&key, &Issuer::new(ca, ca_key))?;

        Ok(Self { ca: ca_certificate.pem(), certificate: certificate.pem(), key: key.serialize_pem().into() })
    }
}

fn subtree(name: &str) -> GeneralSubtree {
    match name.parse::<IpAddr>() {
        Ok(ip) => {
            GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(ip, if ip.is_ipv4() { 32 } else { 128 }))
        }
        Err(_) => GeneralSubtree::DnsName(name.trim_start_matches("*.").to_owned()),
    }
}

fn alternative(name: &str) -> std::result::Result<SanType, rcgen::Error> {
    Ok(match name.parse::<IpAddr>() {
        Ok(ip) => SanType::IpAddress(ip),
        Err(_) => SanType::DnsName(name.try_into()?),
    })
}

const DAY: Duration = Duration::from_secs(86_400);
/// The last second of 9990: later dates don't fit into a certificate.
const LAST_SECOND: u64 = 253_086_076_799;
