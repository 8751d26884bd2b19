//! `sealpost init`: makes a server out of nothing.
//!
//! It asks for all it needs first, on the terminal or from a file of answers, and looks at everything that could stop
//! it. Then it makes keys, key ring, store, organisation, domain and two people, and gives the configuration its name
//! last: a configuration that is there is a server that is whole. If something fails on the way, what was made is
//! removed again.

use std::collections::BTreeSet;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use sealpost_audit::Caller;
use sealpost_crypto::{Random, app_password};
use sealpost_model::{Actor, Address, Client, Domain, Protocol, Secret};
use sealpost_net::ServerCertificate;
use sealpost_policy::{Role, Roles};
use serde::Deserialize;

use crate::config::{Config, DEFAULT};
use crate::instance::{Instance, Opened, make_folder, write_new};
use crate::people::{self, NewUser};

/// `init`'s options.
#[derive(clap::Args)]
pub struct Args {
    /// The configuration file to make.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Take the answers from this TOML file instead of asking.
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
}

/// All answers. Paths start at the configuration's folder.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answers {
    /// The organisation's name.
    organisation: String,
    /// The server's host name.
    hostname: String,
    /// What links begin with.
    public_url: Option<String>,
    /// The first domain.
    domain: String,
    /// The data folder.
    data: Option<PathBuf>,
    /// The key ring's folder.
    ring: Option<PathBuf>,
    /// The master key's file.
    master: Option<PathBuf>,
    /// The file for the log's newest checkpoint.
    anchor: Option<PathBuf>,
    /// The certificate chain.
    certificate: PathBuf,
    /// Its key.
    key: PathBuf,
    /// The security official.
    official: Somebody,
    /// A second person who can do the same.
    second: Somebody,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Somebody {
    name: String,
    address: String,
    /// Made when it is left out.
    password: Option<String>,
}

/// Answers that were looked at.
struct Plan {
    organisation: String,
    domain: Domain,
    hostname: String,
    people: [Person; 2],
    /// The configuration's text.
    text: String,
    /// Read from that text.
    config: Config,
    /// What is not wrong but should be known.
    notes: Vec<String>,
}

struct Person {
    name: String,
    address: Address,
    password: Secret<String>,
    /// Whether we made the password.
    made: bool,
}

/// Asks, makes everything, and says what to do next.
pub async fn run(args: Args) -> Result<()> {
    let file = std::path::absolute(&args.config)?;
    if file.exists() {
        bail!(
            "{} is there already and is not overwritten; start the server with `sealpost serve --config {}`, or choose another file",
            file.display(),
            file.display()
        );
    }
    let answers = match &args.answers {
        Some(from) => from_file(from)?,
        None => ask(&file)?,
    };
    let plan = plan(&file, answers, &Random::system())?;
    refuse_what_is_there(&plan)?;
    crate::log::start("warn")?;
    let mut made = Made::default();
    match make(&file, &plan, &mut made).await {
        Ok(()) => tell(&file, &plan),
        Err(error) => match made.remove() {
            Ok(()) => bail!("{error:#}; nothing was made, so put that right and run init again"),
            Err(left) => bail!(
                "{error:#}; not all that was made could be removed, so put that right, remove {left} and run init again"
            ),
        },
    }
}

fn from_file(path: &Path) -> Result<Answers> {
    let text = std::fs::read_to_string(path).with_context(|| {
        format!(
            "the answers {} can't be read; give another file with --answers, or leave it out to be asked",
            path.display()
        )
    })?;
    toml::from_str(&text).with_context(|| format!("the answers {} are not valid", path.display()))
}

