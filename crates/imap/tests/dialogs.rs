//! Runs the dialogues in `tests/dialogs`: what a client sends, and how it is understood.
//!
//! A file is lines. `C: ` is a line that the client sends, `C> ` the same without the line end, `C| ` with a bare LF.
//! Then comes what must follow, in order: `= ` a command in the form in which [`print`] writes it, `+` the client is
//! asked to go on, `! ` an error, `> ` the message of APPEND. `#` begins a remark. Each file runs whole and byte by
//! byte.

use std::path::Path;

use sealpost_imap::codec::{Body, Frame, Framer, Limits, append, parse, print};

/// Bytes as a dialogue shows them.
fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace("\r\n", "\\r\\n")
}

/// What happens with `wire` when `step` bytes arrive at a time.
fn run(wire: &[u8], step: usize) -> Vec<String> {
    let mut framer = Framer::new(Limits::BEFORE_LOGIN);
    let mut said = Vec::new();
    let mut message: Option<Vec<u8>> = None;
    for piece in wire.chunks(step) {
        framer.input.extend_from_slice(piece);
        loop {
            if let Some(gathered) = &mut message {
                match framer.body() {
                    Body::Piece(piece) => gathered.extend_from_slice(&piece),
                    Body::Wait => break,
                    Body::Trailing => {
                        said.push("! The command must end behind the message".into());
                        message = None;
                    }
                    Body::End => {
                        said.push(format!("> {}", shown(gathered)));
                        message = None;
                    }
                }
                continue;
            }
            match framer.next() {
                None => break,
                Some(Frame::Continue) => said.push("+".into()),
                Some(Frame::Hopeless) => {
                    said.push("! hopeless".into());
                    return said;
                }
                Some(Frame::Refused { tag, why }) => {
                    said.push(format!("! {} {why}", tag.as_ref().map_or("*", |tag| tag.as_str())));
                }
                Some(Frame::Command(bytes)) => said.push(match parse(&bytes) {
                    Ok(command) => format!("= {}", shown(&print(&command))),
                    Err(error) => format!("! {error}"),
                }),
                Some(Frame::Append { head, waits, .. }) => match append(&head) {
                    Ok(command) => {
                        said.push(format!("= {}", shown(&print(&command))));
                        if waits {
                            said.push("+".into());
                        }
                        message = Some(Vec::new());
                    }
                    Err(error) => {
                        said.push(format!("! {error}"));
                        framer.refuse_body(waits);
                    }
                },
            }
        }
    }
    said
}

fn dialog(path: &Path) {
    let text = std::fs::read_to_string(path).expect("a dialogue can be read");
    let (mut wire, mut wanted) = (Vec::new(), Vec::new());
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.split_at_checked(3) {
            Some(("C: ", sent)) => wire.extend_from_slice(format!("{sent}\r\n").as_bytes()),
            Some(("C> ", sent)) => wire.extend_from_slice(sent.as_bytes()),
            Some(("C| ", sent)) => wire.extend_from_slice(format!("{sent}\n").as_bytes()),
            _ if line == "C:" => wire.extend_from_slice(b"\r\n"),
            _ => wanted.push(line.to_owned()),
        }
    }
    for step in [wire.len().max(1), 1, 7] {
        assert_eq!(run(&wire, step), wanted, "{} in steps of {step}", path.display());
    }
}

#[test]
fn all_dialogs_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogs");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 5);
    for file in files {
        dialog(&file);
    }
}
