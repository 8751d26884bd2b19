//! While something is copied from outside a transaction (a backup), nothing that it names may vanish.

use std::time::Duration;

use sealpost_model::Id as _;

use super::schema;
use crate::{ReadTx, Result, Scope, Store, params};

/// Keeps the collector and compaction, of every node, from deleting anything. It ends by itself after its time, so that a
/// holder who died holds up nothing for ever.
#[must_use = "nothing is held once it is released"]
pub struct Hold {
    store: Store,
    id: i64,
}

/// Holds everything for `span` from now.
pub async fn hold(store: &Store, span: Duration) -> Result<Hold> {
    let hold = Hold { store: store.clone(), id: store.id::<sealpost_model::BlobId>().raw() };
    hold.renew(span).await?;
    Ok(hold)
}

impl Hold {
    /// Holds for `span` from now on.
    pub async fn renew(&self, span: Duration) -> Result<()> {
        let (id, until) = (self.id, self.store.clock().now().plus(span));
        self.store
            .write(Scope::instance(), move |tx| {
                tx.execute(&schema::INSERT_HOLD, params![id, until]).map(drop)
            })
            .await
    }

    /// Ends it.
    pub async fn release(self) -> Result<()> {
        let id = self.id;
        self.store
            .write(Scope::instance(), move |tx| tx.execute(&schema::DELETE_HOLD, params![id]).map(drop))
            .await
    }
}

/// Whether somebody holds at `now`.
pub(crate) fn held(tx: &ReadTx, now: sealpost_model::Time) -> Result<bool> {
    tx.exists(&schema::HELD, params![now])
}
