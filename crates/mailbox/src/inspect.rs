//! Looking at every account, folder, entry, content and keyword: is each what was written, and does all agree?
//!
//! What has to agree is read in one snapshot, so that a server may be at work meanwhile.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sealpost_model::{AccountId, BlobId, EntryId, Flags, FolderId, Id, LifeKeyId, PersonId, TenantId};
use sealpost_store::{Error, Inspection, Row, params};

use crate::account::{AccountFacts, mac};
use crate::change::{keyword_aad, keyword_index};
use crate::content::{Sealed, open_key, open_summary};
use crate::folder::{FolderFacts, folder_index, name_aad, narrow};
use crate::view::entry;
use crate::{Entry, Special, schema};

/// Looks at all tables of this crate, and opens every body whole.
///
/// # Errors
/// What keeps it from looking; what is wrong is noted.
pub async fn inspect(look: &mut Inspection<'_>) -> Result<(), Error> {
    let accounts = accounts(look).await?;
    let mut seen = Vec::new();
    let mut used = HashMap::new();
    let mut folders = Vec::new();
    let mut specials = HashSet::new();
    let mut after = i64::MIN;
    while let Some((last, page)) = look.page("folder", &schema::ALL_FOLDERS, after, RawFolder::read).await? {
        after = last;
        for raw in page {
            folders.push(raw.id);
            let Some(facts) = accounts.get(&raw.account) else {
                let why = format!("it names account {}, which is missing or damaged", raw.account);
                look.fault("folder", raw.id, "account", why);
                continue;
            };
            raw.check(look, facts);
            specials.insert((raw.account, raw.facts.special));
            let flags = entries(look, facts, raw.id, &mut seen).await?;
            let so_far = used.get(&raw.account).copied().unwrap_or(Flags::NONE);
            used.insert(raw.account, flags.with(so_far));
            counters(look, raw.id).await?;
        }
    }
    // Nobody can delete the folders that every account begins with.
    for account in accounts.keys() {
        for (special, name) in Special::ALL {
            if !specials.contains(&(*account, special as i64)) {
                look.fault("folder", account, "", format!("{name}, which every account has, is missing"));
            }
        }
    }
    stray_entries(look, &folders).await?;
    seen.sort_unstable();
    stray_content(look, &seen).await?;
    for facts in accounts.values() {
        room(look, facts.id).await?;
        keywords(look, facts, used.get(&facts.id).copied().unwrap_or(Flags::NONE)).await?;
    }
    stray_keywords(look, &accounts).await
}

async fn accounts(look: &mut Inspection<'_>) -> Result<HashMap<AccountId, Arc<AccountFacts>>, Error> {
    let mut all = HashMap::new();
    let mut after = i64::MIN;
    while let Some((last, page)) = look.page("account", &schema::ALL_ACCOUNTS, after, account).await? {
        after = last;
        for (id, tenant, owner, life, inbox, quota, stored) in page {
            let Some(tenant_keys) = look.tenant(tenant, "account", id).await else { continue };
            if mac(&tenant_keys, id, owner, life, inbox, quota) != stored {
                look.fault("account", id, "mac", "a plain column is not what was written");
                continue;
            }
            let Some(key) = look.keys().ring().cipher(life) else {
                look.fault("account", id, "life", format!("the key ring has no life key {life}"));
                continue;
            };
            all.insert(id, Arc::new(AccountFacts { id, tenant, owner, inbox, key, tenant_keys }));
        }
    }
    Ok(all)
}

type Account = (AccountId, TenantId, Option<PersonId>, LifeKeyId, FolderId, i64, [u8; 16]);

fn account(r: &Row<'_>) -> Result<Account, Error> {
    Ok((r.id(0)?, r.id(1)?, r.opt_id(2)?, r.id(3)?, r.id(4)?, r.int(5)?, r.array(6)?))
}

struct RawFolder {
    id: FolderId,
    account: AccountId,
    name: Vec<u8>,
    facts: FolderFacts,
    mac: [u8; 16],
}

impl RawFolder {
    fn read(r: &Row<'_>) -> Result<Self, Error> {
        let facts = FolderFacts {
            index: r.array(2)?,
            special: r.int(4)?,
            subscribed: r.bool(5)?,
            uidvalidity: r.int(6)?,
        };
        Ok(Self { id: r.id(0)?, account: r.id(1)?, name: r.bytes(3)?, facts, mac: r.array(7)? })
    }

    fn check(&self, look: &mut Inspection<'_>, account: &AccountFacts) {
        if account.folder_mac(self.id, &self.facts) != self.mac {
            look.fault("folder", self.id, "mac", "a plain column is not what was written");
        }
        match account.key.open(&name_aad(account, self.id), &self.name) {
            Ok(name) if folder_index(account, &String::from_utf8_lossy(&name)) == self.facts.index => {}
            Ok(_) => look.fault("folder", self.id, "name_index", "it is not that of its name"),
            Err(_) => look.fault("folder", self.id, "name", "it does not open"),
        }
    }
}

