//! Administration over a Unix socket: one request a connection, as a line of JSON each way.
//!
//! The kernel says who asks: root and the server's own user are operators. Whoever wants more than an operator's
//! commands signs in as a person of the organisation, in the request itself. What a role may run is `policy`'s; each
//! request, refused ones too, leaves its entry in the log with the peer's uid or the person (S55, S115).

mod answer;
pub mod client;

use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context, Result};
use sealpost_audit::{Caller, Verb};
use sealpost_identity::Attempt;
use sealpost_model::{Actor, Client, Protocol, Secret, TenantId};
use sealpost_net::Stop;
use sealpost_policy::{Command, Role, Roles, decide};
use serde::{Deserialize, Serialize};
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
    LogList { limit: usize, detail: bool, verb: Option<String>, server: bool },
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
            Self::DomainList => Command::DomainList,
            Self::DomainAdd { .. } => Command::DomainAdd,
            Self::QueueList => Command::QueueList,
            Self::QueueRetry { .. } => Command::QueueRetry,
            Self::PickupList => Command::PickupList,
            Self::PickupExpire { .. } => Command::PickupExpire,
            Self::LogList { detail: false, .. } => Command::LogList,
            Self::LogList { detail: true, .. } => Command::LogDetail,
        }
    }
}

/// What is answered.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// It was done: rows as JSON objects, and the same as text.
    Done { rows: Vec<serde_json::Value>, text: String },
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
    let reply = match serde_json::from_str::<Request>(&line) {
        Ok(request) => match answer(instance, uid, request).await {
            Ok(reply) => reply,
            Err(error) => Reply::Refused(format!("{error:#}")),
        },
        Err(error) => Reply::Refused(format!(
            "the request is not understood ({error}); is this program another version than the server?"
        )),
    };
    let mut bytes = serde_json::to_vec(&reply)?;
    bytes.push(b'\n');
    write.write_all(&bytes).await?;
    Ok(write.shutdown().await?)
}

async fn answer(instance: &Instance, uid: u32, request: Request) -> Result<Reply> {
    let client = Client::local(Protocol::Control);
    let peer = match request.sign_in {
        Some(SignIn { address, password }) => {
            let login = instance
                .identity
                .authenticate(Attempt { login: address, password: Secret::new(password), client: &client })
                .await?;
            let caller = Caller { actor: login.actor, client };
            Peer { caller, roles: login.roles, tenant: Some(login.tenant) }
        }
        None => {
            let operator = uid == 0 || uid == rustix::process::geteuid().as_raw();
            let roles = if operator { Roles::NONE.with(Role::Operator) } else { Roles::NONE };
            Peer { caller: Caller { actor: Actor::Operator { uid }, client }, roles, tenant: None }
        }
    };
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
        return Ok(Reply::Refused(words));
    }
    instance.audit.record(draft(log)).await?;
    answer::answer(instance, &peer, request.act).await
}
