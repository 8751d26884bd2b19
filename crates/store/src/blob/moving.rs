//! Copies of sealed bodies to another shelf: the frames are copied as they are, so no key is needed; the row points to
//! the copy once that is durable, and only if it still lies where it was copied from. A reader that found the old place
//! before reads there: what it lay in stays for the grace.

use sealpost_model::BlobId;

use super::reader::Frames;
use super::writer::Body;
use super::{BlobRef, Blobs, Place, Shelf, int, locate, schema};
use crate::{Error, Result, Scope, Store, Tx, job, params};

/// A body and where it is to go.
#[derive(Clone)]
pub(crate) struct Move {
    pub(crate) row: BlobRef,
    pub(crate) shelf: Shelf,
    /// What its row waits for, when this fulfils it.
    pub(crate) awaits: Option<i64>,
}

/// What became of some moves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moved {
    /// Bodies that lie elsewhere now.
    pub(crate) bodies: u64,
    /// Their sealed bytes.
    pub(crate) bytes: u64,
    /// Those that are damaged where they lie.
    pub(crate) damaged: Vec<BlobId>,
}

/// Sealed bytes that are copied in one go.
pub(crate) const AT_ONCE: u64 = 16 << 20;

/// The rows of `ids` that are still there, at most as many as are copied in one go. The flag says whether it was all.
pub(crate) async fn gather(store: &Store, ids: Vec<BlobId>) -> Result<(Vec<BlobRef>, Vec<BlobId>)> {
    store
        .read(move |tx| {
            let (mut rows, mut damaged, mut bytes) = (Vec::new(), Vec::new(), 0);
            for id in &ids {
                match locate(tx, *id) {
                    Ok(Some(row)) => {
                        bytes += row.stored;
                        rows.push(row);
                    }
                    Ok(None) => {}
                    Err(Error::Corrupt { .. }) => damaged.push(*id),
                    Err(error) => return Err(error),
                }
                if bytes >= AT_ONCE {
                    break;
                }
            }
            Ok((rows, damaged))
        })
        .await
}

/// Copies bodies and points their rows to the copies.
pub(crate) async fn run(store: &Store, moves: Vec<Move>) -> Result<Moved> {
    let blobs = store.blobs().clone();
    let copies = store.blobs().run_slowly(move || job::block_on(copy(&blobs, moves))).await??;
    let mut moved = Moved::default();
    let mut changes = Vec::new();
    for (from, to) in copies {
        match to {
            Some(to) => changes.push((from, to)),
            None => moved.damaged.push(from.row.id),
        }
    }
    if changes.is_empty() {
        return Ok(moved);
    }
    let done = store
        .write(Scope::bulk(), move |tx| {
            let mut done = (0, 0);
            for (from, to) in &changes {
                if point(tx, from, to)? {
                    done = (done.0 + 1, done.1 + from.row.stored);
                }
            }
            Ok::<_, Error>(done)
        })
        .await?;
    (moved.bodies, moved.bytes) = done;
    Ok(moved)
}

/// Copies each; `None` for one that is damaged.
async fn copy(blobs: &Blobs, moves: Vec<Move>) -> Result<Vec<(Move, Option<Place>)>> {
    let mut bodies = Vec::with_capacity(moves.len());
    for next in moves {
        let mut frames = Frames::new(blobs.source(), next.row.clone());
        let mut body =
            Body::new(blobs.sink(&blobs.copier, next.row.id), next.shelf, next.row.tenant, next.row.id);
        let copied = async {
            for number in 0..next.row.chunks() {
                let number = u32::try_from(number).map_err(|_| next.row.damaged())?;
                body.push(&frames.sealed(number)?).await?;
            }
            frames.stored_right()?;
            body.end().await
        };
        match copied.await {
            Ok(()) => bodies.push((next, Some(body))),
            Err(Error::Corrupt { .. }) => bodies.push((next, None)),
            Err(error) => return Err(error),
        }
    }
    // All are on their way: one sync serves them.
    let mut out = Vec::with_capacity(bodies.len());
    for (from, body) in bodies {
        let place = match body {
            Some(mut body) => Some(body.place().await?),
            None => None,
        };
        out.push((from, place));
    }
    Ok(out)
}

/// Points a row to the copy, if it still names what was copied.
fn point(tx: &mut Tx, from: &Move, to: &Place) -> Result<bool> {
    let id = from.row.id;
    let (pack, at, also, object) = match to {
        Place::Pack { pack, at, also } => (Some(*pack), *at, also.as_slice(), None),
        Place::Object { name, at } => (None, *at, &[][..], Some(name.to_vec())),
        Place::Row(_) => return Err(Error::Bug("a copy in a row".into())),
    };
    let at = int(at)?;
    let changed = match &from.row.place {
        Place::Row(_) => tx.execute(&schema::MOVE_FROM_ROW, params![id, pack, at, object])?,
        Place::Pack { pack: was, at: was_at, .. } => {
            let was_at = int(*was_at)?;
            tx.execute(&schema::MOVE_FROM_PACK, params![id, pack, at, object, *was, was_at])?
        }
        Place::Object { .. } => return Err(Error::Bug("an object is not moved".into())),
    };
    if changed == 0 {
        return Ok(false);
    }
    tx.execute(&schema::DELETE_SPANS, params![id])?;
    if let Some(pack) = pack {
        super::name_packs(tx, id, pack, also)?;
    }
    if let Some(awaits) = from.awaits {
        tx.execute(&schema::SHELVED, params![id, awaits])?;
    }
    Ok(true)
}
