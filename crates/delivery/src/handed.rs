//! Mail from one organisation here to another goes over once, whatever crashes in between.
//!
//! The other organisation's transaction keeps the number of the queue row that it came from. A second try finds it and
//! writes nothing; the settled row takes it away.

use sealpost_model::{Id, QueueId};
use sealpost_store::{ReadTx, Tx, keys::TenantKeys, params};

use crate::{Delivery, Error, Refused, Submission, schema};

/// The MAC of "this organisation has taken it": who could write one could make a message vanish.
pub(crate) fn mac(keys: &TenantKeys, queue: QueueId) -> [u8; 16] {
    keys.mac("handed", queue.raw(), 1, &[])
}

impl Delivery {
    /// [`accept`](Self::accept)s what comes from a queue row here, unless it was accepted before.
    ///
    /// # Errors
    /// As `accept`; and [`Error::Corrupt`] when somebody else wrote that it was.
    pub(crate) async fn accept_once(&self, from: QueueId, submission: Submission) -> Result<(), Refused> {
        let tenant = submission.origin.tenant();
        let keys = self.inner.keys.tenant(tenant).await?;
        let mac = mac(&keys, from);
        if self.inner.store.read(move |tx| known(tx, from, &mac)).await? {
            return Ok(());
        }
        let (caller, origin) = (submission.caller, submission.origin);
        let taken = async {
            let ready = self.prepare(submission).await?;
            let scope = ready.scope();
            let write = move |tx: &mut Tx| {
                if known(tx, from, &mac)? {
                    return Ok(());
                }
                tx.execute(&schema::INSERT_HANDED, params![from, tenant, mac])?;
                ready.insert(tx)
            };
            self.inner.store.write(scope, write).await
        };
        match taken.await {
            Err(refused) => Err(self.refused(&caller, origin, refused).await),
            Ok(()) => Ok(()),
        }
    }
}

fn known(tx: &ReadTx, from: QueueId, mac: &[u8; 16]) -> Result<bool, Error> {
    match tx.row(&schema::HANDED, params![from], |r| r.bytes(0))? {
        None => Ok(false),
        Some(found) if sealpost_crypto::constant_time_eq(&found, mac) => Ok(true),
        Some(_) => Err(Error::Corrupt { what: "handed", id: from.raw() }),
    }
}
