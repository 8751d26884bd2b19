//! The six digits (S30): made, hashed, tried.
//!
//! A try is three steps. First a transaction counts it, if one is left, and if recipient, sender and network may still
//! try today: that is committed. Then the code is compared, outside. Then a second transaction writes what came of it:
//! a session, or the lock. So two hundred guesses at once are five tries, and a crash in between costs a try and never
//! gives one.

use sealpost_audit::{Outcome, Verb, insert_completion, insert_open};
use sealpost_crypto::{Code, MacKey};
use sealpost_model::{Actor, Client, Id, RecipientId};
use sealpost_store::Topic;
use sealpost_store::keys::{Root, TenantKeys};

use crate::budget::Budget;
use crate::row::{Found, Row, fresh};
use crate::{Browser, Error, Guessed, Link, Pickup, State, TRIES};

/// What counting a try said.
enum Counted {
    /// Compare with this row's code.
    Try(Box<Row>),
    /// It is not there any more, or locked.
    Gone,
    /// It was not locked yet though all its tries were spent, and is now.
    Locked,
    /// Enough for today.
    Slow,
}

/// What a try came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Open,
    Wrong,
    Locked,
    Gone,
}

impl Pickup {
    /// One try of the code.
    ///
    /// # Errors
    /// The store's, the keys', the log's, and [`Error::Corrupt`].
    pub async fn guess(
        &self,
        link: &Link,
        code: &Code,
        browser: &Browser,
        client: &Client,
    ) -> Result<Guessed, Error> {
        let Some(found) = self.by_link(link).await? else { return Ok(Guessed::Unknown) };
        let budget =
            Budget::new(&found.keys, &found.row, found.message.account, client.ip, self.inner.clock.now());
        let grant = self.grant(browser);
        let draft = self
            .inner
            .audit
            .draft(found.row.tenant, &Actor::Stranger, client, Verb::PickupCode)
            .owner(found.message.account)
            .object(found.row.pickup)
            .object(found.row.id);
        let (open, entry) = self.inner.audit.prepare_open(draft.clone()).await?;

        let row = match self.count(&found, &budget, entry).await? {
            Counted::Try(row) => row,
            counted @ (Counted::Gone | Counted::Locked) => {
                self.inner.audit.refusal(draft.refused().reason("gone")).await?;
                if matches!(counted, Counted::Locked) {
                    self.say_lock(&found).await;
                }
                return self.gone(link).await;
            }
            Counted::Slow => {
                self.inner.audit.refusal(draft.refused().reason("too-many-tries")).await?;
                return Ok(Guessed::Slow);
            }
        };

        let right = matches(&found.keys, &row, code);

        let closing = open.completion(if right { Outcome::Done } else { Outcome::Refused }).await?;
        let mut device_entry = None;
        if right && let Some(device) = grant.device_id() {
            let actor = self.recipient(&found);
            let draft = self.inner.audit.draft(found.row.tenant, &actor, client, Verb::DeviceGrant);
            let draft = draft.owner(found.message.account).object(found.row.id).object(device);
            device_entry = Some(self.inner.audit.seal(draft).await?);
        }
        let (now, keys, found2, grant2) =
            (self.inner.clock.now(), found.keys.clone(), found.clone(), grant.clone());
        let issues = row.now.issues;
        let verdict = self
            .write(found.row.tenant, move |tx| {
                insert_completion(tx, &closing)?;
                let row = fresh(tx, &keys, found2.row.id)?;
                let state = row.now.state_at(now);
                // A new code in the meantime voids this one, right or wrong.
                if !state.is_kept() || row.now.issues != issues {
                    return Ok(Verdict::Gone);
                }
                let mut to = row.now.clone();
                if right {
                    // One of the five was right. It opens even when the others, finishing first, had locked the row.
                    to.tries = to.tries.saturating_sub(1);
                    if to.state == State::Locked {
                        to.state = to.unlocked();
                    }
                    budget.refund(tx)?;
                    row.change(tx, &keys, &to)?;
                    grant2.insert_session(tx, &found2, now)?;
                    grant2.insert_device(tx, &found2, now)?;
                    if let Some(entry) = &device_entry {
                        sealpost_audit::insert(tx, entry)?;
                    }
                    return Ok(Verdict::Open);
                }
                if to.tries < TRIES || to.state == State::Locked {
                    return Ok(if to.state == State::Locked { Verdict::Gone } else { Verdict::Wrong });
                }
                to.state = State::Locked;
                row.change(tx, &keys, &to)?;
                tx.after_commit(Topic::Pickup(row.pickup));
                Ok(Verdict::Locked)
            })
            .await?;
        match verdict {
            Verdict::Open => Ok(Guessed::Open(grant.granted(&found))),
            Verdict::Wrong => Ok(Guessed::Wrong),
            Verdict::Gone => self.gone(link).await,
            Verdict::Locked => {
                self.say_lock(&found).await;
                self.gone(link).await
            }
        }
    }

