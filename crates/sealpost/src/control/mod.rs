//! Administration over a Unix socket: one request a connection, as a line of JSON each way.
//!
//! The kernel says who asks: root and the server's own user are operators, who see counts and ids. Whoever wants more
//! signs in as a person of the organisation, in the request itself or with the token of a session. What a role may run
//! is `policy`'s; each request, refused ones too, leaves its entry in the log with the peer's uid or the person (S55,
//! S115).
//!
//! A word of the command line is one file: what is asked (the same type on the command line and on the socket), what
//! policy calls it, and the answer.

mod address;
mod answer;
pub mod audit;
pub mod backup;
mod ban;
mod blobs;
pub mod client;
mod connector;
#[cfg(test)]
mod denied;
mod device;
mod grant;
mod group;
mod held;
pub mod key;
mod log;
mod pending;
mod role;
mod rules;
mod session;
mod setup_link;

use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context, Result, bail};
use sealpost_audit::{Caller, Verb};
use sealpost_identity::{Attempt, Login, Touch};
use sealpost_model::{ActId, Actor, Address, Client, PersonId, Protocol, Secret, TenantId};
use sealpost_net::Stop;
use sealpost_policy::{Command, Role, Roles, decide};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::config::Config;
use crate::instance::Instance;

/// What is asked.
#[derive(Serialize, Deserialize)]
pub struct Request {
    /// Who asks, when it is not the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_in: Option<SignIn>,
    /// The same by a token of `sealpost session open`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What for.
    pub act: Act,
}

/// A person's sign-in.
#[derive(Serialize, Deserialize)]
pub struct SignIn {
    /// Their address.
    pub address: String,
    /// Their password.
    pub password: String,
}

/// The administrative acts.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Health and counts.
    Status,
    /// The people.
    UserList,
    /// A new person; with the name of an app password to make.
    UserAdd {
        address: String,
        name: String,
        password: String,
        roles: Vec<Role>,
        app_password: Option<String>,
    },
    /// Ends somebody's access.
    UserDisable { address: String },
    /// A new password for somebody.
    UserPassword { address: String, password: String },
    /// An app password for somebody.
    UserAppPassword { address: String, device: String },
    /// Another link for a first password.
    UserSetupLink { address: String },
    /// The domains.
    DomainList,
    /// A new domain.
    DomainAdd { domain: String, hipaa: bool },
    /// What waits to leave.
    QueueList,
    /// Tries a row of the queue now.
    QueueRetry { id: i64 },
    /// What waits to be picked up.
    PickupList,
    /// Ends a waiting message.
    PickupExpire { id: String, reason: String },
    /// The log, newest first.
    Log(log::Ask),
    /// The log for those who check it elsewhere.
    Audit(audit::Act),
    /// Addresses.
    Address(address::Act),
    /// Groups.
    Group(group::Act),
    /// Rights on mailboxes.
    Grant(grant::Act),
    /// Roles.
    Role(role::Act),
    /// Sessions.
    Session(session::Act),
    /// What waits for a second person.
    Pending(pending::Act),
    /// The organisation's rules.
    Rules(rules::Act),
    /// Keys.
    Key(key::Act),
    /// Networks that are shut out.
    Ban(ban::Act),
    /// Servers that are trusted to hand over mail.
    Connector(connector::Act),
    /// Scanners and other machines that send mail.
    Device(device::Act),
    /// The sealed bodies.
    Blobs(blobs::Act),
    /// Backup sets.
    Backup(backup::Act),
    /// The queue of a restored instance.
    Held(held::Act),
}

