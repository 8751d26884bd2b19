//! Where the master key is kept, and how it is had: `[keys] master` in words.
//!
//! | setting | it is kept |
//! |---|---|
//! | `file:PATH` | in a file of mode 0600 |
//! | `passphrase` | beside the key ring, wrapped by a key that argon2id makes of a passphrase |
//! | `pkcs11:...` | beside the key ring, wrapped by an AES key that never leaves a token (RFC 7512) |

mod ask;
mod token;
mod uri;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sealpost_crypto::Random;
use sealpost_model::Secret;
use sealpost_store::keys::{Keeper, Master, NewMaster, Passphrase};
use sealpost_store::ring::{Place, Places};

use crate::config::Config;
use crate::instance::make_folder;

pub use ask::{line, new_passphrase, passphrase, say};
pub use token::Token;
pub use uri::Uri;

/// What keeps the master key.
pub enum Kept {
    /// A file.
    File(PathBuf),
    /// A passphrase that somebody types at each start, or that the service manager hands over.
    Passphrase,
    /// A key in a token.
    Token(Uri),
}

impl Kept {
    /// Reads `[keys] master`; a relative path starts at `base`.
    ///
    /// # Errors
    /// One sentence that says what it may be.
    pub fn parse(text: &str, base: &Path) -> Result<Self> {
        match text.split_once(':') {
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(base.join(path))),
            Some(("pkcs11", _)) => Ok(Self::Token(Uri::parse(text).map_err(anyhow::Error::msg)?)),
            None if text == "passphrase" => Ok(Self::Passphrase),
            _ => bail!(
                "[keys] master must be \"file:PATH\", \"passphrase\" or \"pkcs11:token=NAME;object=NAME?module-path=LIBRARY\""
            ),
        }
    }
}

/// The key ring and its second place.
pub fn places(config: &Config) -> Places {
    Places {
        ring: Place::Folder(config.keys.ring.clone()),
        second: config.keys.destructions.clone().map(Place::Folder),
    }
}

/// The master key, from where the configuration says that it is kept.
pub fn open(config: &Config) -> Result<Master> {
    let places = places(config);
    Ok(match config.kept()? {
        Kept::File(_) => open_file(&config.master_file()?, &places)?,
        Kept::Passphrase => Master::take(&places, &Passphrase::new(passphrase(config)?))?,
        Kept::Token(uri) => Master::take(&places, &Token::new(uri))?,
    })
}

/// The file's key; where a rotation was cut short before its file got its name, that of the new file.
fn open_file(path: &Path, places: &Places) -> Result<Master> {
    let master = Master::load_file(path);
    let next = next_file(path);
    if !next.exists() {
        return Ok(master?);
    }
    match master {
        Ok(master) if sealpost_store::ring::Ring::look(places.clone(), &master).is_ok() => Ok(master),
        Ok(_) | Err(_) => Ok(Master::load_file(&next)?),
    }
}

/// Makes the master key of a new instance.
pub fn create(config: &Config, random: &Random) -> Result<Master> {
    let places = places(config);
    Ok(match config.kept()? {
        Kept::File(path) => {
            make_folder(path.parent().unwrap_or(Path::new(".")))?;
            Master::create_file(&path, random)?
        }
        Kept::Passphrase => Master::create_kept(&places, &Passphrase::new(new_passphrase(config)?), random)?,
        Kept::Token(uri) => Master::create_kept(&places, &Token::new(uri), random)?,
    })
}

/// The file in which a new key waits for the end of a rotation.
pub fn next_file(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

/// Gives the file of the new master key the name of the old one.
pub fn promote_file(path: &Path) -> Result<()> {
    let next = next_file(path);
    std::fs::rename(&next, path)
        .and_then(|()| std::fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all())
        .with_context(|| {
            format!(
                "the new master key is in {} and can't be given the name {}",
                next.display(),
                path.display()
            )
        })
}

/// A new master key to take the old one's place, as somebody asks for it over the control socket.
pub fn new_master(order: Order, random: &Random) -> Result<NewMaster> {
    let kept = |keeper: &dyn Keeper| Ok(NewMaster::kept(keeper, random)?);
    match order {
        Order::File { text } => Ok(NewMaster::in_text(&text.into())?),
        Order::Passphrase { text } => kept(&Passphrase::new(Secret::new(text))),
        Order::Token { uri } => kept(&Token::new(Uri::parse(&uri).map_err(anyhow::Error::msg)?)),
    }
}

/// What shall keep the new master key.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// A file that is there already; its text.
    File {
        /// As it stands in the file.
        text: String,
    },
    /// A passphrase.
    Passphrase {
        /// The passphrase.
        text: String,
    },
    /// A token.
    Token {
        /// As in `[keys] master`.
        uri: String,
    },
}
