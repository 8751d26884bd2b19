//! Asking for what must not stand on the command line: from a file descriptor, from the service manager, or from the
//! person at the terminal, in this order.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::Path;

use anyhow::{Context, Result, bail};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use sealpost_model::Secret;
use zeroize::Zeroizing;

use crate::config::Config;

/// The credential of systemd that holds the passphrase.
const CREDENTIAL: &str = "sealpost-master";
const LONGEST: u64 = 4096;

/// The passphrase of the master key.
pub fn passphrase(config: &Config) -> Result<Secret<String>> {
    match handed(config)? {
        Some(text) => Ok(text),
        None => hidden("Passphrase of the master key: "),
    }
}

/// A passphrase that is new: typed twice.
pub fn new_passphrase(config: &Config) -> Result<Secret<String>> {
    if let Some(text) = handed(config)? {
        return Ok(text);
    }
    let first = hidden("New passphrase of the master key (six words or more): ")?;
    if hidden("Once more: ")?.expose() != first.expose() {
        bail!("the two passphrases differ; nothing was changed");
    }
    Ok(first)
}

fn handed(config: &Config) -> Result<Option<Secret<String>>> {
    if let Some(number) = config.passphrase_fd {
        return read(Path::new(&format!("/dev/fd/{number}"))).map(Some);
    }
    credential(CREDENTIAL)
}

/// What the service manager hands over under this name.
pub fn credential(name: &str) -> Result<Option<Secret<String>>> {
    let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY") else { return Ok(None) };
    let path = Path::new(&folder).join(name);
    if path.exists() { read(&path).map(Some) } else { Ok(None) }
}

/// The first line of a file.
pub fn read(path: &Path) -> Result<Secret<String>> {
    let mut text = Zeroizing::new(String::new());
    std::fs::File::open(path)
        .and_then(|file| file.take(LONGEST).read_to_string(&mut text))
        .with_context(|| format!("{} can't be read", path.display()))?;
    Ok(Secret::new(text.lines().next().unwrap_or_default().to_owned()))
}

/// Asks without showing the answer.
pub fn hidden(question: &str) -> Result<Secret<String>> {
    let terminal = std::io::stdin();
    if !terminal.is_terminal() {
        bail!(
            "the passphrase is asked for on a terminal, and there is none: give --master-passphrase-fd N, or have \
             systemd load the credential {CREDENTIAL}"
        );
    }
    say(question)?;
    let before = tcgetattr(&terminal)?;
    let mut quiet = before.clone();
    quiet.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&terminal, OptionalActions::Flush, &quiet)?;
    let mut answer = Zeroizing::new(String::new());
    let read = terminal.lock().read_line(&mut answer);
    tcsetattr(&terminal, OptionalActions::Flush, &before)?;
    say("\n")?;
    read?;
    Ok(Secret::new(answer.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Asks, and shows what is typed. `None` when there is no more.
pub fn line(question: &str) -> Result<Option<Zeroizing<String>>> {
    let input = std::io::stdin();
    if input.is_terminal() {
        say(question)?;
    }
    let mut answer = Zeroizing::new(String::new());
    Ok((input.lock().read_line(&mut answer)? > 0).then_some(answer))
}

/// Says something that is no result.
pub fn say(text: &str) -> Result<()> {
    let mut err = std::io::stderr().lock();
    err.write_all(text.as_bytes())?;
    Ok(err.flush()?)
}
