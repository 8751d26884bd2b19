//! What has to be remembered of ordered certificates, in the store, so that all nodes share it: the account, what was
//! issued, challenges that are open, and tries that failed. Everything is sealed under the instance key.

use anyhow::{Context, Result};
use sealpost_audit::{Coverage, Entry};
use sealpost_crypto::Aad;
use sealpost_model::{Secret, Time};
use sealpost_store::keys::Keys;
use sealpost_store::{Error, Inspection, Lease, Row, Schema, Scope, Store, params, sql};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The table and its statements.
pub const SCHEMA: Schema = Schema { name: "certificates", steps: STEPS, statements: STATEMENTS, blobs: &[] };

/// What holds the table against changes from outside.
pub const COVERAGE: &[Coverage] = &[Coverage {
    table: "tls_item",
    by: "sealed for its kind, name and time; an older whole row is not seen, nor a removed one: it is ordered again",
}];

const STEPS: &[&str] = &[
    // `kind`: see `Kind`. `name`: blind index of the ACME directory, the host or the token. `at`: when it was written.
    "CREATE TABLE tls_item (
        id {int} PRIMARY KEY,
        kind {int} NOT NULL,
        name {bytes} NOT NULL,
        at {int} NOT NULL,
        sealed {bytes} NOT NULL,
        UNIQUE (kind, name)
    )",
];

sql! {
    ITEM = "SELECT id, kind, name, at, sealed FROM tls_item WHERE kind = ?1 AND name = ?2";
    ITEMS = "SELECT id, kind, name, at, sealed FROM tls_item WHERE kind = ?1 ORDER BY id LIMIT 1000";
    ALL = "SELECT id, kind, name, at, sealed FROM tls_item WHERE id > ?1 ORDER BY id LIMIT 1000";
    REMOVE = "DELETE FROM tls_item WHERE kind = ?1 AND name = ?2";
    INSERT = "INSERT INTO tls_item (id, kind, name, at, sealed) VALUES (?1, ?2, ?3, ?4, ?5)";
    REMOVE_OLD = "DELETE FROM tls_item WHERE kind = ?1 AND at < ?2";
}

/// What an item is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Account = 1,
    Certificate = 2,
    Challenge = 3,
    Failure = 4,
}

/// A certificate that was issued.
#[derive(Clone, Serialize, Deserialize)]
pub struct Stored {
    /// The host name.
    pub name: String,
    /// PEM.
    pub chain: String,
    key: String,
}

/// Tries that failed, one after the other.
#[derive(Clone, Serialize, Deserialize)]
pub struct Failure {
    /// The host name.
    pub name: String,
    /// How many.
    pub tries: u32,
    /// What was wrong with the last, for the administrator.
    pub why: String,
    /// When it is tried again, in seconds since 1970.
    pub next: i64,
}

impl Stored {
    /// What was issued for this name.
    pub fn new(name: &str, issued: &sealpost_net::acme::Issued) -> Self {
        Self { name: name.to_owned(), chain: issued.chain.clone(), key: issued.key.expose().clone() }
    }

    /// Ready to serve.
    pub fn certificate(&self) -> sealpost_net::Result<sealpost_net::ServerCertificate> {
        sealpost_net::ServerCertificate::from_pem(self.chain.as_bytes(), self.key.as_bytes())
    }
}

/// The items. Clones share them.
#[derive(Clone)]
pub struct Shelf {
    store: Store,
    keys: Keys,
}

struct Item {
    id: i64,
    kind: i64,
    name: Vec<u8>,
    at: Time,
    sealed: Vec<u8>,
}

impl Item {
    fn read(r: &Row<'_>) -> Result<Self, Error> {
        Ok(Self { id: r.int(0)?, kind: r.int(1)?, name: r.bytes(2)?, at: r.time(3)?, sealed: r.bytes(4)? })
    }

    fn aad(&self) -> Aad {
        Aad::instance("tls_item", self.id, "sealed")
            .with_int(self.kind)
            .with(&self.name)
            .with_int(self.at.millis())
    }
}

impl Shelf {
    /// The items of a store.
    pub fn new(store: Store, keys: Keys) -> Self {
        Self { store, keys }
    }

    /// The account with this ACME directory.
    pub async fn account(&self, directory: &str) -> Result<Option<Secret<String>>> {
        Ok(self.get::<String>(Kind::Account, directory).await?.map(Secret::new))
    }

    /// Remembers an account.
    pub async fn set_account(&self, directory: &str, text: &Secret<String>, lease: &Lease) -> Result<()> {
        self.put(Kind::Account, directory, text.expose(), None, Some(lease)).await
    }

    /// Every certificate that was ordered.
    pub async fn certificates(&self) -> Result<Vec<Stored>> {
        self.list(Kind::Certificate).await
    }

    /// Keeps a certificate in the place of the one before, with the log's entry.
    pub async fn set_certificate(&self, stored: &Stored, entry: Entry, lease: &Lease) -> Result<()> {
        self.put(Kind::Certificate, &stored.name, stored, Some(entry), Some(lease)).await
    }

