//! Folders: what IMAP calls mailboxes.

use std::sync::Arc;

use sealpost_audit::Verb;
use sealpost_crypto::Aad;
use sealpost_model::{AccountId, FolderId, Id};
use sealpost_store::{ReadTx, Row, Scope, Topic, Tx, keys::TenantKeys, params};

use crate::account::AccountFacts;
use crate::{Caller, Error, Mailboxes, schema};

/// What a folder is for (RFC 6154).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Special {
    /// Where mail arrives.
    Inbox = 1,
    /// `\Sent`
    Sent = 2,
    /// `\Drafts`
    Drafts = 3,
    /// `\Trash`
    Trash = 4,
    /// `\Junk`
    Junk = 5,
    /// `\Archive`
    Archive = 6,
}

impl Special {
    /// All of them, with the names that a new account's folders have.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Inbox, "INBOX"),
        (Self::Sent, "Sent"),
        (Self::Drafts, "Drafts"),
        (Self::Trash, "Trash"),
        (Self::Junk, "Junk"),
        (Self::Archive, "Archive"),
    ];

    fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().map(|(s, _)| s).find(|s| *s as i64 == number)
    }
}

/// A folder as it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Folder {
    /// Its id.
    pub id: FolderId,
    /// Its name in UTF-8, with `/` between levels.
    pub name: String,
    /// What it is for.
    pub special: Option<Special>,
    /// Whether its owner subscribed to it.
    pub subscribed: bool,
    /// RFC 9051 section 2.3.1.1.
    pub uidvalidity: u32,
    /// The UID that the next message gets.
    pub uidnext: u32,
    /// The MODSEQ of its last change.
    pub modseq: i64,
    /// Messages in it.
    pub messages: u32,
    /// Messages without `\Seen`.
    pub unseen: u32,
}

/// The most folders that an account may have.
const MAX_FOLDERS: usize = 2_000;

