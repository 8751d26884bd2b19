//! The configuration file: only what is needed before the store opens.
//!
//! Every key stands once, here, with the words that `serve --print-default-config` prints. An unknown key is an error
//! that names its line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use sealpost_model::{Network, Secret};
use sealpost_store::{Bodies, Engine};
use serde::Deserialize;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[listen]`
    #[serde(default)]
    pub listen: Listen,
    /// `[web]`
    #[serde(default)]
    pub web: Web,
    /// `[tls]`
    pub tls: Tls,
    /// `[blobs]`
    #[serde(default)]
    pub blobs: Blobs,
    /// `[store]`
    #[serde(default)]
    pub store: Store,
    /// `[keys]`
    pub keys: Keys,
    /// `[audit]`
    #[serde(default)]
    pub audit: Audit,
    /// `[backup]`
    #[serde(default)]
    pub backup: Backup,
    /// `[passwords]`
    #[serde(default)]
    pub passwords: Passwords,
    /// `[dns]`
    #[serde(default)]
    pub dns: Dns,
    /// `[outbound]`
    #[serde(default)]
    pub outbound: Outbound,
    /// `[limits]`
    #[serde(default)]
    pub limits: Limits,
    /// Where the file lies; relative paths in it start there.
    #[serde(skip)]
    pub file: PathBuf,
    /// The file descriptor from which the passphrase of the master key is read.
    #[serde(skip)]
    pub passphrase_fd: Option<u32>,
}

/// Who this server is and where its data lies.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// The name that it says in SMTP and in Message-IDs.
    pub hostname: String,
    /// What links begin with.
    pub public_url: String,
    /// The data folder.
    pub data: PathBuf,
    /// The control socket.
    pub control_socket: Option<PathBuf>,
    /// `error`, `warn`, `info`, `debug`, or a filter as `tracing` reads it.
    #[serde(default = "default_log")]
    pub log: String,
}

/// Addresses to listen on, a list a protocol. An empty list: not served.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// Mail from outside, port 25.
    pub smtp: Vec<SocketAddr>,
    /// Submission with STARTTLS, port 587.
    pub submission: Vec<SocketAddr>,
    /// Submission over TLS, port 465.
    pub submissions: Vec<SocketAddr>,
    /// IMAP with STARTTLS, port 143; no login before it.
    pub imap: Vec<SocketAddr>,
    /// IMAP over TLS, port 993.
    pub imaps: Vec<SocketAddr>,
    /// POP3 over TLS, port 995.
    pub pop3s: Vec<SocketAddr>,
    /// The web, port 443.
    pub https: Vec<SocketAddr>,
    /// Port 80: answers to an ACME server, and the way to https.
    pub http: Vec<SocketAddr>,
    /// Numbers for Prometheus, in the clear and without a sign-in.
    pub metrics: Vec<SocketAddr>,
    /// Networks of proxies that begin each connection with a PROXY header, and may say XCLIENT.
    pub proxy_from: Vec<Network>,
    /// Networks of SMTP proxies that say XCLIENT and send no PROXY header.
    pub xclient_from: Vec<Network>,
}

impl Listen {
    /// Each protocol's word with its addresses, in the order of quickstart's ports.
    pub fn all(&self) -> [(&'static str, &[SocketAddr]); 9] {
        [
            ("smtp", &self.smtp),
            ("submission", &self.submission),
            ("submissions", &self.submissions),
            ("imap", &self.imap),
            ("imaps", &self.imaps),
            ("pop3s", &self.pop3s),
            ("https", &self.https),
            ("http", &self.http),
            ("metrics", &self.metrics),
        ]
    }
}

/// Host names of the web. One may serve all.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Web {
    /// Webmail and sign-in.
    pub mail: Option<String>,
    /// The pickup portal.
    pub portal: Option<String>,
}

/// The server's certificates: from files, from an ACME server, or both.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Chains, PEM, or folders with chains and keys.
    #[serde(default)]
    pub certificate: Paths,
    /// The chains' keys, PEM, in the same order, readable by this user alone.
    #[serde(default)]
    pub key: Paths,
    /// Who issues certificates for the names that no file has.
    pub acme: Option<Acme>,
    /// `1.2` or `1.3`.
    #[serde(default = "default_tls")]
    pub minimum: String,
}

/// Where rows live.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// `sqlite:PATH`, or `postgres://..`, which may hold a password.
    #[serde(deserialize_with = "secret")]
    pub url: Option<Secret<String>>,
}

