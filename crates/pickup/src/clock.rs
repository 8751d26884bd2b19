//! Time ends messages: a round each minute. Access ends at the very moment (each request looks); the round writes it down
//! and dooms the life keys, which the ring destroys in batches within minutes (S32).

use std::sync::Arc;
use std::time::Duration;

use sealpost_audit::Verb;
use sealpost_model::{Actor, Client, Id, TenantId};
use sealpost_store::keys::TenantKeys;
use sealpost_store::{Scope, Topic, params};

use crate::act::end;
use crate::row::{Row, fresh};
use crate::state::EndedBy;
use crate::{DAY, Error, IDLE, Pickup, State, schema};

impl Pickup {
    /// Ends what is over, until `stop`.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            // One node ends messages; each mends what it owes itself.
            let swept = match self.inner.clock_turn.take().await {
                Some(_) => self.sweep().await,
                None => {
                    self.mend_replies().await;
                    Ok(0)
                }
            };
            match swept {
                Ok(0) => {}
                Ok(ended) => tracing::info!(ended, "waiting messages ended by time"),
                Err(error) => tracing::warn!(%error, "waiting messages could not be ended"),
            }
            tokio::select! {
                () = &mut stop => return self.inner.clock_turn.end().await,
                () = tokio::time::sleep(ROUND) => {}
            }
        }
    }

    /// One round: everything that is over now. Returns how many copies it ended.
    ///
    /// # Errors
    /// The store's, the keys', the log's. A damaged row is passed over and said in the log file.
    pub async fn sweep(&self) -> Result<usize, Error> {
        self.mend_replies().await;
        let mut ended = 0;
        loop {
            let now = self.inner.clock.now();
            let rows = self
                .inner
                .store
                .read(move |tx| Ok::<_, Error>(tx.rows(&schema::OVER, params![now, PAGE], Row::read)?))
                .await?;
            let (found, before) = (rows.len(), ended);
            let mut tenants: Vec<TenantId> = rows.iter().map(|r| r.tenant).collect();
            tenants.sort_unstable();
            tenants.dedup();
            for tenant in tenants {
                let keys = self.inner.keys.tenant(tenant).await?;
                let own: Vec<Row> = rows.iter().filter(|r| r.tenant == tenant).cloned().collect();
                ended += self.expire_rows(tenant, &keys, own).await?;
            }
            if found < usize::try_from(PAGE).unwrap_or(0) || ended == before {
                break;
            }
        }
        self.forget().await?;
        Ok(ended)
    }

    async fn expire_rows(
        &self,
        tenant: TenantId,
        keys: &Arc<TenantKeys>,
        rows: Vec<Row>,
    ) -> Result<usize, Error> {
        let mut whole = Vec::with_capacity(rows.len());
        for row in rows {
            let id = row.id;
            match row.check(keys) {
                Ok(row) => whole.push(row),
                // It stays, and stays shut: its MAC says that it isn't ours. `audit verify` names it.
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
            .reason("time")
            .objects(whole.iter().map(|r| r.id));
        let entry = self.inner.audit.seal(draft).await?;
        let (now, keys) = (self.inner.clock.now(), Arc::clone(keys));
        let ids: Vec<_> = whole.iter().map(|r| r.id).collect();
        self.write(tenant, move |tx| {
            let mut ended = 0;
            for id in &ids {
                let row = fresh(tx, &keys, *id)?;
                if row.now.state.is_kept() && now >= row.now.expires {
                    end(tx, &keys, &row, State::Expired, EndedBy::Time, None, row.now.expires)?;
                    tx.after_commit(Topic::Pickup(row.pickup));
                    ended += 1;
                }
            }
            sealpost_audit::insert(tx, &entry)?;
            Ok(ended)
        })
        .await
    }

    /// Sessions, credentials and budgets that count no more.
    async fn forget(&self) -> Result<(), Error> {
        let now = self.inner.clock.now();
        self.inner
            .store
            .write(Scope::bulk(), move |tx| {
                tx.execute(&schema::OLD_SESSIONS, params![now.minus(IDLE)])?;
                tx.execute(&schema::OLD_DEVICES, params![now])?;
                tx.execute(&schema::OLD_BUDGETS, params![now.minus(DAY * 2).day()])?;
                Ok::<_, Error>(())
            })
            .await
    }
}

const ROUND: Duration = Duration::from_secs(60);
const PAGE: i64 = 500;