impl Mailboxes {
    /// All folders of the account, in the order in which they were made. Names are sealed, so this is a read (S53);
    /// a folder's name is the mailbox owner's own word and is logged as one entry a session, by the protocol's login.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn folders(&self, caller: &Caller) -> Result<Vec<Folder>, Error> {
        let facts = self.facts(caller.access.target()).await?;
        let account = facts.id;
        let rows =
            self.inner.store.read(move |tx| tx.rows(&schema::FOLDERS, params![account], raw_folder)).await?;
        rows.into_iter().map(|raw| self.open_folder(&facts, raw)).collect()
    }

    /// One folder.
    ///
    /// # Errors
    /// [`Error::NoFolder`] and the store's.
    pub async fn folder(&self, caller: &Caller, folder: FolderId) -> Result<Folder, Error> {
        let facts = self.facts(caller.access.target()).await?;
        let account = facts.id;
        let raw = self
            .inner
            .store
            .read(move |tx| tx.row(&schema::FOLDER, params![account, folder], raw_folder))
            .await?
            .ok_or(Error::NoFolder)?;
        self.open_folder(&facts, raw)
    }

    /// Makes a folder, and those above it that are missing.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Name`], and the store's.
    pub async fn create_folder(&self, caller: &Caller, name: &str) -> Result<FolderId, Error> {
        may_write(caller)?;
        let name = canonical(name)?;
        let facts = self.facts(caller.access.target()).await?;
        let above = self.seal_above(&facts, &name);
        let last = self.seal_folder(&facts, &name, None);
        let audit = self.audit_entry(caller, Verb::FolderCreate, [last.id]).await?;
        let account = facts.id;
        self.inner
            .store
            .write(Scope::account(account), move |tx| {
                let present = tx.rows(&schema::FOLDERS, params![account], |r| r.id::<FolderId>(0))?.len();
                if present + above.len() + 1 > MAX_FOLDERS {
                    return Err(Error::Name("there are too many folders"));
                }
                if find(tx, account, &last.facts.index)?.is_some() {
                    return Err(Error::Exists);
                }
                insert_missing(tx, account, &above)?;
                last.insert(tx, account)?;
                sealpost_audit::insert(tx, &audit)?;
                tx.after_commit(Topic::Account(account));
                Ok(last.id)
            })
            .await
    }

    /// Renames a folder and what lies below it, and makes those above its new place that are missing. Renaming INBOX is refused: move its messages instead.
    ///
    /// # Errors
    /// [`Error::NoFolder`], [`Error::Exists`], [`Error::Name`], [`Error::Folder`], and the store's.
    pub async fn rename_folder(&self, caller: &Caller, from: &str, to: &str) -> Result<(), Error> {
        may_write(caller)?;
        let (from, to) = (canonical(from)?, canonical(to)?);
        if from == "INBOX" {
            return Err(Error::Folder("INBOX keeps its name; move its messages instead"));
        }
        let below = format!("{from}/");
        if to.starts_with(&below) {
            return Err(Error::Folder("it can't be moved into itself"));
        }
        let folders = self.folders(caller).await?;
        let facts = self.facts(caller.access.target()).await?;
        if folders.iter().any(|f| f.name == to) {
            return Err(Error::Exists);
        }
        let renamed: Vec<_> = folders
            .iter()
            .filter(|f| f.name == from || f.name.starts_with(&below))
            .map(|f| {
                let name = format!("{to}{}", &f.name[from.len()..]);
                self.seal_folder_as(&facts, f.id, &name, f.special)
            })
            .collect();
        let folder = folders.iter().find(|f| f.name == from).ok_or(Error::NoFolder)?.id;
        let above = self.seal_above(&facts, &to);
        let audit = self.audit_entry(caller, Verb::FolderRename, [folder]).await?;
        let account = facts.id;
        self.inner
            .store
            .write(Scope::account(account), move |tx| {
                insert_missing(tx, account, &above)?;
                for row in &renamed {
                    if find(tx, account, &row.facts.index)?.is_some_and(|id| id != row.id) {
                        return Err(Error::Exists);
                    }
                    let known = FolderFacts::read(tx, account, row.id)?.ok_or(Error::NoFolder)?;
                    let mac = facts.folder_mac(row.id, &FolderFacts { index: row.facts.index, ..known });
                    tx.execute(
                        &schema::RENAME_FOLDER,
                        params![account, row.id, &row.facts.index, &row.name, mac],
                    )?;
                }
                sealpost_audit::insert(tx, &audit)?;
                tx.after_commit(Topic::Account(account));
                Ok(())
            })
            .await
    }

    /// Deletes a folder with its messages. INBOX, special folders and folders that hold others are refused.
    ///
    /// # Errors
    /// [`Error::NoFolder`], [`Error::Folder`], and the store's.
    pub async fn delete_folder(&self, caller: &Caller, name: &str) -> Result<(), Error> {
        may_write(caller)?;
        let name = canonical(name)?;
        let folders = self.folders(caller).await?;
        let folder = folders.iter().find(|f| f.name == name).ok_or(Error::NoFolder)?.clone();
        if folder.special.is_some() {
            return Err(Error::Folder("it is one of the folders that every mailbox has"));
        }
        let below = format!("{name}/");
        if folders.iter().any(|f| f.name.starts_with(&below)) {
            return Err(Error::Folder("it holds other folders; delete those first"));
        }
        let caller = *caller;
        self.expunge_all(&caller, folder.id).await?;
        let account = caller.access.target();
        let id = folder.id;
        let audit = self.audit_entry(&caller, Verb::FolderDelete, [id]).await?;
        self.inner
            .store
            .write(Scope::account(account), move |tx| {
                let left = tx.rows(&schema::VIEW, params![id, 0i64, 1i64], |r| r.int(0))?;
                if !left.is_empty() {
                    return Err(Error::Folder("mail arrived in it just now; try again"));
                }
                tx.execute(&schema::DELETE_VANISHED, params![id])?;
                tx.execute(&schema::DELETE_FOLDER, params![account, id])?;
                sealpost_audit::insert(tx, &audit)?;
                tx.after_commit(Topic::Account(account));
                Ok(())
            })
            .await
    }

    /// Sets whether a folder is subscribed.
    ///
    /// # Errors
    /// [`Error::NoFolder`] and the store's.
    pub async fn subscribe(&self, caller: &Caller, name: &str, subscribed: bool) -> Result<(), Error> {
        may_write(caller)?;
        let facts = self.facts(caller.access.target()).await?;
        let index = folder_index(&facts, &canonical(name)?);
        let account = facts.id;
        let id = self.inner.store.read(move |tx| find(tx, account, &index)).await?.ok_or(Error::NoFolder)?;
        let audit = self.audit_entry(caller, Verb::FolderSubscribe, [id]).await?;
        self.inner
            .store
            .write(Scope::account(account), move |tx| {
                let known = FolderFacts::read(tx, account, id)?.ok_or(Error::NoFolder)?;
                let mac = facts.folder_mac(id, &FolderFacts { subscribed, ..known });
                tx.execute(&schema::SUBSCRIBE_FOLDER, params![account, id, subscribed, mac])?;
                sealpost_audit::insert(tx, &audit)?;
                Ok(())
            })
            .await
    }

    fn open_folder(&self, facts: &AccountFacts, raw: RawFolder) -> Result<Folder, Error> {
        let corrupt = Error::Corrupt { what: "folder", id: raw.id.raw() };
        let name = facts.key.open(&name_aad(facts, raw.id), &raw.name).map_err(|_| corrupt)?;
        Ok(Folder {
            id: raw.id,
            name: String::from_utf8_lossy(&name).into_owned(),
            special: Special::from_number(raw.numbers[0]),
            subscribed: raw.numbers[1] != 0,
            uidvalidity: narrow(raw.numbers[2]),
            uidnext: narrow(raw.numbers[3]),
            modseq: raw.numbers[4],
            messages: narrow(raw.numbers[5]),
            unseen: narrow(raw.numbers[6]),
        })
    }

    /// The folders that a name lies in, outermost first.
    fn seal_above(&self, facts: &AccountFacts, name: &str) -> Vec<SealedFolder> {
        name.match_indices('/').map(|(at, _)| self.seal_folder(facts, &name[..at], None)).collect()
    }

    fn seal_folder(&self, facts: &AccountFacts, name: &str, special: Option<Special>) -> SealedFolder {
        self.seal_folder_as(facts, self.inner.store.id(), name, special)
    }

    fn seal_folder_as(
        &self,
        facts: &AccountFacts,
        id: FolderId,
        name: &str,
        special: Option<Special>,
    ) -> SealedFolder {
        SealedFolder {
            id,
            name: facts.key.seal(&self.inner.random, &name_aad(facts, id), name.as_bytes()),
            facts: FolderFacts {
                index: folder_index(facts, name),
                special: special.map_or(0, |s| s as i64),
                subscribed: true,
                uidvalidity: self.inner.clock.now().seconds() & 0x7fff_ffff,
            },
            keys: Arc::clone(&facts.tenant_keys),
        }
    }

    /// The folders that every new account has, INBOX first.
    pub(crate) fn seal_specials(&self, facts: &AccountFacts) -> Vec<SealedFolder> {
        Special::ALL
            .into_iter()
            .map(|(special, name)| match special {
                Special::Inbox => self.seal_folder_as(facts, facts.inbox, name, Some(special)),
                _ => self.seal_folder(facts, name, Some(special)),
            })
            .collect()
    }
}

