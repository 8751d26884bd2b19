//! Proofs that others can check: that an entry is in a log (inclusion), and that a log only grew (consistency).
//!
//! Both are text in formats that others' tools read: an inclusion proof is a C2SP `tlog-proof`, whose `extra` line
//! holds the leaf's bytes; a consistency proof is the body of C2SP `tlog-witness`'s `add-checkpoint`. Neither discloses
//! more than the plain facts of the entry. Hashes are RFC 6962 section 2.1, checkpoints C2SP `tlog-checkpoint`.

use std::cell::RefCell;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sealpost_model::{AuditId, TenantId};
use sealpost_store::{ReadTx, params};
use tlog_tiles::{
    Hash, HashReader, check_record, check_tree, prove_record, prove_tree, record_hash, tree_hash,
};

use crate::checkpoint::{self, Signed};
use crate::entry::Placed;
use crate::restored_line::decimal;
use crate::sequence::tree_row;
use crate::tree::{self, Place};
use crate::{Audit, Error, schema};

/// That an entry stands at a position of a log.
#[derive(Clone, PartialEq, Debug)]
pub struct Proof {
    /// The entry's place, from 0.
    pub position: u64,
    /// The bytes that the leaf is the hash of: plain facts, hash of the sealed detail, commitment.
    pub leaf: Vec<u8>,
    /// The audit path (RFC 6962 section 2.1.1), from the leaf upwards.
    pub path: Vec<[u8; 32]>,
    /// The signed checkpoint.
    pub checkpoint: String,
}

/// That a log of one size is the beginning of the same log at another.
#[derive(Clone, PartialEq, Debug)]
pub struct Consistency {
    /// The smaller size.
    pub from: u64,
    /// The root at the smaller size. It is not part of the text: whoever checks has it from elsewhere.
    pub root: [u8; 32],
    /// The path (RFC 6962 section 2.1.2).
    pub path: Vec<[u8; 32]>,
    /// The signed checkpoint of the larger size.
    pub checkpoint: String,
}

/// Why a proof proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unproved {
    /// It is not written as one.
    #[error("this is not a proof, or a part of it is missing")]
    Form,
    /// The signature is not by this key.
    #[error("the checkpoint is not signed by this key")]
    Signature,
    /// The hashes don't lead from the entry to the signed root.
    #[error("the hashes don't lead to the signed root: this is not what was signed")]
    Path,
}

impl Audit {
    /// The proof that an entry is in its log; `None` while it is not sequenced, or when there is no such entry.
    ///
    /// # Errors
    /// The store's; [`Error::Damaged`] when the tree does not give the path.
    pub async fn prove(&self, tenant: TenantId, id: AuditId) -> Result<Option<Proof>, Error> {
        let found = self
            .inner
            .store
            .read(move |tx| {
                let Some(Ok(placed)) = tx.row(&schema::BY_ID, params![id], Placed::try_read)? else {
                    return Ok(None);
                };
                let position = placed.position.and_then(|p| u64::try_from(p).ok());
                let (Some(position), true) = (position, placed.entry.tenant() == tenant) else {
                    return Ok(None);
                };
                let Some(row) = tree_row(tx, tenant)? else { return Ok(None) };
                let path = prove_record(row.size, position, &Stored::new(tx, tenant)).ok();
                Ok::<_, sealpost_store::Error>(Some((position, placed.entry.leaf_data(), path, row.note)))
            })
            .await?;
        let Some((position, leaf, path, checkpoint)) = found else { return Ok(None) };
        let path = path.ok_or(Error::Damaged { tenant, why: "hashes of its tree are missing" })?;
        let proof = Proof { position, leaf, path: path.iter().map(|h| h.0).collect(), checkpoint };
        let public = self.public_key(tenant).await?;
        // A proof that fails is evidence of damage, and helps nobody whom it is given to.
        proof.verify(&public).map_err(|_| Error::Damaged {
            tenant,
            why: "the entry is not the one that was put into its tree",
        })?;
        Ok(Some(proof))
    }

