//! The offline proof of the log: leaves from rows, tree from leaves, signatures, anchor, and what entries cite.
//!
//! It reads and changes nothing. While the server runs it may see a second's entries that are not yet in the tree; that
//! is said, and no fault.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use sealpost_model::{Id, TenantId, Time};
use sealpost_store::keys::{Keys, TenantKeys};
use sealpost_store::{Sql, Store, params};
use tlog_tiles::{HASH_SIZE, Hash, Tile};

use crate::anchor::{self, Anchored, Known, Witness};
use crate::entry::Placed;
use crate::heartbeat::Pulse;
use crate::report::{AnchorReport, AnchorState, Coverage, Finding, LostPart, Report, Standing, TenantReport};
use crate::restored;
use crate::restored_line::Break;
use crate::sequence::{TreeRow, authentic, tree_row};
use crate::spine::Spine;
use crate::tree::{TileRow, WIDTH};
use crate::{Audit, COVERAGE, Entry, Error, Object, Outcome, Verb, checkpoint, object, schema, tree};

/// Says how things stand that accept entries cite: the same number of answers, in the same order. Archive and store own
/// those tables, so the caller asks them.
pub type Cited<'a> = dyn FnMut(TenantId, &[Object]) -> Result<Vec<Standing>, sealpost_store::Error> + 'a;

/// What to verify.
pub struct Verify<'a> {
    /// The store; it may be open for reading only.
    pub store: &'a Store,
    /// Its keys.
    pub keys: &'a Keys,
    /// What each anchor holds: [`anchor_text`] asks one.
    pub anchors: &'a [AnchorText],
    /// What the time is, to tell whether the log stands still; without it the end of the log is not looked at so.
    pub now: Option<Time>,
    /// How cited things stand; without it they are not looked at.
    pub cited: Option<&'a mut Cited<'a>>,
    /// What covers the tables of other crates, for the report.
    pub coverage: &'a [Coverage],
}

/// What an anchor was found to hold.
#[derive(Clone, Debug)]
pub struct AnchorText {
    /// Its name.
    pub name: String,
    /// Its text, `None` when it holds nothing yet; or why it can't be asked.
    pub text: Result<Option<String>, String>,
}

/// Asks an anchor; `None` when it is one that can't be read back.
pub async fn anchor_text(witness: &dyn Witness) -> Option<AnchorText> {
    if !witness.can_be_read() {
        return None;
    }
    Some(AnchorText { name: witness.name(), text: witness.read().await })
}

/// Verifies every log.
///
/// # Errors
/// Only what keeps it from looking: the store's errors. What it finds is in the report.
pub async fn verify(mut what: Verify<'_>) -> Result<Report, Error> {
    let (anchors, known) = read_anchors(what.anchors);
    let mut tenants: BTreeSet<i64> = known.iter().flat_map(|(_, k)| k.keys().copied()).collect();
    for list in [&schema::TENANTS, &schema::TREES] {
        tenants.extend(all_tenants(what.store, list)?);
    }
    let mut report = Report { coverage: COVERAGE.to_vec(), anchors, ..Report::default() };
    report.coverage.extend_from_slice(what.coverage);
    for tenant in tenants {
        let tenant = TenantId::from_raw(tenant);
        let of = |(name, known): &(String, Known)| {
            let chain = known.get(&tenant.raw()).cloned().unwrap_or_default();
            let all = chain.lost.into_iter().chain(chain.current);
            all.map(|a| (name.clone(), a)).collect::<Vec<_>>()
        };
        let anchored: Vec<_> = known.iter().flat_map(of).collect();
        let keys = match what.keys.tenant(tenant).await {
            Ok(keys) => keys,
            Err(error) => {
                let mut keyless = TenantReport::new(tenant);
                keyless.find(Finding::NoKeys { why: error.to_string() });
                report.tenants.push(keyless);
                continue;
            }
        };
        let log = Log { store: what.store, keys, tenant, anchored, now: what.now };
        report.tenants.push(log.verify(what.cited.as_deref_mut())?);
    }
    report.anchor = match report.anchors.iter().any(|a| a.held == Ok(true)) {
        false => AnchorState::None,
        true => {
            let conflict = report
                .tenants
                .iter()
                .flat_map(|t| &t.findings)
                .any(|f| matches!(f, Finding::Rollback { .. } | Finding::OtherHistory { .. }));
            if conflict { AnchorState::Conflicts } else { AnchorState::Agrees }
        }
    };
    Ok(report)
}