impl Act {
    /// What policy calls it.
    const fn command(&self) -> Command {
        match self {
            Self::Status => Command::Status,
            Self::UserList => Command::UserList,
            Self::UserAdd { .. } => Command::UserAdd,
            Self::UserDisable { .. } => Command::UserDisable,
            Self::UserPassword { .. } => Command::UserPassword,
            Self::UserAppPassword { .. } => Command::UserAppPassword,
            Self::UserSetupLink { .. } => Command::UserSetupLink,
            Self::DomainList => Command::DomainList,
            Self::DomainAdd { .. } => Command::DomainAdd,
            Self::QueueList => Command::QueueList,
            Self::QueueRetry { .. } => Command::QueueRetry,
            Self::PickupList => Command::PickupList,
            Self::PickupExpire { .. } => Command::PickupExpire,
            Self::Log(ask) => ask.command(),
            Self::Audit(act) => act.command(),
            Self::Address(act) => act.command(),
            Self::Group(act) => act.command(),
            Self::Grant(act) => act.command(),
            Self::Role(act) => act.command(),
            Self::Session(act) => act.command(),
            Self::Pending(act) => act.command(),
            Self::Rules(act) => act.command(),
            Self::Key(act) => act.command(),
            Self::Ban(act) => act.command(),
            Self::Connector(act) => act.command(),
            Self::Device(act) => act.command(),
            Self::Blobs(act) => act.command(),
            Self::Backup(act) => act.command(),
            Self::Held(act) => act.command(),
        }
    }
}

/// What is answered.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// It was done: rows as JSON objects, and the same as text.
    Done { rows: Vec<serde_json::Value>, text: String },
    /// This many entries follow, as lines of an export.
    Follows { lines: u64 },
    /// It was not done, in words.
    Refused(String),
}

/// The most bytes of a request.
const MAX_REQUEST: u64 = 64 << 10;

/// Who asks, once that is known.
pub(crate) struct Peer {
    pub(crate) caller: Caller,
    pub(crate) roles: Roles,
    pub(crate) tenant: Option<TenantId>,
    /// Their sign-in, if they are a person.
    pub(crate) login: Option<Login>,
}

/// An answer of one row.
fn done(row: Value, text: String) -> Reply {
    Reply::Done { rows: vec![row], text }
}

/// The answer that a second person has to agree. `more` is what the first has to know now.
fn waits(id: ActId, mut row: Value, more: &str) -> Reply {
    if let Some(row) = row.as_object_mut() {
        row.insert("waits".into(), json!(id));
    }
    let text = format!(
        "{more}A second administrator or security official has to agree within a day: sealpost act approve {id} --as ADDRESS\n"
    );
    done(row, text)
}

/// The organisation that a request is about: the person's own, or the only one there is.
async fn tenant(instance: &Instance, peer: &Peer) -> Result<TenantId> {
    if let Some(tenant) = peer.tenant {
        return Ok(tenant);
    }
    match instance.identity.tenants().await?[..] {
        [one] => Ok(one),
        [] => bail!("there is no organisation yet; `sealpost init` makes the first"),
        _ => bail!("this server has several organisations; sign in to one with --as ADDRESS"),
    }
}

/// Somebody of that organisation.
async fn person(instance: &Instance, peer: &Peer, address: &str) -> Result<PersonId> {
    let mine = tenant(instance, peer).await?;
    match instance.identity.person_at(&Address::parse(address)?).await? {
        Some((tenant, person)) if tenant == mine => Ok(person),
        _ => bail!("nobody has the address {address}; see `sealpost user list`"),
    }
}

