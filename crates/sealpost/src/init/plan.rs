//! Answers that were looked at: each parsed into what cannot be wrong, and the configuration that they make.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sealpost_crypto::{Random, app_password};
use sealpost_model::{Address, Domain, Secret};
use sealpost_net::ServerCertificate;

use super::answers::{Answers, Somebody};
use crate::config::{Config, DEFAULT};

/// Answers that will do.
pub(super) struct Plan {
    pub organisation: String,
    pub domain: Domain,
    pub hostname: String,
    /// The security official, and the second.
    pub people: [Person; 2],
    /// The configuration's text.
    pub text: String,
    /// Read from that text.
    pub config: Config,
    /// Parts of the recovery kit.
    pub shares: u8,
    /// Parts that are enough.
    pub needed: u8,
    /// The folder for the parts' files.
    pub kit: PathBuf,
    /// What is not wrong but should be known.
    pub notes: Vec<String>,
}

/// Somebody who answers for security.
pub(super) struct Person {
    pub name: String,
    pub address: Address,
    pub contact: String,
    pub password: Secret<String>,
    /// Whether we made the password, which nobody is to know.
    pub made: bool,
}

/// An answer that will not do.
#[derive(Debug)]
pub(super) struct Wrong {
    /// Which: `domain`, `official.contact`.
    pub key: &'static str,
    /// Why, and what would do.
    pub why: String,
}

impl Wrong {
    pub(super) fn new(key: &'static str, why: impl Into<String>) -> Self {
        Self { key, why: why.into() }
    }

    /// As it is said where nobody wrote a file.
    pub(super) fn plain(self) -> anyhow::Error {
        anyhow::anyhow!("{self}")
    }
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.key, self.why)
    }
}

/// Parses every answer.
pub(super) fn plan(file: &Path, answers: Answers, random: &Random) -> Result<Plan, Wrong> {
    let organisation = organisation(&answers.organisation)?;
    let hostname = host_name(&answers.hostname)?;
    let domain = domain(&answers.domain)?;
    let public_url = url(&answers.public_url.unwrap_or_else(|| format!("https://{hostname}")))?;
    let people = [
        person(["official.name", "official.address", "official.contact"], answers.official, &domain, random)?,
        person(["second.name", "second.address", "second.contact"], answers.second, &domain, random)?,
    ];
    if people[0].address.same(&people[1].address) {
        return Err(Wrong::new(
            "second.address",
            "it must be another person than the security official, so that one can act when the other can't",
        ));
    }
    let (shares, needed) = (answers.recovery.shares, answers.recovery.needed);
    if !(2..=16).contains(&shares) {
        return Err(Wrong::new("recovery.shares", format!("{shares} parts can't be made; give 2 to 16")));
    }
    if needed < 2 || needed > shares {
        return Err(Wrong::new(
            "recovery.needed",
            format!(
                "{needed} of {shares} is no choice: more than one part must be needed, and no more than there are"
            ),
        ));
    }
    let usual = Usual::of(file);
    let (certificate, key) =
        (answers.certificate.unwrap_or(usual.certificate), answers.key.unwrap_or(usual.key));
    let mut values = vec![
        ("hostname", quoted(&hostname)),
        ("public_url", quoted(&public_url)),
        ("data", quoted_path("data", &answers.data.unwrap_or(usual.data))?),
        ("certificate", quoted_path("certificate", &certificate)?),
        ("key", quoted_path("key", &key)?),
        ("master", {
            let path = answers.master.unwrap_or(usual.master);
            quoted(&format!("file:{}", path_text("master", &path)?))
        }),
        ("ring", quoted_path("ring", &answers.ring.unwrap_or(usual.ring))?),
        ("anchor", quoted_path("anchor", &answers.anchor.unwrap_or(usual.anchor))?),
    ];
    if let Some(store) = &answers.store {
        values.push(("store.url", quoted(store.expose())));
    }
    if let Some(socket) = usual.control_socket {
        values.push(("control_socket", quoted_path("control_socket", &socket)?));
    }
    let mut text = configuration(&values)?;
    if let Some(contact) = &answers.acme {
        text = with_acme(&text, &self::acme(contact)?);
    }
    let config = Config::parse(&text, file).map_err(|e| Wrong::new("configuration", format!("{e:#}")))?;
    let mut notes = Vec::new();
    let pairs = crate::certificates::files::pairs(&config.tls);
    for pair in pairs.map_err(|e| Wrong::new("certificate", format!("{e:#}")))? {
        if pair.certificate.exists() || pair.key.exists() {
            ServerCertificate::load(&pair.certificate, &pair.key)
                .map_err(|e| Wrong::new("certificate", format!("it can't be used: {e}")))?;
        } else {
            notes.push(format!(
                "put the certificate for {hostname} at {} and its key at {} (chmod 600) before the first start",
                pair.certificate.display(),
                pair.key.display()
            ));
        }
    }
    let base = file.parent().unwrap_or(Path::new("."));
    let kit = base.join(answers.recovery.folder.unwrap_or_else(|| KIT.into()));
    Ok(Plan { organisation, domain, hostname, people, text, config, shares, needed, kit, notes })
}

