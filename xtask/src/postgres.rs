//! A throw-away PostgreSQL for the tests: own folder, unix socket only, nothing synced, ended with us.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use crate::shell::{self, command, run};

/// A running server; dropped, it is stopped and its folder removed.
pub struct Postgres {
    server: Child,
    folder: TempDir,
}

impl Postgres {
    /// Makes a cluster and starts it. As root it runs as the user `postgres`, which it insists on.
    pub fn start() -> Result<Postgres> {
        Self::start_with(&["fsync=off", "full_page_writes=off"])
    }

    /// The same, and what it commits is on the disk.
    pub fn start_durable() -> Result<Postgres> {
        Self::start_with(&[])
    }

    fn start_with(settings: &[&str]) -> Result<Postgres> {
        let programs = programs()?;
        let folder = tempfile::Builder::new().prefix("sealpost-postgres-").tempdir()?;
        let data = folder.path().join("data");
        if geteuid().is_root() {
            let user = user("postgres")?;
            chown(folder.path(), Some(user), None)?;
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700))?;
        }
        let mut initdb = as_user(&programs.join("initdb"));
        initdb
            .args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(&data);
        run(initdb.current_dir(folder.path()).stdout(Stdio::null()))?;

        let mut server = as_user(&programs.join("postgres"));
        server.arg("-D").arg(&data).arg("-k").arg(folder.path());
        let own = ["listen_addresses=", "max_connections=200", "shared_buffers=64MB"];
        for setting in own.iter().chain(settings) {
            server.args(["-c", setting]);
        }
        let log = fs::File::create(folder.path().join("log"))?;
        server.current_dir(folder.path()).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut running = Postgres { server: server.spawn().context("can't start postgres")?, folder };
        running.wait_until_ready(&programs)?;
        Ok(running)
    }

    /// What the `postgres` crate and libpq connect with.
    pub fn connection(&self) -> String {
        format!("host={} port=5432 user=postgres dbname=postgres", self.folder.path().display())
    }

    fn wait_until_ready(&mut self, programs: &Path) -> Result<()> {
        let socket = self.folder.path().to_path_buf();
        let ready = programs.join("pg_isready");
        let start = Instant::now();
        // Nobody ever sends: waiting on this is a pause that needs no sleep.
        let (_silent, pause) = mpsc::channel::<()>();
        while start.elapsed() < Duration::from_secs(60) {
            let mut ask = Command::new(&ready);
            if ask.args(["-q", "-U", "postgres", "-h"]).arg(&socket).status()?.success() {
                return Ok(());
            }
            if self.server.try_wait()?.is_some() {
                break;
            }
            let _ = pause.recv_timeout(Duration::from_millis(50));
        }
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        bail!("PostgreSQL did not start; it said:\n{log}");
    }
}

/// Runs a command that finds the server in `SEALPOST_TEST_POSTGRES`.
pub fn beside(words: &[String]) -> Result<()> {
    let postgres = Postgres::start()?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    run(command(&words).env("SEALPOST_TEST_POSTGRES", postgres.connection()))
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGINT is PostgreSQL's fast shutdown: it ends its own children.
        if let Some(pid) = i32::try_from(self.server.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::INT);
        }
        let _ = self.server.wait();
    }
}

/// The newest server's programs; Debian keeps them off PATH.
fn programs() -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    folders.retain(|folder| folder.join("postgres").exists());
    folders.sort();
    match folders.pop().or_else(|| shell::find("postgres")?.parent().map(Path::to_path_buf)) {
        Some(folder) => Ok(folder),
        None => bail!("no PostgreSQL server is installed"),
    }
}

/// A command that runs as `postgres` when we are root, and dies with us.
fn as_user(program: &Path) -> Command {
    if !geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = command(&["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]);
    command.arg("--pdeathsig=INT").arg("--").arg(program);
    command
}

fn user(name: &str) -> Result<u32> {
    let users = fs::read_to_string("/etc/passwd")?;
    let line = users.lines().find(|line| line.split(':').next() == Some(name));
    let id = line.and_then(|line| line.split(':').nth(2)).with_context(|| format!("no user {name} here"))?;
    Ok(id.parse()?)
}