/// Parses every answer, and looks at the configuration that they make.
fn plan(file: &Path, answers: Answers, random: &Random) -> Result<Plan> {
    let organisation = answers.organisation.trim().to_owned();
    if organisation.is_empty() || organisation.chars().any(char::is_control) {
        bail!("organisation: give the name that people know it by");
    }
    let hostname = host_name(&answers.hostname)?;
    let domain = Domain::parse(answers.domain.trim()).with_context(|| {
        format!("domain: {:?} is not a mail domain such as clinic.example", answers.domain)
    })?;
    let public_url = answers.public_url.unwrap_or_else(|| format!("https://{hostname}"));
    let public_url = public_url.trim().trim_end_matches('/').to_owned();
    sealpost_web::Hosts::new(&public_url, None, None).map_err(|_| {
        anyhow::anyhow!(
            "public_url: {public_url:?} must be https:// and a host name, as in https://{hostname}"
        )
    })?;
    let people = [
        person("official", answers.official, &domain, random)?,
        person("second", answers.second, &domain, random)?,
    ];
    if people[0].address.same(&people[1].address) {
        bail!(
            "second: it must be another person than the security official, so that one can act when the other can't"
        );
    }
    let usual = Usual::of(file);
    let text = configuration(&[
        ("hostname", quoted(&hostname)),
        ("public_url", quoted(&public_url)),
        ("data", quoted_path(&answers.data.unwrap_or(usual.data))?),
        ("certificate", quoted_path(&answers.certificate)?),
        ("key", quoted_path(&answers.key)?),
        ("master", quoted(&format!("file:{}", path_text(&answers.master.unwrap_or(usual.master))?))),
        ("ring", quoted_path(&answers.ring.unwrap_or(usual.ring))?),
        ("anchor", quoted_path(&answers.anchor.unwrap_or(usual.anchor))?),
    ])?;
    let config = Config::parse(&text, file)?;
    let mut notes = Vec::new();
    if config.tls.certificate.exists() || config.tls.key.exists() {
        ServerCertificate::load(&config.tls.certificate, &config.tls.key)
            .context("the certificate can't be used")?;
    } else {
        notes.push(format!(
            "put the certificate for {hostname} at {} and its key at {} (chmod 600) before the first start",
            config.tls.certificate.display(),
            config.tls.key.display()
        ));
    }
    Ok(Plan { organisation, domain, hostname, people, text, config, notes })
}

fn host_name(text: &str) -> Result<String> {
    let name = text.trim().trim_end_matches('.').to_ascii_lowercase();
    match Domain::parse(&name) {
        Ok(_) if name.contains('.') || name == "localhost" => Ok(name),
        _ => bail!("hostname: {text:?} is not a full host name such as mail.clinic.example"),
    }
}

fn person(what: &str, somebody: Somebody, domain: &Domain, random: &Random) -> Result<Person> {
    let Somebody { name, address, password } = somebody;
    let text = address.trim();
    let text = if text.contains('@') { text.to_owned() } else { format!("{text}@{domain}") };
    let address = Address::parse(&text).with_context(|| format!("{what}: {text:?} is not a mail address"))?;
    if address.domain() != domain {
        bail!("{what}: the address must be at {domain}, since nobody else's mailbox is here");
    }
    let name = name.trim().to_owned();
    if name.is_empty() {
        bail!("{what}: give the person's name");
    }
    let made = password.is_none();
    let password = password.map_or_else(|| app_password::random(random), Secret::new);
    Ok(Person { name, address, password, made })
}

/// Where things lie unless told otherwise.
struct Usual {
    data: PathBuf,
    ring: PathBuf,
    master: PathBuf,
    anchor: PathBuf,
}

impl Usual {
    /// Below /etc the system's folders; anywhere else all stays beside the configuration.
    fn of(file: &Path) -> Self {
        if file.starts_with("/etc") {
            Self {
                data: "/var/lib/sealpost".into(),
                ring: "/var/lib/sealpost-ring".into(),
                master: file.with_file_name("master.key"),
                anchor: "/var/lib/sealpost-anchor/checkpoint".into(),
            }
        } else {
            Self {
                data: "data".into(),
                ring: "keys/ring".into(),
                master: "keys/master.key".into(),
                anchor: "anchor/checkpoint".into(),
            }
        }
    }
}