/// The folder for the parts of the recovery kit, unless another is named.
pub const KIT: &str = "recovery-kit";

pub(super) fn organisation(text: &str) -> Result<String, Wrong> {
    let name = text.trim();
    if name.is_empty() || name.chars().count() > 200 || name.chars().any(char::is_control) {
        return Err(Wrong::new(
            "organisation",
            "give the name that people know it by, at most 200 characters",
        ));
    }
    Ok(name.to_owned())
}

pub(super) fn host_name(text: &str) -> Result<String, Wrong> {
    let name = text.trim().trim_end_matches('.').to_ascii_lowercase();
    match Domain::parse(&name) {
        Ok(_) if name.contains('.') || name == "localhost" => Ok(name),
        _ => Err(Wrong::new(
            "hostname",
            format!("{text:?} is not a full host name such as mail.clinic.example"),
        )),
    }
}

pub(super) fn domain(text: &str) -> Result<Domain, Wrong> {
    Domain::parse(text.trim())
        .map_err(|_| Wrong::new("domain", format!("{text:?} is not a mail domain such as clinic.example")))
}

pub(super) fn url(text: &str) -> Result<String, Wrong> {
    let url = text.trim().trim_end_matches('/');
    sealpost_web::Hosts::new(url, None, None)
        .map(|_| url.to_owned())
        .map_err(|_| Wrong::new("public_url", format!("{url:?} must be https:// and a host name")))
}

/// Whom the ACME server writes to.
pub(super) fn acme(text: &str) -> Result<Address, Wrong> {
    Address::parse(text.trim())
        .map_err(|_| Wrong::new("acme", format!("{text:?} is not a mail address; leave it out to use files")))
}

pub(super) fn name(key: &'static str, text: &str) -> Result<String, Wrong> {
    let name = text.trim();
    if name.is_empty() || name.chars().count() > 200 || name.chars().any(char::is_control) {
        return Err(Wrong::new(key, "give the person's name, at most 200 characters"));
    }
    Ok(name.to_owned())
}

pub(super) fn address(key: &'static str, text: &str, domain: &Domain) -> Result<Address, Wrong> {
    let text = text.trim();
    let full = if text.contains('@') { text.to_owned() } else { format!("{text}@{domain}") };
    let address =
        Address::parse(&full).map_err(|_| Wrong::new(key, format!("{full:?} is not a mail address")))?;
    if address.domain() != domain {
        return Err(Wrong::new(key, format!("it must be at {domain}, since nobody else's mailbox is here")));
    }
    Ok(address)
}

/// A contact that works while this server doesn't (S108).
pub(super) fn contact(key: &'static str, text: &str, domain: &Domain) -> Result<String, Wrong> {
    let contact = text.trim();
    let wrong = |why: &str| Err(Wrong::new(key, why.to_owned()));
    if contact.contains('@') {
        return match Address::parse(contact) {
            Ok(address) if address.domain() == domain => wrong(
                "an address here does not work while this server is down; give a telephone number, or an address elsewhere",
            ),
            Ok(_) => Ok(contact.to_owned()),
            Err(_) => wrong("this is not a mail address; give a telephone number, or an address elsewhere"),
        };
    }
    let digits = contact.chars().filter(char::is_ascii_digit).count();
    let fine = contact.chars().count() <= 200 && !contact.chars().any(char::is_control);
    if fine && (5..=20).contains(&digits) {
        return Ok(contact.to_owned());
    }
    wrong("give a telephone number with its area code, or a mail address elsewhere")
}

