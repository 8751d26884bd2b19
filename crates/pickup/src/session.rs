//! What a browser earns: a session of 20 idle minutes for this message, and, unless the computer is shared, a
//! credential for later messages of the same organisation to the same recipient (S29, S33).

use sealpost_crypto::Token;
use sealpost_model::{DeviceId, RecipientId, Secret, Time};
use sealpost_store::{Tx, params};

use crate::row::Found;
use crate::{Error, Granted, IDLE, Pickup, SESSION_LIFE, link, schema};

/// Tokens for a grant, made before the transaction.
#[derive(Clone)]
pub(crate) struct Grant {
    session: ([u8; 16], Secret<String>),
    device: Option<Device>,
}

#[derive(Clone)]
struct Device {
    index: [u8; 16],
    text: Secret<String>,
    id: DeviceId,
    expires: Time,
}

impl Pickup {
    /// Prepares what a browser will get. A token that it has already, and that we know, is kept: several messages may
    /// be open in it. One that we don't know is never taken over.
    pub(crate) async fn grant(
        &self,
        session: Option<&Secret<String>>,
        device: Option<&Secret<String>>,
    ) -> Result<Grant, Error> {
        let session = self.known_or_fresh(session, Cookie::Session).await?;
        let device = match device {
            Some(token) => {
                let (index, text) = self.known_or_fresh(Some(token), Cookie::Device).await?;
                let expires = self.inner.clock.now().plus(self.inner.options.device_life);
                Some(Device { index, text, id: self.inner.store.id(), expires })
            }
            None => None,
        };
        Ok(Grant { session, device })
    }

    async fn known_or_fresh(
        &self,
        given: Option<&Secret<String>>,
        cookie: Cookie,
    ) -> Result<([u8; 16], Secret<String>), Error> {
        if let Some(token) = given.and_then(|text| Token::parse(text.expose())) {
            let index = link::index(&self.inner.keys, cookie.purpose(), &token);
            let sql = match cookie {
                Cookie::Session => &schema::SESSION_KNOWN,
                Cookie::Device => &schema::DEVICE_KNOWN,
            };
            if self.inner.store.read(move |tx| Ok::<_, Error>(tx.exists(sql, params![index])?)).await? {
                return Ok((index, token.expose()));
            }
        }
        let token = Token::random(&self.inner.random);
        Ok((link::index(&self.inner.keys, cookie.purpose(), &token), token.expose()))
    }

    /// Whether this browser earned a credential of this organisation for this recipient.
    pub(crate) async fn device(&self, found: &Found, device: Option<&Secret<String>>) -> Result<bool, Error> {
        let Some(token) = device.and_then(|text| Token::parse(text.expose())) else { return Ok(false) };
        let index = link::index(&self.inner.keys, Cookie::Device.purpose(), &token);
        let (tenant, address) = (found.row.tenant, found.row.address_index);
        let expires = self
            .inner
            .store
            .read(move |tx| {
                Ok::<_, Error>(tx.row(&schema::DEVICE, params![index, tenant, address], |r| r.time(1))?)
            })
            .await?;
        Ok(expires.is_some_and(|expires| self.inner.clock.now() < expires))
    }

    /// Whether this browser's session for this recipient lives; keeps it alive.
    pub(crate) async fn session(
        &self,
        found: &Found,
        session: Option<&Secret<String>>,
    ) -> Result<Option<[u8; 16]>, Error> {
        let Some(token) = session.and_then(|text| Token::parse(text.expose())) else { return Ok(None) };
        let index = link::index(&self.inner.keys, Cookie::Session.purpose(), &token);
        let (tenant, recipient) = (found.row.tenant, found.row.id);
        let times = self
            .inner
            .store
            .read(move |tx| {
                let row =
                    tx.row(&schema::SESSION, params![index, recipient], |r| Ok((r.time(0)?, r.time(1)?)))?;
                Ok::<_, Error>(row)
            })
            .await?;
        let Some((created, used)) = times else { return Ok(None) };
        let now = self.inner.clock.now();
        if now.since(used) >= IDLE || now.since(created) >= SESSION_LIFE {
            return Ok(None);
        }
        // A page with its pictures and files is many requests: one write in half a minute is enough.
        if now.since(used) >= TOUCH {
            self.write(tenant, move |tx| {
                tx.execute(&schema::TOUCH_SESSION, params![index, recipient, now])?;
                Ok(())
            })
            .await?;
        }
        Ok(Some(index))
    }
}

impl Grant {
    pub const fn device_id(&self) -> Option<DeviceId> {
        match &self.device {
            Some(device) => Some(device.id),
            None => None,
        }
    }

    pub fn insert_session(&self, tx: &mut Tx, recipient: RecipientId, now: Time) -> Result<(), Error> {
        tx.execute(&schema::INSERT_SESSION, params![self.session.0, recipient, now])?;
        Ok(())
    }

    pub fn insert_device(&self, tx: &mut Tx, found: &Found, now: Time) -> Result<(), Error> {
        if let Some(Device { index, id, expires, .. }) = &self.device {
            let (tenant, address) = (found.row.tenant, found.row.address_index);
            tx.execute(&schema::INSERT_DEVICE, params![*index, tenant, address, *id, now, *expires])?;
        }
        Ok(())
    }

    pub fn granted(self) -> Granted {
        Granted { session: self.session.1, device: self.device.map(|d| d.text) }
    }
}

#[derive(Clone, Copy)]
enum Cookie {
    Session,
    Device,
}

impl Cookie {
    const fn purpose(self) -> &'static str {
        match self {
            Self::Session => "pickup_session.token",
            Self::Device => "pickup_device.token",
        }
    }
}

const TOUCH: std::time::Duration = std::time::Duration::from_secs(30);
