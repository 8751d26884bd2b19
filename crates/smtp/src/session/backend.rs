//! Whom a session asks. The server's own is [`Services`](super::Services); a test's remembers what it was asked.

use std::time::Duration;

use sealpost_model::{Address, Client, ReversePath, Secret, TenantId};

use crate::codec::Reply;

/// Decides about people and mail. A refusal is the reply that the client gets.
pub trait Backend: Send + Sync + 'static {
    /// Somebody who signed in.
    type Login: Send + Sync;
    /// A message while it arrives. Dropping it forgets the message.
    type Body: Send;

    /// The most bytes of a message.
    fn message_size(&self) -> u64;

    /// Whether there is disk for new mail. It is asked before a message comes, so that a sender need not send in vain.
    fn has_room(&self) -> bool {
        true
    }

    /// Checks a name and a password. It writes the log entry, whatever comes of it (S52).
    fn sign_in(
        &self,
        client: &Client,
        name: String,
        password: Secret<String>,
    ) -> impl Future<Output = Result<Self::Login, SignIn>> + Send;

    /// Whoever is known by their network alone, over TLS: a machine that can't sign in. Asked before the first message on
    /// the submission ports.
    fn by_network(&self, client: &Client) -> impl Future<Output = Option<Self::Login>> + Send {
        let _ = client;
        std::future::ready(None)
    }

    /// Whether a login is good still: asked before each message of a session (S48).
    fn still_valid(&self, login: &Self::Login) -> impl Future<Output = bool> + Send;

    /// A session of somebody who had signed in is over; the log says why (S46).
    fn sign_out(
        &self,
        client: &Client,
        login: Self::Login,
        why: &'static str,
    ) -> impl Future<Output = ()> + Send;

    /// Whether mail from `sender` to this recipient is taken, and which organisation answers for it.
    fn recipient(
        &self,
        sender: Sender<'_, Self::Login>,
        to: &Address,
    ) -> impl Future<Output = Result<TenantId, Reply>> + Send;

    /// Whether mail to this address ends here.
    fn is_ours(&self, address: &Address) -> impl Future<Output = bool> + Send;

    /// Begins a message for `tenant`. `trace` is the `Received` field to put in front of it.
    fn begin(&self, sender: Sender<'_, Self::Login>, tenant: TenantId, trace: String) -> Self::Body;

    /// The next bytes of a message. A refusal is the reply to the message; no more are given after it.
    fn write(&self, body: &mut Self::Body, bytes: &[u8]) -> impl Future<Output = Result<(), Reply>> + Send;

    /// Takes a message that arrived whole. Once this returns `Ok` it is kept; the text goes into the reply.
    fn accept(&self, arrived: Arrived<'_, Self>) -> impl Future<Output = Result<String, Reply>> + Send;
}

/// Who sends.
#[derive(Debug)]
pub struct Sender<'a, L> {
    /// The connection.
    pub client: &'a Client,
    /// Who signed in; nobody on port 25.
    pub login: Option<&'a L>,
    /// The reverse-path.
    pub from: &'a ReversePath,
}

impl<L> Clone for Sender<'_, L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<L> Copy for Sender<'_, L> {}

/// A message with its envelope.
pub struct Arrived<'a, B: Backend + ?Sized> {
    /// Who sends.
    pub sender: Sender<'a, B::Login>,
    /// The organisation that answers for it.
    pub tenant: TenantId,
    /// Each was accepted by [`Backend::recipient`]; no address is in it twice.
    pub to: Vec<Address>,
    /// The message.
    pub body: B::Body,
}

/// Why nobody was signed in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SignIn {
    /// The name or the password is wrong; which one is not told.
    Wrong,
    /// Too many tries; not looked at.
    Throttled(Duration),
    /// This is a person's own password, and mail programs need an app password.
    AppPassword,
    /// The person may not sign in any more.
    Disabled,
    /// It can't be checked now.
    Temporary,
}
