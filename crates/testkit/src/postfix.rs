//! Debian's Postfix as the rest of the world: a configuration, a queue and ports of its own on loopback.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{process, program};

/// A running Postfix; dropped, it is stopped.
pub struct Postfix {
    script: Child,
    folder: TempDir,
    ports: [SocketAddr; 3],
}

/// How a port of it speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// A certificate for `localhost` from [`Postfix::ca`].
    Verified,
    /// A certificate that nobody signed.
    SelfSigned,
    /// No STARTTLS at all.
    None,
}

const KINDS: [Tls; 3] = [Tls::Verified, Tls::SelfSigned, Tls::None];

impl Postfix {
    /// Starts it. Postfix wants root.
    pub fn start() -> Result<Postfix> {
        ensure!(rustix::process::geteuid().is_root(), "Postfix runs as root only");
        let folder = tempfile::Builder::new().prefix("sealpost-postfix-").tempdir()?;
        let path = folder.path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        certificates(path)?;
        let free = || -> Result<SocketAddr> { Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?) };
        let ports = [free()?, free()?, free()?];
        configure(path, &ports)?;
        // Made by the package's own script: folders, owners, modes.
        let config = path.join("etc");
        let postfix = || {
            let mut command = Command::new("/usr/sbin/postfix");
            command.arg("-c").arg(&config).env("MAIL_CONFIG", &config);
            command
        };
        program::run(postfix().arg("check"), b"", Duration::from_secs(60))?.ok().context("postfix check")?;
        let log = fs::File::create(path.join("start.log"))?;
        let mut start = postfix();
        start.arg("start-fg").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let running = Postfix { script: start.spawn()?, folder, ports };
        running.wait_until_it_listens()?;
        Ok(running)
    }

    /// The address of the port of this kind.
    pub fn port(&self, tls: Tls) -> SocketAddr {
        let at = KINDS.iter().position(|kind| *kind == tls).unwrap_or(0);
        self.ports[at]
    }

    /// The authority behind [`Tls::Verified`], a PEM file.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// All messages delivered to an address so far.
    pub fn delivered(&self, address: &str) -> Result<Vec<String>> {
        let mut all = Vec::new();
        for file in fs::read_dir(self.folder.path().join("mail/all/new")).into_iter().flatten() {
            all.push(String::from_utf8_lossy(&fs::read(file?.path())?).into_owned());
        }
        all.retain(|message| message.contains(&format!("Delivered-To: {address}\n")));
        Ok(all)
    }

    /// What it wrote to its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn wait_until_it_listens(&self) -> Result<()> {
        let start = Instant::now();
        let (_silent, pause) = mpsc::channel::<()>();
        while start.elapsed() < Duration::from_secs(30) {
            if self.ports.iter().all(|port| TcpStream::connect(port).is_ok()) {
                return Ok(());
            }
            let _ = pause.recv_timeout(Duration::from_millis(50));
        }
        let said = fs::read_to_string(self.folder.path().join("start.log")).unwrap_or_default();
        bail!("Postfix does not listen; it said:\n{said}{}", self.log());
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        // `start-fg` waits for the master, which is a session of its own and ends its own children.
        let master = fs::read_to_string(self.folder.path().join("queue/pid/master.pid"));
        if let Some(master) = master.ok().and_then(|id| id.trim().parse().ok()) {
            let _ = process::signal(master, Signal::TERM);
        }
        let _ = program::wait(&mut self.script, Duration::from_secs(20));
    }
}

