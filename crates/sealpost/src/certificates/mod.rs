//! The certificates of a running server: from files and from an ACME server, replaced without a restart.
//!
//! Files are looked at each minute, and on SIGHUP. If anything is wrong with new ones the old ones stay, and the log, the
//! metrics and `check` say so. Where nothing is there yet (an ACME server is configured and has not answered), a
//! certificate that nobody trusts keeps the ports open: mail from outside comes in over it, since its senders don't look.

pub mod files;
pub mod orders;
pub mod shelf;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use sealpost_model::SharedClock;
use sealpost_net::{Certificates, LocalCa, ServerCertificate, Stop};

use crate::config::{Config, Tls};

/// Keeps what the listeners offer up to date.
pub struct Keeper {
    /// What the listeners offer.
    pub offered: Certificates,
    clock: SharedClock,
    state: Mutex<State>,
}

struct State {
    tls: Tls,
    names: Vec<String>,
    files: Vec<ServerCertificate>,
    stamp: files::Stamp,
    /// The newest files can't be used, and the old ones stay.
    failing: bool,
    /// Certificates that were ordered.
    ordered: Vec<ServerCertificate>,
}

impl Keeper {
    /// Loads what the configuration names.
    pub fn start(config: &Config, clock: &SharedClock) -> Result<Self> {
        let state = State {
            tls: config.tls.clone(),
            names: config.host_names(),
            stamp: files::stamp(&config.tls),
            files: files::load(&config.tls)?,
            failing: false,
            ordered: Vec::new(),
        };
        let keeper =
            Self { offered: Certificates::default(), clock: clock.clone(), state: Mutex::new(state) };
        keeper.publish(&keeper.lock())?;
        Ok(keeper)
    }

    /// Reads the files of a configuration that was read again.
    ///
    /// # Errors
    /// What is wrong with them; nothing changes then.
    pub fn reload(&self, config: &Config) -> Result<()> {
        let stamp = files::stamp(&config.tls);
        let loaded = files::load(&config.tls)?;
        let mut state = self.lock();
        (state.tls, state.names) = (config.tls.clone(), config.host_names());
        (state.files, state.stamp, state.failing) = (loaded, stamp, false);
        self.publish(&state)
    }

    /// Reads the files if they are others than before. Each state of them is read once, so that a wrong one is told once.
    /// Answers whether new ones are offered.
    ///
    /// # Errors
    /// What is wrong with the new ones; the old ones stay.
    pub fn look(&self) -> Result<bool> {
        let mut state = self.lock();
        let stamp = files::stamp(&state.tls);
        if stamp == state.stamp {
            return Ok(false);
        }
        state.stamp = stamp;
        state.failing = true;
        state.files = files::load(&state.tls)?;
        state.failing = false;
        self.publish(&state)?;
        Ok(true)
    }

    /// Offers certificates that were ordered, in the place of earlier ones.
    pub fn ordered(&self, ordered: Vec<ServerCertificate>) -> Result<()> {
        let mut state = self.lock();
        state.ordered = ordered;
        self.publish(&state)
    }

    /// Whether the newest files could not be used.
    pub fn failing(&self) -> bool {
        self.lock().failing
    }

    /// The names of this server that no file has a certificate for: they are to be ordered.
    pub fn wanted(&self) -> Vec<String> {
        let state = self.lock();
        state.names.iter().filter(|name| !state.files.iter().any(|c| c.names(name))).cloned().collect()
    }

    /// Looks each minute until `stop`.
    pub async fn run(self: Arc<Self>, stop: Stop) {
        let mut minute = tokio::time::interval(MINUTE);
        loop {
            tokio::select! {
                () = stop.stopping() => break,
                _ = minute.tick() => {}
            }
            match self.look() {
                Ok(false) => {}
                Ok(true) => tracing::info!("new certificates are offered"),
                Err(error) => tracing::error!("new certificates can't be used, the old ones stay: {error:#}"),
            }
        }
    }

