//! Objects that no row names: those whose bodies ended, and those whose rows never came because a process died.

use std::time::Duration;

use super::bucket::{Bucket, Name};
use super::collect::Collected;
use super::{hold, schema};
use crate::{Error, Result, Scope, Store, params};

/// Looks for objects without a row, then deletes what is listed and due.
pub(crate) async fn run(store: &Store, bucket: &Bucket, grace: Duration, all: &mut Collected) -> Result<()> {
    // Only in a bucket that is certainly ours.
    let own = store.read(|tx| tx.row(&schema::BUCKET, &[], |r| r.text(0))).await?;
    bucket.verify(own.unwrap_or_default()).await?;
    find(store, bucket, grace).await?;
    end(store, bucket, grace, all).await
}

/// Lists objects that have been there for the grace and have no row. They are deleted after another grace.
async fn find(store: &Store, bucket: &Bucket, grace: Duration) -> Result<()> {
    let mut after = None;
    loop {
        let listed = bucket.list(after).await?;
        let Some(last) = listed.last() else { return Ok(()) };
        after = Some(last.name);
        let now = store.clock().now();
        let old: Vec<Name> = listed.iter().filter(|o| now.since(o.taken) >= grace).map(|o| o.name).collect();
        store
            .write(Scope::bulk(), move |tx| {
                for name in &old {
                    if !tx.exists(&schema::OBJECT_NAMED, params![name])? {
                        tx.execute(&schema::INSERT_DEAD_OBJECT, params![name, now, now.plus(grace)])?;
                    }
                }
                Ok::<_, Error>(())
            })
            .await?;
    }
}

/// Deletes what is due. What the bucket won't delete yet (a lock) is tried again after the grace.
async fn end(store: &Store, bucket: &Bucket, grace: Duration, all: &mut Collected) -> Result<()> {
    loop {
        let now = store.clock().now();
        let due: Vec<Name> =
            store.read(move |tx| tx.rows(&schema::DUE_OBJECTS, params![now], |r| r.array(0))).await?;
        if due.is_empty() {
            return Ok(());
        }
        for name in due {
            let dead = store
                .write(Scope::bulk(), move |tx| {
                    if hold::held(tx, now)? {
                        return Ok::<_, Error>(None);
                    }
                    let named = tx.exists(&schema::OBJECT_NAMED, params![name])?;
                    if named {
                        tx.execute(&schema::DELETE_DEAD_OBJECT, params![name])?;
                    }
                    Ok(Some(!named))
                })
                .await?;
            match dead {
                None => {
                    all.held = true;
                    return Ok(());
                }
                Some(false) => continue,
                Some(true) => {}
            }
            let gone = bucket.delete(&name).await;
            let later = now.plus(grace.max(Duration::from_secs(3600)));
            let done = gone.is_ok();
            store
                .write(Scope::bulk(), move |tx| {
                    if done {
                        tx.execute(&schema::DELETE_DEAD_OBJECT, params![name]).map(drop)
                    } else {
                        tx.execute(&schema::OBJECT_LATER, params![name, later]).map(drop)
                    }
                })
                .await?;
            match gone {
                Ok(()) => all.objects += 1,
                Err(error) => tracing::warn!(%error, "an object that nothing names could not be deleted yet"),
            }
        }
    }
}
