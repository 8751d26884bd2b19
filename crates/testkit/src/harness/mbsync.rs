//! Does a synchronising mail program get back what it put in? mbsync takes a Maildir out and back, byte for byte.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::{Dice, Server, program};

/// Runs it: `messages` messages out of one Maildir and into another.
pub fn run(binary: &Path, messages: u32, mut dice: Dice) -> Result<String> {
    let server = Server::start(binary)?;
    let folder = tempfile::Builder::new().prefix("sealpost-mbsync-").tempdir()?;
    let (out, back) = (folder.path().join("out"), folder.path().join("back"));
    for maildir in [&out, &back] {
        for part in ["cur", "new", "tmp"] {
            fs::create_dir_all(maildir.join("Shelf").join(part))?;
        }
    }
    let mut written = BTreeMap::new();
    for number in 0..messages {
        let (id, text) = letter(number, &mut dice);
        // Maildir flags in alphabetical order: answered, flagged, seen.
        let flags = dice.pick(&["", "S", "FS", "RS"]).copied().unwrap_or_default();
        fs::write(out.join(format!("Shelf/cur/{number}.test:2,{flags}")), &text)?;
        written.insert(id, (text, flags.to_owned()));
    }
    let seed = dice.seed();
    let start = Instant::now();
    sync(&server, folder.path(), &out, "out")?;
    let pushed = start.elapsed();

    // What the server holds, as another program sees it.
    let mut imap = server.imap_as("bob")?;
    ensure!(imap.select("Shelf")? == messages, "seed {seed}: not all {messages} messages arrived");
    for body in imap.bodies()? {
        let text = String::from_utf8_lossy(&body).replace("\r\n", "\n").into_bytes();
        let (id, plain) = without_tuid(&text)?;
        ensure!(
            written.get(&id).is_some_and(|(text, _)| *text == plain),
            "seed {seed}: {id} differs on the server"
        );
    }

    let start = Instant::now();
    sync(&server, folder.path(), &back, "back")?;
    let pulled = start.elapsed();
    let mut returned = 0;
    for part in ["cur", "new"] {
        for file in fs::read_dir(back.join("Shelf").join(part))? {
            let path = file?.path();
            let (id, plain) = without_tuid(&fs::read(&path)?)?;
            let (text, flags) = written.get(&id).with_context(|| format!("{id} was never sent"))?;
            ensure!(*text == plain, "seed {seed}: {id} differs after coming back");
            let name = path.to_string_lossy().into_owned();
            let now = name.rsplit_once(":2,").map_or("", |(_, flags)| flags);
            ensure!(now == flags, "seed {seed}: {id} had flags {flags:?} and has {now:?}");
            returned += 1;
        }
    }
    ensure!(returned == messages, "seed {seed}: {returned} of {messages} came back");
    Ok(format!(
        "mbsync: {messages} messages out in {:.1} s and back in {:.1} s, bytes and flags as they were, seed {seed}",
        pushed.as_secs_f64(),
        pulled.as_secs_f64()
    ))
}

fn sync(server: &Server, folder: &Path, maildir: &Path, name: &str) -> Result<()> {
    let (bob, imaps) = (server.user("bob")?, server.listener("imaps")?);
    let config: PathBuf = folder.join(format!("{name}.rc"));
    let text = format!(
        "IMAPAccount sealpost\nHost localhost\nPort {port}\nUser {user}\nPass {password}\nSSLType IMAPS\n\
         CertificateFile {ca}\nSystemCertificates no\nTimeout 60\n\nIMAPStore far\nAccount sealpost\n\n\
         MaildirStore near\nPath {maildir}/\nSubFolders Verbatim\n\n\
         Channel all\nFar :far:\nNear :near:\nPatterns Shelf\nCreate Both\nSync All\nExpunge None\n\
         SyncState {folder}/{name}.state.\n",
        port = imaps.port(),
        user = bob.address,
        password = bob.app_password,
        ca = server.ready().ca.display(),
        maildir = maildir.display(),
        folder = folder.display(),
    );
    fs::write(&config, text)?;
    let mut mbsync = Command::new("mbsync");
    mbsync.arg("-c").arg(&config).args(["-q", "all"]).env("HOME", folder);
    program::run(&mut mbsync, b"", Duration::from_secs(900))?
        .ok()
        .with_context(|| format!("mbsync {name}"))?;
    Ok(())
}

/// The Message-ID, and the text without the mark that mbsync itself puts into each message it moves.
fn without_tuid(text: &[u8]) -> Result<(String, Vec<u8>)> {
    let mut plain = Vec::with_capacity(text.len());
    let (mut id, mut header) = (None, true);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        header &= line != b"\n";
        if header && line.starts_with(b"X-TUID: ") {
            continue;
        }
        if header && let Some(value) = line.strip_prefix(b"Message-ID: ") {
            id = Some(String::from_utf8_lossy(value).trim().to_owned());
        }
        plain.extend_from_slice(line);
    }
    Ok((id.context("a message without Message-ID")?, plain))
}

/// A message with LF line ends, as Maildir has them: short and long, 8 bit, nested, with odd but legal white space.
fn letter(number: u32, dice: &mut Dice) -> (String, Vec<u8>) {
    let id = format!("<{number}.{}@mbsync.example>", dice.word(6));
    let mut text = format!(
        "Received: from a by b;\n\tMon, 02 Mar 2026 09:00:00 +0000\nFrom: =?utf-8?q?J=C3=BCrgen?= <j@outside.example>\n\
         To: bob@clinic.test\nSubject: {}\nMessage-ID: {id}\nDate: Mon, 02 Mar 2026 09:00:00 +0000\nMIME-Version: 1.0\n",
        dice.word(1 + (number % 60) as usize)
    );
    let lines: String = (0..dice.below(40))
        .map(|_| {
            let length = dice.below(120) as usize;
            let end =
                dice.pick(&["", " ", "\t", " ü", ".", "\n.", "\nFrom here"]).copied().unwrap_or_default();
            dice.word(length) + end + "\n"
        })
        .collect();
    match number % 3 {
        0 => text.push_str(&format!("Content-Type: text/plain; charset=utf-8\n\n{lines}")),
        1 => text.push_str(&format!("\n{lines}")),
        _ => {
            let inner = dice.word(9);
            let attached = base64_lines(&dice.bytes(200 + number as usize * 7));
            text.push_str(&format!(
                "Content-Type: multipart/mixed; boundary=\"=_{inner}\"\n\npreamble\n--=_{inner}\n\
                 Content-Type: message/rfc822\n\nSubject: inner\n\n{lines}\n--=_{inner}\n\
                 Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n{attached}\n\
                 --=_{inner}--\nepilogue without an end"
            ));
            text.push('\n');
        }
    }
    (id, text.into_bytes())
}

fn base64_lines(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let lines = bytes.chunks(57).map(|chunk| STANDARD.encode(chunk));
    lines.collect::<Vec<_>>().join("\n")
}
