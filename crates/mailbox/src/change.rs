//! Changes to messages that are there: flags, copies, moves, removals.
//!
//! Each runs in pieces of [`CHUNK`] messages, a transaction and a MODSEQ each, so that one person's 50,000 messages
//! hold nobody up. Messages that are gone are passed over: another program of the same owner removed them.

use std::sync::Arc;

use std::collections::HashSet;

use sealpost_audit::{Entry as AuditEntry, Verb};
use sealpost_crypto::Aad;
use sealpost_model::{AccountId, EntryId, Flags, FolderId, Id};
use sealpost_store::{Scope, Topic, Tx, params};

use crate::account::AccountFacts;
use crate::append::{insert_content, place_entry};
use crate::content::{self, Sealed, open_key, open_summary};
use crate::folder::{may_write, narrow};
use crate::view::{Entry, entry};
use crate::{Caller, Error, Mailboxes, schema};

/// Messages a transaction changes at most.
pub(crate) const CHUNK: usize = 500;

/// What to do with flags (RFC 9051 section 6.4.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FlagOp {
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
    /// `FLAGS`
    Replace,
}

impl FlagOp {
    /// The flags after the operation. The server's own facts stay as they are.
    fn apply(self, before: Flags, flags: Flags) -> Flags {
        let flags = flags.without(Flags::FACTS);
        match self {
            Self::Add => before.with(flags),
            Self::Remove => before.without(flags),
            Self::Replace => Flags::from_bits(before.bits() & Flags::FACTS.bits()).with(flags),
        }
    }
}

/// What a chunk did to its folder's counters.
#[derive(Default)]
struct Count {
    messages: i64,
    unseen: i64,
    bytes: i64,
}

impl Mailboxes {
    /// Changes flags of messages, by UID. Returns those that are there, as they are now. With `unchanged_since`, messages
    /// that changed after that MODSEQ are left alone and left out (RFC 7162 section 3.1.3).
    ///
    /// # Errors
    /// [`Error::Denied`], and the store's and the log's.
    pub async fn store_flags(
        &self,
        caller: &Caller,
        folder: FolderId,
        uids: &[u32],
        op: FlagOp,
        flags: Flags,
        unchanged_since: Option<i64>,
    ) -> Result<Vec<Entry>, Error> {
        may_write(caller)?;
        let facts = self.facts(caller.access.target()).await?;
        let account = facts.id;
        let mut out = Vec::with_capacity(uids.len());
        for chunk in uids.chunks(CHUNK) {
            let (uids, facts) = (chunk.to_vec(), Arc::clone(&facts));
            let audit = self.change_entry(caller, Verb::Flag, folder, chunk).await?;
            let changed = self
                .inner
                .store
                .write(scope(account, uids.len()), move |tx| {
                    let modseq = next_modseq(tx, account)?;
                    let mut kept = Vec::with_capacity(uids.len());
                    let mut count = Count::default();
                    for uid in &uids {
                        let Some(mut e) = find(tx, folder, *uid)? else { continue };
                        if unchanged_since.is_some_and(|since| e.modseq > since) {
                            continue;
                        }
                        let after = op.apply(e.flags, flags);
                        if after != e.flags {
                            count.unseen += unseen(after) - unseen(e.flags);
                            e = Entry { flags: after, modseq, ..e };
                            let mac = facts.entry_mac(folder, &e);
                            tx.execute(
                                &schema::SET_FLAGS,
                                params![folder, i64::from(*uid), after, modseq, mac],
                            )?;
                        }
                        kept.push(e);
                    }
                    touch(tx, account, folder, modseq, &count)?;
                    sealpost_audit::insert(tx, &audit)?;
                    Ok::<_, Error>(kept)
                })
                .await?;
            out.extend(changed);
        }
        Ok(out)
    }

