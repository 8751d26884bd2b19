//! After a restore each folder gets a new UIDVALIDITY: the lost server may have given the same UIDs to other messages
//! (RFC 9051 section 2.3.1.1).

use std::sync::Arc;

use sealpost_model::{AccountId, FolderId, Id};
use sealpost_store::{Scope, Topic, params};

use crate::folder::FolderFacts;
use crate::{Error, Mailboxes, schema};

impl Mailboxes {
    /// Gives every folder of every account a UIDVALIDITY that it never had. Answers how many folders there are.
    ///
    /// # Errors
    /// The store's, and [`Error::Corrupt`].
    pub async fn after_restore(&self) -> Result<usize, Error> {
        let (mut after, mut folders) = (i64::MIN, 0);
        loop {
            let page: Vec<AccountId> = self
                .inner
                .store
                .read(move |tx| tx.rows(&schema::ALL_ACCOUNTS, params![after], |r| r.id(0)))
                .await?;
            let Some(last) = page.last() else { return Ok(folders) };
            after = last.raw();
            for account in page {
                folders += self.renew_folders(account).await?;
            }
        }
    }

    async fn renew_folders(&self, account: AccountId) -> Result<usize, Error> {
        let facts = self.facts(account).await?;
        let least = self.inner.clock.now().seconds() & 0x7fff_ffff;
        self.inner
            .store
            .write(Scope::account(account), move |tx| {
                let folders = tx.rows(&schema::FOLDERS, params![account], |r| r.id::<FolderId>(0))?;
                for id in &folders {
                    let known = FolderFacts::read(tx, account, *id)?.ok_or(Error::NoFolder)?;
                    let uidvalidity =
                        tx.row(&schema::NEXT_UIDVALIDITY, params![account, least], |r| r.int(0))?;
                    let uidvalidity = uidvalidity.ok_or(Error::NoFolder)?;
                    let mac = Arc::clone(&facts).folder_mac(*id, &FolderFacts { uidvalidity, ..known });
                    tx.execute(&schema::SET_UIDVALIDITY, params![account, *id, uidvalidity, mac])?;
                }
                tx.after_commit(Topic::Account(account));
                Ok::<_, Error>(folders.len())
            })
            .await
    }
}