/// Where bodies lie.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Blobs {
    /// `pack:PATH`, or `s3://BUCKET/PREFIX?endpoint=..&region=..&access_key_id=..&secret_file=..`.
    #[serde(deserialize_with = "secret")]
    pub url: Option<Secret<String>>,
}

/// A value that must not be shown.
pub fn secret<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Secret<String>>, D::Error> {
    String::deserialize(from).map(|text| Some(Secret::new(text)))
}

/// One path or a list of them.
#[derive(Clone, Default, Debug, Deserialize)]
#[serde(from = "OneOrMany")]
pub struct Paths(pub Vec<PathBuf>);

#[derive(Deserialize)]
#[serde(untagged, expecting = "a path or a list of paths")]
enum OneOrMany {
    One(PathBuf),
    Many(Vec<PathBuf>),
}

impl From<OneOrMany> for Paths {
    fn from(paths: OneOrMany) -> Self {
        match paths {
            OneOrMany::One(path) => Self(vec![path]),
            OneOrMany::Many(paths) => Self(paths),
        }
    }
}

/// One address or a list of them.
#[derive(Clone, Default, Debug, Deserialize)]
#[serde(from = "OneOrManyAddresses")]
pub struct Addresses(pub Vec<std::net::IpAddr>);

#[derive(Deserialize)]
#[serde(untagged, expecting = "an address or a list of addresses")]
enum OneOrManyAddresses {
    One(std::net::IpAddr),
    Many(Vec<std::net::IpAddr>),
}

impl From<OneOrManyAddresses> for Addresses {
    fn from(addresses: OneOrManyAddresses) -> Self {
        match addresses {
            OneOrManyAddresses::One(address) => Self(vec![address]),
            OneOrManyAddresses::Many(addresses) => Self(addresses),
        }
    }
}

/// An ACME server (RFC 8555).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acme {
    /// The server's directory.
    #[serde(default = "lets_encrypt")]
    pub directory: String,
    /// Whom it tells about trouble.
    pub contact: Option<String>,
    /// Further host names to order certificates for.
    #[serde(default)]
    pub names: Vec<String>,
    /// Authorities that may vouch for the ACME server beside the public ones, PEM.
    pub extra_ca: Option<PathBuf>,
}

/// Where keys live.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// `file:PATH` (mode 0600), `passphrase`, or `pkcs11:...` (RFC 7512).
    pub master: String,
    /// The key ring's folder, outside the data folder and its backups.
    pub ring: PathBuf,
    /// The ring's second place: the list of what was destroyed, the weekly keys of its backups, the recovery kit's copy.
    pub destructions: Option<PathBuf>,
}

/// Where backup sets go, and when.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Backup {
    /// The place of daily sets, on site.
    pub daily: Option<String>,
    /// The place of weekly sets, off site.
    pub weekly: Option<String>,
    /// The folder of the key ring's backups.
    pub ring: Option<PathBuf>,
    /// The time of day.
    pub at: String,
    /// The day of the week of weekly sets.
    pub on: String,
    /// The time zone of both.
    pub zone: String,
    /// Bytes a second to a place at most; 0 is no limit.
    pub max_rate: u64,
}

impl Default for Backup {
    fn default() -> Self {
        Self {
            daily: None,
            weekly: None,
            ring: None,
            at: "02:30".into(),
            on: "sunday".into(),
            zone: "UTC".into(),
            max_rate: 0,
        }
    }
}

