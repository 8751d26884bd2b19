//! The server's own backend: `identity` says who somebody is, `delivery` what becomes of mail.

use sealpost_delivery::{Arrival, Delivery, Incoming, Kind, Origin, Refused, Submission};
use sealpost_identity::{Attempt, AuthError, DeviceLogin, Identity, Login};
use sealpost_model::{Actor, Address, Client, Fault, Secret, TenantId};
use sealpost_policy::Reason;

use super::verbs::no_room;
use super::{Arrived, Backend, Sender, SignIn};
use crate::codec::{Code, Enhanced, Reply};

/// Identity and delivery, as a session's backend.
#[derive(Clone)]
pub struct Services {
    /// Who somebody is.
    pub identity: Identity,
    /// What becomes of mail.
    pub delivery: Delivery,
}

/// Who signed in to send.
#[derive(Debug)]
pub enum SignedIn {
    /// Somebody.
    Person(Login),
    /// A machine.
    Device(DeviceLogin),
}

impl SignedIn {
    const fn tenant(&self) -> TenantId {
        match self {
            Self::Person(login) => login.tenant,
            Self::Device(login) => login.tenant,
        }
    }

    const fn actor(&self) -> Actor {
        match self {
            Self::Person(login) => login.actor,
            Self::Device(login) => login.actor(),
        }
    }
}

impl Backend for Services {
    type Login = SignedIn;
    type Body = Incoming;

    fn message_size(&self) -> u64 {
        self.delivery.message_size()
    }

    fn has_room(&self) -> bool {
        self.delivery.has_room()
    }

    async fn sign_in(
        &self,
        client: &Client,
        name: String,
        password: Secret<String>,
    ) -> Result<SignedIn, SignIn> {
        let login = if Identity::is_device(&name) {
            self.identity.authenticate_device(&name, &password, client).await.map(SignedIn::Device)
        } else {
            let attempt = Attempt { login: name, password, client };
            self.identity.authenticate(attempt).await.map(SignedIn::Person)
        };
        login.map_err(|error| match error {
            AuthError::Wrong => SignIn::Wrong,
            AuthError::Throttled { retry } => SignIn::Throttled(retry),
            AuthError::AppPasswordNeeded => SignIn::AppPassword,
            AuthError::Disabled => SignIn::Disabled,
            AuthError::Temporary => SignIn::Temporary,
        })
    }

    async fn by_network(&self, client: &Client) -> Option<SignedIn> {
        match self.identity.device_by_network(client).await {
            Ok(found) => found.map(SignedIn::Device),
            Err(error) => {
                tracing::error!(%error, "it can't be said whether a device is known by its network");
                None
            }
        }
    }

    async fn still_valid(&self, login: &SignedIn) -> bool {
        let valid = match login {
            SignedIn::Person(login) => self.identity.still_valid(login).await,
            SignedIn::Device(login) => self.identity.device_valid(login).await,
        };
        valid.unwrap_or_else(|error| {
            tracing::error!(%error, "a login can't be checked");
            false
        })
    }

    async fn sign_out(&self, client: &Client, login: SignedIn, why: &'static str) {
        // A machine has no session: each of its messages is in the log.
        let SignedIn::Person(login) = login else { return };
        if let Err(error) = self.identity.logout(&login, client, why).await {
            tracing::error!(%error, "the end of a session can't be logged");
        }
    }

    async fn recipient(&self, sender: Sender<'_, SignedIn>, to: &Address) -> Result<TenantId, Reply> {
        let signed_in = sender.login.map(SignedIn::tenant);
        let rcpt = self.delivery.check_recipient(signed_in, to).await.map_err(|e| reply(&e))?;
        // A person's organisation answers for what they send, whoever gets it.
        signed_in.or_else(|| rcpt.tenant()).ok_or_else(|| reply(&Reason::RelayDenied.into()))
    }

    async fn is_ours(&self, address: &Address) -> bool {
        self.delivery.check_recipient(None, address).await.is_ok_and(|rcpt| rcpt.tenant().is_some())
    }

    fn begin(&self, sender: Sender<'_, SignedIn>, tenant: TenantId, trace: String) -> Incoming {
        let origin = origin(sender.login, tenant);
        self.delivery.begin(Arrival { origin, trace, return_path: sender.from.to_string() })
    }

    async fn write(&self, body: &mut Incoming, bytes: &[u8]) -> Result<(), Reply> {
        body.write(bytes).await.map_err(|e| self.refused(&e))
    }

    async fn accept(&self, arrived: Arrived<'_, Self>) -> Result<String, Reply> {
        let Arrived { sender, tenant, to, body } = arrived;
        let actor = sender.login.map_or(Actor::Stranger, SignedIn::actor);
        let submission = Submission {
            caller: sealpost_audit::Caller { actor, client: *sender.client },
            origin: origin(sender.login, tenant),
            kind: Kind::Message,
            from: sender.from.clone(),
            to,
            body,
            twin: None,
        };
        match self.delivery.accept(submission).await {
            Ok(accepted) => Ok(format!("accepted as {}", sealpost_model::Id::raw(accepted.submission))),
            Err(refused) => {
                if let Refused::Failed(error) = &refused {
                    tracing::error!(%error, "a message could not be taken");
                }
                Err(self.refused(&refused))
            }
        }
    }
}

impl Services {
    /// The same, when the message was on its way: what failed for want of disk says so.
    fn refused(&self, refused: &Refused) -> Reply {
        let reply = reply(refused);
        if reply.code == 451 && !self.delivery.has_room() { no_room() } else { reply }
    }
}

fn origin(login: Option<&SignedIn>, tenant: TenantId) -> Origin {
    match login {
        Some(SignedIn::Person(login)) => Origin::Submission { tenant, person: login.person },
        Some(SignedIn::Device(login)) => Origin::Device { tenant, device: login.device },
        None => Origin::Inbound { tenant },
    }
}

/// A refusal in SMTP: a named reason becomes a code, and its words are what people read in their mail program.
fn reply(refused: &Refused) -> Reply {
    let (mut subject, mut detail) = (0, 0);
    if let Some((s, d)) = refused.detail().split_once('.') {
        (subject, detail) = (s.parse().unwrap_or(0), d.parse().unwrap_or(0));
    }
    let permanent =
        matches!(refused.fault(), Fault::Caller | Fault::Peer | Fault::PeerCannot | Fault::Policy);
    let (code, class): (Code, u8) = match (permanent, refused.reason()) {
        (true, Some(Reason::MessageTooLarge)) => (552, 5),
        (
            true,
            Some(Reason::MailLoop | Reason::FromFieldInvalid | Reason::TagInvalid | Reason::LinesInvalid),
        ) => (554, 5),
        (true, _) => (550, 5),
        (false, Some(Reason::MailboxFull | Reason::OtherTenant | Reason::DeviceRate)) => (452, 4),
        (false, _) => (451, 4),
    };
    Reply::new(code, Enhanced(class, subject, detail), &refused.to_string())
}