fn person(
    [name_key, address_key, contact_key]: [&'static str; 3],
    somebody: Somebody,
    domain: &Domain,
    random: &Random,
) -> Result<Person, Wrong> {
    let made = somebody.password.is_none();
    Ok(Person {
        name: name(name_key, &somebody.name)?,
        address: address(address_key, &somebody.address, domain)?,
        contact: contact(contact_key, &somebody.contact, domain)?,
        password: somebody.password.map_or_else(|| app_password::random(random), Secret::new),
        made,
    })
}

/// Where things lie unless told otherwise.
pub(super) struct Usual {
    pub data: PathBuf,
    pub ring: PathBuf,
    pub master: PathBuf,
    pub anchor: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub control_socket: Option<PathBuf>,
}

impl Usual {
    /// Below /etc the system's folders; anywhere else all stays beside the configuration.
    pub(super) fn of(file: &Path) -> Self {
        if file.starts_with("/etc") {
            Self {
                data: "/var/lib/sealpost".into(),
                ring: "/var/lib/sealpost-ring".into(),
                master: file.with_file_name("master.key"),
                anchor: "/var/lib/sealpost-anchor/checkpoint".into(),
                certificate: file.with_file_name("tls/fullchain.pem"),
                key: file.with_file_name("tls/privkey.pem"),
                control_socket: Some("/run/sealpost/control.sock".into()),
            }
        } else {
            Self {
                data: "data".into(),
                ring: "keys/ring".into(),
                master: "keys/master.key".into(),
                anchor: "anchor/checkpoint".into(),
                certificate: "tls/fullchain.pem".into(),
                key: "tls/privkey.pem".into(),
                control_socket: None,
            }
        }
    }
}

/// The commented configuration with these values in place of the examples. A key that is commented out is uncommented.
fn configuration(values: &[(&'static str, String)]) -> Result<String, Wrong> {
    let mut text = String::with_capacity(DEFAULT.len());
    let mut set = BTreeSet::new();
    let mut section = "";
    for line in DEFAULT.lines() {
        section = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')).unwrap_or(section);
        let key = line.trim_start_matches('#').split(" = ").next().unwrap_or_default();
        // Some words stand in several sections.
        let is = |name: &str| name == key || name.split_once('.') == Some((section, key));
        match values.iter().find(|(name, _)| is(name)) {
            Some((name, value)) if set.insert(*name) => text.push_str(&format!("{key} = {value}\n")),
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    match values.iter().find(|(name, _)| !set.contains(name)) {
        None => Ok(text),
        Some((name, _)) => {
            Err(Wrong::new(name, "the printed configuration lacks this key: please report this"))
        }
    }
}

/// The configuration with ordered certificates instead of files.
fn with_acme(text: &str, contact: &Address) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut section, mut acme) = ("", false);
    for line in text.lines() {
        section = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')).unwrap_or(section);
        let of_files = section == "tls" && (line.starts_with("certificate = ") || line.starts_with("key = "));
        if line == "#[tls.acme]" {
            acme = true;
            out.push_str("[tls.acme]");
        } else if acme && line.starts_with("#contact = ") {
            out.push_str(&format!("contact = {}", quoted(&format!("mailto:{contact}"))));
        } else {
            if of_files {
                out.push('#');
            }
            out.push_str(line);
        }
        out.push('\n');
    }
    out
}

fn path_text<'a>(key: &'static str, path: &'a Path) -> Result<&'a str, Wrong> {
    path.to_str()
        .ok_or_else(|| Wrong::new(key, format!("{} is not UTF-8; choose another name", path.display())))
}

fn quoted_path(key: &'static str, path: &Path) -> Result<String, Wrong> {
    path_text(key, path).map(quoted)
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_keeps_its_comments() {
        let values = [("hostname", quoted("mx.a.example")), ("anchor", quoted("w\"x"))];
        let text = configuration(&values).expect("both are there");
        assert!(text.contains("\nhostname = \"mx.a.example\"\n") && text.contains("\nanchor = "));
        assert!(text.contains("# The newest checkpoints of the log"));
        let config = Config::parse(&text, Path::new("/x/sealpost.toml")).expect("valid");
        assert_eq!(config.anchor_files(), [Path::new("/x/w\"x")]);
    }

    #[test]
    fn ordered_certificates_need_no_files() {
        let contact = Address::parse("olga@a.example").expect("one");
        let text = with_acme(DEFAULT, &contact);
        let config = Config::parse(&text, Path::new("/x/sealpost.toml")).expect("valid");
        assert!(config.tls.certificate.0.is_empty() && config.tls.key.0.is_empty());
        let acme = config.tls.acme.expect("it orders");
        assert_eq!(acme.contact.as_deref(), Some("mailto:olga@a.example"));
        assert!(acme.directory.contains("letsencrypt"));
    }

    #[test]
    fn only_full_host_names_will_do() {
        assert_eq!(host_name(" Mail.Clinic.example. ").expect("one"), "mail.clinic.example");
        for wrong in ["", "mail", "a b.c", "https://mail.clinic.example", "mail.clinic.example/x"] {
            assert!(host_name(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_contact_works_while_this_server_is_down() {
        let domain = Domain::parse("hill.example").expect("a domain");
        for good in ["+1 555 0100 200", "(030) 12345-6", "olga@elsewhere.example"] {
            assert_eq!(contact("c", good, &domain).expect(good), good);
        }
        for wrong in ["", "ask me", "olga@hill.example", "olga@", "12", "1\u{7}23456"] {
            assert!(contact("c", wrong, &domain).is_err(), "{wrong:?}");
        }
    }
}