/// What new passwords are held against.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Passwords {
    /// A file of SHA-1 hashes of leaked passwords, ordered by hash, beside the list that is built in.
    pub leaked: Option<PathBuf>,
}

/// The log's anchors, and how reads are kept.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// Places outside the data folder to which the newest checkpoints are also written: one or a list.
    pub anchor: Anchors,
    /// A file with the token that an anchor over HTTPS wants.
    pub anchor_token: Option<PathBuf>,
    /// `grouped` or `durable`.
    pub reads: Reads,
    /// Minutes between two heartbeats.
    pub heartbeat: Option<u64>,
}

/// How long a reading waits for its entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reads {
    /// Until the kernel has it; the disk has it within 50 ms.
    #[default]
    Grouped,
    /// Until the disk has it.
    Durable,
}

/// One place or several, as they stand in the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Anchors {
    /// `anchor = "/mnt/witness/sealpost.anchor"`
    One(String),
    /// `anchor = ["/mnt/witness/sealpost.anchor", "https://witness.example.org/sealpost"]`
    Some(Vec<String>),
}

impl Default for Anchors {
    fn default() -> Self {
        Self::Some(Vec::new())
    }
}

/// A place for checkpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnchorAt {
    /// A file.
    File(PathBuf),
    /// Another host, `https://...`.
    Https(String),
    /// A witness who gets a mail a day, `mailto:...`.
    Mail(sealpost_model::Address),
}

impl Audit {
    /// The anchors, parsed. [`Config::load`] has seen that they can be.
    pub fn anchors(&self, base: &Path) -> anyhow::Result<Vec<AnchorAt>> {
        let all = match &self.anchor {
            Anchors::One(one) => std::slice::from_ref(one),
            Anchors::Some(all) => all,
        };
        all.iter().map(|text| AnchorAt::parse(text, base)).collect()
    }
}

impl AnchorAt {
    fn parse(text: &str, base: &Path) -> anyhow::Result<Self> {
        if text.starts_with("https://") {
            return Ok(Self::Https(text.to_owned()));
        }
        if let Some(address) = text.strip_prefix("mailto:") {
            let address = sealpost_model::Address::parse(address);
            return Ok(Self::Mail(
                address.with_context(|| format!("[audit] anchor \"{text}\" names no address"))?,
            ));
        }
        if text.is_empty() || text.contains("://") {
            bail!(
                "[audit] anchor \"{text}\" is no place: write the path of a file, https://... or mailto:ADDRESS"
            );
        }
        Ok(Self::File(base.join(text)))
    }
}

/// Name servers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dns {
    /// `address:port`; none means the system's.
    pub servers: Vec<SocketAddr>,
}

/// How mail leaves.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Outbound {
    /// The port of other mail servers.
    pub port: u16,
    /// Certificates that are trusted beside the public ones, PEM.
    pub extra_ca: Option<PathBuf>,
    /// What this server calls itself in EHLO; its hostname when left out.
    pub helo: Option<String>,
    /// The addresses to connect from.
    pub bind: Addresses,
    /// `"domain" = "host:port"`: mail to a domain goes to this host, whatever DNS says.
    pub routes: std::collections::BTreeMap<String, String>,
}

impl Default for Outbound {
    fn default() -> Self {
        Self {
            port: 25,
            extra_ca: None,
            helo: None,
            bind: Addresses::default(),
            routes: std::collections::BTreeMap::default(),
        }
    }
}

/// What is enough.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of a message.
    pub message_size: u64,
    /// Connections at once, for each protocol.
    pub connections: usize,
    /// Connections at once from one address (IPv6: one /64), for each protocol.
    pub connections_per_peer: usize,
    /// New connections a minute from one address (IPv6: one /64), for each protocol; 0 is no limit.
    pub connections_per_minute: u32,
    /// Messages a minute from one address (IPv6: one /64) on port 25; 0 is no limit.
    pub mails_per_minute: u32,
    /// Bytes of the data folder's disk that are kept back, so that a full one locks nobody out.
    pub disk_reserve: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_size: 50 << 20,
            connections: 4_096,
            connections_per_peer: 256,
            connections_per_minute: 3_000,
            mails_per_minute: 1_000,
            disk_reserve: 64 << 20,
        }
    }
}

