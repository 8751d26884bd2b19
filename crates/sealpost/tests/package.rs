//! The Debian package: the same bytes each time, nothing that others may read, and what it does to a machine when it is
//! installed, upgraded, removed and purged. The machine is this one behind an overlay that is thrown away.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use sealpost_testkit::program::{self, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_sealpost");

fn root() -> Result<PathBuf> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("the workspace")?.to_owned())
}

/// Packs this build, without waiting for a compressor.
fn pack(out: &Path) -> Result<PathBuf> {
    let mut command = Command::new(env!("CARGO"));
    command
        .args([
            "run",
            "--quiet",
            "--locked",
            "-p",
            "xtask",
            "--",
            "package",
            "--compression",
            "0",
            "--program",
        ])
        .arg(PROGRAM)
        .arg("--out")
        .arg(out)
        .current_dir(root()?);
    program::run(&mut command, b"", Duration::from_secs(300))?.ok()?;
    let all = fs::read_dir(out)?.flatten().map(|e| e.path());
    all.filter(|p| p.extension().is_some_and(|e| e == "deb")).max().context("there is no package")
}

fn tool(words: &[&str], last: &Path) -> Result<String> {
    let mut command = Command::new(words[0]);
    Ok(program::run(command.args(&words[1..]).arg(last), b"", Duration::from_secs(60))?.ok()?.text())
}

/// Runs a script as root of this machine behind an overlay: what it changes is gone afterwards.
fn behind_an_overlay(package: &Path, script: &str) -> Result<Output> {
    let folder = tempfile::tempdir()?;
    let place = folder.path().display();
    let outer = format!(
        "set -e; mount -t tmpfs -o size=600m tmpfs {place}; cd {place}; mkdir up work root; \
         mount -t overlay overlay -o lowerdir=/,upperdir=up,workdir=work root; \
         mount -t proc proc root/proc; mount -t tmpfs tmpfs root/run; \
         cp {} root/tmp/sealpost.deb; cp {place}.sh root/tmp/script.sh; exec chroot root sh -eu /tmp/script.sh",
        package.display()
    );
    let inner = folder.path().with_extension("sh");
    fs::write(format!("{place}.sh"), script)?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", &outer]);
    command.env("DEBIAN_FRONTEND", "noninteractive").env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let out = program::run(&mut command, b"", Duration::from_secs(240));
    let _ = fs::remove_file(format!("{place}.sh"));
    let _ = fs::remove_file(inner);
    let out = out?;
    if out.stderr.contains("Operation not permitted") || out.stderr.contains("must be superuser") {
        bail!("a package is tried out behind an overlay; run the tests as root: {}", out.stderr);
    }
    Ok(out)
}

#[test]
fn it_is_the_same_each_time_holds_what_it_should_and_serves_a_machine() -> Result<()> {
    let (one, two) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let (first, second) = (pack(one.path())?, pack(two.path())?);
    ensure!(fs::read(&first)? == fs::read(&second)?, "two builds of one commit differ");

    let list = tool(&["dpkg-deb", "-c"], &first)?;
    for line in list.lines() {
        ensure!(line.contains(" root/root "), "not root's: {line}");
        let mode = line.split(' ').next().unwrap_or_default();
        ensure!(matches!(mode, "drwxr-xr-x" | "-rw-r--r--" | "-rwxr-xr-x"), "an odd mode: {line}");
        ensure!(!line.contains("./etc/") && !line.contains("./var/"), "made by hand, not by dpkg: {line}");
    }
    for file in [
        "./usr/bin/sealpost",
        "./usr/lib/systemd/system/sealpost.service",
        "./usr/lib/sysusers.d/sealpost.conf",
        "./usr/lib/tmpfiles.d/sealpost.conf",
        "./usr/share/man/man1/sealpost.1",
        "./usr/share/bash-completion/completions/sealpost",
        "./usr/share/doc/sealpost/copyright",
        "./usr/share/doc/sealpost/install.md",
    ] {
        ensure!(list.lines().any(|line| line.ends_with(file)), "{file} is missing in {list}");
    }
    let facts = tool(&["dpkg-deb", "-f"], &first)?;
    for fact in ["Package: sealpost", "Depends: libc6 (>= 2.", "libgcc-s1", "Architecture: "] {
        ensure!(facts.contains(fact), "{fact} in {facts}");
    }
    // The program has no symbols and says where they are.
    let unpacked = tempfile::tempdir()?;
    let mut extract = Command::new("dpkg-deb");
    extract.arg("-x").arg(&first).arg(unpacked.path());
    program::run(&mut extract, b"", Duration::from_secs(60))?.ok()?;
    let inside = unpacked.path().join("usr/bin/sealpost");
    let sections = tool(&["objdump", "-h"], &inside)?;
    ensure!(sections.contains(".gnu_debuglink") && !sections.contains(".debug_line"), "{sections}");
    let notices = fs::read_to_string(unpacked.path().join("usr/share/doc/sealpost/copyright"))?;
    for word in ["rustls ", "aws-lc-sys ", "tokio ", "Apache-2.0"] {
        ensure!(notices.contains(word), "{word} in the notices");
    }
    let man = fs::read_to_string(unpacked.path().join("usr/share/man/man1/sealpost.1"))?;
    for word in [".TH sealpost", "sealpost init", "sealpost user add", ".SH FILES"] {
        ensure!(man.contains(word), "{word} in the man page");
    }
    lives(&first, one.path())
}