/// A folder's row, ready to write.
#[derive(Clone)]
pub(crate) struct SealedFolder {
    id: FolderId,
    name: Vec<u8>,
    facts: FolderFacts,
    keys: Arc<TenantKeys>,
}

/// The plain columns of a folder that count nothing.
#[derive(Clone)]
pub(crate) struct FolderFacts {
    pub(crate) index: [u8; 16],
    pub(crate) special: i64,
    pub(crate) subscribed: bool,
    /// In a row that is not written yet: the least that it may be.
    pub(crate) uidvalidity: i64,
}

impl FolderFacts {
    pub(crate) fn read(
        tx: &Tx,
        account: AccountId,
        id: FolderId,
    ) -> Result<Option<Self>, sealpost_store::Error> {
        tx.row(&schema::FOLDER_FACTS, params![account, id], |r| {
            Ok(Self {
                index: r.array(0)?,
                special: r.int(1)?,
                subscribed: r.bool(2)?,
                uidvalidity: r.int(3)?,
            })
        })
    }

    /// The MAC of the folder's row.
    pub(crate) fn mac(&self, keys: &TenantKeys, account: AccountId, id: FolderId) -> [u8; 16] {
        let numbers = [account.raw(), self.special, i64::from(self.subscribed), self.uidvalidity];
        let numbers = numbers.map(i64::to_be_bytes);
        let [account, special, subscribed, uidvalidity] = numbers.each_ref().map(|p| p.as_slice());
        keys.mac("folder", id.raw(), 1, &[account, &self.index, special, subscribed, uidvalidity])
    }
}

