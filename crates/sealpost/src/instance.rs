//! An opened instance: store, keys, log, and the services that stand on them.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rustix::fs::{AtFlags, Gid, Uid};
use sealpost_archive::{Archive, Upkeep};
use sealpost_audit::Audit;
use sealpost_backup::Backup;
use sealpost_crypto::Random;
use sealpost_delivery::{Delivery, Ground};
use sealpost_identity::Identity;
use sealpost_mailbox::Mailboxes;
use sealpost_model::{SharedClock, SystemClock};
use sealpost_pickup::Pickup;
use sealpost_store::keys::{Keys, Master};
use sealpost_store::ring::Ring;
use sealpost_store::{Schema, Store};

use crate::config::Config;

/// Every crate's tables.
pub const SCHEMAS: &[&Schema] = &[
    &sealpost_audit::SCHEMA,
    &sealpost_identity::SCHEMA,
    &sealpost_archive::SCHEMA,
    &sealpost_mailbox::SCHEMA,
    &sealpost_delivery::SCHEMA,
    &sealpost_pickup::SCHEMA,
    &sealpost_backup::SCHEMA,
    &crate::certificates::shelf::SCHEMA,
];

/// The store with its keys: all that an offline proof needs.
pub struct Opened {
    /// Rows and blobs.
    pub store: Store,
    /// Keys.
    pub keys: Keys,
    /// The time.
    pub clock: SharedClock,
    /// Chance.
    pub random: Random,
}

/// The services of a running server.
#[derive(Clone)]
pub struct Instance {
    /// Rows and blobs.
    pub store: Store,
    /// Keys.
    pub keys: Keys,
    /// The log.
    pub audit: Audit,
    /// People and addresses.
    pub identity: Identity,
    /// Mailboxes.
    pub mailboxes: Mailboxes,
    /// The way in and out.
    pub delivery: Delivery,
    /// The upkeep of bodies.
    pub upkeep: Upkeep,
    /// Messages that wait here.
    pub pickup: Pickup,
    /// Backup sets.
    pub backup: Backup,
    /// What links for the organisation's people begin with.
    pub mail_url: String,
    /// The time.
    pub clock: SharedClock,
    /// Chance.
    pub random: Random,
}

/// How to open the data.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As the one process that changes it.
    Serve,
    /// To look at it, beside a server too.
    Look,
    /// As what a restore has filled and not ended yet.
    Restored,
}

impl Opened {
    /// Makes the keys, the key ring and an empty store where nothing is yet.
    pub async fn create(config: &Config) -> Result<Self> {
        let (clock, random) = (system_clock(), Random::system());
        let master = crate::master::create(config, &random)?;
        Ring::create(crate::master::places(config), &master, &random)
            .with_context(|| format!("the key ring {} can't be made", config.keys.ring.display()))
            .map(drop)?;
        Self::with(config, &master, Mode::Serve, clock, random, true).await
    }

    /// Opens what [`Opened::create`] made.
    pub async fn open(config: &Config, mode: Mode) -> Result<Self> {
        let (clock, random) = (system_clock(), Random::system());
        let master = crate::master::open(config)?;
        Self::with(config, &master, mode, clock, random, false).await
    }

    /// Opens it as the one process that changes it, with a master key that was had some other way.
    pub async fn open_with(config: &Config, master: &Master) -> Result<Self> {
        Self::with(config, master, Mode::Serve, system_clock(), Random::system(), false).await
    }

    async fn with(
        config: &Config,
        master: &Master,
        mode: Mode,
        clock: SharedClock,
        random: Random,
        new: bool,
    ) -> Result<Self> {
        if !matches!(mode, Mode::Restored) {
            crate::backup::must_be_whole(config)?;
        }
        let own =
            sealpost_store::Options::embedded(config.server.data.clone(), Arc::clone(&clock), random.clone());
        let options = sealpost_store::Options {
            engine: config.engine()?,
            bodies: config.bodies()?,
            reserve: config.limits.disk_reserve,
            ..own
        };
        let store = match mode {
            Mode::Serve | Mode::Restored => Store::open(options, SCHEMAS)?,
            Mode::Look => Store::open_read_only(options, SCHEMAS)?,
        };
        let ring = match mode {
            Mode::Serve | Mode::Restored => Ring::open(crate::master::places(config), master, &random)?,
            Mode::Look => Ring::look(crate::master::places(config), master)?,
        };
        let keys = if new {
            Keys::create(store.clone(), ring, master).await?
        } else {
            Keys::open(store.clone(), ring, master).await?
        };
        Ok(Self { store, keys, clock, random })
    }
}

impl Instance {
    /// The services over an opened store.
    pub async fn start(config: &Config, opened: Opened) -> Result<Self> {
        Self::start_as(config, opened, false).await
    }

    /// The same for a store that was restored just now: its log goes on with the word of that.
    pub async fn start_restored(config: &Config, opened: Opened) -> Result<Self> {
        Self::start_as(config, opened, true).await
    }

