//! The master key through the built program: lost and brought back by the kit, replaced while the server works, kept by a
//! passphrase and by a token (SoftHSM).

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sealpost_testkit::program::{self, Output};

const ANSWERS: &str = r#"
organisation = "Hill Clinic"
hostname = "mail.hill.example"
domain = "hill.example"
certificate = "tls/chain.pem"
key = "tls/key.pem"
[official]
name = "Olga Official"
address = "olga"
contact = "+1 555 0100 200"
[second]
name = "Sven Second"
address = "sven@hill.example"
contact = "sven@elsewhere.example"
[recovery]
shares = 3
needed = 2
"#;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Result<Self> {
        let place = Self { folder: tempfile::tempdir()? };
        fs::write(place.path("answers.toml"), ANSWERS)?;
        place.run(&["init", "--answers", "answers.toml"], b"")?.ok()?;
        let tls = place.path("server/tls");
        fs::create_dir_all(&tls)?;
        let mut make = Command::new("openssl");
        make.args([
            "req",
            "-x509",
            "-newkey",
            "ed25519",
            "-nodes",
            "-days",
            "9",
            "-subj",
            "/CN=mail.hill.example",
        ])
        .args(["-addext", "subjectAltName=DNS:mail.hill.example", "-keyout"])
        .arg(tls.join("key.pem"))
        .arg("-out")
        .arg(tls.join("chain.pem"));
        program::run(&mut make, b"", Duration::from_secs(30))?.ok()?;
        // Nobody connects in these tests: the control socket is all that is served.
        let text = fs::read_to_string(place.config())?;
        let text = text.lines().map(|line| match line.split(" = ").next() {
            Some("smtp" | "submission" | "submissions" | "imaps" | "pop3s" | "https" | "http") => {
                String::new()
            }
            _ => format!("{line}\n"),
        });
        fs::write(place.config(), text.collect::<String>())?;
        Ok(place)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self) -> PathBuf {
        self.path("server/sealpost.toml")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealpost"));
        command.args(words).arg("--config").arg(self.config()).current_dir(self.folder.path());
        command.env("SOFTHSM2_CONF", self.path("softhsm.conf")).env_remove("CREDENTIALS_DIRECTORY");
        command
    }

    fn run(&self, words: &[&str], input: &[u8]) -> Result<Output> {
        program::run(&mut self.command(words), input, Duration::from_secs(120))
    }

    fn says(&self, words: &[&str], input: &[u8], word: &str) -> Result<()> {
        let out = self.run(words, input)?;
        ensure!(!out.status.success(), "{}", out.text());
        ensure!(out.stderr.contains(word), "{word:?} in {}", out.stderr);
        Ok(())
    }

    /// What check finds of an area, with its severity.
    fn check(&self, words: &[&str], input: &[u8], area: &str) -> Result<Vec<String>> {
        let words: Vec<&str> = ["check", "--json"].iter().chain(words).copied().collect();
        let out = self.run(&words, input)?;
        let found: serde_json::Value = serde_json::from_slice(&out.stdout).context(out.stderr)?;
        let all = found["findings"].as_array().into_iter().flatten();
        let of_area = all.filter(|f| f["area"] == area);
        Ok(of_area.map(|f| f["severity"].as_str().unwrap_or_default().to_owned()).collect())
    }

    /// Writes another line for the master key into the configuration.
    fn keep_master(&self, keeper: &str) -> Result<()> {
        let text = fs::read_to_string(self.config())?;
        let lines = text.lines().map(|line| {
            if line.starts_with("master = ") { format!("master = {keeper:?}\n") } else { format!("{line}\n") }
        });
        Ok(fs::write(self.config(), lines.collect::<String>())?)
    }

    /// A server over this place, which answers at its control socket.
    fn serve(&self, words: &[&str], input: &[u8]) -> Result<Server> {
        let words: Vec<&str> = ["serve"].iter().chain(words).copied().collect();
        let mut child = self
            .command(&words)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            std::io::Write::write_all(&mut stdin, input)?;
        }
        let stderr = child.stderr.take().context("a pipe")?;
        let (lines, said) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    return;
                }
            }
        });
        let socket = self.path("server/data/control.sock");
        let start = Instant::now();
        while UnixStream::connect(&socket).is_err() {
            let _ = said.recv_timeout(Duration::from_millis(20));
            ensure!(child.try_wait()?.is_none(), "it ended: {:?}", said.try_iter().collect::<Vec<_>>());
            ensure!(start.elapsed() < Duration::from_secs(60), "it does not answer");
        }
        Ok(Server { child, _said: said })
    }
}

struct Server {
    child: Child,
    _said: mpsc::Receiver<String>,
}

