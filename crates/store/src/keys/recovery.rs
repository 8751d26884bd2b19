//! The recovery kit: what brings the master key back when its file, its passphrase or its token is lost.
//!
//! A kit is a pair of keys ([`sealpost_crypto::RecoveryKey`]). Its secret half exists as shares on paper, `k` of `n`, and
//! nowhere else; with its public half the master key is sealed into the paper `recovery` beside the ring and at the
//! second place. So a new master key is sealed to the same kit, and no share has to be fetched for a rotation.
//!
//! Who has `k` shares **and** that paper has the master key; who has less has nothing. The paper's facts are under a MAC
//! of the master key: that the kit was tried (`key drill`) can't be written by who does not hold it.

use sealpost_crypto::{
    Aad, MOST_SHARES, RECOVERY_PUBLIC, Random, RecoveryKey, RecoveryPublic, Share, base32,
};
use sealpost_model::Time;

use super::master::One;
use super::{Error, Keys, Master, Purpose, Result};
use crate::ring::{Paper, Places};

const NAME: &str = "recovery";
const FORMAT: &str = "sealpost-recovery-1";
/// Lines that the MAC covers.
const COVERED: [&str; 7] = ["kit", "needed", "shares", "made", "public", "sealed", "tried"];

/// A kit that was just made. Its shares are here and nowhere else: print them, give each to its person, and let go.
pub struct RecoveryKit {
    shares: Vec<Share>,
}

/// What is known of a kit.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct KitFacts {
    /// Its name: eight letters, as on the shares.
    pub kit: String,
    /// How many shares it takes.
    pub needed: u8,
    /// How many were made.
    pub shares: u8,
    /// When.
    pub made: Time,
    /// When enough shares last opened it.
    pub tried: Option<Time>,
    /// Whether it opens today's master key.
    pub opens: bool,
}

impl RecoveryKit {
    /// Makes a kit of `n` shares, any `k` of which bring the master key back. An older kit is void from then on.
    ///
    /// # Errors
    /// [`Error::Kit`] when none is to suffice, or more than 16 are to be made; [`Error::Ring`].
    pub fn create(keys: &Keys, k: u8, n: u8) -> Result<Self> {
        let store = &keys.inner.store;
        Self::create_for(keys.master(), keys.ring().places(), store.random(), store.clock().now(), k, n)
    }

    pub(super) fn create_for(
        master: &Master,
        places: &Places,
        random: &Random,
        now: Time,
        k: u8,
        n: u8,
    ) -> Result<Self> {
        if k == 0 || n < k || n > MOST_SHARES {
            return Err(Error::Kit(format!(
                "{k} of {n} is no kit: make 1 to {MOST_SHARES} shares, and let so many of them be enough; 2 of 3 is usual"
            )));
        }
        let secret = random.key();
        let shares = Share::kit(random, &secret, k, n, now.day());
        let kit = shares.first().map(Share::kit_name).unwrap_or_default();
        let paper = Paper::default()
            .with("kit", &kit)
            .with("needed", k)
            .with("shares", n)
            .with("made", now.millis())
            .with_bytes("public", RecoveryKey::from_secret(&secret).public().bytes());
        write(places, master, random, paper)?;
        Ok(Self { shares })
    }

    /// The shares, each for one person. [`Share::text`] is what goes on its paper.
    pub fn shares(&self) -> &[Share] {
        &self.shares
    }
}

impl std::fmt::Debug for RecoveryKit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.shares)
    }
}

/// What is known of today's kit; `None` when none was made.
///
/// # Errors
/// [`Error::Kit`] when its paper was changed by somebody who has not the master key.
pub fn facts(keys: &Keys) -> Result<Option<KitFacts>> {
    facts_of(keys.ring().places(), keys.master())
}

pub(super) fn facts_of(places: &Places, master: &Master) -> Result<Option<KitFacts>> {
    let Some(paper) = read(places)? else { return Ok(None) };
    verify(&paper, master)?;
    facts_in(&paper, &master.fingerprint()).map(Some)
}

/// Brings the master key back from the shares of enough people. Nothing is changed.
///
/// # Errors
/// [`Error::Shares`], [`Error::Kit`], each with what to do.
pub fn open(places: &Places, shares: &[Share]) -> Result<Master> {
    opened(places, shares).map(|(_, one)| Master::from(one))
}

/// Proves that these shares open the kit, and notes that. Nothing else is changed.
///
/// # Errors
/// As [`open`].
pub fn drill(places: &Places, shares: &[Share], now: Time) -> Result<KitFacts> {
    let (paper, one) = opened(places, shares)?;
    let master = Master::from(one);
    verify(&paper, &master)?;
    let paper = paper.without("tried").with("tried", now.millis());
    // Nothing is sealed anew: what was proved is what lies there.
    put(places, &master, &paper)?;
    facts_in(&paper, &master.fingerprint())
}