fn default_log() -> String {
    "info".into()
}

fn lets_encrypt() -> String {
    "https://acme-v02.api.letsencrypt.org/directory".into()
}

fn default_tls() -> String {
    "1.2".into()
}

impl Config {
    /// Reads a file and makes its paths absolute.
    ///
    /// # Errors
    /// One sentence that names the file, and the line where that is known.
    pub fn load(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| {
            format!("the configuration {} can't be read; make one with `sealpost init` or give another with --config", file.display())
        })?;
        Self::parse(&text, file)
    }

    /// The configuration in `text`, as if it stood in `file`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, file: &Path) -> anyhow::Result<Self> {
        let mut config: Self = toml::from_str(text)
            .with_context(|| format!("the configuration {} is not valid", file.display()))?;
        config.file = std::path::absolute(file)?;
        let base = config.file.parent().map(Path::to_owned).unwrap_or_default();
        let Self { server, tls, keys, audit, backup, passwords, outbound, .. } = &mut config;
        for path in [&mut server.data, &mut keys.ring]
            .into_iter()
            .chain(&mut tls.certificate.0)
            .chain(&mut tls.key.0)
            .chain(tls.acme.iter_mut().filter_map(|acme| acme.extra_ca.as_mut()))
            .chain(&mut server.control_socket)
            .chain(&mut keys.destructions)
            .chain(&mut audit.anchor_token)
            .chain(&mut outbound.extra_ca)
            .chain(&mut passwords.leaked)
            .chain(&mut backup.ring)
        {
            *path = base.join(&path);
        }
        for place in [&mut backup.daily, &mut backup.weekly].into_iter().flatten() {
            if !place.contains("://") {
                let path = base.join(place.strip_prefix("file:").unwrap_or(place));
                *place = path.display().to_string();
            }
        }
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> anyhow::Result<()> {
        for (key, networks) in
            [("proxy_from", &self.listen.proxy_from), ("xclient_from", &self.listen.xclient_from)]
        {
            if let Some(all) = networks.iter().find(|n| n.prefix() < 8) {
                bail!("[listen] {key} = {all} would believe strangers; name the proxies' own addresses");
            }
        }
        if !self.server.public_url.starts_with("https://") {
            bail!("[server] public_url must begin with https://");
        }
        match &self.tls.acme {
            None if self.tls.certificate.0.is_empty() => {
                bail!("[tls] needs certificate and key, or [tls.acme] to order certificates");
            }
            Some(acme) if !acme.directory.starts_with("https://") => {
                bail!("[tls.acme] directory must begin with https://");
            }
            Some(_) if self.listen.http.is_empty() && self.listen.https.is_empty() => {
                bail!(
                    "[tls.acme] needs [listen] http (port 80) or https (port 443): there the ACME server looks whether a name is ours"
                );
            }
            _ => {}
        }
        if !matches!(self.tls.minimum.as_str(), "1.2" | "1.3") {
            bail!("[tls] minimum must be \"1.2\" or \"1.3\"; nothing below is spoken");
        }
        self.kept()?;
        self.engine()?;
        self.bodies()?;
        let outside = |what: &str, path: &Path| {
            if path.starts_with(&self.server.data) {
                bail!("{what} must lie outside the data folder {}", self.server.data.display());
            }
            Ok(())
        };
        outside("[keys] ring", &self.keys.ring)?;
        if let Some(second) = &self.keys.destructions {
            outside("[keys] destructions", second)?;
            if *second == self.keys.ring {
                bail!(
                    "[keys] destructions must be another place than [keys] ring, best on another machine's disk"
                );
            }
        }
        crate::backup::check(self)?;
        for anchor in self.anchors()? {
            if let AnchorAt::File(path) = &anchor {
                outside("[audit] anchor", path)?;
            }
        }
        if self.audit.heartbeat.is_some_and(|m| !(1..=60).contains(&m)) {
            bail!("[audit] heartbeat must be between 1 and 60 minutes");
        }
        Ok(())
    }

    /// What keeps the master key.
    ///
    /// # Errors
    /// When it is none of the kinds.
    pub fn kept(&self) -> anyhow::Result<crate::master::Kept> {
        crate::master::Kept::parse(&self.keys.master, self.file.parent().unwrap_or(Path::new(".")))
    }

    /// The master key's file: what the service manager hands over under its name, if it does, so that the file itself
    /// can belong to root alone.
    ///
    /// # Errors
    /// When another kind of master is named.
    pub fn master_file(&self) -> anyhow::Result<PathBuf> {
        let path = self.master_path()?;
        let handed = std::env::var_os("CREDENTIALS_DIRECTORY").zip(path.file_name());
        let handed = handed.map(|(folder, name)| Path::new(&folder).join(name));
        Ok(handed.filter(|handed| handed.exists()).unwrap_or(path))
    }

    /// The master key's file as the configuration names it.
    ///
    /// # Errors
    /// When another kind of master is named.
    pub fn master_path(&self) -> anyhow::Result<PathBuf> {
        match self.kept()? {
            crate::master::Kept::File(path) => Ok(path),
            _ => bail!("the master key is not kept in a file"),
        }
    }

    /// Where rows live.
    ///
    /// # Errors
    /// When the URL is neither of the two kinds; the error does not show it.
    pub fn engine(&self) -> anyhow::Result<Engine> {
        let Some(url) = &self.store.url else { return Ok(Engine::Sqlite) };
        if let Some(path) = url.expose().strip_prefix("sqlite:") {
            let base = self.file.parent().map(Path::to_owned).unwrap_or_default();
            return Ok(Engine::File { path: base.join(path) });
        }
        if url.expose().starts_with("postgres://") || url.expose().starts_with("postgresql://") {
            return Ok(Engine::Postgres { url: url.clone() });
        }
        bail!("[store] url must be \"sqlite:PATH\" or \"postgres://USER:PASSWORD@HOST/DATABASE\"")
    }

    /// Where webmail and portal are.
    ///
    /// # Errors
    /// When one of them is no address of a host.
    pub fn hosts(&self) -> anyhow::Result<sealpost_web::Hosts> {
        let Web { mail, portal } = &self.web;
        Ok(sealpost_web::Hosts::new(&self.server.public_url, mail.as_deref(), portal.as_deref())?)
    }

    /// Where bodies lie.
    ///
    /// # Errors
    /// When it is neither a folder nor a bucket.
    pub fn bodies(&self) -> anyhow::Result<Bodies> {
        let Some(url) = &self.blobs.url else { return Ok(Bodies::Packs) };
        if url.expose().starts_with("s3://") {
            return Ok(Bodies::S3 { url: url.clone() });
        }
        match url.expose().strip_prefix("pack:") {
            Some(path) if !path.is_empty() => {
                Ok(Bodies::PacksIn { path: self.file.parent().unwrap_or(Path::new(".")).join(path) })
            }
            _ => bail!(
                "[blobs] url must be \"pack:PATH\" or \"s3://BUCKET/PREFIX?endpoint=..&region=..&access_key_id=..&secret_file=..\""
            ),
        }
    }

    /// Where checkpoints also go.
    ///
    /// # Errors
    /// When one of them is no place.
    pub fn anchors(&self) -> anyhow::Result<Vec<AnchorAt>> {
        self.audit.anchors(self.file.parent().unwrap_or(Path::new(".")))
    }

    /// The anchors that are files.
    pub fn anchor_files(&self) -> Vec<PathBuf> {
        let file = |a| if let AnchorAt::File(path) = a { Some(path) } else { None };
        self.anchors().unwrap_or_default().into_iter().filter_map(file).collect()
    }

    /// Every name by which this server is called on the network, each once.
    pub fn host_names(&self) -> Vec<String> {
        let url = self.server.public_url.trim_start_matches("https://");
        let of_url = url.split(['/', ':']).next().unwrap_or_default();
        let mut names = vec![self.server.hostname.clone(), of_url.to_owned()];
        names.extend(self.web.mail.clone());
        names.extend(self.web.portal.clone());
        names.extend(self.tls.acme.iter().flat_map(|acme| acme.names.clone()));
        let mut seen = std::collections::BTreeSet::new();
        names.iter().map(|n| n.to_ascii_lowercase()).filter(|n| seen.insert(n.clone())).collect()
    }

    /// The control socket.
    pub fn control_socket(&self) -> PathBuf {
        self.server.control_socket.clone().unwrap_or_else(|| self.server.data.join("control.sock"))
    }

    /// The file that a command works with: `--config`, `--data`, `$SEALPOST_CONFIG`, `./sealpost-data/sealpost.toml`,
    /// `/etc/sealpost/sealpost.toml`, in that order.
    pub fn find(config: Option<&Path>, data: Option<&Path>) -> PathBuf {
        const LOCAL: &str = "sealpost-data/sealpost.toml";
        if let Some(file) = config {
            return file.to_owned();
        }
        if let Some(folder) = data {
            return folder.join("sealpost.toml");
        }
        if let Some(file) = std::env::var_os("SEALPOST_CONFIG") {
            return file.into();
        }
        if Path::new(LOCAL).exists() { LOCAL.into() } else { SYSTEM.into() }
    }
}

