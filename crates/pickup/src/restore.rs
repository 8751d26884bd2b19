//! After a restore nobody knows what became of a waiting message since: it may have been opened, taken back, ended. So all
//! that waited ends, and browsers earn their way anew (DESIGN section 8).

use std::sync::Arc;

use sealpost_audit::Verb;
use sealpost_model::{Actor, Client, Id, TenantId};
use sealpost_store::{Scope, params};

use crate::act::end;
use crate::row::{Row, fresh};
use crate::state::EndedBy;
use crate::{Error, Pickup, State, schema};

/// What the sender reads.
const WHY: &str = "The server was restored from a backup. What became of this message since is not known, so it has ended; send it again if it is still needed.";

impl Pickup {
    /// Ends every message that waits, and every session and device credential of its readers. Answers how many copies
    /// it ended.
    ///
    /// # Errors
    /// The store's, the keys', the log's. A damaged row is passed over and said in the log file.
    pub async fn after_restore(&self) -> Result<usize, Error> {
        let (mut after, mut ended) = (i64::MIN, 0);
        loop {
            let rows: Vec<Row> = self
                .inner
                .store
                .read(move |tx| {
                    Ok::<_, Error>(tx.rows(&schema::ALL_RECIPIENTS, params![after], Row::read)?)
                })
                .await?;
            let Some(last) = rows.last() else { break };
            after = last.id.raw();
            let kept: Vec<Row> = rows.into_iter().filter(|r| r.now.state.is_kept()).collect();
            let mut tenants: Vec<TenantId> = kept.iter().map(|r| r.tenant).collect();
            tenants.sort_unstable();
            tenants.dedup();
            for tenant in tenants {
                let own = kept.iter().filter(|r| r.tenant == tenant).cloned().collect();
                ended += self.end_unproved(tenant, own).await?;
            }
        }
        self.inner
            .store
            .write(Scope::instance(), |tx| {
                tx.execute(&schema::NO_SESSIONS, params![])?;
                tx.execute(&schema::NO_DEVICES, params![])?;
                Ok::<_, Error>(())
            })
            .await?;
        Ok(ended)
    }

    async fn end_unproved(&self, tenant: TenantId, rows: Vec<Row>) -> Result<usize, Error> {
        let keys = self.inner.keys.tenant(tenant).await?;
        let mut whole = Vec::with_capacity(rows.len());
        for row in rows {
            let id = row.id;
            match row.check(&keys) {
                Ok(row) => whole.push((row.id, row.seal_note(&keys, "ended_why", WHY))),
                Err(_) => tracing::error!(recipient = id.raw(), "a row was changed or damaged"),
            }
        }
        if whole.is_empty() {
            return Ok(0);
        }
        let draft = self
            .inner
            .audit
            .draft(tenant, &Actor::System, &Client::SYSTEM, Verb::PickupExpire)
            .reason("restored")
            .objects(whole.iter().map(|(id, _)| *id));
        let entry = self.inner.audit.seal(draft).await?;
        let (now, keys) = (self.inner.clock.now(), Arc::clone(&keys));
        self.write(tenant, move |tx| {
            let mut ended = 0;
            for (id, why) in &whole {
                let row = fresh(tx, &keys, *id)?;
                if row.now.state.is_kept() {
                    let by = EndedBy::Administrator;
                    end(tx, &keys, &row, State::Expired, by, Some(why.clone()), now)?;
                    ended += 1;
                }
            }
            sealpost_audit::insert(tx, &entry)?;
            Ok(ended)
        })
        .await
    }
}