    /// Names whose last order failed.
    pub async fn failures(&self) -> Result<Vec<Failure>> {
        self.list(Kind::Failure).await
    }

    /// Notes a failure with the log's entry, or that there is none any more.
    pub async fn set_failure(
        &self,
        name: &str,
        failure: Option<&Failure>,
        entry: Option<Entry>,
        lease: &Lease,
    ) -> Result<()> {
        match failure {
            Some(failure) => self.put(Kind::Failure, name, failure, entry, Some(lease)).await,
            None => self.remove(Kind::Failure, name).await,
        }
    }

    /// What is answered to an ACME server that asks for this token.
    pub async fn answer(&self, token: &str) -> Result<Option<String>> {
        let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if token.is_empty() || token.len() > 200 || !token.bytes().all(fine) {
            return Ok(None);
        }
        self.get(Kind::Challenge, token).await
    }

    /// Shows an answer on every node.
    pub async fn show(&self, token: &str, answer: &str) -> Result<()> {
        self.put(Kind::Challenge, token, answer, None, None).await
    }

    /// Shows it no longer.
    pub async fn hide(&self, token: &str) -> Result<()> {
        self.remove(Kind::Challenge, token).await
    }

    /// Forgets challenges that a crash left open before `then`.
    pub async fn forget(&self, then: Time) -> Result<()> {
        let old =
            move |tx: &mut sealpost_store::Tx| tx.execute(&REMOVE_OLD, params![Kind::Challenge as i64, then]);
        self.store.write(Scope::instance(), old).await?;
        Ok(())
    }

    fn blind(&self, kind: Kind, name: &str) -> [u8; 16] {
        let key = match kind {
            Kind::Account => "tls_item.account",
            Kind::Certificate => "tls_item.certificate",
            Kind::Challenge => "tls_item.challenge",
            Kind::Failure => "tls_item.failure",
        };
        self.keys.instance().blind(key, name.as_bytes())
    }

    fn open<T: DeserializeOwned>(&self, item: &Item) -> Result<T> {
        let plain = self.keys.instance().open(&item.aad(), &item.sealed).ok();
        let plain = plain
            .with_context(|| format!("tls_item {} is damaged; remove nothing and run check", item.id))?;
        Ok(serde_json::from_slice(&plain)?)
    }

    async fn get<T: DeserializeOwned>(&self, kind: Kind, name: &str) -> Result<Option<T>> {
        let blind = self.blind(kind, name);
        let item = self.store.read(move |tx| tx.row(&ITEM, params![kind as i64, blind], Item::read)).await?;
        item.map(|item| self.open(&item)).transpose()
    }

    async fn list<T: DeserializeOwned>(&self, kind: Kind) -> Result<Vec<T>> {
        let items = self.store.read(move |tx| tx.rows(&ITEMS, params![kind as i64], Item::read)).await?;
        items.iter().map(|item| self.open(item)).collect()
    }

    async fn put<T: Serialize + ?Sized>(
        &self,
        kind: Kind,
        name: &str,
        value: &T,
        entry: Option<Entry>,
        lease: Option<&Lease>,
    ) -> Result<()> {
        let mut item = Item {
            id: sealpost_model::Id::raw(self.store.id::<sealpost_model::TlsItemId>()),
            kind: kind as i64,
            name: self.blind(kind, name).to_vec(),
            at: self.store.clock().now(),
            sealed: Vec::new(),
        };
        item.sealed = self.keys.instance().seal(&item.aad(), &serde_json::to_vec(value)?);
        let lease = lease.cloned();
        let put = move |tx: &mut sealpost_store::Tx| -> Result<(), Error> {
            if let Some(lease) = &lease {
                tx.fence(lease)?;
            }
            tx.execute(&REMOVE, params![item.kind, item.name])?;
            tx.execute(&INSERT, params![item.id, item.kind, item.name, item.at, item.sealed])?;
            if let Some(entry) = &entry {
                sealpost_audit::insert(tx, entry)?;
            }
            Ok(())
        };
        Ok(self.store.write(Scope::instance(), put).await?)
    }

    async fn remove(&self, kind: Kind, name: &str) -> Result<()> {
        let blind = self.blind(kind, name);
        let remove = move |tx: &mut sealpost_store::Tx| tx.execute(&REMOVE, params![kind as i64, blind]);
        self.store.write(Scope::instance(), remove).await?;
        Ok(())
    }
}

/// Opens every row.
///
/// # Errors
/// What keeps it from looking.
pub async fn inspect(look: &mut Inspection<'_>) -> Result<(), Error> {
    let mut after = i64::MIN;
    while let Some((last, page)) = look.page("tls_item", &ALL, after, Item::read).await? {
        after = last;
        for item in page {
            if look.keys().instance().open(&item.aad(), &item.sealed).is_err() {
                look.fault(
                    "tls_item",
                    item.id,
                    "sealed",
                    "it does not open: it, or kind, name or at, was changed",
                );
            }
        }
    }
    Ok(())
}