/// The configuration of the server that a package installed.
pub const SYSTEM: &str = "/etc/sealpost/sealpost.toml";

/// The configuration with every key and what it means.
pub const DEFAULT: &str = r#"# Sealpost's configuration: only what is needed before the store opens.
# Everything else (domains, people, policy) lives in the store and is changed with `sealpost` commands.

[server]
# The name that this server says in SMTP and in Message-IDs. It must resolve to this host.
hostname = "mail.example.org"
# What links in notices and receipts begin with.
public_url = "https://mail.example.org"
# The data folder. Back it up at the same time as the key ring, but never to the same place.
data = "/var/lib/sealpost"
# The control socket for administration; by default control.sock in the data folder.
#control_socket = "/run/sealpost/control.sock"
# error, warn, info or debug.
log = "info"

[listen]
# Addresses a protocol. Leave one out, and it is not served. [::] takes IPv6 and IPv4; give 0.0.0.0 as well where the
# system keeps the two apart, and single addresses as you like.
smtp = ["[::]:25"]
submission = ["[::]:587"]
submissions = ["[::]:465"]
imaps = ["[::]:993"]
pop3s = ["[::]:995"]
https = ["[::]:443"]
# Port 80 answers ACME servers and sends browsers to https; nothing else is there.
http = ["[::]:80"]
# Numbers for Prometheus at /metrics. They say nothing of anybody, but are in the clear and without a sign-in: keep them
# on this machine or in a network of your own.
#metrics = ["127.0.0.1:9090"]
# IMAP with STARTTLS, off by default.
#imap = ["[::]:143"]
# Proxies in front of this server, as addresses or networks. Each of their connections must begin with a PROXY header
# (version 1 or 2) that names the client; nobody else's header is believed. In SMTP they may say XCLIENT too.
#proxy_from = ["10.0.0.5", "2001:db8::/64"]
# SMTP proxies that send no PROXY header and say XCLIENT.
#xclient_from = ["10.0.0.6"]

