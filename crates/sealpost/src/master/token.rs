//! A token keeps the master key: an HSM or a smart card, by its PKCS#11 library, which is loaded at run time.
//!
//! The token has an AES-256 key that it never gives away (made there when there is none of its name). It wraps the master
//! key once, by AES-GCM inside the token, and unwraps it once a start. So the server works on when the token is pulled,
//! and does not start without it.
//!
//! How, in the paper: `aes-gcm` and the nonce in base32.

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use sealpost_crypto::{Key, Random, base32};
use sealpost_store::keys::{Fingerprint, Keeper};
use zeroize::Zeroizing;

use super::{Uri, ask};

/// The token's key that a URI names.
pub struct Token {
    uri: Uri,
}

/// The credential of systemd that holds the PIN.
const CREDENTIAL: &str = "sealpost-pin";
const NONCE: usize = 12;

impl Token {
    /// It is not looked for before it is needed.
    pub const fn new(uri: Uri) -> Self {
        Self { uri }
    }

    /// Works in a session of its own, signed in.
    fn session<T>(&self, work: impl FnOnce(&Session) -> Result<T, String>) -> Result<T, String> {
        let library = self.uri.module.display();
        let pkcs11 = Pkcs11::new(&self.uri.module).map_err(|error| {
            format!(
                "the token's library {library} can't be loaded ({error}): install it, or name the right one as module-path"
            )
        })?;
        match pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) => {}
            Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(format!("the token's library {library} does not start: {error}")),
        }
        let done = self.in_slot(&pkcs11).and_then(|session| {
            let done = work(&session);
            // The session ends either way.
            let _ = session.logout();
            done
        });
        // The library may not be used any more either way.
        let _ = pkcs11.finalize();
        done
    }

    fn in_slot(&self, pkcs11: &Pkcs11) -> Result<Session, String> {
        let slot = self.slot(pkcs11)?;
        let session = pkcs11.open_rw_session(slot).map_err(|error| said("open a session", &error))?;
        let pin = AuthPin::from(self.pin()?);
        match session.login(UserType::User, Some(&pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _)) => {
                Err("the token's PIN is wrong: look at pin-source or the credential sealpost-pin; a few more tries lock \
                     the token"
                    .to_owned())
            }
            Err(Error::Pkcs11(RvError::PinLocked, _)) => Err(
                "the token's PIN is locked after too many wrong tries: unlock it with its security officer's PIN"
                    .to_owned(),
            ),
            Err(error) => Err(said("let us in", &error)),
        }
    }

    fn slot(&self, pkcs11: &Pkcs11) -> Result<Slot, String> {
        let slots = pkcs11.get_slots_with_token().map_err(|error| said("list its slots", &error))?;
        let mut seen = Vec::new();
        for slot in slots {
            let Ok(info) = pkcs11.get_token_info(slot) else { continue };
            let (label, serial) = (info.label().trim(), info.serial_number().trim());
            if self.uri.token.as_deref().is_none_or(|want| want == label)
                && self.uri.serial.as_deref().is_none_or(|want| want == serial)
            {
                return Ok(slot);
            }
            if !label.is_empty() {
                seen.push(format!("{label:?}"));
            }
        }
        let want = self.uri.token.as_deref().or(self.uri.serial.as_deref()).unwrap_or_default();
        let others = if seen.is_empty() { "no token at all".to_owned() } else { seen.join(", ") };
        Err(format!("there is no token {want:?}: plug it in, or name another; there is {others}"))
    }

    fn pin(&self) -> Result<String, String> {
        let pin = match &self.uri.pin {
            Some(path) => ask::read(path).map_err(|e| format!("the token's PIN can't be had: {e:#}"))?,
            None => match ask::credential(CREDENTIAL).map_err(|e| format!("{e:#}"))? {
                Some(pin) => pin,
                None => ask::hidden("PIN of the token: ").map_err(|_| {
                    "the token's PIN can't be asked for without a terminal: name a file with pin-source, or have systemd \
                     load the credential sealpost-pin"
                        .to_owned()
                })?,
            },
        };
        Ok(pin.expose().clone())
    }

    fn key(&self, session: &Session) -> Result<Option<ObjectHandle>, String> {
        let wanted = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::Label(self.uri.object.clone().into_bytes()),
        ];
        let found = session.find_objects(&wanted).map_err(|error| said("look for its key", &error))?;
        match found[..] {
            [] => Ok(None),
            [key] => Ok(Some(key)),
            _ => Err(format!(
                "the token has several keys named {:?}: name one that it has once",
                self.uri.object
            )),
        }
    }

    fn make_key(&self, session: &Session) -> Result<ObjectHandle, String> {
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::Label(self.uri.object.clone().into_bytes()),
            Attribute::ValueLen(32.into()),
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
        ];
        session
            .generate_key(&Mechanism::AesKeyGen, &template)
            .map_err(|error| said("make an AES key of 256 bits", &error))
    }
}

impl Keeper for Token {
    fn word(&self) -> &'static str {
        "pkcs11"
    }

    fn keep(&self, key: &Key, name: &Fingerprint, random: &Random) -> Result<(String, Vec<u8>), String> {
        self.session(|session| {
            let own = match self.key(session)? {
                Some(own) => own,
                None => self.make_key(session)?,
            };
            let mut nonce: [u8; NONCE] = random.bytes();
            let how = format!("aes-gcm {}", base32::encode(&nonce));
            let mechanism = gcm(&mut nonce, name)?;
            let wrapped =
                session.encrypt(&mechanism, own, key.expose()).map_err(|e| said("wrap the key", &e))?;
            Ok((how, wrapped))
        })
    }

    fn take(&self, how: &str, wrapped: &[u8], name: &Fingerprint) -> Result<Key, String> {
        let nonce = how.strip_prefix("aes-gcm ").and_then(base32::decode::<NONCE>);
        let mut nonce = nonce.ok_or("the file `master` names no way of wrapping that this version knows")?;
        self.session(|session| {
            let own = self.key(session)?.ok_or_else(|| {
                format!("the token has no key named {:?}: name the right one, or put it back from the token's backup", self.uri.object)
            })?;
            let mechanism = gcm(&mut nonce, name)?;
            let plain = session.decrypt(&mechanism, own, wrapped).map_err(|_| {
                format!("the token's key {:?} is not the one that wrapped this master key", self.uri.object)
            })?;
            let plain = Zeroizing::new(plain);
            let bytes: [u8; Key::LEN] =
                plain[..].try_into().map_err(|_| "the token unwrapped something else than a key".to_owned())?;
            Ok(Key::from_bytes(bytes))
        })
    }
}

fn gcm<'a>(nonce: &'a mut [u8; NONCE], name: &'a Fingerprint) -> Result<Mechanism<'a>, String> {
    let params = GcmParams::new(nonce, name, 128.into()).map_err(|error| said("do AES-GCM", &error))?;
    Ok(Mechanism::AesGcm(params))
}

fn said(what: &str, error: &Error) -> String {
    format!("the token does not {what}: {error}")
}
