//! Networks that may not sign in for a while, and the counters' way into the table and back.

use std::collections::HashMap;
use std::net::IpAddr;

use sealpost_audit::{Caller, Verb};
use sealpost_model::{BanId, Client, Id, Protocol, Time};
use sealpost_store::keys::InstanceKeys;
use sealpost_store::{Row, Scope, params};

use crate::tenant::FIRST;
use crate::throttle::{self, Who};
use crate::{Change, Error, Identity, schema};

/// A ban as a list shows it.
#[derive(Clone, Debug)]
pub struct BanSummary {
    /// Its id.
    pub id: BanId,
    /// The network, such as `192.0.2.0/24`.
    pub network: String,
    /// Since when.
    pub created: Time,
    /// Until when.
    pub until: Time,
}

/// A row of the table. Networks belong to no organisation.
#[derive(Clone)]
pub(crate) struct BanRow {
    pub id: BanId,
    network: [u8; 16],
    detail: Vec<u8>,
    created: Time,
    until: Time,
    mac: [u8; 16],
}

impl BanRow {
    pub(crate) fn read(r: &Row<'_>) -> Result<Self, sealpost_store::Error> {
        Ok(Self {
            id: r.id(0)?,
            network: r.array(1)?,
            detail: r.bytes(2)?,
            created: r.time(3)?,
            until: r.time(4)?,
            mac: r.array(5)?,
        })
    }

    fn covered<T>(&self, with: impl FnOnce(&[&[u8]]) -> T) -> T {
        let times = [self.created, self.until].map(|t| t.millis().to_be_bytes());
        with(&[&self.network, &times[0], &times[1], &self.detail])
    }

    /// The network; checks the row on the way.
    pub(crate) fn open(&self, keys: &InstanceKeys) -> Result<String, Error> {
        let tampered = || Error::Tampered { table: "ban", id: self.id.raw() };
        self.covered(|parts| keys.verify_mac("ban", self.id.raw(), FIRST, parts, &self.mac))
            .map_err(|_| tampered())?;
        let plain = keys.open(&aad(self.id), &self.detail).map_err(|_| tampered())?;
        String::from_utf8(plain).map_err(|_| tampered())
    }
}

fn aad(id: BanId) -> sealpost_crypto::Aad {
    sealpost_crypto::Aad::new(sealpost_audit::instance(), "ban", id.raw(), "detail")
}

impl Identity {
    /// Who tries, for the counters: the same hashes on every node and after each start.
    pub(crate) fn counted(&self, login: &str, client: &Client, known: bool) -> Who {
        let login = login.trim().to_lowercase();
        let network = throttle::network(client.ip, client.protocol == Protocol::Control);
        let blind = |what: &'static str, text: &str| self.inner.keys.instance().blind(what, text.as_bytes());
        Who {
            network: blind("throttle.network", &network),
            login: blind("throttle.login", &format!("{network} {login}")),
            account: blind("throttle.account", &login),
            known,
        }
    }

    /// Shuts a network out for a while, with its entry in the server's log.
    pub(crate) async fn ban(&self, ip: IpAddr, network: [u8; 16]) -> Result<(), Error> {
        let (now, keys) = (self.now(), self.inner.keys.instance());
        let id: BanId = self.inner.store.id();
        let text = crate::place::network(ip);
        let until = now.plus(self.inner.options.limits.ban_for);
        let detail = keys.seal(&aad(id), text.as_bytes());
        let mut row = BanRow { id, network, detail, created: now, until, mac: [0; 16] };
        row.mac = row.covered(|parts| keys.mac("ban", id.raw(), FIRST, parts));
        self.inner.throttle.ban(network, until);
        let by = Caller::SYSTEM;
        let draft = self
            .inner
            .audit
            .draft(sealpost_audit::instance(), &by.actor, &by.client, Verb::Ban)
            .object(id)
            .note("network", text)
            .note("until", until.rfc3339());
        let entry = self.inner.audit.seal(draft).await?;
        let change = Change::new(sealpost_audit::instance()).entry(entry).write(move |tx| {
            let values = params![row.id, row.network, row.detail, row.created, row.until, row.mac];
            tx.execute(&schema::BAN_INSERT, values)?;
            Ok(())
        });
        self.apply(change).await
    }