[web]
# Host names of webmail and of the pickup portal; by default the host of public_url serves both.
#mail = "mail.example.org"
#portal = "pickup.example.org"

[tls]
# Chain and key, or a list of each in the same order. Clients get the one for the name that they ask for. A folder works
# as well, without key: in it NAME.pem with NAME.key, or folders with fullchain.pem and privkey.pem. Changed files are
# read within a minute; if anything is wrong with them, the old ones stay.
certificate = "/etc/sealpost/tls/fullchain.pem"
key = "/etc/sealpost/tls/privkey.pem"
# 1.2 or 1.3. Nothing below 1.2 is spoken.
minimum = "1.2"

# Certificates from an ACME server, by default Let's Encrypt, for each name of this server that no file above has. To use
# it is to agree to its terms. Needs [listen] http reachable as port 80, or https as port 443.
#[tls.acme]
#directory = "https://acme-v02.api.letsencrypt.org/directory"
# Whom the ACME server tells about trouble.
#contact = "mailto:postmaster@example.org"
# Further host names.
#names = ["pickup.example.org"]
# Authorities that vouch for an ACME server of your own, PEM.
#extra_ca = "/etc/sealpost/acme-ca.pem"

[store]
# Where rows live: by default the file store.db in the data folder; sqlite:PATH for another file. Or a PostgreSQL 15 or
# later, which several servers may share when their bodies are in the same S3 store. To another host the connection is
# TLS with a verified certificate (sslrootcert names a file with its authority); password_file keeps the password out of
# this file.
#url = "postgres://sealpost@db.example.org/sealpost?password_file=/etc/sealpost/database.password"

