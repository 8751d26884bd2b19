//! A change of the directory that is ready to be written: rows, their entries in the log, and who is told of it, in one
//! transaction.

use sealpost_audit::Entry;
use sealpost_model::TenantId;
use sealpost_store::{Scope, Topic, Tx};

use crate::outbox::OutboxRow;
use crate::{Error, Identity};

type Write = Box<dyn Fn(&mut Tx) -> Result<(), Error> + Send>;

/// Writes of one transaction in one organisation, in order. Time, chance and sealed bytes are made already, since a
/// closure may run twice.
#[must_use = "nothing is changed until it is applied"]
pub(crate) struct Change {
    tenant: TenantId,
    writes: Vec<Write>,
    tells: bool,
}

impl Change {
    pub(crate) const fn new(tenant: TenantId) -> Self {
        Self { tenant, writes: Vec::new(), tells: false }
    }

    /// With rows.
    pub(crate) fn write(mut self, rows: impl Fn(&mut Tx) -> Result<(), Error> + Send + 'static) -> Self {
        self.writes.push(Box::new(rows));
        self
    }

    /// With an entry of the log.
    pub(crate) fn entry(self, entry: Entry) -> Self {
        self.write(move |tx| Ok(sealpost_audit::insert(tx, &entry)?))
    }

    /// With a notice to somebody.
    pub(crate) fn tell(mut self, row: OutboxRow) -> Self {
        self.tells = true;
        self.write(move |tx| row.insert(tx))
    }

    /// With all of another one of the same organisation.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.writes.extend(other.writes);
        self.tells |= other.tells;
        self
    }
}

impl Identity {
    /// Writes it; afterwards the cache forgets.
    pub(crate) async fn apply(&self, change: Change) -> Result<(), Error> {
        let Change { tenant, writes, tells } = change;
        let result = self
            .inner
            .store
            .write(Scope::tenant(tenant), move |tx| {
                tx.after_commit(Topic::Directory);
                writes.iter().try_for_each(|write| write(tx))
            })
            .await;
        self.changed();
        if tells && result.is_ok() {
            self.inner.told.notify_one();
        }
        result
    }
}