    /// Copies messages, by UID. Returns pairs of old and new UID, and the target's UIDVALIDITY (RFC 4315).
    ///
    /// # Errors
    /// [`Error::NoFolder`], [`Error::OverQuota`], [`Error::Corrupt`], and the store's and the log's.
    pub async fn copy(
        &self,
        caller: &Caller,
        from: FolderId,
        uids: &[u32],
        to: FolderId,
    ) -> Result<(u32, Vec<(u32, u32)>), Error> {
        may_write(caller)?;
        let facts = self.facts(caller.access.target()).await?;
        let account = facts.id;
        let validity = self.folder(caller, to).await?.uidvalidity;
        let mut pairs = Vec::with_capacity(uids.len());
        for chunk in uids.chunks(CHUNK) {
            let wanted = chunk.to_vec();
            let found: Vec<Entry> = self
                .inner
                .store
                .read(move |tx| {
                    let mut found = Vec::with_capacity(wanted.len());
                    for uid in &wanted {
                        found.extend(tx.row(&schema::ENTRY, params![from, i64::from(*uid)], entry)?);
                    }
                    Ok::<_, Error>(found)
                })
                .await?;
            let ids: Vec<EntryId> = found.iter().map(|e| e.id).collect();
            let sealed = self.sealed(&facts, &ids).await?;
            // In the order asked for, without those that were removed since.
            let mut found = found.into_iter();
            let mut rows: Vec<(Entry, EntryId, Sealed)> = Vec::with_capacity(sealed.len());
            for (id, row) in sealed {
                let Some(e) = found.find(|e| e.id == id) else { continue };
                let copy: EntryId = self.inner.store.id();
                rows.push((e, copy, self.reseal(&facts, id, &row, copy)?));
            }
            let audit = self.audit_entry(caller, Verb::Copy, rows.iter().map(|(_, copy, _)| *copy)).await?;
            let facts = Arc::clone(&facts);
            let done = self
                .inner
                .store
                .write(scope(account, rows.len()), move |tx| {
                    let bytes: i64 = rows.iter().map(|(e, ..)| i64::from(e.size)).sum();
                    let modseq = grow(tx, account, bytes)?;
                    let unseen: i64 = rows.iter().map(|(e, ..)| unseen(e.flags)).sum();
                    let n = i64::try_from(rows.len()).unwrap_or(i64::MAX);
                    let first = take_uids(tx, account, to, n, modseq, unseen)?;
                    let mut pairs = Vec::with_capacity(rows.len());
                    for (uid, (e, copy, row)) in (first..).zip(&rows) {
                        let placed = Entry { id: *copy, uid: narrow(uid), modseq, ..*e };
                        place_entry(tx, &facts, to, &placed)?;
                        insert_content(tx, *copy, account, row)?;
                        pairs.push((e.uid, narrow(uid)));
                    }
                    sealpost_audit::insert(tx, &audit)?;
                    tx.after_commit(Topic::Account(account));
                    Ok::<_, Error>(pairs)
                })
                .await?;
            pairs.extend(done);
        }
        Ok((validity, pairs))
    }

    /// Moves messages, by UID (RFC 6851). They keep their ids and their sealed content.
    ///
    /// # Errors
    /// [`Error::NoFolder`], and the store's and the log's.
    pub async fn move_(
        &self,
        caller: &Caller,
        from: FolderId,
        uids: &[u32],
        to: FolderId,
    ) -> Result<(u32, Vec<(u32, u32)>), Error> {
        may_write(caller)?;
        let facts = self.facts(caller.access.target()).await?;
        let account = facts.id;
        let validity = self.folder(caller, to).await?.uidvalidity;
        let mut pairs = Vec::with_capacity(uids.len());
        for chunk in uids.chunks(CHUNK) {
            let (uids, facts) = (chunk.to_vec(), Arc::clone(&facts));
            let audit = self.change_entry(caller, Verb::Move, from, chunk).await?;
            let done = self
                .inner
                .store
                .write(scope(account, uids.len()), move |tx| {
                    let modseq = next_modseq(tx, account)?;
                    let mut moved = Vec::with_capacity(uids.len());
                    let mut count = Count::default();
                    for uid in &uids {
                        let Some(e) = find(tx, from, *uid)? else { continue };
                        remove(tx, from, &e, modseq, &mut count)?;
                        moved.push(e);
                    }
                    touch(tx, account, from, modseq, &count)?;
                    let n = i64::try_from(moved.len()).unwrap_or(i64::MAX);
                    let first = take_uids(tx, account, to, n, modseq, -count.unseen)?;
                    let mut pairs = Vec::with_capacity(moved.len());
                    for (uid, e) in (first..).zip(&moved) {
                        let placed = Entry { uid: narrow(uid), modseq, ..*e };
                        place_entry(tx, &facts, to, &placed)?;
                        pairs.push((e.uid, narrow(uid)));
                    }
                    sealpost_audit::insert(tx, &audit)?;
                    Ok::<_, Error>(pairs)
                })
                .await?;
            pairs.extend(done);
        }
        Ok((validity, pairs))
    }

