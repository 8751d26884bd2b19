//! `sealpost key`: the master key, the recovery kit, rotation, and the table of all cryptography.
//!
//! `kit`, `drill`, `recover` and `inventory` need no server. `recover` wants it stopped; the others look beside it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use sealpost_crypto::{Random, Share};
use sealpost_store::keys::recovery::{self, RecoveryKit};
use sealpost_store::keys::{Master, NewMaster, Passphrase, rotate};
use serde_json::json;

use crate::Which;
use crate::config::Config;
use crate::control::client::{self, How};
use crate::control::{Act, key as word};
use crate::instance::{Mode, Opened, system_clock};
use crate::master::{self, Kept, Order, Token};

/// `sealpost key ...`
#[derive(Subcommand)]
pub enum Key {
    /// The keys of each organisation, and the master key that wraps them.
    List(How),
    /// Master key, ring and kit, and how far a rotation is.
    Status(How),
    /// Puts new keys in the place of old ones while the server works. No mail is sealed anew.
    Rotate {
        /// What gets new keys.
        #[arg(value_enum)]
        what: word::What,
        /// What shall keep a new master key: `file:PATH`, `passphrase` or `pkcs11:...`; what keeps the old one by default.
        #[arg(long, value_name = "KEEPER")]
        to: Option<String>,
        #[command(flatten)]
        how: How,
    },
    /// Makes a recovery kit and prints its shares, this once. An older kit is void from then on.
    Kit {
        /// How many shares.
        #[arg(long, default_value_t = 3)]
        shares: u8,
        /// How many of them are enough.
        #[arg(long, default_value_t = 2)]
        needed: u8,
        #[command(flatten)]
        which: Which,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Proves that the shares at hand open the kit. Nothing is changed but the date of the last try.
    Drill {
        #[command(flatten)]
        shares: Shares,
        #[command(flatten)]
        which: Which,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Brings a lost master key back from the shares, and puts a new one in its place. The server must be stopped.
    Recover {
        #[command(flatten)]
        shares: Shares,
        #[command(flatten)]
        which: Which,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Every algorithm with its key size, its module and what it is for; and which keys there are.
    Inventory {
        #[command(flatten)]
        which: Which,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Where the shares come from.
#[derive(Args)]
pub struct Shares {
    /// A file that holds a share; give it once for each. Without it they are typed in.
    #[arg(long = "share", value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Runs one of them.
pub async fn run(command: Key) -> Result<ExitCode> {
    match command {
        Key::List(how) => {
            client::ask(&how, Act::Key(word::Act::List)).and_then(|reply| client::show(&how, reply))
        }
        Key::Status(how) => {
            client::ask(&how, Act::Key(word::Act::Status)).and_then(|reply| client::show(&how, reply))
        }
        Key::Rotate { what, to, how } => rotate_keys(what, to, &how),
        Key::Kit { shares, needed, which, json } => {
            let config = which.load()?;
            let made = kit(&config, needed, shares, json).await;
            crate::instance::give_back(&config).and(made)
        }
        Key::Drill { shares, which, json } => {
            let config = which.load()?;
            let tried = drill(&config, &shares, json);
            crate::instance::give_back(&config).and(tried)
        }
        Key::Recover { shares, which, json } => {
            let config = which.load()?;
            let recovered = recover(&config, &shares, json).await;
            crate::instance::give_back(&config).and(recovered)
        }
        Key::Inventory { which, json } => crate::inventory::run(&which, json).await,
    }
}

fn rotate_keys(what: word::What, to: Option<String>, how: &How) -> Result<ExitCode> {
    let config = how.load()?;
    let base = config.file.parent().unwrap_or(Path::new("."));
    if to.is_some() && what != word::What::Master {
        bail!("--to says what shall keep a new master key: use it with `key rotate master`");
    }
    let (order, file) = match (what, to.as_deref()) {
        (word::What::Master, to) => {
            let kept = to.map_or_else(|| config.kept(), |text| Kept::parse(text, base))?;
            let (order, file) = prepare(&config, kept)?;
            (Some(order), file)
        }
        _ => (None, None),
    };
    let reply = watched(how, Act::Key(word::Act::Rotate { what, to: order }))?;
    if let client::Reply::Refused(words) = &reply {
        if let Some(path) = &file {
            bail!(
                "{words} (a new key may wait in {}; it is needed if the rotation had begun)",
                master::next_file(path).display()
            );
        }
        bail!("{words}");
    }
    if let Some(path) = &file {
        master::promote_file(path)?;
    }
    let code = client::show(how, reply)?;
    if let Some(to) = to
        && to != config.keys.master
    {
        crate::print(&format!(
            "Now write  master = {to:?}  into [keys] of {}: with the old line the next start fails.\n",
            config.file.display()
        ))?;
    }
    Ok(code)
}

/// What the server needs to have a new master key kept; the file that is promoted afterwards, if it is one.
fn prepare(config: &Config, kept: Kept) -> Result<(Order, Option<PathBuf>)> {
    Ok(match kept {
        Kept::File(path) => {
            let next = master::next_file(&path);
            Master::create_file(&next, &Random::system())?;
            let text = std::fs::read_to_string(&next)?;
            (Order::File { text }, Some(path))
        }
        Kept::Passphrase => {
            (Order::Passphrase { text: master::new_passphrase(config)?.expose().clone() }, None)
        }
        Kept::Token(uri) => (Order::Token { uri: uri.text }, None),
    })
}

/// Asks, and says on the terminal how far it is meanwhile.
fn watched(how: &How, act: Act) -> Result<client::Reply> {
    let (ended, end) = mpsc::channel::<()>();
    let watch = {
        let how = how.clone();
        std::thread::spawn(move || {
            let mut last = String::new();
            while end.recv_timeout(Duration::from_millis(500)) == Err(mpsc::RecvTimeoutError::Timeout) {
                let Ok(client::Reply::Done { rows, .. }) = client::ask(&how, Act::Key(word::Act::Status))
                else {
                    continue;
                };
                let Some(progress) =
                    rows.first().and_then(|row| row.get("progress")).filter(|p| !p.is_null())
                else {
                    continue;
                };
                let now =
                    format!("{}: {} key(s)", progress["step"].as_str().unwrap_or_default(), progress["done"]);
                if now != last {
                    let _ = master::say(&format!("sealpost: {now}\n"));
                    last = now;
                }
            }
        })
    };
    // With --as the password is read once, so nobody else asks meanwhile.
    let reply = client::ask(how, act);
    drop(ended);
    let _ = watch.join();
    reply
}

async fn kit(config: &Config, needed: u8, shares: u8, json: bool) -> Result<ExitCode> {
    let opened = Opened::open(config, Mode::Look).await?;
    let kit = RecoveryKit::create(&opened.keys, needed, shares)?;
    if json {
        let shares: Vec<_> = kit.shares().iter().map(|share| share.text().to_string()).collect();
        crate::print(&format!("{}\n", json!({"needed": needed, "shares": shares})))?;
        return Ok(ExitCode::SUCCESS);
    }
    for share in kit.shares() {
        crate::print(&format!("{}\n", &*share.text()))?;
    }
    crate::print(
        "Write or print each share on a paper of its own, give each to another person, and clear this screen: they are \
         shown this once and kept nowhere.\nThen try them: sealpost key drill\n",
    )?;
    Ok(ExitCode::SUCCESS)
}

fn drill(config: &Config, shares: &Shares, json: bool) -> Result<ExitCode> {
    let places = master::places(config);
    let shares = shares.read()?;
    let facts = recovery::drill(&places, &shares, system_clock().now())?;
    // That it was tried counts only for today's master key.
    if !facts.opens {
        bail!("the shares open a master key that is not today's: make a new kit with `sealpost key kit`");
    }
    if json {
        crate::print(&format!("{}\n", json!({"kit": facts})))?;
    } else {
        crate::print(&format!(
            "{} shares of kit {} open the master key. Nothing was changed. Put them away again.\n",
            facts.needed, facts.kit
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn recover(config: &Config, shares: &Shares, json: bool) -> Result<ExitCode> {
    if std::os::unix::net::UnixStream::connect(config.control_socket()).is_ok() {
        bail!(
            "the server runs, so its master key is not lost; stop it first, or use `sealpost key rotate master`"
        );
    }
    let places = master::places(config);
    let old = recovery::open(&places, &shares.read()?)?;
    let opened = Opened::open_with(config, &old).await?;
    opened.keys.resume().await?;
    let random = &opened.random;
    let kept = config.kept()?;
    let new = match &kept {
        Kept::File(path) => {
            let next = master::next_file(path);
            Master::create_file(&next, random)?;
            NewMaster::in_file(&next)?
        }
        Kept::Passphrase => NewMaster::kept(&Passphrase::new(master::new_passphrase(config)?), random)?,
        Kept::Token(uri) => NewMaster::kept(&Token::new(uri.clone()), random)?,
    };
    let name = rotate::short(&new.fingerprint());
    let count = opened.keys.rotate_master(new).await?;
    if let Kept::File(path) = &kept {
        master::promote_file(path)?;
    }
    let store = opened.store.clone();
    drop(opened);
    store.close();
    if json {
        crate::print(&format!("{}\n", json!({"master": name, "keys": count})))?;
    } else {
        crate::print(&format!(
            "The master key is back, and a new one ({name}) has taken its place: {count} key(s) are wrapped by it, and the \
             lost one opens nothing any more. The kit stays as it is. Start the server.\n"
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Shares {
    fn read(&self) -> Result<Vec<Share>> {
        if self.files.is_empty() {
            return typed();
        }
        let read = |path: &PathBuf| -> Result<Share> {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("the share {} can't be read", path.display()))?;
            let text = zeroize::Zeroizing::new(text);
            Share::parse(&text).with_context(|| format!("{}", path.display()))
        };
        self.files.iter().map(read).collect()
    }
}

/// Asks for shares, line by line, until there are enough; a line that is mistyped is asked for again.
fn typed() -> Result<Vec<Share>> {
    let mut shares: Vec<Share> = Vec::new();
    loop {
        let needed = shares.first().map_or(1, |share| usize::from(share.needed()));
        if shares.len() >= needed {
            return Ok(shares);
        }
        let mut text = zeroize::Zeroizing::new(String::new());
        for number in 1..=4 {
            let letters = loop {
                let question = format!("share {}, line {number}: ", shares.len() + 1);
                let Some(typed) = master::line(&question)? else {
                    bail!("the shares ended: {} of {needed} were typed", shares.len());
                };
                let line = typed.trim();
                // The papers' other lines may come along, and so may the line's number.
                if line.is_empty() || line.starts_with("Sealpost") || line.starts_with("Kit ") {
                    continue;
                }
                let bare = line
                    .strip_prefix(&number.to_string())
                    .filter(|rest| rest.starts_with([' ', '.', ':', ')']));
                match Share::parse_line(number, bare.map_or(line, |rest| &rest[1..])) {
                    Ok(_) => break bare.map_or(line, |rest| &rest[1..]).to_owned(),
                    Err(error) => master::say(&format!("  {error}\n"))?,
                }
            };
            text.push_str(&format!("{number} {letters}\n"));
        }
        match Share::parse(&text) {
            Ok(share) if shares.iter().any(|other| other.number() == share.number()) => {
                master::say("  this share was typed already; take another\n")?;
            }
            Ok(share) => {
                master::say(&format!(
                    "  share {} of kit {}; it takes {}\n",
                    share.number(),
                    share.kit_name(),
                    share.needed()
                ))?;
                shares.push(share);
            }
            Err(error) => master::say(&format!("  {error}\n"))?,
        }
    }
}
