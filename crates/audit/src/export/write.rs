//! Writes an export, a tile's worth of entries at a time: memory does not grow with the log.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sealpost_crypto::Sha256;
use sealpost_model::{TenantId, Time};
use sealpost_policy::{Command, Roles, decide};
use sealpost_store::keys::TenantKeys;
use sealpost_store::{ReadTx, params};
use tlog_tiles::{Hash, HashReader, prove_tree, stored_hash_index};

use super::{AnchoredLine, End, EntryLine, FORMAT, Header, Int, Opened, Trailer, client_words, end_text};
use crate::anchor::Anchored;
use crate::checkpoint;
use crate::detail::Detail;
use crate::entry::Placed;
use crate::open::{Completion, Open};
use crate::proof::{Stored, root_at};
use crate::sequence::tree_row;
use crate::spine::subtrees;
use crate::tree::{self, WIDTH};
use crate::{Audit, Caller, Draft, Error, Outcome, Verb, schema, words};

/// Which part of a log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Part {
    /// The first position; the log's beginning by default.
    pub from: Option<u64>,
    /// The position behind the last; the newest checkpoint's by default.
    pub to: Option<u64>,
    /// Not before this time, but for a minute more: entries of reads come a little late.
    pub since: Option<Time>,
    /// Before this time, and a minute more.
    pub until: Option<Time>,
    /// With opened details.
    pub opened: bool,
}

/// An export under way.
pub struct Export {
    audit: Audit,
    keys: Arc<TenantKeys>,
    header: Header,
    origin: String,
    tenant: TenantId,
    next: u64,
    entries: u64,
    hash: Sha256,
    stage: Stage,
    open: Option<Open>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Header,
    Entries,
    Done,
}

impl Audit {
    /// Begins an export: the entry that says so is committed before anything is read. `None` when the part holds nothing.
    ///
    /// # Errors
    /// [`Error::Denied`], which is an entry too; the store's; [`Error::Damaged`] when the tree lacks hashes.
    pub async fn export(
        &self,
        caller: &Caller,
        roles: Roles,
        tenant: TenantId,
        part: &Part,
    ) -> Result<Option<Export>, Error> {
        let draft = Draft::new(tenant, &caller.actor, &caller.client, Verb::Export).object(tenant);
        let draft = draft.detail(format!("audit log, {part:?}"));
        let command = if part.opened { Command::AuditExportOpened } else { Command::AuditExport };
        if let Err(denied) = decide::command(roles, command) {
            self.refusal(draft.refused().reason(denied.reason.name())).await?;
            return Err(denied.into());
        }
        // What just happened belongs to it. If that fails, the log is exported as it stands.
        if let Err(error) = self.pass().await {
            tracing::error!(%error, "entries of the audit log wait to be sequenced");
        }
        let open =
            self.open(draft.reason(if part.opened { "with-details" } else { "without-details" })).await?;
        match self.prepare(tenant, part).await {
            Ok(Some((header, origin))) => {
                let keys = self.inner.keys.tenant(tenant).await?;
                let (next, audit) = (header.from, self.clone());
                let (hash, stage) = (Sha256::new(), Stage::Header);
                let open = Some(open);
                Ok(Some(Export { audit, keys, header, origin, tenant, next, entries: 0, hash, stage, open }))
            }
            Ok(None) => {
                open.complete(Completion::from(Outcome::Done).reason("nothing-there")).await?;
                Ok(None)
            }
            Err(error) => {
                open.complete(Completion::from(Outcome::Failed).detail(error.to_string())).await?;
                Err(error)
            }
        }
    }

