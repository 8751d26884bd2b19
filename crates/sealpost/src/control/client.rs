//! The commands that ask a running server.

use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use sealpost_policy::Role;

pub use super::Reply;
use super::{
    Act, Request, SignIn, address, ban, blobs, connector, device, grant, group, held, log, pending, role,
    rules, session,
};
use crate::Which;

/// Commands over the control socket.
#[derive(Subcommand)]
pub enum Command {
    /// Whether the server runs, and how it is.
    Status {
        #[command(flatten)]
        how: How,
    },
    /// People.
    User {
        #[command(subcommand)]
        command: User,
    },
    /// Domains.
    Domain {
        #[command(subcommand)]
        command: Domain,
    },
    /// What waits to leave.
    Queue {
        #[command(subcommand)]
        command: Queue,
    },
    /// What waits to be picked up. There is no way to see a code.
    Pickup {
        #[command(subcommand)]
        command: Pickup,
    },
    /// Addresses: aliases, shared mailboxes, refusals.
    Address(Words<address::Act>),
    /// Groups: addresses with members.
    Group(Words<group::Act>),
    /// Who may use a mailbox that is not theirs.
    Grant(Words<grant::Act>),
    /// What people are, and the review of who may do what.
    Role(Words<role::Act>),
    /// What people are signed in with.
    Session(Words<session::Act>),
    /// What waits for a second person.
    Act(Words<pending::Act>),
    /// The organisation's rules.
    Policy(Words<rules::Act>),
    /// Networks that may not sign in for a while.
    Ban(Words<ban::Act>),
    /// Servers that are trusted to hand over mail.
    Connector(Words<connector::Act>),
    /// Scanners and other machines that send mail.
    Device(Words<device::Act>),
    /// The sealed bodies: where they lie, and their upkeep.
    Blobs(Words<blobs::Act>),
    /// What happened, oldest of the newest first.
    Log {
        #[command(flatten)]
        ask: log::Ask,
        /// Print CSV, for a spreadsheet.
        #[arg(long, conflicts_with = "json")]
        csv: bool,
        #[command(flatten)]
        how: How,
    },
}

/// A word whose own words are the same on the command line and on the socket.
#[derive(Args)]
pub struct Words<A: Subcommand> {
    #[command(subcommand)]
    act: A,
    #[command(flatten)]
    how: How,
}

/// How to reach the server and who asks.
#[derive(Args, Clone)]
pub struct How {
    #[command(flatten)]
    which: Which,
    /// Sign in as this person. Their password is the first line of standard input. Without it `$SEALPOST_TOKEN` counts,
    /// if there is one (see `sealpost session open`).
    #[arg(long = "as", value_name = "ADDRESS", global = true)]
    sign_in: Option<String>,
    /// Print JSON, a line a row.
    #[arg(long, global = true)]
    pub json: bool,
}

impl How {
    /// Reads the configuration of the instance that is meant.
    pub fn load(&self) -> Result<crate::config::Config> {
        self.which.load()
    }
}

/// `sealpost user ...`
#[derive(Subcommand)]
pub enum User {
    /// The people of the organisation.
    List {
        #[command(flatten)]
        how: How,
    },
    /// Adds a person with a mailbox. Their password is read from standard input.
    Add {
        /// Their address, which they also sign in with.
        address: String,
        /// Their name; the address by default.
        #[arg(long)]
        name: Option<String>,
        /// Reads the password from standard input (the only way, so that it stands in no process list).
        #[arg(long, required = true)]
        password_stdin: bool,
        /// What they are beside `user`.
        #[arg(long, value_parser = role)]
        role: Vec<Role>,
        /// Also makes an app password for a device of this name, and prints it.
        #[arg(long, value_name = "NAME")]
        app_password: Option<String>,
        #[command(flatten)]
        how: How,
    },
    /// Sets a person's password, from standard input. They and the security official are told.
    Password {
        /// Their address.
        address: String,
        /// Reads the password from standard input (the only way, so that it stands in no process list).
        #[arg(long, required = true)]
        password_stdin: bool,
        #[command(flatten)]
        how: How,
    },
    /// Ends a person's access on all protocols.
    Disable {
        /// Their address.
        address: String,
        #[command(flatten)]
        how: How,
    },
    /// Prints another link for somebody who has not set their first password yet.
    SetupLink {
        /// Their address.
        address: String,
        #[command(flatten)]
        how: How,
    },
    /// Makes an app password for a mail program, and prints it once.
    AppPassword {
        /// The person's address.
        address: String,
        /// What the device is called.
        device: String,
        #[command(flatten)]
        how: How,
    },
}