    /// The proof that the log of `from` entries is the beginning of the one of `to` entries, by default the newest
    /// checkpoint's. `None` when the log is not that long, or `from` is 0 or larger than `to`.
    ///
    /// # Errors
    /// The store's; [`Error::Damaged`].
    pub async fn consistency(
        &self,
        tenant: TenantId,
        from: u64,
        to: Option<u64>,
    ) -> Result<Option<Consistency>, Error> {
        let found = self
            .inner
            .store
            .read(move |tx| {
                let Some(row) = tree_row(tx, tenant)? else { return Ok(None) };
                let to = to.unwrap_or(row.size);
                if from == 0 || from > to || to > row.size {
                    return Ok(None);
                }
                let stored = Stored::new(tx, tenant);
                let path = prove_tree(to, from, &stored).ok();
                let roots = (tree_hash(from, &stored).ok(), tree_hash(to, &stored).ok());
                Ok::<_, sealpost_store::Error>(Some((to, path, roots, row)))
            })
            .await?;
        let Some((to, path, (Some(root), Some(end)), row)) = found else {
            return match found {
                None => Ok(None),
                Some(_) => Err(Error::Damaged { tenant, why: "hashes of its tree are missing" }),
            };
        };
        let path = path.ok_or(Error::Damaged { tenant, why: "hashes of its tree are missing" })?;
        let keys = self.inner.keys.tenant(tenant).await?;
        let checkpoint = if to == row.size {
            row.note
        } else {
            checkpoint::sign(&Self::signer(&keys), &row.origin, to, end).note
        };
        let path = path.iter().map(|h| h.0).collect();
        Ok(Some(Consistency { from, root: root.0, path, checkpoint }))
    }

    /// The newest checkpoint of each log, signed.
    ///
    /// # Errors
    /// The store's.
    pub async fn checkpoints(&self) -> Result<Vec<(TenantId, String)>, Error> {
        let (mut all, mut after) = (Vec::new(), i64::MIN);
        loop {
            let page = self
                .inner
                .store
                .read(move |tx| tx.rows(&schema::NOTES, params![after], |r| Ok((r.int(0)?, r.text(1)?))))
                .await?;
            let Some((last, _)) = page.last() else { return Ok(all) };
            after = *last;
            all.extend(
                page.into_iter().map(|(t, note)| (<TenantId as sealpost_model::Id>::from_raw(t), note)),
            );
        }
    }

    /// The key that verifies a log's checkpoints, as signed-note writes it: `origin+id+key`. `None` before the log's
    /// first entry is sequenced.
    ///
    /// # Errors
    /// The store's and the keys'.
    pub async fn verifier(&self, tenant: TenantId) -> Result<Option<String>, Error> {
        let row = self.inner.store.read(move |tx| tree_row(tx, tenant)).await?;
        let public = self.public_key(tenant).await?;
        Ok(row.map(|row| checkpoint::verifier(&row.origin, &public)))
    }

    pub(crate) async fn public_key(&self, tenant: TenantId) -> Result<[u8; 32], Error> {
        Ok(Self::signer(&*self.inner.keys.tenant(tenant).await?).public())
    }
}

impl Proof {
    /// Checks it against the log's public key.
    ///
    /// # Errors
    /// Why it proves nothing.
    pub fn verify(&self, public: &[u8; 32]) -> Result<(), Unproved> {
        let signed = checkpoint::verify(public, &self.checkpoint).ok_or(Unproved::Signature)?;
        let Signed { size, root, .. } = signed;
        let path = self.path.iter().map(|h| Hash(*h)).collect();
        check_record(&path, size, root, self.position, record_hash(&self.leaf)).map_err(|_| Unproved::Path)
    }

    /// As a C2SP `tlog-proof`.
    pub fn to_text(&self) -> String {
        let (extra, path) = (BASE64_STANDARD.encode(&self.leaf), lines(&self.path));
        format!("{PROOF}\nextra {extra}\nindex {}\n{path}\n{}", self.position, self.checkpoint)
    }