/// The commented configuration with these values in place of the examples. A key that is commented out is uncommented.
fn configuration(values: &[(&str, String)]) -> Result<String> {
    let mut text = String::with_capacity(DEFAULT.len());
    let mut set = BTreeSet::new();
    for line in DEFAULT.lines() {
        let key = line.trim_start_matches('#').split(" = ").next().unwrap_or_default();
        match values.iter().find(|(name, _)| *name == key) {
            Some((name, value)) if set.insert(*name) => text.push_str(&format!("{name} = {value}\n")),
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    anyhow::ensure!(set.len() == values.len(), "the printed configuration lacks a key: please report this");
    Ok(text)
}

fn path_text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8; choose another name", path.display()))
}

fn quoted_path(path: &Path) -> Result<String> {
    path_text(path).map(quoted)
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Nothing of what will be made may be there.
fn refuse_what_is_there(plan: &Plan) -> Result<()> {
    let config = &plan.config;
    let (data, ring, master) = (&config.server.data, &config.keys.ring, config.master_file()?);
    let is_empty = |folder: &Path| folder.read_dir().is_ok_and(|mut entries| entries.next().is_none());
    let mut there: Vec<&Path> =
        [data.as_path(), ring.as_path()].into_iter().filter(|f| f.exists() && !is_empty(f)).collect();
    there.extend([master.as_path()].into_iter().chain(config.audit.anchor.as_deref()).filter(|f| f.exists()));
    if there.is_empty() {
        return Ok(());
    }
    let list = there.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ");
    bail!(
        "{list} is there already and is not overwritten; if it is left over from an init that was cut off, remove it and start again, else choose other places"
    )
}

/// What was made so far, to remove it again.
#[derive(Default)]
struct Made(Vec<PathBuf>);

impl Made {
    /// Notes what will be made at `path`: the topmost part of it that is not there yet.
    fn will(&mut self, path: &Path) {
        let new = path.ancestors().take_while(|p| !p.exists()).last();
        self.0.push(new.unwrap_or(path).to_owned());
    }

    /// Removes it; else answers what is left.
    fn remove(&self) -> Result<(), String> {
        let mut left = Vec::new();
        for path in self.0.iter().rev() {
            let gone = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
            if gone.is_err() && path.exists() {
                left.push(path.display().to_string());
            }
        }
        if left.is_empty() { Ok(()) } else { Err(left.join(", ")) }
    }
}

async fn make(file: &Path, plan: &Plan, made: &mut Made) -> Result<()> {
    let config = &plan.config;
    let pending = file.with_extension("toml.new");
    for path in [&config.server.data, &config.keys.ring, &config.master_file()?, &pending] {
        made.will(path);
    }
    config.audit.anchor.iter().for_each(|anchor| made.will(anchor));
    make_folder(file.parent().unwrap_or(Path::new(".")))?;
    write_new(&pending, plan.text.as_bytes())?;
    let opened = Opened::create(config).await?;
    let store = opened.store.clone();
    let done = people_and_domain(config, plan, opened).await;
    // Whatever happens next, nobody writes there any more.
    store.close();
    done?;
    std::fs::rename(&pending, file).with_context(|| format!("{} can't be made", file.display()))
}

async fn people_and_domain(config: &Config, plan: &Plan, opened: Opened) -> Result<()> {
    let instance = Instance::start(config, opened).await?;
    let by = Caller { actor: Actor::System, client: Client::local(Protocol::Cli) };
    let tenant = instance.identity.create_tenant(&plan.organisation, &by).await.context("organisation")?;
    instance.identity.add_domain(tenant, &plan.domain, true, &by).await.context("domain")?;
    for person in &plan.people {
        let roles: Roles = [Role::User, Role::SecurityOfficial, Role::TenantAdmin].into_iter().collect();
        let new = NewUser {
            tenant,
            address: person.address.clone(),
            name: person.name.clone(),
            password: person.password.clone(),
            roles,
        };
        people::add(&instance, new, &by).await.with_context(|| format!("{}", person.address))?;
    }
    // What was written so far goes into the log's tree, signed and anchored.
    instance.audit.run(std::future::ready(())).await;
    Ok(())
}

fn tell(file: &Path, plan: &Plan) -> Result<()> {
    let Plan { config, domain, hostname, .. } = plan;
    let mut out = format!("Made {} and all that belongs to it.\n\n", file.display());
    for person in &plan.people {
        if person.made {
            out += &format!("  {}  password: {}\n", person.address, person.password.expose());
        } else {
            out += &format!("  {}  with the password that was given\n", person.address);
        }
    }
    if plan.people.iter().any(|p| p.made) {
        out += "\nPasswords are shown this once. Give each to its person, and to nobody else.\n";
    }
    out += &format!(
        "\nDNS records of {domain}:\n\n\
         \x20 {hostname}.  A    the public address of this server (AAAA for IPv6, and a PTR record back to {hostname})\n\
         \x20 {domain}.  MX   10 {hostname}.\n\
         \x20 {domain}.  TXT  \"v=spf1 mx -all\"\n\
         \x20 _dmarc.{domain}.  TXT  \"v=DMARC1; p=none; rua=mailto:postmaster@{domain}\"   (a suggestion; p=quarantine or reject once the reports look right)\n"
    );
    out += &format!(
        "\nNext:\n\
         \x20 1. Copy {} to a safe place, away from the backups: without it nobody can open this data, ever.\n",
        config.master_file()?.display()
    );
    let mut number = 1;
    for note in plan.notes.iter().cloned().chain([
        format!(
            "back up {} and the key ring {} to different places, and keep copies of the ring for four weeks at most",
            config.server.data.display(),
            config.keys.ring.display()
        ),
        "put [audit] anchor on another host's disk if there is one: it proves that the log was not cut".to_owned(),
        format!("sealpost check --config {}", file.display()),
        format!("sealpost serve --config {}", file.display()),
    ]) {
        number += 1;
        out += &format!("  {number}. {note}\n");
    }
    crate::print(&out)
}

/// Asks on the terminal.
fn ask(file: &Path) -> Result<Answers> {
    if !std::io::stdin().is_terminal() {
        bail!("init asks on a terminal; without one give the answers in a file with --answers FILE");
    }
    let usual = Usual::of(file);
    let shown = |path: &Path| path.display().to_string();
    let organisation = line("Organisation (as recipients know it)", None)?;
    let hostname = line("Host name of this server (as in mail.clinic.example)", None)?;
    let public_url = line("Public address of the web", Some(&format!("https://{hostname}")))?;
    let domain = line("Mail domain", hostname.split_once('.').map(|(_, domain)| domain))?;
    let certificate = line("Certificate chain, PEM", Some("/etc/sealpost/tls/fullchain.pem"))?.into();
    let key = line("Its key, PEM", Some("/etc/sealpost/tls/privkey.pem"))?.into();
    let data = Some(line("Data folder", Some(&shown(&usual.data)))?.into());
    let ring =
        Some(line("Key ring, outside the data folder and its backups", Some(&shown(&usual.ring)))?.into());
    let master = Some(line("Master key", Some(&shown(&usual.master)))?.into());
    let anchor =
        Some(line("Anchor of the log, best on another host's disk", Some(&shown(&usual.anchor)))?.into());
    let official = somebody("The security official", &domain)?;
    let second = somebody("A second person who can do the same", &domain)?;
    Ok(Answers {
        organisation,
        hostname,
        public_url: Some(public_url),
        domain,
        data,
        ring,
        master,
        anchor,
        certificate,
        key,
        official,
        second,
    })
}

fn somebody(who: &str, domain: &str) -> Result<Somebody> {
    let name = line(&format!("{who}: name"), None)?;
    let address = line(&format!("  address (at {domain})"), None)?;
    let password =
        secret("  password of 15 characters or more (leave empty and one is made and shown once)")?;
    if password.as_deref().is_some_and(|first| secret("  once more").ok().flatten().as_deref() != Some(first))
    {
        bail!("the two passwords differ; nothing was made, run init again");
    }
    Ok(Somebody { name, address, password })
}

/// Asks until there is an answer.
fn line(question: &str, usual: Option<&str>) -> Result<String> {
    loop {
        let hint = usual.map_or(String::new(), |usual| format!(" [{usual}]"));
        prompt(&format!("{question}{hint}: "))?;
        let mut answer = String::new();
        if std::io::stdin().lock().read_line(&mut answer)? == 0 {
            bail!("the answers ended; nothing was made");
        }
        match (answer.trim(), usual) {
            ("", Some(usual)) => return Ok(usual.to_owned()),
            ("", None) => {}
            (answer, _) => return Ok(answer.to_owned()),
        }
    }
}

/// Asks without showing the answer.
fn secret(question: &str) -> Result<Option<String>> {
    prompt(&format!("{question}: "))?;
    let terminal = std::io::stdin();
    let before = tcgetattr(&terminal)?;
    let mut quiet = before.clone();
    quiet.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&terminal, OptionalActions::Flush, &quiet)?;
    let mut answer = String::new();
    let read = terminal.lock().read_line(&mut answer);
    tcsetattr(&terminal, OptionalActions::Flush, &before)?;
    prompt("\n")?;
    read?;
    let answer = answer.trim_end_matches(['\r', '\n']);
    Ok((!answer.is_empty()).then(|| answer.to_owned()))
}

fn prompt(text: &str) -> Result<()> {
    let mut err = std::io::stderr().lock();
    err.write_all(text.as_bytes())?;
    Ok(err.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_keeps_its_comments() {
        let values = [("hostname", quoted("mx.a.example")), ("anchor", quoted("w\"x"))];
        let text = configuration(&values).expect("both are there");
        assert!(text.contains("\nhostname = \"mx.a.example\"\n") && text.contains("\nanchor = "));
        assert!(text.contains("# The newest checkpoint of the log"));
        let config = Config::parse(&text, Path::new("/x/sealpost.toml")).expect("valid");
        assert_eq!(config.audit.anchor.as_deref(), Some(Path::new("/x/w\"x")));
    }

    #[test]
    fn only_full_host_names_will_do() {
        assert_eq!(host_name(" Mail.Clinic.example. ").expect("one"), "mail.clinic.example");
        for wrong in ["", "mail", "a b.c", "https://mail.clinic.example", "mail.clinic.example/x"] {
            assert!(host_name(wrong).is_err(), "{wrong:?}");
        }
    }
}