/// `sealpost domain ...`
#[derive(Subcommand)]
pub enum Domain {
    /// The domains of the organisation.
    List {
        #[command(flatten)]
        how: How,
    },
    /// Adds a hosted domain; a HIPAA domain unless told otherwise.
    Add {
        /// The domain.
        domain: String,
        /// It holds no health information: encryption in transit may be weaker.
        #[arg(long)]
        not_hipaa: bool,
        #[command(flatten)]
        how: How,
    },
}

/// `sealpost queue ...`
#[derive(Subcommand)]
pub enum Queue {
    /// What waits, without addresses.
    List {
        #[command(flatten)]
        how: How,
    },
    /// Tries a row now.
    Retry {
        /// Its id.
        id: i64,
        #[command(flatten)]
        how: How,
    },
    /// After a restore: what is held back, and what is known of each row.
    Held {
        #[command(flatten)]
        how: How,
    },
    /// After a restore: lets the queue go. What is known to have left before is dropped.
    Release {
        /// Also drops what nothing is known of: then nothing of the restored queue is sent.
        #[arg(long)]
        drop: bool,
        #[command(flatten)]
        how: How,
    },
}

/// `sealpost pickup ...`
#[derive(Subcommand)]
pub enum Pickup {
    /// What waits, without addresses.
    List {
        #[command(flatten)]
        how: How,
    },
    /// Ends a waiting message at once, for all its recipients.
    Expire {
        /// Its id.
        id: String,
        /// Why, for the log and its sender.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        how: How,
    },
}

pub(super) fn role(word: &str) -> Result<Role, String> {
    Role::parse(word).ok_or_else(|| {
        let known: Vec<&str> = Role::ALL.iter().map(|r| r.word()).collect();
        format!("roles are {}", known.join(", "))
    })
}

impl How {
    /// Whether JSON is wanted.
    pub const fn json(&self) -> bool {
        self.json
    }
}

/// Asks the server and prints what it says.
pub async fn run(command: Command) -> Result<ExitCode> {
    let how = command.how().clone();
    let csv = matches!(command, Command::Log { csv: true, .. });
    let (reply, _) = converse(&how, |line| command.act(line))?;
    match reply {
        Reply::Done { rows, .. } if csv => {
            crate::print(&log::csv(&rows))?;
            Ok(ExitCode::SUCCESS)
        }
        reply => show(&how, reply),
    }
}

/// Asks the server; the password for `--as` is the first line of standard input.
pub fn ask(how: &How, act: Act) -> Result<Reply> {
    Ok(send(how, act)?.0)
}

/// The same; what follows the reply can be read.
pub fn send(how: &How, act: Act) -> Result<(Reply, impl BufRead + use<>)> {
    converse(how, |_| Ok(act))
}

