//! `sealpost quickstart`: a working server with sample people, on this machine alone.
//!
//! The first start makes everything: keys, a local certificate authority whose own key is thrown away, an organisation
//! with people and sample mail. Later starts keep it all and print the same. Passwords are printed each time, so they
//! are kept, sealed under the master key. What stands in the folder says that it is a demonstration, and a demonstration
//! can't be opened to the network.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sealpost_audit::Caller;
use sealpost_crypto::{Aad, Key, app_password};
use sealpost_delivery::{Arrival, Kind, Origin, Submission};
use sealpost_message::compose::{self, Head, Person};
use sealpost_model::{Actor, Address, Client, Domain, PersonId, Protocol, ReversePath, Secret, TenantId};
use sealpost_net::LocalCa;
use sealpost_policy::{Role, Roles};
use sealpost_store::keys::Keys;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::instance::{Instance, Mode, Opened, make_folder, write_new};
use crate::log::Level;
use crate::people::{self, NewUser};
use crate::serve;

/// `quickstart`'s options.
#[derive(clap::Args)]
pub struct Args {
    /// The folder for everything.
    #[arg(long, default_value = "sealpost-data")]
    data: PathBuf,
    /// The first of ten ports; 0 lets the system choose once.
    #[arg(long)]
    port_base: Option<u16>,
    #[command(flatten)]
    elsewhere: Elsewhere,
    /// Print one line of JSON when ready.
    #[arg(long)]
    json: bool,
}

/// What lies elsewhere than in the folder. Kept from the first start.
#[derive(clap::Args, Default)]
struct Elsewhere {
    /// Keeps rows in this database: postgres://...
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Keeps bodies in this bucket: s3://...
    #[arg(long, value_name = "URL")]
    blobs: Option<String>,
    /// Keeps life keys in this database, which is not that of the rows: postgres://...
    #[arg(long, value_name = "URL")]
    ring: Option<String>,
}

impl Elsewhere {
    const fn is_asked(&self) -> bool {
        self.store.is_some() || self.blobs.is_some() || self.ring.is_some()
    }
}

/// The sealed file with passwords. That it is there says that this is a demonstration.
pub const SAMPLE: &str = "quickstart.sealed";

/// Protocols in the order of `--port-base`, with their usual ports here.
const PORTS: [(&str, u16); 10] = [
    ("smtp", 2525),
    ("submission", 2587),
    ("submissions", 2465),
    ("imap", 2143),
    ("imaps", 2993),
    ("pop3s", 2995),
    ("https", 2443),
    ("sftp", 2222),
    ("sip", 2506),
    ("outside", 2480),
];

/// What this version serves of them.
const SERVED: [&str; 8] = ["smtp", "submission", "submissions", "imap", "imaps", "pop3s", "https", "outside"];

const ORGANISATION: &str = "Demo Clinic";
const DOMAIN: &str = "clinic.test";

/// The sample people: name, local part, role.
const PEOPLE: [(&str, &str, Role); 6] = [
    ("Alice Andersson", "alice", Role::User),
    ("Bob Berger", "bob", Role::User),
    ("Carol Castillo", "carol", Role::User),
    ("Adrian Min", "admin", Role::TenantAdmin),
    ("Sam Okafor", "sam", Role::SecurityOfficial),
    ("Ada Lindqvist", "ada", Role::Auditor),
];

/// What later starts have to know again.
#[derive(Serialize, Deserialize)]
struct Sample {
    outside: SocketAddr,
    users: Vec<User>,
}

#[derive(Clone, Serialize, Deserialize)]
struct User {
    address: String,
    password: String,
    app_password: String,
    roles: Vec<Role>,
}

