//! Holds the crates' dependencies against the floors of `docs/architecture.md`: a crate uses the floors below it,
//! and on its own floor what the table says.

use std::{collections::BTreeMap, process::Command};

/// Floor, crate, and what it may use on its own floor. Nothing uses a crate that isn't here.
const FLOORS: &[(u8, &str, &[&str])] = &[
    (0, "model", &[]),
    (0, "message", &["model"]),
    (0, "crypto", &["model"]),
    (0, "phi", &["model"]),
    (0, "policy", &["model"]),
    (1, "store", &[]),
    (1, "net", &[]),
    (1, "mailauth", &["net"]),
    (2, "audit", &[]),
    (2, "identity", &["audit"]),
    (2, "search", &[]),
    (2, "archive", &["audit", "search"]),
    (2, "mailbox", &["audit", "archive", "search"]),
    (2, "groupware", &["audit"]),
    (2, "delivery", &["audit", "archive", "mailbox", "identity"]),
    (2, "pickup", &["audit", "delivery"]),
    (2, "backup", &["audit"]),
    (2, "compliance", &["audit", "identity"]),
    (3, "smtp", &[]),
    (3, "imap", &[]),
    (3, "pop3", &[]),
    (3, "jmap", &[]),
    (3, "dav", &[]),
    (3, "activesync", &[]),
    (3, "sftp", &[]),
    (3, "fax", &[]),
    (3, "web", &[]),
    (4, "sealpost", &[]),
];

#[test]
fn crates_use_the_floors_below_them() {
    let words = ["metadata", "--format-version=1", "--no-deps", "--offline"];
    let out = Command::new(env!("CARGO")).args(words).output().expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&out.stdout).expect("cargo metadata is JSON");
    let table: BTreeMap<_, _> = FLOORS.iter().map(|(floor, name, same)| (*name, (*floor, *same))).collect();
    let ours = |name: &str| name.strip_prefix("sealpost-").unwrap_or(name).to_owned();

    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let name = ours(package["name"].as_str().expect("a name"));
        if ["testkit", "xtask"].contains(&name.as_str()) {
            continue;
        }
        let Some((floor, same)) = table.get(name.as_str()) else {
            wrong.push(format!("{name} stands on no floor"));
            continue;
        };
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let used = dependency["name"].as_str().expect("a name");
            if !used.starts_with("sealpost") || dependency["kind"] == "dev" {
                continue;
            }
            let used = ours(used);
            let allowed = table
                .get(used.as_str())
                .is_some_and(|(below, _)| below < floor || (below == floor && same.contains(&used.as_str())));
            if !allowed {
                wrong.push(format!("{name} (floor {floor}) may not use {used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