    /// Counts a try, in a transaction of its own. The opened entry is part of it: no try without one.
    async fn count(
        &self,
        found: &Found,
        budget: &Budget,
        entry: sealpost_audit::Entry,
    ) -> Result<Counted, Error> {
        let (now, keys, id, budget) =
            (self.inner.clock.now(), found.keys.clone(), found.row.id, budget.clone());
        self.write(found.row.tenant, move |tx| {
            let row = fresh(tx, &keys, id)?;
            if !row.now.state_at(now).is_live() {
                return Ok(Counted::Gone);
            }
            if row.now.tries >= TRIES {
                // The tries are spent and no verdict has come: five are on their way, or the process died over them. One
                // that is right still opens it.
                let mut to = row.now.clone();
                to.state = State::Locked;
                row.change(tx, &keys, &to)?;
                tx.after_commit(Topic::Pickup(row.pickup));
                return Ok(Counted::Locked);
            }
            if !budget.charge(tx)? {
                return Ok(Counted::Slow);
            }
            let mut to = row.now.clone();
            to.tries += 1;
            row.change(tx, &keys, &to)?;
            insert_open(tx, &entry)?;
            Ok(Counted::Try(Box::new(row)))
        })
        .await
    }

    /// The lock holds whether or not its sender can be told now.
    async fn say_lock(&self, found: &Found) {
        if let Err(error) = self.tell_lock(found).await {
            tracing::warn!(recipient = found.row.id.raw(), %error, "a sender could not be told of a lock");
        }
    }

    async fn gone(&self, link: &Link) -> Result<Guessed, Error> {
        match self.glance(link).await? {
            // Five tries are on their way and none has come back yet: locked, as far as this one goes.
            Some(glance) if glance.state.is_live() => {
                Ok(Guessed::Gone(Box::new(crate::Glance { state: State::Locked, ..glance })))
            }
            Some(glance) => Ok(Guessed::Gone(Box::new(glance))),
            None => Ok(Guessed::Unknown),
        }
    }

    /// A fresh code and its hash for the `issues`-th issue of a recipient.
    pub(crate) fn new_code(
        &self,
        keys: &TenantKeys,
        recipient: RecipientId,
        issues: u32,
    ) -> (Code, [u8; 16]) {
        let code = Code::random(&self.inner.random);
        let hash = code.hash(&code_key(keys), &[&recipient.raw().to_be_bytes(), &issues.to_be_bytes()]);
        (code, hash)
    }
}

/// Whether it is the row's code. The hash is bound to the row and to the issue, so that no other row's and no older hash
/// can be put in its place.
fn matches(keys: &TenantKeys, row: &Row, code: &Code) -> bool {
    let parts = (row.id.raw().to_be_bytes(), row.now.issues.to_be_bytes());
    code.matches(&code_key(keys), &[&parts.0, &parts.1], &row.now.code)
}

fn code_key(keys: &TenantKeys) -> MacKey {
    keys.derive(Root::Content, "pickup code").mac_key()
}