impl Server {
    fn stop(mut self) -> Result<()> {
        let pid = self.child.id().to_string();
        program::run(Command::new("kill").args(["-TERM", &pid]), b"", Duration::from_secs(5))?.ok()?;
        program::wait(&mut self.child, Duration::from_secs(30))?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn share(place: &Place, number: u8) -> String {
    place.path(&format!("server/recovery-kit/share-{number}.txt")).display().to_string()
}

#[test]
fn a_lost_master_key_comes_back_from_the_kit() -> Result<()> {
    let place = Place::new()?;
    ensure!(place.check(&[], b"", "kit")? == ["fail"], "a kit that nobody tried");
    let (one, two, three) = (share(&place, 1), share(&place, 2), share(&place, 3));
    place.says(&["key", "drill", "--share", &one], b"", "1 of the 2 shares")?;
    ensure!(place.check(&[], b"", "kit")? == ["fail"]);
    place.run(&["key", "drill", "--share", &one, "--share", &three], b"")?.ok()?;
    ensure!(place.check(&[], b"", "kit")? == ["ok"]);
    // The file is lost. Typed by hand, in capitals, with a slip of the pen in between.
    let master = place.path("server/keys/master.key");
    let lost = fs::read(&master)?;
    fs::remove_file(&master)?;
    ensure!(place.check(&[], b"", "data")?.contains(&"fail".to_owned()));
    let typed = |path: &str| -> Result<Vec<String>> {
        let lines = fs::read_to_string(path)?;
        let lines = lines.lines().map(|l| l.trim().to_uppercase());
        Ok(lines
            .filter(|l| l.len() > 2 && l.starts_with(['1', '2', '3', '4']) && l[1..].starts_with(' '))
            .collect())
    };
    let mut lines = typed(&two)?;
    lines.insert(1, format!("{}a", lines[1]));
    lines.extend(typed(&three)?);
    let input = lines.join("\n") + "\n";
    let out = place.run(&["key", "recover"], input.as_bytes())?.ok()?;
    ensure!(out.stderr.contains("line 2 is mistyped"), "{}", out.stderr);
    ensure!(!place.check(&[], b"", "data")?.contains(&"fail".to_owned()));
    ensure!(place.check(&[], b"", "kit")? == ["ok"], "the kit stays as it is");
    place.run(&["audit", "verify"], b"")?.ok()?;
    // The file that was lost opens nothing any more, in whoever's hands it is.
    let fresh = fs::read(&master)?;
    fs::write(&master, lost)?;
    ensure!(place.check(&[], b"", "data")?.contains(&"fail".to_owned()));
    fs::write(&master, fresh)?;
    let server = place.serve(&[], b"")?;
    place.says(&["key", "recover", "--share", &one, "--share", &two], b"", "the server runs")?;
    server.stop()
}

#[test]
fn a_passphrase_takes_over_while_the_server_works() -> Result<()> {
    let place = Place::new()?;
    let server = place.serve(&[], b"")?;
    place.run(&["key", "rotate", "all"], b"")?.ok()?;
    place.run(&["key", "rotate", "master"], b"")?.ok()?;
    ensure!(!place.path("server/keys/master.key.new").exists());
    let phrase = b"six words drawn from a list\n";
    place.says(
        &["key", "rotate", "master", "--to", "passphrase", "--master-passphrase-fd", "0"],
        b"too short\n",
        "20 characters",
    )?;
    place
        .run(&["key", "rotate", "master", "--to", "passphrase", "--master-passphrase-fd", "0"], phrase)?
        .ok()?;
    let status = place.run(&["key", "status", "--json"], b"")?.ok()?.text();
    ensure!(status.contains("\"rotating\":false"), "{status}");
    let list = place.run(&["key", "list", "--json"], b"")?.ok()?;
    ensure!(list.text().lines().count() >= 5, "{}", list.text());
    server.stop()?;
    place.says(&["audit", "verify"], b"", "master key")?;
    place.keep_master("passphrase")?;
    place.says(&["audit", "verify", "--master-passphrase-fd", "0"], b"six words\n", "not the one")?;
    place.says(&["audit", "verify"], phrase, "on a terminal")?;
    place.run(&["audit", "verify", "--master-passphrase-fd", "0"], phrase)?.ok()?;
    let server = place.serve(&["--master-passphrase-fd", "0"], phrase)?;
    place.run(&["status"], b"")?.ok()?;
    server.stop()
}

#[test]
fn a_token_takes_over_and_says_what_is_wrong() -> Result<()> {
    let place = Place::new()?;
    let library = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];
    let library = library.iter().find(|path| Path::new(path).exists()).context("apt install softhsm2")?;
    let tokens = place.path("tokens");
    fs::create_dir(&tokens)?;
    let conf = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        tokens.display()
    );
    fs::write(place.path("softhsm.conf"), conf)?;
    let mut init = Command::new("softhsm2-util");
    init.args([
        "--init-token",
        "--free",
        "--label",
        "Sealpost test",
        "--so-pin",
        "12345678",
        "--pin",
        "87654321",
    ])
    .env("SOFTHSM2_CONF", place.path("softhsm.conf"));
    program::run(&mut init, b"", Duration::from_secs(30))?.ok()?;
    let pin = place.path("pin");
    fs::write(&pin, "87654321\n")?;
    let uri = |token: &str, library: &str| {
        format!("pkcs11:token={token};object=master?module-path={library}&pin-source=file:{}", pin.display())
    };
    let right = uri("Sealpost%20test", library);
    let server = place.serve(&[], b"")?;
    let rotate = |uri: &str, word: &str| place.says(&["key", "rotate", "master", "--to", uri], b"", word);
    rotate(&uri("Another", library), "there is no token \"Another\"")?;
    rotate(&uri("Sealpost%20test", "/nowhere/lib.so"), "can't be loaded")?;
    fs::write(&pin, "11111111\n")?;
    rotate(&right, "PIN is wrong")?;
    fs::write(&pin, "87654321\n")?;
    place.run(&["key", "rotate", "master", "--to", &right], b"")?.ok()?;
    server.stop()?;
    place.keep_master(&right)?;
    place.run(&["audit", "verify"], b"")?.ok()?;
    let server = place.serve(&[], b"")?;
    place.run(&["key", "rotate", "master"], b"")?.ok()?;
    server.stop()?;
    place.run(&["audit", "verify"], b"")?.ok()?;
    // The token is pulled, and then another one of its name is plugged in.
    fs::rename(&tokens, place.path("pulled"))?;
    fs::create_dir(&tokens)?;
    place.says(&["audit", "verify"], b"", "there is no token")?;
    program::run(&mut init, b"", Duration::from_secs(30))?.ok()?;
    place.says(&["audit", "verify"], b"", "no key named \"master\"")?;
    Ok(())
}
