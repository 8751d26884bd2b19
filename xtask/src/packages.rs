//! What the tests need from Debian, npm and PyPI: looked for, installed when missing.
//!
//! The lists are `tests/debian-packages.txt`, `tests/e2e/package-lock.json` and `tests/python/requirements.txt`.
//! Debian packages want root; without it the missing ones are named and nothing more happens.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::shell::{self, command, run};

/// Sees that everything is there.
pub fn ensure() -> Result<()> {
    debian()?;
    nextest()?;
    npm()?;
    python()
}

/// Where PyPI modules are put; goes into `PYTHONPATH`.
pub fn python_modules() -> PathBuf {
    shell::target().join("tools/python")
}

fn debian() -> Result<()> {
    let list = fs::read_to_string("tests/debian-packages.txt")?;
    let missing = missing(&list, &|sign| present(sign));
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if shell::find("apt-get").is_none() {
        bail!(
            "these Debian packages are missing, and there is no apt-get here: {names}\n\
             Install what brings the same programs."
        );
    }
    if !rustix::process::geteuid().is_root() {
        bail!("these Debian packages are missing; install them as root:\n    apt-get install {names}");
    }
    // RUNLEVEL=1: the packages' own services are not wanted, the tests start theirs.
    let quiet = |words: &[&str]| {
        let mut command = command(words);
        command.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
        run(&mut command)
    };
    quiet(&["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=600", "update"])?;
    let mut words = vec!["apt-get", "-qq", "-y", "-o", "DPkg::Lock::Timeout=600"];
    words.extend(["install", "--no-install-recommends"]);
    words.extend(missing.iter().map(String::as_str));
    quiet(&words)
}

/// The packages of each line of the list whose sign isn't there.
fn missing(list: &str, present: &dyn Fn(&str) -> bool) -> Vec<String> {
    let lines = list.lines().map(|line| line.split('#').next().unwrap_or_default().split_whitespace());
    let mut all = Vec::new();
    for mut words in lines {
        let Some(sign) = words.next() else { continue };
        if !present(sign) {
            all.extend(words.map(str::to_owned));
        }
    }
    all.sort();
    all.dedup();
    all
}

fn present(sign: &str) -> bool {
    if !sign.starts_with('/') {
        return shell::find(sign).is_some();
    }
    let mut found = vec![PathBuf::from("/")];
    for part in sign.split('/').filter(|part| !part.is_empty()) {
        found = match part {
            "*" => found
                .iter()
                .filter_map(|at| fs::read_dir(at).ok())
                .flatten()
                .flatten()
                .map(|f| f.path())
                .collect(),
            name => found.iter().map(|at| at.join(name)).filter(|at| at.exists()).collect(),
        };
    }
    !found.is_empty()
}

fn nextest() -> Result<()> {
    if shell::works(&["cargo", "nextest", "--version"]) {
        return Ok(());
    }
    println!("cargo-nextest is missing: building it, once");
    run(&mut command(&["cargo", "install", "--locked", "cargo-nextest"]))
}

fn npm() -> Result<()> {
    let lock = Path::new("tests/e2e/package-lock.json");
    let done = Path::new("tests/e2e/node_modules/.package-lock.json");
    if newer(done, lock) {
        return Ok(());
    }
    let mut npm = command(&["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
    run(npm.current_dir("tests/e2e"))
}

fn python() -> Result<()> {
    let list = Path::new("tests/python/requirements.txt");
    let into = python_modules();
    let done = into.join("installed.txt");
    let wanted = fs::read_to_string(list).context("tests/python/requirements.txt")?;
    if fs::read_to_string(&done).is_ok_and(|have| have == wanted) {
        return Ok(());
    }
    if into.exists() {
        fs::remove_dir_all(&into)?;
    }
    let mut pip = command(&["python3", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    pip.args(["--no-deps", "--require-hashes", "--root-user-action=ignore", "--target"]).arg(&into);
    run(pip.arg("-r").arg(list))?;
    Ok(fs::write(done, wanted)?)
}

fn newer(file: &Path, than: &Path) -> bool {
    let time = |path: &Path| fs::metadata(path).and_then(|facts| facts.modified()).ok();
    time(file).is_some() && time(file) >= time(than)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_each_missing_package_once() {
        let list = "# words\nhere  a\ngone  b c\n\n/also/gone  c d # why\n";
        assert_eq!(missing(list, &|sign| sign == "here"), ["b", "c", "d"]);
        assert!(missing(list, &|_| true).is_empty());
    }

    #[test]
    fn sees_programs_and_files() {
        assert!(present("sh") && present("/usr/*/sh"));
        assert!(!present("no-such-program") && !present("/usr/*/no-such-file") && !present("/no/such"));
    }
}