/// A folder's entries with their content, and the bodies. Answers all flags that any of them carries.
async fn entries(
    look: &mut Inspection<'_>,
    facts: &AccountFacts,
    folder: FolderId,
    seen: &mut Vec<i64>,
) -> Result<Flags, Error> {
    let account = facts.id;
    let (mut after, mut used) = (i64::MIN, Flags::NONE);
    loop {
        let from = after;
        let page = look
            .store()
            .read(move |tx| {
                tx.rows(&schema::INSPECT_ENTRIES, params![folder, account, from], |r| {
                    Ok((r.int(0)?, found(r)))
                })
            })
            .await?;
        let Some((last, _)) = page.last() else { return Ok(used) };
        after = *last;
        look.count("entry", page.len());
        for (uid, row) in page {
            let place = format!("folder {folder}, UID {uid}");
            let Ok((entry, mac, content)) = row else {
                look.fault("entry", place, "", "a column can't be what was written");
                continue;
            };
            seen.push(entry.id.raw());
            used = used.with(entry.flags);
            if facts.entry_mac(folder, &entry) != mac {
                look.fault("entry", &place, "mac", "a column is not what was written");
            }
            match content {
                Some(sealed) => content_of(look, facts, &entry, &sealed).await?,
                None => {
                    let why = format!("it is missing or belongs to another account; entry {place} has it");
                    look.fault("content", entry.id, "", why);
                }
            }
        }
    }
}

type Found = (Entry, [u8; 16], Option<Sealed>);

fn found(r: &Row<'_>) -> Result<Found, Error> {
    let content = match r.opt_int(7)? {
        Some(blob) => {
            Some(Sealed { blob: BlobId::from_raw(blob), wrapped: r.bytes(8)?, summary: r.bytes(9)? })
        }
        None => None,
    };
    Ok((entry(r)?, r.array(6)?, content))
}

async fn content_of(
    look: &mut Inspection<'_>,
    facts: &AccountFacts,
    entry: &Entry,
    sealed: &Sealed,
) -> Result<(), Error> {
    let id: EntryId = entry.id;
    let summary = open_summary(facts, id, sealed);
    match &summary {
        Ok(summary) if summary.structure.size == u64::from(entry.size) => {}
        Ok(_) => look.fault("entry", id, "size", "its content says another size"),
        Err(_) => look.fault("content", id, "summary", "it does not open"),
    }
    let Ok(key) = open_key(facts, id, sealed) else {
        look.fault("content", id, "wrapped", "it does not open for this body");
        look.owns(sealed.blob);
        return Ok(());
    };
    let size = look.body(sealed.blob, &key, &format!("content {id}")).await?;
    if let (Some(size), Ok(summary)) = (size, summary) {
        let hidden: u64 = summary.hidden.iter().map(|gap| gap.end - gap.start).sum();
        if summary.structure.size + hidden != size {
            look.fault("content", id, "blob", "the body has another size than the summary says");
        }
    }
    Ok(())
}

/// A folder's counters against its rows. Every UID that was given has an entry or has vanished.
async fn counters(look: &mut Inspection<'_>, folder: FolderId) -> Result<(), Error> {
    let counts = look
        .store()
        .read(move |tx| {
            let four = |r: &Row<'_>| Ok([r.int(0)?, r.int(1)?, r.int(2)?, r.int(3)?]);
            let said = tx.row(&schema::COUNTERS, params![folder], four)?;
            let entries = tx.row(&schema::ENTRY_COUNTS, params![folder], four)?;
            let gone =
                tx.row(&schema::VANISHED_COUNTS, params![folder], |r| Ok([r.int(0)?, r.int(1)?, r.int(2)?]))?;
            Ok::<_, Error>(said.zip(entries).zip(gone))
        })
        .await;
    let (([uidnext, modseq, messages, unseen], [count, new, last, changed]), [gone, last_gone, gone_at]) =
        match counts {
            Ok(Some(counts)) => counts,
            // It was deleted just now.
            Ok(None) => return Ok(()),
            Err(Error::Corrupt { .. }) => {
                look.fault("folder", folder, "", "a counter can't be what was written");
                return Ok(());
            }
            Err(e) => return Err(e),
        };
    look.count("vanished", usize::try_from(gone).unwrap_or(0));
    let given = uidnext - 1;
    if messages != count {
        look.fault(
            "folder",
            folder,
            "messages",
            format!("it says {messages}, and there are {count} rows in entry"),
        );
    }
    if unseen != new {
        look.fault(
            "folder",
            folder,
            "unseen",
            format!("it says {unseen}, and {new} rows in entry are unseen"),
        );
    }
    if given != last.max(last_gone) {
        let known = last.max(last_gone);
        let why = format!(
            "it says {uidnext}, and UIDs up to {known} have a row in entry or vanished: if it is right, rows are gone"
        );
        look.fault("folder", folder, "uidnext", why);
    } else if count + gone != given {
        let why = format!("{given} UIDs were given; {count} have a row in entry and {gone} in vanished");
        look.fault("entry", format!("folder {folder}"), "uid", why);
    }
    if modseq < changed.max(gone_at) {
        look.fault("folder", folder, "modseq", "a message has a higher one");
    }
    Ok(())
}