const LIFE: &str = r#"
say() { echo "== $*"; }
dpkg --force-depends -i /tmp/sealpost.deb
say installed
[ "$(stat -c '%U %a' /etc/sealpost)" = "root 750" ]
for folder in sealpost sealpost-ring sealpost-anchor; do
    [ "$(stat -c '%U:%G %a' /var/lib/$folder)" = "sealpost:sealpost 700" ]
done
[ "$(getent passwd sealpost | cut -d: -f7)" = /usr/sbin/nologin ]
[ ! -e /etc/sealpost/sealpost.toml ]

say a server that is not made is not served
if sealpost serve 2>/tmp/err; then exit 1; fi
grep -q "sealpost init" /tmp/err

say init
sealpost init --config /etc/sealpost/sealpost.toml --answers /usr/share/doc/sealpost/answers.example.toml --json >/tmp/made.json
grep -q '"config":"/etc/sealpost/sealpost.toml"' /tmp/made.json
[ "$(stat -c '%U:%G %a' /etc/sealpost/sealpost.toml)" = "root:sealpost 640" ]
[ "$(stat -c '%U:%G %a' /etc/sealpost/master.key)" = "root:root 600" ]
[ -z "$(find /var/lib/sealpost /var/lib/sealpost-ring /var/lib/sealpost-anchor ! -user sealpost)" ]
[ -z "$(find /var/lib/sealpost /var/lib/sealpost-ring /var/lib/sealpost-anchor /etc/sealpost/recovery-kit -perm /077)" ]
[ "$(ls /etc/sealpost/recovery-kit | wc -l)" = 3 ]

say the server runs as its user, with the key that it is handed, on port 25
mkdir -p -m 700 /run/sealpost /run/credentials/sealpost
chown sealpost:sealpost /run/sealpost
install -m 400 -o sealpost -g sealpost /etc/sealpost/master.key /run/credentials/sealpost/master.key
chmod 755 /run/credentials; chown sealpost /run/credentials/sealpost
cp -r /tmp/tls /etc/sealpost/ && chgrp -R sealpost /etc/sealpost/tls && chmod 640 /etc/sealpost/tls/privkey.pem
sed -i 's/"\[::\]:\([0-9]*\)"/"127.0.0.1:\1"/' /etc/sealpost/sealpost.toml
CREDENTIALS_DIRECTORY=/run/credentials/sealpost setpriv --reuid sealpost --regid sealpost --clear-groups \
    --inh-caps=-all,+net_bind_service --ambient-caps=-all,+net_bind_service --bounding-set=-all,+net_bind_service \
    --no-new-privs sealpost serve --config /etc/sealpost/sealpost.toml 2>/tmp/serve.log &