/// Prints the answer.
pub fn show(how: &How, reply: Reply) -> Result<ExitCode> {
    match reply {
        Reply::Done { rows, text: _ } if how.json => {
            let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
            crate::print(&lines)?;
        }
        Reply::Done { text, .. } => crate::print(&text)?,
        Reply::Follows { .. } => bail!("the server answers with lines that this command does not take"),
        Reply::Refused(words) => bail!("{words}"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads what comes by standard input, asks, and reads the reply.
fn converse(
    how: &How,
    act: impl FnOnce(&mut dyn FnMut(&str) -> Result<String>) -> Result<Act>,
) -> Result<(Reply, BufReader<UnixStream>)> {
    let mut input = std::io::stdin().lines();
    let mut line = |what: &str| -> Result<String> {
        let line = input.next().transpose()?.with_context(|| format!("standard input holds no {what}"))?;
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    };
    let sign_in = match &how.sign_in {
        Some(address) => Some(SignIn { address: address.clone(), password: line("password for --as")? }),
        None => None,
    };
    let token = match sign_in {
        Some(_) => None,
        None => std::env::var("SEALPOST_TOKEN").ok().filter(|token| !token.is_empty()),
    };
    let act = act(&mut line)?;
    let config = how.which.load()?;
    let path = config.control_socket();
    let mut stream = UnixStream::connect(&path).with_context(|| {
        let folder = config.file.with_file_name("");
        let start = if folder.join(crate::quickstart::SAMPLE).exists() {
            format!("sealpost quickstart --data {}", folder.display())
        } else {
            format!("sealpost serve --config {}", config.file.display())
        };
        format!("no server answers at {}; start it with `{start}`", path.display())
    })?;
    let mut bytes = serde_json::to_vec(&Request { sign_in, token, act })?;
    bytes.push(b'\n');
    stream.write_all(&bytes)?;
    let mut reader = BufReader::new(stream);
    let mut answer = String::new();
    reader.read_line(&mut answer)?;
    let reply = serde_json::from_str(&answer).context("the server ended before it answered; see its log")?;
    Ok((reply, reader))
}

impl Command {
    const fn how(&self) -> &How {
        match self {
            Self::Status { how } | Self::Log { how, .. } => how,
            Self::Address(word) => &word.how,
            Self::Group(word) => &word.how,
            Self::Grant(word) => &word.how,
            Self::Role(word) => &word.how,
            Self::Session(word) => &word.how,
            Self::Act(word) => &word.how,
            Self::Policy(word) => &word.how,
            Self::Ban(word) => &word.how,
            Self::Connector(word) => &word.how,
            Self::Device(word) => &word.how,
            Self::Blobs(word) => &word.how,
            Self::User { command } => match command {
                User::List { how }
                | User::Add { how, .. }
                | User::Password { how, .. }
                | User::Disable { how, .. }
                | User::SetupLink { how, .. }
                | User::AppPassword { how, .. } => how,
            },
            Self::Domain { command: Domain::List { how } | Domain::Add { how, .. } } => how,
            Self::Queue {
                command:
                    Queue::List { how }
                    | Queue::Retry { how, .. }
                    | Queue::Held { how }
                    | Queue::Release { how, .. },
            } => how,
            Self::Pickup { command: Pickup::List { how } | Pickup::Expire { how, .. } } => how,
        }
    }

    pub(super) fn act(self, line: &mut dyn FnMut(&str) -> Result<String>) -> Result<Act> {
        Ok(match self {
            Self::Status { .. } => Act::Status,
            Self::Address(word) => Act::Address(word.act),
            Self::Group(word) => Act::Group(word.act),
            Self::Grant(word) => Act::Grant(word.act),
            Self::Role(word) => Act::Role(word.act),
            Self::Session(word) => Act::Session(word.act),
            Self::Act(word) => Act::Pending(word.act),
            Self::Policy(word) => Act::Rules(word.act),
            Self::Ban(word) => Act::Ban(word.act),
            Self::Connector(word) => Act::Connector(word.act),
            Self::Device(word) => Act::Device(word.act),
            Self::Blobs(word) => Act::Blobs(word.act),
            Self::Log { ask, .. } => Act::Log(ask),
            Self::User { command } => match command {
                User::List { .. } => Act::UserList,
                User::Add { address, name, role, app_password, .. } => Act::UserAdd {
                    name: name.unwrap_or_else(|| address.clone()),
                    address,
                    password: line("password for the new person")?,
                    roles: std::iter::once(Role::User).chain(role).collect(),
                    app_password,
                },
                User::Password { address, .. } => {
                    Act::UserPassword { address, password: line("new password")? }
                }
                User::Disable { address, .. } => Act::UserDisable { address },
                User::SetupLink { address, .. } => Act::UserSetupLink { address },
                User::AppPassword { address, device, .. } => Act::UserAppPassword { address, device },
            },
            Self::Domain { command: Domain::List { .. } } => Act::DomainList,
            Self::Domain { command: Domain::Add { domain, not_hipaa, .. } } => {
                Act::DomainAdd { domain, hipaa: !not_hipaa }
            }
            Self::Queue { command: Queue::List { .. } } => Act::QueueList,
            Self::Queue { command: Queue::Retry { id, .. } } => Act::QueueRetry { id },
            Self::Queue { command: Queue::Held { .. } } => Act::Held(held::Act::List),
            Self::Queue { command: Queue::Release { drop, .. } } => Act::Held(held::Act::Release { drop }),
            Self::Pickup { command: Pickup::List { .. } } => Act::PickupList,
            Self::Pickup { command: Pickup::Expire { id, reason, .. } } => Act::PickupExpire { id, reason },
        })
    }
}