/// What the anchors hold, each for the report and, if it could be read, as data.
fn read_anchors(texts: &[AnchorText]) -> (Vec<AnchorReport>, Vec<(String, Known)>) {
    let (mut reports, mut all) = (Vec::new(), Vec::new());
    for AnchorText { name, text } in texts {
        let (held, damaged) = match text {
            Err(why) => (Err(why.clone()), false),
            Ok(None) => (Ok(false), false),
            Ok(Some(text)) => match anchor::parse(text) {
                Some(known) => {
                    let any = !known.is_empty();
                    all.push((name.clone(), known));
                    (Ok(any), false)
                }
                None => (Err(anchor::DAMAGED.to_owned()), true),
            },
        };
        reports.push(AnchorReport { name: name.clone(), held, damaged });
    }
    (reports, all)
}

fn all_tenants(store: &Store, list: &'static Sql) -> Result<Vec<i64>, Error> {
    let mut all = Vec::new();
    loop {
        let after = all.last().copied().unwrap_or(i64::MIN);
        let page = store.read_blocking(move |tx| tx.rows(list, params![after], |r| r.int(0)))?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

struct Log<'a> {
    store: &'a Store,
    keys: Arc<TenantKeys>,
    tenant: TenantId,
    /// Each checkpoint that an anchor knows, with the anchor's name.
    anchored: Vec<(String, Anchored)>,
    now: Option<Time>,
}

/// A walk over the tree, left to right.
#[derive(Default)]
struct Walk {
    /// The tree of the hashes that are stored.
    stored: Lane,
    /// The tree of the rows that are there.
    rows: Lane,
    /// A tile is missing: nothing can be said of the whole.
    broken: bool,
    /// Tiles whose rows give other hashes, and which rows those are.
    differing: Vec<(u64, Vec<(u64, i64)>)>,
    /// Opened entries without completion so far, with their places.
    open: HashMap<i64, u64>,
    /// Completions whose opening has not come yet: of two that wait together, either may come first.
    early: BTreeSet<i64>,
    newest: Option<Time>,
    /// Signs of life.
    pulse: Pulse,
    /// What `restored` entries say.
    breaks: Vec<(LostPart, Break)>,
}

/// One of the two trees.
#[derive(Default)]
struct Lane {
    frontier: Spine,
    /// The roots at the anchors' sizes.
    at: HashMap<u64, Hash>,
    /// The hashes of the tile under way.
    tile: Vec<u8>,
    /// The tiles of the levels above, as those of level 0 give them.
    above: Vec<Vec<u8>>,
}

impl Log<'_> {
    fn verify(&self, mut cited: Option<&mut Cited<'_>>) -> Result<TenantReport, Error> {
        let tenant = self.tenant;
        let (row, pending, placed) = self.store.read_blocking(move |tx| {
            let count = |sql| Ok(tx.row(sql, params![tenant], |r| r.small::<u64>(0))?.unwrap_or(0));
            Ok::<_, sealpost_store::Error>((
                tree_row(tx, tenant)?,
                count(&schema::PENDING_COUNT)?,
                count(&schema::PLACED_COUNT)?,
            ))
        })?;
        let mut report = TenantReport { pending, ..TenantReport::new(tenant) };
        let Some(row) = row else {
            if placed > 0 {
                report.find(Finding::TreeMissing);
            }
            for (anchor, anchored) in &self.anchored {
                let anchor = anchor.clone();
                report.find(Finding::Rollback { anchor, here: 0, anchored: anchored.signed.size });
            }
            return Ok(report);
        };
        report.size = row.size;
        report.origin.clone_from(&row.origin);

        let mut walk = Walk::default();
        for number in 0..row.size.div_ceil(WIDTH as u64) {
            self.tile(number, &row, &mut walk, &mut report, &mut cited)?;
        }
        if let Some(lane) = self.signature(&row, &walk, &mut report) {
            self.levels_above(&row, lane, &mut report)?;
        }
        self.breaks(&mut walk, &mut report)?;
        self.anchors(&row, &walk, &mut report);
        self.extra_rows(&row, placed, &mut report)?;
        let pending = self.pending_rows(&mut report)?;
        self.open_acts(&walk, &pending, &mut report)?;
        report.root = walk.stored.frontier.root().to_string();
        report.newest = walk.newest;
        if tenant == crate::instance() {
            report.silences = walk.pulse.end(self.now, report.pending > 0);
        }
        Ok(report)
    }

    /// One tile of level 0 and its rows.
    fn tile(
        &self,
        number: u64,
        row: &TreeRow,
        walk: &mut Walk,
        report: &mut TenantReport,
        cited: &mut Option<&mut Cited<'_>>,
    ) -> Result<(), Error> {
        let tenant = self.tenant;
        let first = number * WIDTH as u64;
        let width = (row.size - first).min(WIDTH as u64) as usize;
        let (tile, rows) = self.store.read_blocking(move |tx| {
            let tile = tree::tile(tx, tenant, 0, number)?;
            let mut rows = Vec::new();
            for id in tile.iter().flat_map(|t| &t.ids).take(WIDTH) {
                rows.push(tx.row(&schema::BY_ID, params![*id], Placed::try_read)?);
            }
            Ok::<_, sealpost_store::Error>((tile, rows))
        })?;
        let Some(tile) = tile else {
            report.find(Finding::TileMissing { level: 0, number });
            walk.broken = true;
            return Ok(());
        };
        if tile.hashes.len() != width * HASH_SIZE || tile.ids.len() != width {
            report.find(Finding::TileChanged { level: 0, number });
        }
        let mut differing = Vec::new();
        let hashes = tile.hashes.chunks_exact(HASH_SIZE).map(hash);
        for ((stored, id), (position, placed)) in hashes.zip(&tile.ids).zip((first..).zip(rows)) {
            walk.stored.push(stored);
            match placed {
                None => {
                    walk.rows.push(stored);
                    report.find(Finding::RowMissing { position, id: *id });
                }
                Some(Err(id)) => {
                    walk.rows.push(stored);
                    report.find(Finding::RowChanged { position, id });
                }
                Some(Ok(placed)) => {
                    let leaf = placed.entry.leaf();
                    walk.rows.push(leaf);
                    if leaf == stored {
                        self.row(position, &placed, walk, report, cited)?;
                    } else {
                        differing.push((position, *id));
                    }
                    if placed.position != i64::try_from(position).ok() {
                        let finding = Finding::RowMisplaced {
                            id: *id,
                            claims: placed.position,
                            position: Some(position),
                        };
                        report.find(finding);
                    }
                }
            }
            if self.anchored.iter().any(|(_, a)| a.signed.size == position + 1) {
                for lane in [&mut walk.stored, &mut walk.rows] {
                    lane.at.insert(position + 1, lane.frontier.root());
                }
            }
        }
        if !differing.is_empty() {
            walk.differing.push((number, differing));
        }
        Ok(())
    }

    /// One row that is what its leaf says.
    fn row(
        &self,
        position: u64,
        placed: &Placed,
        walk: &mut Walk,
        report: &mut TenantReport,
        cited: &mut Option<&mut Cited<'_>>,
    ) -> Result<(), Error> {
        let entry = &placed.entry;
        walk.newest = walk.newest.max(Some(entry.time()));
        walk.pulse.beat(position, entry);
        if !authentic(&self.keys, entry) {
            report.find(Finding::RowForged { position: Some(position), id: entry.id });
        } else if let Some((_, said)) = restored::of(placed) {
            let lost = said.lost.iter().map(|(size, _)| *size).collect();
            let part = LostPart { position, id: entry.id, at: entry.time(), from: said.from.0, lost };
            walk.breaks.push((part, said));
        }
        if entry.outcome == Outcome::Open as i64 && !walk.early.remove(&entry.id) {
            walk.open.insert(entry.id, position);
        }
        if entry.closes != 0 && walk.open.remove(&entry.closes).is_none() {
            walk.early.insert(entry.closes);
        }
        let accepted = entry.verb == Verb::Accept as i64 && entry.outcome == Outcome::Done as i64;
        if let Some(cited) = cited.as_mut().filter(|_| accepted) {
            let objects = object::decode(&entry.objects).unwrap_or_default();
            for (object, standing) in objects.iter().zip(cited(self.tenant, &objects)?) {
                match standing {
                    Standing::Good => {}
                    Standing::Retired => report.retired += 1,
                    Standing::Missing | Standing::Changed => {
                        report.find(Finding::Cited { position, id: entry.id, object: *object, standing });
                    }
                }
            }
        }
        Ok(())
    }

    /// The tiles above level 0 hold what those below give.
    fn levels_above(&self, row: &TreeRow, lane: &Lane, report: &mut TenantReport) -> Result<(), Error> {
        let tenant = self.tenant;
        for (level, expected) in (1_u8..).zip(&lane.above) {
            let count = row.size >> (8 * level);
            for (number, expected) in (0_u64..).zip(expected.chunks(WIDTH * HASH_SIZE)) {
                let tile = self.store.read_blocking(move |tx| tree::tile(tx, tenant, level, number))?;
                match tile {
                    None => report.find(Finding::TileMissing { level, number }),
                    Some(tile) if tile.hashes != expected => {
                        report.find(Finding::TileChanged { level, number })
                    }
                    Some(_) => {}
                }
            }
            let wanted = count.div_ceil(WIDTH as u64);
            let beyond = self.store.read_blocking(move |tx| {
                tx.row(&schema::TILES_BEYOND, params![tenant, level, wanted as i64], |r| r.int(0))
            })?;
            if beyond.unwrap_or(0) > 0 {
                report.find(Finding::TileChanged { level, number: wanted });
            }
        }
        Ok(())
    }

    /// The checkpoint, and which of rows and hashes it agrees with; answers that one.
    fn signature<'w>(&self, row: &TreeRow, walk: &'w Walk, report: &mut TenantReport) -> Option<&'w Lane> {
        let public = Audit::signer(&self.keys).public();
        let signed =
            checkpoint::verify(&public, &row.note).filter(|s| s.size == row.size && s.origin == row.origin);
        let Some(signed) = signed else {
            report.find(Finding::SignatureWrong);
            name_rows(walk, report);
            return None;
        };
        let truth = [&walk.stored, &walk.rows].into_iter().find(|l| l.frontier.root() == signed.root);
        if truth.is_some_and(|t| std::ptr::eq(t, &walk.rows)) {
            for (number, _) in &walk.differing {
                report.find(Finding::TileChanged { level: 0, number: *number });
            }
        } else {
            name_rows(walk, report);
        }
        if truth.is_none() && !walk.broken {
            report.find(Finding::RootWrong);
        }
        truth
    }

    /// What a `restored` entry says it came from is true, or it is named and accepts nothing.
    fn breaks(&self, walk: &mut Walk, report: &mut TenantReport) -> Result<(), Error> {
        let tenant = self.tenant;
        for (part, said) in std::mem::take(&mut walk.breaks) {
            let (size, root) = said.from;
            let true_root = self.store.read_blocking(move |tx| {
                Ok::<_, sealpost_store::Error>(crate::proof::root_at(tx, tenant, size))
            })?;
            if size <= part.position && (walk.broken || true_root == Some(root)) {
                report.lost.push(part.clone());
                walk.breaks.push((part, said));
            } else {
                report.find(Finding::RestoredWrong { position: part.position, id: part.id });
            }
        }
        Ok(())
    }

    fn anchors(&self, row: &TreeRow, walk: &Walk, report: &mut TenantReport) {
        let public = Audit::signer(&self.keys).public();
        for (anchor, anchored) in &self.anchored {
            let (size, root) = (anchored.signed.size, anchored.signed.root);
            let ours = checkpoint::parse_verifier(&anchored.verifier) == Some(public);
            let here = |lane: &Lane| lane.at.get(&size) == Some(&root);
            let contained = walk.broken || here(&walk.stored) || here(&walk.rows);
            if ours && size <= row.size && contained {
                continue;
            }
            // The one break there may be: a restore said that exactly this was lost.
            if ours && walk.breaks.iter().any(|(_, said)| said.lost.contains(&(size, root))) {
                continue;
            }
            let anchor = anchor.clone();
            if size > row.size {
                report.find(Finding::Rollback { anchor, here: row.size, anchored: size });
            } else {
                report.find(Finding::OtherHistory { anchor, anchored: size });
            }
        }
    }

    /// Rows that say they are in the tree: as many as there are leaves, or the others are named.
    fn extra_rows(&self, row: &TreeRow, placed: u64, report: &mut TenantReport) -> Result<(), Error> {
        if placed <= row.size {
            return Ok(());
        }
        let tenant = self.tenant;
        let mut after = i64::MIN;
        loop {
            let page = self.store.read_blocking(move |tx| {
                tx.rows(&schema::PLACED, params![tenant, after], |r| Ok((r.int(0)?, r.int(1)?)))
            })?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = *last;
            let mut tiles: HashMap<i64, Option<TileRow>> = HashMap::new();
            for (id, position) in page {
                let number = position.div_euclid(WIDTH as i64);
                let tile = match tiles.entry(number) {
                    std::collections::hash_map::Entry::Occupied(e) => e.into_mut(),
                    std::collections::hash_map::Entry::Vacant(e) => {
                        let tile = u64::try_from(number)
                            .ok()
                            .map(|n| self.store.read_blocking(move |tx| tree::tile(tx, tenant, 0, n)));
                        e.insert(tile.transpose()?.flatten())
                    }
                };
                let there = tile.as_ref().and_then(|t| t.ids.get(position.rem_euclid(WIDTH as i64) as usize));
                if there != Some(&id) {
                    report.find(Finding::RowExtra { id });
                }
            }
        }
    }

    /// Rows that wait for the sequencer are ours; answers what they complete.
    fn pending_rows(&self, report: &mut TenantReport) -> Result<BTreeSet<i64>, Error> {
        let tenant = self.tenant;
        let rows = self.store.read_blocking(move |tx| {
            tx.rows(&schema::PENDING, params![tenant, 1000_i64], Placed::try_read)
        })?;
        let mut closes = BTreeSet::new();
        let oldest = rows.iter().flatten().map(|p| p.entry.time()).min();
        report.waiting = oldest.filter(|at| self.now.is_some_and(|now| at.plus(LATE) < now));
        for row in rows {
            match row {
                Ok(Placed { entry, .. }) if authentic(&self.keys, &entry) => {
                    closes.insert(entry.closes);
                }
                Ok(Placed { entry: Entry { id, .. }, .. }) | Err(id) => {
                    report.find(Finding::RowForged { position: None, id });
                }
            }
        }
        Ok(closes)
    }

    /// An act that began has an end, or is in the list of those that have none yet.
    fn open_acts(
        &self,
        walk: &Walk,
        pending: &BTreeSet<i64>,
        report: &mut TenantReport,
    ) -> Result<(), Error> {
        let mut open: Vec<_> = walk.open.iter().map(|(id, position)| (*id, *position)).collect();
        open.sort_unstable();
        for (id, position) in open {
            let listed = self.store.read_blocking(move |tx| tx.exists(&schema::IS_OPEN, params![id]))?;
            if listed {
                report.open += 1;
            } else if !pending.contains(&id) {
                report.find(Finding::CompletionMissing { position, id });
            }
        }
        Ok(())
    }
}

