//! The notices that come with the program: our licence, and the licence of everything that is linked into it.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::shell::{self, cargo};

/// Debian's `copyright`: what is ours, then each package that is linked in with its licence and its notices.
pub fn copyright() -> Result<String> {
    let mut out = String::from(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\
         Upstream-Name: Sealpost\n\n\
         Files: *\n\
         Copyright: The Sealpost authors\n\
         License: Apache-2.0 or MIT\n \
         Both texts lie beside this file.\n\n\
         Comment: The program contains these packages. Each is used under the licence that it names; where a package\n \
         lets one choose, under any of them. Notices that a package carries follow below.\n\n",
    );
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in linked()? {
        let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
        let (name, version) = (text("name"), text("version"));
        let licence = match text("license") {
            empty if empty.is_empty() => "see its notice".to_owned(),
            licence => licence,
        };
        writeln!(out, " {name} {version}: {licence}")?;
        let folder = Path::new(package["manifest_path"].as_str().unwrap_or_default())
            .parent()
            .context("a package without a folder")?
            .to_owned();
        for (_, notice) in notices(&folder)? {
            texts.entry(notice).or_default().push(format!("{name} {version}"));
        }
    }
    // The same text stands once, with all who carry it.
    for (text, packages) in texts {
        write!(out, "\n{}\n{}:\n\n{}\n", "-".repeat(78), packages.join(", "), text.trim_end())?;
    }
    Ok(out)
}

/// The packages that end up in the program, others' only, by name and version.
fn linked() -> Result<Vec<Value>> {
    let words = ["tree", "--locked", "-p", "sealpost", "-e", "normal", "--prefix", "none", "--format", "{p}"];
    let tree = shell::output(cargo().args(words))?;
    let named: std::collections::BTreeSet<(&str, &str)> = tree
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.next()?.strip_prefix('v')?))
        })
        .collect();
    let words = ["metadata", "--format-version=1", "--locked", "--filter-platform=x86_64-unknown-linux-gnu"];
    let metadata: Value = serde_json::from_str(&shell::output(cargo().args(words))?)?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let is_linked = |p: &&Value| {
        !p["source"].is_null()
            && named.contains(&(
                p["name"].as_str().unwrap_or_default(),
                p["version"].as_str().unwrap_or_default(),
            ))
    };
    let mut all: Vec<Value> = packages.iter().filter(is_linked).cloned().collect();
    all.sort_by_key(|p| format!("{} {}", p["name"], p["version"]));
    Ok(all)
}

/// Licence and notice files at the top of a package, by name.
fn notices(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| format!("{} can't be read", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_uppercase();
        let counts = ["LICENSE", "LICENCE", "COPYING", "NOTICE", "COPYRIGHT", "UNLICENSE"];
        if path.is_file() && counts.iter().any(|start| name.starts_with(start)) {
            let text = String::from_utf8_lossy(&fs::read(&path)?).replace('\r', "");
            // Common texts differ in blanks only.
            let text = text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim().to_owned();
            all.insert(name, text);
        }
    }
    Ok(all)
}