/// Makes what is missing, serves, and prints where to go.
pub async fn run(args: Args) -> Result<()> {
    let folder = std::path::absolute(&args.data)?;
    let file = folder.join("sealpost.toml");
    let sample_file = folder.join(SAMPLE);
    if file.exists() && !sample_file.exists() {
        bail!(
            "{} holds a server that quickstart did not make, or did not finish; use `sealpost serve --config {}`, or give quickstart another folder with --data",
            folder.display(),
            file.display()
        );
    }
    let (config, sample, instance, log) = if file.exists() {
        let config = Config::load(&file)?;
        if args.port_base.is_some() {
            eprintln_progress("this folder keeps the ports that it has; another folder can have others");
        }
        if args.elsewhere.is_asked() {
            eprintln_progress("this folder keeps its data where it is; another folder can have it elsewhere");
        }
        must_be_loopback(&config)?;
        let log = crate::log::start(&config.server.log)?;
        let opened = Opened::open(&config, Mode::Serve).await?;
        let sample = load_sample(&opened.keys, &sample_file)?;
        let instance = Instance::start(&config, opened).await?;
        (config, sample, instance, log)
    } else {
        create(&folder, &file, &sample_file, args.port_base, &args.elsewhere).await?
    };
    let bound = serve::bind(config.clone(), instance, log, Some(sample.outside)).await?;
    announce(&folder, &config, &sample, &bound, args.json)?;
    bound.run().await
}

/// A demonstration's people have passwords that were printed on a screen: nobody else may reach it.
pub fn must_be_loopback(config: &Config) -> Result<()> {
    for (word, list) in config.listen.all() {
        if let Some(addr) = list.iter().find(|a| !a.ip().is_loopback()) {
            bail!(
                "this is a quickstart demonstration and can't be opened to the network ([listen] {word} = {addr}); make a real server with `sealpost init`"
            );
        }
    }
    Ok(())
}

async fn create(
    folder: &Path,
    file: &Path,
    sample_file: &Path,
    port_base: Option<u16>,
    elsewhere: &Elsewhere,
) -> Result<(Config, Sample, Instance, Level)> {
    make_folder(folder)?;
    if folder.join("data").exists() {
        bail!(
            "an earlier quickstart in {} did not finish; remove that folder and start again",
            folder.display()
        );
    }
    let ports = choose_ports(port_base)?;
    let port = |word: &str| ports.iter().find(|(w, _)| *w == word).map_or(0, |(_, p)| *p);
    eprintln_progress("making keys and a local certificate authority ...");
    let clock = crate::instance::system_clock();
    let tls = folder.join("tls");
    make_folder(&tls)?;
    let ca = LocalCa::create(&["localhost", "127.0.0.1", "::1", DOMAIN], clock.now())?;
    std::fs::write(tls.join("ca.pem"), &ca.ca)?;
    write_new(&tls.join("cert.pem"), ca.certificate.as_bytes())?;
    write_new(&tls.join("key.pem"), ca.key.expose().as_bytes())?;
    let pending = folder.join("sealpost.toml.new");
    std::fs::write(&pending, configuration(&port, elsewhere))?;
    let config = Config::load(&pending)?;
    let log = crate::log::start(&config.server.log)?;

    let opened = Opened::create(&config).await?;
    let random = opened.random.clone();
    let instance = Instance::start(&config, opened).await?;
    eprintln_progress("making an organisation, its people and some mail ...");
    let by = Caller { actor: Actor::System, client: Client::local(Protocol::Cli) };
    let tenant = instance.identity.create_tenant(ORGANISATION, &by).await?;
    instance.identity.add_domain(tenant, &Domain::parse(DOMAIN)?, true, &by).await?;
    let mut users = Vec::with_capacity(PEOPLE.len());
    let mut people = Vec::with_capacity(PEOPLE.len());
    for (name, local, role) in PEOPLE {
        let address = Address::parse(&format!("{local}@{DOMAIN}"))?;
        let password: Secret<String> = app_password::random(&random);
        let roles: Roles = [Role::User, role].into_iter().collect();
        let new = NewUser {
            tenant,
            address: address.clone(),
            name: name.into(),
            password: password.clone(),
            roles,
        };
        let person = people::add(&instance, new, &by).await?;
        let app = instance.identity.add_app_password(person, "Mail program (quickstart)", &by).await?;
        people.push((person, address.clone(), name));
        users.push(User {
            address: address.to_string(),
            password: password.expose().clone(),
            app_password: app.expose().clone(),
            roles: roles.iter().collect(),
        });
    }
    for (rank, local) in [(1, "sam"), (2, "admin")] {
        if let Some((person, ..)) = people.iter().find(|(_, address, _)| address.local() == local) {
            instance.identity.name_official(*person, rank, "+1 555 0100 200", &by).await?;
        }
    }
    sample_mail(&instance, tenant, &people).await?;
    let outside = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port("outside"));
    let sample = Sample { outside, users };
    let sealed = sample_key(&instance.keys).seal(&random, &sample_aad(), &serde_json::to_vec(&sample)?);
    write_new(sample_file, &sealed)?;
    // The configuration's own name comes last: a folder that has it is complete.
    std::fs::rename(&pending, file)?;
    let config = Config::load(file)?;
    Ok((config, sample, instance, log))
}

