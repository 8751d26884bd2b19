//! A whole Sealpost: `sealpost quickstart` as its own process on ports that the system chose.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    Ground,
    imap::Imap,
    pop3::Pop3,
    process,
    program::{self, Output},
    smtp::Smtp,
    wire::Trust,
};

/// A server, running or not, and its folder. Dropped, the process is killed and the folder removed.
pub struct Server {
    program: PathBuf,
    folder: TempDir,
    child: Option<Child>,
    ready: Ready,
    trust: Trust,
}

/// The line that quickstart prints when it serves.
#[derive(Clone, Debug)]
pub struct Ready {
    /// The configuration file that it wrote.
    pub config: PathBuf,
    /// The certificate authority's PEM file.
    pub ca: PathBuf,
    /// The web's own address, `https://localhost:PORT`.
    pub web: String,
    /// Where the outside world's inboxes are shown.
    pub outside: String,
    /// Protocol to address.
    pub listeners: BTreeMap<String, SocketAddr>,
    /// The sample people.
    pub users: Vec<User>,
    /// The line itself.
    pub json: String,
}

/// One of the sample people.
#[derive(Clone, Debug)]
pub struct User {
    /// `alice@clinic.test`
    pub address: String,
    /// For the web.
    pub password: String,
    /// For mail programs.
    pub app_password: String,
}

/// How long a start may take: the first one makes keys, people and hashes.
const START: Duration = Duration::from_secs(120);
/// How long a clean stop may take.
const STOP: Duration = Duration::from_secs(30);

impl Server {
    /// Starts a new instance in a folder of its own.
    pub fn start(program: impl AsRef<Path>) -> Result<Server> {
        Self::start_in(program, &env::temp_dir())
    }

    /// The same, below a folder: on a disk of its own.
    pub fn start_in(program: impl AsRef<Path>, parent: &Path) -> Result<Server> {
        Self::start_at(program, &Ground::embedded(), parent)
    }

    /// The same on a ground that must be there for as long as the server.
    pub fn start_on(program: impl AsRef<Path>, ground: &Ground) -> Result<Server> {
        Self::start_at(program, ground, &env::temp_dir())
    }

    fn start_at(program: impl AsRef<Path>, ground: &Ground, parent: &Path) -> Result<Server> {
        let folder = tempfile::Builder::new().prefix("sealpost-test-").tempdir_in(parent)?;
        let program = program.as_ref().to_path_buf();
        let (child, ready) = launch(&program, folder.path(), ground.words())?;
        let trust = Trust::file(&ready.ca)?;
        Ok(Server { program, folder, child: Some(child), ready, trust })
    }

    /// The program that `$SEALPOST_BIN` names.
    pub fn program() -> Result<PathBuf> {
        env::var_os("SEALPOST_BIN").map(PathBuf::from).context("SEALPOST_BIN names no program")
    }

    /// Starts it again on the same data, with the same ports.
    pub fn start_again(&mut self) -> Result<()> {
        if self.child.is_some() {
            bail!("it still runs");
        }
        let (mut child, ready) = launch(&self.program, self.folder.path(), &[])?;
        if self.ready.listeners.iter().any(|(name, addr)| ready.listeners.get(name) != Some(addr)) {
            child.kill()?;
            child.wait()?;
            bail!("the ports changed: {:?} was {:?}", ready.listeners, self.ready.listeners);
        }
        (self.child, self.ready) = (Some(child), ready);
        Ok(())
    }

