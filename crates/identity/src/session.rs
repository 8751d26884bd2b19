//! Web sessions: tokens that only the browser knows, ended by the server's clock (S46).

use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use sealpost_audit::{Caller, Verb};
use sealpost_crypto::Token;
use sealpost_model::{Client, Id, PersonId, Secret, SessionId, TenantId, Time};
use sealpost_store::keys::TenantKeys;
use sealpost_store::{Row, Scope, Topic, params};

use crate::authenticate::{Login, Method, login_of};
use crate::tenant::FIRST;
use crate::{Error, Identity, schema};

/// A session that lives.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Who it is.
    pub login: Login,
    /// When it began.
    pub opened: Time,
    /// When it ends unless it is used.
    pub idle_until: Time,
    /// When it ends in any case.
    pub ends: Time,
}

/// Whether looking at a session is a use of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Touch {
    /// A person did something.
    Yes,
    /// A page looked for news by itself: that keeps nobody signed in.
    No,
}

/// A row of the table.
pub(crate) struct Columns {
    pub id: SessionId,
    pub tenant: TenantId,
    person: PersonId,
    blind: [u8; 16],
    opened: Time,
    seen: Time,
    mac: [u8; 16],
}

impl Columns {
    pub(crate) fn read(r: &Row<'_>) -> Result<Self, sealpost_store::Error> {
        Ok(Self {
            id: r.id(0)?,
            tenant: r.id(1)?,
            person: r.id(2)?,
            blind: r.array(3)?,
            opened: r.time(4)?,
            seen: r.time(5)?,
            mac: r.array(6)?,
        })
    }

    /// All but `seen`, which changes with use.
    fn covered<T>(&self, with: impl FnOnce(&[&[u8]]) -> T) -> T {
        let numbers = [self.tenant.raw(), self.person.raw(), self.opened.millis()].map(i64::to_be_bytes);
        with(&[&numbers[0], &numbers[1], &numbers[2], &self.blind])
    }

    fn mac(&self, keys: &TenantKeys) -> [u8; 16] {
        self.covered(|parts| keys.mac("web_session", self.id.raw(), FIRST, parts))
    }

    pub(crate) fn check(&self, keys: &TenantKeys) -> Result<(), Error> {
        self.covered(|parts| keys.verify_mac("web_session", self.id.raw(), FIRST, parts, &self.mac))
            .map_err(|_| Error::Tampered { table: "web_session", id: self.id.raw() })
    }
}

impl Identity {
    /// Begins a session; the token goes into the browser's cookie and nowhere else.
    ///
    /// # Errors
    /// The store's.
    pub async fn open_session(&self, login: &Login) -> Result<Secret<String>, Error> {
        let token = Token::random(&self.inner.random);
        let now = self.now();
        let keys = self.tenant_keys(login.tenant).await?;
        let mut row = Columns {
            id: self.inner.store.id(),
            tenant: login.tenant,
            person: login.person,
            blind: self.blind_token(&token),
            opened: now,
            seen: now,
            mac: [0; 16],
        };
        row.mac = row.mac(&keys);
        self.inner
            .store
            .write(Scope::tenant(login.tenant), move |tx| {
                let values =
                    params![row.id, row.tenant, row.person, row.blind, row.opened, row.seen, row.mac];
                tx.execute(&schema::SESSION_INSERT, values)
            })
            .await?;
        Ok(token.expose())
    }

    /// The session of a token, if it lives. One whose time is over is ended here, with an entry.
    ///
    /// # Errors
    /// The store's; a row that is not what was written.
    pub async fn session(
        &self,
        token: &Secret<String>,
        touch: Touch,
        client: &Client,
    ) -> Result<Option<Session>, Error> {
        let Some(token) = Token::parse(token.expose()) else { return Ok(None) };
        let blind = self.blind_token(&token);
        let row = self
            .inner
            .store
            .read(move |tx| tx.row(&schema::SESSION_BY_BLIND, params![blind], Columns::read))
            .await?;
        let Some(row) = row else { return Ok(None) };
        row.check(&*self.tenant_keys(row.tenant).await?)?;
        let now = self.now();
        if let Some(reason) = self.over(&row, now) {
            self.end(&row, &Caller::SYSTEM, reason).await?;
            return Ok(None);
        }
        let person = self.person(row.person).await?.filter(|p| !p.disabled && p.tenant == row.tenant);
        let Some(person) = person else {
            self.end(&row, &Caller::SYSTEM, "disabled").await?;
            return Ok(None);
        };
        if touch == Touch::Yes {
            self.touch(&row, now).await?;
        }
        let method = Method::Password { credential: person.credential };
        Ok(Some(self.live(&row, login_of(&person, method, client))))
    }

    /// Ends a session: somebody signed out, or was made to.
    ///
    /// # Errors
    /// The store's.
    pub async fn close_session(
        &self,
        session: &Session,
        by: &Caller,
        reason: &'static str,
    ) -> Result<(), Error> {
        self.kill_session(session.id, by, reason).await.map(drop)
    }