    async fn prepare(&self, tenant: TenantId, part: &Part) -> Result<Option<(Header, String)>, Error> {
        let damaged = |why| Error::Damaged { tenant, why };
        let Some(row) = self.inner.store.read(move |tx| tree_row(tx, tenant)).await? else { return Ok(None) };
        let public = self.public_key(tenant).await?;
        let signed = checkpoint::verify(&public, &row.note)
            .ok_or_else(|| damaged("the signature of its checkpoint is wrong"))?;
        let size = signed.size;
        let mut from = part.from.unwrap_or(0);
        let mut to = part.to.unwrap_or(size).min(size);
        if let Some(since) = part.since {
            from = from.max(self.position_at(tenant, size, since.minus(SLACK)).await?);
        }
        if let Some(until) = part.until {
            to = to.min(self.position_at(tenant, size, until.plus(SLACK)).await?);
        }
        if from >= to {
            return Ok(None);
        }
        let mut known: Vec<(String, Anchored)> = Vec::new();
        for anchor in &self.inner.anchors {
            known.extend(anchor.of(tenant).into_iter().map(|a| (anchor.name(), a)));
        }
        let read = move |tx: &ReadTx| {
            let stored = Stored::new(tx, tenant);
            let hashes = |start, end| {
                let indexes: Vec<u64> =
                    subtrees(start, end).into_iter().map(|(level, n)| stored_hash_index(level, n)).collect();
                let hashes = stored.read_hashes(&indexes).ok()?;
                Some(hashes.iter().map(|h| BASE64_STANDARD.encode(h.0)).collect::<Vec<_>>())
            };
            let anchored = known.iter().filter(|(_, a)| a.signed.size > 0).map(|(name, a)| {
                let contained =
                    a.signed.size <= size && root_at(tx, tenant, a.signed.size) == Some(a.signed.root);
                let path = contained.then(|| prove_tree(size, a.signed.size, &stored).ok()).flatten();
                AnchoredLine {
                    anchor: name.clone(),
                    checkpoint: a.signed.note.clone(),
                    lost: path.is_none(),
                    path: path.unwrap_or_default().iter().map(|h| BASE64_STANDARD.encode(h.0)).collect(),
                }
            });
            let anchored: Vec<_> = anchored.collect();
            Ok::<_, sealpost_store::Error>((hashes(0, from), hashes(to, size), anchored))
        };
        let (left, right, anchored) = self.inner.store.read(read).await?;
        let missing = || damaged("hashes of its tree are missing");
        let header = Header {
            format: FORMAT.into(),
            tenant: Int(sealpost_model::Id::raw(tenant)),
            made: self.now().rfc3339(),
            from,
            to,
            opened: part.opened,
            key: checkpoint::verifier(&row.origin, &public),
            checkpoint: row.note,
            left: left.ok_or_else(missing)?,
            right: right.ok_or_else(missing)?,
            anchored,
        };
        Ok(Some((header, row.origin)))
    }

    /// The first position whose entry is not before `time`: entries stand in the order of their time, but for a moment.
    async fn position_at(&self, tenant: TenantId, size: u64, time: Time) -> Result<u64, Error> {
        let read = move |tx: &ReadTx| {
            let (mut low, mut high) = (0, size);
            while low < high {
                let middle = low + (high - low) / 2;
                let tile = tree::tile(tx, tenant, 0, middle / WIDTH as u64)?;
                let id = tile.and_then(|t| t.ids.get((middle % WIDTH as u64) as usize).copied());
                let row = match id {
                    Some(id) => tx.row(&schema::BY_ID, params![id], Placed::try_read)?,
                    None => None,
                };
                // A row that is gone is as old as its neighbour: `verify` names it.
                match row {
                    Some(Ok(placed)) if placed.entry.time() >= time => high = middle,
                    _ => low = middle + 1,
                }
            }
            Ok::<_, sealpost_store::Error>(low)
        };
        Ok(self.inner.store.read(read).await?)
    }
}

impl Export {
    /// Entries that it will hold.
    pub const fn len(&self) -> u64 {
        self.header.to - self.header.from
    }

    /// Never: an export of nothing is not begun.
    pub const fn is_empty(&self) -> bool {
        self.header.to == self.header.from
    }