/// Seals the master keys that are held to the kit, if there is one: at the beginning of a rotation both, at its end the
/// new one alone.
pub(super) fn reseal(places: &Places, master: &Master, random: &Random) -> Result<()> {
    let Some(paper) = read(places)? else { return Ok(()) };
    verify(&paper, master)?;
    write(places, master, random, paper)
}

fn opened(places: &Places, shares: &[Share]) -> Result<(Paper, One)> {
    let none = "there is no recovery kit beside this key ring: put the file `recovery` back from the backup of the ring";
    let paper = read(places)?.ok_or_else(|| Error::Kit(none.to_owned()))?;
    let secret = Share::join(shares)?;
    let kit = paper.get("kit").unwrap_or_default().to_owned();
    if let Some(other) = shares.iter().map(Share::kit_name).find(|name| *name != kit) {
        return Err(Error::Kit(format!("the shares are of kit {other}, and this key ring has kit {kit}")));
    }
    let key = RecoveryKey::from_secret(&secret);
    if paper.array::<RECOVERY_PUBLIC>("public").as_ref() != Some(key.public().bytes()) {
        return Err(Error::Kit(
            "the shares do not open the kit: one of them is of an older printing, or was changed".to_owned(),
        ));
    }
    let master = paper
        .all("sealed")
        .filter_map(parts)
        .find_map(|(name, sealed)| key.open(&sealed_aad(&kit, &name), &sealed).ok());
    let changed = "the sealed master key in the file `recovery` was changed: put it back from a backup";
    let master = master.ok_or_else(|| Error::Kit(changed.to_owned()))?;
    Ok((paper, One::new(master)))
}

fn facts_in(paper: &Paper, current: &[u8; 8]) -> Result<KitFacts> {
    let facts = || {
        Some(KitFacts {
            kit: paper.get("kit")?.to_owned(),
            needed: paper.int("needed")?,
            shares: paper.int("shares")?,
            made: Time::from_millis(paper.int("made")?),
            tried: paper.int("tried").map(Time::from_millis),
            opens: paper.all("sealed").filter_map(parts).any(|(name, _)| name == *current),
        })
    };
    facts().ok_or_else(changed)
}

fn read(places: &Places) -> Result<Option<Paper>> {
    let Some(text) = places.read_paper(NAME)? else { return Ok(None) };
    Paper::parse(FORMAT, &text).map(Some).ok_or_else(changed)
}

/// Seals to the kit, and writes.
fn write(places: &Places, master: &Master, random: &Random, paper: Paper) -> Result<()> {
    let kit = paper.get("kit").unwrap_or_default().to_owned();
    let public = paper.array::<RECOVERY_PUBLIC>("public").ok_or_else(changed)?;
    let public = RecoveryPublic::from_bytes(public).map_err(|_| changed())?;
    let mut paper = paper.without("sealed");
    for One { key, fingerprint } in master.held() {
        let sealed = public.seal(random, &sealed_aad(&kit, &fingerprint), &key).map_err(|_| changed())?;
        paper = paper.with("sealed", format!("{} {}", base32::encode(&fingerprint), base32::encode(&sealed)));
    }
    put(places, master, &paper)
}

fn put(places: &Places, master: &Master, paper: &Paper) -> Result<()> {
    let paper = paper.clone().without("mac");
    let (name, mac) = master.mac(Purpose::Papers, &covered(&paper));
    let paper = paper.with("mac", format!("{} {}", base32::encode(&name), base32::encode(&mac)));
    Ok(places.write_paper(NAME, &paper.text(FORMAT))?)
}

fn verify(paper: &Paper, master: &Master) -> Result<()> {
    let (name, mac) = paper.get("mac").and_then(parts).ok_or_else(changed)?;
    master.verify_mac(Purpose::Papers, &name, &covered(paper), &mac).map_err(|_| changed())
}

fn covered(paper: &Paper) -> Vec<&[u8]> {
    let mut parts: Vec<&[u8]> = vec![FORMAT.as_bytes()];
    for name in COVERED {
        parts.push(name.as_bytes());
        parts.extend(paper.all(name).map(str::as_bytes));
    }
    parts
}

/// A master key's name, and what follows it.
fn parts(line: &str) -> Option<([u8; 8], Vec<u8>)> {
    let (name, rest) = line.split_once(' ')?;
    Some((base32::decode(name)?, base32::decode_any(rest)?))
}

fn sealed_aad(kit: &str, fingerprint: &[u8; 8]) -> Aad {
    Aad::instance("recovery", 1, "master").with(kit.as_bytes()).with(fingerprint)
}

