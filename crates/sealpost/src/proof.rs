//! The whole proof: the log, the journal with its bodies, and every row of every table.

use anyhow::Result;
use sealpost_archive::Archive;
use sealpost_audit::{AnchorText, Coverage, Object, ObjectKind, Standing, Verify};
use sealpost_model::{Id, JournalId, LedgerId, Time};
use sealpost_store::inspect::{Fault, Inspected};
use sealpost_store::keys::Keys;
use sealpost_store::{Inspection, Store};

use crate::config::Config;
use crate::instance::Opened;

/// What was found.
pub struct Proof {
    /// Of the log.
    pub log: sealpost_audit::Report,
    /// Of the journal: rows, bytes.
    pub journal: sealpost_archive::verify::Report,
    /// Of all other tables; the journal's faults are among its faults.
    pub tables: Inspected,
}

impl Proof {
    /// Whether nothing is wrong anywhere.
    pub fn is_sound(&self) -> bool {
        self.log.is_sound() && self.tables.faults.is_empty()
    }
}

/// What covers the tables of crates that have no word of their own for it.
const STORE: &[Coverage] = &[
    Coverage {
        table: "blob",
        by: "each chunk sealed for its place; opened whole through journal, content and pickup_recipient",
    },
    Coverage { table: "pack", by: "each frame has a check sum; a row is held against its file" },
    Coverage {
        table: "blob_span",
        by: "nothing: what else holds chunks of a body is room, and the body says so itself",
    },
    Coverage {
        table: "dying",
        by: "nothing: a body listed here is asked about again before it goes, and one that is named stays",
    },
    Coverage { table: "dead_object", by: "nothing: a body listed here is asked about again before it goes" },
    Coverage { table: "bucket", by: "held against what stands in the bucket, at each start" },
    Coverage { table: "hold", by: "nothing: it only delays what is deleted" },
    Coverage { table: "walk", by: "nothing: how far upkeep is" },
    Coverage { table: "id_block", by: "held against the largest id in use" },
    Coverage {
        table: "lease",
        by: "nothing: PostgreSQL only; which node does a task, for as long as it does",
    },
    Coverage {
        table: "feed",
        by: "nothing: PostgreSQL only; what changed in the last minute, for other nodes",
    },
    Coverage {
        table: "meta",
        by: "nothing: a format that is too high stops the start, one that is too low runs a step again, which fails",
    },
    Coverage { table: "destruction", by: "sealed under the records root of its organisation" },
    Coverage { table: "tenant_root", by: "sealed under the master key and a life key of the ring" },
    Coverage {
        table: "data_key",
        by: "sealed under its root; the time when it was made is not covered and says nothing",
    },
    Coverage {
        table: "journal_key",
        by: "row MAC; a removed row is named through the journal's rows of its day",
    },
];

/// Opens and recomputes all that is stored. Shows nothing of it, and changes nothing.
///
/// # Errors
/// What keeps it from looking.
pub async fn everything(config: &Config, opened: &Opened) -> Result<Proof> {
    let log = log(config, opened).await?;
    let mut look = Inspection::new(&opened.store, &opened.keys);
    sealpost_store::keys::inspect(&mut look).await?;
    for damage in sealpost_identity::verify(&opened.store, &opened.keys).await? {
        look.fault(damage.table, damage.id, "", damage.why);
    }
    let archive = Archive::new(opened.store.clone(), opened.keys.clone(), opened.random.clone());
    let journal = sealpost_archive::verify::run(&opened.store, &archive, |blob| look.owns(blob)).await?;
    for fault in &journal.faults {
        let (other, id) =
            if fault.table == "blob" { ("journal", fault.blob) } else { ("blob", fault.journal) };
        let named = if fault.table == "blob" { fault.journal } else { fault.blob };
        look.fault(fault.table, id, "", format!("{} ({other} {named})", fault.what));
    }
    look.count("journal", usize::try_from(journal.rows).unwrap_or(usize::MAX));
    sealpost_mailbox::inspect(&mut look).await?;
    sealpost_delivery::inspect(&mut look).await?;
    sealpost_pickup::inspect(&mut look).await?;
    sealpost_backup::inspect(&mut look).await?;
    crate::certificates::shelf::inspect(&mut look).await?;
    let unowned = sealpost_store::inspect::own_tables(&mut look).await?;
    Ok(Proof { log, journal, tables: look.finish(unowned) })
}

async fn log(config: &Config, opened: &Opened) -> Result<sealpost_audit::Report> {
    let anchors = crate::anchor::texts(config).await?;
    log_of(&opened.store, &opened.keys, &anchors, Some(opened.clock.now())).await
}

/// The log of a copy, by itself: what anchors know is newer than the copy, and time stands still in it.
///
/// # Errors
/// What keeps it from looking.
pub async fn log_alone(store: &Store, keys: &Keys) -> Result<sealpost_audit::Report> {
    log_of(store, keys, &[], None).await
}

async fn log_of(
    store: &Store,
    keys: &Keys,
    anchors: &[AnchorText],
    now: Option<Time>,
) -> Result<sealpost_audit::Report> {
    let reading = store.clone();
    let mut cited = |_, objects: &[Object]| {
        let objects = objects.to_vec();
        reading.read_blocking(move |tx| {
            objects
                .iter()
                .map(|o| {
                    let there = match o.kind {
                        ObjectKind::Journal => {
                            sealpost_archive::journal::exists(tx, JournalId::from_raw(o.id))?
                        }
                        ObjectKind::Ledger => sealpost_delivery::has_ledger(tx, LedgerId::from_raw(o.id))?,
                        // What people may remove (entries), and what ends by itself (submissions, queue rows, bodies that
                        // nothing names: one that is named and missing is found by who names it).
                        _ => true,
                    };
                    Ok(if there { Standing::Good } else { Standing::Missing })
                })
                .collect()
        })
    };
    let coverage: Vec<Coverage> = [
        sealpost_identity::COVERAGE,
        sealpost_archive::COVERAGE,
        STORE,
        sealpost_mailbox::COVERAGE,
        sealpost_delivery::COVERAGE,
        sealpost_pickup::COVERAGE,
        sealpost_backup::COVERAGE,
        crate::certificates::shelf::COVERAGE,
    ]
    .concat();
    Ok(sealpost_audit::verify(Verify {
        store,
        keys,
        anchors,
        now,
        cited: Some(&mut cited),
        coverage: &coverage,
    })
    .await?)
}

/// The faults in words, a line each.
pub fn lines(faults: &[Fault], more: u64) -> String {
    let mut out: String = faults.iter().map(|fault| format!("WRONG: {fault}\n")).collect();
    if more > 0 {
        out += &format!("and {more} more\n");
    }
    out
}
