//! The one mail service under IMAP, POP3, webmail and the rest.
//!
//! An *account* is a whole mailbox, a *folder* is what IMAP calls a mailbox, an *entry* is a message's place in one
//! folder. Hot facts (UID, flags, MODSEQ, size) lie in `entry`, in the order of a folder's view; what is sealed lies in
//! `content`, under the account's life key. Moving an entry changes its place and reseals nothing.
//!
//! Invariants: UIDs of a folder only grow; MODSEQ belongs to the account and only grows; both are taken under the
//! account's lock, in the transaction that uses them. Every read of sealed content leaves its audit entry before the
//! first byte (S53).

mod account;
mod append;
mod change;
mod content;
mod error;
mod folder;
mod inspect;
mod reader;
mod restore;
mod schema;
mod view;

use sealpost_audit::Audit;
use sealpost_crypto::Random;
use sealpost_model::{AccountId, Client, SharedClock};
use sealpost_policy::Access;
use sealpost_store::{Store, Topic, Watch, keys::Keys};

pub use account::{AccountFacts, NewAccount, insert_account};
pub use append::{Delivery, Upload, Uploaded, insert_entry};
pub use change::FlagOp;
pub use content::Summary;
pub use error::Error;
pub use folder::{Folder, Special};
pub use inspect::inspect;
pub use reader::MessageReader;
pub use schema::{COVERAGE, SCHEMA};
pub use view::{Changes, Entry, View};

/// Whoever uses a mailbox: the proof that policy allowed it, and where they come from.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The mailbox, who may use it, and how far.
    pub access: Access<AccountId>,
    /// Where they come from, for the log.
    pub client: Client,
}

/// The mail service. Cheap to clone.
#[derive(Clone)]
pub struct Mailboxes {
    inner: std::sync::Arc<Inner>,
}

struct Inner {
    store: Store,
    keys: Keys,
    audit: Audit,
    clock: SharedClock,
    random: Random,
    accounts: account::Cache,
}

impl Mailboxes {
    /// The service over this store.
    pub fn new(store: Store, keys: Keys, audit: Audit, clock: SharedClock, random: Random) -> Self {
        let accounts = account::Cache::default();
        Self { inner: std::sync::Arc::new(Inner { store, keys, audit, clock, random, accounts }) }
    }

    /// Tells whenever something in the account has changed. Ask [`Mailboxes::changes`] what.
    pub fn watch(&self, account: AccountId) -> Watch {
        self.inner.store.feed().watch(Topic::Account(account))
    }
}
