//! Scrubbing: every closed pack is read again and checked, frame by frame, once in a period. What a disk forgot is found
//! while a backup still has it.
//!
//! Check sums find what rots; what somebody forged is found by the seals inside, which need keys: the archive's own walk
//! opens what it has keys for.

use std::time::Duration;

use super::pack;
use super::schema;
use crate::{Error, Result, Scope, Store, params};

/// What was read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Scrubbed {
    /// Packs.
    pub packs: u64,
    /// Bytes.
    pub bytes: u64,
    /// Packs that are not what was written, and from which byte on.
    pub damaged: Vec<(i64, u64)>,
}

/// Reads every pack that was not read for `period`; all of them when that is zero. Each is noted when it is done, so that
/// the next run goes on.
pub async fn run(store: &Store, period: Duration) -> Result<Scrubbed> {
    let mut all = Scrubbed::default();
    let before = store.clock().now().minus(period);
    loop {
        // One that was done in this run is not met again: its time lies behind `before` no more.
        let next = store
            .read(move |tx| {
                tx.row(&schema::SCRUB_NEXT, params![before], |r| Ok((r.int(0)?, r.small::<u64>(1)?)))
            })
            .await?;
        let Some((pack, length)) = next else { return Ok(all) };
        let files = store.blobs().files.clone();
        let valid = store.blobs().run_slowly(move || pack::valid_length(files.folder(), pack)).await??;
        all.packs += 1;
        all.bytes += length;
        let damage = (valid != length).then_some(valid.min(length));
        if let Some(at) = damage {
            tracing::error!(pack, byte = at, "a pack is not what was written: restore it from a backup");
            all.damaged.push((pack, at));
        }
        let now = store.clock().now().max(before.plus(Duration::from_millis(1)));
        let damage = damage.map(|at| i64::try_from(at).unwrap_or(i64::MAX));
        store
            .write(Scope::bulk(), move |tx| {
                tx.execute(&schema::SCRUBBED, params![pack, now, damage]).map(drop)?;
                Ok::<_, Error>(())
            })
            .await?;
    }
}
