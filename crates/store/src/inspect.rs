//! Looking at every row: is each what was written? What `check` and `audit verify` share.
//!
//! Each crate that owns tables walks them beside its own code and says what it finds to one [`Inspection`]; this module
//! has the walk over the store's own tables. Nothing is changed, and a server may be at work meanwhile: what has to
//! agree is read in one snapshot.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use sealpost_crypto::Key;
use sealpost_model::{BlobId, Id, TenantId};

use crate::blob::{self, pack};
use crate::keys::{Keys, TenantKeys};
use crate::{Error, Result, Row, Sql, Store, params, schema};

/// A place that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Fault {
    /// The table.
    pub table: &'static str,
    /// The row, by its key.
    pub row: String,
    /// The column; empty when it is the row as a whole, or when it can't be said.
    pub column: &'static str,
    /// What is wrong, in words without names.
    pub why: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.table, self.row)?;
        if !self.column.is_empty() {
            write!(f, ", column {}", self.column)?;
        }
        write!(f, ": {}", self.why)
    }
}

/// A walk over all tables, and what it found so far.
pub struct Inspection<'a> {
    store: &'a Store,
    keys: &'a Keys,
    tenants: HashMap<TenantId, Option<Arc<TenantKeys>>>,
    faults: Vec<Fault>,
    more: u64,
    rows: BTreeMap<&'static str, u64>,
    largest: i64,
    owned: HashSet<i64>,
}

/// The most faults that are listed.
const MOST: usize = 1_000;

/// What was found.
#[derive(Debug, Default)]
pub struct Inspected {
    /// What is wrong, at most 1,000 places.
    pub faults: Vec<Fault>,
    /// How many more there are.
    pub more: u64,
    /// Rows looked at, by table.
    pub rows: BTreeMap<&'static str, u64>,
    /// Bodies that nothing names any more.
    pub unowned: u64,
}

impl<'a> Inspection<'a> {
    /// Begins.
    pub fn new(store: &'a Store, keys: &'a Keys) -> Self {
        Self {
            store,
            keys,
            tenants: HashMap::new(),
            faults: Vec::new(),
            more: 0,
            rows: BTreeMap::new(),
            largest: 0,
            owned: HashSet::new(),
        }
    }

    /// The store.
    pub const fn store(&self) -> &'a Store {
        self.store
    }

    /// Its keys.
    pub const fn keys(&self) -> &'a Keys {
        self.keys
    }

    /// Notes that a place is not what was written. `column` is empty for a whole row.
    pub fn fault(
        &mut self,
        table: &'static str,
        row: impl fmt::Display,
        column: &'static str,
        why: impl Into<String>,
    ) {
        if self.faults.len() < MOST {
            self.faults.push(Fault { table, row: row.to_string(), column, why: why.into() });
        } else {
            self.more += 1;
        }
    }

    /// Counts rows that were looked at some other way than by [`Inspection::page`].
    pub fn count(&mut self, table: &'static str, rows: usize) {
        *self.rows.entry(table).or_default() += rows as u64;
    }

    /// Up to 1,000 rows behind `after`, and the id to go on from; `None` at the end. `list` takes the id as its only
    /// parameter and answers it as its first column, in order. A row that can't be read is noted and left out.
    ///
    /// # Errors
    /// What keeps it from looking.
    pub async fn page<T: Send + 'static>(
        &mut self,
        table: &'static str,
        list: &'static Sql,
        after: i64,
        read: fn(&Row<'_>) -> Result<T>,
    ) -> Result<Option<(i64, Vec<T>)>> {
        let page = self
            .store
            .read(move |tx| {
                tx.rows(list, params![after], |r| Ok((r.int(0)?, read(r).map_err(|e| e.to_string()))))
            })
            .await?;
        let Some(last) = page.last().map(|(id, _)| *id) else { return Ok(None) };
        self.count(table, page.len());
        self.largest = self.largest.max(last);
        let mut rows = Vec::with_capacity(page.len());
        for (id, row) in page {
            match row {
                Ok(row) => rows.push(row),
                Err(_) => self.fault(table, id, "", UNREADABLE),
            }
        }
        Ok(Some((last, rows)))
    }

    /// The keys of the tenant that a row names; without them that is the row's fault.
    pub async fn tenant(
        &mut self,
        tenant: TenantId,
        table: &'static str,
        row: impl fmt::Display,
    ) -> Option<Arc<TenantKeys>> {
        if !self.tenants.contains_key(&tenant) {
            let keys = self.keys.tenant(tenant).await.ok();
            self.tenants.insert(tenant, keys);
        }
        let keys = self.tenants.get(&tenant).cloned().flatten();
        if keys.is_none() {
            self.fault(table, row, "tenant", format!("it names tenant {tenant}, which has no keys"));
        }
        keys
    }

    /// Opens a body whole with the key that one of its owners has. Answers its plain bytes' number when it is sound.
    ///
    /// # Errors
    /// What keeps it from looking.
    pub async fn body(&mut self, blob: BlobId, key: &Key, owner: &str) -> Result<Option<u64>> {
        self.owned.insert(blob.raw());
        let why = match self.store.read(move |tx| blob::locate(tx, blob)).await {
            Ok(Some(row)) => {
                let (place, size) = (row.place(), row.size);
                let mut reader = self.store.blobs().reader(row, key);
                match self.store.blobs().run(move || reader.verify()).await? {
                    Ok(()) => return Ok(Some(size)),
                    Err(e @ (Error::Closed | Error::Panicked)) => return Err(e),
                    Err(e) => format!("{e} ({place}; {size} bytes; {owner} names it)"),
                }
            }
            Ok(None) => format!("it is missing; {owner} names it"),
            Err(e @ Error::Corrupt { .. }) => format!("{e} ({owner} names it)"),
            Err(e) => return Err(e),
        };
        self.fault("blob", blob.raw(), "", why);
        Ok(None)
    }

    /// Notes that somebody who can't open it now names this body.
    pub fn owns(&mut self, blob: BlobId) {
        self.owned.insert(blob.raw());
    }

    /// The end.
    pub fn finish(self, unowned: u64) -> Inspected {
        Inspected { faults: self.faults, more: self.more, rows: self.rows, unowned }
    }
}

