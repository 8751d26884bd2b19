//! The one way in and the one way out.
//!
//! Every message, whichever door it comes through, becomes a [`Submission`] and goes through [`Delivery::accept`]:
//! policy says what each recipient's message may do, one transaction writes journal, mailbox entries, queue rows,
//! ledger and audit entry, and only then is it acknowledged. What was acknowledged is never lost; of what was refused
//! there remains its audit entry (S17, S59).
//!
//! The worker ([`Delivery::run`]) takes queue rows and hands them to a [`Courier`], which only the binary plugs in. No
//! other code sends anything anywhere: a bounce, a notice, a receipt are submissions like any other.
//!
//! Invariants: a row that was found `sending` at start is *maybe sent*, retried under the same Message-ID and shown as
//! that; a bounce is written in the transaction that settles what it tells of; a message's methods are tried in the order of its plan, and nothing that the plan lacks is tried.

mod accept;
mod author;
mod body;
mod bounce;
mod courier;
mod error;
mod handed;
mod head;
mod held;
mod inspect;
mod ledger;
mod local;
mod marks;
mod queue;
mod ready;
mod recipient;
mod schema;
mod sent;
mod submission;
mod worker;

use std::sync::Arc;

use sealpost_archive::Archive;
use sealpost_audit::Audit;
use sealpost_crypto::Random;
use sealpost_identity::Identity;
use sealpost_mailbox::Mailboxes;
use sealpost_model::SharedClock;
use sealpost_store::{Store, Turn, keys::Keys};

pub use body::{Arrival, Incoming};
pub use courier::{Batch, Courier, Couriers, Evidence, Future, Job, Outcome};
pub use error::{Error, Refused};
pub use head::{Facts, Tags};
pub use held::{Held, HeldRow, Known, Released};
pub use inspect::{has_ledger, inspect};
pub use ledger::{LedgerRow, State};
pub use local::LocalCourier;
pub use queue::{Queued, doom};
pub use recipient::Rcpt;
pub use schema::{COVERAGE, SCHEMA};
pub use sealpost_mailbox::{MessageReader, Summary};
pub use sent::{Sent, SentRecipient};
pub use submission::{Accepted, Kind, Origin, Submission};

/// Delivery. Cheap to clone.
#[derive(Clone)]
pub struct Delivery {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    keys: Keys,
    audit: Audit,
    identity: Identity,
    archive: Archive,
    mailboxes: Mailboxes,
    clock: SharedClock,
    random: Random,
    options: Options,
    meters: Meters,
    /// Whose turn it is to destroy keys.
    reaping: Turn,
}

/// What became of messages that came in by any way.
#[derive(Default, Debug)]
pub struct Meters {
    /// Taken and kept.
    pub accepted: sealpost_model::Counter,
    /// Refused for good.
    pub refused: sealpost_model::Counter,
    /// Not taken for now: their sender tries again.
    pub deferred: sealpost_model::Counter,
}

/// A server that destroys keys and gives no sign of life for so long is taken for gone.
const REAPING: std::time::Duration = std::time::Duration::from_secs(60);

/// What an administrator sets.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name of this server, in Message-IDs and DSNs.
    pub hostname: String,
    /// The most bytes of a message.
    pub message_size: u64,
    /// How long a message is tried by SMTP before it waits to be picked up.
    pub pickup_after: std::time::Duration,
    /// How long that is tried which can't wait to be picked up: a notice, a DSN, mail for another organisation here.
    pub notice_life: std::time::Duration,
}

impl Default for Options {
    fn default() -> Self {
        const HOUR: u64 = 3600;
        Self {
            hostname: "localhost".into(),
            message_size: 50 << 20,
            pickup_after: std::time::Duration::from_secs(2 * HOUR),
            notice_life: std::time::Duration::from_secs(48 * HOUR),
        }
    }
}

/// What delivery stands on.
pub struct Ground {
    /// Rows and blobs.
    pub store: Store,
    /// Keys.
    pub keys: Keys,
    /// The log.
    pub audit: Audit,
    /// People and addresses.
    pub identity: Identity,
    /// The journal.
    pub archive: Archive,
    /// Mailboxes.
    pub mailboxes: Mailboxes,
    /// The time.
    pub clock: SharedClock,
    /// Chance.
    pub random: Random,
}

impl Delivery {
    /// Delivery over this ground.
    pub fn new(ground: Ground, options: Options) -> Self {
        let Ground { store, keys, audit, identity, archive, mailboxes, clock, random } = ground;
        Self {
            inner: Arc::new(Inner {
                reaping: Turn::new(store.clone(), "key destruction", REAPING),
                store,
                keys,
                audit,
                identity,
                archive,
                mailboxes,
                clock,
                random,
                options,
                meters: Meters::default(),
            }),
        }
    }

    /// The most bytes of a message that is taken.
    pub fn message_size(&self) -> u64 {
        self.inner.options.message_size
    }

    /// An organisation's display name, for notices.
    ///
    /// # Errors
    /// The directory's.
    pub async fn organisation(&self, tenant: sealpost_model::TenantId) -> Result<String, Error> {
        Ok(self.inner.identity.tenant_name(tenant).await?)
    }

    /// The name of this server.
    pub fn hostname(&self) -> &str {
        &self.inner.options.hostname
    }
}
