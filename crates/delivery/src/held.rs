//! A restored instance sends nothing until a person has looked at what waits (DESIGN section 8).
//!
//! Whatever waited when the set was made may have left since: sent again it would reach people twice, and maybe what was
//! taken back. So the queue is *held*: no row is claimed. What a newer ledger knows of a row is kept beside it
//! ([`Known`]); at the release rows that had left are dropped, and the log says so.

use std::collections::HashMap;

use sealpost_audit::{Caller, Verb};
use sealpost_model::{Id, LedgerId, QueueId, TenantId, Time};
use sealpost_store::keys::InstanceKeys;
use sealpost_store::{Inspection, ReadTx, Row, Scope, Topic, params};

use crate::ledger::State;
use crate::marks::{self, Change};
use crate::{Delivery, Error, schema};

/// Since when the queue is held, and by which set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    /// When the instance was restored.
    pub since: Time,
    /// The id of the set that it was restored from.
    pub set: i64,
}

/// What a newer ledger than the restored one knows of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// The row.
    pub ledger: LedgerId,
    /// Where it stood.
    pub state: State,
    /// Since when.
    pub at: Time,
}

impl Known {
    /// Whether it must not be sent again.
    pub const fn has_left(&self) -> bool {
        matches!(self.state, State::Delivered | State::Waiting | State::Failed)
    }
}

/// A row that waits for the release.
#[derive(Clone, Debug)]
pub struct HeldRow {
    /// Its id in the queue.
    pub id: QueueId,
    /// Whose.
    pub tenant: TenantId,
    /// Its row in the ledger.
    pub ledger: LedgerId,
    /// What a newer ledger knows of it.
    pub known: Option<Known>,
}

/// What a release did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Released {
    /// Rows that are sent from now on.
    pub sent: usize,
    /// Rows that were dropped, since they had left before.
    pub dropped: usize,
}

const HELD: i64 = 1;

fn mac(keys: &InstanceKeys, held: Held) -> [u8; 16] {
    let parts = [HELD, held.since.millis(), held.set].map(i64::to_be_bytes);
    keys.mac("instance_state", 1, 1, &parts.each_ref().map(<[u8; 8]>::as_slice))
}

fn known_mac(keys: &InstanceKeys, known: &Known) -> [u8; 16] {
    let parts = [known.state as i64, known.at.millis()].map(i64::to_be_bytes);
    keys.mac("held_known", known.ledger.raw(), 1, &parts.each_ref().map(<[u8; 8]>::as_slice))
}

/// Whether nothing may leave. A row that somebody changed holds too.
pub(crate) fn is_held(tx: &ReadTx) -> Result<bool, sealpost_store::Error> {
    tx.exists(&schema::HELD, params![])
}

impl Delivery {
    /// Holds the queue, and notes what a newer ledger knows. What was attempted when the set was made is waiting again.
    ///
    /// # Errors
    /// The store's.
    pub async fn hold(&self, held: Held, known: Vec<Known>) -> Result<(), Error> {
        let keys = self.inner.keys.instance();
        let state = mac(keys, held);
        let known: Vec<(Known, [u8; 16])> = known.into_iter().map(|k| (k, known_mac(keys, &k))).collect();
        self.inner
            .store
            .write(Scope::instance(), move |tx| {
                tx.execute(&schema::HOLD, params![held.since, held.set, state])?;
                for (known, mac) in &known {
                    tx.execute(
                        &schema::HOLD_KNOWN,
                        params![known.ledger, known.state as i64, known.at, mac],
                    )?;
                }
                Ok(())
            })
            .await
    }

    /// Since when the queue is held; `None` when it is not.
    ///
    /// # Errors
    /// The store's, and [`Error::Corrupt`].
    pub async fn held(&self) -> Result<Option<Held>, Error> {
        let read = |tx: &ReadTx| {
            tx.row(&schema::HELD_STATE, params![], |r| {
                Ok((Held { since: r.time(0)?, set: r.int(1)? }, r.bytes(2)?))
            })
        };
        match self.inner.store.read(read).await? {
            Some((held, stored)) if mac(self.inner.keys.instance(), held)[..] == stored[..] => Ok(Some(held)),
            Some(_) => Err(Error::Corrupt { what: "instance_state", id: 1 }),
            None => Ok(None),
        }
    }

    /// What waits for the release: up to 500 rows behind `after`, with what a newer ledger knows of each.
    ///
    /// # Errors
    /// The store's, and [`Error::Corrupt`].
    pub async fn held_rows(&self, after: Option<QueueId>) -> Result<Vec<HeldRow>, Error> {
        let after = after.map_or(0, Id::raw);
        let (rows, known) = self
            .inner
            .store
            .read(move |tx| {
                let rows = tx.rows(&schema::HELD_ROWS, params![after], |r| {
                    Ok((r.id::<QueueId>(0)?, r.id::<TenantId>(1)?, r.id::<LedgerId>(2)?))
                })?;
                let mut known = HashMap::new();
                for (.., ledger) in &rows {
                    let found = tx.row(&schema::HELD_KNOWN, params![*ledger], |r| {
                        Ok((r.int(0)?, r.time(1)?, r.bytes(2)?))
                    })?;
                    known.extend(found.map(|found| (*ledger, found)));
                }
                Ok::<_, Error>((rows, known))
            })
            .await?;
        let keys = self.inner.keys.instance();
        rows.into_iter()
            .map(|(id, tenant, ledger)| {
                let corrupt = || Error::Corrupt { what: "held_known", id: ledger.raw() };
                let known = match known.get(&ledger) {
                    None => None,
                    Some((state, at, stored)) => {
                        let state = State::from_number(*state).ok_or_else(corrupt)?;
                        let known = Known { ledger, state, at: *at };
                        if known_mac(keys, &known)[..] != stored[..] {
                            return Err(corrupt());
                        }
                        Some(known)
                    }
                };
                Ok(HeldRow { id, tenant, ledger, known })
            })
            .collect()
    }