    /// Removes messages for good: all that carry `\Deleted`, or those of `uids` that do. Returns the UIDs that went.
    ///
    /// # Errors
    /// [`Error::Denied`], and the store's and the log's.
    pub async fn expunge(
        &self,
        caller: &Caller,
        folder: FolderId,
        uids: Option<&[u32]>,
    ) -> Result<Vec<u32>, Error> {
        let wanted: Option<HashSet<u32>> = uids.map(|uids| uids.iter().copied().collect());
        let doomed = self.open(caller, folder).await?.entries.into_iter().filter(|e| {
            e.flags.contains(Flags::DELETED) && wanted.as_ref().is_none_or(|uids| uids.contains(&e.uid))
        });
        let doomed: Vec<u32> = doomed.map(|e| e.uid).collect();
        self.remove_all(caller, folder, &doomed, true).await
    }

    /// Removes messages by UID, whatever their flags: POP3's DELE, a page's delete button.
    ///
    /// # Errors
    /// [`Error::Denied`], and the store's and the log's.
    pub async fn delete(&self, caller: &Caller, folder: FolderId, uids: &[u32]) -> Result<Vec<u32>, Error> {
        self.remove_all(caller, folder, uids, false).await
    }

    /// Empties a folder.
    pub(crate) async fn expunge_all(&self, caller: &Caller, folder: FolderId) -> Result<(), Error> {
        let all: Vec<u32> = self.open(caller, folder).await?.entries.iter().map(|e| e.uid).collect();
        self.remove_all(caller, folder, &all, false).await.map(drop)
    }

    async fn remove_all(
        &self,
        caller: &Caller,
        folder: FolderId,
        uids: &[u32],
        only_deleted: bool,
    ) -> Result<Vec<u32>, Error> {
        may_write(caller)?;
        let account = caller.access.target();
        let mut out = Vec::with_capacity(uids.len());
        for chunk in uids.chunks(CHUNK) {
            let uids = chunk.to_vec();
            let audit = self.change_entry(caller, Verb::Expunge, folder, chunk).await?;
            let gone = self
                .inner
                .store
                .write(scope(account, uids.len()), move |tx| {
                    let modseq = next_modseq(tx, account)?;
                    let mut gone = Vec::with_capacity(uids.len());
                    let mut count = Count::default();
                    for uid in &uids {
                        let Some(e) = find(tx, folder, *uid)? else { continue };
                        if only_deleted && !e.flags.contains(Flags::DELETED) {
                            continue;
                        }
                        remove(tx, folder, &e, modseq, &mut count)?;
                        count.bytes -= i64::from(e.size);
                        tx.execute(&schema::DELETE_CONTENT, params![e.id, account])?;
                        gone.push(*uid);
                    }
                    touch(tx, account, folder, modseq, &count)?;
                    sealpost_audit::insert(tx, &audit)?;
                    Ok::<_, Error>(gone)
                })
                .await?;
            out.extend(gone);
        }
        out.sort_unstable();
        Ok(out)
    }