fn changed() -> Error {
    Error::Kit(
        "the file `recovery` beside the key ring is not what was written: make a new kit with `sealpost key kit`"
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::ring::Place;

    const NOW: Time = Time::from_seconds(1_800_000_000);

    struct World {
        dir: TempDir,
        places: Places,
        master: Master,
        random: Random,
    }

    impl World {
        fn new() -> Self {
            let dir = TempDir::new().unwrap();
            let at = |name| Place::Folder(dir.path().join(name));
            let places = Places { ring: at("ring"), second: Some(at("second")) };
            let random = Random::danger_predictable(3);
            Self { places, master: Master::new(random.key()), random, dir }
        }

        fn kit(&self, k: u8, n: u8) -> Vec<Share> {
            RecoveryKit::create_for(&self.master, &self.places, &self.random, NOW, k, n).unwrap().shares
        }

        fn file(&self) -> std::path::PathBuf {
            self.dir.path().join("ring/recovery")
        }
    }

    #[test]
    fn any_k_shares_bring_the_master_key_back_and_a_drill_is_remembered() {
        let world = World::new();
        assert_eq!(facts_of(&world.places, &world.master).unwrap(), None);
        let shares = world.kit(3, 5);
        let typed: Vec<Share> = shares[2..].iter().map(|s| Share::parse(&s.text()).unwrap()).collect();
        assert_eq!(open(&world.places, &typed).unwrap().fingerprint(), world.master.fingerprint());
        let fresh = facts_of(&world.places, &world.master).unwrap().unwrap();
        assert_eq!((fresh.needed, fresh.shares, fresh.tried, fresh.opens), (3, 5, None, true));
        let later = NOW.plus(std::time::Duration::from_secs(60));
        drill(&world.places, &shares[..3], later).unwrap();
        let tried = facts_of(&world.places, &world.master).unwrap().unwrap();
        assert_eq!(tried, KitFacts { tried: Some(later), ..fresh });
        // The copy at the second place does as well when the ring is lost.
        fs::remove_dir_all(world.dir.path().join("ring")).unwrap();
        assert_eq!(open(&world.places, &typed).unwrap().fingerprint(), world.master.fingerprint());
    }

    #[test]
    fn fewer_shares_or_others_bring_nothing() {
        let world = World::new();
        let old = world.kit(2, 3);
        let shares = world.kit(3, 5);
        assert!(matches!(open(&world.places, &shares[..2]), Err(Error::Shares(_))));
        let said = open(&world.places, &old[..2]).unwrap_err().to_string();
        assert!(said.contains(&old[0].kit_name()), "{said}");
        for (k, n) in [(0, 3), (0, 0), (4, 3), (2, 17)] {
            assert!(RecoveryKit::create_for(&world.master, &world.places, &world.random, NOW, k, n).is_err());
        }
        assert!(open(&world.places, &shares[1..4]).is_ok(), "a kit that was refused replaced nothing");
    }

    #[test]
    fn who_has_not_the_master_key_can_neither_forge_a_drill_nor_change_the_kit() {
        let world = World::new();
        world.kit(2, 3);
        let right = fs::read_to_string(world.file()).unwrap();
        let other = World::new();
        let theirs = Master::new(Random::danger_predictable(77).key());
        RecoveryKit::create_for(&theirs, &other.places, &world.random, NOW, 2, 2).unwrap();
        let foreign = fs::read_to_string(other.file()).unwrap();
        let public = |text: &str| text.lines().find(|l| l.starts_with("public")).unwrap().to_owned();
        for wrong in [
            right.replace("\nmac ", "\ntried 1800000000000\nmac "),
            right.replace("needed 2", "needed 1"),
            right.replace(&public(&right), &public(&foreign)),
            foreign,
            right.replace("sealpost-recovery-1", "sealpost-recovery-2"),
            String::new(),
        ] {
            fs::write(world.file(), &wrong).unwrap();
            assert!(matches!(facts_of(&world.places, &world.master), Err(Error::Kit(_))), "{wrong}");
            assert!(reseal(&world.places, &world.master, &world.random).is_err());
        }
        fs::write(world.file(), right).unwrap();
        facts_of(&world.places, &world.master).unwrap();
    }

    #[test]
    fn no_share_and_no_key_lies_in_the_paper() {
        let world = World::new();
        let shares = world.kit(2, 3);
        let text = fs::read_to_string(world.file()).unwrap();
        for share in &shares {
            for line in share.text().lines().skip(2) {
                let letters = line.replace(' ', "");
                assert!(!text.contains(&letters[1..21]));
            }
        }
        let key = &world.master.held()[0].key;
        assert!(!text.contains(&base32::encode(key.expose())));
    }
}
