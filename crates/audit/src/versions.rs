//! The newest version of each row that the log cites: an older row that was put back whole, with its MAC, is noticed.

use std::collections::HashMap;

use sealpost_store::{Store, params};

use crate::object::decode;
use crate::{Error, Object, ObjectKind, Outcome, schema};

/// Reads every log and answers, for each thing whose version an entry of a done act cites, the newest one. An entry cites
/// it by [`Object::version`] right behind the thing.
///
/// # Errors
/// The store's.
pub fn versions(store: &Store) -> Result<HashMap<Object, i64>, Error> {
    let (mut newest, mut after) = (HashMap::new(), i64::MIN);
    loop {
        let page = store.read_blocking(move |tx| {
            tx.rows(&schema::CITED, params![after, Outcome::Done as i64], |r| Ok((r.int(0)?, r.bytes(1)?)))
        })?;
        let Some((last, _)) = page.last() else { return Ok(newest) };
        after = *last;
        for (_, objects) in &page {
            let objects = decode(objects).unwrap_or_default();
            for pair in objects.windows(2) {
                if let [thing, Object { kind: ObjectKind::Version, id: version }] = pair {
                    let known = newest.entry(*thing).or_insert(*version);
                    *known = (*known).max(*version);
                }
            }
        }
    }
}
