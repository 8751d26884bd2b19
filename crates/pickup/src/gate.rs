//! The gate: what the holder of a link may see and press, and what each request inside an open message must prove.

use sealpost_audit::Verb;
use sealpost_model::{Actor, Client, Secret};
use sealpost_store::params;

use crate::open::Opened;
use crate::row::Found;
use crate::state::EndedBy;
use crate::{Browser, Error, Glance, Link, Opening, Pickup, Pressed, State, schema};

impl Pickup {
    /// What the holder of a link may know. `None`: nobody was given this link.
    ///
    /// # Errors
    /// The store's, the keys', and [`Error::Corrupt`].
    pub async fn glance(&self, link: &Link) -> Result<Option<Glance>, Error> {
        match self.by_link(link).await? {
            Some(found) => Ok(Some(self.glance_at(&found)?)),
            None => Ok(None),
        }
    }

    /// The same for the page behind the link: that it was fetched is written down, as that and as no more.
    ///
    /// # Errors
    /// The same, and the log's.
    pub async fn visit(&self, link: &Link, client: &Client) -> Result<Option<Glance>, Error> {
        let Some(found) = self.by_link(link).await? else { return Ok(None) };
        let draft = self
            .inner
            .audit
            .draft(found.row.tenant, &Actor::Stranger, client, Verb::PickupVisit)
            .owner(found.message.account)
            .object(found.row.pickup)
            .object(found.row.id);
        self.inner.audit.read(draft).await?;
        Ok(Some(self.glance_at(&found)?))
    }

    pub(crate) fn glance_at(&self, found: &Found) -> Result<Glance, Error> {
        let Found { row, message, keys } = found;
        Ok(Glance {
            recipient: row.id,
            organisation: message.detail(keys)?.organisation,
            address: row.address(keys)?,
            state: row.now.state_at(self.inner.clock.now()),
            expires: row.now.expires,
            last_day: row.now.last_day(),
            ended: row.now.ended,
            ended_by_hand: matches!(row.now.ended_by, Some(EndedBy::Sender | EndedBy::Administrator)),
            tries_left: row.now.tries_left(),
        })
    }

    /// "Press to open". A browser that earned it before gets its session; any other is asked for the code.
    ///
    /// A lock keeps new browsers out. It doesn't shut out who proved to be the recipient: or anybody with the link
    /// could, by guessing wrong (S50).
    ///
    /// # Errors
    /// The store's, the keys', the log's, and [`Error::Corrupt`].
    pub async fn press(&self, link: &Link, browser: &Browser, client: &Client) -> Result<Pressed, Error> {
        let Some(found) = self.by_link(link).await? else { return Ok(Pressed::Unknown) };
        let state = found.row.now.state_at(self.inner.clock.now());
        let ask = found.row.now.ask || self.inner.options.always_ask;
        if state.is_kept() && !ask && self.is_known(&found, browser).await? {
            let grant = self.grant_session(browser);
            let (now, found2, entry) = (self.inner.clock.now(), found.clone(), grant.clone());
            let draft = self
                .inner
                .audit
                .draft(found.row.tenant, &self.recipient(&found), client, Verb::PickupVisit)
                .owner(found.message.account)
                .reason("known-device")
                .object(found.row.pickup)
                .object(found.row.id);
            let audit = self.inner.audit.seal(draft).await?;
            self.write(found.row.tenant, move |tx| {
                entry.insert_session(tx, &found2, now)?;
                Ok(sealpost_audit::insert(tx, &audit)?)
            })
            .await?;
            return Ok(Pressed::Open(grant.granted(&found)));
        }
        if state.is_live() { Ok(Pressed::Code) } else { Ok(Pressed::Gone(Box::new(self.glance_at(&found)?))) }
    }

    /// What a request inside an open message meets. This is where open tabs close after an end (S31) and where 20
    /// idle minutes are counted (S33).
    ///
    /// # Errors
    /// The store's, the keys', and [`Error::Corrupt`].
    pub async fn opened(
        &self,
        link: &Link,
        session: Option<&Secret<String>>,
        client: &Client,
    ) -> Result<Opening, Error> {
        let Some(found) = self.by_link(link).await? else { return Ok(Opening::Unknown) };
        let state = found.row.now.state_at(self.inner.clock.now());
        if !state.is_kept() {
            let draft = self
                .inner
                .audit
                .draft(found.row.tenant, &Actor::Stranger, client, Verb::PickupOpen)
                .owner(found.message.account)
                .refused()
                .reason(state.word())
                .object(found.row.pickup)
                .object(found.row.id);
            self.inner.audit.refusal(draft).await?;
            return Ok(Opening::Gone(Box::new(self.glance_at(&found)?)));
        }
        match self.session(&found, session).await? {
            Some(token) => Ok(Opening::Open(Box::new(Opened::new(found, token)?))),
            // A lock is said to whoever has no session; who has one reads on.
            None if state == State::Locked => Ok(Opening::Gone(Box::new(self.glance_at(&found)?))),
            None => Ok(Opening::Closed),
        }
    }

    /// Ends the browser's session, for all messages that are open in it.
    ///
    /// # Errors
    /// The store's and the log's.
    pub async fn close(&self, opened: &Opened, client: &Client) -> Result<(), Error> {
        let draft = self
            .inner
            .audit
            .draft(opened.tenant(), &opened.actor(), client, Verb::SessionEnd)
            .owner(opened.message().account)
            .object(opened.id());
        let audit = self.inner.audit.seal(draft).await?;
        let token = opened.session();
        self.write(opened.tenant(), move |tx| {
            tx.execute(&schema::END_SESSION, params![token])?;
            Ok(sealpost_audit::insert(tx, &audit)?)
        })
        .await
    }

    pub(crate) fn recipient(&self, found: &Found) -> Actor {
        Actor::Recipient { tenant: found.row.tenant, recipient: found.row.id }
    }
}