/// Rows whose hashes are not the stored ones.
fn name_rows(walk: &Walk, report: &mut TenantReport) {
    for (position, id) in walk.differing.iter().flat_map(|(_, rows)| rows) {
        report.find(Finding::RowChanged { position: *position, id: *id });
    }
}

impl Lane {
    fn push(&mut self, leaf: Hash) {
        self.frontier.push(leaf);
        self.tile.extend_from_slice(&leaf.0);
        if self.tile.len() == WIDTH * HASH_SIZE {
            let full = std::mem::take(&mut self.tile);
            self.lift(full);
        }
    }

    /// Hands a full tile's hash to the level above.
    fn lift(&mut self, mut full: Vec<u8>) {
        for level in 0.. {
            if self.above.len() <= level {
                self.above.push(Vec::new());
            }
            let above = &mut self.above[level];
            above.extend_from_slice(&Tile::subtree_hash(&full).0);
            if !above.len().is_multiple_of(WIDTH * HASH_SIZE) {
                return;
            }
            full = above[above.len() - WIDTH * HASH_SIZE..].to_vec();
        }
    }
}

impl TenantReport {
    fn new(tenant: TenantId) -> Self {
        Self {
            tenant,
            size: 0,
            root: String::new(),
            origin: String::new(),
            newest: None,
            pending: 0,
            open: 0,
            retired: 0,
            lost: Vec::new(),
            silences: Vec::new(),
            waiting: None,
            findings: Vec::new(),
            more: 0,
        }
    }

    fn find(&mut self, finding: Finding) {
        if self.findings.len() < MOST {
            self.findings.push(finding);
        } else {
            self.more += 1;
        }
    }
}

fn hash(bytes: &[u8]) -> Hash {
    let mut hash = Hash::default();
    hash.0.copy_from_slice(bytes);
    hash
}

const MOST: usize = 1000;
/// The sequencer is at most a second late.
const LATE: Duration = Duration::from_secs(60);