    /// The bans that hold.
    ///
    /// # Errors
    /// The store's; a row that is not what was written.
    pub async fn bans(&self) -> Result<Vec<BanSummary>, Error> {
        let keys = self.inner.keys.instance();
        let open = |row: BanRow| {
            Ok(BanSummary { id: row.id, network: row.open(keys)?, created: row.created, until: row.until })
        };
        self.ban_rows().await?.into_iter().map(open).collect()
    }

    /// Lifts a ban, on every node within seconds.
    ///
    /// # Errors
    /// [`Error::NoSuchBan`]; the store's.
    pub async fn lift_ban(&self, id: BanId, by: &Caller) -> Result<(), Error> {
        let row = self.inner.store.read(move |tx| tx.row(&schema::BAN, params![id], BanRow::read)).await?;
        let row = row.ok_or(Error::NoSuchBan)?;
        let network = row.open(self.inner.keys.instance())?;
        let draft = self
            .inner
            .audit
            .draft(sealpost_audit::instance(), &by.actor, &by.client, Verb::BanLift)
            .object(id)
            .note("network", network);
        let entry = self.inner.audit.seal(draft).await?;
        let change = Change::new(sealpost_audit::instance()).entry(entry).write(move |tx| {
            if tx.execute(&schema::BAN_DELETE, params![id])? != 1 {
                return Err(Error::NoSuchBan);
            }
            Ok(())
        });
        self.apply(change).await?;
        self.learn_bans().await
    }

    /// Adds what was counted here to the table, in one commit, and learns what other nodes counted. The program calls it
    /// when it starts and every two seconds. What can't be written now (a full disk) is kept and tried again.
    ///
    /// # Errors
    /// The store's.
    pub async fn share_throttles(&self) -> Result<(), Error> {
        let now = self.now();
        let unsaved = self.inner.throttle.take_unsaved();
        if !unsaved.is_empty() {
            let rows: Vec<_> = unsaved.iter().map(|(key, delta)| (*key, *delta)).collect();
            let written = self
                .inner
                .store
                .write(Scope::tenant(sealpost_audit::instance()), move |tx| {
                    for ((kind, subject), delta) in &rows {
                        tx.execute(&schema::THROTTLE_CHARGE, params![*kind, *subject, now, *delta])?;
                    }
                    tx.execute(&schema::THROTTLE_FORGET, params![now])?;
                    tx.execute(&schema::BANS_OVER, params![now])?;
                    Ok::<_, sealpost_store::Error>(())
                })
                .await;
            if let Err(error) = written {
                self.inner.throttle.put_back(unsaved);
                return Err(error.into());
            }
        }
        let since = self.inner.throttle.learned(now);
        let rows = self
            .inner
            .store
            .read(move |tx| {
                tx.rows(&schema::THROTTLES, params![since, now], |r| {
                    Ok(((r.int(0)?, r.array(1)?), r.time(2)?))
                })
            })
            .await?;
        self.inner.throttle.learn(rows);
        self.learn_bans().await
    }

    async fn learn_bans(&self) -> Result<(), Error> {
        let keys = self.inner.keys.instance();
        let mut banned = HashMap::new();
        for row in self.ban_rows().await? {
            row.open(keys)?;
            banned.insert(row.network, row.until);
        }
        self.inner.throttle.set_bans(banned);
        Ok(())
    }

    async fn ban_rows(&self) -> Result<Vec<BanRow>, Error> {
        let now = self.now();
        Ok(self.inner.store.read(move |tx| tx.rows(&schema::BANS, params![now], BanRow::read)).await?)
    }
}