server=$!
for n in $(seq 100); do sealpost status >/tmp/status 2>&1 && break; sleep 0.1; done
grep -q "1 organisation" /tmp/status || { cat /tmp/status /tmp/serve.log; exit 1; }
if sealpost check >/tmp/check; then exit 1; fi
grep -q "FAIL  kit" /tmp/check
kit=/etc/sealpost/recovery-kit
sealpost key drill --share $kit/share-1.txt --share $kit/share-3.txt
rm -r $kit
sealpost check || true
sealpost audit verify >/dev/null

say an upgrade keeps everything
sum=$(sha256sum /etc/sealpost/master.key)
dpkg --force-depends -i /tmp/sealpost.deb
[ "$sum" = "$(sha256sum /etc/sealpost/master.key)" ]
kill -TERM $server; wait $server
[ -z "$(find /var/lib/sealpost /var/lib/sealpost-ring /var/lib/sealpost-anchor ! -user sealpost)" ]

say root does not serve what belongs to others
if sealpost serve 2>/tmp/err; then exit 1; fi
grep -q "systemctl start sealpost" /tmp/err

say a purge deletes no data
dpkg --purge sealpost >/tmp/purge
grep -q "Kept, since they hold mail" /tmp/purge
[ -s /var/lib/sealpost/store.db ] && [ -s /etc/sealpost/master.key ] && [ ! -e /usr/bin/sealpost ]
say done
"#;

/// A machine gets it, runs it, upgrades it and loses it.
fn lives(package: &Path, folder: &Path) -> Result<()> {
    let ca = sealpost_net::LocalCa::create(
        &["mail.clinic.example"],
        sealpost_model::Clock::now(&sealpost_model::SystemClock),
    )?;
    // The certificate lies on this machine, and so behind the overlay too.
    let tls = folder.join("tls");
    fs::create_dir(&tls)?;
    fs::write(tls.join("fullchain.pem"), &ca.certificate)?;
    fs::write(tls.join("privkey.pem"), ca.key.expose())?;
    let script = format!("cp -r {} /tmp/tls\n{LIFE}", tls.display());
    let done = behind_an_overlay(package, &script)?;
    ensure!(done.status.success() && done.text().contains("== done"), "{}\n{}", done.text(), done.stderr);
    Ok(())
}

/// What systemd itself says about the unit.
#[test]
fn the_unit_is_one_that_systemd_likes() -> Result<()> {
    let unit = root()?.join("packaging/sealpost.service");
    let text = fs::read_to_string(&unit)?;
    for line in [
        "User=sealpost",
        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "LimitCORE=0",
        "UMask=0077",
        "LoadCredential=master.key:/etc/sealpost/master.key",
        "AssertPathExists=/etc/sealpost/sealpost.toml",
    ] {
        ensure!(text.lines().any(|l| l == line), "{line} is not in the unit");
    }
    // The folders that it names are those that the package and `init` make.
    for folder in ["sealpost", "sealpost-ring", "sealpost-anchor"] {
        let named = text
            .lines()
            .any(|l| l.starts_with("StateDirectory=") && l.split([' ', '=']).any(|w| w == folder));
        ensure!(named, "StateDirectory lacks {folder}");
        let path = format!("/var/lib/{folder}");
        for file in ["packaging/tmpfiles.conf", "packaging/debian/postinst"] {
            ensure!(fs::read_to_string(root()?.join(file))?.contains(&path), "{file} lacks {path}");
        }
    }
    if Command::new("systemd-analyze").arg("--version").output().is_ok() {
        let folder = tempfile::tempdir()?;
        let copy = folder.path().join("sealpost.service");
        fs::write(&copy, text.replace("/usr/bin/sealpost", PROGRAM))?;
        let verify = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&copy).output()?;
        let said = String::from_utf8_lossy(&verify.stderr).into_owned();
        ensure!(!said.contains("sealpost.service"), "{said}");
        let out = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--threshold=20"])
            .arg(&copy)
            .output()?;
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        ensure!(out.status.success(), "exposed more than 2.0: {}", said.lines().last().unwrap_or_default());
    }
    Ok(())
}