pub(crate) fn folder_index(facts: &AccountFacts, name: &str) -> [u8; 16] {
    let account = facts.id.raw().to_be_bytes();
    facts.tenant_keys.blind("folder.name", &[&account, name.as_bytes()].concat())
}

impl SealedFolder {
    /// Writes it, with a UIDVALIDITY that no folder of the account ever had: a name that is used again must not bring
    /// old UIDs back, however soon (RFC 9051 section 2.3.1.1).
    pub(crate) fn insert(&self, tx: &mut Tx, account: AccountId) -> Result<(), sealpost_store::Error> {
        let least = self.facts.uidvalidity;
        let uidvalidity =
            tx.row(&schema::NEXT_UIDVALIDITY, params![account, least], |r| r.int(0))?.unwrap_or(least);
        let facts = FolderFacts { uidvalidity, ..self.facts.clone() };
        let mac = facts.mac(&self.keys, account, self.id);
        let FolderFacts { index, special, subscribed, .. } = facts;
        tx.execute(
            &schema::INSERT_FOLDER,
            params![self.id, account, index, &self.name, special, subscribed, uidvalidity, mac],
        )?;
        Ok(())
    }
}

struct RawFolder {
    id: FolderId,
    name: Vec<u8>,
    numbers: [i64; 7],
}

fn raw_folder(r: &Row<'_>) -> Result<RawFolder, sealpost_store::Error> {
    let mut numbers = [0; 7];
    for (i, n) in numbers.iter_mut().enumerate() {
        *n = r.int(i + 2)?;
    }
    Ok(RawFolder { id: r.id(0)?, name: r.bytes(1)?.to_vec(), numbers })
}

fn insert_missing(
    tx: &mut Tx,
    account: AccountId,
    folders: &[SealedFolder],
) -> Result<(), sealpost_store::Error> {
    for folder in folders {
        if find(tx, account, &folder.facts.index)?.is_none() {
            folder.insert(tx, account)?;
        }
    }
    Ok(())
}

fn find(
    tx: &ReadTx,
    account: AccountId,
    index: &[u8; 16],
) -> Result<Option<FolderId>, sealpost_store::Error> {
    tx.row(&schema::FOLDER_ID, params![account, index], |r| r.id(0))
}

/// A folder's name as it is looked up: INBOX in capitals (RFC 9051 section 5.1), no empty level, at most 255 bytes a
/// level and 1,000 in all, no control characters or wildcards.
pub(crate) fn canonical(name: &str) -> Result<String, Error> {
    let name = name.strip_suffix('/').unwrap_or(name);
    if name.len() > 1_000 || name.split('/').any(|level| level.len() > 255) {
        return Err(Error::Name("it is too long"));
    }
    if name.split('/').any(str::is_empty) {
        return Err(Error::Name("a level of it is empty"));
    }
    if name.chars().any(|c| c.is_control() || c == '*' || c == '%') {
        return Err(Error::Name("it holds a character that is not allowed (*, % or a control character)"));
    }
    let (first, rest) = name.split_at(name.find('/').unwrap_or(name.len()));
    Ok(if first.eq_ignore_ascii_case("INBOX") { format!("INBOX{rest}") } else { name.to_owned() })
}

pub(crate) fn may_write(caller: &Caller) -> Result<(), Error> {
    if caller.access.may_write() {
        Ok(())
    } else {
        Err(Error::Denied(sealpost_policy::Reason::GrantTooNarrow.into()))
    }
}

pub(crate) fn narrow(n: i64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

pub(crate) fn name_aad(facts: &AccountFacts, id: FolderId) -> Aad {
    Aad::new(facts.tenant, "folder", id.raw(), "name")
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn names_are_made_canonical_or_refused() {
        for (name, want) in [
            ("inbox", Some("INBOX")),
            ("Inbox/Old", Some("INBOX/Old")),
            ("inboxes", Some("inboxes")),
            ("A/B/", Some("A/B")),
            ("Übung", Some("Übung")),
            ("", None),
            ("/", None),
            ("a//b", None),
            ("/a", None),
            ("a*", None),
            ("a%b", None),
            ("a\r\nb", None),
        ] {
            assert_eq!(canonical(name).ok().as_deref(), want, "{name:?}");
        }
    }
}
