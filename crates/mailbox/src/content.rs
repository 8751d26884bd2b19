//! What is sealed of a message: its summary, and the way to its body.

use sealpost_audit::Verb;
use sealpost_crypto::{Aad, Key};
use sealpost_message::{EnvelopeFields, Span, Structure};
use sealpost_model::{BlobId, Client, EntryId, Id};
use sealpost_store::params;

use crate::account::AccountFacts;
use crate::{Caller, Error, Mailboxes, schema};

/// What protocols and pages show of a message without reading its body.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Summary {
    /// The header fields of an IMAP ENVELOPE.
    pub envelope: EnvelopeFields,
    /// The MIME structure with its byte ranges, in the message as it is shown.
    pub structure: Structure,
    /// The beginning of the text, for lists.
    pub preview: String,
    /// Ranges of the stored bytes that are not part of the message as it is shown, in order: header fields of ours
    /// that came from outside, removed tags. The journal keeps them.
    pub hidden: Vec<Span>,
}

impl Summary {
    const FORMAT: u8 = 1;

    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        postcard::to_extend(self, vec![Self::FORMAT]).map_err(|e| Error::Message(e.to_string()))
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (&Self::FORMAT, rest) => postcard::from_bytes(rest).ok(),
            _ => None,
        }
    }
}

/// A row of `content`, still sealed.
#[derive(Clone)]
pub(crate) struct Sealed {
    pub(crate) blob: BlobId,
    pub(crate) wrapped: Vec<u8>,
    pub(crate) summary: Vec<u8>,
}

impl Mailboxes {
    /// The summaries of messages, in the order asked for; those that are gone are left out. One audit entry names all.
    ///
    /// # Errors
    /// [`Error::Corrupt`], and the store's and the log's.
    pub async fn summaries(
        &self,
        caller: &Caller,
        ids: &[EntryId],
    ) -> Result<Vec<(EntryId, Summary)>, Error> {
        const PAGE: usize = 500;
        let facts = self.facts(caller.access.target()).await?;
        let mut out = Vec::with_capacity(ids.len());
        for page in ids.chunks(PAGE) {
            let rows = self.sealed(&facts, page).await?;
            self.log_read(caller, Verb::ReadSummary, rows.iter().map(|(id, _)| *id)).await?;
            for (id, row) in rows {
                out.push((id, open_summary(&facts, id, &row)?));
            }
        }
        Ok(out)
    }

    pub(crate) async fn sealed(
        &self,
        facts: &AccountFacts,
        ids: &[EntryId],
    ) -> Result<Vec<(EntryId, Sealed)>, Error> {
        let (account, ids) = (facts.id, ids.to_vec());
        self.inner
            .store
            .read(move |tx| {
                let mut rows = Vec::with_capacity(ids.len());
                for id in &ids {
                    let row = tx.row(&schema::CONTENT, params![*id, account], |r| {
                        Ok(Sealed {
                            blob: r.id(0)?,
                            wrapped: r.bytes(1)?.to_vec(),
                            summary: r.bytes(2)?.to_vec(),
                        })
                    })?;
                    rows.extend(row.map(|row| (*id, row)));
                }
                Ok::<_, Error>(rows)
            })
            .await
    }

    pub(crate) async fn log_read(
        &self,
        caller: &Caller,
        verb: Verb,
        ids: impl Iterator<Item = EntryId>,
    ) -> Result<(), Error> {
        let account = caller.access.target();
        let tenant = self.facts(account).await?.tenant;
        let client: &Client = &caller.client;
        let mut draft = self.inner.audit.draft(tenant, &caller.access.actor(), client, verb).owner(account);
        for id in ids {
            draft = draft.object(id);
        }
        self.inner.audit.read(draft).await?;
        Ok(())
    }
}

pub(crate) fn open_summary(facts: &AccountFacts, id: EntryId, row: &Sealed) -> Result<Summary, Error> {
    let corrupt = Error::Corrupt { what: "content", id: id.raw() };
    let Ok(plain) = facts.key.open(&aad(facts, id, "summary"), &row.summary) else { return Err(corrupt) };
    Summary::decode(&plain).ok_or(corrupt)
}

pub(crate) fn open_key(facts: &AccountFacts, id: EntryId, row: &Sealed) -> Result<Key, Error> {
    let corrupt = Error::Corrupt { what: "content", id: id.raw() };
    // The blob's id is in the AAD: a row that was pointed at another body does not open it.
    facts
        .key
        .unwrap(&aad(facts, id, "wrapped").with(&row.blob.raw().to_be_bytes()), &row.wrapped)
        .map_err(|_| corrupt)
}

pub(crate) fn seal(
    mailboxes: &Mailboxes,
    facts: &AccountFacts,
    id: EntryId,
    blob: BlobId,
    key: &Key,
    summary: &[u8],
) -> Sealed {
    let random = &mailboxes.inner.random;
    Sealed {
        blob,
        wrapped: facts.key.wrap(random, &aad(facts, id, "wrapped").with(&blob.raw().to_be_bytes()), key),
        summary: facts.key.seal(random, &aad(facts, id, "summary"), summary),
    }
}

fn aad(facts: &AccountFacts, id: EntryId, column: &'static str) -> Aad {
    Aad::new(facts.tenant, "content", id.raw(), column)
}