fn certificates(folder: &Path) -> Result<()> {
    let openssl = |words: &str| -> Result<()> {
        let mut command = Command::new("openssl");
        command.args(words.split(' ')).current_dir(folder);
        program::run(&mut command, b"", Duration::from_secs(60))?.ok().map(drop).context("openssl")
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(&format!("req -x509 {key} -days 30 -subj /CN=Test-CA -keyout ca.key -out ca.pem"))?;
    openssl(&format!("req -x509 {key} -days 30 -subj /CN=localhost -keyout self.key -out self.pem"))?;
    openssl(&format!("req {key} -subj /CN=localhost -keyout good.key -out good.csr"))?;
    fs::write(folder.join("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n")?;
    openssl(
        "x509 -req -in good.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile names -out good.pem",
    )
}

fn configure(folder: &Path, ports: &[SocketAddr; 3]) -> Result<()> {
    let at = folder.display();
    let user = Id::of("postfix")?;
    for part in ["etc", "queue", "data", "mail"] {
        fs::create_dir(folder.join(part))?;
    }
    for part in ["data", "mail"] {
        chown(folder.join(part), Some(user.user), Some(user.group))?;
    }
    let main = format!(
        "compatibility_level = 3.6\nqueue_directory = {at}/queue\ndata_directory = {at}/data\nmail_owner = postfix\n\
         myhostname = mx.example\nmydestination =\ninet_interfaces = loopback-only\nmynetworks =\n\
         maillog_file = {at}/log\nmaillog_file_prefixes = {at}\nimport_environment = MAIL_CONFIG\n\
         virtual_mailbox_domains = static:all\nvirtual_mailbox_base = {at}/mail\n\
         virtual_mailbox_maps = static:all/\nvirtual_uid_maps = static:{user}\n\
         virtual_gid_maps = static:{group}\nvirtual_minimum_uid = 1\nsmtpd_relay_restrictions = permit_auth_destination, reject\n\
         smtpd_tls_received_header = yes\nsmtp_tls_security_level = none\ndefault_transport = error:never\n",
        user = user.user,
        group = user.group,
    );
    fs::write(folder.join("etc/main.cf"), main)?;
    let mut master = String::new();
    for (port, tls) in ports.iter().zip(KINDS) {
        let options = match tls {
            Tls::Verified => certificate(folder, "good"),
            Tls::SelfSigned => certificate(folder, "self"),
            Tls::None => " -o smtpd_tls_security_level=none".into(),
        };
        master.push_str(&format!("{port} inet n - n - - smtpd{options}\n"));
    }
    master.push_str(
        "cleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\nrewrite unix - - n - - trivial-rewrite\n\
         bounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\n\
         error unix - - n - - error\nvirtual unix - n n - - virtual\nanvil unix - - n - 1 anvil\n\
         proxymap unix - - n - - proxymap\ntlsmgr unix - - n 1000? 1 tlsmgr\npostlog unix-dgram n - n - 1 postlogd\n",
    );
    Ok(fs::write(folder.join("etc/master.cf"), master)?)
}

fn certificate(folder: &Path, name: &str) -> String {
    let at = folder.display();
    format!(
        " -o smtpd_tls_security_level=may -o smtpd_tls_cert_file={at}/{name}.pem -o smtpd_tls_key_file={at}/{name}.key"
    )
}

struct Id {
    user: u32,
    group: u32,
}

impl Id {
    fn of(name: &str) -> Result<Id> {
        let users = fs::read_to_string("/etc/passwd")?;
        let line = users.lines().find(|line| line.split(':').next() == Some(name));
        let mut fields = line.with_context(|| format!("no user {name} here"))?.split(':').skip(2);
        let mut next = || fields.next().and_then(|field| field.parse().ok()).context("/etc/passwd");
        Ok(Id { user: next()?, group: next()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{smtp::Smtp, tap::Tap, wire::Trust};

    /// Our own client, the tap and Postfix in one picture.
    #[test]
    fn takes_mail_on_each_port() -> Result<()> {
        if !rustix::process::geteuid().is_root() {
            println!("not root: Postfix does not run");
            return Ok(());
        }
        let postfix = Postfix::start()?;
        exercise(&postfix).with_context(|| postfix.log())
    }

    fn exercise(postfix: &Postfix) -> Result<()> {
        let trust = Trust::file(&postfix.ca())?;
        let mut smtp = Smtp::starttls(postfix.port(Tls::Verified), &trust)?;
        assert!(smtp.wire.tls_facts().is_some_and(|facts| facts.starts_with("TLSv1_3")));
        let message = b"From: a@b.example\r\nSubject: over TLS\r\n\r\n.dot\r\n";
        smtp.send("a@b.example", &["one@c.example", "two@c.example"], message)?.expect(250)?;
        assert!(Smtp::starttls(postfix.port(Tls::SelfSigned), &trust).is_err());
        assert!(Smtp::starttls(postfix.port(Tls::None), &trust).is_err());

        let tap = Tap::before(postfix.port(Tls::Verified), true)?;
        let mut smtp = Smtp::plain(tap.at())?;
        assert!(!smtp.extensions.iter().any(|word| word == "STARTTLS"));
        smtp.send("a@b.example", &["clear@c.example"], b"Subject: in clear\r\n\r\nx\r\n")?.expect(250)?;
        let heard = String::from_utf8(tap.heard())?;
        assert!(heard.contains("STARTTLS") && heard.contains("Subject: in clear"));

        let (_silent, pause) = mpsc::channel::<()>();
        for (address, word) in
            [("one@c.example", "TLSv1.3"), ("two@c.example", "\n.dot\n"), ("clear@c.example", "in clear")]
        {
            let start = Instant::now();
            while postfix.delivered(address)?.is_empty() {
                ensure!(
                    start.elapsed() < Duration::from_secs(20),
                    "nothing for {address}\n{}",
                    postfix.log()
                );
                let _ = pause.recv_timeout(Duration::from_millis(20));
            }
            let all = postfix.delivered(address)?;
            assert!(all.len() == 1 && all[0].contains(word), "{all:?}");
        }
        Ok(())
    }
}
