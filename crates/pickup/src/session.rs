//! What a browser earns: a session of 20 idle minutes, and, unless the computer is shared, a credential for later
//! messages of the same organisation to the same recipient (S29, S33).
//!
//! Nothing that a browser brought is ever given more: each proof makes new tokens, and the session that the browser had
//! ends, its grants moving to the new one. Whoever used the browser before and noted a cookie holds a dead one then.

use sealpost_crypto::Token;
use sealpost_model::{DeviceId, Id, Secret, Time};
use sealpost_store::keys::Root;
use sealpost_store::{Tx, params};

use crate::row::Found;
use crate::{Credential, Error, Granted, IDLE, Pickup, SESSION_LIFE, link, schema};

/// What a browser brought. Nothing of it is believed before it was looked up.
#[derive(Clone, Debug, Default)]
pub struct Browser {
    /// Its session.
    pub session: Option<Secret<String>>,
    /// Its credentials, of any recipients. The first [`Browser::DEVICES`] count.
    pub devices: Vec<Secret<String>>,
    /// Whether its user said that others use it too: then it earns no credential and keeps none, and its session so far
    /// ends with all that was open in it.
    pub shared: bool,
}

impl Browser {
    /// How many credentials a browser can hold: a household's.
    pub const DEVICES: usize = 8;
}

/// Tokens for a grant, made before the transaction, and what they replace.
#[derive(Clone)]
pub(crate) struct Grant {
    session: ([u8; 16], Secret<String>),
    device: Option<Device>,
    old_session: Option<[u8; 16]>,
    old_devices: Vec<[u8; 16]>,
    shared: bool,
}

#[derive(Clone)]
struct Device {
    index: [u8; 16],
    text: Secret<String>,
    id: DeviceId,
    expires: Time,
}

impl Pickup {
    /// Prepares what a browser gets for a known credential: a session.
    pub(crate) fn grant_session(&self, browser: &Browser) -> Grant {
        Grant {
            session: self.new_token(SESSION),
            device: None,
            old_session: browser.session.as_ref().and_then(|text| self.index(SESSION, text)),
            old_devices: Vec::new(),
            shared: false,
        }
    }

    /// Prepares what a browser gets for the code: a session, and a credential unless it is shared.
    pub(crate) fn grant(&self, browser: &Browser) -> Grant {
        let device = (!browser.shared).then(|| {
            let (index, text) = self.new_token(DEVICE);
            let expires = self.inner.clock.now().plus(self.inner.options.device_life);
            Device { index, text, id: self.inner.store.id(), expires }
        });
        Grant {
            device,
            old_devices: self.devices(browser),
            shared: browser.shared,
            ..self.grant_session(browser)
        }
    }

    /// Whether this browser earned a credential of this organisation for this recipient.
    pub(crate) async fn is_known(&self, found: &Found, browser: &Browser) -> Result<bool, Error> {
        let devices = self.devices(browser);
        if devices.is_empty() {
            return Ok(false);
        }
        let (tenant, address, now) = (found.row.tenant, found.row.address_index, self.inner.clock.now());
        self.inner
            .store
            .read(move |tx| {
                for index in &devices {
                    let expires = tx.row(&schema::DEVICE, params![*index, tenant, address], |r| r.time(1))?;
                    if expires.is_some_and(|expires| now < expires) {
                        return Ok(true);
                    }
                }
                Ok::<_, Error>(false)
            })
            .await
    }

    /// Whether this browser's session for this recipient lives; keeps it alive.
    pub(crate) async fn session(
        &self,
        found: &Found,
        session: Option<&Secret<String>>,
    ) -> Result<Option<[u8; 16]>, Error> {
        let Some(index) = session.and_then(|text| self.index(SESSION, text)) else { return Ok(None) };
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

    fn devices(&self, browser: &Browser) -> Vec<[u8; 16]> {
        browser.devices.iter().take(Browser::DEVICES).filter_map(|text| self.index(DEVICE, text)).collect()
    }

    fn new_token(&self, purpose: &'static str) -> ([u8; 16], Secret<String>) {
        let token = Token::random(&self.inner.random);
        (link::index(&self.inner.keys, purpose, &token), token.expose())
    }

    fn index(&self, purpose: &'static str, text: &Secret<String>) -> Option<[u8; 16]> {
        Some(link::index(&self.inner.keys, purpose, &Token::parse(text.expose())?))
    }
}

impl Grant {
    pub const fn device_id(&self) -> Option<DeviceId> {
        match &self.device {
            Some(device) => Some(device.id),
            None => None,
        }
    }

    /// Writes the new session and ends the one before it.
    pub fn insert_session(&self, tx: &mut Tx, found: &Found, now: Time) -> Result<(), Error> {
        match &self.old_session {
            Some(old) if !self.shared => tx.execute(&schema::MOVE_SESSION, params![*old, self.session.0])?,
            Some(old) => tx.execute(&schema::END_SESSION, params![*old])?,
            None => 0,
        };
        tx.execute(&schema::INSERT_SESSION, params![self.session.0, found.row.id, now])?;
        Ok(())
    }

    /// Writes the new credential in place of this recipient's old one; in a shared browser all that it brought end.
    pub fn insert_device(&self, tx: &mut Tx, found: &Found, now: Time) -> Result<(), Error> {
        let (tenant, address) = (found.row.tenant, found.row.address_index);
        for old in &self.old_devices {
            if self.shared {
                tx.execute(&schema::END_DEVICE, params![*old])?;
            } else {
                tx.execute(&schema::REPLACE_DEVICE, params![*old, tenant, address])?;
            }
        }
        if let Some(Device { index, id, expires, .. }) = &self.device {
            tx.execute(&schema::INSERT_DEVICE, params![*index, tenant, address, *id, now, *expires])?;
        }
        Ok(())
    }

    pub fn granted(self, found: &Found) -> Granted {
        let device = self.device.map(|d| Credential { label: label(found), token: d.text });
        Granted { session: self.session.1, device }
    }
}

/// Tells a browser's credentials apart, so that a new one replaces that of the same recipient. It says nothing else.
fn label(found: &Found) -> String {
    let key = found.keys.derive(Root::Content, "pickup device label").mac_key();
    let [a, b, c, d, ..] = key.mac(&[&found.row.tenant.raw().to_be_bytes(), &found.row.address_index]);
    format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
}

const SESSION: &str = "pickup_session.token";
const DEVICE: &str = "pickup_device.token";
const TOUCH: std::time::Duration = std::time::Duration::from_secs(30);