    /// Lets the queue go: rows that had left are dropped with their reason, the others are sent. False in
    /// `keep` drops a row that nothing is known of, too.
    ///
    /// # Errors
    /// The store's and the log's. What was dropped before an error stays dropped; the queue stays held.
    pub async fn let_go(&self, caller: &Caller, keep: bool) -> Result<Released, Error> {
        let mut released = Released::default();
        let mut after = None;
        loop {
            let page = self.held_rows(after).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            let (left, stays): (Vec<HeldRow>, Vec<HeldRow>) =
                page.into_iter().partition(|row| !keep || row.known.is_some_and(|k| k.has_left()));
            released.sent += stays.len();
            for row in left {
                self.drop_held(caller, row).await?;
                released.dropped += 1;
            }
        }
        let draft = self
            .inner
            .audit
            .draft(sealpost_audit::instance(), &caller.actor, &caller.client, Verb::QueueRelease)
            .note("sent", released.sent.to_string())
            .note("dropped", released.dropped.to_string());
        let entry = self.inner.audit.seal(draft).await?;
        self.inner
            .store
            .write(Scope::instance(), move |tx| {
                tx.execute(&schema::UNHOLD, params![])?;
                tx.execute(&schema::UNHOLD_KNOWN, params![])?;
                sealpost_audit::insert(tx, &entry)?;
                tx.after_commit(Topic::Queue);
                Ok::<_, Error>(())
            })
            .await?;
        Ok(released)
    }

    /// Takes a row out of the queue: its ledger row says what the newer one knew.
    async fn drop_held(&self, caller: &Caller, row: HeldRow) -> Result<(), Error> {
        let (state, reason) = match row.known {
            Some(known) if known.has_left() => (known.state, "left-before-restore"),
            _ => (State::Failed, "dropped-after-restore"),
        };
        let draft = self
            .inner
            .audit
            .draft(row.tenant, &caller.actor, &caller.client, Verb::QueueRelease)
            .reason(reason)
            .object(row.id)
            .object(row.ledger);
        let entry = self.inner.audit.seal(draft).await?;
        let keys = self.inner.keys.tenant(row.tenant).await?;
        let now = self.inner.clock.now();
        self.inner
            .store
            .write(Scope::instance(), move |tx| {
                tx.execute(&schema::DONE, params![row.id])?;
                let change = Change { method: None, state, reason: Some(reason), grade: None, now };
                let mac = marks::changed(tx, &keys, row.ledger, &change)?;
                tx.execute(&schema::LEDGER_DROPPED, params![row.ledger, state as i64, reason, now, mac])?;
                sealpost_audit::insert(tx, &entry)?;
                Ok::<_, Error>(())
            })
            .await
    }

    /// Where rows of the ledger stand: for whoever keeps what is newer than the last set. Rows that are gone are left out.
    ///
    /// # Errors
    /// The store's.
    pub async fn stands(&self, rows: Vec<LedgerId>) -> Result<Vec<Known>, Error> {
        self.inner
            .store
            .read(move |tx| {
                let mut out = Vec::new();
                for ledger in &rows {
                    let found = tx.row(&schema::LEDGER_STANDS, params![*ledger], |r| {
                        Ok((State::from_number(r.int(0)?), r.time(1)?))
                    })?;
                    if let Some((Some(state), at)) = found {
                        out.push(Known { ledger: *ledger, state, at });
                    }
                }
                Ok::<_, Error>(out)
            })
            .await
    }
}

/// Holds the state and what is known of rows against their MACs.
pub(crate) async fn inspect(look: &mut Inspection<'_>) -> Result<(), sealpost_store::Error> {
    let read = |tx: &ReadTx| {
        tx.row(&schema::HELD_STATE, params![], |r| {
            Ok((Held { since: r.time(0)?, set: r.int(1)? }, r.bytes(2)?))
        })
    };
    let found = look.store().read(read).await?;
    look.count("instance_state", usize::from(found.is_some()));
    if found.is_some_and(|(held, stored)| mac(look.keys().instance(), held)[..] != stored[..]) {
        look.fault("instance_state", 1, "mac", "it is not what was written");
    }
    let read = |r: &Row<'_>| Ok((r.id::<LedgerId>(0)?, r.int(1)?, r.time(2)?, r.bytes(3)?));
    let mut after = i64::MIN;
    while let Some((last, page)) = look.page("held_known", &schema::ALL_HELD_KNOWN, after, read).await? {
        after = last;
        for (ledger, state, at, stored) in page {
            let known = State::from_number(state).map(|state| Known { ledger, state, at });
            if known.is_none_or(|known| known_mac(look.keys().instance(), &known)[..] != stored[..]) {
                look.fault("held_known", ledger, "mac", "it is not what was written");
            }
        }
    }
    Ok(())
}
