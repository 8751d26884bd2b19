//! The answers: what `init` has to know, and the file that holds them for scripts. What is wrong in the file is said
//! with its line.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use sealpost_model::Secret;
use serde::Deserialize;

use super::plan::Wrong;

/// All answers. Paths start at the configuration's folder.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answers {
    /// The organisation's name.
    pub organisation: String,
    /// The server's host name.
    pub hostname: String,
    /// What links begin with.
    pub public_url: Option<String>,
    /// The first domain.
    pub domain: String,
    /// The data folder.
    pub data: Option<PathBuf>,
    /// `[store] url`: where rows live, if not in the data folder.
    #[serde(default, deserialize_with = "crate::config::secret")]
    pub store: Option<Secret<String>>,
    /// The key ring's folder.
    pub ring: Option<PathBuf>,
    /// The master key's file.
    pub master: Option<PathBuf>,
    /// The file for the log's newest checkpoint.
    pub anchor: Option<PathBuf>,
    /// Certificates are ordered from Let's Encrypt; it writes to this address about trouble.
    pub acme: Option<String>,
    /// The certificate chain.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// The security official.
    pub official: Somebody,
    /// A second person who can do the same.
    pub second: Somebody,
    /// The recovery kit.
    #[serde(default)]
    pub recovery: Recovery,
}

/// Who answers for security.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Somebody {
    /// Their name.
    pub name: String,
    /// Their address here; the domain may be left out.
    pub address: String,
    /// How to reach them while this server is down.
    pub contact: String,
    /// Left out, they set their own by a link.
    pub password: Option<String>,
}

/// In how many parts the master key is split, and how many bring it back.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Recovery {
    /// All parts.
    pub shares: u8,
    /// Parts that are enough.
    pub needed: u8,
    /// The folder that the parts are written to, one file each.
    pub folder: Option<PathBuf>,
}

impl Default for Recovery {
    fn default() -> Self {
        Self { shares: 3, needed: 2, folder: None }
    }
}

/// Reads answers and makes something of them.
///
/// # Errors
/// One sentence, with the file and the line.
pub(super) fn read<T>(path: &Path, with: impl FnOnce(Answers) -> Result<T, Wrong>) -> Result<T> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| {
        format!(
            "the answers {shown} can't be read; give another file with --answers, or leave it out to be asked"
        )
    })?;
    let answers = toml::from_str(&text).with_context(|| format!("the answers {shown} are not valid"))?;
    with(answers).map_err(|wrong| match line_of(&text, wrong.key) {
        Some(line) => anyhow!("{shown}, line {line}: {wrong}"),
        None => anyhow!("{shown}: {wrong}"),
    })
}

/// The line of a key such as `domain` or `official.contact`, counted from 1; of its table, when the key isn't there.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let (table, key) = key.rsplit_once('.').unwrap_or(("", key));
    let (mut here, mut of_table) = ("", None);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.split(']').next()) {
            here = name.trim();
            if here == table {
                of_table = Some(number);
            }
        }
        let named = line.split('=').next().unwrap_or_default().trim();
        if here == table && named == key {
            return Some(number);
        }
        // `official = { name = ... }`, `official.name = ...`
        if here.is_empty() && (named == table || named == format!("{table}.{key}")) && !table.is_empty() {
            return Some(number);
        }
    }
    of_table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_key_is_found_in_its_table() {
        let text = "organisation = \"x\"\n# domain = 1\ndomain = \"d\"\n\n[official]\nname = \"n\"\naddress=\"a\"\n[second]\nname = \"m\"\n";
        assert_eq!(line_of(text, "domain"), Some(3));
        assert_eq!(line_of(text, "official.name"), Some(6));
        assert_eq!(line_of(text, "second.name"), Some(9));
        assert_eq!(line_of(text, "second.contact"), Some(8));
        assert_eq!(line_of(text, "hostname"), None);
        assert_eq!(line_of("a = 1\nofficial = { name = \"n\" }", "official.name"), Some(2));
    }
}
