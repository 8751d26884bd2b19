//! A master key that is kept wrapped: by a passphrase, or by a token's key.
//!
//! The paper `master` beside the ring says who keeps it and how, and holds the wrapped key. Whoever keeps it is asked
//! once a start, and once when the key is made; what it wraps is the master key alone, so that a new passphrase or token
//! is a rotation of the master key like any other.

use sealpost_crypto::passphrase::{self, Cost};
use sealpost_crypto::{Aad, Key, Random, base32};
use sealpost_model::Secret;

use super::{Fingerprint, Master, One};
use crate::keys::{Error, Result};
use crate::ring::{Paper, Places};

/// The paper, and the one that will take its place.
pub(in crate::keys) const NAME: &str = "master";
pub(in crate::keys) const NEXT: &str = "master.next";
pub(in crate::keys) const FORMAT: &str = "sealpost-kept-1";

/// Somebody who keeps a master key: wraps it when it is made, and unwraps it at each start.
pub trait Keeper {
    /// Its word in the paper: `passphrase`, `pkcs11`.
    fn word(&self) -> &'static str;

    /// Wraps the key. Answers how, in words that [`Keeper::take`] will be given, and the wrapped key.
    ///
    /// # Errors
    /// One sentence that says what to do.
    fn keep(&self, key: &Key, name: &Fingerprint, random: &Random) -> Result<(String, Vec<u8>), String>;

    /// Unwraps it.
    ///
    /// # Errors
    /// One sentence that says what to do.
    fn take(&self, how: &str, wrapped: &[u8], name: &Fingerprint) -> Result<Key, String>;
}

/// A master key in the making, and the paper in which it is kept if it is kept in one.
pub struct NewMaster {
    pub(in crate::keys) one: One,
    pub(in crate::keys) paper: Option<Paper>,
}

impl NewMaster {
    /// The key of a file that is there already, durably.
    ///
    /// # Errors
    /// As [`Master::load_file`].
    pub fn in_file(path: &std::path::Path) -> Result<Self> {
        Ok(Self::given(&Master::load_file(path)?))
    }

    /// The key in the text of such a file.
    ///
    /// # Errors
    /// [`Error::Master`].
    pub fn in_text(text: &Secret<String>) -> Result<Self> {
        let key = super::file::parse(text.expose());
        let key = key.ok_or_else(|| Error::Master("the text is that of no master key file".to_owned()))?;
        Ok(Self { one: One::new(key), paper: None })
    }

    /// A master key that is kept elsewhere, durably.
    pub fn given(master: &Master) -> Self {
        Self { one: master.current(), paper: None }
    }

    /// A fresh key that `keeper` keeps.
    ///
    /// # Errors
    /// [`Error::Master`].
    pub fn kept(keeper: &dyn Keeper, random: &Random) -> Result<Self> {
        let one = One::new(random.key());
        let (how, wrapped) = keeper.keep(&one.key, &one.fingerprint, random).map_err(Error::Master)?;
        let paper = Paper::default()
            .with("keeper", keeper.word())
            .with_bytes("key", &one.fingerprint)
            .with("how", how)
            .with_bytes("wrapped", &wrapped);
        // What can't be taken back is not kept.
        let taken = keeper.take(paper.get("how").unwrap_or_default(), &wrapped, &one.fingerprint);
        if taken.map_err(Error::Master)? != one.key {
            return Err(Error::Master("what was just wrapped does not come back the same".to_owned()));
        }
        Ok(Self { one, paper: Some(paper) })
    }

    /// Its name.
    pub fn fingerprint(&self) -> Fingerprint {
        self.one.fingerprint
    }
}

impl Master {
    /// Makes a master key for a new instance and has it kept.
    ///
    /// # Errors
    /// [`Error::Master`], also when one is kept there already.
    pub fn create_kept(places: &Places, keeper: &dyn Keeper, random: &Random) -> Result<Self> {
        if places.read_paper(NAME)?.is_some() {
            return Err(Error::Master(
                "a master key is kept beside this key ring already, and is never overwritten".to_owned(),
            ));
        }
        let NewMaster { one, paper } = NewMaster::kept(keeper, random)?;
        places.write_paper(NAME, &paper.unwrap_or_default().text(FORMAT))?;
        Ok(Self::from(one))
    }

    /// Asks its keeper for the master key.
    ///
    /// # Errors
    /// [`Error::Master`].
    pub fn take(places: &Places, keeper: &dyn Keeper) -> Result<Self> {
        let mut why = format!(
            "none is kept by a {} beside this key ring: name the right place in `[keys] ring`, and in `[keys] master` \
             what keeps the key",
            keeper.word()
        );
        for name in [NAME, NEXT] {
            let Some(text) = places.read_paper(name)? else { continue };
            let parsed = Paper::parse(FORMAT, &text).and_then(|paper| {
                let (word, how) = (paper.get("keeper")?.to_owned(), paper.get("how")?.to_owned());
                Some((word, how, paper.array::<8>("key")?, paper.bytes("wrapped")?))
            });
            let Some((word, how, fingerprint, wrapped)) = parsed else {
                why = format!("the file `{name}` beside the key ring is damaged: put it back from a backup");
                continue;
            };
            if word != keeper.word() {
                why = format!("it is kept by a {word} now: say so in `[keys] master`");
                continue;
            }
            match keeper.take(&how, &wrapped, &fingerprint).map(One::new) {
                Ok(one) if one.fingerprint == fingerprint => return Ok(Self::from(one)),
                Ok(_) => why = format!("the file `{name}` beside the key ring is of another key"),
                Err(error) => why = error,
            }
        }
        Err(Error::Master(why))
    }
}