    /// The account's keywords with their bits.
    ///
    /// # Errors
    /// [`Error::Corrupt`] and the store's.
    pub async fn keywords(&self, caller: &Caller) -> Result<Vec<(u32, String)>, Error> {
        let facts = self.facts(caller.access.target()).await?;
        let account = facts.id;
        let rows = self
            .inner
            .store
            .read(move |tx| {
                tx.rows(&schema::KEYWORDS, params![account], |r| Ok((r.int(0)?, r.bytes(1)?.to_vec())))
            })
            .await?;
        rows.into_iter()
            .map(|(bit, sealed)| {
                let name = facts
                    .key
                    .open(&keyword_aad(&facts, bit), &sealed)
                    .map_err(|_| Error::Corrupt { what: "keyword", id: account.raw() })?;
                Ok((narrow(bit), String::from_utf8_lossy(&name).into_owned()))
            })
            .collect()
    }

    /// The bit of a keyword, which is made when it is new. Keywords are compared without letters' case.
    ///
    /// # Errors
    /// [`Error::Keywords`] when all 55 are taken, [`Error::Name`], and the store's.
    pub async fn keyword(&self, caller: &Caller, name: &str) -> Result<u32, Error> {
        may_write(caller)?;
        let atom = |b: u8| b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b);
        if name.is_empty() || name.len() > 100 || !name.bytes().all(atom) {
            return Err(Error::Name("a keyword is up to 100 letters, digits and signs"));
        }
        let facts = self.facts(caller.access.target()).await?;
        let account = facts.id;
        let index = keyword_index(&facts, name);
        // Which bit it gets is known only inside: it is sealed for each in turn until one fits.
        let bits = Flags::FIRST_KEYWORD..=Flags::LAST_KEYWORD;
        let sealed: Vec<(u32, Vec<u8>)> = bits
            .map(|bit| {
                let aad = keyword_aad(&facts, i64::from(bit));
                (bit, facts.key.seal(&self.inner.random, &aad, name.as_bytes()))
            })
            .collect();
        let known = self
            .inner
            .store
            .read(move |tx| tx.row(&schema::KEYWORD, params![account, &index], |r| r.int(0)))
            .await?;
        if let Some(bit) = known {
            return Ok(narrow(bit));
        }
        let audit = self.audit_entry(caller, Verb::Keyword, [account]).await?;
        self.inner
            .store
            .write(Scope::account(account), move |tx| {
                if let Some(bit) = tx.row(&schema::KEYWORD, params![account, &index], |r| r.int(0))? {
                    return Ok(narrow(bit));
                }
                let last = tx.row(&schema::KEYWORD_LAST, params![account], |r| r.opt_int(0))?.flatten();
                let next = last.map_or(Flags::FIRST_KEYWORD, |bit| narrow(bit) + 1);
                let (bit, name) = sealed.iter().find(|(bit, _)| *bit == next).ok_or(Error::Keywords)?;
                tx.execute(&schema::INSERT_KEYWORD, params![account, i64::from(*bit), &index, name])?;
                sealpost_audit::insert(tx, &audit)?;
                Ok(*bit)
            })
            .await
    }

    fn reseal(
        &self,
        facts: &AccountFacts,
        id: EntryId,
        row: &Sealed,
        copy: EntryId,
    ) -> Result<Sealed, Error> {
        let key = open_key(facts, id, row)?;
        let summary = open_summary(facts, id, row)?.encode()?;
        Ok(content::seal(self, facts, copy, row.blob, &key, &summary))
    }

    /// The audit entry of a change that names messages by folder and UID.
    async fn change_entry(
        &self,
        caller: &Caller,
        verb: Verb,
        folder: FolderId,
        uids: &[u32],
    ) -> Result<AuditEntry, Error> {
        let account = caller.access.target();
        let tenant = self.facts(account).await?.tenant;
        let mut draft = self
            .inner
            .audit
            .draft(tenant, &caller.access.actor(), &caller.client, verb)
            .owner(account)
            .object(folder);
        for uid in uids {
            draft = draft.object(i64::from(*uid));
        }
        Ok(self.inner.audit.seal(draft).await?)
    }
}

