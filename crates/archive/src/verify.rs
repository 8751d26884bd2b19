//! Reads the whole journal against its MACs, keys, hashes and bodies, and names the place of each fault.

use sealpost_crypto::{Key, sha256};
use sealpost_model::{BlobId, Id, JournalId};
use sealpost_store::{BlobRow, Store, params};

use crate::{Archive, Error, expire, journal, schema};

/// A place that is not what was written.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Fault {
    /// The table: `journal`, `journal_key`, `journal_gone`, `blob`.
    pub table: &'static str,
    /// The journal's row.
    pub journal: i64,
    /// The body it names.
    pub blob: i64,
    /// What is wrong, in words.
    pub what: String,
}

/// What a verification found.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Report {
    /// Rows read.
    pub rows: u64,
    /// Plain bytes of the bodies read.
    pub bytes: u64,
    /// Rows whose day has passed, of which a number is left.
    pub expired: u64,
    /// Every fault.
    pub faults: Vec<Fault>,
}

/// Verifies every row, its body, and that the key of its day is the one that it hangs on. Nothing of the content is
/// shown or kept; `seen` hears of every body that is named.
///
/// # Errors
/// The store's; a fault in a row is no error but an entry of the report.
pub async fn run(store: &Store, archive: &Archive, mut seen: impl FnMut(BlobId)) -> Result<Report, Error> {
    const PAGE: i64 = 200;
    let mut report = Report::default();
    let mut after = JournalId::from_raw(0);
    loop {
        let from = after;
        let rows = store.read(move |tx| journal::page(tx, from, PAGE)).await?;
        let Some(last) = rows.last() else { break };
        after = last.id;
        for row in rows {
            report.rows += 1;
            seen(row.blob);
            let fault =
                |table, what: String| Fault { table, journal: row.id.raw(), blob: row.blob.raw(), what };
            let (key, envelope) = match archive.open(&row).await {
                Ok(opened) => opened,
                Err(e) => {
                    report.faults.push(fault("journal", e.to_string()));
                    continue;
                }
            };
            if !archive.hangs_on_its_day(&row).await? {
                let what =
                    "the key of its day is missing, or is another than the one that it hangs on".to_owned();
                report.faults.push(fault("journal_key", what));
            }
            let blob = row.blob;
            match store.read(move |tx| sealpost_store::blob::locate(tx, blob)).await {
                Ok(Some(located)) => match whole(store, located, &key).await {
                    Ok(body) if sha256(&body) == envelope.sha256 => report.bytes += envelope.size,
                    Ok(_) => report.faults.push(fault("blob", "the body's hash differs".into())),
                    Err(e) => report.faults.push(fault("blob", e.to_string())),
                },
                Ok(None) => report.faults.push(fault("blob", "the body's row is missing".into())),
                Err(e) => report.faults.push(fault("blob", e.to_string())),
            }
        }
    }
    gone(store, archive, &mut report).await?;
    Ok(report)
}

/// Holds what is left of expired rows against its MACs: else a row could be removed and called expired.
async fn gone(store: &Store, archive: &Archive, report: &mut Report) -> Result<(), Error> {
    let mut after = JournalId::from_raw(i64::MIN);
    loop {
        let from = after;
        let rows = store
            .read(move |tx| {
                tx.rows(&schema::PAGE_GONE, params![from, 1_000_i64], |r| {
                    Ok((r.id::<JournalId>(0)?, r.id(1)?, r.int(2)?, r.bytes(3)?))
                })
            })
            .await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.0;
        for (id, tenant, day, mac) in rows {
            report.expired += 1;
            let keys = archive.tenant(tenant).await;
            let day = i32::try_from(day).ok();
            let sound =
                keys.ok().zip(day).is_some_and(|(keys, day)| expire::gone_mac(&keys, id, day)[..] == mac[..]);
            if !sound {
                let what = "nobody here ended this entry".to_owned();
                report.faults.push(Fault { table: "journal_gone", journal: id.raw(), blob: 0, what });
            }
        }
    }
}

async fn whole(store: &Store, row: BlobRow, key: &Key) -> Result<Vec<u8>, sealpost_store::Error> {
    let mut reader = store.blobs().reader(row, key);
    store.blobs().run(move || reader.read_all()).await?
}