fn configuration(port: &impl Fn(&str) -> u16, elsewhere: &Elsewhere) -> String {
    let section = |name: &str, url: &Option<String>| {
        url.as_ref().map_or_else(String::new, |url| format!("[{name}]\nurl = {}\n\n", quoted(url)))
    };
    let (store, blobs) = (section("store", &elsewhere.store), section("blobs", &elsewhere.blobs));
    let ring = quoted(elsewhere.ring.as_deref().unwrap_or("keys/ring"));
    let listen: String = SERVED
        .iter()
        .filter(|w| **w != "outside")
        .map(|w| format!("{w} = [\"127.0.0.1:{}\"]\n", port(w)))
        .collect();
    format!(
        "# Made by `sealpost quickstart`: a demonstration on this machine alone.\n\
         # `sealpost serve --print-default-config` explains every key.\n\n\
         [server]\nhostname = \"localhost\"\npublic_url = \"https://localhost:{https}\"\ndata = \"data\"\nlog = \"warn\"\n\n\
         [listen]\n{listen}\n\
         [tls]\ncertificate = \"tls/cert.pem\"\nkey = \"tls/key.pem\"\n\n\
         {store}{blobs}[keys]\nmaster = \"file:keys/master.key\"\nring = {ring}\n\n\
         [audit]\nanchor = \"anchor/checkpoint\"\n\n\
         # Mail to a domain that stands here goes to a real server instead of the outside page.\n\
         [outbound.routes]\n#\"partner.example\" = \"localhost:25\"\n",
        https = port("https"),
    )
}

/// As a TOML string.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// Ports that are free: chosen by the system once, or counted from a base.
fn choose_ports(base: Option<u16>) -> Result<Vec<(&'static str, u16)>> {
    if base == Some(0) {
        // All are held until all are known, so that no two are the same.
        let mut held = Vec::new();
        for (word, _) in PORTS {
            held.push((word, TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?));
        }
        return held.iter().map(|(word, l)| Ok((*word, l.local_addr()?.port()))).collect();
    }
    let mut ports = Vec::with_capacity(PORTS.len());
    for (n, (word, usual)) in (0u16..).zip(PORTS) {
        let port = match base {
            Some(base) => {
                base.checked_add(n).context("--port-base is too high: ten ports must fit below 65536")?
            }
            None => usual,
        };
        if SERVED.contains(&word)
            && let Err(error) = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        {
            bail!(
                "port {port} ({word}) can't be used: {error}; end the program that uses it, or choose others with --port-base N"
            );
        }
        ports.push((word, port));
    }
    Ok(ports)
}

