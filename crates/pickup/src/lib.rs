//! Messages that wait here for a recipient whose own server can't be trusted with them (S27, S29 to S34).
//!
//! **Waiting.** As the [`Courier`](sealpost_delivery::Courier) of the method `pickup` this crate makes a *waiting copy*
//! for each recipient: the body's key wrapped under a life key of the ring that belongs to this message and this
//! recipient alone, so that the copy dies with it. The recipient gets a notice (a template without anything that a
//! person wrote), the sender one receipt in the same thread with a six-digit code, whose twin in the journal says
//! `[code]`. Both are submissions through [`sealpost_delivery`] like any other.
//!
//! **A gate, not a bearer link.** The link rides an untrusted path. Whoever holds it may see the organisation's name and
//! press "open", no more. Content is served to a browser that gave the code, or that earned a device credential with an
//! earlier code of the same organisation for the same recipient. A code has five tries, each counted in a committed
//! conditional update *before* it is compared; a new code is to be had three times, and neither refills what a
//! recipient, a sender or a network may try in a day.
//!
//! **What is kept.** Token, session and device credential as blind indexes, the code as a keyed hash bound to its row,
//! everything that carries security (state, tries, times) under the row's MAC with a version. No code, and no token,
//! ever reaches a log, an error, `Debug`, the journal or an administrator.
//!
//! **The end.** Time, the sender or an administrator ends a message. Access stops with the commit, open tabs at their
//! next request; the life key is destroyed by the [sweep](Pickup::run) within minutes, in batches.
//!
//! Invariants: GET changes nothing; "opened" means that content was served after a proof; the log's entry is committed
//! (a change) or in the read journal (a reading) before content leaves.

mod act;
mod admin;
mod budget;
mod clock;
mod code;
mod command;
mod courier;
mod error;
mod facts;
mod gate;
mod inspect;
mod link;
mod mail;
mod open;
mod read;
mod replied;
mod reply;
mod restore;
mod row;
mod schema;
mod sent;
mod session;
mod state;
mod wait;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sealpost_audit::Audit;
use sealpost_crypto::{MacKey, Random};
use sealpost_delivery::Delivery;
use sealpost_model::{SharedClock, TenantId};
use sealpost_store::{Scope, Store, Turn, Tx, keys::Keys};

use replied::Replied;

pub use act::Issued;
pub use admin::Listed;
pub use error::{Error, ReplyError};
pub use facts::Person;
pub use inspect::inspect;
pub use open::Opened;
pub use read::{Attached, Download, Letter};
pub use reply::{ReplyDraft, ReplyHead};
pub use schema::{COVERAGE, SCHEMA};
pub use sent::{Sender, Sent, SentRecipient, SentSummary};
pub use session::Browser;
pub use state::{Credential, EndedBy, Ending, Glance, Granted, Guessed, Link, Opening, Pressed, State};

/// What an administrator sets.
#[derive(Clone, Debug)]
pub struct Options {
    /// The portal's public address: `https://host[:port]`.
    pub portal: String,
    /// The webmail's public address.
    pub mail: String,
    /// How long a message waits unless its sender says otherwise: 30 days (S32).
    pub keep: Duration,
    /// How long a browser's credential lasts: 180 days.
    pub device_life: Duration,
    /// Whether policy asks for the code every time, in every browser (S29).
    pub always_ask: bool,
}

impl Options {
    /// The defaults, with one public address for portal and webmail.
    pub fn new(public_url: &str) -> Self {
        let url = public_url.trim_end_matches('/');
        Self {
            portal: url.into(),
            mail: url.into(),
            keep: DAY * 30,
            device_life: DAY * 180,
            always_ask: false,
        }
    }
}

/// What pickup stands on.
pub struct Ground {
    /// Rows and blobs.
    pub store: Store,
    /// Keys and the ring.
    pub keys: Keys,
    /// The log.
    pub audit: Audit,
    /// The one way in.
    pub delivery: Delivery,
    /// The time.
    pub clock: SharedClock,
    /// Chance.
    pub random: Random,
}

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Pickup {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    keys: Keys,
    audit: Audit,
    delivery: Delivery,
    clock: SharedClock,
    random: Random,
    options: Options,
    /// Replies that were sent and that their messages don't show yet.
    owed: Mutex<Vec<Replied>>,
    /// Whose turn it is to end messages that are over.
    clock_turn: Turn,
}

impl Pickup {
    /// The service over this ground.
    pub fn new(ground: Ground, options: Options) -> Self {
        let Ground { store, keys, audit, delivery, clock, random } = ground;
        let owed = Mutex::default();
        let clock_turn = Turn::new(store.clone(), "pickup clock", TURN);
        let inner = Inner { store, keys, audit, delivery, clock, random, options, owed, clock_turn };
        Self { inner: Arc::new(inner) }
    }

    /// The key of the tokens in the pages' forms: the same on every node, and of no other use.
    pub fn form_key(&self) -> MacKey {
        self.inner.keys.instance().derive("web forms").mac_key()
    }

    /// The most days that a message can be kept in all (S32).
    pub const fn longest_days(&self) -> u64 {
        LONGEST.as_secs() / DAY.as_secs()
    }

    /// Writes, and tries again when another node changed the row first. The invariants rest on conditional updates,
    /// which a closure reports as [`Error::Busy`].
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        tenant: TenantId,
        f: impl Fn(&mut Tx) -> Result<T, Error> + Clone + Send + 'static,
    ) -> Result<T, Error> {
        for _ in 0..16 {
            match self.inner.store.write(Scope::tenant(tenant), f.clone()).await {
                Err(Error::Busy) => {}
                done => return done,
            }
        }
        Err(Error::Busy)
    }
}

/// A server that ends messages and gives no sign of life for so long has that taken over.
const TURN: Duration = Duration::from_secs(90);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);
/// 1 to 730 days (S32).
pub(crate) const LONGEST: Duration = Duration::from_secs(730 * 86_400);
/// Tries of one code (S30).
pub(crate) const TRIES: u32 = 5;
/// How often a sender may make a new code for one recipient of one message.
pub(crate) const REISSUES: u32 = 3;
/// A session without a request ends (S33); it can't be switched off.
pub(crate) const IDLE: Duration = Duration::from_secs(20 * 60);
/// A session ends, however busy.
pub(crate) const SESSION_LIFE: Duration = Duration::from_secs(12 * 3600);