/// A passphrase keeps it, by argon2id.
///
/// How, in the paper: `argon2id`, memory in KiB, passes, lanes, the salt in base32.
pub struct Passphrase {
    text: Secret<String>,
    cost: Cost,
}

/// The fewest characters of a passphrase: five words of a list, say.
pub const SHORTEST: usize = 20;

impl Passphrase {
    /// The one that was typed.
    pub const fn new(text: Secret<String>) -> Self {
        Self { text, cost: passphrase::COST }
    }

    /// One that costs little, for tests that are about something else.
    #[doc(hidden)]
    pub const fn danger_cheap(text: Secret<String>) -> Self {
        Self { text, cost: Cost { memory: 64, passes: 1, lanes: 1 } }
    }
}

impl Keeper for Passphrase {
    fn word(&self) -> &'static str {
        "passphrase"
    }

    fn keep(&self, key: &Key, name: &Fingerprint, random: &Random) -> Result<(String, Vec<u8>), String> {
        if self.text.expose().chars().count() < SHORTEST {
            return Err(format!(
                "the passphrase of the master key is too short: take {SHORTEST} characters or more, as in six words \
                 drawn from a list"
            ));
        }
        let salt: [u8; 16] = random.bytes();
        let Cost { memory, passes, lanes } = self.cost;
        let how = format!("argon2id {memory} {passes} {lanes} {}", base32::encode(&salt));
        let outer = passphrase::stretch(&self.text, &salt, self.cost).ok_or_else(|| NO_MEMORY.to_owned())?;
        let wrapped = outer.wrap(random, &aad(&how, name), key);
        Ok((how, wrapped))
    }

    fn take(&self, how: &str, wrapped: &[u8], name: &Fingerprint) -> Result<Key, String> {
        let (cost, salt) = parse(how).ok_or_else(|| {
            "the file `master` beside the key ring names no way of wrapping that this version knows"
                .to_owned()
        })?;
        let outer = passphrase::stretch(&self.text, &salt, cost).ok_or_else(|| NO_MEMORY.to_owned())?;
        outer.unwrap(&aad(how, name), wrapped).map_err(|_| {
            "the passphrase is not the one of this master key: try again, and mind capitals and spaces"
                .to_owned()
        })
    }
}

const NO_MEMORY: &str = "the passphrase can't be worked on: it takes 256 MiB of free memory for a second";

fn parse(how: &str) -> Option<(Cost, [u8; 16])> {
    let mut words = how.split(' ');
    let mut next = || words.next();
    if next()? != "argon2id" {
        return None;
    }
    let cost =
        Cost { memory: next()?.parse().ok()?, passes: next()?.parse().ok()?, lanes: next()?.parse().ok()? };
    Some((cost, base32::decode(next()?)?))
}

fn aad(how: &str, name: &Fingerprint) -> Aad {
    Aad::instance("master", 1, "wrapped").with(how.as_bytes()).with(name)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::ring::Place;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::danger_cheap(Secret::new(text.to_owned()))
    }

    #[test]
    fn a_passphrase_brings_the_key_back_and_another_says_what_is_wrong() {
        let dir = TempDir::new().unwrap();
        let places = Places::from(Place::Folder(dir.path().join("ring")));
        let random = Random::system();
        let right = passphrase("six words drawn from a list");
        let said = Master::take(&places, &right).unwrap_err().to_string();
        assert!(said.contains("none is kept"), "{said}");
        let made = Master::create_kept(&places, &right, &random).unwrap();
        assert_eq!(Master::take(&places, &right).unwrap().fingerprint(), made.fingerprint());
        let said = Master::take(&places, &passphrase("six words drawn from a lost")).unwrap_err().to_string();
        assert!(said.contains("not the one of this master key") && !said.contains("lost"), "{said}");
        let again = Master::create_kept(&places, &right, &random).unwrap_err().to_string();
        assert!(again.contains("never overwritten"), "{again}");
        let text = std::fs::read_to_string(dir.path().join("ring/master")).unwrap();
        for wrong in [
            text.replace("argon2id 64 1", "argon2id 64 2"),
            text.replace("kept-1", "kept-2"),
            text[..80].into(),
        ] {
            std::fs::write(dir.path().join("ring/master"), &wrong).unwrap();
            assert!(matches!(Master::take(&places, &right), Err(Error::Master(_))), "{wrong}");
        }
    }

    #[test]
    fn a_short_passphrase_keeps_nothing() {
        let dir = TempDir::new().unwrap();
        let places = Places::from(Place::Folder(dir.path().join("ring")));
        let said =
            Master::create_kept(&places, &passphrase("1234567890123456789"), &Random::system()).unwrap_err();
        assert!(said.to_string().contains("20 characters"), "{said}");
        assert!(!dir.path().join("ring/master").exists());
    }

    #[test]
    fn the_cost_is_what_is_promised() {
        let keeper = Passphrase::new(Secret::new("six words drawn from a list".to_owned()));
        let key = Random::system().key();
        let (how, wrapped) = keeper.keep(&key, &[1; 8], &Random::system()).unwrap();
        assert!(how.starts_with("argon2id 262144 4 1 "), "{how}");
        assert_eq!(keeper.take(&how, &wrapped, &[1; 8]), Ok(key));
    }
}