/// Binds the socket, for its owner alone. A file that an earlier process left is replaced.
pub fn bind(config: &Config) -> Result<UnixListener> {
    let path = config.control_socket();
    // The store's lock is held: whoever bound this is gone.
    if path.exists() {
        std::fs::remove_file(&path)
            .with_context(|| format!("the control socket {} can't be replaced", path.display()))?;
    }
    let listener = UnixListener::bind(&path)
        .with_context(|| format!("the control socket {} can't be made", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers requests until `stop`.
pub async fn serve(listener: UnixListener, config: Config, instance: Instance, stop: Stop) {
    loop {
        let accepted = tokio::select! {
            () = stop.stopping() => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        let instance = instance.clone();
        tokio::spawn(async move {
            if let Err(error) = converse(stream, &instance).await {
                tracing::debug!(%error, "a control request ended early");
            }
        });
    }
    let _ = std::fs::remove_file(config.control_socket());
}

async fn converse(stream: UnixStream, instance: &Instance) -> Result<()> {
    let uid = stream.peer_cred()?.uid();
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read.take(MAX_REQUEST)).read_line(&mut line).await?;
    let (reply, export) = match serde_json::from_str::<Request>(&line) {
        Ok(request) => match answer(instance, uid, request).await {
            Ok(answer) => answer,
            Err(error) => (Reply::Refused(format!("{error:#}")), None),
        },
        Err(error) => {
            let words = format!(
                "the request is not understood ({error}); is this program another version than the server?"
            );
            (Reply::Refused(words), None)
        }
    };
    let mut bytes = serde_json::to_vec(&reply)?;
    bytes.push(b'\n');
    let sent = write.write_all(&bytes).await;
    if let Some(export) = export {
        audit::send(export, &mut write).await?;
    }
    sent?;
    Ok(write.shutdown().await?)
}

async fn answer(
    instance: &Instance,
    uid: u32,
    request: Request,
) -> Result<(Reply, Option<sealpost_audit::export::Export>)> {
    let client = Client::local(Protocol::Control);
    let peer = peer(instance, uid, client, request.sign_in, request.token).await?;
    let command = request.act.command();
    let word = serde_json::to_string(&command)?;
    let draft = |tenant| {
        let Caller { actor, client } = peer.caller;
        instance.audit.draft(tenant, &actor, &client, Verb::Command).detail(word.trim_matches('"'))
    };
    let log = peer.tenant.unwrap_or_else(sealpost_audit::instance);
    if let Err(denied) = decide::command(peer.roles, command) {
        instance.audit.refusal(draft(log).refused().reason(denied.reason.name())).await?;
        let words = if peer.tenant.is_none() {
            let roles: Vec<&str> = command.roles().iter().map(|r| r.word()).collect();
            format!("This needs a person: sign in with --as ADDRESS ({}).", roles.join(", "))
        } else {
            denied.to_string()
        };
        return Ok((Reply::Refused(words), None));
    }
    instance.audit.record(draft(log)).await?;
    match request.act {
        Act::Audit(audit::Act::Export(ask)) => audit::export(instance, &peer, ask).await,
        // Boxed: all commands together would make a future too large for a stack.
        act => Ok((Box::pin(answer::answer(instance, &peer, act)).await?, None)),
    }
}

/// Who asks: a person by password or token, or whoever the kernel says.
async fn peer(
    instance: &Instance,
    uid: u32,
    client: Client,
    sign_in: Option<SignIn>,
    token: Option<String>,
) -> Result<Peer> {
    let login = match (sign_in, token) {
        (Some(SignIn { address, password }), _) => {
            let attempt = Attempt { login: address, password: Secret::new(password), client: &client };
            Some(instance.identity.authenticate(attempt).await?)
        }
        (None, Some(token)) => {
            let session = instance.identity.session(&Secret::new(token), Touch::Yes, &client).await?;
            Some(
                session
                    .context(
                        "the session of $SEALPOST_TOKEN has ended; get another with `sealpost session open`",
                    )?
                    .login,
            )
        }
        (None, None) => None,
    };
    if let Some(login) = login {
        let caller = Caller { actor: login.actor, client };
        return Ok(Peer { caller, roles: login.roles, tenant: Some(login.tenant), login: Some(login) });
    }
    let operator = uid == 0 || uid == rustix::process::geteuid().as_raw();
    let roles = if operator { Roles::NONE.with(Role::Operator) } else { Roles::NONE };
    Ok(Peer { caller: Caller { actor: Actor::Operator { uid }, client }, roles, tenant: None, login: None })
}