    fn publish(&self, state: &State) -> Result<()> {
        let mut all: Vec<ServerCertificate> = state.files.iter().chain(&state.ordered).cloned().collect();
        if all.is_empty() {
            let names: Vec<&str> = state.names.iter().map(String::as_str).collect();
            let temporary =
                LocalCa::create(&names, self.clock.now()).context("[server] hostname or [web]")?;
            all.push(temporary.server()?);
        }
        self.offered.replace(state.names.first().map_or("", String::as_str), all);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use sealpost_model::{Clock as _, SystemClock};
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;
    use crate::config::DEFAULT;

    fn put(folder: &Path, name: &str, hosts: &[&str]) -> LocalCa {
        let made = LocalCa::create(hosts, SystemClock.now()).expect("names");
        fs::write(folder.join(format!("{name}.pem")), &made.certificate).expect("written");
        let key = folder.join(format!("{name}.key"));
        fs::write(&key, made.key.expose()).expect("written");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("set");
        made
    }

    fn config(folder: &Path, tls: &str) -> Config {
        let text = DEFAULT.replace(
            "certificate = \"/etc/sealpost/tls/fullchain.pem\"\nkey = \"/etc/sealpost/tls/privkey.pem\"\n",
            tls,
        );
        Config::parse(&text, &folder.join("sealpost.toml")).expect("valid")
    }

    fn keeper(folder: &Path, tls: &str) -> Result<Keeper> {
        let clock: SharedClock = Arc::new(SystemClock);
        Keeper::start(&config(folder, tls), &clock)
    }

    #[test]
    fn a_folder_brings_chains_and_keys() {
        let folder = tempfile::tempdir().expect("made");
        let tls = folder.path().join("tls");
        fs::create_dir_all(tls.join("live/pickup")).expect("made");
        put(&tls, "mail", &["mail.example.org"]);
        let made = put(&tls, "pickup", &["pickup.example.org"]);
        fs::rename(tls.join("pickup.pem"), tls.join("live/fullchain.pem")).expect("moved");
        fs::rename(tls.join("pickup.key"), tls.join("live/privkey.pem")).expect("moved");
        let keeper = keeper(folder.path(), "certificate = \"tls\"\n").expect("loads");
        assert!(keeper.offered.valid_until("mail.example.org").is_some());
        assert!(keeper.offered.valid_until("pickup.example.org").is_some());
        assert!(keeper.offered.valid_until("other.example.org").is_none());
        drop(made);
    }

    #[test]
    fn lists_that_do_not_match_are_told() {
        let folder = tempfile::tempdir().expect("made");
        put(folder.path(), "a", &["mail.example.org"]);
        for (tls, word) in [
            ("certificate = [\"a.pem\", \"b.pem\"]\nkey = \"a.key\"\n", "no key for"),
            ("certificate = \"a.pem\"\nkey = [\"a.key\", \"b.key\"]\n", "no certificate for it"),
            ("certificate = \"a.pem\"\nkey = \"b.key\"\n", "no such file"),
        ] {
            let error = keeper(folder.path(), tls).err().expect(word);
            assert!(format!("{error:#}").contains(word), "{error:#}");
        }
    }

    #[test]
    fn new_files_are_taken_and_bad_ones_are_not() {
        let folder = tempfile::tempdir().expect("made");
        put(folder.path(), "a", &["mail.example.org"]);
        let keeper = keeper(folder.path(), "certificate = \"a.pem\"\nkey = \"a.key\"\n").expect("loads");
        let shown = || keeper.offered.all().first().expect("one").chain().to_vec();
        let first = shown();
        assert!(!keeper.look().expect("the same files"));

        fs::write(folder.path().join("a.pem"), "half a cert").expect("written");
        let error = keeper.look().expect_err("broken");
        assert!(error.to_string().contains("a.pem"), "{error}");
        assert!(keeper.failing() && shown() == first);
        assert!(!keeper.look().expect("told once") && keeper.failing());

        put(folder.path(), "a", &["mail.example.org", "pickup.example.org"]);
        assert!(keeper.look().expect("good again"));
        assert!(!keeper.failing() && shown() != first);
    }

    #[test]
    fn without_any_a_temporary_one_is_shown_and_all_names_are_wanted() {
        let folder = tempfile::tempdir().expect("made");
        let keeper = keeper(folder.path(), "acme = { names = [\"pickup.example.org\"] }\n").expect("starts");
        assert_eq!(keeper.offered.all().len(), 1);
        assert_eq!(keeper.wanted(), ["mail.example.org", "pickup.example.org"]);
        let ordered = LocalCa::create(&["mail.example.org"], SystemClock.now())
            .expect("names")
            .server()
            .expect("loads");
        keeper.ordered(vec![ordered.clone()]).expect("offered");
        assert_eq!(keeper.offered.all()[0].chain(), ordered.chain());
    }
}
