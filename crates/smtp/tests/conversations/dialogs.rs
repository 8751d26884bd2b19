//! Plays the conversations in `tests/dialogs/*.txt` with a real session.
//!
//! A file begins with comments that tell what it shows, then `door: ...`, then one line a step:
//!
//! - `C: text` the client sends the text and a CRLF; `C> text` it sends it as it stands, with `\r`, `\n`, `\0`, `\\`;
//! - `S: text` the server answers this line; `...` at its end stands for any rest;
//! - `TLS` both sides shake hands; `TLS fails` they can't;
//! - `STOP` the server is told to stop; `SILENCE` the client waits;
//! - `KEPT from | to, to | body` the next message that was kept (body with the escapes of `C>`);
//! - `TRACE text` the kept message's Received field holds the text; `TRACE not text` it doesn't;
//! - `END` the server has closed the connection; `NOTHING KEPT` no message is left.

use std::path::Path;

use crate::support::{Kept, Meeting};

#[tokio::test(start_paused = true)]
async fn dialogs() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogs");
    let mut files: Vec<_> =
        std::fs::read_dir(&dir).expect("there").map(|f| f.expect("readable").path()).collect();
    files.sort();
    assert!(files.len() >= 10, "dialogues are missing");
    for file in files {
        let text = std::fs::read_to_string(&file).expect("readable");
        play(&file.file_name().expect("named").to_string_lossy(), &text).await;
    }
}

async fn play(file: &str, text: &str) {
    let mut lines = text.lines().enumerate().filter(|(_, l)| !l.is_empty() && !l.starts_with('#'));
    let (_, door) = lines.next().expect("a door");
    let door = door.strip_prefix("door: ").expect("door: ...");
    let mut meeting = Meeting::at(door).await;
    let (mut seen, mut last) = (0, None::<Kept>);
    for (number, line) in lines {
        let at = format!("{file}:{}", number + 1);
        if let Some(text) = line.strip_prefix("C: ") {
            meeting.say(format!("{text}\r\n").as_bytes()).await;
        } else if let Some(text) = line.strip_prefix("C> ") {
            meeting.say(&unescape(text)).await;
        } else if let Some(want) = line.strip_prefix("S: ") {
            let got = meeting.hear().await.unwrap_or_else(|| panic!("{at}: closed instead of {want:?}"));
            match want.strip_suffix("...") {
                Some(start) => assert!(got.starts_with(start), "{at}: {got:?} instead of {want:?}"),
                None => assert_eq!(got, want, "{at}"),
            }
        } else if line == "TLS" {
            assert!(meeting.handshake().await, "{at}: no handshake");
        } else if line == "TLS fails" {
            assert!(!meeting.handshake().await, "{at}: a handshake");
        } else if line == "STOP" {
            meeting.stopper.stop();
        } else if line == "SILENCE" {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        } else if let Some(want) = line.strip_prefix("KEPT ") {
            let kept = meeting.kept();
            let one = kept.get(seen).unwrap_or_else(|| panic!("{at}: nothing was kept")).clone();
            seen += 1;
            let got = format!("{} | {} | {}", one.from, one.to.join(", "), escape(&one.body));
            assert_eq!(got, want, "{at}");
            assert_eq!(one.signed_in, door.starts_with("submission"), "{at}");
            last = Some(one);
        } else if let Some(text) = line.strip_prefix("TRACE not ") {
            assert!(!last.as_ref().expect("a message").trace.contains(text), "{at}: {last:?}");
        } else if let Some(text) = line.strip_prefix("TRACE ") {
            assert!(last.as_ref().expect("a message").trace.contains(text), "{at}: {last:?}");
        } else if line == "NOTHING KEPT" {
            assert_eq!(meeting.kept().len(), seen, "{at}");
        } else if line == "END" {
            assert_eq!(meeting.hear().await, None, "{at}");
        } else {
            panic!("{at}: {line:?} is no step");
        }
    }
    assert_eq!(meeting.kept().len(), seen, "{file}: messages that it does not mention");
    drop(meeting.client);
    meeting.task.await.unwrap_or_else(|e| panic!("{file}: {e}"));
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'r') => b'\r',
                Some(b'n') => b'\n',
                Some(b'0') => 0,
                Some(b'\\') => b'\\',
                other => panic!("no escape {other:?}"),
            },
            byte => byte,
        });
    }
    out
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\r', "\\r").replace('\n', "\\n").replace('\0', "\\0")
}