/// Looks at the store's own tables and files, after all others: `blob` rows, `pack` rows with their files frame by
/// frame, and whether `id_block` could give an id twice. Answers how many bodies nothing names any more.
///
/// # Errors
/// What keeps it from looking.
pub async fn own_tables(look: &mut Inspection<'_>) -> Result<u64> {
    let (mut after, mut unowned) = (i64::MIN, 0);
    while let Some((last, rows)) =
        look.page("blob", &blob::schema::BLOB_IDS, after, |r| r.id::<BlobId>(0)).await?
    {
        after = last;
        unowned += rows.iter().filter(|id| !look.owned.contains(&id.raw())).count() as u64;
    }
    packs(look).await?;
    let next = look.store.read(|tx| tx.row(&schema::NEXT_BLOCK, &[], |r| r.int(0))).await;
    match next {
        Ok(Some(next)) if next > look.largest => {}
        Ok(Some(_)) => {
            let why = format!("ids up to {} are in use already and would be given twice", look.largest);
            look.fault("id_block", 1, "next", why);
        }
        Ok(None) => look.fault("id_block", 1, "", "it is missing"),
        Err(Error::Corrupt { .. }) => look.fault("id_block", 1, "next", UNREADABLE),
        Err(e) => return Err(e),
    }
    look.count("id_block", 1);
    Ok(unowned)
}

async fn packs(look: &mut Inspection<'_>) -> Result<()> {
    let rows = look
        .store
        .read(|tx| {
            tx.rows(&blob::schema::PACKS, &[], |r| {
                Ok((r.int(0)?, r.int(1).unwrap_or(-1), r.int(2).unwrap_or(-1)))
            })
        })
        .await?;
    look.count("pack", rows.len());
    let folder = look.store.blobs().files.folder().to_owned();
    for (number, state, length) in rows {
        let name = pack::path(&folder, number).display().to_string();
        if state == pack::GONE {
            continue;
        }
        if !matches!(state, pack::OPEN | pack::CLOSED | pack::DYING) {
            look.fault("pack", number, "state", "it is neither open nor closed");
            continue;
        }
        let there = folder.clone();
        let valid = look.store.blobs().run(move || pack::valid_length(&there, number)).await??;
        let valid = i64::try_from(valid).unwrap_or(i64::MAX);
        // One that is being written ends where it ends.
        if state != pack::OPEN && valid != length {
            let why = if valid < length {
                format!(
                    "{name} is not what was written at byte {valid}, or it ends there; it should have {length}"
                )
            } else {
                format!("{name} has {valid} valid bytes and the row says {length}")
            };
            look.fault("pack", number, "length", why);
        } else if state == pack::OPEN && valid == 0 {
            look.fault("pack", number, "", format!("{name} is missing or is no pack"));
        }
    }
    Ok(())
}

/// What is said of a row whose columns have other types than were written.
const UNREADABLE: &str = "a column can't be what was written";

/// How many bodies there are, counted up to `most`.
///
/// # Errors
/// The store's.
pub async fn bodies(store: &Store, most: u64) -> Result<u64> {
    let (mut after, mut found) = (i64::MIN, 0);
    while found < most {
        let from = after;
        let ids = store.read(move |tx| tx.rows(&blob::schema::BLOB_IDS, params![from], |r| r.int(0))).await?;
        let Some(last) = ids.last() else { break };
        after = *last;
        found += ids.len() as u64;
    }
    Ok(found)
}