    /// Ends one session of a person.
    ///
    /// # Errors
    /// [`Error::NoSuchSession`] if it is not theirs; the store's.
    pub async fn end_session(&self, person: PersonId, id: SessionId, by: &Caller) -> Result<(), Error> {
        let row = self
            .inner
            .store
            .read(move |tx| tx.row(&schema::SESSION_BY_ID, params![id], Columns::read))
            .await?;
        let row = row.filter(|row| row.person == person).ok_or(Error::NoSuchSession)?;
        self.end(&row, by, "ended-by-other").await
    }

    /// Ends a session by its id; answers whether there was one. Whether `by` may end somebody else's is
    /// `policy::decide::command`'s to say.
    ///
    /// # Errors
    /// The store's.
    pub async fn kill_session(
        &self,
        id: SessionId,
        by: &Caller,
        reason: &'static str,
    ) -> Result<bool, Error> {
        let row = self
            .inner
            .store
            .read(move |tx| tx.row(&schema::SESSION_BY_ID, params![id], Columns::read))
            .await?;
        let Some(row) = row else { return Ok(false) };
        self.end(&row, by, reason).await?;
        Ok(true)
    }

    /// The live sessions of a person.
    ///
    /// # Errors
    /// The store's; a row that is not what was written.
    pub async fn sessions(&self, person: PersonId) -> Result<Vec<Session>, Error> {
        let rows = self
            .inner
            .store
            .read(move |tx| tx.rows(&schema::SESSIONS, params![person], Columns::read))
            .await?;
        let Some(owner) = self.person(person).await? else { return Ok(Vec::new()) };
        let keys = self.tenant_keys(owner.tenant).await?;
        let (now, method) = (self.now(), Method::Password { credential: owner.credential });
        let mut live = Vec::new();
        for row in rows {
            row.check(&keys)?;
            if self.over(&row, now).is_none() {
                live.push(self.live(&row, login_of(&owner, method, &Client::SYSTEM)));
            }
        }
        Ok(live)
    }

    /// Ends the sessions whose time is over, with their entries; answers how many. The binary calls it every minute,
    /// so that a session that nobody comes back to ends in the log too.
    ///
    /// # Errors
    /// The store's.
    pub async fn end_idle_sessions(&self) -> Result<usize, Error> {
        let now = self.now();
        let (idle, life) = (now.minus(self.inner.options.idle), now.minus(self.inner.options.life));
        let rows = self
            .inner
            .store
            .read(move |tx| tx.rows(&schema::SESSIONS_OVER, params![idle, life], Columns::read))
            .await?;
        let mut ended = 0;
        for row in rows {
            if let Some(reason) = self.over(&row, now) {
                self.end(&row, &Caller::SYSTEM, reason).await?;
                ended += 1;
            }
        }
        Ok(ended)
    }

    /// Why a session is over, if it is.
    fn over(&self, row: &Columns, now: Time) -> Option<&'static str> {
        let options = &self.inner.options;
        if now >= row.opened.plus(options.life) {
            Some("life-over")
        } else if now >= self.last_use(row).plus(options.idle) {
            Some("idle")
        } else {
            None
        }
    }

    fn last_use(&self, row: &Columns) -> Time {
        self.seen().get(&row.id).copied().map_or(row.seen, |seen| seen.max(row.seen))
    }

    /// Remembers a use: here at once, in the table every half minute. A crash makes sessions end half a minute early at
    /// most, never late.
    async fn touch(&self, row: &Columns, now: Time) -> Result<(), Error> {
        self.seen().insert(row.id, now);
        if now.since(row.seen) >= WRITE_EVERY {
            let id = row.id;
            self.inner
                .store
                .write(Scope::tenant(row.tenant), move |tx| {
                    tx.execute(&schema::SESSION_SEEN, params![id, now])
                })
                .await?;
        }
        Ok(())
    }

    async fn end(&self, row: &Columns, by: &Caller, reason: &'static str) -> Result<(), Error> {
        let (id, tenant) = (row.id, row.tenant);
        let draft = self
            .inner
            .audit
            .draft(
                tenant,
                &by.actor,
                &by.client,
                if reason == SIGNED_OUT { Verb::Logout } else { Verb::SessionEnd },
            )
            .object(id)
            .object(row.person)
            .reason(reason);
        let entry = self.inner.audit.seal(draft).await?;
        self.inner
            .store
            .write(Scope::tenant(tenant), move |tx| {
                // Of two that end it at once, one writes the entry.
                if tx.execute(&schema::SESSION_DELETE, params![id])? == 1 {
                    sealpost_audit::insert(tx, &entry)?;
                    tx.after_commit(Topic::Sessions);
                }
                Ok::<_, sealpost_store::Error>(())
            })
            .await?;
        self.seen().remove(&id);
        Ok(())
    }

    fn live(&self, row: &Columns, login: Login) -> Session {
        let options = &self.inner.options;
        let ends = row.opened.plus(options.life);
        Session {
            id: row.id,
            login,
            opened: row.opened,
            idle_until: self.last_use(row).plus(options.idle).min(ends),
            ends,
        }
    }

    fn seen(&self) -> MutexGuard<'_, std::collections::HashMap<SessionId, Time>> {
        self.inner.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn blind_token(&self, token: &Token) -> [u8; 16] {
        self.inner.keys.instance().blind("web_session.token", &token.digest("web session"))
    }
}

const WRITE_EVERY: Duration = Duration::from_secs(30);
/// The reason of a person's own sign-out.
const SIGNED_OUT: &str = "signed-out";
