//! Slow walks over everything, a page at a time: where they are is kept, so that a restart goes on.

use sealpost_model::Time;

use super::schema;
use crate::{ReadTx, Result, Scope, Store, params};

/// How far a walk is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Walk {
    /// The last id that was looked at.
    pub(crate) at: i64,
    /// When it last came to its end; the epoch when it never did.
    pub(crate) ended: Time,
}

/// Where walk `name` is.
pub(crate) fn read(tx: &ReadTx, name: &'static str) -> Result<Walk> {
    let found = tx.row(&schema::WALK, params![name], |r| Ok(Walk { at: r.int(0)?, ended: r.time(1)? }))?;
    Ok(found.unwrap_or(Walk { at: i64::MIN, ended: Time::from_millis(0) }))
}

/// Notes where it is.
pub(crate) async fn save(store: &Store, name: &'static str, walk: Walk) -> Result<()> {
    store
        .write(Scope::bulk(), move |tx| {
            tx.execute(&schema::SET_WALK, params![name, walk.at, walk.ended]).map(drop)
        })
        .await
}
