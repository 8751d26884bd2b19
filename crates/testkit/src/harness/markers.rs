//! Is anything shown? Words that exist nowhere else are put into every place a person can fill, and then looked for
//! in every file below the data folder, and of the database, as they are and in each form that mail and programs give to text (S81).

use std::{
    fmt::Write,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use aho_corasick::AhoCorasick;
use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

use crate::{
    Dice, Ground, Server,
    imap::{Imap, quoted},
    smtp::Smtp,
};

/// Words by the place that they were put in.
#[derive(Clone, Debug)]
pub struct Markers(Vec<(&'static str, String)>);

/// The places.
const PLACES: [&str; 15] = [
    "subject",
    "body",
    "quoted",
    "attachment",
    "filename",
    "sender",
    "recipient",
    "outsider",
    "stranger",
    "keyword",
    "folder",
    "draft",
    "password",
    "wrongpass",
    "nobody",
];

impl Markers {
    /// New words, one a place: long enough to be there only if they were put there.
    pub fn roll(dice: &mut Dice) -> Markers {
        Markers(PLACES.iter().map(|place| (*place, dice.word(18))).collect())
    }

    /// The word of a place.
    pub(super) fn at(&self, place: &str) -> &str {
        self.0.iter().find(|(name, _)| *name == place).map_or("", |(_, word)| word)
    }
}

/// Finds words in files.
pub struct Scanner {
    search: AhoCorasick,
    names: Vec<String>,
    longest: usize,
}

impl Scanner {
    /// Prepares all forms of all words.
    pub fn new(markers: &Markers) -> Result<Scanner> {
        let (mut names, mut needles) = (Vec::new(), Vec::new());
        for (place, word) in &markers.0 {
            for (form, needle) in forms(word) {
                names.push(format!("{place} ({form})"));
                needles.push(needle);
            }
        }
        let longest = needles.iter().map(Vec::len).max().unwrap_or(0);
        // Base64 must match exactly, but a match in other case would be just as strange.
        let search = AhoCorasick::builder().ascii_case_insensitive(true).build(&needles)?;
        Ok(Scanner { search, names, longest })
    }

    /// All places below a folder where a word was found, and the number of bytes read.
    pub fn scan(&self, folder: &Path) -> Result<(Vec<String>, u64)> {
        let (mut found, mut size) = (Vec::new(), 0);
        let mut folders = vec![folder.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
                let path = entry?.path();
                // Names show too.
                self.look(path.as_os_str().as_encoded_bytes(), &path, &mut found);
                match fs::symlink_metadata(&path) {
                    Ok(facts) if facts.is_dir() => folders.push(path),
                    Ok(facts) if facts.is_file() => size += self.file(&path, &mut found)?,
                    // A socket; or a file that went away while the server worked.
                    _ => {}
                }
            }
        }
        found.sort();
        found.dedup();
        Ok((found, size))
    }

    fn file(&self, path: &PathBuf, found: &mut Vec<String>) -> Result<u64> {
        let Ok(mut file) = File::open(path) else { return Ok(0) };
        let mut window = Vec::with_capacity(1 << 20);
        let mut size = 0;
        loop {
            // What may be the beginning of a word stays for the next piece.
            let keep = window.len().saturating_sub(self.longest);
            window.drain(..keep);
            let read = file.by_ref().take((1 << 20) - window.len() as u64).read_to_end(&mut window)?;
            if read == 0 {
                return Ok(size);
            }
            size += read as u64;
            self.look(&window, path, found);
        }
    }

    fn look(&self, bytes: &[u8], path: &Path, found: &mut Vec<String>) {
        for hit in self.search.find_overlapping_iter(bytes) {
            let name = self.names.get(hit.pattern().as_usize()).map_or("", String::as_str);
            found.push(format!("{name} in {}", path.display()));
        }
    }
}

/// The forms of one word; case is ignored later.
fn forms(word: &str) -> Vec<(&'static str, Vec<u8>)> {
    let raw = word.as_bytes();
    let mut all = vec![
        ("raw", raw.to_vec()),
        ("utf-16le", raw.iter().flat_map(|byte| [*byte, 0]).collect()),
        ("utf-16be", raw.iter().flat_map(|byte| [0, *byte]).collect()),
        ("hex", raw.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()),
        ("quoted-printable", raw.iter().flat_map(|byte| format!("={byte:02x}").into_bytes()).collect()),
        ("reversed", raw.iter().rev().copied().collect()),
    ];
    for (offset, name) in ["base64+0", "base64+1", "base64+2"].into_iter().enumerate() {
        let text = STANDARD_NO_PAD.encode([&vec![0; offset], raw].concat());
        // Cut what depends on the neighbours: the characters that hold bits of the bytes before and after.
        let from = (offset * 8).div_ceil(6);
        let to = (offset + raw.len()) * 8 / 6;
        all.push((name, text.as_bytes().get(from..to).unwrap_or_default().to_vec()));
    }
    all
}

/// Runs it: `rounds` messages a place, scanned while the server runs, after a kill, after a restart and a stop.
pub fn run(program: &Path, ground: &Ground, rounds: u32, mut dice: Dice) -> Result<String> {
    let mut server = Server::start_on(program, ground)?;
    let markers = Markers::roll(&mut dice);
    let scanner = Scanner::new(&markers)?;
    let seed = dice.seed();
    let person = format!("{}@clinic.test", markers.at("recipient"));
    let admin = server.user("admin")?;
    server
        .run(
            &["user", "add", &person, "--password-stdin", "--as", &admin.address],
            &format!("{}\n{}\n", admin.password, markers.at("password")),
        )?
        .ok()?;
    for _ in 0..rounds {
        fill(&server, &markers, &person, &mut dice).with_context(|| format!("seed {seed}"))?;
    }

    let mut report = format!("markers: {} words in {rounds} rounds, seed {seed}", markers.0.len());
    let mut look = |server: &Server, when: &str| -> Result<()> {
        let (mut found, mut size) = scanner.scan(server.folder())?;
        for folder in ground.folders()? {
            let (there, bytes) = scanner.scan(&folder)?;
            found.extend(there);
            size += bytes;
        }
        ensure!(found.is_empty(), "seed {seed}, {when}:\n{}", found.join("\n"));
        writeln!(report)?;
        write!(report, "{when}: nothing found in {} KiB", size / 1024)?;
        Ok(())
    };
    look(&server, "while it runs")?;
    fill(&server, &markers, &person, &mut dice)?;
    server.kill()?;
    look(&server, "after a kill")?;
    server.start_again()?;
    read_back(&server, &markers)?;
    look(&server, "started again")?;
    server.stop()?;
    look(&server, "stopped")?;
    Ok(report)
}

/// Puts each word where a person could put it.
fn fill(server: &Server, markers: &Markers, person: &str, dice: &mut Dice) -> Result<()> {
    let at = |place| markers.at(place);
    let outsider = format!("{}@outside.example", at("outsider"));
    let mut alice = server.submit_as("alice")?;
    let message = letter(markers, "alice@clinic.test", &[person, "bob@clinic.test", &outsider], dice);
    let to = [person, "bob@clinic.test", &outsider];
    alice.send("alice@clinic.test", &to, &message)?.expect(250)?;

    let stranger = format!("{}@outside.example", at("stranger"));
    let mut smtp = Smtp::starttls(server.listener("smtp")?, server.trust())?;
    let message = letter(markers, &stranger, &["bob@clinic.test"], dice);
    smtp.send(&stranger, &["bob@clinic.test"], &message)?.expect(250)?;
    let refused = smtp.send(&stranger, &[&format!("{}@clinic.test", at("nobody"))], b"")?;
    ensure!(refused.code / 100 == 5, "an unknown recipient got {}", refused.code);

    let mut bob = server.imap_as("bob")?;
    let folder = quoted(at("folder"));
    bob.command(&format!("CREATE {folder}"))?;
    bob.append(at("folder"), "\\Draft", &letter(markers, "bob@clinic.test", &[&outsider], dice))?.ok()?;
    bob.select("INBOX")?;
    bob.command(&format!("UID STORE 1:* +FLAGS ({})", at("keyword")))?.ok()?;
    bob.command(&format!("UID SEARCH SUBJECT {}", quoted(at("subject"))))?;
    bob.command("UID FETCH 1:* (ENVELOPE BODYSTRUCTURE BODY[])")?.ok()?;

    let mut wrong = Smtp::tls(server.listener("submissions")?, server.trust())?;
    let refused = wrong.login(person, at("wrongpass"))?;
    ensure!(!refused.is_ok(), "a wrong password was taken");
    // Whether a mail program may use it is policy; that it went through the server is what counts here.
    let _ = Imap::login(server.listener("imaps")?, server.trust(), person, at("password"));
    Ok(())
}

/// After a restart the words must still be there for those whom they concern, or nothing was tested.
fn read_back(server: &Server, markers: &Markers) -> Result<()> {
    let mut bob = server.imap_as("bob")?;
    bob.select("INBOX")?;
    let subjects = bob.field("Subject")?;
    if !subjects.iter().any(|subject| subject.contains(markers.at("subject"))) {
        bail!("bob doesn't see the subject that was sent to him: {subjects:?}");
    }
    bob.select(markers.at("folder"))?;
    Ok(())
}

/// A message that says each word several times, so that one of them is unbroken in each encoding.
fn letter(markers: &Markers, from: &str, to: &[&str], dice: &mut Dice) -> Vec<u8> {
    let at = |place| markers.at(place);
    let attached = format!("{} and more; ", at("attachment")).repeat(40);
    let attached = base64::engine::general_purpose::STANDARD.encode(attached);
    let attached: Vec<&str> =
        attached.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap_or_default()).collect();
    let boundary = dice.word(20);
    format!(
        "From: {sender} <{from}>\r\nTo: {to}\r\nSubject: about {subject}\r\nMessage-ID: <{id}@marker.example>\r\n\
         Date: Mon, 02 Mar 2026 09:00:00 +0000\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary={boundary}\r\n\r\n\
         --{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nDear {body}, {body}.\r\n{draft}\r\n\
         --{boundary}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
         <p title=3D\"{quoted}\">{quoted} =C3=BC {quoted}</p>\r\n\
         --{boundary}\r\nContent-Type: application/pdf; name=\"{file}.pdf\"\r\n\
         Content-Disposition: attachment; filename=\"{file}.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\n\
         {attached}\r\n--{boundary}--\r\n",
        sender = at("sender"),
        to = to.iter().map(|to| format!("<{to}>")).collect::<Vec<_>>().join(", "),
        subject = at("subject"),
        id = dice.word(16),
        body = at("body"),
        draft = at("draft"),
        quoted = at("quoted"),
        file = at("filename"),
        attached = attached.join("\r\n"),
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A scanner that finds nothing must be one that would have found it.
    #[test]
    fn finds_each_form_at_each_place() -> Result<()> {
        let markers = Markers::roll(&mut Dice::new(1));
        let scanner = Scanner::new(&markers)?;
        let word = markers.at("body");
        let base64 = |before: &str| STANDARD_NO_PAD.encode(format!("{before}{word}after"));
        let hidden = [
            format!("x{word}y").into_bytes(),
            word.to_uppercase().into_bytes(),
            base64("").into_bytes(),
            base64("1").into_bytes(),
            base64("22").into_bytes(),
            word.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            word.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            word.bytes().flat_map(|byte| format!("{byte:02X}").into_bytes()).collect(),
            word.bytes().flat_map(|byte| format!("={byte:02X}").into_bytes()).collect(),
        ];
        for (number, bytes) in hidden.iter().enumerate() {
            for before in [0, 1, (1 << 20) - 5, (1 << 20) + 77] {
                let folder = tempfile::tempdir()?;
                fs::create_dir(folder.path().join("deep"))?;
                let whole = [vec![b'.'; before], bytes.clone()].concat();
                fs::write(folder.path().join("deep/file"), &whole)?;
                let (found, size) = scanner.scan(folder.path())?;
                assert_eq!(found.len(), 1, "form {number} after {before}: {found:?}");
                assert_eq!(size, whole.len() as u64);
            }
        }
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join(word), "nothing inside")?;
        assert_eq!(scanner.scan(folder.path())?.0.len(), 1);
        Ok(())
    }

    #[test]
    fn finds_nothing_in_noise() -> Result<()> {
        let mut dice = Dice::new(2);
        let scanner = Scanner::new(&Markers::roll(&mut dice))?;
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("noise"), dice.bytes(3_000_000))?;
        assert_eq!(scanner.scan(folder.path())?, (vec![], 3_000_000));
        Ok(())
    }
}