async fn sample_mail(
    instance: &Instance,
    tenant: TenantId,
    people: &[(PersonId, Address, &str)],
) -> Result<()> {
    const MAILS: [(usize, usize, &str, &str); 3] = [
        (
            3,
            0,
            "Welcome to Sealpost",
            "Hello Alice,\n\nthis is your mailbox. Write to somebody outside, say pat@outside.example: the message \
             waits here, Pat gets a notice without content, and you get a receipt with a code to tell Pat by phone.\n\n\
             Adrian",
        ),
        (
            1,
            0,
            "Rota for next week",
            "Alice, could you take Tuesday's late shift? I am at the training that day.\n\nBob",
        ),
        (
            0,
            1,
            "Re: Rota for next week",
            "Yes, Tuesday is fine. Please take my Friday morning then.\n\nAlice",
        ),
    ];
    for (from, to, subject, text) in MAILS {
        let ((person, from, name), (_, to, to_name)) = (&people[from], &people[to]);
        let message_id = instance.delivery.message_id();
        let bytes = compose::mail(&compose::Mail {
            head: Head {
                from: Person { name: Some(name), address: from },
                to: &[Person { name: Some(to_name), address: to }],
                cc: &[],
                reply_to: None,
                subject,
                date: instance.clock.now(),
                message_id: &message_id,
                in_reply_to: None,
                references: &[],
                boundary: "sample",
            },
            text,
            html: None,
            attachments: &[],
        })?;
        let origin = Origin::Submission { tenant, person: *person };
        let mut body =
            instance.delivery.begin(Arrival { origin, trace: String::new(), return_path: String::new() });
        body.write(&bytes).await?;
        let actor = Actor::Person { tenant, person: *person };
        instance
            .delivery
            .accept(Submission {
                caller: Caller { actor, client: Client::local(Protocol::Cli) },
                origin,
                kind: Kind::Message,
                from: ReversePath::From(from.clone()),
                to: vec![to.clone()],
                body,
                twin: None,
            })
            .await?;
    }
    Ok(())
}

fn sample_key(keys: &Keys) -> Key {
    keys.instance().derive("sample")
}

fn sample_aad() -> Aad {
    Aad::instance("quickstart", 0, "sample")
}

fn load_sample(keys: &Keys, file: &Path) -> Result<Sample> {
    let sealed = std::fs::read(file).with_context(|| format!("{} can't be read", file.display()))?;
    let plain = sample_key(keys)
        .open(&sample_aad(), &sealed)
        .map_err(|_| anyhow::anyhow!("{} does not belong to this data", file.display()))?;
    Ok(serde_json::from_slice(&plain)?)
}

fn announce(folder: &Path, config: &Config, sample: &Sample, bound: &serve::Bound, json: bool) -> Result<()> {
    use std::io::Write as _;
    let outside = format!("http://{}/", sample.outside);
    let ca = folder.join("tls/ca.pem");
    let mut out = std::io::stdout().lock();
    if json {
        let line = serde_json::json!({
            "ready": true,
            "data": folder,
            "config": config.file,
            "ca": ca,
            "listeners": bound.addresses.iter().map(|(w, a)| ((*w).to_owned(), a.to_string())).collect::<std::collections::BTreeMap<_, _>>(),
            "web": config.server.public_url,
            "users": sample.users,
            "outside": outside,
        });
        writeln!(out, "{line}")?;
        return Ok(out.flush()?);
    }
    let at = |word: &str| bound.addresses.get(word).map_or(String::new(), ToString::to_string);
    writeln!(out, "\nSealpost is running. Everything lies in {}; Ctrl-C stops it.\n", folder.display())?;
    writeln!(out, "  Sign in        {}/signin", config.server.public_url)?;
    writeln!(out, "  Outside world  {outside}   (inboxes of people elsewhere)")?;
    writeln!(out, "  Submission     {} TLS, {} STARTTLS", at("submissions"), at("submission"))?;
    writeln!(out, "  IMAP           {} TLS", at("imaps"))?;
    writeln!(out, "  POP3           {} TLS", at("pop3s"))?;
    writeln!(out, "  Trust          {}\n", ca.display())?;
    writeln!(out, "  {:22} {:36} password for mail programs", "address", "password (web)")?;
    for user in &sample.users {
        writeln!(out, "  {:22} {:36} {}", user.address, user.password, user.app_password)?;
    }
    let alice = &sample.users[0];
    writeln!(out, "\nTry it: write to somebody outside, then look at the outside world.\n")?;
    writeln!(
        out,
        "  printf 'From: alice@clinic.test\\nTo: pat@outside.example\\nSubject: Your results\\n\\nAll is well.\\n' |\n    curl --cacert {} --user 'alice@clinic.test:{}' --mail-from alice@clinic.test \\\n      --mail-rcpt pat@outside.example --crlf --upload-file - smtps://localhost:{}\n",
        ca.display(),
        alice.app_password,
        bound.addresses.get("submissions").map_or(0, SocketAddr::port)
    )?;
    Ok(out.flush()?)
}

fn eprintln_progress(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "sealpost: {text}");
}
