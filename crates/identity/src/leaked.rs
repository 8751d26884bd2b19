//! Passwords that are known to have leaked (S42), looked up without asking anybody.
//!
//! A list of the most common ones is part of the program. An organisation that wants more downloads the list of Have I Been
//! Pwned (SHA-1, ordered by hash) and names the file in the configuration; it is searched where it lies, some 30 reads a
//! password. Nothing ever leaves the server. A file that can't be read refuses every password: a check that was asked for
//! is not left out.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use sealpost_crypto::danger_sha1;
use zeroize::Zeroizing;

/// Both lists.
#[derive(Clone, Default)]
pub(crate) struct Leaked {
    common: Arc<OnceLock<Vec<u8>>>,
    file: Option<PathBuf>,
}

impl Leaked {
    pub(crate) fn new(file: Option<PathBuf>) -> Self {
        Self { common: Arc::default(), file }
    }

    /// Whether a password is on one of the lists. Reads the file; not for a thread that must not wait.
    ///
    /// # Errors
    /// Why the file can't be read.
    pub(crate) fn has(&self, password: &str) -> Result<bool, String> {
        let lower = Zeroizing::new(password.to_lowercase());
        let common = self.common.get_or_init(|| zstd::decode_all(COMMON).unwrap_or_default());
        if find_line(common, lower.as_bytes()) {
            return Ok(true);
        }
        let Some(path) = &self.file else { return Ok(false) };
        let hash = danger_sha1(password.as_bytes());
        let hex: String = hash.iter().map(|byte| format!("{byte:02X}")).collect();
        look(path, &hex).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// Whether a file can be searched, for `sealpost check`.
///
/// # Errors
/// Why not.
pub fn check_leaked(path: &Path) -> Result<(), String> {
    Leaked::new(Some(path.to_owned())).has("plum orbit kettle ninety").map(drop)
}

/// Whether a sorted list of lines has this one.
fn find_line(list: &[u8], wanted: &[u8]) -> bool {
    let (mut from, mut to) = (0, list.len());
    while from < to {
        let middle = from + (to - from) / 2;
        let begin = list[from..middle].iter().rposition(|b| *b == b'\n').map_or(from, |at| from + at + 1);
        let end = list[begin..to].iter().position(|b| *b == b'\n').map_or(to, |at| begin + at);
        match list[begin..end].cmp(wanted) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => from = end + 1,
            std::cmp::Ordering::Greater => to = begin,
        }
    }
    false
}

/// Whether a file of lines `HASH:COUNT`, ordered by hash, has this hash.
fn look(path: &Path, hash: &str) -> std::io::Result<bool> {
    let mut file = File::open(path)?;
    let (mut from, mut to) = (0, file.metadata()?.len());
    // Behind the first line's end at `from`; a line is 40 letters, a colon and a count.
    while to.saturating_sub(from) > WINDOW {
        let middle = from + (to - from) / 2;
        let text = read(&mut file, middle, 2 * LINE)?;
        let Some(start) = text.iter().position(|b| *b == b'\n') else { return Err(bad()) };
        let line = text.get(start + 1..start + 41).ok_or_else(bad)?;
        if !line.iter().all(u8::is_ascii_hexdigit) {
            return Err(bad());
        }
        match line.to_ascii_uppercase().as_slice().cmp(hash.as_bytes()) {
            std::cmp::Ordering::Equal => return Ok(true),
            std::cmp::Ordering::Less => from = middle,
            std::cmp::Ordering::Greater => to = middle + LINE,
        }
    }
    let text = read(&mut file, from, WINDOW + 2 * LINE)?;
    let first = text.split(|b| *b == b'\n').find(|line| line.len() >= 40);
    if !first.is_some_and(|line| line.iter().any(u8::is_ascii_hexdigit)) {
        return Err(bad());
    }
    Ok(text
        .split(|b| *b == b'\n')
        .any(|line| line.get(..40).is_some_and(|found| found.eq_ignore_ascii_case(hash.as_bytes()))))
}

fn read(file: &mut File, at: u64, most: u64) -> std::io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at))?;
    let mut text = Vec::new();
    file.take(most).read_to_end(&mut text)?;
    Ok(text)
}

fn bad() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, "it is no list of SHA-1 hashes ordered by hash")
}

/// Sorted, lower case, 8 characters or more; `data/README.md` says where it is from.
const COMMON: &[u8] = include_bytes!("../data/leaked.txt.zst");
/// More than any line takes.
const LINE: u64 = 64;
/// What is read whole in the end.
const WINDOW: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_ones_are_known_in_any_case() {
        let leaked = Leaked::default();
        for known in ["password", "PassWord1", "1q2w3e4r5t6y7u8i9o0p", "zxcvbnm123"] {
            assert_eq!(leaked.has(known), Ok(true), "{known}");
        }
        assert_eq!(leaked.has("plum orbit kettle ninety"), Ok(false));
        let list = zstd::decode_all(COMMON).expect("opens");
        let lines: Vec<&[u8]> = list.split(|b| *b == b'\n').filter(|l| !l.is_empty()).collect();
        assert!(lines.is_sorted());
        assert!(lines.len() > 8_000 && lines.iter().all(|l| find_line(&list, l)));
    }

    #[test]
    fn a_downloaded_list_is_searched_to_its_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pwned.txt");
        let words: Vec<String> = (0..5_000).map(|n| format!("leaked word number {n}")).collect();
        let mut lines: Vec<String> = words
            .iter()
            .map(|word| {
                let hash = danger_sha1(word.as_bytes());
                let hex: String = hash.iter().map(|byte| format!("{byte:02X}")).collect();
                format!("{hex}:{}", hash[0])
            })
            .collect();
        lines.sort();
        for end in ["\n", "\r\n"] {
            std::fs::write(&path, lines.join(end) + end).expect("writes");
            let leaked = Leaked::new(Some(path.clone()));
            assert!(words.iter().all(|word| leaked.has(word) == Ok(true)));
            assert_eq!(leaked.has("leaked word number 5000"), Ok(false));
        }
        std::fs::write(&path, "nothing of the kind\n".repeat(1_000)).expect("writes");
        assert!(Leaked::new(Some(path)).has("any password").is_err());
        assert!(Leaked::new(Some(folder.path().join("gone"))).has("any password").is_err());
    }
}