    async fn start_as(config: &Config, opened: Opened, restoring: bool) -> Result<Self> {
        let Opened { store, keys, clock, random } = opened;
        for anchor in config.anchor_files() {
            make_folder(anchor.parent().unwrap_or(Path::new(".")))?;
        }
        let post = crate::anchor::Post::default();
        let audit = Audit::new(
            store.clone(),
            keys.clone(),
            Arc::clone(&clock),
            random.clone(),
            sealpost_audit::Options {
                anchors: crate::anchor::witnesses(config, &post)?,
                server: config.server.hostname.clone(),
                durable_reads: config.audit.reads == crate::config::Reads::Durable,
                heartbeat: std::time::Duration::from_secs(config.audit.heartbeat.unwrap_or(0) * 60),
                restoring,
            },
        )
        .await?;
        let identity = Identity::new(
            store.clone(),
            keys.clone(),
            audit.clone(),
            Arc::clone(&clock),
            random.clone(),
            sealpost_identity::Options {
                leaked: config.passwords.leaked.clone(),
                ..sealpost_identity::Options::default()
            },
        );
        let upkeep =
            Upkeep::new(store.clone(), keys.clone(), audit.clone(), sealpost_archive::Rules::default());
        let archive = Archive::new(store.clone(), keys.clone(), random.clone());
        let mailboxes =
            Mailboxes::new(store.clone(), keys.clone(), audit.clone(), Arc::clone(&clock), random.clone());
        let delivery = Delivery::new(
            Ground {
                store: store.clone(),
                keys: keys.clone(),
                audit: audit.clone(),
                identity: identity.clone(),
                archive,
                mailboxes: mailboxes.clone(),
                clock: Arc::clone(&clock),
                random: random.clone(),
            },
            sealpost_delivery::Options {
                hostname: config.server.hostname.clone(),
                message_size: config.limits.message_size,
                ..sealpost_delivery::Options::default()
            },
        );
        let hosts = config.hosts()?;
        let pickup = Pickup::new(
            sealpost_pickup::Ground {
                store: store.clone(),
                keys: keys.clone(),
                audit: audit.clone(),
                delivery: delivery.clone(),
                clock: Arc::clone(&clock),
                random: random.clone(),
            },
            sealpost_pickup::Options {
                portal: hosts.portal.to_string(),
                mail: hosts.mail.to_string(),
                ..sealpost_pickup::Options::new(&config.server.public_url)
            },
        );
        let backup = Backup::new(
            sealpost_backup::Ground {
                store: store.clone(),
                schemas: SCHEMAS,
                keys: keys.clone(),
                audit: audit.clone(),
                clock: Arc::clone(&clock),
                random: random.clone(),
            },
            crate::backup::options(config)?,
        );
        let mail_url = hosts.mail.to_string();
        let instance = Self {
            store,
            keys,
            audit,
            identity,
            mailboxes,
            delivery,
            upkeep,
            pickup,
            backup,
            mail_url,
            clock,
            random,
        };
        post.is_open(&instance);
        Ok(instance)
    }
}

/// Makes a folder for its owner alone, and those above it.
pub fn make_folder(folder: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("the folder {} can't be made", folder.display()))
}

/// Writes a new file for its owner alone; one that is there is an error.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    if path.exists() {
        bail!("{} is there already and is not overwritten", path.display());
    }
    let write = || {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().with_context(|| format!("{} can't be written", path.display()))
}

/// Whose the files of an instance are, where root works on an instance that another user serves.
pub struct Owner {
    uid: Uid,
    gid: Gid,
}

/// Gives what root made in an instance's folders to whoever serves it.
///
/// # Errors
/// When that is not possible.
pub fn give_back(config: &Config) -> Result<()> {
    let Some(owner) = Owner::of(&config.server.data) else { return Ok(()) };
    owner.take(&config.server.data)?;
    owner.take(&config.keys.ring)
}

impl Owner {
    /// The owner of a folder that is there, if we are root and they are not.
    pub fn of(folder: &Path) -> Option<Self> {
        let meta = folder.metadata().ok()?;
        (rustix::process::geteuid().is_root() && meta.uid() != 0)
            .then(|| Self { uid: Uid::from_raw(meta.uid()), gid: Gid::from_raw(meta.gid()) })
    }

    /// Gives them a file or folder with all that is in it.
    pub fn take(&self, path: &Path) -> Result<()> {
        let chown = |path: &Path| {
            rustix::fs::chownat(
                rustix::fs::CWD,
                path,
                Some(self.uid),
                Some(self.gid),
                AtFlags::SYMLINK_NOFOLLOW,
            )
            .with_context(|| format!("{} can't be given to user {}", path.display(), self.uid.as_raw()))
        };
        chown(path)?;
        if path.symlink_metadata()?.is_dir() {
            for entry in path.read_dir()? {
                self.take(&entry?.path())?;
            }
        }
        Ok(())
    }

    /// Lets their group read a file that stays root's.
    pub fn may_read(&self, path: &Path) -> Result<()> {
        rustix::fs::chown(path, None, Some(self.gid))
            .and_then(|()| rustix::fs::chmod(path, 0o640.into()))
            .with_context(|| format!("{} can't be made readable for the server's group", path.display()))
    }
}

/// The machine's clock.
pub fn system_clock() -> SharedClock {
    Arc::new(SystemClock)
}
