//! Which keys there are, without any of them.

use sealpost_model::Id;

use super::{COUNT_DATA_KEYS, Fingerprint, Keys, Result};
use crate::{ReadTx, params};

/// A root: the instance's, or one of an organisation's two.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyFacts {
    /// The organisation; 0 is the instance.
    pub tenant: i64,
    /// `instance`, `content`, `records`.
    pub kind: &'static str,
    /// Its epoch.
    pub epoch: i64,
    /// The master key that wraps it.
    pub wrapper: Fingerprint,
    /// How many data keys hang on it.
    pub data_keys: i64,
    /// Whether it can be opened: false once it was destroyed.
    pub lives: bool,
}

impl Keys {
    /// All roots, in the order of organisations.
    ///
    /// # Errors
    /// The store's.
    pub async fn facts(&self) -> Result<Vec<KeyFacts>> {
        let (mut all, mut after) = (Vec::new(), (i64::MIN, 0, 0));
        loop {
            let chunk = self.roots_after(after).await?;
            let Some(last) = chunk.last() else { return Ok(all) };
            after = (last.tenant.raw(), last.kind, last.epoch);
            for root in &chunk {
                let (tenant, kind, epoch) = (root.tenant, root.kind, root.epoch);
                let count = move |tx: &ReadTx| -> Result<i64> {
                    Ok(tx.row(&COUNT_DATA_KEYS, params![tenant, kind, epoch], |r| r.int(0))?.unwrap_or(0))
                };
                all.push(KeyFacts {
                    tenant: tenant.raw(),
                    kind: match kind {
                        0 => "instance",
                        1 => "content",
                        _ => "records",
                    },
                    epoch,
                    wrapper: root.wrapper.clone().try_into().unwrap_or_default(),
                    data_keys: self.inner.store.read(count).await?,
                    lives: root.life.is_none_or(|id| self.ring().key(id).is_some()),
                });
            }
        }
    }
}