/// Many rows go behind delivery.
fn scope(account: AccountId, rows: usize) -> Scope {
    const FEW: usize = 50;
    if rows > FEW { Scope::account(account).in_bulk() } else { Scope::account(account) }
}

fn find(tx: &Tx, folder: FolderId, uid: u32) -> Result<Option<Entry>, sealpost_store::Error> {
    tx.row(&schema::ENTRY, params![folder, i64::from(uid)], entry)
}

const fn unseen(flags: Flags) -> i64 {
    !flags.contains(Flags::SEEN) as i64
}

fn next_modseq(tx: &mut Tx, account: AccountId) -> Result<i64, Error> {
    tx.row(&schema::NEXT_MODSEQ, params![account], |r| r.int(0))?.ok_or(Error::NoFolder)
}

fn grow(tx: &mut Tx, account: AccountId, bytes: i64) -> Result<i64, Error> {
    let (modseq, used, quota) = tx
        .row(&schema::NEXT_MODSEQ_GROW, params![account, bytes], |r| Ok((r.int(0)?, r.int(1)?, r.int(2)?)))?
        .ok_or(Error::NoFolder)?;
    if bytes > 0 && used > quota { Err(Error::OverQuota) } else { Ok(modseq) }
}

/// Takes `n` UIDs of a folder and returns the first.
fn take_uids(
    tx: &mut Tx,
    account: AccountId,
    folder: FolderId,
    n: i64,
    modseq: i64,
    unseen: i64,
) -> Result<i64, Error> {
    let next = tx
        .row(&schema::TAKE_UIDS, params![account, folder, n, modseq, unseen], |r| r.int(0))?
        .ok_or(Error::NoFolder)?;
    Ok(next - n)
}

fn remove(
    tx: &mut Tx,
    folder: FolderId,
    e: &Entry,
    modseq: i64,
    count: &mut Count,
) -> Result<(), sealpost_store::Error> {
    let uid = i64::from(e.uid);
    tx.execute(&schema::DELETE_ENTRY, params![folder, uid])?;
    tx.execute(&schema::INSERT_VANISHED, params![folder, modseq, uid])?;
    count.messages -= 1;
    count.unseen -= unseen(e.flags);
    Ok(())
}

fn touch(tx: &mut Tx, account: AccountId, folder: FolderId, modseq: i64, count: &Count) -> Result<(), Error> {
    let params = params![account, folder, modseq, count.messages, count.unseen];
    if tx.execute(&schema::TOUCH_FOLDER, params)? != 1 {
        return Err(Error::NoFolder);
    }
    if count.bytes != 0 {
        tx.execute(&schema::GROW, params![account, count.bytes])?;
    }
    tx.after_commit(Topic::Account(account));
    Ok(())
}

pub(crate) fn keyword_index(facts: &AccountFacts, name: &str) -> [u8; 16] {
    let id = facts.id.raw().to_be_bytes();
    facts.tenant_keys.blind("keyword.name", &[&id[..], name.to_ascii_lowercase().as_bytes()].concat())
}

pub(crate) fn keyword_aad(facts: &AccountFacts, bit: i64) -> Aad {
    Aad::new(facts.tenant, "keyword", facts.id.raw() ^ bit << 56, "name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_client_sets_or_clears_the_servers_facts() {
        let fact = Flags::SECURE_REPLY.with(Flags::SEEN);
        assert_eq!(FlagOp::Replace.apply(fact, Flags::NONE), Flags::SECURE_REPLY);
        assert_eq!(FlagOp::Remove.apply(fact, Flags::SECURE_REPLY), fact);
        assert_eq!(FlagOp::Add.apply(Flags::NONE, Flags::SECURE_REPLY), Flags::NONE);
        assert_eq!(FlagOp::Replace.apply(fact, Flags::SECURE_REPLY), Flags::SECURE_REPLY);
        assert_eq!(FlagOp::Add.apply(fact, Flags::DELETED), fact.with(Flags::DELETED));
    }
}