    /// SIGKILL, and gone when this returns.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("it doesn't run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// SIGTERM, and how it ended; an error when it did not end in time.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        let mut child = self.child.take().context("it doesn't run")?;
        process::signal(child.id(), Signal::TERM)?;
        program::wait(&mut child, STOP).context("SIGTERM")
    }

    /// Its process id.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.child.as_ref().context("it doesn't run")?.id())
    }

    /// What it said when it was ready.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The folder around it: logs, and whatever quickstart puts beside its data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// All that it wrote to standard error so far, in all its lives.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The address of a listener.
    pub fn listener(&self, name: &str) -> Result<SocketAddr> {
        self.ready.listeners.get(name).copied().with_context(|| format!("no listener {name}"))
    }

    /// One of the sample people by the part before the `@`.
    pub fn user(&self, name: &str) -> Result<&User> {
        let found = self.ready.users.iter().find(|user| user.address.split('@').next() == Some(name));
        found.with_context(|| format!("no user {name}"))
    }

    /// What clients trust.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// A signed-in submission connection.
    pub fn submit_as(&self, name: &str) -> Result<Smtp> {
        let user = self.user(name)?;
        let mut smtp = Smtp::tls(self.listener("submissions")?, &self.trust)?;
        smtp.login(&user.address, &user.app_password)?.expect(235)?;
        Ok(smtp)
    }

    /// A signed-in IMAP connection.
    pub fn imap_as(&self, name: &str) -> Result<Imap> {
        let user = self.user(name)?;
        Imap::login(self.listener("imaps")?, &self.trust, &user.address, &user.app_password)
    }

    /// A signed-in POP3 connection.
    pub fn pop3_as(&self, name: &str) -> Result<Pop3> {
        let user = self.user(name)?;
        Pop3::login(self.listener("pop3s")?, &self.trust, &user.address, &user.app_password)
    }

    /// Another `sealpost` command on this instance.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).arg("--data").arg(self.data()).current_dir(self.folder.path());
        command
    }

    /// Runs another `sealpost` command on this instance.
    pub fn run(&self, words: &[&str], input: &str) -> Result<Output> {
        program::run(&mut self.command(words), input.as_bytes(), Duration::from_secs(300))
            .with_context(|| format!("sealpost {}", words.join(" ")))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            // A failed test's output is where its reader looks; the folder is about to go.
            let log = self.log();
            let tail = log.char_indices().rev().nth(8_000).map_or(0, |(at, _)| at);
            let _ = std::io::Write::write_all(&mut std::io::stderr(), &log.as_bytes()[tail..]);
        }
    }
}

/// Starts the process and reads its ready line.
fn launch(program: &Path, folder: &Path, words: &[String]) -> Result<(Child, Ready)> {
    let log = fs::OpenOptions::new().create(true).append(true).open(folder.join("log"))?;
    let mut command = Command::new(program);
    command.args(["quickstart", "--port-base", "0", "--json", "--data"]).arg(folder.join("data"));
    command.args(words);
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    let mut child = command.spawn().with_context(|| format!("can't start {}", program.display()))?;
    let stdout = child.stdout.take().context("no pipe")?;
    let (send, lines) = mpsc::channel();
    thread::spawn(move || {
        // Read to the end, or the server would block on a full pipe.
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = send.send(line);
        }
    });
    let ready = loop {
        match lines.recv_timeout(START) {
            Ok(line) => match parse(&line) {
                Some(ready) => break Some(ready),
                None => continue,
            },
            Err(_) => break None,
        }
    };
    match ready {
        Some(ready) => Ok((child, ready)),
        None => {
            let _ = child.kill();
            let status = child.wait()?;
            let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
            bail!("sealpost was not ready ({status}); it said:\n{log}")
        }
    }
}

/// The ready line; None for any other line.
fn parse(line: &str) -> Option<Ready> {
    let json: Value = serde_json::from_str(line).ok()?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    if json.get("ready")? != true {
        return None;
    }
    let listeners = json.get("listeners")?.as_object()?;
    let users = json.get("users")?.as_array()?;
    Some(Ready {
        config: text(&json["config"])?.into(),
        ca: text(&json["ca"])?.into(),
        web: text(&json["web"])?,
        outside: text(&json["outside"])?,
        listeners: listeners
            .iter()
            .filter_map(|(name, at)| Some((name.clone(), at.as_str()?.parse().ok()?)))
            .collect(),
        users: users
            .iter()
            .filter_map(|user| {
                let field = |name: &str| text(&user[name]);
                let (address, password) = (field("address")?, field("password")?);
                Some(User { address, password, app_password: field("app_password").unwrap_or_default() })
            })
            .collect(),
        json: line.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_ready_line() {
        let line = r#"{"ready":true,"data":"/d","config":"/c","ca":"/ca","listeners":{"imaps":"127.0.0.1:7"},
            "web":"https://localhost:9","users":[{"address":"a@b","password":"p","app_password":"q","roles":[]}],
            "outside":"http://127.0.0.1:8"}"#;
        let ready = parse(line).expect("it is one");
        assert_eq!(ready.listeners["imaps"].port(), 7);
        assert_eq!(ready.users[0].app_password, "q");
        assert!(parse("listening").is_none() && parse(r#"{"ready":false}"#).is_none());
    }
}