[blobs]
# Where sealed bodies lie: by default in packs in the data folder, else in packs elsewhere, or in a bucket. The secret key is in the
# file that secret_file names (or in AWS_SECRET_ACCESS_KEY). A bucket needs the rights to list, get, put and delete objects.
#url = "s3://BUCKET/PREFIX?endpoint=https%3A%2F%2Fs3.example.org&region=eu-central-1&access_key_id=KEYID&secret_file=/etc/sealpost/s3.secret"

[keys]
# The master key: a file that this user alone can read; or "passphrase", typed at each start or handed over by systemd
# as the credential sealpost-master; or "pkcs11:token=NAME;object=NAME?module-path=LIBRARY&pin-source=file:PATH" for an
# AES key in a token (RFC 7512; without pin-source the PIN is the credential sealpost-pin). Keep the recovery kit apart.
master = "file:/etc/sealpost/master.key"
# The key ring, outside the data folder and its backups: what dies here stays dead.
ring = "/var/lib/sealpost-ring"
# The ring's second place, best on another machine's disk: the list of what was destroyed, and the weekly keys of the
# ring's backups. Without it a ring that is lost can't be put back. Back it up nowhere.
#destructions = "/mnt/witness/sealpost-keys"

[audit]
# The newest checkpoints of the log are also written here, best on another host's disk: they prove that the log was not
# cut or put back. One place or a list of: the path of a file, https://HOST/PATH (POST keeps a text, GET gives it back),
# mailto:ADDRESS (a mail a day). A checkpoint holds no health information.
#anchor = ["/mnt/witness/sealpost.anchor"]
# A file with the token that a host over HTTPS wants (Authorization: Bearer).
#anchor_token = "/etc/sealpost/anchor.token"
# A reading of content waits until its entry is with the kernel ("grouped": a power cut may lose the readings of the last
# 50 ms) or on the disk ("durable").
reads = "grouped"
# Minutes between two heartbeats, which show that the log did not stand still.
heartbeat = 10

[backup]
# Where a set goes each day: a folder on another disk of this site. The newest 2 are kept. Everything in it is sealed.
#daily = "/mnt/backup/sealpost-daily"
# Where a set goes each week: a folder that lies elsewhere (a network share, a disk that is carried away). 4 weeks are kept.
#weekly = "/mnt/offsite/sealpost-weekly"
# A backup of the key ring goes here with each set. Never to the same disk as the sets: together with the master key it
# opens them.
#ring = "/mnt/keys/sealpost-ring"
# The time of day, the day of weekly sets, and the zone of both.
#at = "02:30"
#on = "sunday"
#zone = "UTC"
# Bytes a second at most; 0 is no limit.
#max_rate = 0

