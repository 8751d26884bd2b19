//! From the read journal into the table, in order.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealpost_crypto::Aad;
use sealpost_model::{Id, TenantId};
use sealpost_store::Scope;

use crate::journal::{self, Contents, Spot};
use crate::{Audit, Caller, Draft, Entry, Error, Verb, entry};

impl Audit {
    /// Ingests every ended file, oldest first, and removes it. A file that can't be read to its end is kept beside the
    /// others, and an entry says so.
    pub(crate) async fn ingest(&self) -> Result<(), Error> {
        let closed = self.blocking(|inner| inner.journal.closed()).await?;
        for (number, path) in closed {
            let file = path.clone();
            let contents = self.blocking(move |_| read(number, &file)).await?;
            let damage = self.ingest_file(contents).await?;
            match damage {
                None => self.blocking(move |_| remove(&path)).await?,
                Some(damage) => self.keep_damaged(number, path, damage).await?,
            }
        }
        Ok(())
    }

    /// Writes a file's frames; answers what was wrong with it.
    async fn ingest_file(&self, contents: Contents) -> Result<Option<String>, Error> {
        let mut damage = (contents.torn > 0)
            .then(|| format!("{} bytes behind frame {} are no frame", contents.torn, contents.frames.len()));
        let mut entries = Vec::with_capacity(contents.frames.len());
        for frame in contents.frames {
            let tenant = TenantId::from_raw(frame.tenant);
            let opened = match self.inner.keys.tenant(tenant).await {
                Ok(keys) => keys.open(&aad(tenant, frame.id, frame.spot), &frame.sealed).ok(),
                Err(_) => None,
            };
            let entry: Option<Entry> = opened.and_then(|plain| postcard::from_bytes(&plain).ok());
            match entry {
                Some(entry) if entry.id == frame.id && entry.tenant == frame.tenant => entries.push(entry),
                _ => damage = Some(format!("frame {} is not what was written", frame.spot.frame)),
            }
        }
        for chunk in entries.chunks(CHUNK) {
            let chunk: Arc<[Entry]> = chunk.into();
            self.inner
                .store
                .write(Scope::bulk(), move |tx| chunk.iter().try_for_each(|e| entry::ingest(tx, e)))
                .await?;
        }
        Ok(damage)
    }

    async fn keep_damaged(&self, number: u64, path: PathBuf, damage: String) -> Result<(), Error> {
        tracing::error!(segment = number, %damage, "a part of the read journal cannot be read back");
        let Caller { actor, client } = Caller::SYSTEM;
        let draft = Draft::new(crate::instance(), &actor, &client, Verb::JournalDamaged)
            .failed()
            .reason("unreadable")
            .detail(format!("segment {number}: {damage}"));
        self.record(draft).await?;
        self.blocking(move |_| {
            std::fs::rename(&path, path.with_extension("damaged")).map_err(|e| Error::Journal(e.to_string()))
        })
        .await
    }

    /// Runs file work on a thread that may block.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&crate::service::Inner) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || work(&inner)).await.map_err(|_| Error::Bug)?
    }
}

/// What a frame is sealed with: its entry and its place.
pub(crate) fn aad(tenant: TenantId, id: i64, spot: Spot) -> Aad {
    Aad::new(tenant, "read_journal", id, "entry")
        .with(&spot.segment.to_be_bytes())
        .with(&spot.frame.to_be_bytes())
}

fn read(number: u64, path: &Path) -> Result<Contents, Error> {
    journal::read(number, path).map_err(|e| Error::Journal(e.to_string()))
}

/// The entries are committed: the file may go. If it comes back after a power cut, it is ingested again to no effect.
fn remove(path: &Path) -> Result<(), Error> {
    std::fs::remove_file(path).map_err(|e| Error::Journal(e.to_string()))
}

const CHUNK: usize = 1000;