    /// Reads a C2SP `tlog-proof`.
    ///
    /// # Errors
    /// [`Unproved::Form`].
    pub fn from_text(text: &str) -> Result<Self, Unproved> {
        let (head, checkpoint) = text.split_once("\n\n").ok_or(Unproved::Form)?;
        let mut head = head.split('\n');
        if head.next() != Some(PROOF) {
            return Err(Unproved::Form);
        }
        let leaf =
            head.next().and_then(|l| l.strip_prefix("extra ")).and_then(decode).ok_or(Unproved::Form)?;
        let position = head.next().and_then(|l| l.strip_prefix("index ")).and_then(decimal);
        let path = head.map(hash).collect::<Option<_>>().ok_or(Unproved::Form)?;
        let position = position.ok_or(Unproved::Form)?;
        Ok(Self { position, leaf, path, checkpoint: checkpoint.into() })
    }
}

impl Consistency {
    /// Checks it against the log's public key and the root that is known of the smaller size.
    ///
    /// # Errors
    /// Why it proves nothing.
    pub fn verify(&self, public: &[u8; 32], root: &[u8; 32]) -> Result<(), Unproved> {
        let signed = checkpoint::verify(public, &self.checkpoint).ok_or(Unproved::Signature)?;
        let path = self.path.iter().map(|h| Hash(*h)).collect();
        check_tree(&path, signed.size, signed.root, self.from, Hash(*root)).map_err(|_| Unproved::Path)
    }

    /// As the body of C2SP `tlog-witness`'s `add-checkpoint`.
    pub fn to_text(&self) -> String {
        format!("old {}\n{}\n{}", self.from, lines(&self.path), self.checkpoint)
    }

    /// Reads that; the root of the smaller size comes from elsewhere and stays empty.
    ///
    /// # Errors
    /// [`Unproved::Form`].
    pub fn from_text(text: &str) -> Result<Self, Unproved> {
        let (head, checkpoint) = text.split_once("\n\n").ok_or(Unproved::Form)?;
        let mut head = head.split('\n');
        let from =
            head.next().and_then(|l| l.strip_prefix("old ")).and_then(decimal).ok_or(Unproved::Form)?;
        let path = head.map(hash).collect::<Option<_>>().ok_or(Unproved::Form)?;
        Ok(Self { from, root: [0; 32], path, checkpoint: checkpoint.into() })
    }
}

fn lines(path: &[[u8; 32]]) -> String {
    path.iter().map(|h| BASE64_STANDARD.encode(h) + "\n").collect()
}

fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(text).ok()
}

fn hash(text: &str) -> Option<[u8; 32]> {
    decode(text)?.try_into().ok()
}

const PROOF: &str = "c2sp.org/tlog-proof@v1";

/// The tree as its tiles stand in the store.
pub(crate) struct Stored<'a> {
    tx: &'a ReadTx,
    tenant: TenantId,
    tiles: RefCell<BTreeMap<Place, Option<Vec<u8>>>>,
}

impl<'a> Stored<'a> {
    pub(crate) fn new(tx: &'a ReadTx, tenant: TenantId) -> Self {
        Self { tx, tenant, tiles: RefCell::default() }
    }
}

impl HashReader for Stored<'_> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        tree::read_hashes(indexes, |place| {
            let mut tiles = self.tiles.borrow_mut();
            tiles
                .entry(place)
                .or_insert_with(|| {
                    tree::tile(self.tx, self.tenant, place.0, place.1).ok().flatten().map(|t| t.hashes)
                })
                .clone()
        })
    }
}

/// The root that the tree had at an earlier size, from its tiles; `None` if they don't give one.
pub(crate) fn root_at(tx: &ReadTx, tenant: TenantId, size: u64) -> Option<Hash> {
    tree_hash(size, &Stored::new(tx, tenant)).ok()
}