[passwords]
# Leaked passwords that nobody may choose, beside the list that is built in: a file of SHA-1 hashes ordered by hash, as
# Have I Been Pwned offers it for download. It is searched on this machine; nothing is asked of anybody.
#leaked = "/var/lib/sealpost-lists/pwned-passwords-sha1-ordered-by-hash.txt"

[dns]
# Name servers as address:port; by default the system's.
#servers = ["127.0.0.1:53"]

[outbound]
# The port of other mail servers.
port = 25
# Certificates that are trusted beside the public ones.
#extra_ca = "/etc/sealpost/extra-ca.pem"
# What this server calls itself in EHLO; its hostname by default.
#helo = "mail.example.org"
# The address to connect from, or a list of one of each family. A family that is not among them is used only for hosts that
# have no other.
#bind = ["192.0.2.25", "2001:db8::25"]

# Mail to a domain goes to this host, whatever DNS says. Its certificate must be valid for the host's name.
[outbound.routes]
#"partner.example" = "mx.partner.example:25"

[limits]
# Bytes of a message.
message_size = 52428800
# Connections at once for each protocol, and of these from one address (of IPv6: one /64; a /48 has four times as many).
connections = 4096
connections_per_peer = 256
# New connections from one address a minute for each protocol, and messages on port 25. 0 is no limit; this machine
# itself has none.
connections_per_minute = 3000
mails_per_minute = 1000
# Bytes of the data folder's disk that are kept back. When less than this is free beside it, new mail is asked to come
# later; signing in, reading and deleting go on. 0 keeps none.
disk_reserve = 67108864
"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn the_printed_configuration_is_valid_and_says_the_defaults() {
        let config = parse(DEFAULT).expect("valid");
        assert_eq!(config.limits.message_size, Limits::default().message_size);
        assert_eq!(config.limits.connections, Limits::default().connections);
        assert_eq!(config.outbound.port, Outbound::default().port);
        assert_eq!(config.tls.minimum, default_tls());
        // Every key that is commented out is known as well.
        let all = DEFAULT.replace("\n#", "\n");
        let all: String = all
            .lines()
            .filter(|l| l.starts_with('[') || l.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')))
            .collect::<Vec<_>>()
            .join("\n");
        parse(&all).expect("the commented keys are valid too");
    }

    #[test]
    fn nobody_can_be_made_to_believe_everybody() {
        for (key, wrong, word) in [
            ("proxy_from", "0.0.0.0/0", "believe strangers"),
            ("xclient_from", "::/0", "believe strangers"),
            ("proxy_from", "10.0.0.1/8", "10.0.0.0/8"),
            ("proxy_from", "proxy.example", "is no network"),
        ] {
            let text = DEFAULT.replace("[web]", &format!("{key} = [\"{wrong}\"]\n[web]"));
            let error = Config::parse(&text, Path::new("/etc/sealpost/sealpost.toml")).expect_err(wrong);
            assert!(format!("{error:#}").contains(word), "{error:#}");
        }
    }

    /// S15: there is no way to less.
    #[test]
    fn nothing_below_tls_1_2_is_taken() {
        for wrong in ["1.1", "1.0", "1", "ssl3", "", "none"] {
            let text = DEFAULT.replace("minimum = \"1.2\"", &format!("minimum = \"{wrong}\""));
            let error = Config::parse(&text, Path::new("/etc/sealpost/sealpost.toml")).expect_err(wrong);
            assert!(format!("{error:#}").contains("nothing below is spoken"), "{error:#}");
        }
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let text = DEFAULT.replace("port = 25", "prot = 25");
        let error = parse(&text).expect_err("unknown").to_string();
        assert!(error.contains("prot") && error.contains("line"), "{error}");
    }
}