    /// The next lines; `None` at the end. Whoever could not use them says so with [`Export::give_up`].
    ///
    /// # Errors
    /// The store's; [`Error::Damaged`] when an entry is missing or is not what its leaf says: an export that would not verify
    /// is not finished.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let lines = match self.stage {
            Stage::Header => {
                self.stage = Stage::Entries;
                line(&self.header)
            }
            Stage::Entries if self.next < self.header.to => self.tile().await?,
            Stage::Entries => {
                self.stage = Stage::Done;
                let end = End {
                    entries: self.entries,
                    sha256: BASE64_STANDARD.encode(std::mem::take(&mut self.hash).finish()),
                };
                let text = end_text(&self.origin, self.header.from, self.header.to, &end);
                let signed = checkpoint::sign_note(&Audit::signer(&self.keys), &self.origin, &text);
                return Ok(Some(line(&Trailer { end, signed })));
            }
            Stage::Done => {
                if let Some(open) = self.open.take() {
                    let said = format!("{} entries from position {}", self.entries, self.header.from);
                    open.complete(Completion::from(Outcome::Done).detail(said)).await?;
                }
                return Ok(None);
            }
        };
        self.hash.update(&lines);
        Ok(Some(lines))
    }

    /// Ends an export that nobody takes, or that failed.
    ///
    /// # Errors
    /// The entry could not be written.
    pub async fn give_up(mut self, why: &'static str) -> Result<(), Error> {
        match self.open.take() {
            Some(open) => open.complete(Completion::from(Outcome::Failed).reason(why)).await.map(drop),
            None => Ok(()),
        }
    }

    /// The entries of one tile, as far as they belong to the part.
    async fn tile(&mut self) -> Result<Vec<u8>, Error> {
        let number = self.next / WIDTH as u64;
        let (tenant, first) = (self.tenant, self.next);
        let end = self.header.to.min((number + 1) * WIDTH as u64);
        let rows = self
            .audit
            .inner
            .store
            .read(move |tx| {
                let tile = tree::tile(tx, tenant, 0, number)?.unwrap_or_default();
                let mut rows = Vec::new();
                for position in first..end {
                    let at = (position % WIDTH as u64) as usize;
                    let row = match tile.ids.get(at) {
                        Some(id) => tx.row(&schema::BY_ID, params![*id], Placed::try_read)?,
                        None => None,
                    };
                    let hash = tile.hashes.chunks_exact(32).nth(at).map(<[u8]>::to_vec);
                    rows.push((row.and_then(Result::ok), hash));
                }
                Ok::<_, sealpost_store::Error>(rows)
            })
            .await?;
        let mut out = Vec::new();
        for (position, (row, hash)) in (first..).zip(rows) {
            let good = row.zip(hash).filter(|(placed, hash)| placed.entry.leaf().0[..] == hash[..]);
            let Some((placed, _)) = good else {
                tracing::error!(position, %tenant, "an audit entry is not what was put into its tree");
                return Err(Error::Damaged { tenant, why: "an entry is missing or was changed" });
            };
            out.extend_from_slice(&line(&self.entry(position, &placed)));
            self.entries += 1;
        }
        self.next = end;
        Ok(out)
    }

    fn entry(&self, position: u64, placed: &Placed) -> EntryLine {
        let e = &placed.entry;
        let Hash(leaf) = e.leaf();
        let plain = self.header.opened.then(|| self.keys.open(&e.aad(), &e.detail).ok()).flatten();
        let opened = plain.and_then(|plain| {
            let detail = Detail::parse(&plain)?;
            let client = client_words(detail.client.as_ref());
            Some(Opened { plain: BASE64_STANDARD.encode(plain), client, notes: detail.notes })
        });
        EntryLine {
            position,
            says: words::line(&e.numbers(), &e.reason, &e.objects),
            id: Int(e.id),
            tenant: Int(e.tenant),
            at: Int(e.at),
            verb: Int(e.verb),
            outcome: Int(e.outcome),
            protocol: Int(e.protocol),
            actor_kind: Int(e.actor_kind),
            actor_tenant: Int(e.actor_tenant),
            actor: Int(e.actor),
            owner: Int(e.owner),
            closes: Int(e.closes),
            reason: e.reason.clone(),
            objects: BASE64_STANDARD.encode(&e.objects),
            detail: BASE64_STANDARD.encode(&e.detail),
            commitment: BASE64_STANDARD.encode(&e.commitment),
            leaf: BASE64_STANDARD.encode(leaf),
            opened,
        }
    }
}

fn line(value: &impl serde::Serialize) -> Vec<u8> {
    let mut out = serde_json::to_vec(value).expect("plain data");
    out.push(b'\n');
    out
}

const SLACK: std::time::Duration = std::time::Duration::from_secs(60);
