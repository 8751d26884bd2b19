//! Which licences and which sources the dependencies may have, as `deny.toml` says.
//!
//! `cargo deny` is asked where it is installed. It is no light thing to build, and its advisories come from a
//! repository that the test machines don't reach; so without it this reads `cargo metadata`: each package's licence
//! expression must be satisfiable from the allowed ones, and each package must come from crates.io.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::shell::{self, cargo, command, run};

/// Checks all packages of the lock file.
pub fn check() -> Result<()> {
    if shell::works(&["cargo", "deny", "--version"]) {
        return run(&mut command(&["cargo", "deny", "--locked", "check", "bans", "licenses", "sources"]));
    }
    let rules: toml::Table = fs::read_to_string("deny.toml").context("deny.toml")?.parse()?;
    let allowed = rules.get("licenses").and_then(|part| part.get("allow")).and_then(toml::Value::as_array);
    let allowed: BTreeSet<&str> =
        allowed.context("deny.toml has no licenses.allow")?.iter().filter_map(toml::Value::as_str).collect();

    let words = ["metadata", "--format-version=1", "--locked", "--filter-platform=x86_64-unknown-linux-gnu"];
    let metadata: Value = serde_json::from_str(&shell::output(cargo().args(words))?)?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let mut wrong = Vec::new();
    let mut versions = BTreeMap::<&str, Vec<&str>>::new();
    for package in packages {
        let text = |key: &str| package[key].as_str().unwrap_or_default();
        let name = text("name");
        versions.entry(name).or_default().push(text("version"));
        if !package["source"].is_null() && !text("source").ends_with("github.com/rust-lang/crates.io-index") {
            wrong.push(format!("{name} comes from {}, not from crates.io", text("source")));
        }
        if !satisfied(text("license"), &allowed) {
            wrong.push(format!("{name}: licence {:?} is not in deny.toml", text("license")));
        }
    }
    versions.retain(|_, versions| versions.len() > 1);
    let twice: Vec<_> = versions.iter().map(|(name, all)| format!("{name} ({})", all.join(", "))).collect();
    println!("{} packages; in several versions: {}", packages.len(), twice.join(", "));
    println!("advisories: not looked at, cargo-deny is not installed");
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(())
}

/// Whether an SPDX expression can be satisfied from `allowed`. `A/B` is the old way to write `A OR B`.
fn satisfied(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    any(&mut words, allowed) && words.next().is_none()
}

type Words<'a, 'b> = &'b mut std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: Words<'_, '_>, allowed: &BTreeSet<&str>) -> bool {
    let mut ok = all(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        ok |= all(words, allowed);
    }
    ok
}

fn all(words: Words<'_, '_>, allowed: &BTreeSet<&str>) -> bool {
    let mut ok = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        ok &= one(words, allowed);
    }
    ok
}

fn one(words: Words<'_, '_>, allowed: &BTreeSet<&str>) -> bool {
    match words.next() {
        Some("(") => any(words, allowed) & words.next_if_eq(&")").is_some(),
        Some(id) if words.next_if_eq(&"WITH").is_some() => {
            allowed.contains(format!("{id} WITH {}", words.next().unwrap_or_default()).as_str())
        }
        Some(id) => allowed.contains(id),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_licence_expressions() {
        let allowed = BTreeSet::from(["MIT", "ISC", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"]);
        for good in [
            "MIT",
            "MIT OR GPL-3.0",
            "GPL-3.0/MIT",
            "MIT AND ISC",
            "(GPL-3.0 OR MIT) AND ISC",
            "Apache-2.0 WITH LLVM-exception OR GPL-3.0",
        ] {
            assert!(satisfied(good, &allowed), "{good}");
        }
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT", "MIT ISC", "GPL-3.0 WITH LLVM-exception", "OR"]
        {
            assert!(!satisfied(bad, &allowed), "{bad}");
        }
    }
}