async fn stray_entries(look: &mut Inspection<'_>, folders: &[FolderId]) -> Result<(), Error> {
    let mut after = i64::MIN;
    loop {
        let from = after;
        let found =
            look.store().read(move |tx| tx.row(&schema::ENTRY_FOLDERS, params![from], |r| r.int(0))).await?;
        let Some(folder) = found else { return Ok(()) };
        after = folder;
        if folders.binary_search(&FolderId::from_raw(folder)).is_err() {
            look.fault("folder", folder, "", "it is missing, and there are rows in entry that lie in it");
        }
    }
}

/// Content that no entry has. What arrived after its folder was looked at is no fault.
async fn stray_content(look: &mut Inspection<'_>, seen: &[i64]) -> Result<(), Error> {
    const MOST: usize = 100;
    let mut suspects = Vec::new();
    let mut after = i64::MIN;
    while let Some((last, page)) = look.page("content", &schema::ALL_CONTENT, after, |r| r.int(0)).await? {
        after = last;
        suspects.extend(page.into_iter().filter(|id| seen.binary_search(id).is_err()));
    }
    for id in suspects.into_iter().take(MOST) {
        if look.store().read(move |tx| tx.row(&schema::ENTRY_OF, params![id], |r| r.int(0))).await?.is_none()
        {
            look.fault("content", id, "", "no row in entry has it: the message was taken out of its folder");
        }
    }
    Ok(())
}

async fn room(look: &mut Inspection<'_>, account: AccountId) -> Result<(), Error> {
    let sums = look
        .store()
        .read(move |tx| {
            let three = |r: &Row<'_>| Ok([r.int(0)?, r.int(1)?, r.int(2)?]);
            let said = tx.row(&schema::ACCOUNT_COUNTERS, params![account], three)?;
            Ok::<_, Error>(said.zip(tx.row(&schema::ACCOUNT_SUMS, params![account], three)?))
        })
        .await;
    let ([modseq, used, validity], [sum, changed, newest]) = match sums {
        Ok(Some(sums)) => sums,
        Ok(None) => return Ok(()),
        Err(Error::Corrupt { .. }) => {
            look.fault("account", account, "", "a counter can't be what was written");
            return Ok(());
        }
        Err(e) => return Err(e),
    };
    if used != sum {
        look.fault("account", account, "used", format!("it says {used} bytes, and its messages have {sum}"));
    }
    if modseq < changed {
        look.fault("account", account, "modseq", "a folder has a higher one");
    }
    if validity < newest {
        look.fault("account", account, "uidvalidity", "a folder has a higher one");
    }
    Ok(())
}

async fn keywords(look: &mut Inspection<'_>, facts: &AccountFacts, used: Flags) -> Result<(), Error> {
    let account = facts.id;
    let rows = look
        .store()
        .read(move |tx| {
            tx.rows(&schema::INSPECT_KEYWORDS, params![account], |r| {
                Ok((r.int(0)?, r.bytes(1).unwrap_or_default(), r.bytes(2).unwrap_or_default()))
            })
        })
        .await?;
    look.count("keyword", rows.len());
    for bit in Flags::FIRST_KEYWORD..=Flags::LAST_KEYWORD {
        if used.bits() & (1 << bit) != 0 && !rows.iter().any(|(known, ..)| *known == i64::from(bit)) {
            let why = "it is missing, and rows in entry carry it";
            look.fault("keyword", format!("account {account}, bit {bit}"), "", why);
        }
    }
    for (nth, (bit, index, name)) in rows.into_iter().enumerate() {
        let place = format!("account {account}, bit {bit}");
        // They are given in turn.
        let next = Flags::FIRST_KEYWORD + narrow(i64::try_from(nth).unwrap_or(0));
        if bit != i64::from(next) {
            look.fault("keyword", &place, "bit", format!("one is missing: bit {next} comes before it"));
        }
        match facts.key.open(&keyword_aad(facts, bit), &name) {
            Ok(name) if keyword_index(facts, &String::from_utf8_lossy(&name))[..] == index[..] => {}
            Ok(_) => look.fault("keyword", place, "name_index", "it is not that of its name"),
            Err(_) => look.fault("keyword", place, "name", "it does not open"),
        }
    }
    Ok(())
}

async fn stray_keywords(
    look: &mut Inspection<'_>,
    accounts: &HashMap<AccountId, Arc<AccountFacts>>,
) -> Result<(), Error> {
    let mut after = i64::MIN;
    loop {
        let from = after;
        let found = look
            .store()
            .read(move |tx| tx.row(&schema::KEYWORD_ACCOUNTS, params![from], |r| r.int(0)))
            .await?;
        let Some(account) = found else { return Ok(()) };
        after = account;
        if !accounts.contains_key(&AccountId::from_raw(account)) {
            look.fault(
                "keyword",
                format!("account {account}"),
                "account",
                "that account is missing or damaged",
            );
        }
    }
}
